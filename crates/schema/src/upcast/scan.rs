//! Finds where the parts of a JSON text begin and end, without taking them apart.

use std::borrow::Cow;

/// A text as JSON.
pub(super) fn text(text: &str) -> Box<[u8]> {
    let is_plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if !is_plain {
        return serde_json::Value::from(text).to_string().into_bytes().into();
    }
    let mut json = Vec::with_capacity(text.len() + 2);
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
    json.into()
}

/// The text that a JSON string stands for; `None` where it is no string.
pub(super) fn decoded(json: &[u8]) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return serde_json::from_slice::<String>(json).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

/// The first byte from `at` on that is no white space.
#[inline]
pub(super) fn skip_space(json: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = json.get(at) {
        at += 1;
    }
    at
}

/// Where the string that begins at `at` ends, and whether there is an escape in it.
#[inline]
pub(super) fn string_end(json: &[u8], at: usize) -> Option<(usize, bool)> {
    if json.get(at) != Some(&b'"') {
        return None;
    }
    let (mut end, mut is_escaped) = (at + 1, false);
    loop {
        end = quote_or_escape(json, end)?;
        if json[end] == b'"' {
            return Some((end + 1, is_escaped));
        }
        is_escaped = true;
        end += 2;
    }
}

/// The first `"` or `\\` from `at` on, looked for in eight bytes at a time.
#[inline]
fn quote_or_escape(json: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // The lowest byte whose high bit is set in here is the first that is zero in `word`.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(eight) = json.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
        let word = u64::from_le_bytes(eight);
        let found = zeros(word ^ u64::from_le_bytes([b'"'; 8])) | zeros(word ^ u64::from_le_bytes([b'\\'; 8]));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    Some(at + json.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?)
}

/// The bytes that end a number or a word: white space, and what stands behind a value.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let (all, mut at) = (b",}] \n\r\t", 0);
    while at < all.len() {
        ends[all[at] as usize] = true;
        at += 1;
    }
    ends
};

/// Where the value that begins at `at` ends.
#[inline]
pub(super) fn value_end(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => string_end(json, at).map(|(end, _)| end),
        b'{' | b'[' => container_end(json, at),
        _ => {
            let len = json[at..].iter().position(|byte| ENDS[usize::from(*byte)]).unwrap_or(json.len() - at);
            (len > 0).then_some(at + len)
        }
    }
}

fn container_end(json: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match json.get(at)? {
            b'"' => {
                at = string_end(json, at)?.0;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}
