//! Which builds there are: one small database, in which every change of role is one transaction.
//!
//! A build's file is whole before the catalogue names it, and is removed only once the catalogue does not name it any more.
//! So a process that is killed anywhere leaves the old state or the new one, and files that nobody names.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, Row, params};

use pacioli_core::place::{Place, Position};
use pacioli_core::{Checkpoint, Partition, Timestamp};
use pacioli_projection::Projection;
use pacioli_projection::engine::{BuildNumber, Failed, Role, State};
use pacioli_projection::file::{Name, listed};

use crate::error::{Error, Result};
use crate::schema;

/// The format this build writes.
const FORMAT: i64 = 1;

/// The catalogue's connection.
#[derive(Debug)]
pub(super) struct Catalogue {
    conn: Connection,
}

/// A row of the catalogue.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) projection: Arc<Projection>,
    pub(super) number: BuildNumber,
    pub(super) role: Role,
    pub(super) state: State,
    pub(super) workers: u16,
    pub(super) began_at: Timestamp,
    pub(super) served_at: Option<Timestamp>,
}

/// A copy of a build.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    /// The file's name in the folder of copies.
    pub(super) file: String,
    pub(super) name: String,
    /// The hash of the projection's text.
    pub(super) hash: String,
    /// Where it stands.
    pub(super) checkpoint: Checkpoint,
}

impl Catalogue {
    /// Opens the catalogue of the store `store_id`, or creates it.
    pub(super) fn open(path: &Path, store_id: &str) -> Result<Catalogue> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.execute_batch(sql!("models/open_catalogue"))?;
        let mut catalogue = Catalogue { conn };
        let is_new: i64 = catalogue.conn.query_row(sql!("count_tables"), ["meta"], |row| row.get(0))?;
        if is_new == 0 {
            catalogue.change(|conn| {
                conn.execute_batch(sql!("create_meta"))?;
                conn.execute_batch(sql!("models/create_numbers"))?;
                conn.execute_batch(sql!("models/create_builds"))?;
                conn.execute_batch(sql!("models/create_builds_of_role"))?;
                conn.execute_batch(sql!("models/create_copies"))?;
                schema::write_meta(conn, "format", FORMAT)?;
                schema::write_meta(conn, "store_id", store_id)
            })?;
        }
        let format: i64 = schema::read_meta(&catalogue.conn, "format")?.unwrap_or(0);
        if format != FORMAT {
            return Err(Error::Store(format!(
                "the read models have format {format} and this build knows {FORMAT}: use the build that wrote them, or \
                 another directory, where they are filled again"
            )));
        }
        let of: String = schema::read_meta(&catalogue.conn, "store_id")?.unwrap_or_default();
        if of != store_id {
            return Err(Error::Store("the read models are those of another store: name another directory".to_owned()));
        }
        Ok(catalogue)
    }

    /// Changes the catalogue in one synced transaction.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.conn.execute_batch(sql!("begin_write"))?;
        let changed = change(&self.conn).and_then(|value| {
            self.conn.execute_batch(sql!("commit"))?;
            Ok(value)
        });
        if changed.is_err() && !self.conn.is_autocommit() {
            self.conn.execute_batch(sql!("rollback"))?;
        }
        changed
    }

    /// All builds, by name and number. `known` saves parsing what was parsed before.
    pub(super) fn builds(&self, known: &[Listed]) -> Result<Vec<Listed>> {
        let mut statement = self.conn.prepare_cached(sql!("models/list_builds"))?;
        let mut rows = statement.query([])?;
        let mut builds = Vec::new();
        while let Some(row) = rows.next()? {
            match listed_build(row, known) {
                Ok(build) => builds.push(build),
                // One file that cannot be read any more keeps no other from running. Its build is left as it is.
                Err(Error::Store(problem)) => tracing::error!(problem, "a read model is left out"),
                Err(error) => return Err(error),
            }
        }
        Ok(builds)
    }

    /// The builds that have a file, those too that are left out.
    pub(super) fn keys(&self) -> Result<Vec<(String, u32)>> {
        let mut statement = self.conn.prepare_cached(sql!("models/list_build_keys"))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// All copies, the newest first.
    pub(super) fn copies(&self) -> Result<Vec<Copied>> {
        let mut statement = self.conn.prepare_cached(sql!("models/list_copies"))?;
        let mut rows = statement.query([])?;
        let mut copies = Vec::new();
        while let Some(row) = rows.next()? {
            let checkpoint: String = row.get(3)?;
            let checkpoint = checkpoint
                .parse()
                .map_err(|_| Error::Store(format!("a copy of a read model stands at `{checkpoint}`")))?;
            copies.push(Copied { file: row.get(0)?, name: row.get(1)?, hash: row.get(2)?, checkpoint });
        }
        Ok(copies)
    }
}

