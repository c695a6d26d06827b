//! Whatever is written, the reader neither falls over nor changes what it hands on.

use proptest::prelude::*;

use crate::file::findings::Findings;
use crate::file::lex::{Kind, Token, lex};
use crate::file::sentence::Sentence;
use crate::file::{Projection, values};

use super::accepted::{BALANCES, FUNNEL, GAUGE, STATUS};

/// Pieces of SQL, and of what comes close to it.
const FRAGMENTS: [&str; 64] = [
    "a",
    "n1",
    "SELECT",
    "FROM",
    "CAST",
    "coalesce",
    "AS",
    "array",
    "e",
    "x",
    "größe",
    "_x$1",
    "1",
    "1.5e-7",
    ".5",
    "0x1F",
    "'a'",
    "'it''s'",
    "E'\\''",
    "x'00'",
    "$$ a; $$",
    "$t$ ' $t$",
    "\"a\"\"b\"",
    "`a`",
    "[a b]",
    "[1]",
    "[",
    "]",
    "(",
    ")",
    ",",
    ".",
    ":",
    "::",
    ":=",
    "->>",
    "->",
    "||",
    "@>",
    "?",
    "?|",
    "<",
    ">=",
    "-",
    "+",
    "*",
    "/",
    "%",
    "=",
    ":stream",
    ":data",
    ":data.a",
    ":data.a[0].b",
    ":data.\"x y\"",
    ":occurred_at",
    ":nothing",
    ":data.",
    "'\n'",
    "-- on: A\n",
    "-- :type '\n",
    "/* ' */",
    "/* /* */\n */",
    "\n",
    "\r\n",
];

fn sql() -> impl Strategy<Value = String> {
    let separator = prop_oneof![3 => Just(""), 5 => Just(" "), 1 => Just("\n")];
    let fragment = (prop::sample::select(&FRAGMENTS[..]), separator);
    prop::collection::vec(fragment, 1..40)
        .prop_map(|all| all.into_iter().map(|(fragment, separator)| format!("{fragment}{separator}")).collect())
}

fn significant<'a>(text: &'a str, findings: &mut Findings) -> Vec<Token<'a>> {
    lex(text, findings).into_iter().filter(|token| !token.is_comment()).collect()
}

/// What must be the same of a token before and after: a value by what it means.
fn meaning(token: &Token<'_>) -> (Kind, String) {
    let value = (token.kind == Kind::Value).then(|| values::source(token.text).ok()).flatten();
    (token.kind, value.map_or(token.text.to_owned(), |source| source.to_string()))
}

/// A valid file with a few places of it changed.
fn mutated() -> impl Strategy<Value = String> {
    let file = prop::sample::select(vec![STATUS, FUNNEL, GAUGE, BALANCES]);
    let change = (any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(&FRAGMENTS[..]), any::<bool>());
    (file, prop::collection::vec(change, 1..6)).prop_map(|(file, changes)| {
        let mut text = file.to_owned();
        for (place, length, fragment, insert) in changes {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let from = place.index(places.len());
            let to = (from + length).min(places.len() - 1);
            text.replace_range(places[from]..places[to], if insert { fragment } else { "" });
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_statement_written_with_its_own_names_has_the_same_tokens_on_the_same_lines(text in sql()) {
        let mut findings = Findings::of("a.sql");
        let tokens = significant(&text, &mut findings);
        prop_assume!(!tokens.is_empty());
        let sentence = Sentence::new(&tokens, &mut findings);
        let statement = sentence.statement(&text, &mut findings);
        let written = statement.render(|value, _| value.source.to_string());
        let again = significant(&written, &mut findings);
        prop_assert_eq!(
            tokens.iter().map(meaning).collect::<Vec<_>>(),
            again.iter().map(meaning).collect::<Vec<_>>(),
            "{}", written
        );
        for (token, again) in tokens.iter().zip(&again) {
            prop_assert_eq!(token.line, again.line + statement.line - 1, "{}", written);
        }
        let places: Vec<_> = statement.values().map(|value| (value.line, value.column)).collect();
        let known = |token: &&Token<'_>| token.kind == Kind::Value && values::source(token.text).is_ok();
        prop_assert_eq!(places, tokens.iter().filter(known).map(|token| (token.line, token.column)).collect::<Vec<_>>());
    }

    #[test]
    fn any_text_is_taken_apart_or_refused(text in any::<String>()) {
        let _ = Projection::parse("a.sql", &text);
    }

    #[test]
    fn any_pieces_of_sql_are_taken_apart_or_refused(statement in sql(), makes in sql()) {
        let top = "-- projection: p\n-- version: 1\nCREATE TABLE t (a TEXT);\n";
        let file = format!("{top}CREATE {makes};\n-- on: A\n{statement};\n-- on batch:\nINSERT INTO t {statement}");
        let _ = Projection::parse("a.sql", &file);
    }

    #[test]
    fn a_changed_file_is_taken_apart_or_refused_with_lines_that_exist(text in mutated()) {
        let lines = text.matches('\n').count() as u32 + 1;
        match Projection::parse("a.sql", &text) {
            Ok(projection) => {
                prop_assert_eq!(&projection.text, &text);
                prop_assert_eq!(Projection::parse("a.sql", &projection.text), Ok(projection));
            }
            Err(findings) => prop_assert!(!findings.is_empty() && findings.iter().all(|one| (1..=lines).contains(&one.line))),
        }
    }
}
