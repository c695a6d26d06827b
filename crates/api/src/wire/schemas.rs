//! The schema registry's service.

use pacioli_core::schemas::{
    InvalidSemver, RegisteredSchema, SchemaFormat, Semver, Setting, SettingScope, Understanding,
};
use pacioli_core::{Checkpoint, EventType, InvalidAppend, Timestamp};

use super::{Malformed, given_checkpoint, invalid_name};
use crate::generated::v1;
use crate::schemas::{
    Change, Compared, Comparison, Deleted, Impact, ImpactOf, ImpactedReader, Proposed, ReaderCheck, ReaderKind,
    ReaderStatus, Reference, Registered, Registration, Side, Size,
};

/// Reads a type that a client names.
///
/// # Errors
/// It is no type.
pub fn event_type(field: &str, name: String) -> Result<EventType, InvalidAppend> {
    EventType::new(name).map_err(|error| invalid_name(field)(error))
}

/// A schema on the wire.
pub fn schema_to_wire(schema: &RegisteredSchema) -> v1::Schema {
    v1::Schema {
        r#type: schema.event_type.to_string(),
        version: schema.version,
        semver: schema.semver.to_string(),
        id: schema.id,
        format: schema.format.word().to_owned(),
        text: schema.text.to_string(),
        references: schema.references.as_deref().map(str::to_owned),
        upcaster: schema.upcaster.as_deref().map(str::to_owned),
        deleted: schema.is_deleted,
        registered_at: schema.registered_at.as_micros(),
        registered_by: schema.registered_by.as_deref().map(str::to_owned),
    }
}

