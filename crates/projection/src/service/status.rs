//! How a projection is: put together from the catalogue, from what was observed, and from the log.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::schemas::{OnNewer, Seen};
use pacioli_core::store::Filter;
use pacioli_core::{PayloadChoice, ReadLog, RecordedEvent, Timestamp};
use serde::{Deserialize, Serialize};

use crate::catalogue::Family;
use crate::engine::{Build, State, Verified};
use crate::file::{Makes, Mode, Name, Projection};
use crate::moment::time_text;

use super::record::last_verified;
use super::{CommandError, ReadModels};

/// How long the age of the oldest event that was not taken is good for.
const LAG_MAX_AGE: Duration = Duration::from_secs(1);
/// Partitions whose oldest event is asked for, those farthest behind.
const LAG_PARTITIONS_MAX: usize = 16;
/// How long what the log says of verifications is good for.
const VERIFIED_MAX_AGE: Duration = Duration::from_secs(5);

/// How a projection is, as `GET /v1/projections` tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The version that serves; `None` while the first build of a `sync` projection fills.
    pub version: Option<u32>,
    /// The version that is being filled.
    pub building: Option<u32>,
    /// `running`, `rebuilding`, `paused` or `failed`. A build that fills and failed makes it `failed` too, though the one
    /// that serves goes on: see [`Status::error`] for the version. `cancelled` only in the answer to the command that gave
    /// up all there was of it.
    pub state: &'static str,
    /// `async` or `sync`.
    pub mode: &'static str,
    /// Where the serving build stands, or the filling one where none serves.
    pub checkpoint: String,
    /// The head of the log.
    pub head: String,
    /// How many events the serving build is behind the head, those of other categories and types too.
    pub lag_events: u64,
    /// How old the oldest event is that it has not looked at; 0 at the head.
    pub lag_seconds: f64,
    /// Events that the build that fills, or else the one that serves, applied in a second, over the last few seconds.
    pub events_per_second: f64,
    /// When that build will be at the head at this rate; `None` where it is there, or comes no nearer.
    pub eta_seconds: Option<f64>,
    /// How much of the log the build that fills has taken, 0 to 1.
    pub progress: Option<f64>,
    /// The event and the error that it stopped at.
    pub error: Option<ErrorStatus>,
    /// The version of an event type that it waits for: it stopped there, since it does not understand it.
    pub waits_for: Option<String>,
    /// How many events the build of [`Status::checkpoint`] passed over since it began, by type, since it does not understand
    /// their versions.
    pub passed_over: BTreeMap<String, u64>,
    /// How long it has not moved though it is behind.
    pub stalled_seconds: f64,
    /// Whether that is longer than it may be.
    pub stalled: bool,
    /// The tables to query.
    pub tables: Vec<String>,
    /// The version that is kept for `rollback`.
    pub kept: Option<u32>,
    /// How many workers the serving build has.
    pub workers: u16,
    /// The server that runs it; `None` where nobody is known to.
    pub runner: Option<String>,
    /// Materialized views with their age in seconds.
    pub materialized: BTreeMap<String, Option<f64>>,
    /// What the last `verify` of all of it found and when.
    pub verified: Option<VerifiedStatus>,
    /// How often the storage failed while this server was to run it, since the server began.
    pub store_errors: u64,
    /// SHA-256 of the serving file.
    pub hash: String,
}

/// Where and why a projection stopped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorStatus {
    /// `partition:position` of the event.
    pub place: String,
    /// What the database said.
    pub error: String,
    /// When, RFC 3339.
    pub at: String,
    /// The version of the file that failed.
    pub version: u32,
}

/// What a `verify` found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedStatus {
    /// Up to where.
    pub checkpoint: String,
    /// When, RFC 3339.
    pub at: String,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that differ.
    pub different: u64,
    /// The first few of them in words.
    pub differences: Vec<String>,
}

/// What a verification found at a time, as the status tells it.
pub(crate) fn verified_status(verified: &Verified, at: Timestamp) -> VerifiedStatus {
    VerifiedStatus {
        checkpoint: verified.checkpoint.to_string(),
        at: time_text(at),
        rows: verified.rows,
        different: verified.different,
        differences: verified.differences.clone(),
    }
}

/// A projection as a reader of events.
#[derive(Clone, Debug)]
pub struct ProjectionReader {
    /// Its file: the one that is being filled, where there is one, since that will serve.
    pub projection: Arc<Projection>,
    /// Where it stands.
    pub checkpoint: Checkpoint,
    /// Whether it goes on by itself.
    pub runs: bool,
}

