//! The rows of the registry, and what they are in this process.

use pacioli_core::place::{Checkpoint, Epoch};
use pacioli_core::schemas::{
    Generation, NamedReader, REGISTRY_STREAM, RegisteredSchema, Registry, RegistryChange, SchemaFormat, Semver,
    Setting, SettingScope,
};
use pacioli_core::{EventType, InvalidAppend, NewEvent, Payload};
use pacioli_schema::Catalogue;
use tokio_postgres::Row;

use super::{Read, door, moment};
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::row::{Moment, array_literal};

/// Reads all rows in the session's transaction, which gives them as they are at one moment.
pub(super) async fn read(session: &Session) -> Result<Read> {
    let (generation, schemas, settings) = tokio::try_join!(
        session.prepare_cached(sql!("registry/read_generation")),
        session.prepare_cached(sql!("registry/list_schemas")),
        session.prepare_cached(sql!("registry/list_settings")),
    )?;
    let (row, schemas, settings) = tokio::try_join!(
        session.query_one(&generation, &[]),
        session.query(&schemas, &[]),
        session.query(&settings, &[])
    )?;
    let registry = Registry {
        generation: generation_of(&row),
        schemas: schemas.iter().map(schema).collect::<Result<_>>()?,
        settings: settings.iter().map(setting).collect::<Result<_>>()?,
    };
    Ok(Read { epoch: epoch(&row), registry })
}

/// The epoch that `read_generation` found.
pub(super) fn epoch(row: &Row) -> Epoch {
    Epoch(row.get::<_, Option<i32>>(0).unwrap_or_default() as u32)
}

/// The generation that it found.
pub(super) fn generation_of(row: &Row) -> Generation {
    Generation(row.get::<_, i64>(1) as u64)
}

fn schema(row: &Row) -> Result<RegisteredSchema> {
    let (name, version): (&str, i32) = (row.get(0), row.get(1));
    let strange =
        |what: &str| Error::Store(format!("the schema of `{name}` version {version} has {what} unknown here"));
    let part = |index: usize| u32::try_from(row.get::<_, i64>(index)).map_err(|_| strange("a semantic version"));
    Ok(RegisteredSchema {
        event_type: EventType::from_storage(name),
        version: version as u32,
        semver: Semver { major: part(2)?, minor: part(3)?, patch: part(4)? },
        id: part(5)?,
        format: SchemaFormat::from_word(row.get(6)).ok_or_else(|| strange("a format"))?,
        text: row.get::<_, &str>(7).into(),
        references: row.get::<_, Option<&str>>(8).map(Into::into),
        upcaster: row.get::<_, Option<&str>>(9).map(Into::into),
        is_deleted: row.get(10),
        registered_at: row.get::<_, Moment>(11).0,
        registered_by: row.get::<_, Option<&str>>(12).map(Into::into),
    })
}

fn setting(row: &Row) -> Result<Setting> {
    let (word, name): (&str, &str) = (row.get(0), row.get(1));
    let scope = SettingScope::from_parts(word, name)
        .ok_or_else(|| Error::Store(format!("a setting of the registry is of the scope `{word}`, unknown here")))?;
    Ok(Setting { scope, name: row.get(2), value: Some(row.get(3)) })
}

/// Writes the rows of a change.
pub(super) async fn write(session: &Session, change: &RegistryChange, catalogue: &Catalogue) -> Result<()> {
    for schema in &change.schemas {
        let parts = [schema.semver.major, schema.semver.minor, schema.semver.patch, schema.id].map(i64::from);
        let by = schema.registered_by.as_deref();
        let (rules, closed) = door_of(catalogue, schema);
        session
            .execute(
                sql!("registry/write_schema"),
                &[
                    &schema.event_type.as_str(),
                    &(schema.version as i32),
                    &parts[0],
                    &parts[1],
                    &parts[2],
                    &parts[3],
                    &schema.format.word(),
                    &&*schema.text,
                    &schema.references.as_deref(),
                    &schema.upcaster.as_deref(),
                    &schema.is_deleted,
                    &moment(schema.registered_at),
                    &by,
                    &rules,
                    &closed,
                ],
            )
            .await?;
    }
    for (event_type, version) in &change.removed {
        session.execute(sql!("registry/delete_schema"), &[&event_type.as_str(), &(*version as i32)]).await?;
    }
    for setting in &change.settings {
        let (word, name) = setting.scope.parts();
        let of: [&(dyn postgres_types::ToSql + Sync); 3] = [&word, &name, &&*setting.name];
        match &setting.value {
            Some(value) => {
                session.execute(sql!("registry/write_setting"), &[of[0], of[1], of[2], &&**value]).await?;
            }
            None => {
                session.execute(sql!("registry/delete_setting"), &of).await?;
            }
        }
    }
    Ok(())
}

