//! Single values: whether two are equal, and what one is as another type.

use std::fmt::Write as _;

use serde_json::Value;

use super::CastTo;
use super::scan;
use super::tree::{self, Node};

/// The most characters a number may have that is cast.
const NUMBER_CHARACTERS_MAX: usize = 512;
/// The most digits of the exponent of a number that is cast from a text.
const EXPONENT_DIGITS_MAX: usize = 3;

/// A table from value to value, compared as `jsonb` compares.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// By the one spelling that all equal values share.
    rows: Vec<(Vec<u8>, Box<[u8]>)>,
    has_containers: bool,
}

impl Table {
    pub(super) fn new(values: &[(Value, Value)]) -> Table {
        let row = |(from, to): &(Value, Value)| (spelling_of(from), written(to));
        let mut rows: Vec<_> = values.iter().map(row).collect();
        rows.sort();
        let has_containers = values.iter().any(|(from, _)| from.is_object() || from.is_array());
        Table { rows, has_containers }
    }

    /// A value that stands for what is equal to another one.
    pub(super) fn twice(values: &[(Value, Value)]) -> Option<&Value> {
        let mut known = std::collections::HashSet::new();
        values.iter().map(|(from, _)| from).find(|from| !known.insert(spelling_of(from)))
    }

    /// What stands for a value.
    pub(super) fn get(&self, node: &Node<'_>) -> Option<&[u8]> {
        let mut spelling = Vec::with_capacity(64);
        match node.scalar() {
            Some(scalar) => spell(scalar, &mut spelling)?,
            None if !self.has_containers => return None,
            None => {
                let mut json = Vec::with_capacity(node.size());
                node.write(&mut json);
                spell(&json, &mut spelling)?;
            }
        }
        let at = self.rows.binary_search_by(|(from, _)| from.as_slice().cmp(&spelling)).ok()?;
        Some(&self.rows[at].1)
    }
}

/// A value as a step writes it.
pub(super) fn written(value: &Value) -> Box<[u8]> {
    value.to_string().into_bytes().into()
}

fn spelling_of(value: &Value) -> Vec<u8> {
    let mut spelling = Vec::new();
    spell(value.to_string().as_bytes(), &mut spelling).unwrap_or_default();
    spelling
}

/// Adds the one spelling that all JSON of the same value shares. `None` where it is not well-formed.
fn spell(json: &[u8], spelling: &mut Vec<u8>) -> Option<()> {
    match json.first()? {
        b'{' => {
            let mut members = tree::named(json)?;
            members.sort();
            spelling.push(b'{');
            for (name, value) in members {
                // A length in front, so that no name can end another way than it does.
                spelling.extend_from_slice(&(name.len() as u64).to_be_bytes());
                spelling.extend_from_slice(&name);
                spell(value, spelling)?;
            }
            spelling.push(b'}');
        }
        b'[' => {
            spelling.push(b'[');
            for item in tree::listed(json)? {
                spell(item, spelling)?;
            }
            spelling.push(b']');
        }
        b'"' => {
            let text = scan::decoded(json)?;
            spelling.push(b'"');
            spelling.extend_from_slice(&(text.len() as u64).to_be_bytes());
            spelling.extend_from_slice(text.as_bytes());
        }
        b'-' | b'0'..=b'9' => Number::parse(json)?.spell(spelling),
        _ => spelling.extend_from_slice(json),
    }
    Some(())
}

/// The first number in a document that would be written as another one than was read.
pub(super) fn inexact_number(json: &[u8]) -> Option<&str> {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = scan::string_end(json, at)?.0,
            b'-' | b'0'..=b'9' => {
                let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let len = json[at..].iter().position(|byte| !is_of_number(byte)).unwrap_or(json.len() - at);
                let number = &json[at..at + len];
                let kept = serde_json::from_slice::<Value>(number).ok().map(|kept| spelling_of(&kept));
                let mut spelling = Vec::new();
                spell(number, &mut spelling);
                if kept.as_ref() != Some(&spelling) {
                    return std::str::from_utf8(number).ok();
                }
                at += len;
            }
            _ => at += 1,
        }
    }
    None
}

