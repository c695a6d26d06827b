//! Data made of a schema, where none is stored that something could be tried on.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::document::Document;
use super::facts::{Facts, Together, Types};

/// How many values are made, at most.
const VALUES_MAX: usize = 2_000;
/// How deep they may lie in each other.
const DEPTH_MAX: usize = 32;
/// How long a text or a list is made for the sake of `minLength` or `minItems`.
const LENGTH_MAX: u64 = 1_000;

/// Data that a schema may allow: what it requires, and all that it names. Whether it does has to be checked.
pub(super) fn all(document: &Document) -> Vec<Bytes> {
    let made = [false, true].map(|is_whole| {
        let mut maker = Maker { document, is_whole, left: VALUES_MAX };
        maker.value(vec![&document.schema], DEPTH_MAX)
    });
    let mut made: Vec<Bytes> = made.into_iter().flatten().map(|value| value.to_string().into()).collect();
    made.dedup();
    made
}

struct Maker<'a> {
    document: &'a Document,
    /// Whether optional fields are made too.
    is_whole: bool,
    left: usize,
}

impl<'a> Maker<'a> {
    fn value(&mut self, mut together: Together<'a>, depth: usize) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        let mut facts = Facts::of(self.document, &together, Types::ALL, &mut |_| true);
        if !facts.unions.is_empty() {
            // Of alternatives the last one, too: the first is mostly null.
            let chosen =
                |union: &Vec<&'a Value>| if self.is_whole { union.last().copied() } else { union.first().copied() };
            together.extend(facts.unions.iter().filter_map(chosen));
            facts = Facts::of(self.document, &together, Types::ALL, &mut |_| true);
        }
        if let Some(values) = &facts.values {
            return values.values().next().map(|value| (*value).clone());
        }
        if let Some(default) = facts.default.filter(|default| facts.allows(default)) {
            return Some(default.clone());
        }
        let length = |limit: &str| facts.limits.get(limit).copied().unwrap_or(0).min(LENGTH_MAX);
        let types = facts.types();
        match types {
            Types::ALL if depth + 1 == DEPTH_MAX => self.object(&facts, depth),
            // A digit, so that it can be cast to a number.
            _ if types.meets(Types::STRING) => Some("1".repeat(length("minLength").max(1) as usize).into()),
            _ if types.meets(Types::OBJECT) => self.object(&facts, depth),
            _ if types.meets(Types::NUMBER) => {
                let end = facts.lower.map(|end| end.word()).or_else(|| facts.upper.map(|end| end.word()));
                let is_zero = facts.allows(&Value::from(0));
                if is_zero { Some(0.into()) } else { serde_json::from_str(&end?).ok() }
            }
            _ if types.meets(Types::ARRAY) => {
                let least = length("minItems").max(u64::from(self.is_whole)) as usize;
                (0..least).map(|place| self.value(facts.item(place), depth)).collect::<Option<_>>().map(Value::Array)
            }
            _ if types.meets(Types::BOOLEAN) => Some(false.into()),
            _ if types.meets(Types::NULL) => Some(Value::Null),
            _ => None,
        }
    }

    fn object(&mut self, facts: &Facts<'a>, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        for name in facts.names() {
            let is_required = facts.required.contains(name);
            if is_required || self.is_whole {
                match self.value(facts.member(name, &mut |_, _| false), depth) {
                    Some(value) => drop(members.insert(name.to_owned(), value)),
                    None if is_required => return None,
                    None => {}
                }
            }
        }
        Some(members.into())
    }
}
