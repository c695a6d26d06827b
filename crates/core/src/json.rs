//! Which JSON the log accepts, the same on every engine: what PostgreSQL's `jsonb` can hold, within bounds.
//!
//! One event that `jsonb` cannot hold would break every query over the view and every batch under an index, so the check
//! stands at the door. It only reads: the bytes are stored as they came, numbers stay exact.

use std::borrow::Cow;
use std::collections::HashSet;

/// How deep arrays and objects may nest.
pub const DEPTH_MAX: usize = 64;
/// How many object keys one document may have, over all its objects.
pub const KEYS_MAX: usize = 10_000;
/// Digits before the decimal point that PostgreSQL's `numeric` can hold.
const NUMERIC_DIGITS_BEFORE_POINT: i64 = 131_072;
/// Digits after the decimal point that PostgreSQL's `numeric` can hold.
const NUMERIC_DIGITS_AFTER_POINT: i64 = 16_383;
/// Up to here a new key is compared with its siblings one by one; more of them are kept in a set.
const KEYS_COMPARED_ONE_BY_ONE: usize = 16;

/// Why a text is not accepted as JSON, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at byte {at}: {problem}")]
pub struct InvalidJson {
    /// The byte at which the problem was noticed, from 0.
    pub at: usize,
    /// What is wrong.
    pub problem: &'static str,
}

/// What a document is, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// Text, number, true, false or null.
    Scalar,
}

/// Checks that `bytes` are one JSON document that every engine can hold.
///
/// Refused beyond bad syntax: invalid UTF-8, U+0000 and lone surrogates in text, numbers beyond `numeric`, duplicate
/// keys, nesting over [`DEPTH_MAX`], more than [`KEYS_MAX`] keys.
///
/// ```
/// use pacioli_core::json;
///
/// assert_eq!(json::check(br#"{"amount": 0.10}"#), Ok(json::Shape::Object));
/// assert_eq!(json::check(br#"{"a":1,"a":2}"#).unwrap_err().problem, "an object has the same key twice");
/// ```
pub fn check(bytes: &[u8]) -> Result<Shape, InvalidJson> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| InvalidJson { at: error.valid_up_to(), problem: "the text is not UTF-8" })?;
    let mut checker = Checker { text, bytes, at: 0, keys: 0 };
    checker.space();
    let shape = checker.value(0)?;
    checker.space();
    if checker.at < bytes.len() {
        return checker.fail("there is more after the end of the document");
    }
    Ok(shape)
}

/// A member of an object: its key, decoded, and its value as it lies there.
pub(crate) type Member<'a> = (Cow<'a, str>, &'a [u8]);

/// The members of an object. Each value is checked by itself, so what one document may hold, each of them may.
pub(crate) fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>, InvalidJson> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| InvalidJson { at: error.valid_up_to(), problem: "the text is not UTF-8" })?;
    let mut reader = Checker { text, bytes, at: 0, keys: 0 };
    reader.space();
    if reader.peek() != Some(b'{') {
        return reader.fail("expected an object");
    }
    reader.enter(0)?;
    let mut members = Vec::new();
    if reader.peek() == Some(b'}') {
        return Ok(members);
    }
    loop {
        reader.space();
        let (key, value) = reader.member(0)?;
        members.push((key, value));
        reader.keys = 0;
        if reader.comma_or(b'}', "expected `,` or `}`")? {
            return Ok(members);
        }
    }
}

/// The text that a JSON string stands for.
pub(crate) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, InvalidJson> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| InvalidJson { at: error.valid_up_to(), problem: "the text is not UTF-8" })?;
    let mut reader = Checker { text, bytes, at: 0, keys: 0 };
    if reader.peek() != Some(b'"') {
        return reader.fail("expected a string");
    }
    reader.string()
}

/// Adds `text` to `json` as a JSON string.
pub(crate) fn push_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..='\u{1f}' => json.push_str(&format!("\\u{:04x}", c as u32)),
            _ => json.push(c),
        }
    }
    json.push('"');
}

struct Checker<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    keys: usize,
}

