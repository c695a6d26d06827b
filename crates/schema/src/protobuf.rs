//! Protobuf schemas.
//!
//! The message of the event is the first one of the file; what else stands there, it uses. An event of such a schema is
//! that message as it is encoded, also behind the zero byte, the number and the message indexes with which the serializers
//! of Confluent's registry begin (no encoded message begins with a zero byte, so they cannot be confused), or its JSON
//! mapping, with the names of fields in either spelling. Fields that the schema does not know are allowed in both, as every
//! reader ignores them.
//!
//! A file is compiled from memory: imports are the schemas it refers to, the files of `google/protobuf`, and those of
//! `builtin`. Read the modules in this order: `compile`, `data`, `changes`; `print` and `descriptor` are between text and the
//! descriptors that serializers send.

mod builtin;
mod changes;
mod compile;
mod data;
mod descriptor;
mod print;

use std::sync::Arc;

use bytes::Bytes;
use pacioli_core::Payload;

use crate::compat::Change;
use crate::format::{Broken, Field, Reference, SchemaError};
use compile::Compiled;

/// A Protobuf schema, compiled. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProtobufSchema {
    compiled: Arc<Compiled>,
}

impl ProtobufSchema {
    /// Reads and compiles a file; the files that it imports are those of `references` by their names.
    pub fn parse(text: &str, references: &[Reference]) -> Result<ProtobufSchema, SchemaError> {
        Ok(ProtobufSchema { compiled: Arc::new(compile::compile(text, references)?) })
    }

    /// Its text without comments, in one order and one way of writing, with everything else that it says: options, services,
    /// imports. What it imports does not stand in it.
    pub fn canonical(&self) -> &str {
        &self.compiled.canonical
    }

    /// The text of the file that a serialized descriptor is, as the serializers of Confluent's registry send it; the files that
    /// it imports are those of `references` by their names. The text says all that the descriptor does.
    pub fn text_of_descriptor(descriptor: &[u8], references: &[Reference]) -> Result<String, SchemaError> {
        descriptor::text(descriptor, references)
    }

    /// Its descriptor, serialized: of the file alone, without those that it imports.
    pub fn descriptor(&self) -> Vec<u8> {
        descriptor::serialized(&self.compiled.file)
    }

    /// Whether data is what it says.
    pub fn check(&self, data: &Payload) -> Result<(), Broken> {
        match data {
            Payload::Json(json) => data::read_json(&self.compiled, json, data::Reading::Exact).map(drop),
            Payload::Binary(bytes) => data::read_binary(&self.compiled, bytes).map(drop),
        }
    }

    /// How many bytes of its data are the framing of a serializer. No encoded message begins as one does.
    pub(crate) fn framing_of(&self, data: &[u8]) -> Option<usize> {
        data::framing_of(data)
    }

    /// What changed since an older schema of the same type: on the wire, where the number of a field is what counts, and
    /// in JSON, where its name does.
    pub fn changes_since(&self, older: &ProtobufSchema) -> Vec<Change> {
        changes::changes(&older.compiled.message, &self.compiled.message)
    }

    /// The same by the rules of Confluent's registry.
    pub fn changes_by_confluent(&self, older: &ProtobufSchema) -> Vec<Change> {
        crate::confluent::protobuf::changes(&older.compiled.file, &self.compiled.file)
    }

    /// The fields that data may have, by their names in JSON. Only a `required` field of proto2 is required.
    pub fn fields(&self) -> &[Field] {
        &self.compiled.fields
    }

    /// Data as JSON: itself where it is JSON, else the JSON mapping of the message. Fields that the schema does not know
    /// are not in it.
    pub fn to_json(&self, data: &Payload) -> Result<Bytes, Broken> {
        match data {
            Payload::Json(json) => Ok(json.clone()),
            Payload::Binary(bytes) => data::to_json(&self.compiled, bytes),
        }
    }

    /// JSON as data of this schema; a name that an enum does not know is left out. Binary data is the bare message.
    pub fn from_json(&self, json: Bytes, is_binary: bool) -> Result<Payload, Broken> {
        let message = data::read_json(&self.compiled, &json, data::Reading::Resolving)?;
        Ok(if is_binary { Payload::Binary(data::to_binary(&message)) } else { Payload::Json(json) })
    }
}

#[cfg(test)]
mod changes_tests;
#[cfg(test)]
mod tests;
