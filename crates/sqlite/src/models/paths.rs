//! Paths into an event's data, looked up in one pass over its JSON.
//!
//! What a path leads to is kept as it stands in the text, so that no digit of a number is lost before SQLite sees it.

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use pacioli_projection::file::Step;

/// The paths that a projection uses, as a tree.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    root: Node,
    count: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// Which path ends here.
    ends: Option<usize>,
    members: Vec<(String, Node)>,
    elements: Vec<(u32, Node)>,
}

impl Paths {
    /// The number of a path; the same path has one number.
    pub(crate) fn number(&mut self, steps: &[Step]) -> usize {
        let mut node = &mut self.root;
        for step in steps {
            node = match step {
                Step::Member(name) => child(&mut node.members, |known| known == name, || name.clone()),
                Step::Element(index) => child(&mut node.elements, |known| known == index, || *index),
            };
        }
        let next = self.count;
        let number = *node.ends.get_or_insert(next);
        self.count = self.count.max(number + 1);
        number
    }

    /// What they lead to in data that is no JSON.
    pub(crate) fn nothing<'e>(&self) -> Vec<Option<&'e str>> {
        vec![None; self.count]
    }

    /// Looks all of them up; `found` gets one entry a path, `None` where it leads nowhere.
    pub(crate) fn look_up<'e>(&self, json: &'e str, found: &mut Vec<Option<&'e str>>) -> Result<(), serde_json::Error> {
        *found = self.nothing();
        if self.count > 0 { walk(&self.root, json, found) } else { Ok(()) }
    }
}

fn child<K>(children: &mut Vec<(K, Node)>, is: impl Fn(&K) -> bool, make: impl FnOnce() -> K) -> &mut Node {
    let at = children.iter().position(|(key, _)| is(key)).unwrap_or_else(|| {
        children.push((make(), Node::default()));
        children.len() - 1
    });
    &mut children[at].1
}

fn walk<'e>(node: &Node, json: &'e str, found: &mut Vec<Option<&'e str>>) -> Result<(), serde_json::Error> {
    if let Some(number) = node.ends {
        found[number] = Some(json);
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    match json.trim_start().as_bytes().first() {
        Some(b'{') if !node.members.is_empty() => deserializer.deserialize_map(Members { node, found }),
        Some(b'[') if !node.elements.is_empty() => deserializer.deserialize_seq(Elements { node, found }),
        _ => Ok(()),
    }
}

struct Members<'n, 'e> {
    node: &'n Node,
    found: &'n mut Vec<Option<&'e str>>,
}

impl<'e> Visitor<'e> for Members<'_, 'e> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'e>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key_seed(Member(self.node))? {
            match member {
                Some(node) => {
                    let value: &'e RawValue = map.next_value()?;
                    walk(node, value.get(), self.found).map_err(A::Error::custom)?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The child that a key leads to.
struct Member<'n>(&'n Node);

impl<'e, 'n> DeserializeSeed<'e> for Member<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'e>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Member<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.members.iter().find(|(known, _)| known == name).map(|(_, node)| node))
    }
}

struct Elements<'n, 'e> {
    node: &'n Node,
    found: &'n mut Vec<Option<&'e str>>,
}

impl<'e> Visitor<'e> for Elements<'_, 'e> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'e>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut at = 0_u32;
        while let Some(value) = seq.next_element::<&'e RawValue>()? {
            if let Some((_, node)) = self.node.elements.iter().find(|(index, _)| *index == at) {
                walk(node, value.get(), self.found).map_err(A::Error::custom)?;
            }
            at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(path: &str) -> Vec<Step> {
        path.split('.').map(|step| step.parse().map_or_else(|_| Step::Member(step.to_owned()), Step::Element)).collect()
    }

    #[test]
    fn each_path_is_found_as_it_stands_in_the_text() {
        let json = r#" {"a": 12.50, "b": {"c": [ {"d": "x\"y"}, null, [1,2] ], "ä": true}, "b2": 1, "\u0065": 7} "#;
        let expected = [
            ("a", Some("12.50")),
            ("b.c.0.d", Some(r#""x\"y""#)),
            ("b.c.1", Some("null")),
            ("b.c.2", Some("[1,2]")),
            ("b.c.2.1", Some("2")),
            ("b.c.9", None),
            ("b.ä", Some("true")),
            ("a.b", None),
            ("b.0", None),
            ("e", Some("7")),
            ("nowhere", None),
        ];
        let mut paths = Paths::default();
        let numbers: Vec<usize> = expected.iter().map(|(path, _)| paths.number(&steps(path))).collect();
        assert_eq!(paths.number(&steps("b.c.1")), numbers[2], "the same path has one number");
        let mut found = Vec::new();
        paths.look_up(json, &mut found).unwrap();
        for ((path, expected), number) in expected.iter().zip(numbers) {
            assert_eq!(found[number], *expected, "{path}");
        }
        paths.look_up("[1]", &mut found).unwrap();
        assert!(found.iter().all(Option::is_none), "an array has no members");
    }
}
