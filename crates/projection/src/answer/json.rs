//! Rows as JSON objects.

use std::io::Write;

use serde::de::IgnoredAny;

use super::{Answer, Value, text};

/// Writes the members' names once, and rows as objects.
pub(super) struct Objects {
    /// `"name":`, with the comma before all but the first.
    keys: Vec<Vec<u8>>,
}

impl Objects {
    pub(super) fn of(answer: &Answer) -> Objects {
        let key = |(index, name): (usize, String)| {
            let mut key = if index == 0 { Vec::new() } else { vec![b','] };
            string(&mut key, &name);
            key.push(b':');
            key
        };
        Objects { keys: answer.names().into_iter().enumerate().map(key).collect() }
    }

    /// One row as an object on one line, without the line's end.
    pub(super) fn row(&self, out: &mut Vec<u8>, row: &[Value]) {
        out.push(b'{');
        for (key, value) in self.keys.iter().zip(row) {
            out.extend_from_slice(key);
            push(out, value);
        }
        out.push(b'}');
    }
}

fn push(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        // Writing to a vector cannot fail.
        Value::Int(number) => drop(write!(out, "{number}")),
        Value::Float(number) if number.is_finite() => out.extend_from_slice(text::float(*number).as_bytes()),
        // JSON has no word for these.
        Value::Float(number) => string(out, &text::float(*number)),
        Value::Decimal(digits) if is_number(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Decimal(word) => string(out, word),
        Value::Text(text) => string(out, text),
        Value::Json(document) if is_json(document) => {
            // A line end in a document stands between its parts: in a text it would be escaped. A row is one line.
            out.extend(document.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        }
        Value::Json(text) => string(out, text),
        Value::Bytes(_) | Value::Time(_) => string(out, &text::of(value).unwrap_or_default()),
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Neither text nor a vector can fail.
    let _ = serde_json::to_writer(out, text);
}

/// Whether a text is a number as JSON writes it: `-12.50`, and not `NaN`, `+1` or `.5`.
fn is_number(text: &str) -> bool {
    // JSON allows space around it.
    text.ends_with(|last: char| last.is_ascii_digit())
        && text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        && is_json(text)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}
