//! What is registered: the registry of the store, and looks at it.

use std::sync::Arc;

use pacioli_api::problem::{Kind, Problem};
use pacioli_api::schemas::{Proposed, Reference};
use pacioli_core::schemas::{RegisteredSchema, SchemaFormat};
use pacioli_schema::catalogue::{Entry, ReferenceTo};
use pacioli_schema::{Catalogue, Schema, SchemaError};
use serde::Serialize;

use super::answer::Refused;
use super::given::{Form, Wanted};
use super::names::Subject;
use crate::http::App;
use crate::schemas::Registry;

/// The registry of the store.
pub(super) fn registry(app: &App) -> Result<&Registry, Refused> {
    let none = || Problem::new(Kind::Unsupported, "this server keeps no schema registry");
    Ok(app.schemas.as_ref().ok_or_else(none)?)
}

/// Looks at what is registered now, by whatever server.
pub(super) async fn look<T>(
    registry: &Registry,
    look: impl FnOnce(&Catalogue) -> Result<T, Refused>,
) -> Result<T, Refused> {
    look(&*registry.refresh().await?)
}

/// The versions of a subject; those that were deleted only where they are asked for.
pub(super) fn versions<'a>(
    catalogue: &'a Catalogue,
    subject: &Subject,
    with_deleted: bool,
) -> Result<Vec<&'a Arc<Entry>>, Refused> {
    let entries = catalogue.versions(subject.event_type.as_str());
    let shown: Vec<&Arc<Entry>> = entries.iter().filter(|entry| with_deleted || !entry.row.is_deleted).collect();
    if shown.is_empty() { Err(Refused::subject_not_found(&subject.name)) } else { Ok(shown) }
}

/// One version of a subject.
pub(super) fn version(
    catalogue: &Catalogue,
    subject: &Subject,
    wanted: Wanted,
    with_deleted: bool,
) -> Result<Arc<Entry>, Refused> {
    let entries = versions(catalogue, subject, with_deleted)?;
    let found = match wanted {
        Wanted::Latest => entries.last(),
        Wanted::Number(number) => entries.iter().find(|entry| entry.row.version == number),
    };
    match (found, wanted) {
        (Some(entry), _) => Ok(Arc::clone(entry)),
        (None, Wanted::Number(number)) => Err(Refused::version_not_found(number)),
        (None, Wanted::Latest) => Err(Refused::version_not_found("latest")),
    }
}

/// The version of a type that says the same as a schema, the newest if there are several.
pub(super) async fn same(
    catalogue: &Arc<Catalogue>,
    proposed: &Arc<Proposed>,
    with_deleted: bool,
) -> Result<Option<RegisteredSchema>, Refused> {
    let (catalogue, proposed) = (Arc::clone(catalogue), Arc::clone(proposed));
    let referred: Vec<ReferenceTo> = proposed.references.iter().map(reference_to).collect();
    let mut candidates: Vec<Arc<Entry>> = catalogue.versions(proposed.event_type.as_str()).to_vec();
    candidates.retain(|entry| {
        let row = &entry.row;
        (with_deleted || !row.is_deleted) && row.format == proposed.format && references(row) == referred
    });
    candidates.reverse();
    // What serializers ask for again and again is what they registered, to the letter.
    if let Some(entry) = candidates.iter().find(|entry| *entry.row.text == *proposed.text) {
        return Ok(Some(entry.row.clone()));
    }
    // Schemas may take some time to compile.
    let comparing = tokio::task::spawn_blocking(move || {
        let invalid = |error: SchemaError| Refused::invalid_schema(error.to_string());
        let texts = catalogue.resolve(&referred).map_err(invalid)?;
        let schema = Schema::parse(proposed.format, &proposed.text, &texts).map_err(invalid)?;
        let is_same = |entry: &&Arc<Entry>| entry.schema().is_ok_and(|known| known.canonical() == schema.canonical());
        Ok(candidates.iter().find(is_same).map(|entry| entry.row.clone()))
    });
    comparing.await.map_err(|error| Problem::new(Kind::Internal, format!("comparing schemas failed: {error}")))?
}

