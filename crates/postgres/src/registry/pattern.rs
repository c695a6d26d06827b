//! Regular expressions of schemas as those of PostgreSQL, where both mean the same.
//!
//! What the validator runs is read, not what stands in the schema: each class comes as its ranges, so that no locale and no
//! table of characters of either side has a say.

use std::fmt::Write;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// How often PostgreSQL lets a part repeat.
const REPEAT_MAX: u32 = 255;
/// How many ranges a class may have.
const RANGES_MAX: usize = 64;
/// About how many states an expression may have: PostgreSQL makes each a part of an automaton before it looks at anything.
const WEIGHT_MAX: u64 = 2_000;

/// The expression for PostgreSQL's operator `~`; `None` where there is none that surely means the same.
pub(super) fn translate(pattern: &str) -> Option<String> {
    let translated = jsonschema_regex::to_rust_regex(pattern).ok()?;
    let hir = regex_syntax::parse(&translated).ok()?;
    let mut text = String::new();
    (weight(&hir)? <= WEIGHT_MAX).then_some(())?;
    write(&hir, &mut text)?;
    // The beginnings of an expression that PostgreSQL reads as something else.
    Some(if text.starts_with("(?:") || text.starts_with('*') { format!("(?:{text})") } else { text })
}

fn weight(hir: &Hir) -> Option<u64> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(0),
        HirKind::Literal(literal) => Some(literal.0.len() as u64),
        HirKind::Class(_) => Some(1),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min + 1);
            weight(&repetition.sub)?.checked_mul(u64::from(times.max(1)))
        }
        HirKind::Capture(capture) => weight(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(weight(part)?))
        }
    }
}

fn write(hir: &Hir, text: &mut String) -> Option<()> {
    match hir.kind() {
        HirKind::Empty => text.push_str("(?:)"),
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).ok()?.chars().try_for_each(|character| write_character(character, text))?;
        }
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges();
            if ranges.is_empty() || ranges.len() > RANGES_MAX {
                return None;
            }
            text.push('[');
            for range in ranges {
                // No text has the first character of all.
                let start = range.start().max('\u{1}');
                if start <= range.end() {
                    write_escaped(start, text)?;
                    text.push('-');
                    write_escaped(range.end(), text)?;
                }
            }
            text.push(']');
            (!text.ends_with("[]")).then_some(())?;
        }
        HirKind::Class(Class::Bytes(_)) => return None,
        HirKind::Look(Look::Start) => text.push('^'),
        HirKind::Look(Look::End) => text.push('$'),
        HirKind::Look(_) => return None,
        HirKind::Repetition(repetition) => {
            let (least, most) = (repetition.min, repetition.max);
            // What repeats a place that has no width is read in another way by each.
            if least.max(most.unwrap_or(0)) > REPEAT_MAX || !repetition.sub.properties().look_set().is_empty() {
                return None;
            }
            text.push_str("(?:");
            write(&repetition.sub, text)?;
            text.push(')');
            match (least, most) {
                (0, None) => text.push('*'),
                (1, None) => text.push('+'),
                (0, Some(1)) => text.push('?'),
                (least, None) => write!(text, "{{{least},}}").ok()?,
                (least, Some(most)) => write!(text, "{{{least},{most}}}").ok()?,
            }
        }
        HirKind::Capture(capture) => {
            text.push_str("(?:");
            write(&capture.sub, text)?;
            text.push(')');
        }
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| {
            let is_choice = matches!(part.kind(), HirKind::Alternation(_));
            text.push_str(if is_choice { "(?:" } else { "" });
            write(part, text)?;
            text.push_str(if is_choice { ")" } else { "" });
            Some(())
        })?,
        HirKind::Alternation(parts) => {
            for (number, part) in parts.iter().enumerate() {
                text.push_str(if number == 0 { "" } else { "|" });
                write(part, text)?;
            }
        }
    }
    Some(())
}

fn write_character(character: char, text: &mut String) -> Option<()> {
    match character {
        '\0' => return None,
        character if character.is_ascii_alphanumeric() => text.push(character),
        character => write_escaped(character, text)?,
    }
    Some(())
}

fn write_escaped(character: char, text: &mut String) -> Option<()> {
    match u32::from(character) {
        0 => None,
        number @ ..=0xffff => write!(text, "\\u{number:04x}").ok(),
        number => write!(text, "\\U{number:08x}").ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_translated() {
        for (pattern, expected) in [
            ("^ab$", "^ab$"),
            ("a.c", "a[\\u0001-\\u0009\\u000b-\\u000c\\u000e-\\u2027\\u202a-\\U0010ffff]c"),
            ("^[a-z]{3,}$", "^(?:[\\u0061-\\u007a]){3,}$"),
            ("a|b", "[\\u0061-\\u0062]"),
            ("^(ab|cd)+$", "^(?:(?:ab|cd))+$"),
            ("-", "\\u002d"),
        ] {
            assert_eq!(translate(pattern).as_deref(), Some(expected), "{pattern}");
        }
    }

    #[test]
    fn what_may_mean_something_else_is_not() {
        for pattern in ["\\bword\\b", "a{300}", "(?=a)b", "(a)\\1", "\\p{L}+", "((a{50}){50}){50}", "(^a)*"] {
            assert_eq!(translate(pattern), None, "{pattern}");
        }
    }
}
