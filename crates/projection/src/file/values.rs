//! Named values: what `:data.items[0].sku` means, and what stands beside it.

use super::findings::{Findings, nearest};
use super::lex::{Kind, Token, begins_name};
use super::sentence::Sentence;
use super::statement::{Beside, Source, Step};

/// What a named value is, from how it is written.
///
/// # Errors
/// What is wrong with it and what to write.
pub(super) fn source(written: &str) -> Result<Source, String> {
    let name_ends = written[1..].find(['.', '[']).map_or(written.len(), |end| end + 1);
    let (name, path) = (&written[1..name_ends], &written[name_ends..]);
    let Some((_, source)) = Source::NAMED.iter().find(|(known, _)| *known == name) else {
        let names = || Source::NAMED.iter().map(|(known, _)| *known);
        let meant = nearest(name, names()).map_or(".".to_owned(), |meant| format!("; did you mean `:{meant}`?"));
        let listed = names().map(|known| format!(":{known}")).collect::<Vec<_>>().join(", ");
        return Err(format!("there is no value `:{name}`{meant} There are {listed}, and paths such as `:data.amount`"));
    };
    match source {
        named if path.is_empty() => Ok(named.clone()),
        Source::Data => steps(written, path).map(Source::Path),
        Source::Metadata => Err(format!(
            "`{written}`: paths lead into `:data` only; write `:metadata ->> 'correlation_id'`, \
             or `:metadata -> 'headers' ->> 'name'` for a header"
        )),
        _ => Err(format!("`:{name}` is one value and has no parts: write `:{name}` and a space behind it")),
    }
}

fn steps(written: &str, path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = step(rest).ok_or_else(|| {
            format!(
                "`{written}` is no path: a step is `.name`, `.\"odd name\"` or `[0]`, directly behind the one before; \
                 elements are counted from 0"
            )
        })?;
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(quoted) = rest.strip_prefix(".\"") {
        let (mut name, mut rest) = (String::new(), quoted);
        loop {
            let (part, after) = rest.split_once('"')?;
            name.push_str(part);
            let Some(more) = after.strip_prefix('"') else { return Some((Step::Member(name), after)) };
            name.push('"');
            rest = more;
        }
    }
    if let Some(inside) = rest.strip_prefix('[') {
        let (index, after) = inside.split_once(']')?;
        let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        return Some((Step::Element(index.parse().ok().filter(|_| digits)?), after));
    }
    let name = rest.strip_prefix('.')?;
    let (name, after) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
    name.starts_with(begins_name).then(|| (Step::Member(name.to_owned()), after))
}

/// These take their type from their arguments, so that what stands beside them counts.
const CHOICES: [&str; 4] = ["coalesce", "nullif", "greatest", "least"];
/// So many parentheses are looked through.
const DEPTH_MAX: usize = 32;
const ARITHMETIC: [&str; 5] = ["+", "-", "*", "/", "%"];
const COMPARISONS: [&str; 8] = ["=", "==", "<>", "!=", "<", ">", "<=", ">="];

/// What stands beside the named value at token `at`.
pub(super) fn beside(sentence: &Sentence<'_, '_>, at: usize) -> Beside {
    let mut beside = Beside::default();
    let (mut first, mut last) = (at, at);
    for _ in 0..DEPTH_MAX {
        let before = first.checked_sub(1).and_then(|before| sentence.get(before));
        let behind = sentence.get(last + 1);
        let is_operator = |side: Option<&Token<'_>>, operators: &[&str]| {
            side.is_some_and(|token| token.kind == Kind::Operator && operators.contains(&token.text))
        };
        beside.cast |= is_operator(behind, &["::"]);
        beside.arithmetic |= is_operator(before, &ARITHMETIC) || is_operator(behind, &ARITHMETIC);
        beside.number |= is_operator(before, &COMPARISONS) && number_ends(sentence, first.wrapping_sub(2));
        beside.number |= is_operator(behind, &COMPARISONS) && number_begins(sentence, last + 2);

        let Some(open) = sentence.enclosing(first) else { return beside };
        let Some(close) = sentence.closing(open) else { return beside };
        let function = sentence.function(open);
        let alone = first == open + 1 && last + 1 == close;
        if function.is_none() && alone && sentence.is_grouping(open) {
            (first, last) = (open, close);
            continue;
        }
        let Some(function) = function else { return beside };
        let begins = |side: Option<&Token<'_>>| side.is_some_and(|token| token.kind != Kind::Operator);
        let whole = begins(before) && begins(behind);
        if function.eq_ignore_ascii_case("cast") {
            beside.cast |= whole && behind.is_some_and(|token| token.is("as"));
            return beside;
        }
        if !CHOICES.iter().any(|choice| function.eq_ignore_ascii_case(choice)) {
            beside.argument |= whole;
            return beside;
        }
        if beside.cast || !whole {
            return beside;
        }
        beside.number |= sentence.has_number(open);
        (first, last) = (open - 1, close);
    }
    beside
}

fn number_begins(sentence: &Sentence<'_, '_>, at: usize) -> bool {
    let signed = sentence.get(at).is_some_and(|token| token.is_operator("-"));
    sentence.get(at + usize::from(signed)).is_some_and(|token| token.kind == Kind::Number)
}

fn number_ends(sentence: &Sentence<'_, '_>, at: usize) -> bool {
    sentence.get(at).is_some_and(|token| token.kind == Kind::Number)
}

/// Tells parameters that are no named values: SQLite would take each for NULL and say nothing.
pub(super) fn check_parameters(sentence: &Sentence<'_, '_>, findings: &mut Findings) {
    for (at, token) in sentence.tokens().iter().enumerate().filter(|(_, token)| token.kind == Kind::Operator) {
        let behind = sentence.get(at + 1);
        let glued = |kind| behind.is_some_and(|next| next.kind == kind && next.start == token.end());
        let before = at.checked_sub(1).and_then(|before| sentence.get(before)).map(|token| token.kind);
        let parts = |kind: Option<Kind>| {
            kind.is_none_or(|kind| matches!(kind, Kind::Open | Kind::Close | Kind::Comma | Kind::Operator))
        };
        let stands_alone = matches!(before, None | Some(Kind::Open | Kind::Comma | Kind::Operator))
            || parts(behind.map(|next| next.kind).filter(|kind| *kind != Kind::Open));
        let (is_parameter, hint) = match token.text {
            // On PostgreSQL also an operator between two values.
            "?" => (glued(Kind::Number) || stands_alone, ""),
            "@" => (glued(Kind::Word), "; PostgreSQL's `@` is written abs(…)"),
            ":" => (glued(Kind::Number) && !sentence.is_in_brackets(at), ""),
            _ => (false, ""),
        };
        if is_parameter {
            let number =
                behind.filter(|next| next.start == token.end() && matches!(next.kind, Kind::Number | Kind::Word));
            let written = format!("{}{}", token.text, number.map_or("", |number| number.text));
            let problem = format!("`{written}` is no named value; write `:stream`, `:data.amount` …{hint}");
            findings.error(token.line, problem);
        }
    }
}
