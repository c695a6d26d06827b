//! Options and their values, as text.

use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::Type;
use prost_reflect::prost_types::{ExtensionRangeOptions, FieldDescriptorProto};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, Value};

/// Options that say how a text was parsed, and not what it says.
const OF_THE_PARSER: [&str; 2] = ["map_entry", "uninterpreted_option"];

/// Names and values, in the order of their numbers; the options that files define themselves stand behind the others.
pub(super) fn list(options: &DynamicMessage) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (field, value) in options.fields() {
        if !OF_THE_PARSER.contains(&field.name()) {
            add(&mut list, field.name(), &field.kind(), value);
        }
    }
    for (extension, value) in options.extensions() {
        add(&mut list, &format!("({})", extension.full_name()), &extension.kind(), value);
    }
    list
}

/// What is written like an option of a field and is none.
pub(super) fn of_field(field: &FieldDescriptorProto) -> Vec<(String, String)> {
    let mut list = Vec::new();
    if let Some(default) = &field.default_value {
        let value = match field.r#type() {
            Type::String => quoted_bytes(default.as_bytes()),
            // Escaped already.
            Type::Bytes => format!("\"{default}\""),
            // A whole number of many digits is none that a compiler reads.
            Type::Float | Type::Double => default.parse().map_or_else(|_| default.clone(), float),
            _ => default.clone(),
        };
        list.push(("default".to_owned(), value));
    }
    // Extensions have names of their own in JSON, which cannot be chosen.
    if let Some(name) =
        field.json_name.as_ref().filter(|name| field.extendee.is_none() && **name != json_name(field.name()))
    {
        list.push(("json_name".to_owned(), quoted_bytes(name.as_bytes())));
    }
    list
}

/// The name in JSON of a field for which none is chosen.
pub(in crate::protobuf) fn json_name(name: &str) -> String {
    let mut is_capital = false;
    let mut json = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '_' => is_capital = true,
            other => {
                json.push(if is_capital { other.to_ascii_uppercase() } else { other });
                is_capital = false;
            }
        }
    }
    json
}

pub(super) fn of_range(options: &ExtensionRangeOptions) -> Vec<(String, String)> {
    let descriptor = DescriptorPool::global().get_message_by_name("google.protobuf.ExtensionRangeOptions");
    let message = descriptor.and_then(|one| DynamicMessage::decode(one, options.encode_to_vec().as_slice()).ok());
    message.map_or_else(Vec::new, |message| list(&message))
}

/// An option, once for each of its values.
fn add(list: &mut Vec<(String, String)>, name: &str, kind: &Kind, value: &Value) {
    match value {
        Value::List(items) => list.extend(items.iter().map(|item| (name.to_owned(), text(kind, item)))),
        value => list.push((name.to_owned(), text(kind, value))),
    }
}

fn text(kind: &Kind, value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F32(number) => float(f64::from(*number)),
        Value::F64(number) => float(*number),
        Value::String(text) => quoted_bytes(text.as_bytes()),
        Value::Bytes(bytes) => quoted_bytes(bytes),
        Value::EnumNumber(number) => {
            let name = kind.as_enum().and_then(|one| one.get_value(*number)).map(|value| value.name().to_owned());
            name.unwrap_or_else(|| number.to_string())
        }
        Value::Message(message) => format!("{{ {} }}", message.to_text_format()),
        // No option is one.
        Value::List(_) | Value::Map(_) => String::new(),
    }
}

fn float(number: f64) -> String {
    match number {
        number if number.is_nan() => "nan".to_owned(),
        number if number.is_infinite() => if number > 0.0 { "inf" } else { "-inf" }.to_owned(),
        number => format!("{number:?}"),
    }
}

/// Bytes in quotes; those of a character beyond ASCII stand as they are where all of them are text.
pub(super) fn quoted_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().for_each(|one| match one {
            one if one.is_ascii() => escape(&mut quoted, u8::try_from(one).unwrap_or_default()),
            one => quoted.push(one),
        }),
        Err(_) => bytes.iter().for_each(|byte| escape(&mut quoted, *byte)),
    }
    quoted.push('"');
    quoted
}

fn escape(text: &mut String, byte: u8) {
    match byte {
        b'"' => text.push_str("\\\""),
        b'\\' => text.push_str("\\\\"),
        b' '..=b'~' => text.push(char::from(byte)),
        byte => text.push_str(&format!("\\{byte:03o}")),
    }
}
