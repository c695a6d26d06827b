//! Schemas that are thrown away: made for a while, or given up by a swap and dropped once it is committed.

use super::home::{Home, Worker};
use crate::connect::Session;
use crate::error::Result;

/// Writes down that a schema is to be dropped, in the session's transaction.
pub(super) async fn give_up(home: &Home, session: &Session, schema: &str) -> Result<()> {
    session.execute(&home.fill(sql!("models/scratch/insert_scratch")), &[&schema]).await?;
    Ok(())
}

/// Drops what was given up and what processes left behind that ended. What is in the way is left for the next time.
pub(super) async fn sweep_soon(home: &Home, worker: &Worker) {
    if let Err(error) = sweep(home, worker).await {
        tracing::debug!(%error, "schemas that are of no use any more could not be dropped yet");
    }
}

pub(super) async fn sweep(home: &Home, session: &Session) -> Result<()> {
    let rows = session.query(&home.fill(sql!("models/scratch/list_scratches")), &[]).await?;
    for row in rows {
        drop_one(home, session, row.get(0)).await?;
    }
    Ok(())
}

/// Drops one of them, unless somebody uses it.
pub(super) async fn drop_one(home: &Home, session: &Session, id: i64) -> Result<()> {
    let drop = async {
        let dropped = drop_in_transaction(home, session, id).await;
        if dropped.is_err() {
            // The first error is the one to tell.
            let _ = session.batch_execute("ROLLBACK").await;
        }
        dropped
    };
    session.whole(drop).await
}

async fn drop_in_transaction(home: &Home, session: &Session, id: i64) -> Result<()> {
    session.batch_execute("BEGIN; SET LOCAL lock_timeout = '1s'").await?;
    // Who uses it holds the lock.
    let free = session.query_one(sql!("models/scratch/try_lock"), &[&home.catalogue(), &id]).await?;
    if free.get::<_, bool>(0) {
        let gone = session.query_opt(&home.fill(sql!("models/scratch/delete_scratch")), &[&id]).await?;
        if let Some(row) = gone {
            session.batch_execute(&format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", row.get::<_, &str>(0))).await?;
        }
    }
    session.batch_execute("COMMIT").await?;
    Ok(())
}
