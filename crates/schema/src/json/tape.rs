//! Data as a validator walks it: one flat list of its values in the order in which they are written, over the text itself.
//!
//! To build a tree of an event's data costs several times what it costs to validate it. A tape is built in one pass and
//! its memory is used again for the next event, and since [`jsonschema`] validates over it as over any other
//! representation, there is one validator, and one verdict.

mod node;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::Cell;

use pacioli_core::json::DEPTH_MAX;
use serde_json::Number;

use super::decimal::Decimal;

/// Objects of more members than this are searched by a sorted list of them.
const MEMBERS_SCANNED: u32 = 16;

/// The values of one document. Names and texts lie in the document itself.
#[derive(Default)]
pub(crate) struct Tape {
    slots: Vec<Slot>,
    /// Texts that are written with escapes.
    decoded: Vec<String>,
    /// The slots of the names of large objects, sorted by name.
    sorted: Vec<u32>,
    /// Numbers that no double is.
    long: Vec<Long>,
}

/// A number that is written with more digits than its double has.
struct Long {
    /// From one byte of the text up to another.
    start: u32,
    end: u32,
    is_whole: bool,
    /// What is compared in its place.
    stand_in: Number,
}

pub(crate) use node::{OnTape, TapeNode};

thread_local! {
    /// Of this thread, since the names of members are looked at on tapes of their own.
    static LOOKS: Looks = const { Looks { left: Cell::new(u64::MAX), text_weight: Cell::new(0) } };
}

/// How much the validation at hand may still do.
struct Looks {
    /// How often it may still look at a value.
    left: Cell<u64>,
    /// How much each byte of a text weighs that is looked at, since patterns are run over it.
    text_weight: Cell<u64>,
}

/// Lets work look at values so many times; behind these every value is null, so that it comes to its end. Gives what comes
/// of it, or nothing where the looks were not enough.
pub(crate) fn with_looks<T>(looks: u64, text_weight: u64, work: impl FnOnce() -> T) -> Option<T> {
    let set = |left: u64, weight: u64| {
        LOOKS.with(|looks| {
            looks.text_weight.set(weight);
            looks.left.replace(left)
        })
    };
    set(looks, text_weight);
    let result = work();
    (set(u64::MAX, 0) > 0).then_some(result)
}

/// Counts some looks; false where there are no more.
fn look(looks: u64) -> bool {
    LOOKS.with(|known| {
        let left = known.left.get().saturating_sub(looks);
        known.left.set(left);
        left > 0
    })
}

/// Counts the looks at a text.
fn look_at_text(text: &str) -> bool {
    /// How many bytes of the least weight count as one look at a value.
    const BYTES_A_LOOK: u64 = 16;
    let weight = LOOKS.with(|known| known.text_weight.get());
    look((text.len() as u64).saturating_mul(weight) / BYTES_A_LOOK)
}

/// Why a text cannot be held against a schema.
pub(crate) type Unreadable = &'static str;

#[derive(Clone, Copy)]
struct Slot {
    what: What,
    /// The slot behind this value and all that it holds.
    next: u32,
}

#[derive(Clone, Copy)]
enum What {
    Null,
    Boolean(bool),
    Positive(u64),
    Negative(i64),
    Float(f64),
    /// Which of the numbers that no double is.
    Long(u32),
    /// From one byte of the text up to another.
    Text(u32, u32),
    /// Which of the decoded texts.
    Decoded(u32),
    /// So many items.
    Array(u32),
    /// So many members, and where their sorted list begins, if they have one.
    Object(u32, Option<u32>),
}

impl Tape {
    /// Reads a document over whatever was on the tape.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), Unreadable> {
        self.slots.clear();
        self.decoded.clear();
        self.sorted.clear();
        self.long.clear();
        if u32::try_from(text.len()).is_err() {
            return Err("is longer than 4 GiB");
        }
        let mut reader = Reader { tape: self, text, bytes: text.as_bytes(), at: 0 };
        reader.space();
        reader.value(0)?;
        reader.space();
        if reader.at < text.len() { Err("is no JSON: there is more after its end") } else { Ok(()) }
    }

    /// The whole document; `text` is what was read.
    pub(crate) fn root<'a>(&'a self, text: &'a str) -> TapeNode<'a> {
        TapeNode::new(self, text)
    }

    /// Whether it holds a number that no double is.
    pub(crate) fn has_long(&self) -> bool {
        !self.long.is_empty()
    }

    /// Says what is compared in the place of each number that no double is.
    pub(crate) fn stand_in<E>(&mut self, text: &str, by: impl Fn(&str) -> Result<Number, E>) -> Result<(), E> {
        for long in &mut self.long {
            long.stand_in = by(&text[long.start as usize..long.end as usize])?;
        }
        Ok(())
    }

    /// Gives back memory that one huge document took.
    pub(crate) fn shrink(&mut self) {
        const SLOTS_KEPT: usize = 16 * 1024;
        if self.slots.capacity() > SLOTS_KEPT {
            *self = Tape::default();
        }
    }
}

struct Reader<'a> {
    tape: &'a mut Tape,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

