//! What a file makes: tables, virtual tables, indexes and views of its own.

use super::findings::{Findings, perhaps};
use super::header::{self, Annotation};
use super::lex::Kind;
use super::sentence::Sentence;
use super::tables::{self, Place};
use super::{Definition, Makes, fold, values};

/// Bytes of a name that both databases take.
const NAME_BYTES_MAX: usize = 63;
/// Names that mean something to whoever queries read models.
const RESERVED: [&str; 4] = ["batch", "events", "log", "projections"];
/// Beginnings of names that belong to the databases and to us.
const RESERVED_BEGINNINGS: [&str; 3] = ["pacioli", "pg_", "sqlite_"];

/// What a file has made so far, by name.
#[derive(Debug, Default)]
pub(super) struct Owned<'a> {
    /// Tables and virtual tables: statements may write them.
    pub(super) tables: Vec<&'a str>,
    /// Views and materialized views.
    pub(super) views: Vec<&'a str>,
    materialized: Vec<&'a str>,
    indexes: Vec<&'a str>,
}

impl<'a> Owned<'a> {
    pub(super) fn of(definitions: &'a [Definition]) -> Owned<'a> {
        let mut owned = Owned::default();
        for definition in definitions {
            match &definition.makes {
                Makes::Table(name) | Makes::VirtualTable(name) => owned.tables.push(name),
                Makes::View(name) => owned.views.push(name),
                Makes::MaterializedView { name, .. } => {
                    owned.views.push(name);
                    owned.materialized.push(name);
                }
                Makes::Index { name, .. } => owned.indexes.push(name),
            }
        }
        owned
    }

    /// Whether a query may read it.
    pub(super) fn is_readable(&self, name: &str) -> bool {
        self.tables.contains(&name) || self.views.contains(&name)
    }

    fn has(&self, name: &str) -> bool {
        self.is_readable(name) || self.indexes.contains(&name)
    }
}

/// Reads a CREATE statement. What is wrong is told; what it makes is returned all the same where its name is known.
pub(super) fn read(
    sentence: &Sentence<'_, '_>,
    text: &str,
    owned: &Owned<'_>,
    materialized: Option<Annotation<'_>>,
    findings: &mut Findings,
) -> Option<Definition> {
    let mut reader = Reader { sentence, at: 1, owned, findings };
    let makes = reader.makes(materialized);
    values::check_parameters(sentence, findings);
    for token in sentence.tokens().iter().filter(|token| token.kind == Kind::Value) {
        findings.error(token.line, format!("`{}` is of an event; named values stand in handlers only", token.text));
    }
    if !matches!(makes, Some(Makes::View(_) | Makes::MaterializedView { .. })) {
        fold::check(sentence, findings);
    }
    Some(Definition { makes: makes?, sql: sentence.plain(text), line: sentence.line() })
}

struct Reader<'r, 't, 'a> {
    sentence: &'r Sentence<'t, 'a>,
    /// The next token.
    at: usize,
    owned: &'r Owned<'r>,
    findings: &'r mut Findings,
}