/// What the functions for SQL hold data of a schema against, or why they take none.
fn door_of(catalogue: &Catalogue, row: &RegisteredSchema) -> (Option<String>, Option<String>) {
    let entry = catalogue.version(row.event_type.as_str(), row.version);
    let rules = entry.ok_or_else(|| "is not registered".to_owned()).and_then(|entry| door::rules(entry));
    match rules {
        Ok(rules) => (Some(rules), None),
        Err(closed) => (None, Some(closed)),
    }
}

/// Writes what the functions for SQL hold data against once more, as this build has it.
pub(super) async fn write_rules(session: &Session, catalogue: &Catalogue) -> Result<()> {
    let statement = session.prepare_cached(sql!("registry/write_rules")).await?;
    for row in &catalogue.registry().schemas {
        let (rules, closed) = door_of(catalogue, row);
        session.execute(&statement, &[&row.event_type.as_str(), &(row.version as i32), &rules, &closed]).await?;
    }
    Ok(())
}

/// Appends what records a change; returns where it ends.
pub(super) async fn append_record(session: &Session, record: &[NewEvent]) -> Result<Checkpoint> {
    let data: Vec<&str> = record.iter().map(json).collect::<Result<_>>()?;
    let types: Vec<&str> = record.iter().map(|event| event.event_type.as_str()).collect();
    let versions: Vec<Option<i32>> =
        record.iter().map(|event| event.schema_version.map(|version| version as i32)).collect();
    let ids: Vec<uuid::Uuid> = record.iter().map(|event| event.id.0).collect();
    let metadata: Vec<Option<String>> = record.iter().map(|event| event.metadata.to_json()).collect();
    let tags: Vec<Option<String>> =
        record.iter().map(|event| (!event.tags.is_empty()).then(|| array_literal(event.tags.as_slice()))).collect();
    let occurred: Vec<Option<Moment>> = record.iter().map(|event| event.occurred_at.map(Moment)).collect();
    let row = session
        .query_one(
            sql!("registry/append_record"),
            &[&REGISTRY_STREAM, &types, &versions, &data, &ids, &metadata, &tags, &occurred],
        )
        .await?;
    let (checkpoint, is_duplicate): (&str, bool) = (row.get(0), row.get(1));
    if is_duplicate {
        return Err(InvalidAppend::new("record", "has events that are in the log already").into());
    }
    checkpoint.parse().map_err(|_| Error::Store(format!("the record of a change was stored at `{checkpoint}`")))
}

fn json(event: &NewEvent) -> Result<&str> {
    let invalid = || InvalidAppend::new("record", "has an event whose data is no JSON").into();
    match &event.data {
        Payload::Json(bytes) => std::str::from_utf8(bytes).map_err(|_| invalid()),
        Payload::Binary(_) => Err(invalid()),
    }
}

/// Writes down a reader.
pub(super) async fn note_reader(session: &Session, reader: &NamedReader) -> Result<()> {
    let types: Vec<&str> = reader.types.iter().map(EventType::as_str).collect();
    let categories: Vec<&str> = reader.categories.iter().map(|category| &**category).collect();
    let understands: Vec<String> = reader.understands.iter().map(ToString::to_string).collect();
    let checkpoint = reader.checkpoint.as_ref().map(ToString::to_string);
    let statement = session.prepare_cached(sql!("registry/note_reader")).await?;
    session
        .execute(
            &statement,
            &[
                &&*reader.name,
                &types,
                &categories,
                &understands,
                &moment(reader.read_at),
                &checkpoint,
                &reader.waits_for.as_deref(),
                &reader.live_until.map(moment),
            ],
        )
        .await?;
    Ok(())
}

/// Reads all readers.
pub(super) async fn list_readers(session: &Session) -> Result<Vec<NamedReader>> {
    let statement = session.prepare_cached(sql!("registry/list_readers")).await?;
    let rows = session.query(&statement, &[]).await?;
    rows.iter().map(named_reader).collect()
}

fn named_reader(row: &Row) -> Result<NamedReader> {
    let name: &str = row.get(0);
    let strange = |what: String| Error::Store(format!("the reader `{name}` is noted with {what}"));
    let understands: Vec<&str> = row.get(3);
    let checkpoint: Option<&str> = row.get(5);
    Ok(NamedReader {
        name: name.into(),
        types: row.get::<_, Vec<&str>>(1).into_iter().map(EventType::from_storage).collect(),
        categories: row.get::<_, Vec<&str>>(2).into_iter().map(Into::into).collect(),
        understands: understands.into_iter().map(|text| text.parse().map_err(&strange)).collect::<Result<_>>()?,
        read_at: row.get::<_, Moment>(4).0,
        checkpoint: checkpoint
            .map(|text| text.parse().map_err(|_| strange(format!("the checkpoint `{text}`"))))
            .transpose()?,
        waits_for: row.get::<_, Option<&str>>(6).map(Into::into),
        live_until: row.get::<_, Option<Moment>>(7).map(|until| until.0),
    })
}
