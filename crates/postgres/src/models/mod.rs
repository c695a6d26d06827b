//! Read models on PostgreSQL: each build of a projection is a schema of its own with its tables and one compiled function
//! that applies a range of positions, so that events never leave the database.
//!
//! | schema | what is there |
//! | --- | --- |
//! | `{schema}_read` | what people query: one view a table of each build that serves, `events`, `projections` |
//! | `{schema}_projections` | the catalogue: builds, their progress, copies |
//! | `{schema}_{name}_{number}` | a build: its tables and its function `apply` |

pub mod functions;
mod home;
mod past;
pub mod query;

use std::sync::Arc;

use pacioli_core::StoreError;

use crate::location::Location;
use crate::store::PostgresStore;
use home::Home;
use query::Queries;

/// The read models of a PostgreSQL store, beside its log or in another database.
pub struct PostgresModels {
    home: Arc<Home>,
    queries: Queries,
}

impl PostgresModels {
    /// Opens the read models of a store: in its own database, or in that of `models`. Queries log in at `reader`.
    ///
    /// # Errors
    /// The database cannot be reached, or this login may not make what is missing.
    pub async fn open(
        store: &PostgresStore,
        models: Option<Location>,
        reader: Option<Location>,
    ) -> Result<PostgresModels, StoreError> {
        let elsewhere = models.map(home::elsewhere).transpose()?;
        let home = Arc::new(Home::new(store.clone(), elsewhere, None));
        let queries = Queries::new(Arc::clone(&home), reader)?;
        Ok(PostgresModels { home, queries })
    }
}