/// A schema as core says it.
///
/// # Errors
/// The server says what it cannot have registered.
pub fn schema_from_wire(schema: v1::Schema) -> Result<RegisteredSchema, Malformed> {
    Ok(RegisteredSchema {
        event_type: EventType::from_storage(schema.r#type),
        version: schema.version,
        semver: given_semver(&schema.semver)?,
        id: schema.id,
        format: SchemaFormat::from_word(&schema.format)
            .ok_or_else(|| Malformed::new(format!("a schema of the format `{}`", schema.format)))?,
        text: schema.text.into(),
        references: schema.references.map(Into::into),
        upcaster: schema.upcaster.map(Into::into),
        is_deleted: schema.deleted,
        registered_at: Timestamp::from_micros(schema.registered_at),
        registered_by: schema.registered_by.map(Into::into),
    })
}

fn given_semver(text: &str) -> Result<Semver, Malformed> {
    text.parse().map_err(|error: InvalidSemver| Malformed::new(error.to_string()))
}

/// A schema that is proposed, on the wire.
pub fn proposed_to_wire(proposed: &Proposed) -> v1::ProposedSchema {
    v1::ProposedSchema {
        r#type: proposed.event_type.to_string(),
        format: proposed.format.word().to_owned(),
        text: proposed.text.clone(),
        references: references_to_wire(&proposed.references),
        semver: proposed.semver.map(|semver| semver.to_string()),
        upcaster: proposed.upcaster.clone(),
    }
}

fn references_to_wire(references: &[Reference]) -> Vec<v1::SchemaReference> {
    let one = |one: &Reference| v1::SchemaReference {
        name: one.name.clone(),
        r#type: one.event_type.to_string(),
        version: one.version,
    };
    references.iter().map(one).collect()
}

/// Reads a schema that a client proposes; `field` is where it stands in the request.
///
/// # Errors
/// Names the field that is wrong.
pub fn proposed(field: &str, proposed: Option<v1::ProposedSchema>) -> Result<Proposed, InvalidAppend> {
    let proposed = proposed.ok_or_else(|| InvalidAppend::new(field, "is missing"))?;
    let at = |name: &str| format!("{field}.{name}");
    let semver = proposed.semver.map(|semver| {
        semver.parse().map_err(|error: InvalidSemver| InvalidAppend::new(at("semver"), error.to_string()))
    });
    Ok(Proposed {
        event_type: event_type(&at("type"), proposed.r#type)?,
        format: format(&at("format"), &proposed.format)?,
        text: proposed.text,
        references: references(&at("references"), proposed.references)?,
        semver: semver.transpose()?,
        upcaster: proposed.upcaster,
    })
}

fn format(field: &str, word: &str) -> Result<SchemaFormat, InvalidAppend> {
    match word {
        "" => Ok(SchemaFormat::Json),
        word => SchemaFormat::from_word(word).ok_or_else(|| {
            let problem = format!("`{}` is none; it is json, avro or protobuf", crate::text::shown(word));
            InvalidAppend::new(field, problem)
        }),
    }
}

fn references(field: &str, references: Vec<v1::SchemaReference>) -> Result<Vec<Reference>, InvalidAppend> {
    let read = |(at, one): (usize, v1::SchemaReference)| {
        Ok(Reference {
            name: one.name,
            event_type: event_type(&format!("{field}[{at}].type"), one.r#type)?,
            version: one.version,
        })
    };
    references.into_iter().enumerate().map(read).collect()
}

/// A registration on the wire.
pub fn registration_to_wire(registration: &Registration) -> v1::RegisterRequest {
    v1::RegisterRequest {
        schema: Some(proposed_to_wire(&registration.proposed)),
        acknowledged: registration.acknowledged.clone(),
        dry_run: registration.dry_run,
    }
}

/// Reads a registration.
///
/// # Errors
/// Names the field that is wrong.
pub fn registration(request: v1::RegisterRequest) -> Result<Registration, InvalidAppend> {
    Ok(Registration {
        proposed: proposed("schema", request.schema)?,
        acknowledged: request.acknowledged,
        dry_run: request.dry_run,
    })
}

/// What became of a registration, on the wire.
pub fn registered_to_wire(registered: &Registered) -> v1::RegisterResponse {
    v1::RegisterResponse {
        r#type: registered.event_type.to_string(),
        version: registered.version,
        semver: registered.semver.to_string(),
        id: registered.id,
        known: registered.is_known,
        size: size_to_wire(Some(registered.size)),
        changes: changes_to_wire(&registered.changes),
        warnings: registered.warnings.clone(),
        tried: registered.tried,
        checkpoint: registered.checkpoint.as_ref().map(ToString::to_string),
    }
}

/// What became of a registration.
///
/// # Errors
/// The answer lacks a part.
pub fn registered_from_wire(response: v1::RegisterResponse) -> Result<Registered, Malformed> {
    Ok(Registered {
        event_type: EventType::from_storage(response.r#type),
        version: response.version,
        semver: given_semver(&response.semver)?,
        id: response.id,
        is_known: response.known,
        size: given_size(response.size)?.ok_or_else(|| Malformed::new("a registration without a size"))?,
        changes: changes_from_wire(response.changes),
        warnings: response.warnings,
        tried: response.tried,
        checkpoint: maybe_checkpoint(response.checkpoint)?,
    })
}

fn maybe_checkpoint(checkpoint: Option<String>) -> Result<Option<Checkpoint>, Malformed> {
    checkpoint.map(|checkpoint| given_checkpoint(&checkpoint)).transpose()
}

fn size_to_wire(size: Option<Size>) -> i32 {
    match size {
        None => v1::ChangeSize::Unspecified,
        Some(Size::Patch) => v1::ChangeSize::Patch,
        Some(Size::Minor) => v1::ChangeSize::Minor,
        Some(Size::Major) => v1::ChangeSize::Major,
    }
    .into()
}

fn given_size(size: i32) -> Result<Option<Size>, Malformed> {
    Ok(match v1::ChangeSize::try_from(size) {
        Ok(v1::ChangeSize::Unspecified) => None,
        Ok(v1::ChangeSize::Patch) => Some(Size::Patch),
        Ok(v1::ChangeSize::Minor) => Some(Size::Minor),
        Ok(v1::ChangeSize::Major) => Some(Size::Major),
        Err(_) => return Err(Malformed::new("a change of a size unknown here")),
    })
}

fn changes_to_wire(changes: &[Change]) -> Vec<v1::SchemaChange> {
    let one = |change: &Change| v1::SchemaChange {
        path: change.path.clone(),
        breaks_backward: change.breaks_backward,
        breaks_forward: change.breaks_forward,
        visible: change.is_visible,
        sentence: change.sentence.clone(),
    };
    changes.iter().map(one).collect()
}

fn changes_from_wire(changes: Vec<v1::SchemaChange>) -> Vec<Change> {
    let one = |change: v1::SchemaChange| Change {
        path: change.path,
        breaks_backward: change.breaks_backward,
        breaks_forward: change.breaks_forward,
        is_visible: change.visible,
        sentence: change.sentence,
    };
    changes.into_iter().map(one).collect()
}

/// A comparison on the wire.
pub fn comparison_to_wire(comparison: &Comparison) -> v1::CompareRequest {
    let side = |side: &Side| {
        use v1::compared_schema::Side as Wire;
        let side = match side {
            Side::Version(version) => Wire::Version(*version),
            Side::Text { format, text, references } => Wire::Proposed(v1::ProposedSchema {
                r#type: comparison.event_type.to_string(),
                format: format.word().to_owned(),
                text: text.clone(),
                references: references_to_wire(references),
                semver: None,
                upcaster: None,
            }),
        };
        Some(v1::ComparedSchema { side: Some(side) })
    };
    v1::CompareRequest {
        r#type: comparison.event_type.to_string(),
        older: side(&comparison.older),
        newer: side(&comparison.newer),
    }
}

/// Reads a comparison.
///
/// # Errors
/// Names the field that is wrong.
pub fn comparison(request: v1::CompareRequest) -> Result<Comparison, InvalidAppend> {
    let side = |field: &str, side: Option<v1::ComparedSchema>| {
        use v1::compared_schema::Side as Wire;
        let side = side.and_then(|side| side.side).ok_or_else(|| InvalidAppend::new(field, "is missing"))?;
        Ok(match side {
            Wire::Version(version) => Side::Version(version),
            Wire::Proposed(proposed) => Side::Text {
                format: format(&format!("{field}.format"), &proposed.format)?,
                text: proposed.text,
                references: references(&format!("{field}.references"), proposed.references)?,
            },
        })
    };
    Ok(Comparison {
        older: side("older", request.older)?,
        newer: side("newer", request.newer)?,
        event_type: event_type("type", request.r#type)?,
    })
}

/// What changed, on the wire.
pub fn compared_to_wire(compared: &Compared) -> v1::CompareResponse {
    v1::CompareResponse {
        changes: changes_to_wire(&compared.changes),
        size: size_to_wire(Some(compared.size)),
        level: compared.level.clone(),
        compatible: compared.is_compatible,
    }
}

/// What changed.
///
/// # Errors
/// The answer lacks a part.
pub fn compared_from_wire(response: v1::CompareResponse) -> Result<Compared, Malformed> {
    Ok(Compared {
        changes: changes_from_wire(response.changes),
        size: given_size(response.size)?.ok_or_else(|| Malformed::new("a comparison without a size"))?,
        level: response.level,
        is_compatible: response.compatible,
    })
}

/// What was deleted, on the wire.
pub fn deleted_to_wire(deleted: &Deleted) -> v1::DeleteSchemaResponse {
    v1::DeleteSchemaResponse { versions: deleted.versions.clone(), checkpoint: deleted.checkpoint.to_string() }
}

/// What was deleted.
///
/// # Errors
/// The answer makes no sense.
pub fn deleted_from_wire(response: v1::DeleteSchemaResponse) -> Result<Deleted, Malformed> {
    Ok(Deleted { versions: response.versions, checkpoint: given_checkpoint(&response.checkpoint)? })
}

/// A setting on the wire.
pub fn setting_to_wire(setting: &Setting) -> v1::SchemaSetting {
    let (scope, of) = setting.scope.parts();
    v1::SchemaSetting {
        scope: scope.to_owned(),
        of: of.to_owned(),
        name: setting.name.to_string(),
        value: setting.value.as_deref().map(str::to_owned),
    }
}

/// Reads a setting.
///
/// # Errors
/// Names the field that is wrong.
pub fn setting(setting: Option<v1::SchemaSetting>) -> Result<Setting, InvalidAppend> {
    let setting = setting.ok_or_else(|| InvalidAppend::new("setting", "is missing"))?;
    let scope = SettingScope::from_parts(&setting.scope, &setting.of);
    if scope == Some(SettingScope::Global) && !setting.of.is_empty() {
        let problem = "must be empty where the scope is global; for one type or category say `type` or `category`";
        return Err(InvalidAppend::new("setting.of", problem));
    }
    let scope = scope.ok_or_else(|| InvalidAppend::new("setting.scope", "must be global, category or type"))?;
    Ok(Setting { scope, name: setting.name.into(), value: setting.value.map(Into::into) })
}

/// Of what the impact is asked, on the wire.
pub fn impact_of_to_wire(of: &ImpactOf) -> v1::ImpactRequest {
    use v1::impact_request::Of;
    let (event_type, of) = match of {
        ImpactOf::Type(event_type) => (event_type, None),
        ImpactOf::Version(event_type, version) => (event_type, Some(Of::Version(*version))),
        ImpactOf::Proposed(proposed) => (&proposed.event_type, Some(Of::Proposed(proposed_to_wire(proposed)))),
    };
    v1::ImpactRequest { r#type: event_type.to_string(), of }
}

/// Reads of what the impact is asked.
///
/// # Errors
/// Names the field that is wrong.
pub fn impact_of(request: v1::ImpactRequest) -> Result<ImpactOf, InvalidAppend> {
    use v1::impact_request::Of;
    let named = event_type("type", request.r#type.clone())?;
    Ok(match request.of {
        None => ImpactOf::Type(named),
        Some(Of::Version(version)) => ImpactOf::Version(named, version),
        Some(Of::Proposed(schema)) => {
            let schema = v1::ProposedSchema { r#type: request.r#type, ..schema };
            ImpactOf::Proposed(Box::new(proposed("proposed", Some(schema))?))
        }
    })
}

/// The impact on the wire.
pub fn impact_to_wire(impact: &Impact) -> v1::ImpactResponse {
    let reader = |reader: &ImpactedReader| v1::ImpactedReader {
        kind: reader.kind.word().to_owned(),
        name: reader.name.clone(),
        fields: reader.fields.clone(),
        understands: reader.understands.clone(),
        last_read_at: reader.last_read_at.map(Timestamp::as_micros),
        checkpoint: reader.checkpoint.as_ref().map(ToString::to_string),
        status: reader.status.word().to_owned(),
    };
    v1::ImpactResponse {
        r#type: impact.event_type.to_string(),
        version: impact.version,
        semver: impact.semver.map(|semver| semver.to_string()),
        size: size_to_wire(impact.size),
        changes: changes_to_wire(&impact.changes),
        readers: impact.readers.iter().map(reader).collect(),
    }
}

/// The impact.
///
/// # Errors
/// The answer makes no sense.
pub fn impact_from_wire(response: v1::ImpactResponse) -> Result<Impact, Malformed> {
    let reader = |reader: v1::ImpactedReader| {
        let kind = ReaderKind::ALL.into_iter().find(|kind| kind.word() == reader.kind);
        let status = ReaderCheck::ALL.into_iter().find(|status| status.word() == reader.status);
        Ok(ImpactedReader {
            kind: kind.ok_or_else(|| Malformed::new(format!("a reader of the kind `{}`", reader.kind)))?,
            name: reader.name,
            fields: reader.fields,
            understands: reader.understands,
            last_read_at: reader.last_read_at.map(Timestamp::from_micros),
            checkpoint: maybe_checkpoint(reader.checkpoint)?,
            status: status.ok_or_else(|| Malformed::new(format!("a reader that is `{}`", reader.status)))?,
        })
    };
    Ok(Impact {
        event_type: EventType::from_storage(response.r#type),
        version: response.version,
        semver: response.semver.map(|semver| given_semver(&semver)).transpose()?,
        size: given_size(response.size)?,
        changes: changes_from_wire(response.changes),
        readers: response.readers.into_iter().map(reader).collect::<Result<_, Malformed>>()?,
    })
}

/// A reader on the wire.
pub fn reader_to_wire(reader: &ReaderStatus) -> v1::NamedReader {
    let understands: Vec<Understanding> = reader.schemas.iter().filter_map(|stated| stated.parse().ok()).collect();
    v1::NamedReader {
        name: reader.name.clone(),
        live: reader.live,
        types: reader.types.clone(),
        categories: reader.categories.clone(),
        understands: super::shape::understands_to_wire(&understands),
        waits_for: reader.waits_for.clone(),
        read_at: reader.read_at.as_micros(),
        checkpoint: reader.checkpoint.as_ref().map(ToString::to_string),
        skipped: reader.skipped,
        gone: reader.gone,
    }
}

/// A reader.
///
/// # Errors
/// The answer makes no sense.
pub fn reader_from_wire(reader: v1::NamedReader) -> Result<ReaderStatus, Malformed> {
    Ok(ReaderStatus {
        name: reader.name,
        live: reader.live,
        gone: reader.gone,
        types: reader.types,
        categories: reader.categories,
        schemas: reader.understands.iter().map(|one| format!("{}:{}", one.r#type, one.versions)).collect(),
        waits_for: reader.waits_for,
        read_at: Timestamp::from_micros(reader.read_at),
        checkpoint: maybe_checkpoint(reader.checkpoint)?,
        skipped: reader.skipped,
    })
}
