//! What changed between two schemas, and for whom that is a break.
//!
//! The comparison follows the structure of both, with every `$ref` resolved. It is on the safe side: where it does not see
//! that everything the older schema allows is allowed by the newer one, it says that this breaks whoever reads by the newer
//! schema, and the other way round. One thing it takes as readers of events do: a field that is added is compared with
//! older data as if nobody had stored another value under its name before it was described.

mod members;
mod values;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::document::{Document, Part, canonical};
use super::facts::{Facts, Together, Types};
use crate::compat::Change;

/// How many pairs of schemas are compared at most.
const STEPS_MAX: usize = 5000;
/// How many changes are told at most.
const CHANGES_MAX: usize = 200;

/// What changed from one schema to a newer one.
pub(crate) fn between(older: &Document, newer: &Document) -> Vec<Change> {
    if older.canonical == newer.canonical && older.schema == newer.schema {
        return Vec::new();
    }
    let mut comparison = Comparison {
        older,
        newer,
        changes: Vec::new(),
        open: HashSet::new(),
        patterns: HashMap::new(),
        steps: 0,
        is_given_up: false,
    };
    comparison.schemas("", &[&older.schema], &[&newer.schema]);
    let mut changes = comparison.changes;
    if changes.is_empty() {
        changes.push(Change {
            path: String::new(),
            breaks_backward: false,
            breaks_forward: false,
            is_visible: false,
            sentence: "what data may be did not change, only how that is written or described: titles, descriptions, examples, \
                       the order"
                .to_owned(),
        });
    }
    changes
}

/// A comparison under way.
struct Comparison<'a> {
    older: &'a Document,
    newer: &'a Document,
    changes: Vec<Change>,
    /// The pairs that are being compared: a schema that leads back to itself is compared once on each way.
    open: HashSet<Pair>,
    /// Regular expressions for names, compiled; `None` where one cannot be.
    patterns: HashMap<&'a str, Option<regex::Regex>>,
    steps: usize,
    is_given_up: bool,
}

/// Which schemas are compared, and for which types.
type Pair = (Vec<*const Value>, Types, Vec<*const Value>, Types);

/// One of several that a value may be.
#[derive(Clone)]
struct Alternative<'a> {
    together: Together<'a>,
    within: Types,
}

/// What breaks for whom: the rest of a sentence about older data, or about newer.
#[derive(Clone, Copy, Default)]
struct Breaks<'a> {
    /// What whoever reads by the new schema meets in what was stored before.
    backward: Option<&'a str>,
    /// What whoever still reads by the old schema meets in what is stored now.
    forward: Option<&'a str>,
}

/// A path as the subject of a sentence.
fn subject(path: &str) -> String {
    if path.is_empty() { "the data".to_owned() } else { format!("`{path}`") }
}

impl<'a> Comparison<'a> {
    /// Takes down a change. `ways` are the ways out, told where it breaks somebody.
    fn tell(&mut self, path: &str, what: String, breaks: Breaks<'_>, ways: &str) {
        let mut sentence = what;
        let mut separator = ": ";
        if let Some(met) = breaks.backward {
            sentence.push_str(&format!("{separator}whoever reads by the new schema what was stored before {met}"));
            separator = ", and ";
        }
        if let Some(met) = breaks.forward {
            sentence.push_str(&format!("{separator}whoever still reads by the old schema what is stored now {met}"));
        }
        if breaks.backward.is_some() || breaks.forward.is_some() {
            sentence.push_str(&format!("; {ways}"));
        }
        let change = Change {
            path: path.to_owned(),
            breaks_backward: breaks.backward.is_some(),
            breaks_forward: breaks.forward.is_some(),
            is_visible: true,
            sentence,
        };
        if self.changes.len() >= CHANGES_MAX {
            self.give_up();
        } else if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    /// Something changed that is not understood.
    fn not_understood(&mut self, path: &str, keyword: &str) {
        self.tell(
            path,
            format!(
                "{} has another `{keyword}`, and what that does to its values is not understood here",
                subject(path)
            ),
            Breaks { backward: Some("may find values that it does not allow"), forward: Some("may too") },
            "leave it as it was, or register an upcaster that brings old values to what the new schema says",
        );
    }

    /// Ends a comparison that is too long, on the safe side.
    fn give_up(&mut self) {
        if !self.is_given_up {
            self.is_given_up = true;
            self.steps = STEPS_MAX;
            self.changes.push(Change {
                path: String::new(),
                breaks_backward: true,
                breaks_forward: true,
                is_visible: true,
                sentence: "the schemas differ in more than can be told: whoever reads by the new schema what was stored before \
                           may find anything, and whoever still reads by the old schema what is stored now may too; change \
                           less at once, or register an upcaster"
                    .to_owned(),
            });
        }
    }

    /// Compares what describes one value.
    fn schemas(&mut self, path: &str, older: &[&'a Value], newer: &[&'a Value]) {
        let older: Together<'a> = older.iter().map(|schema| target(self.older, schema)).collect();
        let newer: Together<'a> = newer.iter().map(|schema| target(self.newer, schema)).collect();
        self.alternatives(path, &unions(self.older, &older), &unions(self.newer, &newer));
    }

    fn facts_of(&mut self, document: &'a Document, alternative: &Alternative<'a>) -> Facts<'a> {
        Facts::of(document, &alternative.together, alternative.within, &mut |list| is_exclusive(document, list))
    }