impl Reader<'_, '_, '_> {
    /// Passes over these words, if they come next.
    fn take(&mut self, words: &[&str]) -> bool {
        let are_next = words.iter().enumerate().all(|(index, word)| self.sentence.is(self.at + index, word));
        if are_next {
            self.at += words.len();
        }
        are_next
    }

    fn error(&mut self, problem: impl Into<String>) {
        let line = self.sentence.get(self.at).or(self.sentence.tokens().last()).map_or(1, |token| token.line);
        self.findings.error(line, problem);
    }

    fn refuse(&mut self, words: &[&str], problem: &str) {
        if self.take(words) {
            self.at -= 1;
            self.error(problem);
            self.at += 1;
        }
    }

    fn makes(&mut self, materialized: Option<Annotation<'_>>) -> Option<Makes> {
        let start = self.at;
        self.refuse(
            &["or", "replace"],
            "each build has a place of its own, so there is nothing to replace; leave OR REPLACE out",
        );
        for word in ["temp", "temporary"] {
            self.refuse(&[word], "a temporary table would be gone with its connection; leave TEMP out");
        }
        self.refuse(
            &["unlogged"],
            "an unlogged table is empty after a crash, and its checkpoint is not; leave UNLOGGED out",
        );
        let unique = self.take(&["unique"]);
        let makes = if !unique && self.take(&["materialized", "view"]) {
            return self.materialized_view(materialized);
        } else if !unique && self.take(&["table"]) {
            let name = self.name("table")?;
            self.columns(&name);
            Makes::Table(name)
        } else if !unique && self.take(&["virtual", "table"]) {
            let name = self.name("virtual table")?;
            if !self.take(&["using", "fts5"]) {
                self.error("a virtual table is made for full-text search; write USING fts5 (…) behind its name");
            }
            Makes::VirtualTable(name)
        } else if !unique && self.take(&["view"]) {
            let name = self.name("view")?;
            self.query();
            Makes::View(name)
        } else if self.take(&["index"]) {
            return self.index(unique, materialized);
        } else {
            self.at = start;
            let what = self.sentence.get(start).map_or("nothing".to_owned(), |token| token.text.to_uppercase());
            self.error(format!(
                "CREATE {what} is not for a projection; it makes TABLE, VIRTUAL TABLE … USING fts5, [UNIQUE] INDEX, VIEW and MATERIALIZED VIEW"
            ));
            return None;
        };
        self.tell_idle(materialized);
        Some(makes)
    }

    fn tell_idle(&mut self, materialized: Option<Annotation<'_>>) {
        if let Some(materialized) = materialized {
            let problem = "`materialized` stands directly before CREATE MATERIALIZED VIEW only";
            self.findings.error(materialized.line, problem);
        }
    }

    fn materialized_view(&mut self, annotation: Option<Annotation<'_>>) -> Option<Makes> {
        let every = match annotation {
            Some(annotation) => header::refresh(annotation.value).unwrap_or_else(|problem| {
                self.findings.error(annotation.line, problem);
                None
            }),
            None => {
                let problem = "nothing says when the view is refreshed; write `-- materialized: refresh 60s` or \
                               `-- materialized: on demand` on the line above";
                self.findings.error(self.sentence.line(), problem);
                None
            }
        };
        let name = self.name("materialized view")?;
        self.query();
        Some(Makes::MaterializedView { name, every })
    }

    /// The query of a view, which reads what the file has made above.
    fn query(&mut self) {
        let starts = (self.at..self.sentence.tokens().len()).find(|at| self.sentence.is(*at, "as"));
        match starts {
            Some(starts) => tables::check(self.sentence, starts + 1, Place::View, self.owned, self.findings),
            None => self.error("a view needs its query: AS SELECT …"),
        }
    }

    fn index(&mut self, unique: bool, materialized: Option<Annotation<'_>>) -> Option<Makes> {
        self.tell_idle(materialized);
        self.refuse(&["concurrently"], "nobody reads the tables while they are made; leave CONCURRENTLY out");
        if self.sentence.is(self.at, "on") {
            self.error("the index has no name; write it before ON");
            return None;
        }
        let name = self.name("index")?;
        if !self.take(&["on"]) {
            self.error("an index stands on a table: CREATE INDEX name ON table (…)");
            return None;
        }
        self.take(&["only"]);
        let token = self.sentence.get(self.at);
        let Some(table) = token.and_then(|token| token.name()) else {
            self.error("an index stands on a table: CREATE INDEX name ON table (…)");
            return None;
        };
        if self.sentence.is_kind(self.at + 1, Kind::Dot) {
            self.error(QUALIFIED);
        } else if !self.owned.tables.contains(&table.as_str()) && !self.owned.materialized.contains(&table.as_str()) {
            let meant = perhaps(&table, self.owned.tables.iter().copied()).unwrap_or_default();
            self.error(format!("`{table}` is no table that this file makes above{meant}"));
        }
        Some(Makes::Index { name, table, unique })
    }

    /// The name of what is made.
    fn name(&mut self, what: &str) -> Option<String> {
        self.refuse(
            &["if", "not", "exists"],
            "each build has a place of its own, so a name that exists is a mistake; leave IF NOT EXISTS out",
        );
        let Some((token, name)) = self.sentence.get(self.at).and_then(|token| Some((token, token.name()?))) else {
            self.error(format!("the {what} has no name; write it behind CREATE {}", what.to_uppercase()));
            return None;
        };
        if self.sentence.is_kind(self.at + 1, Kind::Dot) {
            self.error(QUALIFIED);
            self.at += 2;
            let name = self.sentence.get(self.at).and_then(|token| token.name());
            self.at += 1;
            return name;
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        // PostgreSQL folds what is not quoted and SQLite does not: written small, it is one name everywhere.
        let written = token.text.trim_matches(['"', '`', '[', ']']);
        let is_plain = name == written && name.bytes().all(plain) && name.starts_with(|c: char| c.is_ascii_lowercase());
        if name.len() > NAME_BYTES_MAX || !is_plain {
            self.error(format!(
                "`{written}` is no name that both databases take; write up to {NAME_BYTES_MAX} lower-case letters, digits \
                 and `_`, beginning with a letter"
            ));
        } else if RESERVED.contains(&name.as_str()) {
            self.error(format!("`{name}` means something else in queries; choose another name"));
        } else if let Some(beginning) = RESERVED_BEGINNINGS.iter().find(|beginning| name.starts_with(**beginning)) {
            self.error(format!("names that begin with `{beginning}` are taken; choose another one"));
        } else if self.owned.has(&name) {
            self.error(format!("`{name}` is made above already; choose another name"));
        }
        self.at += 1;
        Some(name)
    }

    /// What stands behind a table's name.
    fn columns(&mut self, table: &str) {
        let tokens = self.sentence.tokens();
        let top: Vec<usize> = (self.at..tokens.len()).filter(|at| self.sentence.enclosing(*at).is_none()).collect();
        if let Some(at) = top.iter().find(|at| tokens[**at].is("as")) {
            self.at = *at;
            return self.error("handlers fill the tables from the log; write the columns instead of AS SELECT");
        }
        if !self.sentence.is_kind(self.at, Kind::Open) {
            return self.error("a table needs its columns: CREATE TABLE name (column type, …)");
        }
        let open = self.at;
        let Some(close) = self.sentence.closing(open) else { return };
        for at in open + 1..close {
            self.at = at;
            if tokens[at].is("references") {
                self.reference(table);
            }
            let begins = |at: usize| matches!(tokens[at].kind, Kind::Open | Kind::Comma);
            let is_type = begins(at - 2) && !begins(at - 1) && self.sentence.enclosing(at) == Some(open);
            let counts = is_type && tokens[at].is_one_of(&["serial", "bigserial", "smallserial"]);
            if counts || (tokens[at].is("identity") && tokens[at - 1].is("as")) {
                self.error(format!(
                    "{} counts on in a rebuild, and leaves gaps; take a number from the event: `:position` or `:version`",
                    tokens[at].text.to_uppercase()
                ));
            }
        }
        let allowed = ["without", "rowid", "strict", "with"];
        let wrong = |at: &&usize| **at > close && tokens[**at].kind == Kind::Word && !tokens[**at].is_one_of(&allowed);
        if let Some(wrong) = top.iter().find(wrong) {
            self.at = *wrong;
            self.error(format!(
                "{} is not for a table of a projection; behind its columns stand WITHOUT ROWID and STRICT on SQLite, \
                 or WITH (…) on PostgreSQL",
                tokens[*wrong].text.to_uppercase()
            ));
        }
    }

    /// The table that a column refers to.
    fn reference(&mut self, of: &str) {
        let Some(name) = self.sentence.get(self.at + 1).and_then(|token| token.name()) else { return };
        if self.sentence.is_kind(self.at + 2, Kind::Dot) {
            self.error(QUALIFIED);
        } else if name != of && !self.owned.tables.contains(&name.as_str()) {
            self.error(format!(
                "`{name}` is no table that this file makes above; a projection stands on its own tables only"
            ));
        }
    }
}

/// What is wrong with `schema.table`.
pub(super) const QUALIFIED: &str =
    "each build has a place of its own; write the plain name without what stands before the dot";