const NO_JSON: Unreadable = "is no JSON";

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn slot(&self) -> u32 {
        self.tape.slots.len() as u32
    }

    fn push(&mut self, what: What) {
        let next = self.slot() + 1;
        self.tape.slots.push(Slot { what, next });
    }

    fn value(&mut self, depth: usize) -> Result<(), Unreadable> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b't') => self.literal("true", What::Boolean(true)),
            Some(b'f') => self.literal("false", What::Boolean(false)),
            Some(b'n') => self.literal("null", What::Null),
            _ => Err(NO_JSON),
        }
    }

    fn literal(&mut self, word: &str, what: What) -> Result<(), Unreadable> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(NO_JSON);
        }
        self.at += word.len();
        self.push(what);
        Ok(())
    }

    fn enter(&mut self, depth: usize) -> Result<(), Unreadable> {
        if depth > DEPTH_MAX {
            return Err("nests deeper than 64");
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Steps over `,` (false) or the closing bracket (true).
    fn comma_or(&mut self, close: u8) -> Result<bool, Unreadable> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(NO_JSON),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.enter(depth)?;
        let own = self.slot();
        self.push(What::Array(0));
        let mut items = 0;
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.value(depth)?;
                items += 1;
                if self.comma_or(b']')? {
                    break;
                }
            }
        }
        self.tape.slots[own as usize] = Slot { what: What::Array(items), next: self.slot() };
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.enter(depth)?;
        let own = self.slot();
        self.push(What::Object(0, None));
        let mut members = 0;
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                if self.peek() != Some(b'"') {
                    return Err(NO_JSON);
                }
                self.string()?;
                self.space();
                if self.peek() != Some(b':') {
                    return Err(NO_JSON);
                }
                self.at += 1;
                self.space();
                self.value(depth)?;
                members += 1;
                if self.comma_or(b'}')? {
                    break;
                }
            }
        }
        let sorted = (members > MEMBERS_SCANNED).then(|| self.sort(own));
        self.tape.slots[own as usize] = Slot { what: What::Object(members, sorted), next: self.slot() };
        Ok(())
    }

    /// Sorts the names of the object that ends here, and says where their list begins.
    fn sort(&mut self, object: u32) -> u32 {
        let mut sorted = std::mem::take(&mut self.tape.sorted);
        let start = sorted.len();
        let mut name = object + 1;
        while name < self.slot() {
            sorted.push(name);
            name = self.tape.slots[name as usize + 1].next;
        }
        let root = TapeNode::new(self.tape, self.text);
        sorted[start..].sort_by(|a, b| root.text_at(*a).cmp(root.text_at(*b)));
        self.tape.sorted = sorted;
        start as u32
    }

    fn string(&mut self) -> Result<(), Unreadable> {
        let start = self.at + 1;
        let mut end = start;
        let mut has_escape = false;
        loop {
            match self.bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escape = true;
                    end += 2;
                }
                Some(0..=0x1f) | None => return Err(NO_JSON),
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        if has_escape {
            let decoded = serde_json::from_str(&self.text[start - 1..=end]).map_err(|_| NO_JSON)?;
            let number = self.tape.decoded.len() as u32;
            self.tape.decoded.push(decoded);
            self.push(What::Decoded(number));
        } else {
            self.push(What::Text(start as u32, end as u32));
        }
        Ok(())
    }

    /// What `serde_json` makes of a number, so that nothing else that reads the same data sees another one, where that does
    /// not round it.
    fn number(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        let is_negative = self.peek() == Some(b'-');
        if is_negative {
            self.at += 1;
        }
        let mut whole = Some(0_u64);
        let digits = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            whole = whole
                .and_then(|whole| whole.checked_mul(10))
                .and_then(|whole| whole.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        let has_leading_zero = self.bytes.get(digits) == Some(&b'0') && self.at > digits + 1;
        if self.at == digits || has_leading_zero {
            return Err(NO_JSON);
        }
        if !matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            let what = match (whole, is_negative) {
                (Some(whole), false) => Some(What::Positive(whole)),
                // Minus zero is a float.
                (Some(0), true) | (None, _) => None,
                (Some(whole), true) => 0_i64.checked_sub_unsigned(whole).map(What::Negative),
            };
            if let Some(what) = what {
                self.push(what);
                return Ok(());
            }
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let float: f64 = text.parse().map_err(|_| NO_JSON)?;
        // So few digits a double keeps, and most numbers have no more.
        if text.len() <= DIGITS_KEPT && !text.contains(['e', 'E']) {
            self.push(What::Float(float));
            return Ok(());
        }
        let what = match unrounded(text, float) {
            Some(what) => what,
            None => {
                let long = Long {
                    start: start as u32,
                    end: self.at as u32,
                    is_whole: Decimal::read(text).is_whole(),
                    stand_in: Number::from_f64(float.clamp(f64::MIN, f64::MAX)).unwrap_or_else(|| 0.into()),
                };
                self.tape.long.push(long);
                What::Long(self.tape.long.len() as u32 - 1)
            }
        };
        self.push(what);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(NO_JSON) } else { Ok(()) }
    }
}

/// Every decimal of so many digits is read from the double that is nearest to it.
const DIGITS_KEPT: usize = 15;
/// Up to this power of ten, and down to the same below one, doubles have all their digits.
const MAGNITUDE_KEPT: i64 = 290;

/// A number as a double or a whole number, where that is the number as it is written.
fn unrounded(text: &str, float: f64) -> Option<What> {
    let number = Decimal::read(text);
    if float.is_infinite() {
        return None;
    }
    if let Some(whole) = number.to_whole()
        && whole != 0
        && float as i128 != whole
    {
        let positive = u64::try_from(whole).map(What::Positive);
        if let Ok(what) = positive.or_else(|_| i64::try_from(whole).map(What::Negative)) {
            return Some(what);
        }
    }
    if number.significant() == 0
        || number.significant() <= DIGITS_KEPT && number.magnitude().abs() <= MAGNITUDE_KEPT
        || Decimal::read(&format!("{float:e}")) == number
    {
        return Some(What::Float(float));
    }
    None
}