/// A version's text in the form that is asked for.
pub(super) async fn text(entry: &Arc<Entry>, form: Form) -> Result<String, Refused> {
    match form {
        Form::Serialized if entry.row.format == SchemaFormat::Protobuf => serialized(entry).await,
        _ => Ok(entry.row.text.to_string()),
    }
}

/// The descriptor of a Protobuf schema, in base64.
#[cfg(feature = "protobuf")]
async fn serialized(entry: &Arc<Entry>) -> Result<String, Refused> {
    use base64::Engine;

    let entry = Arc::clone(entry);
    // Schemas may take some time to compile.
    let compiling = tokio::task::spawn_blocking(move || {
        let schema = entry.schema().map_err(|error| Refused::invalid_schema(error.to_string()))?;
        let descriptor = schema.as_protobuf_schema().map(|schema| schema.descriptor()).unwrap_or_default();
        Ok(base64::engine::general_purpose::STANDARD.encode(descriptor))
    });
    compiling.await.map_err(|error| Problem::new(Kind::Internal, format!("compiling a schema failed: {error}")))?
}

#[cfg(not(feature = "protobuf"))]
async fn serialized(entry: &Arc<Entry>) -> Result<String, Refused> {
    Ok(entry.row.text.to_string())
}

/// A reference in the words of the rules.
pub(super) fn reference_to(one: &Reference) -> ReferenceTo {
    ReferenceTo { name: one.name.clone(), event_type: one.event_type.clone(), version: one.version }
}

/// What a row says that it refers to.
pub(super) fn references(row: &RegisteredSchema) -> Vec<ReferenceTo> {
    // A row that was written by this software can be read by it.
    ReferenceTo::of(row).unwrap_or_default()
}

/// The formats that this build knows.
pub(super) fn formats() -> impl Iterator<Item = SchemaFormat> {
    let is_known = |format: &SchemaFormat| match format {
        SchemaFormat::Json => true,
        SchemaFormat::Avro => cfg!(feature = "avro"),
        SchemaFormat::Protobuf => cfg!(feature = "protobuf"),
    };
    SchemaFormat::ALL.into_iter().filter(is_known)
}

/// A schema as it is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    /// Absent for Avro, as clients expect that know nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<ToldReference>,
    schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_id: Option<u32>,
}

#[derive(Debug, Serialize)]
struct ToldReference {
    name: String,
    subject: String,
    version: u32,
}

impl Told {
    /// The text with what it needs, whoever's it is; with the highest id that there is where that is asked for.
    pub(super) fn text(row: &RegisteredSchema, max_id: Option<u32>) -> Told {
        let reference = |one: ReferenceTo| {
            let subject = Subject::of(&one.event_type).name;
            ToldReference { name: one.name, subject, version: one.version }
        };
        Told {
            subject: None,
            version: None,
            id: None,
            schema_type: match row.format {
                SchemaFormat::Avro => None,
                format => Some(word(format)),
            },
            references: references(row).into_iter().map(reference).collect(),
            schema: row.text.to_string(),
            max_id,
        }
    }

    /// The same with the text in another form.
    pub(super) fn with_schema(self, schema: String) -> Told {
        Told { schema, ..self }
    }

    /// One version of a subject.
    pub(super) fn version(subject: &str, row: &RegisteredSchema) -> Told {
        let told = Told::text(row, None);
        Told { subject: Some(subject.to_owned()), version: Some(row.version), id: Some(row.id), ..told }
    }
}

/// Confluent's word for a format.
pub(super) fn word(format: SchemaFormat) -> &'static str {
    match format {
        SchemaFormat::Avro => "AVRO",
        SchemaFormat::Json => "JSON",
        SchemaFormat::Protobuf => "PROTOBUF",
    }
}
