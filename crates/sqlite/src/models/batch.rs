//! The relation `batch`: the events of one advance as a table, for statements that see them all at once.
//!
//! A temporary table that holds only the columns which the statements read, and NULL in the others. It beats a view over the
//! attached log: events arrive decoded and verified, from a thread that reads ahead, whatever the filter is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use pacioli_core::RecordedEvent;

use super::handlers::Handlers;
use super::paths::Paths;
use super::values::{EventValues, Field, Slot};

/// The name of the relation.
pub(crate) const BATCH: &str = "batch";

/// The relation on one connection.
#[derive(Debug)]
pub(crate) struct Batch {
    insert: String,
    fields: Vec<Field>,
}

impl Batch {
    /// Makes the relation on this connection and finds out which of its columns the statements read.
    pub(crate) fn create(conn: &mut Connection, handlers: &Handlers) -> rusqlite::Result<Batch> {
        conn.execute_batch(sql!("models/create_batch"))?;
        let read = read_columns(conn, handlers)?;
        let columns: Vec<(&str, Field)> = Field::ALL.into_iter().filter(|(name, _)| read.contains(*name)).collect();
        // The position is the key: it is always there.
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let binds: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
        let insert = format!("INSERT INTO temp.{BATCH} ({}) VALUES ({})", names.join(", "), binds.join(", "));
        Ok(Batch { insert, fields: columns.into_iter().map(|(_, field)| field).collect() })
    }

    /// Puts these events into it, in place of those before. In the transaction that applies them.
    pub(crate) fn fill(&self, conn: &Connection, events: &[Arc<RecordedEvent>]) -> rusqlite::Result<()> {
        conn.prepare_cached(sql!("models/clear_batch"))?.execute([])?;
        let no_paths = Paths::default();
        let mut insert = conn.prepare_cached(&self.insert)?;
        for event in events {
            let values = EventValues::new(event, &no_paths);
            for (parameter, field) in self.fields.iter().enumerate() {
                insert.raw_bind_parameter(parameter + 1, values.get(Slot::Field(*field)))?;
            }
            insert.raw_execute()?;
        }
        Ok(())
    }
}

/// The columns of `batch` that any statement reads. What cannot be prepared reads nothing: it fails when it runs.
fn read_columns(conn: &mut Connection, handlers: &Handlers) -> rusqlite::Result<BTreeSet<String>> {
    let read = Arc::new(Mutex::new(BTreeSet::from(["position".to_owned()])));
    let seen = Arc::clone(&read);
    conn.authorizer(Some(move |context: AuthContext<'_>| {
        if let AuthAction::Read { table_name, column_name } = context.action
            && table_name.eq_ignore_ascii_case(BATCH)
        {
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(column_name.to_ascii_lowercase());
        }
        Authorization::Allow
    }))?;
    for statement in handlers.statements() {
        let _ = conn.prepare(&statement.sql);
    }
    conn.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    let read = read.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(read.clone())
}
