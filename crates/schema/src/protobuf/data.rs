//! Data of a Protobuf schema: encoded, as JSON, and from the one to the other.

use std::io;

use bytes::Bytes;
use pacioli_core::json;
use prost_reflect::prost::Message;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage,
    SerializeOptions, Value,
};
use serde_json::Value as Json;

use super::compile::Compiled;
use crate::format::Broken;
use crate::frame::LENGTH;
use crate::trail::Trail;

/// How deep data may nest: as deep as JSON may that the log takes.
const DEPTH_MAX: usize = json::DEPTH_MAX;
/// How many bytes the JSON of a message may have.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// How JSON is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As an event that is stored has to be.
    Exact,
    /// As data of an older schema: a name that an enum does not know any more stands for none.
    Resolving,
}

/// The message that bytes are.
pub(super) fn read_binary(schema: &Compiled, bytes: &[u8]) -> Result<DynamicMessage, Broken> {
    let encoded = match bytes {
        [0, ..] => unframed(bytes)?,
        _ => bytes,
    };
    let message = DynamicMessage::decode(schema.message.clone(), encoded).map_err(|error| {
        let problem = format!("is no message `{}` ({error})", schema.message.full_name());
        broken(&Trail::Root, "type", problem)
    })?;
    walk(schema, &message, &Trail::Root, 0)?;
    Ok(message)
}

/// How many bytes stand in front of the message, where it is framed.
pub(super) fn framing_of(bytes: &[u8]) -> Option<usize> {
    let is_framed = bytes.first() == Some(&0);
    Some(bytes.len() - unframed(bytes).ok().filter(|_| is_framed)?.len())
}

/// What stands behind the zero byte, the number of the schema and the indexes of its message.
fn unframed(bytes: &[u8]) -> Result<&[u8], Broken> {
    let short = || broken(&Trail::Root, "framing", "begins with a zero byte and ends before its message does");
    let mut rest = bytes.get(LENGTH..).ok_or_else(short)?;
    let mut next = || -> Result<i64, Broken> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, behind) = rest.split_first().ok_or_else(short)?;
            rest = behind;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
            }
        }
        Err(short())
    };
    // One zero is the short form of "one index, 0".
    let is_first = match next()? {
        0 => true,
        1 => next()? == 0,
        _ => false,
    };
    match is_first {
        true => Ok(rest),
        false => Err(broken(&Trail::Root, "framing", "is of another message of its schema than the first one")),
    }
}

/// The JSON that bytes stand for.
pub(super) fn to_json(schema: &Compiled, bytes: &[u8]) -> Result<Bytes, Broken> {
    let message = read_binary(schema, bytes)?;
    let mut bounded = Bounded(Vec::with_capacity(bytes.len() * 2));
    let options = SerializeOptions::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut bounded), &options).map_err(|error| {
        broken(
            &Trail::Root,
            if error.is_io() { "size" } else { "type" },
            format!("cannot be written as JSON ({error})"),
        )
    })?;
    if !schema.has_maps {
        return Ok(bounded.0.into());
    }
    // The members of a map come in another order each time, and what is read twice has to be the same.
    let mut json = parsed(&bounded.0)?;
    json.sort_all_objects();
    Ok(json.to_string().into())
}

/// The message that JSON stands for.
pub(super) fn read_json(schema: &Compiled, json: &[u8], reading: Reading) -> Result<DynamicMessage, Broken> {
    let json = parsed(json)?;
    if reading == Reading::Exact {
        check_names(&schema.message, &json, &Trail::Root, 0)?;
    }
    let message =
        from_json(&schema.message, &json).map_err(|error| locate(&schema.message, &json, &Trail::Root, &error))?;
    walk(schema, &message, &Trail::Root, 0)?;
    Ok(message)
}

/// The message, encoded.
pub(super) fn to_binary(message: &DynamicMessage) -> Bytes {
    message.encode_to_vec().into()
}

fn parsed(json: &[u8]) -> Result<Json, Broken> {
    let problem = |error| broken(&Trail::Root, "type", format!("is no JSON that can be read ({error})"));
    serde_json::from_slice(json).map_err(problem)
}

fn from_json(descriptor: &MessageDescriptor, json: &Json) -> Result<DynamicMessage, serde_json::Error> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    DynamicMessage::deserialize_with_options(descriptor.clone(), json, &options)
}

fn broken(trail: &Trail<'_>, rule: &str, problem: impl Into<String>) -> Broken {
    Broken { path: trail.to_string(), rule: rule.to_owned(), problem: problem.into() }
}

fn deeper(trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
    match depth > DEPTH_MAX {
        true => Err(broken(trail, "depth", format!("nests deeper than {DEPTH_MAX}"))),
        false => Ok(()),
    }
}

