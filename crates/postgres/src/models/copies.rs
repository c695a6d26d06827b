//! Copies of the tables of a build, from which a fold to a later moment begins.

use pacioli_core::place::{Checkpoint, Partition, Position};
use pacioli_projection::crash_point;
use pacioli_projection::engine::{BuildNumber, EngineError};
use pacioli_projection::file::Name;

use super::check::engine_error;
use super::fold::{Fold, Original, Stand};
use super::home::Home;
use super::transaction::in_transaction;
use crate::connect::Session;
use crate::error::{Error, Result};

/// Copies of one projection that are kept.
const COPIES_MAX: i64 = 8;

/// Saves the tables of a build as they are.
pub(super) async fn keep(
    home: &Home,
    name: &Name,
    number: BuildNumber,
) -> std::result::Result<Checkpoint, EngineError> {
    let worker = home.worker().await.map_err(engine_error)?;
    let original = Original::read(home, &worker, name, Some(number.0 as i32)).await?;
    let copy = async {
        // One look at the rows and at where they stand.
        worker.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        let stands = original.stands(home, &worker).await?;
        let taken = worker.query_one(&home.fill(sql!("models/copies/take_number")), &[]).await?;
        let copy_number: i64 = taken.get(0);
        let schema = format!("{}_copy_{copy_number}", home.schema());
        worker.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
        for row in worker.query(sql!("models/fold/list_columns"), &[&original.schema]).await? {
            let (table, columns): (&str, &str) = (row.get(0), row.get(1));
            let copy =
                format!("CREATE TABLE {schema}.\"{table}\" AS SELECT {columns} FROM {}.\"{table}\"", original.schema);
            worker.batch_execute(&copy).await?;
        }
        let projection = &original.projection;
        let insert = home.fill(sql!("models/copies/insert_copy"));
        let (name, workers) = (projection.name.as_str(), original.workers);
        let number = number.0 as i32;
        worker.execute(&insert, &[&copy_number, &name, &projection.hash, &workers, &schema, &number]).await?;
        let of = |one: fn(&Stand) -> i32| stands.iter().map(one).collect::<Vec<i32>>();
        let positions: Vec<i64> = stands.iter().map(|stand| stand.position).collect();
        let insert = home.fill(sql!("models/copies/insert_copy_progress"));
        worker
            .execute(&insert, &[&copy_number, &of(|stand| stand.worker), &of(|stand| stand.part), &positions])
            .await?;
        for row in worker.query(&home.fill(sql!("models/copies/take_old")), &[&name, &COPIES_MAX]).await? {
            super::scratch::give_up(home, &worker, row.get(0)).await?;
        }
        crash_point("copy:before-commit");
        Ok::<_, Error>(stands)
    };
    let stands = in_transaction(&worker, async { copy.await.map_err(engine_error) }).await?;
    crash_point("copy:after-commit");
    super::scratch::sweep_soon(home, &worker).await;
    Ok(least(home, &stands))
}

/// What all workers have passed.
fn least(home: &Home, stands: &[Stand]) -> Checkpoint {
    let store = home.store().shared();
    let of = |part: u16| stands.iter().filter(|stand| stand.part == i32::from(part)).map(|stand| stand.position).min();
    let mut checkpoint = Checkpoint::start(store.partitions, store.recent.epoch());
    for part in 0..store.partitions {
        let position = Position(of(part).unwrap_or_default() as u64);
        if position > Position(0) {
            checkpoint.advance(Partition(part), position);
        }
    }
    checkpoint
}

/// Puts the rows of the nearest copy that is not beyond `cut` into the tables of a fold, in the session's transaction. Where
/// there is none, the fold begins at the start.
pub(super) async fn load_nearest(fold: &mut Fold<'_>, cut: &Checkpoint) -> Result<()> {
    let (home, session, projection) = (fold.home, fold.session, &fold.original.projection);
    let positions: Vec<i64> = cut.iter().map(|place| place.position.0 as i64).collect();
    let epoch = home.store().shared().recent.epoch().0 as i32;
    let find = home.fill(sql!("models/copies/find_copy"));
    let found = session
        .query_opt(&find, &[&projection.name.as_str(), &projection.hash, &fold.workers, &positions, &epoch])
        .await?;
    let Some(found) = found else { return Ok(()) };
    let (number, copy): (i64, String) = (found.get(0), found.get(1));
    load(session, &copy, &fold.schema).await?;
    let rows = session.query(&home.fill(sql!("models/copies/list_copy_progress")), &[&number]).await?;
    fold.stands = rows.iter().map(|row| Stand { worker: row.get(0), part: row.get(1), position: row.get(2) }).collect();
    Ok(())
}

async fn load(session: &Session, copy: &str, schema: &str) -> Result<()> {
    for row in session.query(sql!("models/fold/list_columns"), &[&schema]).await? {
        let (table, columns): (&str, &str) = (row.get(0), row.get(1));
        let load = format!(
            "INSERT INTO {schema}.\"{table}\" ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {copy}.\"{table}\""
        );
        session.batch_execute(&load).await?;
    }
    // Counters go on behind what was loaded.
    session.batch_execute(&sql!("models/copies/set_counters").replace("{build}", schema)).await?;
    Ok(())
}
