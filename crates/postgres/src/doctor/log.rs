//! The store itself: its version, its room, its epoch.

use pacioli_core::place::Epoch;

use super::{Report, seconds, server};
use crate::connect::Session;
use crate::error::Result;
use crate::migrate;
use crate::shared::read_heads;

/// Fewer chunks than this beyond the head, and it is time to look.
const CHUNKS_AHEAD_MIN: i32 = 2;

/// Whether there is a store to look at.
pub(super) async fn schema(session: &Session, schema: &str, report: &mut Report) -> Result<bool> {
    let found = session.query_one(sql!("find_relation"), &[&format!("{schema}.migrations")]).await?;
    if found.try_get::<_, Option<String>>(0)?.is_none() {
        let login = super::access::read_login(session).await?;
        let empty = format!("no store yet in schema {schema}");
        if !login.may_create_schemas {
            report.warning(
                "schema",
                format!("{empty}, and {} may not make one", login.name),
                "GRANT CREATE ON DATABASE, or run `pacioli init` as somebody who may",
            );
        } else if login.may_create_roles || login.is_superuser {
            report.ok("schema", format!("{empty}: `pacioli init` and `pacioli serve` will make it, with its roles"));
        } else {
            report.hint(
                "schema",
                format!("{empty}: `pacioli init` and `pacioli serve` will make it, without roles"),
                format!(
                    "{} may not create roles: run `pacioli init` as somebody who may, and rights are divided",
                    login.name
                ),
            );
        }
        return Ok(false);
    }
    match migrate::is_current(session, schema).await {
        Ok(true) => report.ok("schema", format!("{schema}, up to date")),
        Ok(false) => report.warning(
            "schema",
            format!("{schema} was made by another version than this build"),
            "run `pacioli init` as the owner; a server whose role may does it when it starts",
        ),
        // A newer one.
        Err(error) if error.state().is_none() => report.failure("schema", error.to_string(), "use the newer build"),
        Err(error) => return Err(error),
    }
    Ok(true)
}

pub(super) async fn epoch(session: &Session, report: &mut Report) -> Result<()> {
    let Some(row) = session.query_opt(sql!("doctor/read_newest_epoch"), &[]).await? else {
        report.failure("epoch", "the table epochs is empty", "restore a backup: rows of the log are missing");
        return Ok(());
    };
    let (epoch, system, timeline): (i32, i64, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let here = session.surroundings.identity;
    if server::is_standby(session) {
        report.ok("epoch", format!("{epoch}, which the next one follows when this standby is promoted"));
    } else if (system, timeline) == (here.system_id, here.timeline) {
        report.ok("epoch", format!("{epoch}, begun on this database and timeline {timeline}"));
    } else {
        let other = if system == here.system_id { "timeline" } else { "database" };
        report.warning(
            "epoch",
            format!("epoch {epoch} was begun on another {other}: this one was restored, copied or promoted"),
            "the next server to start begins a new epoch, and readers ahead of the log are told to go back",
        );
    }
    Ok(())
}

pub(super) async fn chunks(session: &Session, report: &mut Report) -> Result<()> {
    let heads = read_heads(session, Epoch::FIRST).await?;
    let positions = || heads.iter().map(|place| place.position.0 as i64);
    let (highest, lowest) = (positions().max().unwrap_or_default(), positions().min().unwrap_or_default());
    let ahead: i32 = session.query_one(sql!("count_chunks_ahead"), &[&highest]).await?.try_get(0)?;
    let says = format!("{ahead} made beyond the highest head, {highest}");
    let advice = "let a server run, or `pacioli maintain`, as a member of the appender or as the owner";
    match ahead {
        ..=0 => report.failure("chunks", says, advice),
        few if few < CHUNKS_AHEAD_MIN => report.warning("chunks", says, advice),
        _ => report.ok("chunks", says),
    }
    match session.query_one(sql!("doctor/count_unfrozen_chunks"), &[&lowest]).await?.try_get::<_, i64>(0)? {
        0 => report.ok("frozen", "every full chunk is frozen"),
        count => report.warning(
            "frozen",
            format!("{count} full chunks are not frozen: a later vacuum has to write them again"),
            "run `pacioli maintain` as a member of the owner, from a timer",
        ),
    }
    Ok(())
}

pub(super) async fn periods(session: &Session, report: &mut Report) -> Result<()> {
    let row = session.query_one(sql!("doctor/read_periods"), &[]).await?;
    let (left, remember): (Option<f64>, f64) = (row.try_get(0)?, row.try_get(1)?);
    let left = left.unwrap_or_default();
    let says = |left| {
        format!("there is room for ids and keys for {}; they are remembered for {}", seconds(left), seconds(remember))
    };
    let advice = "let a server run, or `pacioli maintain`, as a member of the appender or as the owner";
    if left <= 0.0 {
        report.failure("periods", "the last period of ids and keys has ended", advice);
    } else if left < remember / 8.0 {
        report.warning("periods", says(left), advice);
    } else {
        report.ok("periods", says(left));
    }
    Ok(())
}
