//! What others do in the database that keeps the store waiting.

use super::{Report, Thresholds, seconds};
use crate::connect::Session;
use crate::error::Result;

/// Sessions that are shown one by one.
const SHOWN_MAX: usize = 5;

pub(super) async fn transactions(session: &Session, thresholds: &Thresholds, report: &mut Report) -> Result<()> {
    let rows = session.query(sql!("doctor/list_transactions"), &[&thresholds.transaction.as_secs_f64()]).await?;
    for row in rows.iter().take(SHOWN_MAX) {
        let (pid, user, database): (i32, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (application, state, age): (String, String, f64) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        report.warning(
            "transactions",
            format!(
                "pid {pid} ({user}, {database}, {application}) has a transaction open for {}, {state}",
                seconds(age)
            ),
            format!("it keeps vacuum and new slots waiting: end it there, or SELECT pg_terminate_backend({pid})"),
        );
    }
    if rows.len() > SHOWN_MAX {
        report.warning("transactions", format!("{} more are as old", rows.len() - SHOWN_MAX), "see pg_stat_activity");
    }
    let hidden: i64 = session.query_one(sql!("doctor/count_hidden_sessions"), &[]).await?.try_get(0)?;
    let login = super::access::read_login(session).await?;
    if rows.is_empty() {
        let says = format!("none is open for longer than {}", seconds(thresholds.transaction.as_secs_f64()));
        if hidden > 0 && !login.sees_sessions {
            report.hint(
                "transactions",
                format!("{says}, of those that {} may see; {hidden} sessions are hidden", login.name),
                format!("GRANT pg_read_all_stats TO {}", login.name),
            );
        } else {
            report.ok("transactions", says);
        }
    }
    Ok(())
}

pub(super) async fn prepared(session: &Session, report: &mut Report) -> Result<()> {
    let rows = session.query(sql!("doctor/list_prepared"), &[]).await?;
    for row in &rows {
        let (name, owner, age): (String, String, f64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        report.warning(
            "prepared",
            format!("the prepared transaction {name} of {owner} waits for {} and keeps its locks", seconds(age)),
            format!("COMMIT PREPARED '{name}' or ROLLBACK PREPARED '{name}'; never prepare a transaction that appends"),
        );
    }
    if rows.is_empty() {
        report.ok("prepared", "no prepared transaction");
    }
    Ok(())
}

pub(super) async fn heads(session: &Session, thresholds: &Thresholds, report: &mut Report) -> Result<()> {
    let heads: u32 = session.query_one(sql!("doctor/find_heads"), &[]).await?.try_get(0)?;
    let longer = thresholds.head.as_secs_f64();
    let holders = session.query(sql!("doctor/list_head_holders"), &[&heads, &longer]).await?;
    for row in &holders {
        let (pid, user): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
        let (application, age): (String, f64) = (row.try_get(2)?, row.try_get(3)?);
        report.failure(
            "heads",
            format!("pid {pid} ({user}, {application}) has appended, or is about to, and does nothing for {}: appends wait for it", seconds(age)),
            format!("SELECT pg_terminate_backend({pid}); use append_deferred in transactions that take their time"),
        );
    }
    let waits = session.query(sql!("doctor/list_head_waits"), &[&heads, &longer]).await?;
    for row in &waits {
        let (pid, blockers, age): (i32, String, f64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        report.warning(
            "heads",
            format!("pid {pid} waits for {} to append, for pid {blockers}", seconds(age)),
            "see in pg_stat_activity what that one does; use append_deferred in transactions that take their time",
        );
    }
    if holders.is_empty() && waits.is_empty() {
        report.ok("heads", "nobody keeps appends waiting");
    }
    Ok(())
}
