//! Attaching a build's file to the writer's connection, so that its statements mean its own tables and nothing else.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::{Connection, params};

use pacioli_core::place::{Checkpoint, Position};

use pacioli_projection::file::Makes;

use super::{NotServing, SyncBuild};
use crate::error::{Error, Result};
use crate::models::batch::{BATCH, Batch};
use crate::pool::pages_of;
use crate::writer::BUSY_PATIENCE;

/// How the tables begin that every build's file has. No statement of a projection names them.
const OURS: &str = "pacioli_";
/// The write-ahead log of a build is moved into its file once it has so many pages.
const CHECKPOINT_PAGES: i64 = 2_048;
/// Beyond this size it waits for its readers and begins anew.
const RESTART_PAGES: i64 = (64 << 20) / 4096;
/// How long it waits for them.
const RESTART_PATIENCE: Duration = Duration::from_millis(20);

/// A build's file on the writer's connection.
#[derive(Debug)]
pub(super) struct Attached {
    /// The name of its schema there: letters, digits and `_`.
    pub(super) schema: String,
    /// The relation `batch`, where a statement reads it.
    pub(super) batch: Option<Batch>,
    /// Whether it has full-text tables, which gather in memory what they write.
    pub(super) has_full_text: bool,
    /// The statement that moves its progress.
    pub(super) move_progress: String,
    /// The statement that counts what it passes over.
    pub(super) count_passed_over: String,
    measure_wal: String,
}

/// A statement about an attached build.
macro_rules! of_schema {
    ($name:literal, $schema:expr) => {
        sql!($name).replace("{schema}", $schema)
    };
}

/// Attaches the file of a build. Its statements can be run when this returns.
///
/// Names without a schema are looked up in the log's file first and then in the attached ones, so a table of the build whose
/// name is taken elsewhere would be another table to its statements: that is refused.
pub(super) fn attach(
    conn: &mut Connection,
    build: &SyncBuild,
    bytes_max: Option<u64>,
) -> std::result::Result<Attached, NotServing> {
    let schema = format!("sync_{}", build.projection.name);
    let Some(file) = build.file.to_str().filter(|_| build.file.exists()) else {
        let problem = format!("its file {} is missing or has no name in UTF-8", build.file.display());
        return Err(NotServing::Refused(problem));
    };
    conn.execute(sql!("sync/attach_build"), params![file, schema])?;
    let attached = look_at(conn, build, &schema, bytes_max);
    if attached.is_err() {
        detach(conn, &schema)?;
    }
    attached
}

fn look_at(
    conn: &mut Connection,
    build: &SyncBuild,
    schema: &str,
    bytes_max: Option<u64>,
) -> std::result::Result<Attached, NotServing> {
    conn.execute_batch(&of_schema!("sync/open_attached_build", schema))?;
    if let Some(bytes) = bytes_max {
        conn.pragma_update(Some(schema), "max_page_count", pages_of(bytes))?;
    }
    check_names(conn, schema)?;
    let batch = if build.handlers.has_batch() { Some(Batch::create(conn, &build.handlers)?) } else { None };
    for statement in build.handlers.statements() {
        if let Err(error) = conn.prepare(&statement.sql) {
            return Err(NotServing::Refused(build.handlers.failure(statement, &error)));
        }
    }
    let mut makes = build.projection.definitions.iter().map(|definition| &definition.makes);
    Ok(Attached {
        schema: schema.to_owned(),
        batch,
        has_full_text: makes.any(|makes| matches!(makes, Makes::VirtualTable(_))),
        move_progress: of_schema!("sync/move_progress", schema),
        count_passed_over: of_schema!("sync/count_passed_over", schema),
        measure_wal: of_schema!("sync/measure_wal", schema),
    })
}

/// Refuses a build with a relation that has the name of one of the log or of another attached build.
fn check_names(conn: &Connection, schema: &str) -> std::result::Result<(), NotServing> {
    let own: HashSet<String> = relations(conn, schema)?.into_iter().collect();
    if own.contains(BATCH) {
        return Err(NotServing::Refused(format!("its table `{BATCH}` has the name of the events that are applied")));
    }
    let mut statement = conn.prepare_cached(sql!("sync/list_schemas"))?;
    let schemas = statement.query_map([], |row| row.get::<_, String>(0))?;
    for other in schemas {
        let other = other?;
        if other == schema || other == "temp" {
            continue;
        }
        if let Some(name) = relations(conn, &other)?.into_iter().find(|name| own.contains(name)) {
            let owner = match other.strip_prefix("sync_") {
                Some(projection) => format!("the sync projection `{projection}`"),
                None => "the log".to_owned(),
            };
            return Err(NotServing::Refused(format!(
                "its table `{name}` has the name of a table of {owner}, and both are open when an append is stored: give it \
                 another name, or make the projection async"
            )));
        }
    }
    Ok(())
}

/// The tables and views of a schema in small letters, but for those that every build has.
pub(crate) fn relations(conn: &Connection, schema: &str) -> Result<Vec<String>> {
    let mut statement = conn.prepare(&of_schema!("sync/list_relations", schema))?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    let names: rusqlite::Result<Vec<String>> = names.map(|name| Ok(name?.to_ascii_lowercase())).collect();
    Ok(names?.into_iter().filter(|name| !name.starts_with(OURS)).collect())
}

/// Detaches a file again.
pub(super) fn detach(conn: &Connection, schema: &str) -> Result<()> {
    conn.execute(sql!("sync/detach_build"), [schema])?;
    Ok(())
}

impl Attached {
    /// Where it stands.
    pub(super) fn progress(&self, conn: &Connection, heads: &Checkpoint) -> Result<Checkpoint> {
        let mut statement = conn.prepare(&of_schema!("sync/list_progress", &self.schema))?;
        let mut rows = statement.query([])?;
        let mut stands = vec![Position::START; usize::from(heads.partitions())];
        let mut known = 0;
        while let Some(row) = rows.next()? {
            let (worker, partition): (u16, u16) = (row.get(0)?, row.get(1)?);
            let position = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
            match stands.get_mut(usize::from(partition)).filter(|_| worker == 0) {
                Some(stands) => *stands = Position(position),
                None => return Err(Error::Store(format!("it has a worker {worker} in partition {partition}"))),
            }
            known += 1;
        }
        if known != stands.len() {
            return Err(Error::Store(format!("it knows {known} of {} partitions", stands.len())));
        }
        Ok(Checkpoint::new(stands, heads.epoch()))
    }

    /// Moves its write-ahead log into its file where that is due, or in any case where nobody waits. Says whether it did.
    pub(super) fn checkpoint(&self, conn: &Connection, nobody_waits: bool) -> Result<bool> {
        let pages = |statement: &str| -> Result<(i64, i64)> {
            Ok(conn.prepare_cached(statement)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?)
        };
        let (written, moved) = pages(&self.measure_wal)?;
        if written - moved.max(0) < if nobody_waits { 1 } else { CHECKPOINT_PAGES } {
            return Ok(false);
        }
        let (left, _) = pages(&of_schema!("sync/checkpoint_wal", &self.schema))?;
        if left > RESTART_PAGES {
            conn.busy_timeout(RESTART_PATIENCE)?;
            let restarted = pages(&of_schema!("sync/restart_wal", &self.schema));
            conn.busy_timeout(BUSY_PATIENCE)?;
            restarted?;
        }
        Ok(true)
    }
}
