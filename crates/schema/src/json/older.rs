//! Drafts 04 and 06 as draft-07: what is written otherwise there is written anew, and what they do not know is left out,
//! so that it goes on to mean nothing. Every schema stays where it stands, so that pointers go on to point to it.

use jsonschema::Draft;
use serde_json::{Map, Value};

const DRAFT_7: &str = "http://json-schema.org/draft-07/schema#";

/// Keywords that neither draft knows, and those that draft-04 does not know beside them.
const NOT_IN_DRAFT_6: [&str; 3] = ["else", "if", "then"];
const NOT_IN_DRAFT_4: [&str; 4] = ["$id", "const", "contains", "propertyNames"];

/// Keywords whose value is a schema or a list of some, and those whose value is an object of some.
const SCHEMAS: [&str; 10] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "items",
    "not",
    "oneOf",
    "propertyNames",
    "then",
];
const NAMED: [&str; 5] = ["$defs", "definitions", "dependencies", "patternProperties", "properties"];

/// A schema of one of these drafts in draft-07; `names_it` says whether a `$schema` names this very draft.
pub(super) fn in_draft_7(schema: &Value, draft: Draft, names_it: &dyn Fn(&Value) -> bool) -> Value {
    let inner = |schema: &Value| in_draft_7(schema, draft, names_it);
    match schema {
        Value::Array(schemas) => schemas.iter().map(inner).collect(),
        Value::Object(members) => {
            let is_4 = draft == Draft::Draft4;
            let mut written = Map::new();
            for (name, value) in members {
                let is_known = !(NOT_IN_DRAFT_6.contains(&&**name) || is_4 && NOT_IN_DRAFT_4.contains(&&**name));
                match (name.as_str(), value) {
                    ("$schema", _) if names_it(schema) => drop(written.insert(name.clone(), DRAFT_7.into())),
                    ("id", Value::String(_)) if is_4 => drop(written.insert("$id".to_owned(), value.clone())),
                    ("exclusiveMinimum" | "exclusiveMaximum" | "minimum" | "maximum", _) if is_4 => {}
                    (name, Value::Object(named)) if NAMED.contains(&name) => {
                        let named: Map<_, _> = named.iter().map(|(name, part)| (name.clone(), inner(part))).collect();
                        written.insert(name.to_owned(), Value::Object(named));
                    }
                    (name, value) if SCHEMAS.contains(&name) && is_known => {
                        drop(written.insert(name.to_owned(), inner(value)))
                    }
                    (name, value) if is_known => drop(written.insert(name.to_owned(), value.clone())),
                    _ => {}
                }
            }
            if is_4 {
                for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
                    let name = if members.get(exclusive) == Some(&Value::Bool(true)) { exclusive } else { bound };
                    written.extend(members.get(bound).map(|value| (name.to_owned(), value.clone())));
                }
            }
            Value::Object(written)
        }
        other => other.clone(),
    }
}
