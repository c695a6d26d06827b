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
/// Times that are the present one, or begin with it.
const NOWS: [&str; 4] = ["'now'", "'today'", "'tomorrow'", "'yesterday'"];
const DICE: [&str; 7] = ["random", "random_normal", "randomblob", "setseed", "gen_random_uuid", "uuidv4", "uuidv7"];
const COUNTERS: [&str; 6] = ["nextval", "setval", "currval", "lastval", "last_insert_rowid", "total_changes"];

/// Tells what would give other rows in a rebuild.
pub(super) fn check(sentence: &Sentence<'_, '_>, findings: &mut Findings) {
    for (at, token) in sentence.tokens().iter().enumerate() {
        let is_member = at > 0 && sentence.is_kind(at - 1, Kind::Dot);
        let calls = sentence.is_kind(at + 1, Kind::Open);
        let is_clock = (token.is_one_of(&CLOCK_WORDS) && !is_member)
            || (calls && token.is_one_of(&CLOCKS))
            || is_now(sentence, at);
        let problem = if is_clock {
            "is another time in a rebuild; write `:recorded_at` or `:occurred_at`, in a batch the column of that name"
        } else if calls && token.is_one_of(&DICE) {
            "gives other rows in a rebuild; take what is unique from the event: `:id`, or `:stream` and `:version`"
        } else if calls && token.is_one_of(&COUNTERS) {
            "counts on in a rebuild; take a number from the event: `:position` or `:version`"
        } else {
            continue;
        };
        let what = if token.kind == Kind::Open { sentence.function(at).unwrap_or_default() } else { token.text };
        let brackets = if calls || token.kind == Kind::Open { "()" } else { "" };
        findings.error(token.line, format!("`{what}{brackets}` {problem}"));
    }
}

/// Whether a token at `at` is the time by what it says: `date('now')`, `datetime()`, `timestamp 'now'`.
fn is_now(sentence: &Sentence<'_, '_>, at: usize) -> bool {
    let Some(token) = sentence.get(at) else { return false };
    let is_time_function = |function: Option<&str>| {
        function.is_some_and(|name| TIME_FUNCTIONS.iter().any(|one| name.eq_ignore_ascii_case(one)))
    };
    if token.kind == Kind::Open && is_time_function(sentence.function(at)) {
        // Without a time, or strftime with its format alone, they take the present one.
        let given = sentence.arguments(at).len();
        return given == 0
            || (given == 1 && sentence.function(at).is_some_and(|name| name.eq_ignore_ascii_case("strftime")));
    }
    let says_now = NOWS.iter().any(|now| token.text.eq_ignore_ascii_case(now));
    let before = at.checked_sub(1).and_then(|before| sentence.get(before));
    let is_cast = sentence.get(at + 1).is_some_and(|next| next.is_operator("::") || next.is("as"))
        || before.is_some_and(|before| before.is_one_of(&["date", "time", "timestamp", "timestamptz"]));
    token.kind == Kind::Text
        && says_now
        && (is_cast || is_time_function(sentence.enclosing(at).and_then(|open| sentence.function(open))))
}
