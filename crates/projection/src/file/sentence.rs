//! The tokens of one statement, and which parentheses enclose which.

use super::findings::Findings;
use super::lex::{Kind, Token};
use super::statement::{NamedValue, Piece, Source, Statement};
use super::values;

/// One statement, comments left out.
#[derive(Debug)]
pub(super) struct Sentence<'t, 'a> {
    tokens: &'t [Token<'a>],
    /// For each token the parenthesis or bracket that it stands in.
    enclosing: Vec<Option<usize>>,
    /// For each token that opens one, the token that closes it.
    closing: Vec<Option<usize>>,
    /// For each token that opens one, whether a number is all there is between two commas in it.
    has_number: Vec<bool>,
}

/// How deep parentheses may nest; the databases' own bounds are near.
const DEPTH_MAX: usize = 500;

/// Words that stand before a parenthesis and call nothing.
const NO_FUNCTIONS: [&str; 52] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "between",
    "by",
    "case",
    "check",
    "conflict",
    "constraint",
    "cross",
    "cube",
    "default",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "filter",
    "from",
    "group",
    "having",
    "in",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "key",
    "like",
    "limit",
    "materialized",
    "not",
    "notnull",
    "offset",
    "on",
    "or",
    "order",
    "over",
    "returning",
    "rollup",
    "select",
    "set",
    "sets",
    "some",
    "then",
    "union",
    "unique",
    "using",
    "values",
    "where",
];

