//! Stores in databases of their own.

use pacioli_core::StoreError;
use pacioli_postgres::{Location, PostgresOptions, PostgresStore};

/// The options of a test: its cluster does not sync, since nobody pulls its plug.
pub(crate) fn options() -> PostgresOptions {
    PostgresOptions { accept_data_loss: true, ..PostgresOptions::default() }
}

/// The location at a URL.
pub(crate) fn location(url: &str) -> Location {
    url.parse().expect("the harness gives URLs that can be read")
}

/// Opens the store at a URL.
pub(crate) async fn open(url: &str, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(location(url), options).await
}
