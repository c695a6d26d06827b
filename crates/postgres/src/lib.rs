//! The PostgreSQL store: the contract of [`pacioli_core::EventStore`] on the PostgreSQL that a team already operates.
//!
//! Read [`store`] for the doors, `writer` for the life of a batch, `sql/migrations` for what is stored, `shared` for what
//! happens when the database behind the connections is another one than before, and `bus` for how the events of other
//! writers are noticed.
//!
//! **Invariants.** A partition has one writer at a time: who holds the lock of its row in `heads`. What is decided is read
//! after that lock is held, in statements of their own. A batch is acknowledged only after every statement of its
//! transaction changed the rows it was to change, a last read in that transaction came back, and COMMIT did. No connection
//! is used before it is known which epoch its database is in.

/// The text of a statement in `sql/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql/", $name, ".sql"))
    };
}

pub mod baseline;
pub mod bench;
mod bus;
mod connect;
pub mod doctor;
mod error;
mod facts;
mod flush;
pub mod indexes;
mod leases;
pub mod location;
pub mod maintenance;
mod metered;
pub mod migrate;
pub mod models;
mod read;
mod registry;
pub mod roles;
mod row;
mod shared;
pub mod store;
mod tls;
mod writer;

pub use location::Location;
pub use models::PostgresModels;
pub use store::{PostgresOptions, PostgresStore};
