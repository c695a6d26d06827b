//! What can go wrong between this engine and its file, and how it is said outside.

use pacioli_core::place::{Place, Position};
use pacioli_core::store::{ReadError, StoreError};
use pacioli_core::{InvalidAppend, Partition, StreamName};

use crate::index::IndexError;

/// Any failure inside the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// SQLite refused or failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// An index block is damaged, or SQLite failed below an index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A row of the log does not match its hash or cannot be decoded.
    #[error("the event at {place} is damaged: {problem}")]
    Damaged { place: Place, problem: String },
    /// What is stored about the store itself makes no sense.
    #[error("{0}")]
    Store(String),
    /// A request that this log cannot answer.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),
    /// A reader's error that travels through the pool.
    #[error(transparent)]
    Read(#[from] ReadError),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the disk, or the size the store may have, is used up: the write did not happen, and later ones may.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.code(), Some(rusqlite::ErrorCode::DiskFull))
    }

    /// Whether a rule of a table was broken.
    pub(crate) fn is_constraint(&self) -> bool {
        matches!(self.code(), Some(rusqlite::ErrorCode::ConstraintViolation))
    }

    /// Whether another tool holds the file's lock: the write did not begin.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
    }

    /// Whether the file could not be read, written or synced.
    pub(crate) fn is_io_failure(&self) -> bool {
        matches!(self.code(), Some(rusqlite::ErrorCode::SystemIoFailure))
    }

    /// The SQLite error code, if SQLite it was.
    pub(crate) fn code(&self) -> Option<rusqlite::ErrorCode> {
        match self {
            Error::Sqlite(error) | Error::Index(IndexError::Sqlite(error)) => error.sqlite_error_code(),
            _ => None,
        }
    }

    /// As the contract says it, with what to do next.
    pub(crate) fn into_store_error(self) -> StoreError {
        if self.is_full() {
            return StoreError::full(
                "the disk is full: free space on the volume of the data directory, appends go on by themselves",
            );
        }
        StoreError::new(match self {
            Error::Sqlite(error) => format!("the embedded store failed: {error}"),
            other => other.to_string(),
        })
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> ReadError {
        match error {
            Error::Damaged { place, problem } => ReadError::Damaged { place, problem },
            Error::Read(error) => error,
            other => ReadError::Store(other.into_store_error()),
        }
    }
}

/// The rowid of a place: the partition above the 48 bits of the position.
pub(crate) fn rowid(place: Place) -> i64 {
    i64::from(place.partition.0) << 48 | place.position.0 as i64
}

/// The place of a rowid.
pub(crate) fn place(rowid: i64) -> Place {
    Place { partition: Partition((rowid >> 48) as u16), position: Position(rowid as u64 & Position::MAX.0) }
}

/// There is no such stream.
pub(crate) fn stream_not_found(stream: StreamName) -> Error {
    Error::Read(ReadError::StreamNotFound { stream })
}