impl ReadModels {
    /// The projections as readers of events, by name.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn readers(&self) -> Result<Vec<ProjectionReader>, CommandError> {
        let builds = self.shared().catalogue.reload().await?;
        let head = self.ask_head().await?;
        let families = builds.names().into_iter().filter_map(|name| builds.family(&name));
        let reader = |family: Family| {
            let build = family.filling.as_ref().or(family.serving.as_ref())?;
            Some(ProjectionReader {
                projection: Arc::clone(&build.projection),
                checkpoint: build.checkpoint(&head),
                runs: matches!(build.state, State::Running),
            })
        };
        Ok(families.filter_map(reader).collect())
    }

    /// How all projections are, by name.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn list(&self) -> Result<Vec<Status>, CommandError> {
        let builds = self.shared().catalogue.reload().await?;
        let head = self.ask_head().await?;
        let mut statuses = Vec::new();
        for name in builds.names() {
            if let Some(family) = builds.family(&name) {
                statuses.push(self.status_of(&name, &family, &head).await?);
            }
        }
        Ok(statuses)
    }

    /// How one is.
    ///
    /// # Errors
    /// There is no such projection, or the storage failed.
    pub async fn status(&self, name: &Name) -> Result<Status, CommandError> {
        let family = self.family(name).await?;
        let head = self.ask_head().await?;
        self.status_of(name, &family, &head).await
    }

    /// How one was whose only build was given up just now.
    pub(super) async fn status_when_cancelled(&self, name: &Name, before: &Family) -> Result<Status, CommandError> {
        let head = self.ask_head().await?;
        Ok(Status { state: "cancelled", ..self.status_of(name, before, &head).await? })
    }

    async fn ask_head(&self) -> Result<Checkpoint, CommandError> {
        let head = self.shared().engine.head().await?;
        self.shared().see_head(&head);
        Ok(head)
    }

    async fn status_of(&self, name: &Name, family: &Family, head: &Checkpoint) -> Result<Status, CommandError> {
        let shared = self.shared();
        let track = shared.track(name);
        let (serving, filling) = (family.serving.as_ref(), family.filling.as_ref());
        let shown = serving.or(filling).or(family.kept.as_ref()).ok_or_else(|| super::no_such_projection(name))?;
        let checkpoint = stands(shown, head);
        let lag_seconds = self.lag_seconds(name, &checkpoint, head).await?;
        let seen = |build: &Arc<Build>| {
            let observed = shared.observed.lock().unwrap_or_else(PoisonError::into_inner);
            observed.seen(build, head)
        };
        let moving = filling.or(serving).map(|build| (stands(build, head).distance_to(head), seen(build)));
        let eta_seconds = moving.and_then(|(distance, seen)| {
            let comes_nearer = distance > 0 && seen.gain_per_second > 0.0;
            comes_nearer.then(|| distance as f64 / seen.gain_per_second)
        });
        let still = family.live().map(seen).max_by_key(|seen| seen.still_for).unwrap_or_default();
        let verified = match track.verified(VERIFIED_MAX_AGE) {
            Some(verified) => verified,
            None => {
                let verified = last_verified(&*shared.store, name).await.map_err(super::store_error)?;
                let verified = verified.map(|(_, status)| status);
                track.keep_verified(verified.clone());
                verified
            }
        };
        Ok(Status {
            name: name.to_string(),
            version: serving.map(|build| build.projection.version),
            building: filling.map(|build| build.projection.version),
            state: state_word(family),
            mode: match shown.projection.mode {
                Mode::Async => "async",
                Mode::Sync => "sync",
            },
            lag_events: checkpoint.distance_to(head),
            checkpoint: checkpoint.to_string(),
            head: head.to_string(),
            lag_seconds,
            events_per_second: moving.map_or(0.0, |(_, seen)| seen.events_per_second),
            eta_seconds,
            progress: filling.map(|build| share(&build.checkpoint(head), head)),
            error: family.live().find_map(error_status),
            waits_for: self.waits_for(family, head).await?,
            passed_over: shown.passed_over.iter().map(|(of_type, events)| (of_type.to_string(), *events)).collect(),
            stalled_seconds: still.still_for.as_secs_f64(),
            stalled: family.live().any(|build| seen(build).is_stalled),
            tables: shown.projection.relations().map(str::to_owned).collect(),
            kept: family.kept.as_ref().map(|build| build.projection.version),
            workers: shown.workers,
            runner: track.runner(shared.options.lease_for),
            materialized: self.ages(name, serving).await?,
            verified,
            store_errors: track.store_errors(),
            hash: shown.projection.hash.clone(),
        })
    }

    /// How old the first event is that is not taken.
    async fn lag_seconds(&self, name: &Name, checkpoint: &Checkpoint, head: &Checkpoint) -> Result<f64, CommandError> {
        let (shared, track) = (self.shared(), self.shared().track(name));
        let mut behind: Vec<_> = head
            .iter()
            .map(|place| (place.position.0.saturating_sub(checkpoint.position(place.partition).0), place.partition))
            .filter(|(distance, _)| *distance > 0)
            .collect();
        if behind.is_empty() {
            return Ok(0.0);
        }
        let oldest = match track.oldest_untaken(checkpoint, LAG_MAX_AGE) {
            Some(oldest) => oldest,
            None => {
                behind.sort_unstable_by(|one, other| other.cmp(one));
                let mut oldest: Option<Timestamp> = None;
                for (_, partition) in behind.into_iter().take(LAG_PARTITIONS_MAX) {
                    let after = Place { partition, position: checkpoint.position(partition) };
                    let first = self.first_after(after, head, PayloadChoice::None).await?;
                    oldest = oldest.into_iter().chain(first.map(|event| event.recorded_at)).min();
                }
                track.keep_oldest_untaken(checkpoint.clone(), oldest);
                oldest
            }
        };
        let micros = oldest.map_or(0, |at| shared.now().as_micros().saturating_sub(at.as_micros()));
        Ok(micros.max(0) as f64 / 1e6)
    }

    /// The first event of a partition after a position.
    async fn first_after(
        &self,
        after: Place,
        head: &Checkpoint,
        payload: PayloadChoice,
    ) -> Result<Option<Arc<RecordedEvent>>, CommandError> {
        // As if all other partitions were taken, so that the one event is of this one.
        let taken = |place: Place| if place.partition == after.partition { after.position } else { place.position };
        let after = Some(Checkpoint::new(head.iter().map(taken), head.epoch()));
        let read = ReadLog { after, filter: Filter::default(), limit: 1, payload };
        let page = self.shared().store.read_log(read).await.map_err(super::store_error)?;
        Ok(page.events.into_iter().next())
    }

    /// The version that a projection waits for: that of the event it stopped at, where it is one that it does not understand
    /// by what is registered now.
    async fn waits_for(&self, family: &Family, head: &Checkpoint) -> Result<Option<String>, CommandError> {
        let Some(gate) = self.shared().engine.gate() else { return Ok(None) };
        for build in family.live() {
            let (State::Failed(failed), shape) = (&build.state, build.projection.shape()) else { continue };
            if shape.understands.is_empty() || shape.on_newer == OnNewer::Skip {
                continue;
            }
            let before = Place { position: failed.place.position.before(), ..failed.place };
            let event = self.first_after(before, head, PayloadChoice::All).await?;
            if let Some(event) = event.filter(|event| event.place() == failed.place)
                && let Seen::Withheld(withheld) = gate.lens(&shape).see(&mut event.clone(), true)
            {
                return Ok(Some(withheld.awaited()));
            }
        }
        Ok(None)
    }

    async fn ages(
        &self,
        name: &Name,
        serving: Option<&Arc<Build>>,
    ) -> Result<BTreeMap<String, Option<f64>>, CommandError> {
        let is_materialized = |build: &Arc<Build>| {
            let definitions = &build.projection.definitions;
            definitions.iter().any(|definition| matches!(definition.makes, Makes::MaterializedView { .. }))
        };
        let Some(serving) = serving.filter(|build| is_materialized(build)) else { return Ok(BTreeMap::new()) };
        let now = self.shared().now();
        let views = self.shared().engine.materialized(name, serving.number).await?;
        let age = |at: Timestamp| (now.as_micros() - at.as_micros()).max(0) as f64 / 1e6;
        Ok(views.into_iter().map(|view| (view.view, view.refreshed_at.map(age))).collect())
    }
}

