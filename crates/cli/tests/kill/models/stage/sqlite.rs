//! A data directory: the log and the builds are files, read by another connection than the server's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;

use super::{Look, Seen, Serves, Stage, data};
use crate::models::fold::{Fact, Stand, Tables, row, tables_of};

/// A data directory.
pub(crate) struct Sqlite {
    data: PathBuf,
    partitions: u64,
}

impl Sqlite {
    pub(crate) fn new(folder: &Path, partitions: u64) -> Sqlite {
        Sqlite { data: folder.join("data"), partitions }
    }

    fn read_models(data: &Path) -> PathBuf {
        data.join("read-models")
    }

    /// Builds by name, number and role, as the catalogue has them.
    fn listed(data: &Path) -> rusqlite::Result<Vec<(String, u64, String)>> {
        let path = Sqlite::read_models(data).join("catalogue.db");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let catalogue = open(&path)?;
        let mut statement = catalogue.prepare("SELECT name, number, role FROM builds ORDER BY name, number")?;
        statement.query_map([], |row| Ok((row.get(0)?, whole(row, 1)?, row.get(2)?)))?.collect()
    }

    fn look_in(data: &Path, serves: Serves) -> Look {
        let mut look = Look::default();
        for (name, number, role) in Sqlite::listed(data).expect("the catalogue can be read") {
            match build(data, &name, number, &role) {
                Ok(seen) => look.builds.push(seen),
                // It may have gone since.
                Err(error) => {
                    let listed = Sqlite::listed(data).expect("the catalogue can be read");
                    let is_there = listed.iter().any(|(its, number_of, _)| *its == name && *number_of == number);
                    assert!(serves == Serves::Yes && !is_there, "build {number} of `{name}` cannot be read: {error}");
                }
            }
        }
        let log = data.join("log.db");
        if log.exists() {
            look.log = log_of(&log).expect("the log can be read");
        }
        look
    }
}

impl Stage for Sqlite {
    fn engine(&self) -> &'static str {
        "SQLite"
    }

    fn options(&self) -> Vec<String> {
        let data = self.data.display().to_string();
        vec!["--data".to_owned(), data, "--partitions".to_owned(), self.partitions.to_string()]
    }

    fn look(&self, serves: Serves) -> Look {
        match serves {
            Serves::Yes => Sqlite::look_in(&self.data, serves),
            // A reader recovers what a killed writer left: that is to be the next server's work.
            Serves::No => {
                let copy = tempfile::tempdir().expect("a folder");
                copy_all(&self.data, copy.path()).expect("files can be copied");
                Sqlite::look_in(copy.path(), serves)
            }
        }
    }

    fn strangers(&self) -> Vec<String> {
        let listed = Sqlite::listed(&self.data).expect("the catalogue can be read");
        let mut known: Vec<String> = listed.iter().map(|(name, number, _)| format!("{name}.{number}.db")).collect();
        // What lies in `scratch` goes at the next start.
        known.extend(["catalogue.db", "copies", "pacioli.lock", "scratch"].map(str::to_owned));
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
        };
        let models = Sqlite::read_models(&self.data);
        let is_of = |name: &str, known: &[String]| {
            known
                .iter()
                .any(|one| name == one || name.strip_prefix(one.as_str()).is_some_and(|rest| rest.starts_with('-')))
        };
        let mut strangers: Vec<String> = names(&models).into_iter().filter(|name| !is_of(name, &known)).collect();
        let copies: Vec<String> = {
            let catalogue = open(&models.join("catalogue.db")).expect("the catalogue");
            let mut statement = catalogue.prepare("SELECT file FROM copies").expect("copies");
            let files = statement.query_map([], |row| row.get(0)).expect("copies");
            files.collect::<rusqlite::Result<_>>().expect("copies")
        };
        strangers.extend(names(&models.join("copies")).into_iter().filter(|name| !is_of(name, &copies)));
        strangers
    }

    fn keep(&self, _: &Path) {
        // The directory is in the folder that is kept.
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.busy_timeout(Duration::from_secs(10))?;
    Ok(conn)
}

/// Rows and progress of one file in one transaction.
fn build(data: &Path, name: &str, number: u64, role: &str) -> rusqlite::Result<Seen> {
    let mut conn = open(&Sqlite::read_models(data).join(format!("{name}.{number}.db")))?;
    let transaction = conn.transaction()?;
    let stands = {
        let mut statement = transaction.prepare("SELECT worker, partition, position FROM pacioli_progress")?;
        let stand =
            |row: &Row<'_>| Ok(Stand { worker: whole(row, 0)?, partition: whole(row, 1)?, position: whole(row, 2)? });
        statement.query_map([], stand)?.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let mut tables = Tables::new();
    for (table, columns) in tables_of(name) {
        let mut statement = transaction.prepare(&format!("SELECT {} FROM {table}", columns.join(", ")))?;
        let read = |found: &Row<'_>| {
            let values: rusqlite::Result<Vec<Value>> =
                (0..columns.len()).map(|at| Ok(value(found.get_ref(at)?))).collect();
            Ok(row(columns, &values?))
        };
        tables.insert((*table).to_owned(), statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?);
    }
    Ok(Seen { name: name.to_owned(), number, role: role.to_owned(), stands, tables })
}

fn whole(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(at)?.try_into().expect("no number here is negative"))
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => integer.into(),
        ValueRef::Real(real) => real.into(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned().into(),
    }
}

fn log_of(path: &Path) -> rusqlite::Result<Vec<Fact>> {
    let conn = open(path)?;
    let mut statement =
        conn.prepare("SELECT partition, position, stream, version, type, id, CAST(data AS TEXT) FROM events")?;
    let fact = |row: &Row<'_>| {
        Ok(Fact {
            partition: whole(row, 0)?,
            position: whole(row, 1)?,
            stream: row.get(2)?,
            version: whole(row, 3)?,
            kind: row.get(4)?,
            id: row.get(5)?,
            data: data(&row.get::<_, String>(6)?),
            stream_hash: 0,
        })
    };
    let mut log: Vec<Fact> = statement.query_map([], fact)?.collect::<rusqlite::Result<_>>()?;
    log.sort_by_key(|fact| (fact.partition, fact.position));
    Ok(log)
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_all(&entry.path(), &target)?;
        } else if !entry.file_name().to_string_lossy().ends_with("-shm") {
            // An index of the write-ahead log, which a reader of the copy makes anew.
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
