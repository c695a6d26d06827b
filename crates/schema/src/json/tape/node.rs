//! The values of a tape, as [`jsonschema`] asks for them.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp};
use jsonschema_value::{JsonNumber, LazyInstance};
use serde_json::{Number, Value};

use super::{Decimal, Slot, Tape, What, look, look_at_text};

/// The representation, as [`jsonschema`] knows it.
pub(crate) struct OnTape;

/// One value of a document.
#[derive(Clone, Copy)]
pub(crate) struct TapeNode<'a> {
    tape: &'a Tape,
    text: &'a str,
    at: u32,
}

impl<'a> TapeNode<'a> {
    pub(super) fn new(tape: &'a Tape, text: &'a str) -> TapeNode<'a> {
        TapeNode { tape, text, at: 0 }
    }

    fn what(&self) -> What {
        match look(1) {
            true => self.tape.slots[self.at as usize].what,
            false => What::Null,
        }
    }

    fn at(self, at: u32) -> TapeNode<'a> {
        TapeNode { at, ..self }
    }

    /// The text at a slot that holds one.
    pub(super) fn text_at(&self, slot: u32) -> &'a str {
        match self.tape.slots[slot as usize].what {
            What::Text(start, end) => &self.text[start as usize..end as usize],
            What::Decoded(number) => &self.tape.decoded[number as usize],
            _ => "",
        }
    }

    fn next(&self) -> u32 {
        self.tape.slots[self.at as usize].next
    }

    /// The member of this name.
    pub(crate) fn member(&self, name: &str) -> Option<TapeNode<'a>> {
        let What::Object(members, sorted) = self.what() else { return None };
        if let Some(sorted) = sorted {
            let names = &self.tape.sorted[sorted as usize..(sorted + members) as usize];
            let found = names.binary_search_by(|slot| self.text_at(*slot).cmp(name)).ok()?;
            return Some(self.at(names[found] + 1));
        }
        let mut slot = self.at + 1;
        for _ in 0..members {
            if self.text_at(slot) == name {
                return Some(self.at(slot + 1));
            }
            slot = self.tape.slots[slot as usize + 1].next;
        }
        None
    }

    /// The value at a JSON pointer.
    pub(crate) fn pointer(self, pointer: &str) -> Option<TapeNode<'a>> {
        let mut node = self;
        for token in pointer.split('/').skip(1) {
            node = match node.what() {
                What::Object(..) => node.member(&token.replace("~1", "/").replace("~0", "~"))?,
                What::Array(_) => node.as_array()?.elements().nth(token.parse().ok()?)?,
                _ => return None,
            };
        }
        Some(node)
    }

    fn number(&self) -> Option<Number> {
        match self.what() {
            What::Positive(number) => Some(number.into()),
            What::Negative(number) => Some(number.into()),
            What::Float(number) => Number::from_f64(number),
            What::Long(number) => Some(self.tape.long[number as usize].stand_in.clone()),
            _ => None,
        }
    }

    /// The number as it is written, where no double is it.
    pub(crate) fn long(&self) -> Option<&'a str> {
        let What::Long(number) = self.what() else { return None };
        let long = &self.tape.long[number as usize];
        Some(&self.text[long.start as usize..long.end as usize])
    }

    /// What it holds: members with their names, and items.
    pub(crate) fn children(&self) -> impl Iterator<Item = (Option<&'a str>, TapeNode<'a>)> + use<'a> {
        let members = self.as_object().map(|object| object.members());
        let items = self.as_array().map(|array| array.elements());
        let named = members.into_iter().flatten().map(|(name, node)| (Some(name), node));
        named.chain(items.into_iter().flatten().map(|node| (None, node)))
    }
}

/// A number as the validator asks for it.
pub(crate) struct TapeNumber {
    number: Number,
    /// Whether it is whole, where what stands for it does not say.
    is_whole: Option<bool>,
}

impl JsonNumber for TapeNumber {
    fn as_u64(&self) -> Option<u64> {
        self.number.as_u64()
    }

    fn as_i64(&self) -> Option<i64> {
        self.number.as_i64()
    }

    fn as_f64(&self) -> Option<f64> {
        self.number.as_f64()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Owned(self.number.to_string())
    }

    fn to_number(&self) -> Cow<'_, Number> {
        Cow::Borrowed(&self.number)
    }

    fn is_integer(&self) -> bool {
        self.is_whole.unwrap_or_else(|| JsonNumber::is_integer(&self.number))
    }

    fn is_written_as_integer(&self) -> bool {
        self.is_whole.unwrap_or_else(|| JsonNumber::is_written_as_integer(&self.number))
    }
}

impl Json for OnTape {
    type Node<'a> = TapeNode<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = Tape;

    // Small objects are searched from their start, so one pass over the members is worth several searches.
    const KEYS_PER_LOOKUP: usize = 4;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(buffer: &mut Tape, string: &str, f: impl FnOnce(TapeNode<'_>) -> T) -> T {
        buffer.slots.clear();
        buffer.slots.push(Slot { what: What::Text(0, string.len() as u32), next: 1 });
        f(buffer.root(string))
    }
}

impl<'a> Node<'a, OnTape> for TapeNode<'a> {
    type Object = TapeNode<'a>;
    type Array = TapeNode<'a>;
    type Number = TapeNumber;