/// Takes a number that no build of this projection had.
pub(super) fn take_number(conn: &Connection, name: &Name) -> Result<BuildNumber> {
    let number = conn.prepare_cached(sql!("models/take_number"))?.query_row([name.as_str()], |row| row.get(0))?;
    Ok(BuildNumber(number))
}

pub(super) fn insert_build(conn: &Connection, build: &Listed) -> Result<()> {
    let projection = &build.projection;
    conn.prepare_cached(sql!("models/insert_build"))?.execute(params![
        projection.name.as_str(),
        build.number.0,
        role_name(build.role),
        build.workers,
        build.began_at.as_micros(),
        build.served_at.map(Timestamp::as_micros),
        projection.hash,
        projection.file,
        projection.text,
    ])?;
    Ok(())
}

pub(super) fn delete_build(conn: &Connection, name: &Name, number: BuildNumber) -> Result<()> {
    conn.prepare_cached(sql!("models/delete_build"))?.execute(params![name.as_str(), number.0])?;
    Ok(())
}

pub(super) fn set_role(
    conn: &Connection,
    name: &Name,
    number: BuildNumber,
    role: Role,
    served_at: Option<Timestamp>,
) -> Result<()> {
    conn.prepare_cached(sql!("models/set_build_role"))?.execute(params![
        name.as_str(),
        number.0,
        role_name(role),
        served_at.map(Timestamp::as_micros)
    ])?;
    Ok(())
}

pub(super) fn set_state(conn: &Connection, name: &Name, number: BuildNumber, state: &State) -> Result<()> {
    let (word, failed) = match state {
        State::Running => ("running", None),
        State::Paused => ("paused", None),
        State::Failed(failed) => ("failed", Some(failed)),
    };
    conn.prepare_cached(sql!("models/set_build_state"))?.execute(params![
        name.as_str(),
        number.0,
        word,
        failed.map(|failed| failed.place.partition.0),
        failed.map(|failed| failed.place.position.0 as i64),
        failed.map(|failed| failed.error.as_str()),
        failed.map(|failed| failed.at.as_micros()),
    ])?;
    Ok(())
}

pub(super) fn insert_copy(conn: &Connection, copy: &Copied, now: Timestamp) -> Result<()> {
    conn.prepare_cached(sql!("models/insert_copy"))?.execute(params![
        copy.file,
        copy.name,
        copy.hash,
        copy.checkpoint.to_string(),
        now.as_micros()
    ])?;
    Ok(())
}

pub(super) fn delete_copy(conn: &Connection, file: &str) -> Result<()> {
    conn.prepare_cached(sql!("models/delete_copy"))?.execute([file])?;
    Ok(())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Filling => "filling",
        Role::Serving => "serving",
        Role::Kept => "kept",
    }
}

fn listed_build(row: &Row<'_>, known: &[Listed]) -> Result<Listed> {
    let name: String = row.get(0)?;
    let number = BuildNumber(row.get(1)?);
    let unknown = |what: &str, word: &str| Error::Store(format!("the catalogue says a build's {what} is `{word}`"));
    let role: String = row.get(2)?;
    let role = match role.as_str() {
        "filling" => Role::Filling,
        "serving" => Role::Serving,
        "kept" => Role::Kept,
        other => return Err(unknown("role", other)),
    };
    let state: String = row.get(3)?;
    let state = match state.as_str() {
        "running" => State::Running,
        "paused" => State::Paused,
        "failed" => State::Failed(Failed {
            place: Place {
                partition: Partition(row.get(4)?),
                position: Position(u64::try_from(row.get::<_, i64>(5)?).unwrap_or_default()),
            },
            error: row.get(6)?,
            at: Timestamp::from_micros(row.get(7)?),
        }),
        other => return Err(unknown("state", other)),
    };
    let (hash, file, text): (String, String, String) = (row.get(11)?, row.get(12)?, row.get(13)?);
    let parsed = known.iter().find(|known| known.projection.hash == hash && known.projection.name.as_str() == name);
    let projection = match parsed {
        Some(known) => Arc::clone(&known.projection),
        None => Arc::new(Projection::parse(&file, &text).map_err(|findings| {
            Error::Store(format!(
                "the file of projection `{name}` was accepted and is not any more:\n{}",
                listed(&findings)
            ))
        })?),
    };
    Ok(Listed {
        projection,
        number,
        role,
        state,
        workers: row.get(8)?,
        began_at: Timestamp::from_micros(row.get(9)?),
        served_at: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_micros),
    })
}
