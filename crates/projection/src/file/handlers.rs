//! The statements of handlers: which there are, and what they may name.

use super::definitions::Owned;
use super::findings::Findings;
use super::lex::Kind;
use super::sentence::Sentence;
use super::statement::{Piece, Statement};
use super::tables::{self, Place};
use super::{On, fold, values};

/// What a handler may do.
const VERBS: [&str; 4] = ["insert", "update", "delete", "replace"];

/// Statements that a handler may not have, and why.
const REFUSED: [(&[&str], &str); 11] = [
    (
        &["select", "values", "table", "explain"],
        "a query changes nothing, and nobody reads its answer here; write the rows into a table: INSERT INTO … SELECT …",
    ),
    (
        &["create", "drop", "alter", "reindex", "comment"],
        "what a projection owns is made at the top of the file, before the first handler; to change it, change it there and raise `version`",
    ),
    (
        &["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"],
        "rows and checkpoint commit together, which the runner sees to; take it out",
    ),
    (
        &["set", "reset", "pragma", "show", "discard", "analyze", "vacuum", "cluster", "checkpoint", "load"],
        "the database's settings and its upkeep are no part of a projection; take it out",
    ),
    (
        &["attach", "detach", "copy", "import"],
        "a projection sees its events and its own tables, and no other file; take it out",
    ),
    (&["truncate"], "it locks the table against readers; write DELETE FROM …"),
    (
        &["call", "do", "execute", "declare", "fetch", "move", "close"],
        "a projection is plain statements; write what the procedure does as INSERT, UPDATE or DELETE",
    ),
    (&["grant", "revoke", "reassign", "security"], "who may read a read model is told outside of it; take it out"),
    (&["notify", "listen", "unlisten"], "nobody listens to a projection; a subscription tells what happens in the log"),
    (&["lock"], "the runner is the only writer of these tables; take it out"),
    (&["merge"], "SQLite does not know it; write INSERT … ON CONFLICT … DO UPDATE"),
];

/// Checks a statement of a handler and cuts it at its named values.
pub(super) fn read(
    sentence: &Sentence<'_, '_>,
    text: &str,
    on: &On,
    owned: &Owned<'_>,
    findings: &mut Findings,
) -> Statement {
    check_verb(sentence, findings);
    let answers = |at: &usize| sentence.is(*at, "returning") && sentence.enclosing(*at).is_none();
    if let Some(at) = (1..sentence.tokens().len()).find(answers) {
        findings.error(sentence.tokens()[at].line, "RETURNING gives rows to nobody here; take it out");
    }
    let place = if *on == On::Batch { Place::Batch } else { Place::Event };
    tables::check(sentence, 0, place, owned, findings);
    fold::check(sentence, findings);
    values::check_parameters(sentence, findings);
    if place == Place::Event {
        return sentence.statement(text, findings);
    }
    for token in sentence.tokens().iter().filter(|token| token.kind == Kind::Value) {
        let problem = format!(
            "column {}: `{}` is of one event; here the events are the rows of `batch`: write its column, as `stream` or `data ->> 'amount'`",
            token.column, token.text
        );
        findings.error(token.line, problem);
    }
    Statement { pieces: vec![Piece::Sql(sentence.plain(text))], line: sentence.line() }
}

fn check_verb(sentence: &Sentence<'_, '_>, findings: &mut Findings) {
    let at = if sentence.is(0, "with") { main_verb(sentence) } else { Some(0) };
    let Some(token) = at.and_then(|at| sentence.get(at)) else {
        return findings.error(sentence.line(), "WITH needs its statement: INSERT, UPDATE or DELETE");
    };
    if token.is_one_of(&VERBS) {
        return;
    }
    let word = token.text.to_uppercase();
    let reason = REFUSED.iter().find(|(words, _)| token.is_one_of(words)).map(|(_, reason)| *reason);
    let reason = reason.unwrap_or("a handler has INSERT, UPDATE, DELETE and REPLACE, with or without WITH before them");
    findings.error(token.line, format!("{word} is not for a handler: {reason}"));
}

/// The verb behind the queries of WITH.
fn main_verb(sentence: &Sentence<'_, '_>) -> Option<usize> {
    let top = |at: &usize| sentence.enclosing(*at).is_none();
    (1..sentence.tokens().len()).filter(top).find(|at| {
        let behind_query = sentence.is_kind(at - 1, Kind::Close);
        behind_query && sentence.is_kind(*at, Kind::Word) && !sentence.is(*at, "as")
    })
}