    fn as_object(&self) -> Option<TapeNode<'a>> {
        matches!(self.what(), What::Object(..)).then_some(*self)
    }

    fn as_array(&self) -> Option<TapeNode<'a>> {
        matches!(self.what(), What::Array(_)).then_some(*self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.is_string().then(|| self.text_at(self.at))?;
        // What asks for a text runs a pattern over it, or looks for it among others.
        look_at_text(text).then_some(Cow::Borrowed(text))
    }

    fn as_number(&self) -> Option<TapeNumber> {
        let is_whole = match self.what() {
            What::Long(number) => Some(self.tape.long[number as usize].is_whole),
            _ => None,
        };
        Some(TapeNumber { number: self.number()?, is_whole })
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.what() {
            What::Boolean(boolean) => Some(boolean),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.what(), What::Null)
    }

    fn json_type(&self) -> JsonType {
        match self.what() {
            What::Null => JsonType::Null,
            What::Boolean(_) => JsonType::Boolean,
            What::Positive(_) | What::Negative(_) | What::Float(_) | What::Long(_) => JsonType::Number,
            What::Text(..) | What::Decoded(_) => JsonType::String,
            What::Array(_) => JsonType::Array,
            What::Object(..) => JsonType::Object,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self.what(), What::Positive(_) | What::Negative(_) | What::Float(_) | What::Long(_))
    }

    fn is_string(&self) -> bool {
        matches!(self.what(), What::Text(..) | What::Decoded(_))
    }

    fn string_length(&self) -> Option<u64> {
        self.is_string().then(|| self.text_at(self.at).chars().count() as u64)
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        if !self.is_string() {
            return None;
        }
        // A character takes one to four bytes, which mostly decides it.
        let bytes = self.text_at(self.at).len() as u64;
        let fewest = bytes.div_ceil(4);
        if bytes < min || fewest > max {
            return Some(false);
        }
        if min <= fewest && bytes <= max {
            return Some(true);
        }
        self.string_length().map(|length| (min..=max).contains(&length))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self.what(), expected) {
            (What::Null, Value::Null) => true,
            (What::Boolean(own), Value::Bool(other)) => own == *other,
            (What::Text(..) | What::Decoded(_), Value::String(other)) => self.text_at(self.at) == other,
            (What::Positive(_) | What::Negative(_) | What::Float(_), Value::Number(_)) => {
                self.number().is_some_and(|own| cmp::equal(&Value::Number(own), expected))
            }
            (What::Array(items), Value::Array(others)) => {
                items as usize == others.len()
                    && self.elements().zip(others).all(|(own, other)| own.equals_value(other))
            }
            (What::Object(members, _), Value::Object(others)) => {
                members as usize == others.len()
                    && others.iter().all(|(name, other)| self.member(name).is_some_and(|own| own.equals_value(other)))
            }
            _ => false,
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(match self.what() {
            What::Null => Value::Null,
            What::Boolean(boolean) => Value::Bool(boolean),
            What::Positive(_) | What::Negative(_) | What::Float(_) => self.number().map_or(Value::Null, Value::Number),
            // Like no other value that is not the same number, since whole lists are compared by this.
            What::Long(number) => {
                let long = &self.tape.long[number as usize];
                Value::String(Decimal::read(&self.text[long.start as usize..long.end as usize]).spelled())
            }
            What::Text(..) | What::Decoded(_) => Value::String(self.text_at(self.at).to_owned()),
            What::Array(_) => Value::Array(self.elements().map(|item| item.to_value().into_owned()).collect()),
            What::Object(..) => {
                let members = self.members().map(|(name, value)| (name.to_owned(), value.to_value().into_owned()));
                Value::Object(members.collect())
            }
        })
    }

    /// Nobody reads the data that an error carries, and to copy it for every error costs without bound.
    fn lazy_value(&self) -> LazyInstance<'a> {
        LazyInstance::Ready(Cow::Owned(Value::Null))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::tagged(std::ptr::from_ref(self.tape) as usize, self.at))
    }
}

impl<'a> Object<'a, OnTape> for TapeNode<'a> {
    type Node = TapeNode<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        match self.what() {
            What::Object(members, _) => members as usize,
            _ => 0,
        }
    }

    fn get(&self, key: &Box<str>) -> Option<TapeNode<'a>> {
        self.member(key)
    }

    fn members(&self) -> Members<'a> {
        Members { left: Object::len(self), next: self.at(self.at + 1) }
    }
}

impl<'a> Array<'a, OnTape> for TapeNode<'a> {
    type Node = TapeNode<'a>;
    type ElementsIter = Elements<'a>;

    fn len(&self) -> usize {
        match self.what() {
            What::Array(items) => items as usize,
            _ => 0,
        }
    }

    fn elements(&self) -> Elements<'a> {
        Elements { left: Array::len(self), next: self.at(self.at + 1) }
    }
}

/// The members of an object, in their order.
pub(crate) struct Members<'a> {
    left: usize,
    next: TapeNode<'a>,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, TapeNode<'a>);

    fn next(&mut self) -> Option<(&'a str, TapeNode<'a>)> {
        self.left = self.left.checked_sub(1).filter(|_| look(1))?;
        let name = self.next.text_at(self.next.at);
        let value = self.next.at(self.next.at + 1);
        self.next = value.at(value.next());
        Some((name, value))
    }
}

/// The items of an array.
pub(crate) struct Elements<'a> {
    left: usize,
    next: TapeNode<'a>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = TapeNode<'a>;

    fn next(&mut self) -> Option<TapeNode<'a>> {
        self.left = self.left.checked_sub(1).filter(|_| look(1))?;
        let item = self.next;
        self.next = item.at(item.next());
        Some(item)
    }
}
