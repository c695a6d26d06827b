//! What the functions for SQL hold data against: a JSON Schema as the PL/pgSQL validator reads it, or the reason why events of
//! a version cannot come by SQL.

use pacioli_core::schemas::SchemaFormat;
use pacioli_schema::catalogue::Entry;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::pattern;

/// How long a text in a message is at most, in characters.
const TOLD_CHARACTERS: usize = 60;
/// How many values of an `enum` a message tells.
const TOLD_VALUES: usize = 6;

/// Keywords that say nothing about whether data is valid.
const SILENT: [&str; 11] = [
    "title",
    "description",
    "default",
    "examples",
    "$comment",
    "$schema",
    "$anchor",
    "format",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// Keywords that the validator reads as they are.
const PLAIN: [&str; 12] = [
    "required",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];
const ONE: [&str; 3] = ["additionalProperties", "items", "not"];
const MANY: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const NAMED: [&str; 3] = ["properties", "$defs", "definitions"];

/// The rules of a version as JSON, or why it has none, as the end of a sentence that begins with the version.
pub(super) fn rules(entry: &Entry) -> Result<String, String> {
    if entry.row.format != SchemaFormat::Json {
        return Err(format!("its schema is one of {}, whose data is binary", entry.row.format.word()));
    }
    let schema = entry.schema().map_err(|error| format!("this build does not take its schema ({error})"))?;
    let schema = schema.as_json_schema().ok_or("its schema is no JSON Schema")?.in_one_document();
    let rules = one(schema, true)?;
    lead_somewhere(&rules, &rules)?;
    let text = rules.to_string();
    if text.contains("\\u0000") {
        return Err("its schema has a text that PostgreSQL cannot hold".to_owned());
    }
    Ok(text)
}

fn one(schema: &Value, is_root: bool) -> Result<Value, String> {
    let one = |inner| one(inner, false);
    let Some(members) = schema.as_object() else { return Ok(schema.clone()) };
    let mut rules = Map::new();
    for (keyword, value) in members {
        let name = keyword.as_str();
        let rule = match name {
            _ if SILENT.contains(&name) => continue,
            "$id" if is_root => continue,
            // References in it would begin there.
            "$id" => return Err("its schema has an `$id` within it".to_owned()),
            _ if PLAIN.contains(&name) => value.clone(),
            _ if ONE.contains(&name) => one(value)?,
            _ if MANY.contains(&name) => value.as_array().into_iter().flatten().map(one).collect::<Result<_, _>>()?,
            _ if NAMED.contains(&name) => {
                let each = value.as_object().into_iter().flatten();
                let each: Result<Map<_, _>, _> = each.map(|(name, inner)| Ok((name.clone(), one(inner)?))).collect();
                Value::Object(each.map_err(|error: String| error)?)
            }
            // Beside what it is, what it is told as.
            "type" => json!({"is": value, "told": told_types(value)}),
            "enum" => json!({"is": value, "told": told_values(value)}),
            "const" => json!({"is": value, "told": told_value(value)}),
            "pattern" => {
                let pattern = value.as_str().unwrap_or_default();
                let Some(translated) = pattern::translate(pattern) else {
                    return Err(format!(
                        "its schema has the pattern `{}`, which PostgreSQL would read in another way",
                        shortened(pattern)
                    ));
                };
                json!({"is": translated, "told": shortened(pattern)})
            }
            "$ref" => Value::from(path(value.as_str().unwrap_or_default())?),
            other => return Err(format!("its schema uses `{other}`, which the functions for SQL do not know")),
        };
        rules.insert(keyword.clone(), rule);
    }
    Ok(Value::Object(rules))
}

/// That each reference leads to rules: what leads nowhere lets everything pass.
fn lead_somewhere(root: &Value, rules: &Value) -> Result<(), String> {
    let Some(members) = rules.as_object() else { return Ok(()) };
    for (keyword, value) in members {
        match keyword.as_str() {
            "$ref" => {
                let path = || value.as_array().into_iter().flatten().filter_map(Value::as_str);
                let step = |place: &'_ Value, segment: &str| match place {
                    Value::Array(items) => items.get(segment.parse::<usize>().ok()?).cloned(),
                    place => place.get(segment).cloned(),
                };
                let found = path().try_fold(root.clone(), |place, segment| step(&place, segment));
                if !found.is_some_and(|found| found.is_object() || found.is_boolean()) {
                    let path = path().collect::<Vec<_>>().join("/");
                    let path = shortened(&path);
                    return Err(format!("its schema refers to `#/{path}`, which the functions for SQL cannot follow"));
                }
            }
            name if ONE.contains(&name) => lead_somewhere(root, value)?,
            name if MANY.contains(&name) => {
                value.as_array().into_iter().flatten().try_for_each(|inner| lead_somewhere(root, inner))?;
            }
            name if NAMED.contains(&name) => {
                value.as_object().into_iter().flatten().try_for_each(|(_, inner)| lead_somewhere(root, inner))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The way into the document that a reference names.
fn path(reference: &str) -> Result<Vec<String>, String> {
    let strange =
        || format!("its schema refers to `{}`, which the functions for SQL cannot follow", shortened(reference));
    let pointer = reference.strip_prefix('#').ok_or_else(strange)?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(strange());
    }
    let pointer = percent_decode_str(pointer).decode_utf8().map_err(|_| strange())?;
    Ok(pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}

fn told_types(types: &Value) -> String {
    let told = |one: &Value| match one.as_str() {
        Some("array") => "a list",
        Some("boolean") => "true or false",
        Some("integer") => "an integer",
        Some("null") => "null",
        Some("number") => "a number",
        Some("object") => "an object",
        _ => "a text",
    };
    match types.as_array() {
        Some(types) => {
            let mut types: Vec<&Value> = types.iter().collect();
            // In the order in which the validator of servers tells them.
            const ORDER: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];
            types.sort_by_key(|one| ORDER.iter().position(|known| one.as_str() == Some(*known)));
            types.into_iter().map(told).collect::<Vec<_>>().join(" or ")
        }
        None => told(types).to_owned(),
    }
}

fn told_value(value: &Value) -> String {
    shortened(&match value {
        Value::String(text) => format!("`{}`", shortened(text)),
        Value::Array(_) | Value::Object(_) => "one certain value".to_owned(),
        scalar => scalar.to_string(),
    })
}

fn told_values(options: &Value) -> String {
    let options = options.as_array().map_or(&[][..], Vec::as_slice);
    let mut told = options.iter().take(TOLD_VALUES).map(told_value).collect::<Vec<_>>().join(", ");
    if options.len() > TOLD_VALUES {
        told.push_str(&format!(" and {} others", options.len() - TOLD_VALUES));
    }
    told
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TOLD_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
