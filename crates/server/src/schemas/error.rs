//! Why the registry does not do something, and how every door says so.

use pacioli_api::problem::{Kind, Problem};
use pacioli_api::schemas::{Change, ImpactedReader, ReaderCheck};
use pacioli_core::{AppendError, ReadError, Timestamp};
use pacioli_schema::register::RegisterError;
use serde_json::{Value, json};

/// Why something was not done, or has no answer. Each says what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// The rules say no.
    #[error(transparent)]
    Refused(RegisterError),
    /// A break whose readers nobody checked.
    #[error("{problem}")]
    Unchecked {
        /// The change, who reads the type, and what to do.
        problem: String,
        /// Who reads the type, those that were checked too.
        readers: Vec<ImpactedReader>,
        /// What breaks.
        changes: Vec<Change>,
    },
    /// There is no such schema, version or reader.
    #[error("{0}")]
    NotFound(String),
    /// A part of the request makes no sense.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which part.
        field: &'static str,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// It does not fit what is registered or stored; says how that is.
    #[error("{0}")]
    State(String),
    /// Others changed the registry again and again meanwhile.
    #[error("the registry was changed by others {attempts} times meanwhile, and nothing was done; try again")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// What is stored cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The change was not stored, or nobody knows.
    #[error(transparent)]
    Change(AppendError),
}

impl RegistryError {
    pub(super) fn invalid(field: &'static str, problem: impl ToString) -> RegistryError {
        RegistryError::Invalid { field, problem: problem.to_string() }
    }

    /// A task of ours broke.
    pub(super) fn broken(error: &tokio::task::JoinError) -> RegistryError {
        let reason = format!("the work on a schema failed: {error}; the server's log says more");
        RegistryError::Read(ReadError::Store(pacioli_core::StoreError::new(reason)))
    }
}

impl From<RegisterError> for RegistryError {
    fn from(error: RegisterError) -> RegistryError {
        RegistryError::Refused(error)
    }
}

impl From<&RegistryError> for Problem {
    fn from(error: &RegistryError) -> Problem {
        let detail = error.to_string();
        match error {
            RegistryError::Refused(refused) => match refused {
                RegisterError::Schema(schema) => {
                    Problem::new(Kind::SchemaRefused, detail).with("path", schema.path.as_str())
                }
                RegisterError::Upcaster(upcaster) => {
                    Problem::new(Kind::SchemaRefused, detail).with("path", upcaster.path.as_str())
                }
                RegisterError::Semver { least, .. } => {
                    Problem::new(Kind::SchemaRefused, detail).with("least", least.to_string())
                }
                RegisterError::Sample { .. } => Problem::new(Kind::SchemaRefused, detail),
                RegisterError::Incompatible { changes, .. } => {
                    let changes: Vec<Change> = changes.iter().map(super::change).collect();
                    Problem::new(Kind::SchemaIncompatible, detail).with("changes", listed(&changes))
                }
            },
            RegistryError::Unchecked { readers, changes, .. } => {
                let unchecked: Vec<&ImpactedReader> =
                    readers.iter().filter(|reader| reader.status == ReaderCheck::Unchecked).collect();
                Problem::new(Kind::SchemaIncompatible, detail)
                    .with("readers", listed(&unchecked))
                    .with("changes", listed(changes))
            }
            RegistryError::NotFound(_) => Problem::new(Kind::SchemaNotFound, detail),
            RegistryError::Invalid { field, problem } => Problem::invalid(*field, problem),
            RegistryError::State(_) => Problem::new(Kind::SchemaIncompatible, detail),
            RegistryError::Busy { .. } => Problem::retry(Kind::Overloaded, detail),
            RegistryError::Read(error) => Problem::from(error),
            RegistryError::Change(error) => Problem::from(error),
        }
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Problem {
        Problem::from(&error)
    }
}

fn listed<T: serde::Serialize>(values: &[T]) -> Value {
    json!(values)
}

/// How long ago something was, for a sentence.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_micros().saturating_sub(at.as_micros()).max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} minutes ago", seconds / 60),
        7_200..172_800 => format!("{} hours ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