    /// Compares two lists of alternatives: everything that one of the older ones allows has to be allowed by a newer one.
    fn alternatives(&mut self, path: &str, older: &[Alternative<'a>], newer: &[Alternative<'a>]) {
        if let ([older], [newer]) = (older, newer) {
            return self.pair(path, older, newer);
        }
        // A schema of several types is as good as an alternative for each.
        let (older, newer) = (self.by_type(self.older, older), self.by_type(self.newer, newer));
        let mut left: Vec<&Alternative<'a>> = newer.iter().collect();
        let mut changed: Vec<&Alternative<'a>> = Vec::new();
        for one in &older {
            let same = |other: &&Alternative<'a>| {
                one.within == other.within && self.same_lists(&one.together, &other.together)
            };
            match left.iter().position(same) {
                Some(found) => drop(left.remove(found)),
                None => changed.push(one),
            }
        }
        for one in changed {
            let facts = self.facts_of(self.older, one);
            if facts.types().is_none() {
                continue;
            }
            let tags = tags(self.older, &facts);
            let near = |other: &&Alternative<'a>| {
                let other = Facts::of(self.newer, &other.together, other.within, &mut |_| false);
                let other_tags = self::tags(self.newer, &other);
                facts.types().meets(other.types())
                    && tags.iter().all(|(name, value)| other_tags.get(name).is_none_or(|other| other == value))
            };
            match left.iter().position(near) {
                Some(found) => {
                    let other = left.remove(found);
                    self.pair(path, one, other);
                }
                None => {
                    let what = format!("{} may no longer be {}", subject(path), kind_of(&facts, &tags));
                    let breaks = Breaks { backward: Some("may find that there"), forward: None };
                    let ways = format!(
                        "keep that alternative, or register an upcaster that makes another of {}",
                        subject(path)
                    );
                    self.tell(path, what, breaks, &ways);
                }
            }
        }
        for other in left {
            let facts = self.facts_of(self.newer, other);
            if facts.types().is_none() {
                continue;
            }
            let what = format!("{} may also be {} now", subject(path), kind_of(&facts, &tags(self.newer, &facts)));
            let breaks = Breaks { backward: None, forward: Some("does not know that") };
            self.tell(path, what, breaks, "use another field for it, or let those readers take the new schema first");
        }
    }

    fn by_type(&mut self, document: &'a Document, alternatives: &[Alternative<'a>]) -> Vec<Alternative<'a>> {
        let [one] = alternatives else { return alternatives.to_vec() };
        let types = self.facts_of(document, one).types();
        let each = Types::EACH.into_iter().filter(|each| types.meets(*each));
        each.map(|each| Alternative { together: one.together.clone(), within: types.and(each) }).collect()
    }

    /// Compares two schemas without alternatives at the top.
    fn pair(&mut self, path: &str, older: &Alternative<'a>, newer: &Alternative<'a>) {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return self.give_up();
        }
        let addresses = |together: &Together<'a>| together.iter().map(|schema| std::ptr::from_ref(*schema)).collect();
        let pair = (addresses(&older.together), older.within, addresses(&newer.together), newer.within);
        // What leads back to itself is the same all the way down as it is here.
        if !self.open.insert(pair.clone()) {
            return;
        }
        let (was, is) = (self.facts_of(self.older, older), self.facts_of(self.newer, newer));
        self.facts(path, &was, &is, older, newer);
        self.open.remove(&pair);
    }

    fn facts(&mut self, path: &str, was: &Facts<'a>, is: &Facts<'a>, older: &Alternative<'a>, newer: &Alternative<'a>) {
        if !self.types(path, was.types(), is.types()) {
            return;
        }
        self.values(path, was, is);
        let both = was.types().and(is.types());
        if both.meets(Types::ARRAY) {
            self.items(path, was, is);
        }
        if both.meets(Types::OBJECT) {
            self.members(path, was, is);
        }
        self.unions(path, was, is);
        self.opaque(path, was, is);
        // What alternatives leave over depends on all of them.
        let leaves_over = |facts: &Facts<'a>| {
            facts.opaque.contains_key("unevaluatedProperties") || facts.opaque.contains_key("unevaluatedItems")
        };
        if (leaves_over(was) || leaves_over(is)) && !self.same_lists(&older.together, &newer.together) {
            self.not_understood(path, "unevaluatedProperties` or `unevaluatedItems");
        }
    }

    fn items(&mut self, path: &str, was: &Facts<'a>, is: &Facts<'a>) {
        let first = was.first_items().max(is.first_items());
        for place in 0..first {
            self.schemas(&format!("{path}/{place}"), &was.item(place), &is.item(place));
        }
        self.schemas(&format!("{path}/*"), &was.item(first), &is.item(first));
    }

    /// Compares alternatives that stand beside other rules.
    fn unions(&mut self, path: &str, was: &Facts<'a>, is: &Facts<'a>) {
        let alternatives = |union: &Vec<&'a Value>, within: Types| -> Vec<Alternative<'a>> {
            union.iter().map(|schema| Alternative { together: vec![*schema], within }).collect()
        };
        let both = was.types().and(is.types());
        match (&was.unions[..], &is.unions[..]) {
            (older, newer) if older.len() == newer.len() => {
                for (older, newer) in older.iter().zip(newer) {
                    self.alternatives(path, &alternatives(older, both), &alternatives(newer, both));
                }
            }
            (older, []) if !older.is_empty() => self.loosened(path, "anyOf", "it is gone"),
            ([], _) => self.tightened(path, "anyOf", "it is new"),
            _ => self.not_understood(path, "anyOf"),
        }
    }

    fn opaque(&mut self, path: &str, was: &Facts<'a>, is: &Facts<'a>) {
        let keywords: std::collections::BTreeSet<_> = was.opaque.keys().chain(is.opaque.keys()).copied().collect();
        for keyword in keywords {
            match (was.opaque.get(keyword), is.opaque.get(keyword)) {
                (None, Some(_)) => self.tightened(path, keyword, "it is new"),
                (Some(_), None) => self.loosened(path, keyword, "it is gone"),
                (Some(older), Some(newer)) => {
                    let part = Part::of_keyword(keyword);
                    let is_same = older.len() == newer.len()
                        && older.iter().zip(newer).all(|(older, newer)| self.same_parts(older, newer, part));
                    if !is_same {
                        self.not_understood(path, keyword);
                    }
                }
                (None, None) => {}
            }
        }
    }

    fn same_lists(&self, older: &[&'a Value], newer: &[&'a Value]) -> bool {
        self.same_parts(older, newer, Part::Schema)
    }

    fn same_parts(&self, older: &[&'a Value], newer: &[&'a Value], part: Part) -> bool {
        let mut assumed = HashSet::new();
        older.len() == newer.len()
            && older.iter().zip(newer).all(|(older, newer)| self.same(older, newer, part, &mut assumed))
    }

    /// Whether two schemas, or two parts of them, say the same when every `$ref` is resolved.
    fn same(
        &self,
        older: &'a Value,
        newer: &'a Value,
        part: Part,
        assumed: &mut HashSet<(*const Value, *const Value)>,
    ) -> bool {
        const ASSUMED_MAX: usize = 10_000;
        let (older, newer) = match part {
            Part::Schema => (target(self.older, older), target(self.newer, newer)),
            Part::Named | Part::Plain => (older, newer),
        };
        match (older, newer) {
            (Value::Object(was), Value::Object(is)) => {
                if assumed.len() > ASSUMED_MAX {
                    return false;
                }
                if !assumed.insert((std::ptr::from_ref(older), std::ptr::from_ref(newer))) {
                    return true;
                }
                // These are keywords of a schema, and fields like any other where fields are named.
                let says = |name: &&String| {
                    part != Part::Schema || !matches!(&***name, "$defs" | "definitions" | "default" | "format")
                };
                was.keys().filter(says).count() == is.keys().filter(says).count()
                    && was.iter().filter(|(name, _)| says(name)).all(|(name, was)| {
                        is.get(name).is_some_and(|is| match (part, &**name, was.as_str(), is.as_str()) {
                            (Part::Schema, "$ref", Some(was), Some(is)) => {
                                match (self.older.resolve(was), self.newer.resolve(is)) {
                                    (Some(was), Some(is)) => self.same(was, is, Part::Schema, assumed),
                                    _ => false,
                                }
                            }
                            (Part::Schema, keyword, ..) => self.same(was, is, Part::of_keyword(keyword), assumed),
                            (Part::Named, ..) => self.same(was, is, Part::Schema, assumed),
                            (Part::Plain, ..) => self.same(was, is, Part::Plain, assumed),
                        })
                    })
            }
            (Value::Array(was), Value::Array(is)) => {
                was.len() == is.len() && was.iter().zip(is).all(|(was, is)| self.same(was, is, part, assumed))
            }
            (was, is) => was == is,
        }
    }
}

