//! What a query may be: one SELECT, VALUES or WITH of such (or EXPLAIN of one), over the relations people query, calling
//! functions of the list.
//!
//! Two looks at the same text. The parser's tree is walked, and every kind of node that is not known there is refused: see
//! [`super::tree`]. And the tokens are passed once more without a parser: where a name stands before `(`, it is a function of
//! the list, a word of the grammar, or one of the aliases that the tree has with columns behind them. What the parser might
//! read otherwise than PostgreSQL does not get through both.

use std::collections::HashMap;

use sqlparser::ast::{DescribeAlias, Query, Statement};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::plain::{Plain, Token, plain};
use super::tree;
use super::words::BEFORE_BRACKET;
use crate::models::functions;

/// How deep the parser goes into what is nested; a bracket takes it some steps.
const NESTING_MAX: usize = 200;
/// Where the list is told to people.
const LIST: &str = "the functions that may are in docs/reference/sql-queries.md";

/// A query that may run.
#[derive(Debug)]
pub(super) struct Checked {
    /// What to send: the query, plain.
    pub(super) text: String,
    /// The relations it names, each once, without their schema. One of a WITH may be among them.
    pub(super) relations: Vec<String>,
    /// Whether it is EXPLAIN.
    pub(super) is_explain: bool,
}

/// Checks a query. Relations stand without a schema, or with `schema` if there is one.
///
/// # Errors
/// What it may not, and what to do instead.
pub(super) fn check(sql: &str, schema: Option<&str>) -> Result<Checked, String> {
    let plain = plain(sql)?;
    check_words(&plain.tokens)?;
    let dialect = PostgreSqlDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(NESTING_MAX).try_with_sql(&plain.text);
    let mut parsed = parser
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| format!("the query cannot be read: {}", explain(&error.to_string())))?;
    let (Some(statement), true) = (parsed.pop(), parsed.is_empty()) else {
        return Err("a query is one statement".to_owned());
    };
    let (query, is_explain) = asked(statement)?;
    let walked = tree::walk(&query, schema)?;
    check_calls(&plain, walked.aliases)?;
    let mut relations = walked.relations;
    relations.sort_unstable();
    relations.dedup();
    Ok(Checked { text: plain.text, relations, is_explain })
}

/// Without the parser's prefix.
fn explain(error: &str) -> &str {
    error.strip_prefix("sql parser error: ").unwrap_or(error)
}

fn asked(statement: Statement) -> Result<(Box<Query>, bool), String> {
    match statement {
        Statement::Query(query) => Ok((query, false)),
        Statement::Explain {
            describe_alias: DescribeAlias::Explain,
            analyze: false,
            verbose: _,
            query_plan: false,
            estimate: false,
            statement,
            format: None,
            options: None,
        } => match *statement {
            Statement::Query(query) => Ok((query, true)),
            _ => Err("only a query can be explained".to_owned()),
        },
        Statement::Explain { .. } => {
            Err("EXPLAIN has no options here but VERBOSE: ANALYZE would run the query".to_owned())
        }
        _ => Err(READS_ONLY.to_owned()),
    }
}

pub(super) const READS_ONLY: &str = "a query only reads: write one SELECT, VALUES or WITH … SELECT";

/// What can be said without a parser: how it begins, and that INTO, which is reserved, stands nowhere.
fn check_words(tokens: &[Token]) -> Result<(), String> {
    let mut first = tokens.iter().filter(|token| **token != Token::Sign(b'('));
    let begins = |token: Option<&Token>| matches!(token, Some(Token::Word(word)) if matches!(word.as_str(), "select" | "values" | "with"));
    let is_explained = matches!(tokens.first(), Some(Token::Word(word)) if word == "explain");
    let begins_well = if is_explained {
        let is_verbose = matches!(tokens.get(1), Some(Token::Word(word)) if word == "verbose");
        begins(tokens.get(1 + usize::from(is_verbose)))
    } else {
        begins(first.next())
    };
    if !begins_well {
        let hint = if is_explained {
            "EXPLAIN has no options here but VERBOSE: ANALYZE would run the query"
        } else {
            READS_ONLY
        };
        return Err(hint.to_owned());
    }
    if tokens.iter().any(|token| matches!(token, Token::Word(word) if word == "into")) {
        return Err("SELECT INTO writes: leave INTO out, or write quotes around the name \"into\"".to_owned());
    }
    Ok(())
}

/// Every name before `(` is a function of the list, a word of the grammar, or one of the aliases with columns.
fn check_calls(plain: &Plain, mut aliases: HashMap<String, usize>) -> Result<(), String> {
    for (at, pair) in plain.tokens.windows(2).enumerate() {
        let (name, is_word) = match &pair[0] {
            Token::Word(name) => (name, true),
            Token::Name(name) => (name, false),
            _ => continue,
        };
        if pair[1] != Token::Sign(b'(') {
            continue;
        }
        let before = |back: usize| at.checked_sub(back).map(|index| &plain.tokens[index]);
        let is_qualified = before(1) == Some(&Token::Sign(b'.'));
        if is_qualified {
            let is_known = match (before(2), before(3)) {
                (_, Some(Token::Sign(b'.'))) => false,
                (Some(Token::Word(schema) | Token::Name(schema)), _) => schema == "pg_catalog",
                _ => false,
            };
            if !is_known || !functions::is_allowed(name) {
                return Err(uncallable(name));
            }
            continue;
        }
        if functions::is_allowed(name) || is_word && BEFORE_BRACKET.contains(&name.as_str()) {
            continue;
        }
        match aliases.get_mut(name) {
            Some(left) if *left > 0 => *left -= 1,
            _ => return Err(uncallable(name)),
        }
    }
    Ok(())
}

pub(super) fn uncallable(name: &str) -> String {
    format!("`{}` may not be called in a query; {LIST}", name.escape_debug())
}
