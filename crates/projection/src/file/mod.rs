//! A projection's file: plain SQL, with what it means in comment lines.
//!
//! ```sql
//! -- projection: balances
//! -- version: 1
//! -- category: account
//!
//! CREATE TABLE balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL);
//!
//! -- on: MoneyDeposited
//! INSERT INTO balances (account, cents) VALUES (:stream, :data.cents)
//! ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents;
//! ```
//!
//! `lex` cuts the text into tokens, `parse` puts them together to annotations and statements; `header` reads the first,
//! `definitions` and `handlers` the others, over a `sentence` that knows which parentheses enclose what. `tables` looks
//! which tables a statement names, `fold` what would give other rows in a rebuild, and `values` what a named value is.
//! What only a database can tell, an engine checks; what only the log can tell, [`check_paths`].

use std::fmt;
use std::time::Duration;

use pacioli_core::schemas::{OnNewer, Shape, Understanding};
use pacioli_core::{Category, EventType, Filter};

mod definitions;
mod findings;
mod fold;
mod handlers;
mod header;
mod lex;
mod parse;
mod paths;
mod sentence;
mod statement;
mod tables;
#[cfg(test)]
mod tests;
mod values;

pub use findings::{Finding, Severity, listed};
pub use paths::{EVENTS_LOOKED_AT_MAX, PathUse, check_paths};
pub use statement::{Beside, NamedValue, Piece, Source, Statement, Step};

/// A projection's name: up to 40 lower-case letters, digits and `_`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A projection, taken apart from its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// Its name.
    pub name: Name,
    /// Its version: a higher one is filled beside the one that serves, and then takes over.
    pub version: u32,
    /// When it runs.
    pub mode: Mode,
    /// Only events of these categories; empty is all.
    pub categories: Vec<Category>,
    /// Only events of these types; empty is all.
    pub types: Vec<EventType>,
    /// What it understands of the schemas of some types; of all others it takes any version.
    pub understands: Vec<Understanding>,
    /// What becomes of it at an event that it does not understand.
    pub on_newer: OnNewer,
    /// Rows of different streams never meet, so several workers may share the streams.
    pub parallel_by_stream: bool,
    /// Save a copy of the tables every so many events.
    pub keep_copies: Option<u64>,
    /// Compare with a fresh fold this often.
    pub verify: Option<Duration>,
    /// The file's name, for messages.
    pub file: String,
    /// The file's text.
    pub text: String,
    /// SHA-256 of the text with line ends made `\n`, in hex: two files with the same hash are the same projection.
    pub hash: String,
    /// What it owns, in the order of the file.
    pub definitions: Vec<Definition>,
    /// What it does, in the order of the file.
    pub handlers: Vec<Handler>,
}

/// When a projection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In batches of its own, soon after the append.
    Async,
    /// In the append's transaction.
    Sync,
}

/// One statement that makes something the projection owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// What it makes.
    pub makes: Makes,
    /// Its text without the semicolon.
    pub sql: String,
    /// Its first line in the file, from 1.
    pub line: u32,
}

/// What a definition makes.
#[derive(Clone, Debug, PartialEq)]
pub enum Makes {
    /// A table, by its plain name.
    Table(String),
    /// A virtual table (FTS5 on SQLite).
    VirtualTable(String),
    /// An index of one of its tables.
    Index {
        /// The index.
        name: String,
        /// The table.
        table: String,
        /// Whether it is unique.
        unique: bool,
    },
    /// A view over its tables.
    View(String),
    /// A materialized view (PostgreSQL), refreshed this often; `None` is on demand.
    MaterializedView {
        /// The view.
        name: String,
        /// How often.
        every: Option<Duration>,
    },
}

/// What to do for some events.
#[derive(Clone, Debug, PartialEq)]
pub struct Handler {
    /// For which.
    pub on: On,
    /// The statements, in order.
    pub statements: Vec<Statement>,
    /// The line of its `-- on:`.
    pub line: u32,
}

/// For which events a handler runs.
#[derive(Clone, Debug, PartialEq)]
pub enum On {
    /// For each event of these types.
    Types(Vec<EventType>),
    /// For each event that the header lets in.
    Every,
    /// Once for all events of a batch, which are the relation `batch`.
    Batch,
}

impl Handler {
    /// The types it is for; none where it is for every event or for batches.
    pub fn types(&self) -> &[EventType] {
        match &self.on {
            On::Types(types) => types,
            On::Every | On::Batch => &[],
        }
    }
}

impl Name {
    /// # Errors
    /// What is wrong with it.
    pub fn new(name: impl Into<String>) -> Result<Name, String> {
        let name = name.into();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > 40 || !name.as_bytes()[0].is_ascii_lowercase() || !name.bytes().all(plain) {
            return Err(format!(
                "`{name}` is no name of a projection: up to 40 lower-case letters, digits and `_`, beginning with a letter"
            ));
        }
        Ok(Name(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Projection {
    /// Takes a file apart.
    ///
    /// # Errors
    /// All that is wrong with it, each with its line.
    pub fn parse(file: &str, text: &str) -> Result<Projection, Vec<Finding>> {
        parse::parse(file, text)
    }

    /// The events it wants: those of its categories and types, or those that its handlers name; without either, all but
    /// those of the system's own streams, whose names begin with `$`.
    pub fn filter(&self) -> Filter {
        let mut types = self.types.clone();
        if types.is_empty() && self.is_for_named_types() {
            for one in self.handlers.iter().flat_map(Handler::types) {
                if !types.contains(one) {
                    types.push(one.clone());
                }
            }
        }
        Filter { categories: self.categories.clone(), types, ..Filter::default() }
    }

    /// In which shape it wants events: the newest, within what it understands.
    pub fn shape(&self) -> Shape {
        Shape { raw: false, understands: self.understands.clone(), on_newer: self.on_newer }
    }

    /// Whether it passes over the system's own streams, whose names begin with `$`: where its [filter](Projection::filter)
    /// lets in everything else. Who names a category or types gets what is named, wherever it lies.
    pub fn excludes_system(&self) -> bool {
        self.categories.is_empty() && self.types.is_empty() && !self.is_for_named_types()
    }

    /// Whether it wants an event of this type in a stream of this category.
    pub fn wants(&self, event_type: &EventType, category: &str) -> bool {
        if self.excludes_system() {
            return !category.starts_with('$');
        }
        let of_type = if !self.types.is_empty() {
            self.types.contains(event_type)
        } else {
            !self.is_for_named_types() || self.handlers.iter().any(|handler| handler.types().contains(event_type))
        };
        of_type && (self.categories.is_empty() || self.categories.iter().any(|one| one.as_str() == category))
    }

    /// Whether every handler names its types.
    fn is_for_named_types(&self) -> bool {
        self.handlers.iter().all(|handler| matches!(handler.on, On::Types(_)))
    }

    /// The tables, virtual tables and views it owns, by name, in the order of the file.
    pub fn relations(&self) -> impl Iterator<Item = &str> {
        self.definitions.iter().filter_map(|definition| match &definition.makes {
            Makes::Table(name) | Makes::VirtualTable(name) | Makes::View(name) => Some(name.as_str()),
            Makes::MaterializedView { name, .. } => Some(name.as_str()),
            Makes::Index { .. } => None,
        })
    }
}
