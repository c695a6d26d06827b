//! The one spelling that all texts of an Avro schema share which say the same: blanks, the order of members, how names are
//! qualified, and whether a plain type stands in an object make no difference, and everything else does, words and members
//! that Avro does not know, too, because clients go by them.

use serde_json::{Map, Value, json};

use super::compile::primitive;

/// A schema, which has been compiled, without blanks, with sorted members and full names.
pub(super) fn canonical(schema: &Value) -> String {
    crate::json::canonical(&spelled(schema, ""))
}

/// `space` is the namespace that it stands in.
fn spelled(schema: &Value, space: &str) -> Value {
    match schema {
        Value::String(word) if primitive(word).is_some() => schema.clone(),
        Value::String(name) => full(name, space).into(),
        Value::Array(branches) => branches.iter().map(|branch| spelled(branch, space)).collect(),
        Value::Object(members) => object(members, space),
        other => other.clone(),
    }
}

fn object(members: &Map<String, Value>, space: &str) -> Value {
    let word = members.get("type").and_then(Value::as_str).unwrap_or_default();
    let is_named = matches!(word, "record" | "enum" | "fixed");
    let is_container = matches!(word, "array" | "map");
    if members.len() == 1 && !is_named && !is_container {
        return members.get("type").map_or(Value::Null, |inner| spelled(inner, space));
    }
    let own = members.get("namespace").and_then(Value::as_str).unwrap_or(space);
    let name = members.get("name").and_then(Value::as_str).map(|name| full(name, own)).unwrap_or_default();
    let inside = if is_named { name.rsplit_once('.').map_or("", |(space, _)| space) } else { space };
    let part = |key: &str, value: &Value| match key {
        "name" if is_named => name.as_str().into(),
        "aliases" if is_named => {
            let aliases = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            aliases.map(|alias| full(alias, inside)).collect()
        }
        "fields" if is_named => value.as_array().into_iter().flatten().map(|one| field(one, inside)).collect(),
        "items" | "values" if is_container => spelled(value, space),
        "type" if !is_named && !is_container => spelled(value, space),
        _ => value.clone(),
    };
    let kept = members.iter().filter(|(key, _)| !(is_named && *key == "namespace"));
    Value::Object(kept.map(|(key, value)| (key.clone(), part(key, value))).collect())
}

fn field(field: &Value, space: &str) -> Value {
    let members = field.as_object().into_iter().flatten();
    // What a field is ordered by where it says nothing.
    let kept = members.filter(|(key, value)| !(*key == "order" && **value == json!("ascending")));
    let part = |key: &str, value: &Value| if key == "type" { spelled(value, space) } else { value.clone() };
    Value::Object(kept.map(|(key, value)| (key.clone(), part(key, value))).collect())
}

/// A name with its namespace; one that has been compiled is a name.
fn full(name: &str, space: &str) -> String {
    match name.strip_prefix('.') {
        Some(name) => name.to_owned(),
        None if name.contains('.') || space.is_empty() => name.to_owned(),
        None => format!("{space}.{name}"),
    }
}
