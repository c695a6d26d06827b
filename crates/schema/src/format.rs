//! A schema, in whatever language it is written.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use pacioli_core::Payload;
use pacioli_core::schemas::SchemaFormat;

#[cfg(feature = "avro")]
use crate::avro::AvroSchema;
use crate::compat::Change;
use crate::confluent;
use crate::json::JsonSchema;
#[cfg(feature = "protobuf")]
use crate::protobuf::ProtobufSchema;

/// A schema that was read, checked against every bound, and compiled. Cheap to clone.
#[derive(Clone)]
pub struct Schema {
    language: Language,
}

/// Another schema that one refers to by a name: Avro's named types, Protobuf's imports, JSON Schema's `$ref`s of other ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name under which it is referred to.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A text that is not taken as a schema: it is none, or costs too much, or points outside. Says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SchemaError {
    /// Where in the text, as a JSON pointer or as `line:column`; empty where that is not known.
    pub path: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// What in an event's data is not as its schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where in the data, as a JSON pointer; empty is all of it.
    pub path: String,
    /// The rule, as the schema's language names it: `type`, `required`.
    pub rule: String,
    /// What is wrong there, as the rest of a sentence that begins with the path.
    pub problem: String,
}

/// A field that data of a schema may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where: a JSON pointer, in which `*` stands for every item of a list.
    pub path: String,
    /// Whether it is always there.
    pub is_required: bool,
}

#[derive(Clone)]
enum Language {
    Json(Arc<JsonSchema>),
    #[cfg(feature = "avro")]
    Avro(Arc<AvroSchema>),
    #[cfg(feature = "protobuf")]
    Protobuf(Arc<ProtobufSchema>),
}

/// Calls the same method of whichever language it is.
macro_rules! in_its_language {
    ($language:expr, $schema:ident => $call:expr) => {
        match $language {
            Language::Json($schema) => $call,
            #[cfg(feature = "avro")]
            Language::Avro($schema) => $call,
            #[cfg(feature = "protobuf")]
            Language::Protobuf($schema) => $call,
        }
    };
}

impl Schema {
    /// Reads and compiles a schema. Takes at most 100 ms, whatever the text, and looks at nothing but its arguments.
    pub fn parse(format: SchemaFormat, text: &str, references: &[Reference]) -> Result<Schema, SchemaError> {
        let language = match format {
            SchemaFormat::Json => Language::Json(Arc::new(JsonSchema::parse(text, references)?)),
            #[cfg(feature = "avro")]
            SchemaFormat::Avro => Language::Avro(Arc::new(AvroSchema::parse(text, references)?)),
            #[cfg(feature = "protobuf")]
            SchemaFormat::Protobuf => Language::Protobuf(Arc::new(ProtobufSchema::parse(text, references)?)),
            #[cfg(not(feature = "avro"))]
            SchemaFormat::Avro => return Err(not_built("Avro", "avro")),
            #[cfg(not(feature = "protobuf"))]
            SchemaFormat::Protobuf => return Err(not_built("Protobuf", "protobuf")),
        };
        Ok(Schema { language })
    }

    /// Its language.
    pub fn format(&self) -> SchemaFormat {
        match &self.language {
            Language::Json(_) => SchemaFormat::Json,
            #[cfg(feature = "avro")]
            Language::Avro(_) => SchemaFormat::Avro,
            #[cfg(feature = "protobuf")]
            Language::Protobuf(_) => SchemaFormat::Protobuf,
        }
    }

    /// Its text in the one spelling that all texts of the same meaning share: without blanks, in JSON with sorted members.
    pub fn canonical(&self) -> &str {
        in_its_language!(&self.language, schema => schema.canonical())
    }

    /// Whether data is what it says.
    pub fn check(&self, data: &Payload) -> Result<(), Broken> {
        in_its_language!(&self.language, schema => schema.check(data))
    }

    /// What changed since an older schema of the same type.
    pub fn changes_since(&self, older: &Schema) -> Vec<Change> {
        #[allow(unreachable_patterns, reason = "a build with JSON Schema alone has no two languages to tell apart")]
        match (&self.language, &older.language) {
            (Language::Json(newer), Language::Json(older)) => newer.changes_since(older),
            #[cfg(feature = "avro")]
            (Language::Avro(newer), Language::Avro(older)) => newer.changes_since(older),
            #[cfg(feature = "protobuf")]
            (Language::Protobuf(newer), Language::Protobuf(older)) => newer.changes_since(older),
            _ => vec![other_language(older.format(), self.format())],
        }
    }

    /// The same by the rules of Confluent's registry.
    pub fn changes_by_confluent(&self, older: &Schema) -> Vec<Change> {
        #[allow(unreachable_patterns, reason = "a build with JSON Schema alone has no two languages to tell apart")]
        match (&self.language, &older.language) {
            (Language::Json(newer), Language::Json(older)) => {
                confluent::changes(older.in_one_document(), newer.in_one_document())
            }
            #[cfg(feature = "avro")]
            (Language::Avro(newer), Language::Avro(older)) => newer.changes_by_confluent(older),
            #[cfg(feature = "protobuf")]
            (Language::Protobuf(newer), Language::Protobuf(older)) => newer.changes_by_confluent(older),
            _ => vec![other_language(older.format(), self.format())],
        }
    }

