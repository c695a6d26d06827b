//! What can go wrong between this engine and its database, and how it is said outside.

use pacioli_core::place::{Place, Position};
use pacioli_core::store::{ReadError, StoreError};
use pacioli_core::{InvalidAppend, Partition, StreamName};
use tokio_postgres::error::{Severity, SqlState};

/// The constraint that the error of a projection's handler names, for callers of any language.
pub(crate) const REFUSED: &str = "projection-refused";

/// Any failure inside the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// PostgreSQL refused or failed, or the connection broke.
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection could be had.
    #[error("{0}")]
    Unreachable(String),
    /// The database did not answer by the deadline.
    #[error("the database did not answer in time; look at its load and at the network")]
    Late,
    /// A row of the log is not what it must be.
    #[error("the event at {place} is damaged: {problem}")]
    Damaged { place: Place, problem: String },
    /// What is stored about the store itself makes no sense, or may not be used.
    #[error("{0}")]
    Store(String),
    /// What was written is not what was to be written: nothing may be written any more.
    #[error("{0}")]
    Broken(String),
    /// A request that this log cannot answer.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),
    /// The registry of schemas was changed while a batch was on its way.
    #[error("the registry of schemas was changed meanwhile")]
    Outdated,
    /// This login may not.
    #[error("{0}")]
    Denied(String),
    /// A reader's error.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A handler of a projection that failed.
#[derive(Clone, Debug)]
pub(crate) struct OfHandler {
    /// The projection's name.
    pub(crate) projection: String,
    /// The event, where it is known: a statement over several does not tell.
    pub(crate) place: Option<Place>,
    /// The file, the line and what the database said.
    pub(crate) reason: String,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What PostgreSQL says, with its code and hint; the driver's own text hides them behind "db error".
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => {
            let hint = said.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("PostgreSQL: {}{hint} [{}]", said.message(), said.code().code())
        }
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(deeper) = source {
                let deeper_text = deeper.to_string();
                if !text.contains(&deeper_text) {
                    text = format!("{text}: {deeper_text}");
                }
                source = deeper.source();
            }
            text
        }
    }
}

/// Whether the connection broke, rather than that something was wrong with what was asked or answered.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        if deeper.is::<std::io::Error>() {
            return true;
        }
        source = deeper.source();
    }
    error.is_closed()
}

impl Error {
    /// What PostgreSQL answered, if it answered.
    pub(crate) fn state(&self) -> Option<&SqlState> {
        match self {
            Error::Postgres(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the connection is of no use any more: it broke, or the database goes down or became a standby.
    pub(crate) fn ends_connection(&self) -> bool {
        match self {
            Error::Unreachable(_) | Error::Late => true,
            Error::Postgres(error) => match error.code() {
                None => is_lost(error),
                Some(code) => {
                    let class = &code.code()[..2];
                    let severity = error.as_db_error().and_then(|said| said.parsed_severity());
                    // FATAL ends the session and PANIC the server, and what COMMIT has written by then may be there after
                    // recovery. 57P: admin shutdown, crash, cannot connect now; 25006: read-only, not the primary any more.
                    matches!(severity, Some(Severity::Fatal | Severity::Panic))
                        || class == "08"
                        || code.code().starts_with("57P")
                        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
                }
            },
            _ => false,
        }
    }

    /// Whether the same will do in a while.
    pub(crate) fn is_passing(&self) -> bool {
        self.ends_connection()
            || matches!(self, Error::Outdated)
            || self.state().is_some_and(|code| {
                *code == SqlState::LOCK_NOT_AVAILABLE
                    || *code == SqlState::T_R_DEADLOCK_DETECTED
                    || *code == SqlState::T_R_SERIALIZATION_FAILURE
                    || *code == SqlState::TOO_MANY_CONNECTIONS
                    || *code == SqlState::QUERY_CANCELED
                    || code.code() == "25P03"
            })
            || self.lost_a_race()
    }

    /// Whether one append of a batch can be the cause, so that the others are to be tried without it: its rows, or what a
    /// trigger or an index on request says of them.
    pub(crate) fn is_of_one_append(&self) -> bool {
        match self {
            Error::Invalid(_) | Error::Damaged { .. } | Error::Store(_) => true,
            _ => self.state().is_some_and(|code| matches!(&code.code()[..2], "22" | "23" | "54" | "P0")),
        }
    }

    /// Whether another partition's writer was first to note a consumer.
    fn lost_a_race(&self) -> bool {
        let Error::Postgres(error) = self else { return false };
        error
            .as_db_error()
            .is_some_and(|said| *said.code() == SqlState::UNIQUE_VIOLATION && said.table() == Some("checkpoints"))
    }

    /// What a projection's handler failed on, if that is what it is.
    pub(crate) fn of_handler(&self) -> Option<OfHandler> {
        let Error::Postgres(error) = self else { return None };
        let said = error.as_db_error().filter(|said| said.constraint() == Some(REFUSED))?;
        let place = said.column().and_then(|place| place.split_once(':')).and_then(|(partition, position)| {
            Some(Place { partition: Partition(partition.parse().ok()?), position: Position(position.parse().ok()?) })
        });
        let hint = said.hint().filter(|hint| !hint.is_empty()).map(|hint| format!(" ({hint})")).unwrap_or_default();
        Some(OfHandler {
            projection: said.table().unwrap_or_default().to_owned(),
            place,
            reason: format!("{}{hint}", said.message()),
        })
    }

    /// Whether the disk is full: the write did not happen, and later ones may.
    pub(crate) fn is_full(&self) -> bool {
        self.state().is_some_and(|code| *code == SqlState::DISK_FULL)
    }

    /// Whether a chunk or a period is missing that the rows belong to.
    pub(crate) fn lacks_partition(&self) -> bool {
        let Error::Postgres(error) = self else { return false };
        error.as_db_error().is_some_and(|said| {
            // The same code as for a CHECK; only this one names no constraint.
            *said.code() == SqlState::CHECK_VIOLATION && said.constraint().is_none()
        })
    }

    /// As the contract says it, with what to do next.
    pub(crate) fn into_store_error(self) -> StoreError {
        if self.is_full() {
            return StoreError::full(format!(
                "the database's disk is full: free space there, appends go on by themselves ({self})"
            ));
        }
        if self.lacks_partition() {
            return StoreError::new(format!(
                "the log has come to the end of its chunks, and this role may make no more: let `pacioli maintain` run as the \
                 owner, appends go on by themselves ({self})"
            ));
        }
        let hint = match &self {
            Error::Postgres(_) if self.state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                "; the store's roles, and what each may, are told by `pacioli doctor`: ask its owner for the one you need"
            }
            Error::Postgres(_) if self.is_of_one_append() => {
                "; an index, a trigger or a constraint of your own on the log may refuse this event: see `pacioli index list`"
            }
            _ => "",
        };
        StoreError::new(format!("{self}{hint}"))
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

/// There is no such stream.
pub(crate) fn stream_not_found(stream: StreamName) -> Error {
    Error::Read(ReadError::StreamNotFound { stream })
}
