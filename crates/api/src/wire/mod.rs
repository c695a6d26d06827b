//! Conversions between the messages of `pacioli.v1` and core, once in each direction.
//!
//! What a client sends is checked here, at the door: names, ids and checkpoints become core's types, or the wrong field
//! is named. What a server answers is trusted but for its shape. [`status`] holds the error table.

pub mod append;
mod batch;
pub mod bounds;
mod codec;
mod event_reader;
pub mod problem;
pub mod read;
pub mod schemas;
pub mod shape;
pub mod status;

pub use batch::{EventBatch, envelope_len};
pub use codec::{BoundedDecoder, Codec, RoomyEncoder};

use pacioli_core::{Checkpoint, InvalidAppend, InvalidName};

/// The header of HTTP, and the key of a subscription's metadata, that says which way the events of other writers come.
pub const BUS: &str = "pacioli-bus";

/// The answer of a server lacks a part without which it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer makes no sense: {problem}; are client and server of one release?")]
pub struct Malformed {
    /// What is wrong.
    pub problem: String,
}

impl Malformed {
    pub(crate) fn new(problem: impl Into<String>) -> Malformed {
        Malformed { problem: problem.into() }
    }
}

/// Says of which field a name was refused.
fn invalid_name(field: impl Into<String>) -> impl FnOnce(InvalidName) -> InvalidAppend {
    move |error| InvalidAppend::new(field, error.to_string())
}

/// Reads a checkpoint that a client sent back.
fn checkpoint(field: &str, text: &str) -> Result<Checkpoint, InvalidAppend> {
    text.parse().map_err(|error: pacioli_core::place::InvalidCheckpoint| InvalidAppend::new(field, error.to_string()))
}

/// Reads a checkpoint that a server gave.
pub fn given_checkpoint(text: &str) -> Result<Checkpoint, Malformed> {
    text.parse().map_err(|error: pacioli_core::place::InvalidCheckpoint| Malformed::new(error.to_string()))
}

#[cfg(test)]
mod tests;
