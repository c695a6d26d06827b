//! How much of an event a reader asks for: `fields=none`, `fields=all`, or `fields=/json/pointer,…`.

use std::borrow::Cow;

use pacioli_core::PayloadChoice;

use crate::object::{At, Elements, Members};
use crate::text::push_string;

/// Pointers of one request at most.
const POINTERS_MAX: usize = 64;

/// How much of an event's `data` is sent.
///
/// ```
/// use pacioli_api::fields::Fields;
///
/// let fields: Fields = "/owner/name,/items/1".parse().unwrap();
/// let mut out = Vec::new();
/// fields.select(br#"{"owner":{"name":"Luca","age":49},"items":[1.0,2.50,3],"note":""}"#, &mut out);
/// // Nested as in the original, numbers as they were written; elements that were not asked for leave `null` before others.
/// assert_eq!(out, br#"{"owner":{"name":"Luca"},"items":[null,2.50]}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    /// All of it.
    #[default]
    All,
    /// The envelope only.
    None,
    /// What these JSON pointers (RFC 6901) name, where it is there.
    Pointers(Selection),
}

/// Pointers as a tree: what they have in common is walked once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Everything below is chosen.
    whole: bool,
    children: Vec<(String, Selection)>,
}

impl Fields {
    /// What to ask of the store.
    pub fn payload(&self) -> PayloadChoice {
        match self {
            Fields::None => PayloadChoice::None,
            Fields::All | Fields::Pointers(_) => PayloadChoice::All,
        }
    }

    /// Writes what is chosen of one JSON document, values byte for byte as they were.
    ///
    /// The answer is nested as the original; what a pointer does not find is left out. In an array, elements that were not
    /// chosen but stand before a chosen one become `null`, so that an index still means the same. Where nothing is found
    /// the answer is `{}` of an object, `[]` of an array and `null` of anything else.
    pub fn select(&self, data: &[u8], out: &mut Vec<u8>) {
        match (self, std::str::from_utf8(data)) {
            (Fields::All, _) => out.extend_from_slice(data),
            (Fields::Pointers(selection), Ok(text)) => selection.write(text.trim_ascii(), out),
            (Fields::None, _) | (_, Err(_)) => out.extend_from_slice(b"null"),
        }
    }
}

impl std::str::FromStr for Fields {
    type Err = String;

    fn from_str(text: &str) -> Result<Fields, String> {
        match text {
            "all" => return Ok(Fields::All),
            "none" => return Ok(Fields::None),
            _ => {}
        }
        let mut root = Selection::default();
        for (count, pointer) in text.split(',').enumerate() {
            let Some(tokens) = pointer.strip_prefix('/') else {
                return Err(format!(
                    "must be `none`, `all`, or JSON pointers like `/owner/name,/amount`; `{}` is none of these",
                    crate::text::shown(pointer)
                ));
            };
            if count >= POINTERS_MAX {
                return Err(format!("has more than {POINTERS_MAX} pointers"));
            }
            root.add(tokens.split('/').map(unescape), pacioli_core::json::DEPTH_MAX)?;
        }
        Ok(Fields::Pointers(root))
    }
}

/// `~1` stands for `/` and `~0` for `~`.
fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

impl Selection {
    fn add(&mut self, mut tokens: impl Iterator<Item = String>, depth: usize) -> Result<(), String> {
        let Some(token) = tokens.next() else {
            self.whole = true;
            return Ok(());
        };
        if depth == 0 {
            return Err(format!("a pointer has more than {} steps", pacioli_core::json::DEPTH_MAX));
        }
        let at = match self.children.iter().position(|(name, _)| *name == token) {
            Some(at) => at,
            None => {
                self.children.push((token, Selection::default()));
                self.children.len() - 1
            }
        };
        self.children[at].1.add(&mut tokens as &mut dyn Iterator<Item = String>, depth - 1)
    }

    fn child(&self, name: &str) -> Option<&Selection> {
        self.children.iter().find(|(child, _)| child == name).map(|(_, selection)| selection)
    }

    /// Whether anything of `text` is chosen.
    fn finds(&self, text: &str) -> bool {
        self.whole || text.starts_with(['{', '['])
    }

    fn write(&self, text: &str, out: &mut Vec<u8>) {
        if self.whole {
            out.extend_from_slice(text.as_bytes());
        } else if text.starts_with('{') {
            self.write_object(text, out);
        } else if text.starts_with('[') {
            self.write_array(text, out);
        } else {
            out.extend_from_slice(b"null");
        }
    }

    fn write_object(&self, text: &str, out: &mut Vec<u8>) {
        // What is stored was checked at the door, so reading cannot fail; if it did, nothing would be found.
        let Members(members) = crate::object::read(text, At("")).unwrap_or(Members(Vec::new()));
        out.push(b'{');
        let mut first = true;
        for (key, value) in &members {
            let key: &Cow<'_, str> = key;
            let Some(child) = self.child(key).filter(|child| child.finds(value.get())) else { continue };
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            push_string(out, key);
            out.push(b':');
            child.write(value.get(), out);
        }
        out.push(b'}');
    }

    fn write_array(&self, text: &str, out: &mut Vec<u8>) {
        let Elements(elements) = crate::object::read(text, At("")).unwrap_or(Elements(Vec::new()));
        let mut chosen: Vec<(usize, &Selection)> = self
            .children
            .iter()
            .filter_map(|(token, child)| Some((index(token)?, child)))
            .filter(|(index, child)| elements.get(*index).is_some_and(|element| child.finds(element.get())))
            .collect();
        chosen.sort_by_key(|(index, _)| *index);
        out.push(b'[');
        let mut next = 0;
        for (index, child) in chosen {
            for at in next..=index {
                if at > 0 {
                    out.push(b',');
                }
                if at < index {
                    out.extend_from_slice(b"null");
                }
            }
            child.write(elements[index].get(), out);
            next = index + 1;
        }
        out.push(b']');
    }
}

/// An array index of RFC 6901: digits without a zero before them.
fn index(token: &str) -> Option<usize> {
    let is_plain = token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    if is_plain { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(fields: &str, data: &str) -> String {
        let mut out = Vec::new();
        fields.parse::<Fields>().unwrap().select(data.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn chosen_values_keep_their_bytes() {
        assert_eq!(select("/a", r#"{"a":1.00e2,"b":2}"#), r#"{"a":1.00e2}"#);
        assert_eq!(select("/a/b", r#"{"a":{"b":{ "x" : 1 },"c":0}}"#), r#"{"a":{"b":{ "x" : 1 }}}"#);
        assert_eq!(select("/a,/a/b", r#"{"a":{"b":1,"c":2}}"#), r#"{"a":{"b":1,"c":2}}"#);
        assert_eq!(select("/a~1b,/m~0n", r#"{"a/b":1,"m~n":2,"x":3}"#), r#"{"a/b":1,"m~n":2}"#);
        assert_eq!(select("/0,/2/x", r#"[1,2,{"x":3,"y":4},5]"#), r#"[1,null,{"x":3}]"#);
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        assert_eq!(select("/nothing", r#"{"a":1}"#), "{}");
        assert_eq!(select("/a/b", r#"{"a":1}"#), "{}");
        assert_eq!(select("/07", "[1]"), "[]");
        assert_eq!(select("/a", "3"), "null");
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for text in ["", "amount", "/a,b", "none,all"] {
            assert!(text.parse::<Fields>().is_err(), "{text}");
        }
        assert!("/a/".repeat(40).parse::<Fields>().is_err());
        assert!(vec!["/a"; 65].join(",").parse::<Fields>().is_err());
    }
}
