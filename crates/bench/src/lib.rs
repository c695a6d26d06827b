//! Workloads that measure a store, and the floor that they are measured against.
//!
//! Every workload goes through the [`pacioli_core::EventStore`] contract, so the same code measures a store in process
//! and one behind a port. Figures are quoted as ratios to the floor of the same run ([`floor::FloorStore`]): the same
//! queue, the same batches and the same transport over a store that only writes the bytes to one file and syncs it.
//!
//! Read [`append`] first; [`mod@read`], [`subscribe`] and [`grow`] follow its shape. [`child`] starts the processes under test.
//! Read models are measured through [`models::Models`]: [`rebuild`], [`lag`], [`lookup`] and [`analyst`]; a registry of schemas
//! through [`schemas::Registry`].

pub mod analyst;
pub mod append;
pub mod child;
pub mod floor;
pub mod grow;
pub mod lag;
pub mod lookup;
pub mod machine;
pub mod models;
mod pace;
pub mod random;
pub mod read;
pub mod rebuild;
pub mod report;
pub mod schemas;
pub mod subscribe;

use std::sync::Arc;

use pacioli_core::{AppendError, EventStore, ReadError};
use pacioli_projection::engine::EngineError;
use pacioli_projection::service::{AskError, CommandError};

pub use report::{Measured, Parameters, Report};

/// The connections to one store: a single handle in process, one client each over the network.
pub type Connections = Vec<Arc<dyn EventStore>>;

/// Why a workload was given up.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A parameter makes no sense.
    #[error("{0}")]
    Usage(String),
    /// An append had no outcome.
    #[error("an append failed: {0}")]
    Append(#[from] AppendError),
    /// An append got another outcome than "appended".
    #[error("an append was not taken: {0}")]
    Outcome(String),
    /// A read failed.
    #[error("a read failed: {0}")]
    Read(#[from] ReadError),
    /// A command on a projection was not done.
    #[error("a projection: {0}")]
    Projection(#[from] CommandError),
    /// A question had no answer.
    #[error("a question was not answered: {0}")]
    Question(Box<AskError>),
    /// What keeps the read models failed.
    #[error("the read models: {0}")]
    Engine(#[from] EngineError),
    /// A process or a file could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A child process did not do its part.
    #[error("{0}")]
    Child(String),
}

impl From<AskError> for BenchError {
    fn from(error: AskError) -> BenchError {
        BenchError::Question(Box::new(error))
    }
}

impl BenchError {
    /// A failure of the system at `what`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> BenchError {
        let what = what.into();
        move |source| BenchError::Io { what, source }
    }
}