/// Where a build stands for its readers: one that appends run is always at the head.
fn stands(build: &Build, head: &Checkpoint) -> Checkpoint {
    if build.runs_in_appends() { head.clone() } else { build.checkpoint(head) }
}

fn state_word(family: &Family) -> &'static str {
    let any = |is: fn(&State) -> bool| family.live().any(|build| is(&build.state));
    if any(|state| matches!(state, State::Failed(_))) {
        "failed"
    } else if any(|state| *state == State::Paused) {
        "paused"
    } else if family.filling.is_some() {
        "rebuilding"
    } else {
        "running"
    }
}

fn error_status(build: &Arc<Build>) -> Option<ErrorStatus> {
    let State::Failed(failed) = &build.state else { return None };
    Some(ErrorStatus {
        place: failed.place.to_string(),
        error: failed.error.clone(),
        at: time_text(failed.at),
        version: build.projection.version,
    })
}

/// How much of the log lies before the checkpoint, 0 to 1.
fn share(checkpoint: &Checkpoint, head: &Checkpoint) -> f64 {
    let all: u64 = head.iter().map(|place| place.position.0).sum();
    let left = checkpoint.distance_to(head);
    if all == 0 { 1.0 } else { (all.saturating_sub(left)) as f64 / all as f64 }
}