impl<'t, 'a> Sentence<'t, 'a> {
    /// Pairs the parentheses of `tokens`, which has one token at least and no comment.
    pub(super) fn new(tokens: &'t [Token<'a>], findings: &mut Findings) -> Sentence<'t, 'a> {
        let (closing, has_number) = (vec![None; tokens.len()], vec![false; tokens.len()]);
        let mut sentence = Sentence { tokens, enclosing: Vec::new(), closing, has_number };
        let mut open: Vec<usize> = Vec::new();
        // How many are open beyond the depth that is followed.
        let mut beyond = 0_usize;
        for (at, token) in tokens.iter().enumerate() {
            let opener = match token.kind {
                Kind::Close => Some(Kind::Open),
                Kind::CloseBracket => Some(Kind::OpenBracket),
                _ => None,
            };
            if opener.is_some() && beyond > 0 {
                beyond -= 1;
            } else if let Some(opener) = opener {
                match open.pop_if(|open| tokens[*open].kind == opener) {
                    Some(open) => sentence.closing[open] = Some(at),
                    None => findings.error(token.line, format!("`{}` closes nothing; take it out", token.text)),
                }
            }
            sentence.enclosing.push(open.last().copied());
            if let Some(open) = open.last()
                && token.kind == Kind::Number
                && sentence.is_argument(at)
            {
                sentence.has_number[*open] = true;
            }
            if matches!(token.kind, Kind::Open | Kind::OpenBracket) {
                if open.len() < DEPTH_MAX {
                    open.push(at);
                } else {
                    beyond += 1;
                    findings
                        .error(token.line, format!("parentheses nest deeper than {DEPTH_MAX} here; write it flatter"));
                }
            }
        }
        for open in open {
            let (text, line) = (tokens[open].text, tokens[open].line);
            findings.error(line, format!("`{text}` is not closed before the statement ends"));
        }
        sentence
    }

    pub(super) fn tokens(&self) -> &'t [Token<'a>] {
        self.tokens
    }

    pub(super) fn get(&self, at: usize) -> Option<&'t Token<'a>> {
        self.tokens.get(at)
    }

    /// Whether the token at `at` is this keyword.
    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.get(at).is_some_and(|token| token.is(word))
    }

    pub(super) fn is_kind(&self, at: usize, kind: Kind) -> bool {
        self.get(at).is_some_and(|token| token.kind == kind)
    }

    /// The first line.
    pub(super) fn line(&self) -> u32 {
        self.tokens.first().map_or(1, |token| token.line)
    }

    /// The parenthesis or bracket that the token stands in.
    pub(super) fn enclosing(&self, at: usize) -> Option<usize> {
        self.enclosing.get(at).copied().flatten()
    }

    /// Whether the token stands in a subscript or an array.
    pub(super) fn is_in_brackets(&self, at: usize) -> bool {
        self.enclosing(at).is_some_and(|open| self.is_kind(open, Kind::OpenBracket))
    }

    /// Where what opens at `open` is closed.
    pub(super) fn closing(&self, open: usize) -> Option<usize> {
        self.closing.get(open).copied().flatten()
    }

    /// The function whose arguments the parenthesis at `open` encloses.
    pub(super) fn function(&self, open: usize) -> Option<&'a str> {
        let name = self.get(open.checked_sub(1)?)?;
        let is_name = name.kind == Kind::Quoted || (name.kind == Kind::Word && !name.is_one_of(&NO_FUNCTIONS));
        let column_list = open >= 2 && self.tokens[open - 2].is_one_of(&["into", "table", "view", "references"]);
        (self.is_kind(open, Kind::Open) && is_name && !column_list).then_some(name.text)
    }

    /// Whether the parenthesis at `open` only says what belongs together.
    pub(super) fn is_grouping(&self, open: usize) -> bool {
        let before = open.checked_sub(1).and_then(|before| self.get(before));
        let list = ["in", "values", "any", "all", "some", "using", "over", "filter", "exists", "array"];
        self.is_kind(open, Kind::Open) && before.is_none_or(|token| !token.is_one_of(&list))
    }

    /// Whether the number at `at` stands between commas, with a sign before it or none.
    fn is_argument(&self, at: usize) -> bool {
        let signed = at > 0 && self.tokens[at - 1].is_operator("-");
        let begins = at.checked_sub(1 + usize::from(signed)).and_then(|before| self.get(before));
        let is_edge = |token: &Token<'_>| matches!(token.kind, Kind::Open | Kind::Close | Kind::Comma);
        begins.is_some_and(is_edge) && self.get(at + 1).is_some_and(is_edge)
    }

    /// Whether an argument in the parenthesis at `open` is a number that is written out.
    pub(super) fn has_number(&self, open: usize) -> bool {
        self.has_number.get(open).copied().unwrap_or_default()
    }

    /// First and last token of each argument between the parenthesis at `open` and its end.
    pub(super) fn arguments(&self, open: usize) -> Vec<(usize, usize)> {
        let Some(close) = self.closing(open) else { return Vec::new() };
        let mut arguments = Vec::new();
        let mut from = open + 1;
        for at in open + 1..=close {
            let ends = at == close || (self.is_kind(at, Kind::Comma) && self.enclosing(at) == Some(open));
            if ends {
                if at > from {
                    arguments.push((from, at - 1));
                }
                from = at + 1;
            }
        }
        arguments
    }

    /// The text without comments; line breaks stay where they are.
    pub(super) fn plain(&self, text: &str) -> String {
        let pieces = self.pieces(text, |_, _| None);
        pieces.into_iter().map(|piece| if let Piece::Sql(sql) = piece { sql } else { String::new() }).collect()
    }

    /// The statement, cut at its named values.
    pub(super) fn statement(&self, text: &str, findings: &mut Findings) -> Statement {
        let pieces = self.pieces(text, |at, token| match values::source(token.text) {
            Ok(source) => Some(self.value(source, at, token)),
            Err(problem) => {
                findings.error(token.line, format!("column {}: {problem}", token.column));
                None
            }
        });
        Statement { pieces, line: self.line() }
    }

    fn value(&self, source: Source, at: usize, token: &Token<'_>) -> NamedValue {
        NamedValue { source, line: token.line, column: token.column, beside: values::beside(self, at) }
    }

    fn pieces(&self, text: &str, mut value: impl FnMut(usize, &Token<'_>) -> Option<NamedValue>) -> Vec<Piece> {
        let (mut pieces, mut sql) = (Vec::new(), String::new());
        let mut before = self.tokens.first();
        for (at, token) in self.tokens.iter().enumerate() {
            if let Some(before) = before {
                push_between(&mut sql, &text[before.end().min(token.start)..token.start]);
                // What an engine writes for a value must not grow together with its neighbour.
                let is_named = |token: &Token<'_>| {
                    matches!(token.kind, Kind::Value | Kind::Word | Kind::Quoted | Kind::Number | Kind::Text)
                };
                let has_value = before.kind == Kind::Value || token.kind == Kind::Value;
                if has_value && before.end() == token.start && is_named(before) && is_named(token) {
                    sql.push(' ');
                }
            }
            before = Some(token);
            let value = if token.kind == Kind::Value { value(at, token) } else { None };
            match value {
                Some(value) => {
                    if !sql.is_empty() {
                        pieces.push(Piece::Sql(std::mem::take(&mut sql)));
                    }
                    pieces.push(Piece::Value(value));
                }
                None => sql.push_str(token.text),
            }
        }
        if !sql.is_empty() {
            pieces.push(Piece::Sql(sql));
        }
        pieces
    }
}

/// What stands between two tokens: white space stays, of comments only the line breaks and a space do.
fn push_between(sql: &mut String, between: &str) {
    if between.trim_matches([' ', '\t', '\r', '\n', '\u{c}']).is_empty() {
        sql.push_str(between);
    } else {
        sql.push(' ');
        sql.extend(between.chars().filter(|c| *c == '\n'));
    }
}
