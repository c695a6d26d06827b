//! The fields that a schema names.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::document::{Document, escape};
use crate::format::Field;

/// How many fields are listed at most.
const FIELDS_MAX: usize = 2000;
/// How deep they are looked for.
const DEPTH_MAX: usize = 16;
/// How many schemas are looked at.
const STEPS_MAX: usize = 20_000;

/// Lists the fields by their paths.
pub(crate) fn list(document: &Document) -> Vec<Field> {
    let mut list = List { document, fields: BTreeMap::new(), way: Vec::new(), steps: 0 };
    list.schema(&document.schema, "", true);
    let fields = list.fields.into_iter();
    fields.map(|(path, is_required)| Field { path, is_required }).collect()
}

struct List<'a> {
    document: &'a Document,
    fields: BTreeMap<String, bool>,
    /// The schemas on the way to the one at hand: one that leads back to itself is not followed again.
    way: Vec<*const Value>,
    steps: usize,
}

impl<'a> List<'a> {
    /// `is_certain` is whether data always is there and always has to be what this schema says.
    fn schema(&mut self, schema: &'a Value, path: &str, is_certain: bool) {
        let own = std::ptr::from_ref(schema);
        let Some(members) = schema.as_object() else { return };
        self.steps += 1;
        if self.steps > STEPS_MAX || self.fields.len() >= FIELDS_MAX || self.way.contains(&own) {
            return;
        }
        self.way.push(own);
        self.members(members, path, is_certain);
        self.way.pop();
    }

    fn members(&mut self, members: &'a Map<String, Value>, path: &str, is_certain: bool) {
        let required: Vec<&str> = texts(members.get("required"));
        for name in &required {
            self.field(format!("{path}/{}", escape(name)), is_certain);
        }
        let deep = path.matches('/').count() >= DEPTH_MAX;
        for (name, schema) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
            // What may never be there is no field.
            if *schema == Value::Bool(false) {
                continue;
            }
            let is_required = is_certain && required.contains(&&**name);
            let path = format!("{path}/{}", escape(name));
            self.field(path.clone(), is_required);
            if !deep {
                self.schema(schema, &path, is_required);
            }
        }
        let items = members.get("items").into_iter();
        let first = members.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
        let items: Vec<&Value> = items.chain(first).collect();
        for schema in items {
            if !deep {
                self.schema(schema, &format!("{path}/*"), is_certain);
            }
        }
        if let Some(target) = members.get("$ref").and_then(Value::as_str).and_then(|to| self.document.resolve(to)) {
            self.schema(target, path, is_certain);
        }
        for (keyword, is_certain) in [("allOf", is_certain), ("anyOf", false), ("oneOf", false)] {
            for schema in members.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                self.schema(schema, path, is_certain);
            }
        }
        for keyword in ["if", "then", "else"] {
            if let Some(schema) = members.get(keyword) {
                self.schema(schema, path, false);
            }
        }
        for (_, schema) in members.get("dependentSchemas").and_then(Value::as_object).into_iter().flatten() {
            self.schema(schema, path, false);
        }
    }

    fn field(&mut self, path: String, is_required: bool) {
        if self.fields.len() < FIELDS_MAX {
            *self.fields.entry(path).or_default() |= is_required;
        }
    }
}

/// The texts of a list.
pub(crate) fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
