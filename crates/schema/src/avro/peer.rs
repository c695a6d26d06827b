//! Asks Avro's own library whether it takes a schema, too, so that none is registered that the clients' libraries refuse.
//!
//! It is asked about the schema without defaults, aliases and words: it copies a type for each of its aliases, and works a
//! default out in full, which thirty lines of records make as large as anybody likes. Those parts are checked here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Map, Value, json};

use crate::format::SchemaError;

const PARTS: [&str; 11] =
    ["type", "name", "namespace", "fields", "symbols", "items", "values", "size", "logicalType", "precision", "scale"];

/// Whether the library takes a schema and those that it refers to, each of which comes behind what it needs itself.
pub(super) fn check(schema: &Value, references: &[Value]) -> Result<(), SchemaError> {
    // As the fields of one record: asked about several schemas, the library descends from one into the next.
    let parts = references.iter().chain([schema]).enumerate();
    let fields: Vec<Value> = parts.map(|(at, part)| json!({"name": format!("f{at}"), "type": bare(part)})).collect();
    let text = json!({"type": "record", "name": "__all__", "fields": fields}).to_string();
    // A panic of the library is its opinion of one schema, and none of this process's business.
    let asked = catch_unwind(AssertUnwindSafe(|| apache_avro::Schema::parse_str(&text)));
    let problem = match asked {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it cannot be read".to_owned(),
    };
    Err(SchemaError {
        path: String::new(),
        problem: format!(
            "Avro's own library does not take the schema: {problem}; mend it, so that every client can use it"
        ),
    })
}

/// A type without what is of no concern to the library.
fn bare(value: &Value) -> Value {
    match value {
        Value::Array(branches) => branches.iter().map(bare).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| PARTS.contains(&name.as_str()));
            let parts =
                kept.map(|(name, part)| (name.clone(), if name == "fields" { fields(part) } else { bare(part) }));
            Value::Object(parts.collect())
        }
        other => other.clone(),
    }
}

fn fields(list: &Value) -> Value {
    let field = |members: &Map<String, Value>| -> Value {
        let kept = members.iter().filter(|(name, _)| matches!(name.as_str(), "name" | "type"));
        Value::Object(kept.map(|(name, part)| (name.clone(), bare(part))).collect())
    };
    list.as_array().into_iter().flatten().filter_map(Value::as_object).map(field).collect()
}
