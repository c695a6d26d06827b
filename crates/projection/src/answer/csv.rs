//! Rows as CSV (RFC 4180): commas, line ends of two characters, a header. NULL is nothing, the empty text is `""`.

use super::{Answer, Value, text};

const LINE_END: &[u8] = b"\r\n";

/// The line of the columns' names.
pub(super) fn header(out: &mut Vec<u8>, answer: &Answer) {
    for (index, name) in answer.names().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        field(out, name);
    }
    out.extend_from_slice(LINE_END);
}

/// One row.
pub(super) fn row(out: &mut Vec<u8>, row: &[Value]) {
    let begins = out.len();
    for (index, value) in row.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if let Some(text) = text::of(value) {
            field(out, &text);
        }
    }
    if out.len() == begins {
        // A single NULL: many readers skip a line that is empty, and would lose the row.
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(LINE_END);
}

fn field(out: &mut Vec<u8>, text: &str) {
    if !text.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}
