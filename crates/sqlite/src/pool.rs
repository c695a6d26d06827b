//! A small pool of connections that only read, each used on a blocking thread.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// Reads that run at once; further ones wait their turn.
const READERS_MAX: usize = 8;
/// Statements an engine connection keeps prepared: every file in `sql/` fits.
pub(crate) const STATEMENTS_KEPT: usize = 64;

/// The pool.
#[derive(Debug)]
pub(crate) struct ReadPool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl ReadPool {
    /// A pool over this file; connections are opened when they are needed.
    pub(crate) fn new(path: PathBuf) -> ReadPool {
        ReadPool { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    /// Takes a connection for the calling thread.
    pub(crate) fn take(&self) -> Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open_reader(&self.path), Ok)
    }

    /// Gives a connection back. One whose work panicked never comes here.
    pub(crate) fn give(&self, conn: Connection) {
        if !self.permits.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }

    /// Closes the idle connections; those in use close when they are given back.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The right to use a connection. It goes with the work: a caller that gives up does not end its read.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Store("the store was closed".to_owned()))
    }
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &std::path::Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.execute_batch(sql!("open_reader"))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(conn)
}

/// How many pages so many bytes are, for a bound: a file with fewer could not be made at all.
pub(crate) fn pages_of(bytes: u64) -> i64 {
    (bytes / 4096).max(64) as i64
}

/// Opens the connection that writes.
pub(crate) fn open_writer(path: &std::path::Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(crate::writer::BUSY_PATIENCE)?;
    conn.execute_batch(sql!("open_writer"))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(conn)
}
