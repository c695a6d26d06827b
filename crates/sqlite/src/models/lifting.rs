//! The relation `events` where schemas are registered: events that can be lifted come in the newest shape.
//!
//! Only rows of types with a version beyond the first go through a function, and only where a statement reads their data or
//! their schema's version: a count by type costs what it did.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

use pacioli_core::schemas::{Generation, Lens, Seen, Shape};
use pacioli_core::{EventId, Metadata, Payload, RecordedEvent, StreamName, Tags, Timestamp, Version};

use crate::error::{Result, place};
use crate::store::Shared;

/// Up to which change of the registry a view shows events, where there is a gate and it knows of any.
pub(super) fn generation(shared: &Shared) -> Option<Generation> {
    let generation = shared.gate.as_ref()?.generation();
    (generation > Generation(0)).then_some(generation)
}

/// The view over the log where it is attached, with the functions that it needs where events can be lifted.
pub(super) fn view(conn: &Connection, shared: &Arc<Shared>) -> Result<String> {
    let (schema_version, data) = match is_lifted(conn, shared)? {
        Some(is_lifted) => {
            let lifted = |expression: &str| expression.replace("{is_lifted}", &is_lifted);
            (lifted(sql!("models/lifted_schema_version")), lifted(sql!("models/lifted_data")))
        }
        None => ("log.schema_version".to_owned(), "log.data".to_owned()),
    };
    Ok(sql!("models/create_events").replace("{schema_version}", &schema_version).replace("{data}", &data))
}

/// Which events of the log may be lifted, as a condition, with the functions that lift them; `None` where none can be.
fn is_lifted(conn: &Connection, shared: &Arc<Shared>) -> Result<Option<String>> {
    let Some(gate) = shared.gate.as_ref().filter(|gate| gate.generation() > Generation(0)) else { return Ok(None) };
    // The types first: one that comes meanwhile is above the last that is known.
    let last: i64 = conn.query_row(sql!("models/last_type"), [], |row| row.get(0))?;
    let mut statement = conn.prepare(sql!("models/list_lifted_types"))?;
    let types: Vec<Option<i64>> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if types.is_empty() {
        return Ok(None);
    }
    let ids: Vec<String> = types.iter().flatten().map(i64::to_string).collect();
    let is_lifted = format!("(log.type_id IN ({}) OR log.type_id > {last})", ids.join(", "));
    add_functions(
        conn,
        Lifting { shared: Arc::clone(shared), lens: gate.lens(&Shape::default()), last: Mutex::default() },
    )?;
    Ok(Some(is_lifted))
}

/// What the functions share. A statement that reads data and version asks for the same row twice.
struct Lifting {
    shared: Arc<Shared>,
    lens: Arc<dyn Lens>,
    last: Mutex<Option<(i64, Option<Arc<RecordedEvent>>)>>,
}

fn add_functions(conn: &Connection, lifting: Lifting) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let lifting = Arc::new(AssertUnwindSafe(lifting));
    let its_lifting = Arc::clone(&lifting);
    conn.create_scalar_function("pacioli_schema_version", 5, flags, move |context| {
        Ok(match its_lifting.lifted(context)? {
            Some(event) => i64::from(event.schema_version),
            None => context.get(3)?,
        })
    })?;
    conn.create_scalar_function("pacioli_data", 5, flags, move |context| {
        Ok(match lifting.lifted(context)? {
            Some(event) => match &event.data {
                Payload::Json(json) => Value::Text(String::from_utf8_lossy(json).into_owned()),
                Payload::Binary(bytes) => Value::Blob(bytes.to_vec()),
            },
            None => context.get(4)?,
        })
    })
}

impl Lifting {
    /// The event in its newest shape; `None` where that is the one that it was stored in.
    fn lifted(&self, context: &Context<'_>) -> rusqlite::Result<Option<Arc<RecordedEvent>>> {
        let rowid: i64 = context.get(0)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, lifted)) = &*last
            && *known == rowid
        {
            return Ok(lifted.clone());
        }
        let lifted = match self.stored(rowid, context)? {
            // This process is the one that changes the registry, so its gate always knows all of it.
            Some(mut event) => match self.lens.see(&mut event, true) {
                Seen::Lifted => Some(event),
                Seen::AsStored | Seen::Withheld(_) | Seen::Unknown => None,
            },
            None => None,
        };
        *last = Some((rowid, lifted.clone()));
        Ok(lifted)
    }

    /// As much of the event as its shape depends on.
    fn stored(&self, rowid: i64, context: &Context<'_>) -> rusqlite::Result<Option<Arc<RecordedEvent>>> {
        let Some(event_type) = self.shared.types.name(context.get(2)?) else { return Ok(None) };
        let data = match context.get_raw(4) {
            ValueRef::Text(bytes) => Payload::Json(Bytes::copy_from_slice(bytes)),
            ValueRef::Blob(bytes) => Payload::Binary(Bytes::copy_from_slice(bytes)),
            _ => return Ok(None),
        };
        let place = place(rowid);
        Ok(Some(Arc::new(RecordedEvent {
            partition: place.partition,
            position: place.position,
            stream: StreamName::from_storage(context.get::<String>(1)?),
            version: Version(0),
            id: EventId(uuid::Uuid::nil()),
            event_type,
            schema_version: context.get(3)?,
            data,
            metadata: Metadata::default(),
            tags: Tags::default(),
            occurred_at: None,
            recorded_at: Timestamp::default(),
        })))
    }
}
