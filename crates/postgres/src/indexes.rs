//! Indexes beyond those of the log, asked for by a team for its own queries: on every chunk, old and new, made while
//! appends go on.
//!
//! 1. The row in `indexes` comes first, under the lock of who makes chunks: every chunk made from then on has the index.
//! 2. Then the chunks that are there get it, the newest first, each by `CREATE INDEX CONCURRENTLY`.
//!
//! So no chunk is missed, and what breaks off is taken up by asking for the same again. An index that cannot be made for
//! what is in the log is withdrawn as a whole: an append whose event does not fit an index fails.

use pacioli_core::StoreError;

use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::migrate::check_existing;

/// PostgreSQL cuts names at 63 bytes, and 15 of them are the chunk's.
const NAME_BYTES_MAX: usize = 48;

/// An index that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// What stands behind `ON table` where it is made.
    pub definition: String,
    /// What it takes on disk.
    pub bytes: u64,
    /// Chunks that have it. Where some have not, ask for it again.
    pub chunks: u64,
    /// Chunks there are.
    pub chunks_total: u64,
}

/// How far the making of an index has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The chunk that is done now.
    pub chunk: i32,
    /// Chunks that have it.
    pub done: usize,
    /// Chunks there are.
    pub total: usize,
}

/// Makes an index on every chunk, without stopping appends, and tells `progress` of each chunk. Asked for again, it
/// finishes what broke off.
///
/// `definition` is what stands behind `ON table`: `((data::jsonb ->> 'customer'))` or `USING gin ((data::jsonb))`.
///
/// # Errors
/// The name or the definition is refused, the role does not own the store, or what is in the log does not fit the index:
/// then it is withdrawn.
pub async fn add(
    location: &Location,
    name: &str,
    definition: &str,
    progress: impl FnMut(Progress) + Send,
) -> std::result::Result<(), StoreError> {
    check_name(name)?;
    let session = connect(location).await?;
    let schema = location.schema();
    let work = async {
        lock(&session, schema, name).await?;
        let made = make(&session, schema, name, definition, progress).await;
        let unlocked = session.execute(sql!("indexes/unlock_index"), &[&schema, &name]).await;
        made.and(unlocked.map(|_| ()).map_err(Error::from))
    };
    work.await.map_err(Error::into_store_error)
}

/// The indexes that were asked for.
///
/// # Errors
/// The database cannot be reached, or there is no store.
pub async fn list(location: &Location) -> std::result::Result<Vec<Index>, StoreError> {
    let session = connect(location).await?;
    let work = async {
        let rows = session.query(sql!("indexes/list_indexes"), &[]).await?;
        let index = |row: &tokio_postgres::Row| {
            Ok(Index {
                name: row.try_get(0)?,
                definition: row.try_get(1)?,
                bytes: row.try_get::<_, i64>(2)? as u64,
                chunks: row.try_get::<_, i64>(3)? as u64,
                chunks_total: row.try_get::<_, i64>(4)? as u64,
            })
        };
        rows.iter().map(index).collect::<Result<Vec<_>>>()
    };
    work.await.map_err(Error::into_store_error)
}

/// Drops an index from every chunk, without stopping appends; false where there is none. Asked for again, it finishes what
/// broke off.
///
/// # Errors
/// The role does not own the store, or the database cannot be reached.
pub async fn drop(location: &Location, name: &str) -> std::result::Result<bool, StoreError> {
    check_name(name)?;
    let session = connect(location).await?;
    let schema = location.schema();
    let work = async {
        lock(&session, schema, name).await?;
        let dropped = withdraw(&session, schema, name).await;
        session.execute(sql!("indexes/unlock_index"), &[&schema, &name]).await?;
        dropped
    };
    work.await.map_err(Error::into_store_error)
}

async fn connect(location: &Location) -> std::result::Result<Session, StoreError> {
    let connector = Connector::new(location.clone())?;
    let work = async {
        let session = connector.connect(Purpose::Maintain).await?;
        check_existing(&session, location.schema()).await?;
        // An index that is made while appends go on waits for whoever is older than it, as long as that takes.
        session.batch_execute("SET lock_timeout = 0").await?;
        Ok::<_, Error>(session)
    };
    work.await.map_err(Error::into_store_error)
}

fn check_name(name: &str) -> std::result::Result<(), StoreError> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let rest = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    // PostgreSQL itself names the indexes of the log so.
    let is_taken = name == "pkey" || name.ends_with("_idx") || name.ends_with("_key");
    if !first || !rest || name.len() > NAME_BYTES_MAX || is_taken {
        return Err(StoreError::new(format!(
            "`{name}` is no name for an index: up to {NAME_BYTES_MAX} lower-case letters, digits and `_`, not beginning with \
             a digit, and neither `pkey` nor ending in `_idx` or `_key`"
        )));
    }
    Ok(())
}

