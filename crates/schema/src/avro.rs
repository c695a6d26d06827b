//! Avro schemas.
//!
//! A schema is compiled here into nodes that data is walked by, because what the walk may cost has to be bounded:
//! a length that lies allocates nothing, a recursive type ends at a depth, and no union is tried for ever. What Avro's own
//! library does not take as a schema is refused all the same.
//!
//! An event of an Avro schema is one datum in Avro's binary encoding, also behind the five bytes with which the serializers
//! of Confluent's registry begin, or it is JSON in the schema's shape: a union's value stands there plain, where its kind
//! of JSON tells the branch, or as `{"branch": value}`, the way Avro's own JSON encoding writes it; a field that has a
//! default may be left out; members that the schema does not name are ignored, as every reader ignores them.

mod canonical;
mod changes;
mod compile;
mod decode;
mod encode;
mod node;
mod peer;
mod resolve;

use std::sync::Arc;

use bytes::Bytes;
use pacioli_core::Payload;

use crate::compat::Change;
use crate::format::{Broken, Field, Reference, SchemaError};
use crate::frame::LENGTH;
use changes::Asked;
use node::Nodes;

/// An Avro schema, compiled. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AvroSchema {
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    nodes: Nodes,
    canonical: String,
    fields: Vec<Field>,
}

impl AvroSchema {
    /// Reads and compiles a schema; a named type that it does not define is looked for in `references`.
    pub fn parse(text: &str, references: &[Reference]) -> Result<AvroSchema, SchemaError> {
        let (nodes, read) = compile::compile(text, references)?;
        let (canonical, fields) = (canonical::canonical(&read), nodes.fields());
        Ok(AvroSchema { compiled: Arc::new(Compiled { nodes, canonical, fields }) })
    }

    /// Its text without blanks, with sorted members and full names, and with everything that it says. What it refers to does
    /// not stand in it.
    pub fn canonical(&self) -> &str {
        &self.compiled.canonical
    }

    /// Whether data is what it says.
    pub fn check(&self, data: &Payload) -> Result<(), Broken> {
        let nodes = &self.compiled.nodes;
        match data {
            Payload::Json(json) => encode::encode(nodes, json, encode::Reading::Exact).map(drop),
            Payload::Binary(bytes) => decode::check(nodes, bytes),
        }
    }

    /// How many bytes of its data are the framing of a serializer. A datum may begin as one does, and then it is a datum.
    pub(crate) fn framing_of(&self, data: &[u8]) -> Option<usize> {
        let is_framed =
            data.first() == Some(&0) && data.len() >= LENGTH && !decode::is_bare(&self.compiled.nodes, data);
        is_framed.then_some(LENGTH)
    }

    /// What changed since an older schema of the same type, by Avro's rules of schema resolution.
    ///
    /// Two things are a break here that are none there: a field without a default that is gone, because those who read by
    /// the newer schema no longer see what events always said; and a logical type of time whose unit changed, because every
    /// reader would take the numbers for others than they are.
    pub fn changes_since(&self, older: &AvroSchema) -> Vec<Change> {
        changes::changes(&older.compiled.nodes, &self.compiled.nodes, Asked::Meaning)
    }

    /// The same by the rules of Confluent's registry, which are those of Avro's own library.
    pub fn changes_by_confluent(&self, older: &AvroSchema) -> Vec<Change> {
        changes::changes(&older.compiled.nodes, &self.compiled.nodes, Asked::Decoding)
    }

    /// Whether JSON of an older schema that this one is compatible with is JSON of this one as it is: no field, symbol or
    /// branch in it goes by another name now.
    pub fn takes_json_of(&self, older: &AvroSchema) -> bool {
        changes::is_json_the_same(&older.compiled.nodes, &self.compiled.nodes)
    }

    /// Data of an older schema that this one is compatible with as data of this one, by Avro's rules of schema resolution.
    /// Binary data becomes a bare datum of this schema; JSON keeps its bytes where this schema [takes
    /// it](AvroSchema::takes_json_of), and else has what this schema names.
    pub fn carry(&self, older: &AvroSchema, data: &Payload) -> Result<Payload, Broken> {
        let (from, to) = (&older.compiled.nodes, &self.compiled.nodes);
        match data {
            Payload::Binary(bytes) => Ok(Payload::Binary(resolve::resolve(from, to, bytes)?.into())),
            Payload::Json(_) if self.takes_json_of(older) => Ok(data.clone()),
            Payload::Json(json) => {
                let datum = encode::encode(from, json, encode::Reading::Exact)?;
                Ok(Payload::Json(decode::to_json(to, &resolve::resolve(from, to, &datum)?)?))
            }
        }
    }

    /// The fields that data may have. One that can be null or that has a default is not required.
    pub fn fields(&self) -> &[Field] {
        &self.compiled.fields
    }

    /// Data as JSON: itself where it is JSON, else what the datum stands for. Bytes become text of the characters U+0000
    /// to U+00FF, as in Avro's JSON encoding; a union's value is plain where its kind of JSON tells the branch.
    pub fn to_json(&self, data: &Payload) -> Result<Bytes, Broken> {
        match data {
            Payload::Json(json) => Ok(json.clone()),
            Payload::Binary(bytes) => decode::to_json(&self.compiled.nodes, bytes),
        }
    }

    /// JSON as data of this schema, read the way that Avro reads data of an older one: a field is also found by its
    /// aliases, a symbol that an enum does not know becomes its default. Binary data is the bare datum.
    pub fn from_json(&self, json: Bytes, is_binary: bool) -> Result<Payload, Broken> {
        let datum = encode::encode(&self.compiled.nodes, &json, encode::Reading::Resolving)?;
        Ok(if is_binary { Payload::Binary(datum.into()) } else { Payload::Json(json) })
    }
}

#[cfg(test)]
mod changes_tests;
#[cfg(test)]
mod resolve_tests;
#[cfg(test)]
mod tests;
