//! A statement of a handler: SQL, cut at its named values.

use std::fmt;

/// One statement of a handler: SQL with named values in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The statement, cut at its named values.
    pub pieces: Vec<Piece>,
    /// Its first line in the file, from 1. Line breaks are kept: line `n` of the statement is line `line + n - 1` of the file.
    pub line: u32,
}

/// A part of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// SQL as it stands, comments left out.
    Sql(String),
    /// A named value.
    Value(NamedValue),
}

/// One use of a named value.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedValue {
    /// What it is.
    pub source: Source,
    /// Where it stands, from 1.
    pub line: u32,
    /// The column of its colon, in characters from 1.
    pub column: u32,
    /// What stands beside it, which says where its type comes from.
    pub beside: Beside,
}

/// What stands beside a named value. Parentheses around it alone are looked through, and so are `coalesce`, `nullif`,
/// `greatest` and `least`, which take their type from their arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// One of `+ - * / %` stands before or behind it. `||` is no arithmetic.
    pub arithmetic: bool,
    /// It is an argument of a function, other than `CAST`, `coalesce`, `nullif`, `greatest` and `least`.
    pub argument: bool,
    /// It is cast on the spot: `CAST(:x AS T)` or `:x::T`.
    pub cast: bool,
    /// It is compared with a number that is written out (`:x > 100`), or is an argument of `coalesce`, `nullif`,
    /// `greatest` or `least` beside one: a type inferred from that is only as wide as that number.
    pub number: bool,
}

/// What a named value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `:stream`
    Stream,
    /// `:category`
    Category,
    /// `:key`
    Key,
    /// `:type`
    Type,
    /// `:version`
    Version,
    /// `:partition`
    Partition,
    /// `:position`
    Position,
    /// `:schema_version`
    SchemaVersion,
    /// `:id`
    Id,
    /// `:recorded_at`
    RecordedAt,
    /// `:occurred_at`, which is `recorded_at` where the event says nothing
    OccurredAt,
    /// `:actor`, of the metadata
    Actor,
    /// `:data`
    Data,
    /// `:metadata`
    Metadata,
    /// `:data.a.b[0]`: what lies there in the data, NULL where nothing does
    Path(Vec<Step>),
}

/// One step of a path into an event's data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A member of an object.
    Member(String),
    /// An element of an array, from 0.
    Element(u32),
}

impl Statement {
    /// The statement with each named value written by `name`, which gets its number from 0.
    pub fn render(&self, mut name: impl FnMut(&NamedValue, usize) -> String) -> String {
        let mut number = 0;
        let mut sql = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Sql(text) => sql.push_str(text),
                Piece::Value(value) => {
                    sql.push_str(&name(value, number));
                    number += 1;
                }
            }
        }
        sql
    }

    /// Its named values, in order.
    pub fn values(&self) -> impl Iterator<Item = &NamedValue> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value(value) => Some(value),
            Piece::Sql(_) => None,
        })
    }
}

impl Source {
    /// The values that have a name of their own, in the order in which messages list them.
    pub const NAMED: [(&str, Source); 14] = [
        ("stream", Source::Stream),
        ("category", Source::Category),
        ("key", Source::Key),
        ("type", Source::Type),
        ("version", Source::Version),
        ("partition", Source::Partition),
        ("position", Source::Position),
        ("schema_version", Source::SchemaVersion),
        ("id", Source::Id),
        ("recorded_at", Source::RecordedAt),
        ("occurred_at", Source::OccurredAt),
        ("actor", Source::Actor),
        ("data", Source::Data),
        ("metadata", Source::Metadata),
    ];
}

/// As it is written in a file: `:stream`, `:data.items[0]."odd name"`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(steps) => write!(f, ":data{}", Path(steps)),
            named => {
                let (name, _) = Source::NAMED.iter().find(|(_, source)| source == named).unwrap_or(&Source::NAMED[0]);
                write!(f, ":{name}")
            }
        }
    }
}

/// Writes a path as a file does: `.items[0]."odd name"`.
pub(super) struct Path<'a>(pub(super) &'a [Step]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.0 {
            match step {
                Step::Element(index) => write!(f, "[{index}]")?,
                Step::Member(name) if is_plain(name) => write!(f, ".{name}")?,
                Step::Member(name) => write!(f, ".\"{}\"", name.replace('"', "\"\""))?,
            }
        }
        Ok(())
    }
}

/// Whether a member's name needs no quotes.
pub(super) fn is_plain(name: &str) -> bool {
    let begins = |c: char| c == '_' || c.is_ascii_alphabetic() || !c.is_ascii();
    let mut characters = name.chars();
    characters.next().is_some_and(begins) && characters.all(|c| begins(c) || c.is_ascii_digit())
}