    /// Data of an older schema that this one is compatible with as data of this one. JSON and Protobuf's messages are both:
    /// their readers pass over what they do not know, and take what is missing as not there. A datum of Avro is read by
    /// the older schema and encoded by this one.
    pub(crate) fn carry(&self, older: &Schema, data: &Payload) -> Result<Payload, Broken> {
        match (&self.language, &older.language, data) {
            #[cfg(feature = "avro")]
            (Language::Avro(newer), Language::Avro(older), data) => newer.carry(older, data),
            #[cfg(feature = "protobuf")]
            (Language::Protobuf(newer), Language::Protobuf(_), data) => newer.check(data).map(|()| data.clone()),
            (Language::Json(_), Language::Json(older), data) => older.to_json(data).map(Payload::Json),
            #[allow(unreachable_patterns, reason = "a build with JSON Schema alone has no two languages")]
            (_, _, data) => self.from_json(older.to_json(data)?, !data.is_json()),
        }
    }

    /// Whether JSON of an older schema that this one is compatible with is JSON of this one as it is.
    pub fn takes_json_of(&self, older: &Schema) -> bool {
        match (&self.language, &older.language) {
            #[cfg(feature = "avro")]
            (Language::Avro(newer), Language::Avro(older)) => newer.takes_json_of(older),
            // A change of what JSON calls something is a break there.
            _ => true,
        }
    }

    /// The fields that data may have, as far as they are named.
    pub fn fields(&self) -> &[Field] {
        in_its_language!(&self.language, schema => schema.fields())
    }

    /// Some data that it allows, made up; nothing where none is found.
    pub fn examples(&self) -> Vec<Payload> {
        #[allow(unreachable_patterns, reason = "a build with JSON Schema alone has no other language")]
        match &self.language {
            Language::Json(schema) => schema.examples(),
            _ => {
                let nothing = Payload::Json(Bytes::from_static(b"{}"));
                Vec::from_iter(self.check(&nothing).is_ok().then_some(nothing))
            }
        }
    }

    /// Data of this schema as JSON: itself where it is JSON, else what its binary form stands for.
    pub fn to_json(&self, data: &Payload) -> Result<Bytes, Broken> {
        in_its_language!(&self.language, schema => schema.to_json(data))
    }

    /// JSON as data of this schema, in its binary form where that is asked for.
    pub fn from_json(&self, json: Bytes, is_binary: bool) -> Result<Payload, Broken> {
        in_its_language!(&self.language, schema => schema.from_json(json, is_binary))
    }

    /// How many bytes of its data are the framing of a serializer; `None` where it stands in none.
    #[cfg_attr(
        not(any(feature = "avro", feature = "protobuf")),
        allow(unused_variables, reason = "JSON has no framing")
    )]
    pub(crate) fn framing_of(&self, data: &[u8]) -> Option<usize> {
        match &self.language {
            Language::Json(_) => None,
            #[cfg(feature = "avro")]
            Language::Avro(schema) => schema.framing_of(data),
            #[cfg(feature = "protobuf")]
            Language::Protobuf(schema) => schema.framing_of(data),
        }
    }

    /// The schema as JSON Schema, where it is one.
    pub fn as_json_schema(&self) -> Option<&JsonSchema> {
        #[allow(unreachable_patterns, reason = "a build with JSON Schema alone has no other language")]
        match &self.language {
            Language::Json(schema) => Some(schema),
            _ => None,
        }
    }
}

#[cfg(feature = "protobuf")]
impl Schema {
    /// The schema as a Protobuf schema, where it is one.
    pub fn as_protobuf_schema(&self) -> Option<&ProtobufSchema> {
        match &self.language {
            Language::Protobuf(schema) => Some(schema),
            _ => None,
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({}, {})", self.format().word(), self.canonical())
    }
}

impl SchemaError {
    /// A problem at a place of the text.
    pub(crate) fn at(path: impl Into<String>, problem: impl Into<String>) -> SchemaError {
        SchemaError { path: path.into(), problem: problem.into() }
    }
}

#[cfg(not(all(feature = "avro", feature = "protobuf")))]
fn not_built(language: &str, feature: &str) -> SchemaError {
    SchemaError::at("", format!("this build knows no {language}; build it with the feature `{feature}`"))
}

fn other_language(older: SchemaFormat, newer: SchemaFormat) -> Change {
    Change {
        path: String::new(),
        breaks_backward: true,
        breaks_forward: true,
        is_visible: true,
        sentence: format!(
            "the schema is written in {} where it was in {}: whoever reads by the new schema cannot hold what was stored \
             before against it, and whoever still reads by the old one cannot hold what is stored now; stay with {}, or \
             give the new shape an event type of its own",
            newer.word(),
            older.word(),
            older.word()
        ),
    }
}