/// A JSON number taken apart.
struct Number<'a> {
    is_negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Number<'a> {
    fn parse(token: &'a [u8]) -> Option<Number<'a>> {
        let (is_negative, token) = match token.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = match token.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            // More digits than an i64 holds are refused at the door.
            Some(at) => (&token[..at], std::str::from_utf8(&token[at + 1..]).ok()?.parse().ok()?),
            None => (token, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        let are_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit) && !whole.is_empty();
        are_digits.then_some(Number { is_negative, whole, fraction, exponent })
    }

    /// The digits without zeros in front and behind, and the power of ten of the last one; without digits it is 0.
    fn significant(&self) -> (impl Iterator<Item = u8>, usize, i64) {
        let len = self.whole.len() + self.fraction.len();
        let digits = || self.whole.iter().chain(self.fraction).copied();
        let leading = digits().take_while(|digit| *digit == b'0').count();
        let trailing = digits().rev().take_while(|digit| *digit == b'0').count().min(len - leading);
        let power = self.exponent.saturating_sub(self.fraction.len() as i64).saturating_add(trailing as i64);
        let kept = len - leading - trailing;
        (digits().skip(leading).take(kept), kept, power)
    }

    fn spell(&self, spelling: &mut Vec<u8>) {
        let (digits, len, power) = self.significant();
        spelling.push(b'n');
        if len == 0 {
            return;
        }
        if self.is_negative {
            spelling.push(b'-');
        }
        spelling.extend(digits);
        spelling.push(b'e');
        spelling.extend_from_slice(&power.to_be_bytes());
    }

    /// Its digits without an exponent, with as many places behind the point as `numeric` keeps.
    fn plain(&self) -> Option<String> {
        let (_, len, _) = self.significant();
        let places = (self.fraction.len() as i64).saturating_sub(self.exponent).max(0);
        let before = (self.whole.len() as i64).saturating_add(self.exponent).max(1);
        if before.saturating_add(places) > 2 * NUMBER_CHARACTERS_MAX as i64 {
            return None;
        }
        let (before, places) = (before as usize, places as usize);
        // The digits with zeros in front, so that at least one stands before the point, and behind, up to the places.
        let point = self.whole.len() as i64 + self.exponent;
        let zeros = usize::try_from(1 - point).unwrap_or(0);
        let digits = self.whole.iter().chain(self.fraction).copied();
        let all = std::iter::repeat_n(b'0', zeros).chain(digits).chain(std::iter::repeat(b'0'));
        let all: Vec<u8> = all.take(before + places).collect();
        let (whole, fraction) = std::str::from_utf8(&all).ok()?.split_at(before);
        let whole = whole.trim_start_matches('0');
        let sign = if self.is_negative && len > 0 { "-" } else { "" };
        let mut plain = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
        if places > 0 {
            let _ = write!(plain, ".{fraction}");
        }
        (plain.len() <= NUMBER_CHARACTERS_MAX).then_some(plain)
    }

    /// Its whole digits, where its fraction is zero.
    fn integer(&self) -> Option<String> {
        let (_, len, power) = self.significant();
        if len > 0 && power < 0 {
            return None;
        }
        let plain = self.plain()?;
        let whole = plain.split('.').next().unwrap_or_default();
        Some(if len == 0 { "0".to_owned() } else { whole.to_owned() })
    }
}

/// A scalar cast to another type; `None` where it stays.
pub(super) fn cast(json: &[u8], to: CastTo) -> Option<Box<[u8]>> {
    let made = match (json.first()?, to) {
        (b't' | b'f', CastTo::String) => scan::text(std::str::from_utf8(json).ok()?),
        (b'-' | b'0'..=b'9', CastTo::String) => scan::text(&Number::parse(json)?.plain()?),
        (b'-' | b'0'..=b'9', CastTo::Integer) => Number::parse(json)?.integer()?.into_bytes().into(),
        (b'-' | b'0'..=b'9', CastTo::Boolean) => {
            let mut spelling = Vec::with_capacity(16);
            Number::parse(json)?.spell(&mut spelling);
            match spelling.as_slice() {
                b"n" => (*b"false").into(),
                b"n1e\0\0\0\0\0\0\0\0" => (*b"true").into(),
                _ => return None,
            }
        }
        (b'"', CastTo::Integer) => integer_of(&scan::decoded(json)?)?.into_bytes().into(),
        (b'"', CastTo::Number) => {
            let text = scan::decoded(json)?;
            is_number(text.as_bytes()).then(|| text.as_bytes().into())?
        }
        (b'"', CastTo::Boolean) => {
            let text = scan::decoded(json)?;
            matches!(&*text, "true" | "false").then(|| text.as_bytes().into())?
        }
        _ => return None,
    };
    (*made != *json).then_some(made)
}

fn integer_of(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    if digits.is_empty() || digits.len() > NUMBER_CHARACTERS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    Some(if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") })
}

fn is_number(text: &[u8]) -> bool {
    if text.len() > NUMBER_CHARACTERS_MAX {
        return false;
    }
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || whole > 1 && text[0] == b'0' {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        return (1..=EXPONENT_DIGITS_MAX).contains(&exponent.len()) && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}
