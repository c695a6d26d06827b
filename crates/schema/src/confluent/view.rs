//! A JSON Schema, seen the way in which it is compared: references followed, spellings of several drafts as one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// How many references lead from one to the next, at most.
const REFERENCES_MAX: usize = 32;
/// The types of JSON, without whole numbers, which are numbers.
pub(super) const TYPES: [&str; 6] = ["array", "boolean", "null", "number", "object", "string"];
const OBJECT_RULES: [&str; 9] = [
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "minProperties",
    "maxProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
];
const ARRAY_RULES: [&str; 6] = ["items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"];
const TEXT_RULES: [&str; 3] = ["minLength", "maxLength", "pattern"];
const NUMBER_RULES: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const OTHER_RULES: [&str; 9] = ["type", "enum", "const", "not", "allOf", "anyOf", "oneOf", "if", "$ref"];

/// A schema or a part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) root: &'a Value,
    pub(super) value: &'a Value,
}

/// What an object may hold besides what its schema describes, or a list behind its first items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Open,
    Closed,
    Partial,
}

impl<'a> View<'a> {
    pub(super) fn new(root: &'a Value) -> View<'a> {
        View { root, value: root }.followed()
    }

    pub(super) fn part(&self, value: &'a Value) -> View<'a> {
        View { value, ..*self }.followed()
    }

    /// What a reference within the document refers to.
    fn followed(self) -> View<'a> {
        let mut view = self;
        for _ in 0..REFERENCES_MAX {
            let Some(next) = view.get("$ref").and_then(Value::as_str).and_then(|name| self.named(name)) else { break };
            view.value = next;
        }
        view
    }

    fn named(&self, name: &str) -> Option<&'a Value> {
        let inside = match name.split_once('#') {
            Some(("", pointer)) => pointer,
            Some((id, pointer)) if self.root.get("$id").and_then(Value::as_str) == Some(id) => pointer,
            _ => return None,
        };
        if inside.is_empty() || inside.starts_with('/') {
            return self.root.pointer(&inside.replace("%25", "%"));
        }
        let parts = ["$defs", "definitions"].into_iter().filter_map(|part| self.root.get(part)?.as_object());
        parts.flat_map(Map::values).find(|part| part.get("$anchor").and_then(Value::as_str) == Some(inside))
    }

    pub(super) fn get(&self, rule: &str) -> Option<&'a Value> {
        self.value.get(rule)
    }

    pub(super) fn number(&self, rule: &str) -> Option<f64> {
        self.get(rule)?.as_f64()
    }

    /// The members of a rule that is an object of schemas.
    pub(super) fn members(&self, rule: &str) -> impl Iterator<Item = (&'a String, View<'a>)> {
        let view = *self;
        self.get(rule)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(move |(name, value)| (name, view.part(value)))
    }

    /// The schemas of a rule that is a list of them.
    pub(super) fn list(&self, rule: &str) -> Vec<View<'a>> {
        self.get(rule).and_then(Value::as_array).into_iter().flatten().map(|value| self.part(value)).collect()
    }

    pub(super) fn texts(&self, rule: &str) -> BTreeSet<&'a str> {
        self.get(rule).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether it allows everything.
    pub(super) fn is_anything(&self) -> bool {
        match self.value {
            Value::Object(members) => !members.keys().any(|rule| is_rule(rule)),
            value => *value == Value::Bool(true),
        }
    }

    /// Whether it allows nothing.
    pub(super) fn is_nothing(&self) -> bool {
        *self.value == Value::Bool(false)
    }

    /// Whether a value need not be there because there is another one to take.
    pub(super) fn has_default(&self) -> bool {
        self.get("default").is_some()
    }

    /// The types it allows, and whether only whole numbers are numbers to it. Where it names none, its rules and values do;
    /// `None` where what it combines says them.
    pub(super) fn types(&self) -> Option<(BTreeSet<&'a str>, bool)> {
        let named: BTreeSet<&str> = match self.get("type") {
            Some(Value::String(one)) => BTreeSet::from([one.as_str()]),
            Some(Value::Array(_)) => self.texts("type"),
            _ => BTreeSet::new(),
        };
        if !named.is_empty() {
            let is_whole = named.contains("integer") && !named.contains("number");
            return Some((
                named.into_iter().map(|one| if one == "integer" { "number" } else { one }).collect(),
                is_whole,
            ));
        }
        if ["allOf", "anyOf", "oneOf", "not", "if"].iter().any(|rule| self.get(rule).is_some()) {
            return None;
        }
        let groups: [(&str, &[&str]); 4] =
            [("object", &OBJECT_RULES), ("array", &ARRAY_RULES), ("string", &TEXT_RULES), ("number", &NUMBER_RULES)];
        let of_rules = groups.iter().filter(|(_, rules)| rules.iter().any(|rule| self.get(rule).is_some()));
        let mut types: BTreeSet<&str> = of_rules.map(|(one, _)| *one).collect();
        let values = self.values().unwrap_or_default();
        types.extend(values.iter().map(|value| type_of(value)));
        let is_whole = types.contains("number") && !values.is_empty() && !values.iter().any(|value| value.is_f64());
        Some((if types.is_empty() { TYPES.into() } else { types }, is_whole))
    }

    /// The values it allows, if it names them.
    pub(super) fn values(&self) -> Option<Vec<&'a Value>> {
        match (self.get("enum").and_then(Value::as_array), self.get("const")) {
            (Some(values), _) => Some(values.iter().collect()),
            (None, Some(value)) => Some(vec![value]),
            (None, None) => None,
        }
    }

    pub(super) fn object_model(&self) -> Model {
        let has_patterns = self.members("patternProperties").next().is_some();
        self.model("additionalProperties", has_patterns)
    }

    pub(super) fn list_model(&self) -> Model {
        self.model(self.rest_rule(), false)
    }

    fn model(&self, rule: &str, has_patterns: bool) -> Model {
        match self.get(rule).map(|value| self.part(value)) {
            Some(rest) if !rest.is_anything() && !rest.is_nothing() => Model::Partial,
            _ if has_patterns => Model::Partial,
            Some(rest) if rest.is_nothing() => Model::Closed,
            _ => Model::Open,
        }
    }

    /// The schemas of the first items of a list, each by itself.
    pub(super) fn first_items(&self) -> Vec<View<'a>> {
        let list = self.list("prefixItems");
        if list.is_empty() { self.list("items") } else { list }
    }

    /// The rule that speaks of the items behind the first ones: `items` is the newer spelling, behind `prefixItems`.
    pub(super) fn rest_rule(&self) -> &'static str {
        if self.get("prefixItems").is_some() { "items" } else { "additionalItems" }
    }

    /// The schema of every item, where no first ones are described by themselves.
    pub(super) fn every_item(&self) -> Option<View<'a>> {
        let items = self.get("items").filter(|items| !items.is_array() && self.get("prefixItems").is_none())?;
        Some(self.part(items))
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a keyword allows less than everything.
fn is_rule(rule: &str) -> bool {
    [&OBJECT_RULES[..], &ARRAY_RULES, &TEXT_RULES, &NUMBER_RULES, &OTHER_RULES]
        .iter()
        .any(|rules| rules.contains(&rule))
}
