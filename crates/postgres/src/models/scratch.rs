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
        let (id, schema): (i64, String) = (row.get(0), row.get(1));
        let dropped = drop_one(home, session, id, &schema).await;
        if dropped.is_err() {
            let _ = session.batch_execute("ROLLBACK").await;
        }
        dropped?;
    }
    Ok(())
}

async fn drop_one(home: &Home, session: &Session, id: i64, schema: &str) -> Result<()> {
    session.batch_execute("BEGIN; SET LOCAL lock_timeout = '1s'").await?;
    // Who uses it holds the lock.
    let free = session.query_one(sql!("models/scratch/try_lock"), &[&home.catalogue(), &id]).await?;
    if free.get::<_, bool>(0) {
        session.batch_execute(&format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", schema.replace('"', "\"\""))).await?;
        session.execute(&home.fill(sql!("models/scratch/delete_scratch")), &[&id]).await?;
    }
    session.batch_execute("COMMIT").await?;
    Ok(())
}