/// Looks for what decoding does not mind: a `required` field that is not there, and a depth that JSON cannot have. What is
/// packed into an `Any` is unpacked here first, where the depth is counted.
fn walk(schema: &Compiled, message: &DynamicMessage, trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
    deeper(trail, depth)?;
    let descriptor = message.descriptor();
    if schema.has_required
        && let Some(field) = descriptor.fields().find(|field| field.is_required() && !message.has_field(field))
    {
        return Err(broken(&Trail::Member(trail, field.json_name()), "required", "is not there"));
    }
    if descriptor.full_name() == "google.protobuf.Any" {
        let (url, packed) = (message.get_field_by_number(1), message.get_field_by_number(2));
        let (url, packed) = (url.as_deref().and_then(Value::as_str), packed.as_deref().and_then(Value::as_bytes));
        if let (Some(url), Some(packed)) = (url, packed)
            && let Some(name) = url.rsplit('/').next()
            && let Some(descriptor) = descriptor.parent_pool().get_message_by_name(name)
        {
            let unpacked = DynamicMessage::decode(descriptor, packed.clone())
                .map_err(|error| broken(trail, "type", format!("is no message `{name}` ({error})")))?;
            return walk(schema, &unpacked, trail, depth + 1);
        }
        return Ok(());
    }
    for (field, value) in message.fields() {
        let trail = Trail::Member(trail, field.json_name());
        match value {
            Value::Message(inner) => walk(schema, inner, &trail, depth + 1)?,
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let Value::Message(item) = item else { break };
                    walk(schema, item, &Trail::Item(&trail, index), depth + 2)?;
                }
            }
            Value::Map(members) => {
                for (key, value) in members {
                    let Value::Message(value) = value else { break };
                    walk(schema, value, &Trail::Member(&trail, &key_text(key)), depth + 2)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// The values that a member has as a field's: its items or members, or itself, each with its kind.
fn values<'t, 'v>(field: &FieldDescriptor, json: &'v Json, trail: &'t Trail<'t>) -> Vec<(Trail<'t>, Kind, &'v Json)>
where
    'v: 't,
{
    match (field.kind(), json) {
        (Kind::Message(entry), Json::Object(members)) if field.is_map() => {
            let kind = entry.map_entry_value_field().kind();
            members.iter().map(|(name, value)| (Trail::Member(trail, name), kind.clone(), value)).collect()
        }
        (kind, Json::Array(items)) if field.is_list() => {
            items.iter().enumerate().map(|(index, item)| (Trail::Item(trail, index), kind.clone(), item)).collect()
        }
        (kind, value) if !field.is_list() && !field.is_map() => vec![(*trail, kind, value)],
        _ => Vec::new(),
    }
}

fn is_well_known(descriptor: &MessageDescriptor) -> bool {
    descriptor.full_name().starts_with("google.protobuf.")
}

fn field_of(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name))
}

/// Refuses names that their enums do not know: the JSON mapping, where it allows unknown fields, passes over these, too.
fn check_names(descriptor: &MessageDescriptor, json: &Json, trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
    deeper(trail, depth)?;
    let Json::Object(members) = json else { return Ok(()) };
    if is_well_known(descriptor) {
        return Ok(());
    }
    for (name, value) in members {
        let Some(field) = field_of(descriptor, name) else { continue };
        let trail = Trail::Member(trail, name);
        for (trail, kind, value) in values(&field, value, &trail) {
            match (kind, value) {
                (Kind::Message(inner), value) => check_names(&inner, value, &trail, depth + 1)?,
                (Kind::Enum(one), Json::String(name)) if one.get_value_by_name(name).is_none() => {
                    let name: String = name.chars().take(60).collect();
                    return Err(broken(
                        &trail,
                        "enum",
                        format!("is `{name}`, which is no value of `{}`", one.full_name()),
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Finds the place of an error by reading the members one by one.
fn locate(descriptor: &MessageDescriptor, json: &Json, trail: &Trail<'_>, error: &serde_json::Error) -> Broken {
    let whole = || broken(trail, "type", format!("is not as `{}` has it ({error})", descriptor.full_name()));
    let Json::Object(members) = json else { return whole() };
    if is_well_known(descriptor) {
        return whole();
    }
    let read = |name: &str, value: Json| {
        from_json(descriptor, &Json::Object([(name.to_owned(), value)].into_iter().collect()))
    };
    for (name, value) in members {
        let Some(field) = field_of(descriptor, name) else { continue };
        let Err(error) = read(name, value.clone()) else { continue };
        let trail = Trail::Member(trail, name);
        for (part, kind, value) in values(&field, value, &trail) {
            let alone = match (part, &part) {
                (Trail::Item(..), _) => read(name, Json::Array(vec![value.clone()])),
                (_, Trail::Member(_, key)) if field.is_map() => {
                    read(name, Json::Object([((*key).to_owned(), value.clone())].into_iter().collect()))
                }
                _ => read(name, value.clone()),
            };
            let Err(error) = alone else { continue };
            return match kind {
                Kind::Message(inner) => locate(&inner, value, &part, &error),
                kind => broken(&part, "type", format!("is not of its type {} ({error})", word(&kind))),
            };
        }
        return broken(&trail, "type", format!("is not of its type {} ({error})", word(&field.kind())));
    }
    whole()
}

/// Protobuf's word for a kind.
pub(super) fn word(kind: &Kind) -> String {
    let word = match kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Message(message) => message.full_name(),
        Kind::Enum(one) => one.full_name(),
    };
    word.to_owned()
}

/// Takes as many bytes as the JSON of a message may have.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