async fn lock(session: &Session, schema: &str, name: &str) -> Result<()> {
    // Not waited for: who waits inside a statement keeps the index that it waits for from becoming valid.
    if session.query_one(sql!("indexes/lock_index"), &[&schema, &name]).await?.try_get(0)? {
        return Ok(());
    }
    Err(Error::Store(format!("another session makes or drops the index `{name}` now; wait for it")))
}

async fn make(
    session: &Session,
    schema: &str,
    name: &str,
    definition: &str,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<()> {
    match session.query_opt(sql!("indexes/read_index"), &[&name]).await? {
        Some(row) if row.try_get::<_, &str>(0)? == definition => {}
        Some(row) => {
            return Err(Error::Store(format!(
                "there is an index `{name}` already, as {}; drop it first",
                row.try_get::<_, &str>(0)?
            )));
        }
        None => {
            try_out(session, schema, definition).await?;
            begin(session, schema).await?;
            session.execute(sql!("indexes/insert_index"), &[&name, &definition]).await?;
            session.batch_execute("COMMIT").await?;
        }
    }
    let chunks = chunks_of(session, name).await?;
    let total = chunks.len();
    let missing: Vec<Chunk> = chunks.into_iter().filter(|chunk| !chunk.is_valid).collect();
    let before = total - missing.len();
    for (made, chunk) in missing.into_iter().enumerate() {
        if let Err(error) = make_on(session, schema, name, definition, &chunk).await {
            // Broken off: asking again goes on. Refused for what is in the log: new events may not fit either.
            if error.ends_connection() || error.is_passing() {
                return Err(error);
            }
            withdraw(session, schema, name).await?;
            return Err(Error::Store(format!("the index `{name}` cannot be made for what is in the log: {error}")));
        }
        progress(Progress { chunk: chunk.number, done: before + made + 1, total });
    }
    Ok(())
}

/// Opens a transaction during which no chunk is made.
async fn begin(session: &Session, schema: &str) -> Result<()> {
    session.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    session.execute(sql!("indexes/lock_chunks"), &[&schema]).await?;
    Ok(())
}

/// Makes the index on an empty table of the same shape, before anything is changed. As one statement with parameters, of
/// which there are none, so that a definition cannot hide a second statement.
async fn try_out(session: &Session, schema: &str, definition: &str) -> Result<()> {
    session.batch_execute("BEGIN").await?;
    let tried = async {
        session.batch_execute(&format!("CREATE TABLE {schema}.index_trial (LIKE {schema}.events)")).await?;
        let sql = format!("CREATE INDEX ON {schema}.index_trial {definition}");
        session.execute(&sql, &[]).await?;
        Ok::<_, Error>(())
    }
    .await;
    session.batch_execute("ROLLBACK").await?;
    tried.map_err(|error| match error.ends_connection() {
        true => error,
        false => Error::Store(format!("the definition `{definition}` is refused: {error}")),
    })
}

struct Chunk {
    number: i32,
    /// There, whole or not.
    is_there: bool,
    is_valid: bool,
}

async fn chunks_of(session: &Session, name: &str) -> Result<Vec<Chunk>> {
    let rows = session.query(sql!("indexes/list_index_chunks"), &[&name]).await?;
    let chunk = |row: &tokio_postgres::Row| {
        Ok(Chunk { number: row.try_get(0)?, is_there: row.try_get(1)?, is_valid: row.try_get(2)? })
    };
    rows.iter().map(chunk).collect()
}

async fn make_on(session: &Session, schema: &str, name: &str, definition: &str, chunk: &Chunk) -> Result<()> {
    let table = format!("events_c{:06}", chunk.number);
    if chunk.is_there {
        // Left by a session that was interrupted; it costs every append and serves no read.
        session.batch_execute(&format!("DROP INDEX CONCURRENTLY {schema}.{table}_{name}")).await?;
    }
    let sql = format!("CREATE INDEX CONCURRENTLY {table}_{name} ON {schema}.{table} {definition}");
    session.execute(&sql, &[]).await?;
    // An expression has no statistics before, and a full chunk is not looked at again by itself.
    session.batch_execute(&format!("ANALYZE {schema}.{table}")).await?;
    Ok(())
}

/// Takes an index back: first the wish, so that no new chunk gets it, then what is there.
async fn withdraw(session: &Session, schema: &str, name: &str) -> Result<bool> {
    begin(session, schema).await?;
    let mut any = session.execute(sql!("indexes/delete_index"), &[&name]).await? > 0;
    session.batch_execute("COMMIT").await?;
    for chunk in chunks_of(session, name).await?.into_iter().filter(|chunk| chunk.is_there) {
        let index = format!("{schema}.events_c{:06}_{name}", chunk.number);
        session.batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await?;
        any = true;
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_not_one_that_postgresql_gives() {
        for good in ["customer", "_2", &"a".repeat(48)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in
            ["", "Customer", "1st", "a-b", "a b", "a\"", "pkey", "part_type_position_idx", "x_key", &"a".repeat(49)]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
