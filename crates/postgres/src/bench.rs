//! What benchmarks need of PostgreSQL beside a store: clients with transactions of their own, sizes on disk, and a way to
//! leave nothing behind.

use std::time::Duration;

use pacioli_core::StoreError;
use tokio_postgres::Statement;

use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;

/// How the schema of a store begins that a benchmark made, and that [`drop_store`] drops.
pub const SCHEMA_PREFIX: &str = "bench_";
/// How often, a second apart, the dropping of a store is tried: the processes that used it may not have ended yet.
const DROP_TRIES: u32 = 5;

/// Drops the store at `location` with all that was made for it.
///
/// # Errors
/// The schema does not begin with [`SCHEMA_PREFIX`], or the database refuses.
pub async fn drop_store(location: &Location) -> std::result::Result<(), StoreError> {
    let schema = location.schema();
    if !schema.starts_with(SCHEMA_PREFIX) {
        return Err(StoreError::new(format!("schema `{schema}` was not made by a benchmark, and is not dropped")));
    }
    let connector = Connector::new(location.clone())?;
    let mut tries = 1;
    loop {
        let dropped = async {
            let session = connector.connect(Purpose::Maintain).await?;
            Ok::<_, Error>(session.batch_execute(&sql!("bench/drop_store").replace("{schema}", schema)).await?)
        };
        match dropped.await {
            Ok(()) => return Ok(()),
            Err(error) if tries < DROP_TRIES && error.is_passing() => tries += 1,
            Err(error) => return Err(error.into_store_error()),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What the schema takes on disk, by part, the largest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn disk_parts(location: &Location) -> std::result::Result<Vec<(String, u64)>, StoreError> {
    let connector = Connector::new(location.clone())?;
    let look = async {
        let session = connector.connect(Purpose::Maintain).await?;
        let rows = session.query(sql!("bench/list_disk_parts"), &[&location.schema()]).await?;
        Ok::<_, Error>(rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1) as u64)).collect())
    };
    look.await.map_err(Error::into_store_error)
}

/// An application that appends to the log in transactions of its own, by `append_deferred`.
pub struct Application {
    session: Session,
    append: Statement,
}

impl Application {
    /// Connects to the database of the store at `location`.
    ///
    /// # Errors
    /// The database cannot be reached, or there is no store.
    pub async fn connect(location: &Location) -> std::result::Result<Application, StoreError> {
        let connector = Connector::new(location.clone())?;
        let connect = async {
            let session = connector.connect(Purpose::Maintain).await?;
            let append = session.prepare(sql!("bench/append_deferred")).await?;
            Ok::<_, Error>(Application { session, append })
        };
        connect.await.map_err(Error::into_store_error)
    }

    /// One transaction: appends an event, given as JSON, to a stream, works on something else for `work`, and commits.
    ///
    /// # Errors
    /// What the database says; the transaction is then over.
    pub async fn transact(&self, stream: &str, event: &str, work: Duration) -> std::result::Result<(), StoreError> {
        let transaction = async {
            self.session.batch_execute("BEGIN").await?;
            self.session.execute(&self.append, &[&stream, &event]).await?;
            tokio::time::sleep(work).await;
            Ok::<_, Error>(self.session.batch_execute("COMMIT").await?)
        };
        let done: Result<()> = transaction.await;
        if done.is_err() {
            // The first error is the one to tell.
            let _ = self.session.batch_execute("ROLLBACK").await;
        }
        done.map_err(Error::into_store_error)
    }
}
