//! A projection's handlers as SQLite runs them: which statements an event brings, and what is bound to them.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection};

use pacioli_core::schemas::{Gate, Withheld};
use pacioli_core::{EventType, Filter, Place, RecordedEvent};
use pacioli_projection::Projection;
use pacioli_projection::file::On;

use super::paths::Paths;
use super::shapes::Shapes;
use super::values::{EventValues, Slot};

/// The handlers of one projection. Shared by everything that applies events for it.
#[derive(Debug)]
pub(crate) struct Handlers {
    /// The file's name, for messages.
    file: String,
    statements: Vec<Compiled>,
    /// Statements of the types that have handlers of their own, with those of `*` in between as in the file.
    of_types: HashMap<EventType, Vec<usize>>,
    /// Statements of all other types.
    of_others: Vec<usize>,
    of_batch: Vec<usize>,
    paths: Paths,
    filter: Arc<Filter>,
    excludes_system: bool,
    shapes: Shapes,
}

/// One statement.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// Its text with numbered parameters.
    pub(crate) sql: String,
    /// What is bound to each parameter, from 1.
    pub(crate) slots: Vec<Slot>,
    /// Its first line in the file.
    pub(crate) line: u32,
    /// Whether it sees the whole batch.
    pub(crate) is_batch: bool,
}

/// Why events were not applied.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// A statement failed, or the event has a shape that the projection does not understand; what was done before is undone
    /// by rolling back.
    Statement {
        /// The event, where it is known.
        place: Option<Place>,
        /// File, line and what SQLite said.
        error: String,
    },
    /// SQLite could not go on: the disk, the file, memory.
    Sqlite(rusqlite::Error),
}

impl From<Box<Withheld>> for ApplyError {
    fn from(withheld: Box<Withheld>) -> ApplyError {
        ApplyError::Statement { place: Some(withheld.place), error: withheld.to_string() }
    }
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> ApplyError {
        ApplyError::Sqlite(error)
    }
}

impl Handlers {
    /// Compiles the handlers of a projection, which see events in the shapes of this gate. Whether SQLite takes them is
    /// another question: see `check`.
    pub(crate) fn new(projection: &Projection, gate: Option<&Arc<dyn Gate>>) -> Handlers {
        let mut handlers = Handlers {
            file: projection.file.clone(),
            statements: Vec::new(),
            of_types: HashMap::new(),
            of_others: Vec::new(),
            of_batch: Vec::new(),
            paths: Paths::default(),
            filter: Arc::new(projection.filter()),
            excludes_system: projection.excludes_system(),
            shapes: Shapes::of(projection, gate),
        };
        for handler in &projection.handlers {
            if let On::Types(types) = &handler.on {
                for event_type in types {
                    handlers.of_types.entry(event_type.clone()).or_default();
                }
            }
        }
        for handler in &projection.handlers {
            for statement in &handler.statements {
                let mut slots: Vec<Slot> = Vec::new();
                let sql = statement.render(|value, _| {
                    let slot = Slot::of(&value.source, &mut handlers.paths);
                    let number = slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
                        slots.push(slot);
                        slots.len() - 1
                    });
                    format!("?{}", number + 1)
                });
                let number = handlers.statements.len();
                let is_batch = handler.on == On::Batch;
                handlers.statements.push(Compiled { sql, slots, line: statement.line, is_batch });
                match &handler.on {
                    On::Types(types) => {
                        for event_type in types {
                            handlers.of_types.get_mut(event_type).expect("it was entered above").push(number);
                        }
                    }
                    On::Every => {
                        handlers.of_types.values_mut().for_each(|statements| statements.push(number));
                        handlers.of_others.push(number);
                    }
                    On::Batch => handlers.of_batch.push(number),
                }
            }
        }
        handlers
    }

    /// All statements in the order of the file.
    pub(crate) fn statements(&self) -> &[Compiled] {
        &self.statements
    }

    /// Which events to read.
    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// Whether the projection wants an event.
    pub(crate) fn wants(&self, event: &RecordedEvent) -> bool {
        self.filter.matches(event) && !(self.excludes_system && event.stream.as_str().starts_with('$'))
    }

    /// In which shape it sees them.
    pub(crate) fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Whether a statement sees the whole batch.
    pub(crate) fn has_batch(&self) -> bool {
        !self.of_batch.is_empty()
    }

    fn of(&self, event_type: &EventType) -> &[usize] {
        self.of_types.get(event_type).unwrap_or(&self.of_others)
    }

    /// Where a statement stands and what SQLite said of it.
    pub(crate) fn failure(&self, statement: &Compiled, error: &rusqlite::Error) -> String {
        let (line, said) = locate(statement.line, error);
        format!("{}:{line}: {said}", self.file)
    }
}

