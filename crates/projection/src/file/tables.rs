//! Which tables a statement reads and writes, as far as its words say so. The engines look again and exactly.

use super::definitions::{Owned, QUALIFIED};
use super::findings::{Findings, perhaps};
use super::lex::{Kind, Token};
use super::sentence::Sentence;

/// Where a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a view, which reads.
    View,
    /// In a handler of single events.
    Event,
    /// In a handler of a batch, which may read `batch`.
    Batch,
}

/// What is known between one pair of parentheses.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// SELECT, UPDATE or DELETE was there, so that FROM begins a list of tables and is no word of a function's.
    has_verb: bool,
    /// The verb is DELETE, so that USING begins one too.
    deletes: bool,
    /// Among tables: a comma or a JOIN leads to the next.
    in_tables: bool,
    /// A table comes next.
    expects: bool,
}

/// Words that end a list of tables.
const END_OF_TABLES: [&str; 16] = [
    "except",
    "fetch",
    "for",
    "group",
    "having",
    "intersect",
    "limit",
    "offset",
    "order",
    "returning",
    "select",
    "set",
    "union",
    "values",
    "where",
    "window",
];

/// What is wrong where a table's name is missing, or is a string, which SQLite would take for one.
const UNNAMED: &str = "a table's name is missing here; write it plainly, without quotes";

/// Looks at the statement from token `from` on.
pub(super) fn check(
    sentence: &Sentence<'_, '_>,
    from: usize,
    place: Place,
    owned: &Owned<'_>,
    findings: &mut Findings,
) {
    let named = named_queries(sentence);
    if named.iter().any(|name| name == "batch") {
        findings.error(sentence.line(), "`batch` is the relation of a batch's events; give the query another name");
    }
    let mut checker = Checker { sentence, place, owned, named, findings };
    checker.run(from);
}

/// The names that WITH gives to queries.
fn named_queries(sentence: &Sentence<'_, '_>) -> Vec<String> {
    let mut names = Vec::new();
    for (at, token) in sentence.tokens().iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| sentence.get(before));
        let may_begin =
            before.is_some_and(|before| before.kind == Kind::Comma || before.is_one_of(&["with", "recursive"]));
        let Some(name) = token.name().filter(|_| may_begin) else { continue };
        let mut next = at + 1;
        if sentence.is_kind(next, Kind::Open) {
            let Some(close) = sentence.closing(next) else { continue };
            next = close + 1;
        }
        if !sentence.is(next, "as") {
            continue;
        }
        next += 1;
        next += usize::from(sentence.is(next, "not"));
        next += usize::from(sentence.is(next, "materialized"));
        if sentence.is_kind(next, Kind::Open) {
            names.push(name);
        }
    }
    names
}

struct Checker<'r, 't, 'a> {
    sentence: &'r Sentence<'t, 'a>,
    place: Place,
    owned: &'r Owned<'r>,
    named: Vec<String>,
    findings: &'r mut Findings,
}