impl<'a> Checker<'a> {
    fn fail<T>(&self, problem: &'static str) -> Result<T, InvalidJson> {
        Err(InvalidJson { at: self.at, problem })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Shape, InvalidJson> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1).map(|()| Shape::Object),
            Some(b'[') => self.array(depth + 1).map(|()| Shape::Array),
            Some(b'"') => self.string().map(|_| Shape::Scalar),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Shape::Scalar),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(_) => self.fail("expected a value"),
            None => self.fail("the text ends where a value is expected"),
        }
    }

    fn literal(&mut self, word: &str) -> Result<Shape, InvalidJson> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fail("expected a value");
        }
        self.at += word.len();
        Ok(Shape::Scalar)
    }

    fn array(&mut self, depth: usize) -> Result<(), InvalidJson> {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth)?;
            if self.comma_or(b']', "expected `,` or `]`")? {
                return Ok(());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), InvalidJson> {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut few: smallvec::SmallVec<[Cow<'a, str>; KEYS_COMPARED_ONE_BY_ONE]> = smallvec::SmallVec::new();
        let mut many: HashSet<Cow<'a, str>> = HashSet::new();
        loop {
            self.space();
            let (key, _) = self.member(depth)?;
            self.keys += 1;
            if self.keys > KEYS_MAX {
                return self.fail("the document has more than 10,000 keys");
            }
            let is_new = if few.len() < KEYS_COMPARED_ONE_BY_ONE {
                let is_new = !few.contains(&key);
                few.push(key);
                is_new
            } else {
                if many.is_empty() {
                    many.extend(few.iter().cloned());
                }
                many.insert(key)
            };
            if !is_new {
                return self.fail("an object has the same key twice");
            }
            if self.comma_or(b'}', "expected `,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// Steps over a key and its value, and returns both.
    fn member(&mut self, depth: usize) -> Result<Member<'a>, InvalidJson> {
        if self.peek() != Some(b'"') {
            return self.fail("expected a key in quotation marks");
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return self.fail("expected `:` after a key");
        }
        self.at += 1;
        self.space();
        let start = self.at;
        self.value(depth)?;
        Ok((key, &self.bytes[start..self.at]))
    }

    /// Steps over an opening bracket and the space behind it.
    fn enter(&mut self, depth: usize) -> Result<(), InvalidJson> {
        if depth > DEPTH_MAX {
            return self.fail("arrays and objects nest deeper than 64");
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Steps over `,` (false) or the closing bracket (true).
    fn comma_or(&mut self, close: u8, problem: &'static str) -> Result<bool, InvalidJson> {
        self.space();
        let closed = match self.peek() {
            Some(b',') => false,
            Some(byte) if byte == close => true,
            _ => return self.fail(problem),
        };
        self.at += 1;
        Ok(closed)
    }

    /// Steps over a string and returns it decoded, so that `"a"` and `"\u0061"` are the same key.
    fn string(&mut self) -> Result<Cow<'a, str>, InvalidJson> {
        self.at += 1;
        let start = self.at;
        let mut decoded: Option<String> = None;
        let mut run = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let tail = &self.text[run..self.at];
                    self.at += 1;
                    return Ok(match decoded {
                        None => Cow::Borrowed(tail),
                        Some(decoded) => Cow::Owned(decoded + tail),
                    });
                }
                Some(b'\\') => {
                    let so_far = decoded.get_or_insert_with(String::new);
                    so_far.push_str(&self.text[run..self.at]);
                    let character = self.escape()?;
                    so_far.push(character);
                    run = self.at;
                }
                Some(0..=0x1f) => return self.fail("a string holds a raw control character"),
                Some(_) => self.at += 1,
                None => return self.fail("the text ends inside a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, InvalidJson> {
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.fail("a string holds an unknown escape"),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, InvalidJson> {
        const LONE: &str = "a string holds a lone surrogate, which no database text can hold";
        let first = self.hex4()?;
        let code = match first {
            0 => return self.fail("a string holds U+0000, which PostgreSQL cannot store"),
            0xd800..=0xdbff => {
                if self.peek() != Some(b'\\') || self.bytes.get(self.at + 1) != Some(&b'u') {
                    return self.fail(LONE);
                }
                self.at += 1;
                let second = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return self.fail(LONE);
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.fail(LONE),
        }
    }

    /// Stands on the `u`; steps over it and four hexadecimal digits.
    fn hex4(&mut self) -> Result<u32, InvalidJson> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.fail("`\\u` wants four hexadecimal digits");
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<(), InvalidJson> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let before = self.digits()?;
        if leading_zero && before > 1 {
            return self.fail("a number has a leading zero");
        }
        let mut after = 0;
        if self.peek() == Some(b'.') {
            self.at += 1;
            after = self.digits()?;
        }
        let mut exponent: i64 = 0;
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            let negative = self.peek() == Some(b'-');
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            let from = self.at;
            self.digits()?;
            // More digits than an i64 can hold are far beyond numeric too.
            exponent = self.text[from..self.at].parse().unwrap_or(i64::from(i32::MAX));
            if negative {
                exponent = -exponent;
            }
        }
        if before.saturating_add(exponent) > NUMERIC_DIGITS_BEFORE_POINT
            || after.saturating_sub(exponent) > NUMERIC_DIGITS_AFTER_POINT
        {
            self.at = start;
            return self.fail("a number is beyond what PostgreSQL's numeric can hold");
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<i64, InvalidJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return self.fail("a number wants a digit here");
        }
        Ok((self.at - start) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> &'static str {
        check(text.as_bytes()).expect_err(text).problem
    }

    #[test]
    fn what_jsonb_cannot_hold_is_refused() {
        assert_eq!(problem(r#""\u0000""#), "a string holds U+0000, which PostgreSQL cannot store");
        for lone in [r#""\ud800""#, r#""\ud800x""#, r#""\udc00""#, r#""\ud800A""#] {
            assert!(problem(lone).contains("surrogate"), "{lone}");
        }
        for number in ["1e131072", "1e-16384", "1e99999999999999999999", "-1e-99999999999999999999"] {
            assert!(problem(number).contains("numeric"), "{number}");
        }
        assert!(check(b"1e131071").is_ok());
        assert!(check(b"1e-16383").is_ok());
        assert!(check(r#""\ud83d\ude00""#.as_bytes()).is_ok());
        assert_eq!(check(b"\"\xff\"").unwrap_err().problem, "the text is not UTF-8");
    }

    #[test]
    fn bounds_hold_to_the_one() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(check(nested(64).as_bytes()).is_ok());
        assert!(check(nested(65).as_bytes()).is_err());
        let object = |n: usize| {
            let keys: Vec<String> = (0..n).map(|i| format!("\"k{i}\":0")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert!(check(object(10_000).as_bytes()).is_ok());
        assert!(check(object(10_001).as_bytes()).is_err());
    }

    #[test]
    fn a_key_is_compared_decoded_and_however_many_there_are() {
        assert!(problem(r#"{"a":1,"\u0061":2}"#).contains("twice"));
        let mut keys: Vec<String> = (0..40).map(|i| format!("\"k{i}\":0")).collect();
        keys.push("\"k3\":1".to_owned());
        assert!(problem(&format!("{{{}}}", keys.join(","))).contains("twice"));
        assert!(check(br#"[{"a":1},{"a":2}]"#).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_serde_json_writes_is_accepted(text in ".*", number in any::<f64>(), integer in any::<i64>()) {
            let text = text.replace('\0', "");
            let value = serde_json::json!({"text": text, "list": [integer, null, true], "number": number});
            prop_assert_eq!(check(value.to_string().as_bytes()), Ok(Shape::Object));
        }

        #[test]
        fn whatever_is_accepted_serde_json_can_read(text in r#"[\{\}\[\]",:0-9eE.\\utrnafls -]{0,24}"#) {
            if check(text.as_bytes()).is_ok() {
                let read: Result<&serde_json::value::RawValue, _> = serde_json::from_str(&text);
                prop_assert!(read.is_ok(), "{}", text);
            }
        }
    }
}