/// The line of an error in a statement that begins at `line`, and SQLite's words.
pub(crate) fn locate(line: u32, error: &rusqlite::Error) -> (u32, String) {
    match error {
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => {
            let before = usize::try_from(*offset).ok().and_then(|offset| sql.as_bytes().get(..offset)).unwrap_or(b"");
            let lines = before.iter().filter(|b| **b == b'\n').count();
            (line + lines as u32, msg.clone())
        }
        rusqlite::Error::SqliteFailure(_, Some(said)) => (line, said.clone()),
        other => (line, other.to_string()),
    }
}

/// Applies events over one connection, whose transaction is the caller's.
pub(crate) struct Applier<'c> {
    handlers: &'c Handlers,
    conn: &'c Connection,
    prepared: Vec<Option<CachedStatement<'c>>>,
}

impl<'c> Applier<'c> {
    /// Statements are prepared when they are first needed, and kept in the connection's cache.
    pub(crate) fn new(handlers: &'c Handlers, conn: &'c Connection) -> Applier<'c> {
        let prepared = handlers.statements.iter().map(|_| None).collect();
        Applier { handlers, conn, prepared }
    }

    /// Runs what one event brings.
    pub(crate) fn event(&mut self, event: &RecordedEvent) -> Result<(), ApplyError> {
        let handlers = self.handlers;
        let statements = handlers.of(&event.event_type);
        if statements.is_empty() {
            return Ok(());
        }
        let values = EventValues::new(event, &handlers.paths);
        for &number in statements {
            let compiled = &handlers.statements[number];
            let bind_and_run = |statement: &mut CachedStatement<'_>| -> rusqlite::Result<()> {
                for (parameter, slot) in compiled.slots.iter().enumerate() {
                    statement.raw_bind_parameter(parameter + 1, values.get(*slot))?;
                }
                statement.raw_execute().map(drop)
            };
            let outcome = self.prepared(number).and_then(bind_and_run);
            outcome.map_err(|error| self.failed(number, Some(event.place()), error))?;
        }
        Ok(())
    }

    /// Runs the statements that see the batch, which the relation `batch` holds. `only` is its event where there is one.
    pub(crate) fn batch(&mut self, only: Option<Place>) -> Result<(), ApplyError> {
        let handlers = self.handlers;
        for &number in &handlers.of_batch {
            let outcome = self.prepared(number).and_then(|statement| statement.raw_execute());
            outcome.map_err(|error| self.failed(number, only, error))?;
        }
        Ok(())
    }

    fn prepared(&mut self, number: usize) -> rusqlite::Result<&mut CachedStatement<'c>> {
        let slot = &mut self.prepared[number];
        if slot.is_none() {
            *slot = Some(self.conn.prepare_cached(&self.handlers.statements[number].sql)?);
        }
        Ok(slot.as_mut().expect("it was just filled"))
    }

    fn failed(&self, number: usize, place: Option<Place>, error: rusqlite::Error) -> ApplyError {
        if is_of_storage(&error) {
            return ApplyError::Sqlite(error);
        }
        let error = self.handlers.failure(&self.handlers.statements[number], &error);
        ApplyError::Statement { place, error }
    }
}

/// Whether an error says something about the disk or the process and nothing about the statement.
pub(crate) fn is_of_storage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, FileLockingProtocolFailed, NotADatabase,
        OperationInterrupted, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    matches!(
        error.sqlite_error_code(),
        Some(
            CannotOpen
                | DatabaseBusy
                | DatabaseCorrupt
                | DatabaseLocked
                | DiskFull
                | FileLockingProtocolFailed
                | NotADatabase
                | OperationInterrupted
                | OutOfMemory
                | PermissionDenied
                | ReadOnly
                | SystemIoFailure
        )
    )
}
