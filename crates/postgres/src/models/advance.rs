//! One step of a build: events applied and progress moved, in one statement and so in one transaction.

use pacioli_core::Position;
use pacioli_core::place::Place;
use pacioli_projection::crash_point;
use pacioli_projection::engine::{Advance, AdvanceError, Advanced, BuildNumber, EngineError, Role, State};
use pacioli_projection::file::Name;

use super::builds::{find, hold, known, set_state, write_state};
use super::check::engine_error;
use super::home::Home;
use super::transaction::in_transaction;
use crate::error::Error;

/// Positions that one step looks at, at most, found or not: what a rare type costs stays bounded.
const LOOKED_AT_MAX: u64 = 1 << 18;

/// Applies events and moves the progress.
pub(super) async fn advance(home: &Home, advance: Advance) -> Result<Advanced, AdvanceError> {
    let worker = home.worker().await.map_err(failed)?;
    let up_to = advance.up_to.0.min(advance.after.0.saturating_add(LOOKED_AT_MAX));
    let number = advance.build.number.0 as i32;
    let (stream_worker, part) = (i32::from(advance.worker), i32::from(advance.partition.0));
    let events_max = i32::try_from(advance.events_max.max(1)).unwrap_or(i32::MAX);
    let step = async {
        let statement = worker.prepare_cached(&home.fill(sql!("models/builds/advance"))).await?;
        let name = advance.build.projection.name.as_str();
        let (after, up_to) = (advance.after.0 as i64, up_to as i64);
        Ok(worker.query_one(&statement, &[&name, &number, &stream_worker, &part, &after, &up_to, &events_max]).await?)
    };
    let row = worker.while_primary(step).await.map_err(told)?;
    crash_point("advance:after-commit");
    match (row.get::<_, Option<i64>>(0), row.get::<_, Option<i64>>(1)) {
        (Some(position), Some(events)) => Ok(Advanced { position: Position(position as u64), events: events as u64 }),
        _ => Err(AdvanceError::Moved),
    }
}

fn failed(error: Error) -> AdvanceError {
    AdvanceError::Store(error.into_store_error())
}

/// Whether it is the event's fault, and where it lies.
fn told(error: Error) -> AdvanceError {
    if let Some(of_handler) = error.of_handler() {
        return AdvanceError::Event { place: of_handler.place, error: of_handler.reason };
    }
    let class = error.state().map(|code| code.code()[..2].to_owned()).unwrap_or_default();
    if error.is_passing() || !matches!(class.as_str(), "21" | "22" | "23" | "44" | "54" | "P0" | "XX") {
        return failed(error);
    }
    AdvanceError::Event { place: None, error: error.to_string() }
}

/// Passes over one event, and sets the build running.
pub(super) async fn skip(home: &Home, name: &Name, number: BuildNumber, place: Place) -> Result<(), EngineError> {
    let worker = home.worker().await.map_err(engine_error)?;
    let work = async {
        let known = known(home, &worker, name).await.map_err(engine_error)?;
        let build = &known[find(&known, name, number)?];
        hold(home, &worker, name, number).await.map_err(engine_error)?;
        let (part, position) = (i32::from(place.partition.0), place.position.0 as i64);
        let skip = home.fill(sql!("models/builds/skip_event")).replace("{build}", &build.schema);
        let skipped =
            worker.query(&skip, &[&name.as_str(), &(number.0 as i32), &part, &position, &build.workers]).await;
        let skipped = skipped.map_err(|error| match told(error.into()) {
            AdvanceError::Event { place: Some(earlier), error } => EngineError::Refused(format!(
                "an event before it fails too, at {earlier}: {error}; retry, and then skip that one"
            )),
            AdvanceError::Store(error) => EngineError::Store(error),
            other => EngineError::Refused(other.to_string()),
        })?;
        if skipped.is_empty() {
            return Err(EngineError::Refused(format!(
                "build {} of `{name}` is past the event at {place}, or there is no such event: look at its status",
                number.0
            )));
        }
        write_state(home, &worker, name, number, &State::Running).await.map_err(engine_error)?;
        Ok::<_, EngineError>(build.is_sync && build.role == Role::Serving)
    };
    let runs_in_appends = in_transaction(&worker, work).await?;
    drop(worker);
    if runs_in_appends { set_state(home, name, number, State::Running).await } else { Ok(()) }
}
