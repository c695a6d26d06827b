//! JSON objects taken apart without losing a byte: members keep the text of their values, and a key said twice is refused.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use pacioli_core::InvalidAppend;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Elements of one array at most, so that a body of commas cannot be blown up in memory. Our limits are far below it.
const ELEMENTS_MAX: usize = 1 << 16;

/// The members of one object, in order.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

/// The elements of one array, in order.
pub(crate) struct Elements<'a>(pub(crate) Vec<&'a RawValue>);

/// Text that is borrowed where it needs no unescaping.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(TextVisitor).map(Text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Self::Value = Vec::new();
                let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
                while let Some(Text(key)) = map.next_key()? {
                    // A handful is compared one by one; a crowd is kept in a set, so that nobody can make this quadratic.
                    let is_twice = if members.len() < 32 {
                        members.iter().any(|(other, _)| *other == key)
                    } else {
                        if seen.is_empty() {
                            seen.extend(members.iter().map(|(key, _)| key.clone()));
                        }
                        !seen.insert(key.clone())
                    };
                    if is_twice {
                        return Err(A::Error::custom(format_args!(
                            "the key `{}` comes twice",
                            crate::text::shown(&key)
                        )));
                    }
                    if members.len() >= pacioli_core::json::KEYS_MAX {
                        return Err(A::Error::custom("an object has more than 10,000 keys"));
                    }
                    members.push((key, map.next_value()?));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;
        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Vec<&'de RawValue>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() >= ELEMENTS_MAX {
                        return Err(A::Error::custom("an array has more than 65,536 elements"));
                    }
                    elements.push(element);
                }
                Ok(elements)
            }
        }
        deserializer.deserialize_seq(ElementsVisitor).map(Elements)
    }
}

/// Where in a request a value stands, to be named in an error: "" is the request itself, then `[3]`, `writes[0].events`.
#[derive(Clone, Copy)]
pub(crate) struct At<'a>(pub(crate) &'a str);

impl At<'_> {
    /// The name of a member of the value that stands here.
    pub(crate) fn member(self, name: &str) -> String {
        if self.0.is_empty() { crate::text::shown(name) } else { format!("{}.{}", self.0, crate::text::shown(name)) }
    }

    /// The name of an element of the value that stands here.
    pub(crate) fn element(self, index: usize) -> String {
        format!("{}[{index}]", self.0)
    }

    /// An error about the value that stands here.
    pub(crate) fn error(self, problem: impl Into<String>) -> InvalidAppend {
        InvalidAppend::new(if self.0.is_empty() { "body" } else { self.0 }, problem)
    }
}

/// The request's body as text.
pub(crate) fn body_text(body: &[u8]) -> Result<&str, InvalidAppend> {
    let text = std::str::from_utf8(body).map_err(|error| {
        InvalidAppend::new("body", format!("is not UTF-8: byte {} does not fit", error.valid_up_to()))
    })?;
    if text.trim_ascii().is_empty() {
        return Err(InvalidAppend::new("body", "is empty; send JSON"));
    }
    Ok(text)
}

/// Reads `text` as a `T`, and says in our words what does not fit.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str, at: At<'_>) -> Result<T, InvalidAppend> {
    serde_json::from_str(text).map_err(|error| at.error(format!("is not as expected: {error}")))
}

/// A value as text; `None` where it is `null`.
pub(crate) fn text<'a>(value: &'a RawValue, name: &str, at: At<'_>) -> Result<Option<Cow<'a, str>>, InvalidAppend> {
    match value.get() {
        "null" => Ok(None),
        quoted if quoted.starts_with('"') => {
            // The strict check refuses what PostgreSQL cannot hold: U+0000 and lone surrogates.
            pacioli_core::json::check(quoted.as_bytes())
                .map_err(|error| InvalidAppend::new(at.member(name), error.problem))?;
            let Text(text) = read(quoted, At(&at.member(name)))?;
            Ok(Some(text))
        }
        _ => Err(InvalidAppend::new(at.member(name), "must be text, in quotation marks")),
    }
}

/// A value as a list of texts.
pub(crate) fn texts<'a>(value: &'a RawValue, name: &str, at: At<'_>) -> Result<Vec<Cow<'a, str>>, InvalidAppend> {
    if value.get() == "null" {
        return Ok(Vec::new());
    }
    let member = at.member(name);
    if !value.get().starts_with('[') {
        return Err(InvalidAppend::new(member, "must be a list of texts, like [\"a\",\"b\"]"));
    }
    let Elements(elements) = read(value.get(), At(&member))?;
    let text = |(index, element): (usize, &'a RawValue)| {
        let name = At(&member).element(index);
        text(element, &name, At(""))?.ok_or_else(|| InvalidAppend::new(name.clone(), "must be text, not null"))
    };
    elements.into_iter().enumerate().map(text).collect()
}
