//! One worker of a build in one partition: from where it stands to the head, and then after the head.

use std::sync::Arc;

use pacioli_core::place::{Checkpoint, Partition, Place, Position};
use pacioli_core::store::Filter;
use pacioli_core::{Epoch, PayloadChoice, ReadError, ReadLog};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::engine::{Advance, AdvanceError, Build, EngineError, Failed, Progress, State};

use super::Shared;
use super::pace::Pace;
use super::track::Track;
use super::trouble::Trouble;

/// One worker of a build in one partition.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) track: Arc<Track>,
    pub(super) build: Arc<Build>,
    /// Where it stands.
    pub(super) stands: Progress,
    /// Permits to advance this build: engines bound how many of its workers may at the same time, and who holds them all
    /// makes the build stand still.
    pub(super) permits: Arc<Semaphore>,
    /// Turns true when it is to stop.
    pub(super) stop: watch::Receiver<bool>,
}

/// Why a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// It stands elsewhere than was thought, or the log is another one: look at the catalogue again.
    Moved,
    /// Its build failed, and the catalogue says so.
    Failed,
}

impl Worker {
    /// Advances until something ends it. Dropping the future ends it too: what is under way is then committed or not, and
    /// whoever goes on is told [`AdvanceError::Moved`] if it was.
    pub(super) async fn run(mut self) -> Ended {
        let shared = Arc::clone(&self.shared);
        let mut heads = shared.head.subscribe();
        let head = heads.borrow_and_update().clone();
        if let Some(ended) = self.check_past(&head).await {
            return ended;
        }
        let mut pace = Pace::new(shared.options.batch_max);
        let mut trouble = Trouble::new(format!("advance {}", self.title()));
        let mut last_start = Instant::now();
        loop {
            let head = heads.borrow_and_update().clone();
            if head.epoch() != self.stands.epoch {
                return Ended::Moved;
            }
            let head = head.position(self.stands.partition);
            if self.stands.position >= head {
                tokio::select! {
                    _ = heads.changed() => continue,
                    () = told(&mut self.stop) => return Ended::Stopped,
                }
            }
            tokio::select! {
                () = self.track.rest(last_start + pace.rest()) => {}
                () = told(&mut self.stop) => return Ended::Stopped,
            }
            let permit = tokio::select! {
                permit = Arc::clone(&self.permits).acquire_owned() => permit,
                () = told(&mut self.stop) => return Ended::Stopped,
            };
            let Ok(permit) = permit else { return Ended::Stopped };
            let after = self.stands.position;
            let (up_to, events_max) = pace.ask(after, head);
            last_start = Instant::now();
            let advanced = shared.engine.advance(self.advance(up_to, events_max)).await;
            let failed = match advanced {
                Ok(advanced) => {
                    trouble.over();
                    self.stands.position = advanced.position;
                    self.track.moved(self.build.number, self.stands, advanced.events);
                    drop(permit);
                    if pace.done(advanced, head, last_start.elapsed()) {
                        self.tell_of_failure_together(after, up_to);
                    }
                    continue;
                }
                Err(AdvanceError::Moved) => return Ended::Moved,
                Err(AdvanceError::Store(error)) => {
                    drop(permit);
                    self.track.store_failed();
                    pace.shrink();
                    let wait = trouble.failed(&error);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => continue,
                        () = told(&mut self.stop) => return Ended::Stopped,
                    }
                }
                Err(AdvanceError::Event { place, error }) => (place, error),
            };
            drop(permit);
            let (place, error) = failed;
            let known = place.filter(|place| {
                place.partition == self.stands.partition && place.position > after && place.position <= up_to
            });
            let is_poison = match known {
                Some(place) => pace.failed_at(after, place.position),
                None => pace.failed_between(after, up_to),
            };
            if is_poison {
                let place = Place { partition: self.stands.partition, position: after.next() };
                return self.fail(place, error).await;
            }
        }
    }

    fn advance(&self, up_to: Position, events_max: usize) -> Advance {
        Advance {
            build: Arc::clone(&self.build),
            worker: self.stands.worker,
            partition: self.stands.partition,
            after: self.stands.position,
            up_to,
            events_max,
            epoch: self.stands.epoch,
        }
    }

    /// What was applied in an earlier epoch may have been rewound since. Then this build holds what never happened: it
    /// stops, and only a rebuild helps. Returns where the log still has all of it.
    async fn check_past(&mut self, head: &Checkpoint) -> Option<Ended> {
        let partition = self.stands.partition;
        if head.epoch() == self.stands.epoch && self.stands.position <= head.position(partition) {
            return None;
        }
        let mut trouble = Trouble::new(format!("compare {} with the log", self.title()));
        loop {
            let past = past_of(partition, self.stands.position, head.partitions(), self.stands.epoch);
            let read = ReadLog { after: Some(past), filter: Filter::default(), limit: 1, payload: PayloadChoice::None };
            let (to, why) = match self.shared.store.read_log(read).await {
                Ok(page) => {
                    // Another runner may have moved it past the head that this process knew.
                    self.shared.see_head(&page.head);
                    self.stands.epoch = page.head.epoch();
                    self.track.moved(self.build.number, self.stands, 0);
                    return None;
                }
                Err(ReadError::Rewound { to }) => (to.position(partition), format!("the log was rewound to {to}")),
                Err(ReadError::Invalid { problem, .. }) => (head.position(partition), problem),
                Err(error) => {
                    self.track.store_failed();
                    let wait = trouble.failed(&error);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => continue,
                        () = told(&mut self.stop) => return Some(Ended::Stopped),
                    }
                }
            };
            let error = format!(
                "it stands at {partition}:{}, which the log does not have ({why}): its tables may hold what never \
                 happened. Fill it anew: `pacioli projection rebuild {}`",
                self.stands.position, self.build.projection.name
            );
            return Some(self.fail(Place { partition, position: to.next() }, error).await);
        }
    }

    /// Writes down that the build failed.
    async fn fail(&mut self, place: Place, error: String) -> Ended {
        let (name, number) = (&self.build.projection.name, self.build.number);
        let failed = Failed { place, error: error.clone(), at: self.shared.now() };
        let mut trouble = Trouble::new(format!("write down that {} failed", self.title()));
        loop {
            match self.shared.engine.set_state(name, number, State::Failed(failed.clone())).await {
                Ok(()) => break,
                Err(EngineError::Store(error)) => {
                    self.track.store_failed();
                    let wait = trouble.failed(&error);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = told(&mut self.stop) => return Ended::Stopped,
                    }
                }
                Err(EngineError::Refused(_) | EngineError::File(_)) => return Ended::Moved,
            }
        }
        tracing::error!(
            projection = name.as_str(),
            build = number.0,
            version = self.build.projection.version,
            place = %place,
            "{} stopped at the event {place}: {error}. Mend what is wrong and run `pacioli projection retry {name}`, or \
             pass over the event with `pacioli projection skip {name} --reason …`",
            self.title(),
        );
        Ended::Failed
    }

    fn tell_of_failure_together(&self, after: Position, up_to: Position) {
        tracing::warn!(
            projection = self.build.projection.name.as_str(),
            "{} failed on several events together and on none of them alone (around {}:{} to {}): it goes on in small \
             batches, which is slow; let its `-- on batch:` statement give one row a key (GROUP BY)",
            self.title(),
            self.stands.partition,
            after.next(),
            up_to,
        );
    }

    fn title(&self) -> String {
        let projection = &self.build.projection;
        format!("projection `{}` (version {}, build {})", projection.name, projection.version, self.build.number.0)
    }
}

/// A checkpoint that says of one partition where a worker stands in it, and nothing of the others.
fn past_of(partition: Partition, position: Position, partitions: u16, epoch: Epoch) -> Checkpoint {
    let mut past = Checkpoint::start(partitions, epoch);
    past.advance(partition, position);
    past
}

/// Returns when it is told to stop, or when nobody is left who could.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