/// What a schema that is nothing but a `$ref` points to.
fn target<'a>(document: &'a Document, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    // The bounds let no more of them lie in a row.
    while let Some(Value::String(reference)) =
        schema.as_object().filter(|members| members.len() == 1).and_then(|members| members.get("$ref"))
    {
        match document.resolve(reference) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The alternatives of a schema that says nothing but them; else the schema alone.
fn unions<'a>(document: &'a Document, together: &[&'a Value]) -> Vec<Alternative<'a>> {
    const ALTERNATIVES_MAX: usize = 64;
    let alone = || vec![Alternative { together: together.to_vec(), within: Types::ALL }];
    let [schema] = together else { return alone() };
    let Some(members) = target(document, schema).as_object() else { return alone() };
    let mut says =
        members.iter().filter(|(name, _)| !matches!(&***name, "default" | "format" | "$defs" | "definitions"));
    let (Some((keyword, Value::Array(list))), None) = (says.next(), says.next()) else { return alone() };
    let is_union = match &**keyword {
        "anyOf" => true,
        "oneOf" => is_exclusive(document, list),
        _ => false,
    };
    if !is_union {
        return alone();
    }
    let all: Vec<_> = list.iter().flat_map(|schema| unions(document, &[schema])).collect();
    if all.len() > ALTERNATIVES_MAX { alone() } else { all }
}

/// Whether never two of a list of schemas hold: each wants another type, or another value of one required field.
fn is_exclusive<'a>(document: &'a Document, list: &'a [Value]) -> bool {
    const ALTERNATIVES_MAX: usize = 64;
    if list.len() > ALTERNATIVES_MAX {
        return false;
    }
    // Alternatives within these are not looked at: only types and required fields tell them apart.
    let facts: Vec<_> = list.iter().map(|schema| Facts::of(document, &[schema], Types::ALL, &mut |_| false)).collect();
    let tags: Vec<_> = facts.iter().map(|facts| tags(document, facts)).collect();
    (0..list.len()).all(|one| {
        (0..one).all(|other| {
            let both = facts[one].types().and(facts[other].types());
            let differs =
                || tags[one].iter().any(|(name, value)| tags[other].get(name).is_some_and(|other| other != value));
            both.is_none() || both == Types::OBJECT && differs()
        })
    })
}

/// The required fields that may have one value only.
fn tags<'a>(document: &'a Document, facts: &Facts<'a>) -> HashMap<&'a str, String> {
    let mut tags = HashMap::new();
    for name in &facts.required {
        // A pattern that matches could only forbid more.
        let member = facts.member(name, &mut |_, _| false);
        let member = Facts::of(document, &member, Types::ALL, &mut |_| false);
        if let Some(value) =
            member.values.filter(|values| values.len() == 1).and_then(|values| values.into_keys().next())
        {
            tags.insert(*name, value);
        }
    }
    tags
}

/// What an alternative is, in words.
fn kind_of(facts: &Facts<'_>, tags: &HashMap<&str, String>) -> String {
    let tag = tags.iter().min().map(|(name, value)| format!(" whose `{name}` is {value}"));
    format!("{}{}", facts.types().words(), tag.unwrap_or_default())
}

/// A value for a message.
fn word(value: &Value) -> String {
    super::document::shortened(&canonical(value))
}
