//! Materialized views: refreshed as a whole, one refresh of a view at a time.

use std::time::Duration;

use pacioli_projection::engine::{BuildNumber, EngineError, Materialized};
use pacioli_projection::file::Name;

use super::check::engine_error;
use super::home::Home;
use super::transaction::in_transaction;
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::row::Moment;

/// The materialized views of a build, in the order of its file.
pub(super) async fn list(
    home: &Home,
    name: &Name,
    number: BuildNumber,
) -> std::result::Result<Vec<Materialized>, EngineError> {
    let worker = home.worker().await.map_err(engine_error)?;
    let list = async {
        let list = worker.prepare_cached(&home.fill(sql!("models/builds/list_materialized"))).await?;
        let rows = worker.query(&list, &[&name.as_str(), &(number.0 as i32)]).await?;
        Ok::<_, Error>(rows)
    };
    let rows = worker.within(list).await.map_err(engine_error)?;
    let view = |row: &tokio_postgres::Row| Materialized {
        view: row.get(0),
        every: row.get::<_, Option<f64>>(1).map(Duration::from_secs_f64),
        refreshed_at: row.get::<_, Option<Moment>>(2).map(|at| at.0),
    };
    Ok(rows.iter().map(view).collect())
}

/// Refreshes a view. Who comes while another refreshes it waits, and then refreshes it again.
pub(super) async fn refresh(
    home: &Home,
    name: &Name,
    number: BuildNumber,
    view: &str,
) -> std::result::Result<(), EngineError> {
    let worker = home.worker().await.map_err(engine_error)?;
    let work = async {
        // A refresh takes as long as its query; the connection's own patience is for rows.
        worker.batch_execute("SET LOCAL lock_timeout = 0").await.map_err(|error| engine_error(error.into()))?;
        let lock = home.fill(sql!("models/builds/lock_materialized"));
        let row = worker.query_opt(&lock, &[&name.as_str(), &(number.0 as i32), &view]).await;
        let Some(row) = row.map_err(|error| engine_error(error.into()))? else {
            return Err(EngineError::Refused(format!(
                "`{view}` is no materialized view of `{name}`: a `-- materialized:` line before CREATE MATERIALIZED VIEW makes one"
            )));
        };
        refresh_one(home, &worker, name, number, row.get(0), view).await.map_err(engine_error)
    };
    in_transaction(&worker, work).await
}

/// Refreshes a view whose row is locked, or which nobody queries yet.
async fn refresh_one(
    home: &Home,
    session: &Session,
    name: &Name,
    number: BuildNumber,
    schema: &str,
    view: &str,
) -> Result<()> {
    let relation = format!("{schema}.\"{}\"", view.replace('"', "\"\""));
    // With a unique index, who queries goes on meanwhile.
    let is_unique: bool = session.query_one(sql!("models/builds/find_unique_index"), &[&relation]).await?.get(0);
    let concurrently = if is_unique { "CONCURRENTLY " } else { "" };
    // Its rows are as old as the look they come from.
    let note = home.fill(sql!("models/builds/note_refresh"));
    session.execute(&note, &[&name.as_str(), &(number.0 as i32), &view]).await?;
    Ok(session.batch_execute(&format!("REFRESH MATERIALIZED VIEW {concurrently}{relation}")).await?)
}

/// Refreshes all views of a build that is to serve.
pub(super) async fn refresh_all(home: &Home, name: &Name, number: BuildNumber) -> std::result::Result<(), EngineError> {
    for materialized in list(home, name, number).await? {
        refresh(home, name, number, &materialized.view).await?;
    }
    Ok(())
}