impl<'t, 'a> Checker<'_, 't, 'a> {
    fn run(&mut self, from: usize) {
        let mut outer: Vec<Level> = Vec::new();
        let mut level = Level::default();
        let mut at = from;
        while let Some(token) = self.sentence.get(at) {
            match token.kind {
                Kind::Open | Kind::OpenBracket => {
                    // Tables may be joined in parentheses, and a query may stand in them.
                    let inside = Level { in_tables: level.expects, expects: level.expects, ..Level::default() };
                    level.expects = false;
                    outer.push(std::mem::replace(&mut level, inside));
                }
                Kind::Close | Kind::CloseBracket => level = outer.pop().unwrap_or_default(),
                Kind::Comma => level.expects = level.in_tables,
                Kind::Word | Kind::Quoted => at = self.word(at, token, &mut level),
                Kind::Text if level.expects => {
                    level.expects = false;
                    self.findings.error(token.line, UNNAMED);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Looks at a name or a keyword; returns the last token that belongs to it.
    fn word(&mut self, at: usize, token: &Token<'a>, level: &mut Level) -> usize {
        let sentence = self.sentence;
        let before = at.checked_sub(1).and_then(|before| sentence.get(before));
        let follows = |words: &[&str]| before.is_some_and(|before| before.is_one_of(words));
        if before.is_some_and(|before| before.kind == Kind::Dot) {
            return at;
        }
        let queries = token.is_one_of(&["select", "with", "values"]);
        if level.expects && queries {
            level.in_tables = false;
        }
        if level.expects && !queries {
            if token.is_one_of(&["lateral", "only"]) && !sentence.is_kind(at + 1, Kind::Dot) {
                return at;
            }
            level.expects = false;
            return self.reads(at);
        }
        if token.kind == Kind::Quoted {
            return at;
        }
        level.expects = false;
        if token.is("from") {
            if level.has_verb && !follows(&["distinct", "delete"]) {
                (level.in_tables, level.expects) = (true, true);
            }
        } else if token.is("join") {
            level.expects = level.in_tables;
        } else if token.is("using") {
            if level.deletes && !level.in_tables {
                (level.in_tables, level.expects) = (true, true);
            }
        } else if token.is("insert") || (token.is("replace") && sentence.is(at + 1, "into")) {
            let into = (at + 1..at + 4).find(|at| sentence.is(*at, "into"));
            return into.map_or(at, |into| self.writes(into + 1));
        } else if token.is("update") {
            let is_verb = !sentence.is(at + 1, "set") && !follows(&["for", "on", "key"]);
            if is_verb {
                (level.has_verb, level.in_tables) = (true, false);
                let mut target = at + 1;
                target += 2 * usize::from(sentence.is(target, "or"));
                target += usize::from(sentence.is(target, "only"));
                return self.writes(target);
            }
            level.in_tables = false;
        } else if token.is("delete") && sentence.is(at + 1, "from") {
            (level.has_verb, level.deletes, level.in_tables) = (true, true, false);
            return self.writes(at + 2 + usize::from(sentence.is(at + 2, "only")));
        } else if token.is_one_of(&END_OF_TABLES) {
            level.in_tables = false;
            level.has_verb |= token.is("select");
        }
        at
    }

    /// The name at `at` is a table that is read, or a function; returns its last token.
    fn reads(&mut self, at: usize) -> usize {
        let sentence = self.sentence;
        let Some((token, name)) = sentence.get(at).and_then(|token| Some((token, token.name()?))) else { return at };
        if sentence.is_kind(at + 1, Kind::Dot) {
            let is_function = sentence.is_kind(at + 3, Kind::Open);
            if !is_function {
                self.findings.error(token.line, QUALIFIED);
            }
            return at + 2;
        }
        let is_known = self.owned.is_readable(&name) || self.named.contains(&name);
        if is_known || sentence.is_kind(at + 1, Kind::Open) {
            return at;
        }
        let problem = match (name.as_str(), self.place) {
            ("batch", Place::Batch) => return at,
            ("batch", Place::Event) => {
                "the relation `batch` is there in `-- on batch:` handlers only; here one event is at hand: `:stream`, `:data.amount` …".to_owned()
            }
            ("events" | "log", _) => format!(
                "`{name}` holds events that do not belong here yet; a projection reads the events it is given, and its own tables"
            ),
            _ => {
                let tables = self.owned.tables.iter().chain(&self.owned.views).copied();
                let rule = format!("; a projection reads what it makes itself{}", self.or_batch());
                format!("`{name}` is no table of this file{}", perhaps(&name, tables).unwrap_or(rule))
            }
        };
        self.findings.error(token.line, problem);
        at
    }

    fn or_batch(&self) -> &'static str {
        if self.place == Place::Batch { ", and `batch`" } else { "" }
    }

    /// The name at `at` is the table that is written; returns its last token.
    fn writes(&mut self, at: usize) -> usize {
        let sentence = self.sentence;
        let Some((token, name)) = sentence.get(at).and_then(|token| Some((token, token.name()?))) else {
            let line = sentence.get(at).map_or(sentence.line(), |token| token.line);
            self.findings.error(line, UNNAMED);
            return at.saturating_sub(1);
        };
        if sentence.is_kind(at + 1, Kind::Dot) {
            self.findings.error(token.line, QUALIFIED);
            return at + 2;
        }
        if self.place == Place::View {
            self.findings.error(token.line, "a view reads; write tables in handlers");
        } else if self.owned.views.contains(&name.as_str()) {
            self.findings.error(token.line, format!("`{name}` is a view; write the table that it reads"));
        } else if !self.owned.tables.contains(&name.as_str()) {
            let rule = || "; a projection writes the tables that it makes".to_owned();
            let meant = perhaps(&name, self.owned.tables.iter().copied()).unwrap_or_else(rule);
            let problem = format!("`{name}` is no table of this file{meant}");
            self.findings.error(token.line, problem);
        }
        at
    }
}
