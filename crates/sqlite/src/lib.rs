//! The embedded store: the contract of [`pacioli_core::EventStore`] on one SQLite file.
//!
//! Read [`store`] for the doors, `writer` for the life of a batch, `schema` for what is stored, `row` for how an event
//! becomes a row, and [`index`] for how an event is found again.
//!
//! **Invariants.** One thread owns the only connection that writes, and it checkpoints too. An append is answered after
//! its COMMIT has been synced. Every row and every index block is verified when it is read. The log refuses UPDATE and
//! DELETE.

/// The text of a statement in `sql/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql/", $name, ".sql"))
    };
}

mod backup;
mod directory;
mod error;
mod facts;
#[doc(hidden)]
pub mod index;
pub mod models;
mod plan;
mod pool;
mod read;
mod recovery;
mod registry;
mod row;
mod schema;
pub mod store;
mod streams;
mod writer;

pub use models::SqliteModels;
pub use store::{SqliteOptions, SqliteStore};
