//! What was done to a projection, written into the log: one event a command in the stream `$projection-NAME`.

use std::time::Duration;

use pacioli_core::append::ExpectedVersion;
use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::{
    Append, AppendError, AppendOutcome, Direction, EventId, EventStore, EventType, NewEvent, PayloadChoice, ReadError,
    ReadStream, StreamName, Timestamp,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::crash_point;
use crate::engine::BuildNumber;
use crate::file::Name;
use crate::moment::parse_time;
use crate::runner::Shared;

use super::VerifiedStatus;

/// How often an append is tried whose outcome is unknown or for which there was no room.
const ATTEMPTS: u32 = 4;
/// The wait between two of them.
const WAIT: Duration = Duration::from_millis(250);
/// Events of the stream that are looked through for the last verification.
const LOOK_BACK: usize = 500;

/// Something that was done to a projection.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Added { version: u32, build: BuildNumber, file: String, hash: String, mode: &'static str },
    RebuildStarted { version: u32, build: BuildNumber, workers: u16 },
    Swapped { version: u32, build: BuildNumber, checkpoint: Option<Checkpoint>, before: Option<(u32, BuildNumber)> },
    Paused { builds: Vec<(u32, BuildNumber)> },
    Resumed { builds: Vec<(u32, BuildNumber)> },
    Retried { version: u32, build: BuildNumber, place: Place, error: String },
    Skipped { version: u32, build: BuildNumber, place: Place, error: String, reason: String },
    RolledBack { version: u32, build: BuildNumber },
    Cancelled { version: u32, build: BuildNumber },
    Dropped { builds: Vec<(u32, BuildNumber)>, all: bool },
    Verified(VerifiedStatus),
}

/// Appends what was done. It is done already, and not undone where this fails: that is a line in the server's log, with
/// all that the event would have said.
pub(crate) async fn record(shared: &Shared, name: &Name, command: Command, by: Option<&str>) {
    crash_point("record:before-append");
    let (event_type, data) = command.event(name);
    if let Err(error) = append(&*shared.store, name, event_type, &data, by).await {
        tracing::error!(
            projection = name.as_str(),
            actor = by,
            "{event_type} was done and is not in the log, because the append failed: {error}; it would have said {data}"
        );
    }
}

/// When all of the projection was last verified, and what that found.
pub(crate) async fn last_verified(
    store: &dyn EventStore,
    name: &Name,
) -> Result<Option<(Timestamp, VerifiedStatus)>, ReadError> {
    let Some(stream) = stream_of(name) else { return Ok(None) };
    let (mut from, mut looked) = (None, 0);
    while looked < LOOK_BACK {
        let read = ReadStream {
            stream: stream.clone(),
            from,
            direction: Direction::Backward,
            limit: 100,
            payload: PayloadChoice::All,
        };
        let page = match store.read_stream(read).await {
            Ok(page) => page,
            Err(ReadError::StreamNotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        for event in page.events.iter().filter(|event| event.event_type.as_str() == "ProjectionVerified") {
            let status: Option<VerifiedStatus> = serde_json::from_slice(event.data.bytes()).ok();
            // Anybody may append to the stream: what is not in the shape of a verification is none.
            if let Some(status) = status
                && let Ok(at) = parse_time(&status.at)
            {
                return Ok(Some((at, status)));
            }
        }
        looked += page.events.len();
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(None),
        }
    }
    Ok(None)
}

fn stream_of(name: &Name) -> Option<StreamName> {
    StreamName::new(format!("$projection-{name}")).ok()
}

async fn append(
    store: &dyn EventStore,
    name: &Name,
    event_type: &'static str,
    data: &Value,
    by: Option<&str>,
) -> Result<(), String> {
    let stream = stream_of(name).ok_or("its name makes no stream")?;
    let event_type = EventType::new(event_type).map_err(|error| error.to_string())?;
    let mut event = NewEvent::json(EventId(Uuid::now_v7()), event_type, data.to_string());
    event.metadata.actor = by.map(Box::from);
    let mut attempt = 1;
    loop {
        // The event's id makes a further attempt safe.
        let request = Append::to(stream.clone(), ExpectedVersion::Any, vec![event.clone()]);
        match store.append(request).await {
            Ok(AppendOutcome::Appended(_)) => return Ok(()),
            Ok(AppendOutcome::Conflict(conflict)) => return Err(conflict.to_string()),
            Ok(AppendOutcome::Refused(refusal)) => return Err(refusal.to_string()),
            Err(AppendError::Overloaded { .. } | AppendError::Unknown { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(WAIT).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

impl Command {
    /// The event's type and data.
    fn event(self, name: &Name) -> (&'static str, Value) {
        let listed = |builds: Vec<(u32, BuildNumber)>| Value::from_iter(builds.into_iter().map(named));
        let (event_type, mut data) = match self {
            Command::Added { version, build, file, hash, mode } => (
                "ProjectionAdded",
                json!({ "version": version, "build": build.0, "file": file, "hash": hash, "mode": mode }),
            ),
            Command::RebuildStarted { version, build, workers } => {
                ("ProjectionRebuildStarted", json!({ "version": version, "build": build.0, "workers": workers }))
            }
            Command::Swapped { version, build, checkpoint, before } => {
                let checkpoint = checkpoint.map(|checkpoint| checkpoint.to_string());
                let before = before.map(named);
                let data = json!({ "version": version, "build": build.0, "checkpoint": checkpoint, "before": before });
                ("ProjectionSwapped", data)
            }
            Command::Paused { builds } => ("ProjectionPaused", json!({ "builds": listed(builds) })),
            Command::Resumed { builds } => ("ProjectionResumed", json!({ "builds": listed(builds) })),
            Command::Retried { version, build, place, error } => (
                "ProjectionRetried",
                json!({ "version": version, "build": build.0, "place": place.to_string(), "error": error }),
            ),
            Command::Skipped { version, build, place, error, reason } => {
                let place = place.to_string();
                let data =
                    json!({ "version": version, "build": build.0, "place": place, "error": error, "reason": reason });
                ("ProjectionSkipped", data)
            }
            Command::RolledBack { version, build } => ("ProjectionRolledBack", named((version, build))),
            Command::Cancelled { version, build } => ("ProjectionCancelled", named((version, build))),
            Command::Dropped { builds, all } => ("ProjectionDropped", json!({ "builds": listed(builds), "all": all })),
            Command::Verified(status) => ("ProjectionVerified", json!(status)),
        };
        data["projection"] = json!(name.as_str());
        (event_type, data)
    }
}

fn named((version, build): (u32, BuildNumber)) -> Value {
    json!({ "version": version, "build": build.0 })
}
