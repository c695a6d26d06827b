//! The registry of schemas in the log's own file: its rows, and how often it was changed.
//!
//! A store that was made before there were schemas has none of the tables. It gets them with the first change, in the same
//! transaction, which also gives it a format that older builds refuse: they would append past the schemas. So nothing is
//! written when a store is opened, and one on a full disk can be read as before.

use rusqlite::{Connection, Row, params};

use pacioli_core::schemas::{
    Generation, NamedReader, RegisteredSchema, Registry, RegistryChange, SchemaFormat, Setting, SettingScope,
};
use pacioli_core::{EventType, Timestamp};

use crate::error::{Error, Result};
use crate::schema::{self, FORMAT_WITH_SCHEMAS};

/// How often the registry was changed, as a setting of the store; not there before the first change.
const GENERATION: &str = "schema_generation";

/// The registry as the connection sees it: in a transaction where it may change meanwhile.
pub(crate) fn read(conn: &Connection) -> Result<Registry> {
    let generation: i64 = schema::read_meta(conn, GENERATION)?.unwrap_or(0);
    let generation = Generation(u64::try_from(generation).map_err(|_| makes_no_sense("generation", &generation))?);
    if generation == Generation(0) {
        return Ok(Registry::default());
    }
    let mut registry = Registry { generation, ..Registry::default() };
    let mut statement = conn.prepare(sql!("registry/list_schemas"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        registry.schemas.push(schema_of(row)?);
    }
    let mut statement = conn.prepare(sql!("registry/list_settings"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (scope, name): (String, String) = (row.get(0)?, row.get(1)?);
        let scope = SettingScope::from_parts(&scope, &name).ok_or_else(|| makes_no_sense("scope", &scope))?;
        registry.settings.push(Setting { scope, name: row.get(2)?, value: Some(row.get(3)?) });
    }
    registry.settings.sort_by(|a, b| (&a.scope, &a.name).cmp(&(&b.scope, &b.name)));
    Ok(registry)
}

fn schema_of(row: &Row<'_>) -> Result<RegisteredSchema> {
    let (semver, format): (String, String) = (row.get(2)?, row.get(4)?);
    Ok(RegisteredSchema {
        event_type: EventType::from_storage(row.get::<_, String>(0)?),
        version: row.get(1)?,
        semver: semver.parse().map_err(|_| makes_no_sense("version", &semver))?,
        id: row.get(3)?,
        format: SchemaFormat::from_word(&format).ok_or_else(|| makes_no_sense("format", &format))?,
        text: row.get(5)?,
        references: row.get(6)?,
        upcaster: row.get(7)?,
        is_deleted: row.get(8)?,
        registered_at: Timestamp::from_micros(row.get(9)?),
        registered_by: row.get(10)?,
    })
}

fn makes_no_sense(what: &str, value: &dyn std::fmt::Display) -> Error {
    Error::Store(format!("the registry of schemas has the {what} `{value}`, which makes no sense to this build"))
}

/// Writes a change in the transaction that the connection has begun. Says what the registry is with it.
pub(crate) fn write(conn: &Connection, change: &RegistryChange) -> Result<Registry> {
    create_tables(conn)?;
    let mut statement = conn.prepare(sql!("registry/write_schema"))?;
    for schema in &change.schemas {
        statement.execute(params![
            schema.event_type.as_str(),
            schema.version,
            schema.semver.to_string(),
            schema.id,
            schema.format.word(),
            schema.text,
            schema.references,
            schema.upcaster,
            schema.is_deleted,
            schema.registered_at.as_micros(),
            schema.registered_by,
        ])?;
    }
    let mut statement = conn.prepare(sql!("registry/delete_schema"))?;
    for (event_type, version) in &change.removed {
        statement.execute(params![event_type.as_str(), version])?;
    }
    for Setting { scope, name, value } in &change.settings {
        let (scope, scope_name) = scope.parts();
        match value {
            Some(value) => {
                conn.execute(sql!("registry/write_setting"), params![scope, scope_name, name, value])?;
            }
            None => {
                conn.execute(sql!("registry/delete_setting"), params![scope, scope_name, name])?;
            }
        }
    }
    schema::write_meta(conn, GENERATION, change.expected.0 as i64 + 1)?;
    schema::write_meta(conn, schema::FORMAT, FORMAT_WITH_SCHEMAS)?;
    read(conn)
}

/// Makes the tables where they are not there yet.
pub(crate) fn create_tables(conn: &Connection) -> Result<()> {
    for statement in
        [sql!("registry/create_schemas"), sql!("registry/create_settings"), sql!("registry/create_readers")]
    {
        conn.execute_batch(statement)?;
    }
    Ok(())
}

/// Writes down what was seen of readers.
pub(crate) fn write_readers<'r>(conn: &Connection, readers: impl Iterator<Item = &'r NamedReader>) -> Result<()> {
    create_tables(conn)?;
    let mut statement = conn.prepare(sql!("registry/write_reader"))?;
    for reader in readers {
        statement.execute(params![
            reader.name,
            list(reader.types.iter().map(EventType::to_string)),
            list(reader.categories.iter().map(|category| category.to_string())),
            list(reader.understands.iter().map(|stated| stated.to_string())),
            reader.read_at.as_micros(),
            reader.checkpoint.as_ref().map(|checkpoint| checkpoint.to_string()),
            reader.waits_for,
        ])?;
    }
    Ok(())
}

/// The readers that were written down.
pub(crate) fn readers(conn: &Connection) -> Result<Vec<NamedReader>> {
    if !has_readers(conn)? {
        return Ok(Vec::new());
    }
    let mut statement = conn.prepare(sql!("registry/list_readers"))?;
    let mut rows = statement.query([])?;
    let mut readers = Vec::new();
    while let Some(row) = rows.next()? {
        let name: Box<str> = row.get(0)?;
        let damaged = || Error::Store(format!("what is known of the reader `{name}` cannot be read; forget it"));
        let texts = |column: usize| -> Result<Vec<String>> {
            serde_json::from_str(&row.get::<_, String>(column)?).map_err(|_| damaged())
        };
        let checkpoint: Option<String> = row.get(5)?;
        readers.push(NamedReader {
            types: texts(1)?.into_iter().map(EventType::from_storage).collect(),
            categories: texts(2)?.into_iter().map(Box::from).collect(),
            understands: texts(3)?.iter().map(|stated| stated.parse().map_err(|_| damaged())).collect::<Result<_>>()?,
            read_at: Timestamp::from_micros(row.get(4)?),
            checkpoint: checkpoint.map(|text| text.parse().map_err(|_| damaged())).transpose()?,
            waits_for: row.get(6)?,
            // Whoever follows the log of this file does so in this process.
            live_until: None,
            name,
        });
    }
    Ok(readers)
}

/// Forgets a reader; false where none of that name was written down.
pub(crate) fn delete_reader(conn: &Connection, name: &str) -> Result<bool> {
    Ok(has_readers(conn)? && conn.execute(sql!("registry/delete_reader"), [name])? > 0)
}

fn has_readers(conn: &Connection) -> Result<bool> {
    let tables: i64 = conn.query_row(sql!("count_tables"), ["pacioli_schema_readers"], |row| row.get(0))?;
    Ok(tables > 0)
}

/// A JSON array of texts.
fn list(texts: impl Iterator<Item = String>) -> String {
    serde_json::Value::from_iter(texts).to_string()
}
