//! A fold gives the same rows from the same events, today and in a rebuild. What asks the clock or a die does not.

use super::findings::Findings;
use super::lex::Kind;
use super::sentence::Sentence;

/// Words that are the time by themselves.
const CLOCK_WORDS: [&str; 5] = ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];
/// Functions that are the time.
const CLOCKS: [&str; 5] = ["now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday"];
/// SQLite's functions of time, to which `'now'` is the time.
const TIME_FUNCTIONS: [&str; 7] = ["date", "time", "datetime", "julianday", "strftime", "timediff", "unixepoch"];
const DICE: [&str; 7] = ["random", "random_normal", "randomblob", "setseed", "gen_random_uuid", "uuidv4", "uuidv7"];
const COUNTERS: [&str; 6] = ["nextval", "setval", "currval", "lastval", "last_insert_rowid", "total_changes"];

/// Tells what would give other rows in a rebuild.
pub(super) fn check(sentence: &Sentence<'_, '_>, findings: &mut Findings) {
    for (at, token) in sentence.tokens().iter().enumerate() {
        let is_member = at > 0 && sentence.is_kind(at - 1, Kind::Dot);
        let calls = sentence.is_kind(at + 1, Kind::Open);
        let is_clock = (token.is_one_of(&CLOCK_WORDS) && !is_member)
            || (calls && token.is_one_of(&CLOCKS))
            || (token.kind == Kind::Text && is_now(sentence, at, token.text));
        let problem = if is_clock {
            "is another time in a rebuild; write `:recorded_at` or `:occurred_at`, in a batch the column of that name"
        } else if calls && token.is_one_of(&DICE) {
            "gives other rows in a rebuild; take what is unique from the event: `:id`, or `:stream` and `:version`"
        } else if calls && token.is_one_of(&COUNTERS) {
            "counts on in a rebuild; take a number from the event: `:position` or `:version`"
        } else {
            continue;
        };
        findings.error(token.line, format!("{} {problem}", token.text));
    }
}

fn is_now(sentence: &Sentence<'_, '_>, at: usize, text: &str) -> bool {
    let of_time = sentence.enclosing(at).and_then(|open| sentence.function(open));
    let of_time = of_time.is_some_and(|function| TIME_FUNCTIONS.iter().any(|one| function.eq_ignore_ascii_case(one)));
    text.eq_ignore_ascii_case("'now'") && of_time
}
