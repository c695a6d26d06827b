//! What the server does that holds a projection's lease: keeps workers on the builds that are to advance, and sees to
//! the chores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use crate::catalogue::Family;
use crate::engine::{Build, BuildNumber, Role, State};
use crate::file::{Mode, Name};
use crate::moment::time_text;

use super::advancing::{Ended, Worker};
use super::chores::Chores;
use super::trouble::Trouble;
use super::{Shared, Track};

/// How often chores are looked after.
const TICK: Duration = Duration::from_millis(250);
/// How long workers may take to finish what is under way when they are told to stop.
const FINISH_MAX: Duration = Duration::from_secs(1);
/// The least time from a worker that found its build elsewhere to the next attempt.
const MOVED_REST: Duration = Duration::from_millis(20);

/// One projection while this server leads it.
pub(super) struct Lead {
    shared: Arc<Shared>,
    name: Name,
    track: Arc<Track>,
    runs: BTreeMap<BuildNumber, Run>,
    workers: JoinSet<(BuildNumber, Ended)>,
    chores: Chores,
}

/// The workers of one build.
pub(super) struct Run {
    pub(super) permits: Arc<Semaphore>,
    /// How many permits there are.
    pub(super) permits_all: u32,
    stop: watch::Sender<bool>,
    workers: usize,
}

impl Lead {
    pub(super) fn new(shared: Arc<Shared>, name: Name, track: Arc<Track>) -> Lead {
        let chores = Chores::new(Arc::clone(&shared), name.clone(), Arc::clone(&track));
        Lead { shared, name, track, runs: BTreeMap::new(), workers: JoinSet::new(), chores }
    }

    /// Leads until the future is dropped.
    pub(super) async fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut catalogue = shared.catalogue.subscribe();
        let mut standing = self.track.subscribe();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What was read before the lease was held is no ground to start on: another server may have moved it since.
        self.reload().await;
        self.tell_of_failures();
        loop {
            // Always the newest there is: a chore that is done has read it again.
            let builds = Arc::clone(&catalogue.borrow_and_update());
            let family = builds.family(&self.name).unwrap_or_default();
            self.reconcile(&family);
            self.chores.look(&family, &self.runs);
            let is_filling = family.filling.is_some();
            tokio::select! {
                _ = catalogue.changed() => {}
                Some(ended) = self.workers.join_next() => {
                    if self.ended(ended).await {
                        self.reload().await;
                    }
                }
                () = self.chores.done() => {}
                _ = standing.changed(), if is_filling => {
                    standing.borrow_and_update();
                }
                _ = tick.tick() => {}
            }
        }
    }

    /// Ends all workers, those that are in the middle of something after a moment.
    pub(super) async fn finish(mut self) {
        for run in self.runs.values() {
            run.stop.send_replace(true);
        }
        let all = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH_MAX, all).await.is_err() {
            tracing::info!(
                "projection `{}` is stopped in the middle of a batch, which then counts as not done",
                self.name
            );
        }
    }

    /// Says which builds stopped before this server led: it was said then, perhaps in the log of a server that is gone.
    fn tell_of_failures(&self) {
        let family = self.shared.catalogue.latest().family(&self.name).unwrap_or_default();
        for build in family.live() {
            if let State::Failed(failed) = &build.state {
                let (name, version) = (&self.name, build.projection.version);
                tracing::warn!(
                    projection = name.as_str(),
                    version,
                    place = %failed.place,
                    "projection `{name}` (version {version}) stands still since {} at the event {}: {}; `pacioli projection \
                     retry {name}` or `pacioli projection skip {name} --reason …` lets it go on",
                    time_text(failed.at),
                    failed.place,
                    failed.error
                );
            }
        }
    }

    /// Reads the catalogue until that works.
    async fn reload(&self) {
        let mut trouble = Trouble::new("read the catalogue of projections");
        loop {
            match self.shared.catalogue.reload().await {
                Ok(_) => {
                    trouble.over();
                    return;
                }
                Err(error) => {
                    self.track.store_failed();
                    tokio::time::sleep(trouble.failed(&error)).await;
                }
            }
        }
    }

    /// Starts workers for builds that are to advance and have none, and stops those of the others.
    fn reconcile(&mut self, family: &Family) {
        self.track.serves(family.serving.as_ref().map(|build| build.number));
        let to_advance: Vec<&Arc<Build>> = family.live().filter(|build| is_to_advance(build)).collect();
        for (number, run) in &self.runs {
            if !to_advance.iter().any(|build| build.number == *number) {
                run.stop.send_replace(true);
            }
        }
        for build in to_advance {
            if !self.runs.contains_key(&build.number) {
                self.start(build);
            }
        }
    }

    fn start(&mut self, build: &Arc<Build>) {
        let permits_all = u32::from(self.shared.engine.abilities().workers_max.max(1));
        let permits = Arc::new(Semaphore::new(permits_all as usize));
        let stop = watch::Sender::new(false);
        self.track.enter(build);
        for stands in &build.progress {
            let worker = Worker {
                shared: Arc::clone(&self.shared),
                track: Arc::clone(&self.track),
                build: Arc::clone(build),
                stands: *stands,
                permits: Arc::clone(&permits),
                stop: stop.subscribe(),
            };
            let number = build.number;
            self.workers.spawn(async move { (number, worker.run().await) });
        }
        self.runs.insert(build.number, Run { permits, permits_all, stop, workers: build.progress.len() });
    }

    /// A worker ended, and with it all of its build do. True once the last of them did: then the catalogue has to be
    /// read again before they begin anew.
    async fn ended(&mut self, ended: Result<(BuildNumber, Ended), JoinError>) -> bool {
        let number = match ended {
            Ok((number, ended)) => {
                if ended == Ended::Moved {
                    tokio::time::sleep(MOVED_REST).await;
                }
                number
            }
            Err(error) => {
                // A panic in a worker is a bug of an engine; the others must not stand still for it.
                tracing::error!(
                    "a worker of projection `{}` broke off: {error}; all its workers begin anew",
                    self.name
                );
                tokio::time::sleep(FINISH_MAX).await;
                self.workers.abort_all();
                while self.workers.join_next().await.is_some() {}
                for number in std::mem::take(&mut self.runs).into_keys() {
                    self.track.leave(number);
                }
                return true;
            }
        };
        let Some(run) = self.runs.get_mut(&number) else { return false };
        run.stop.send_replace(true);
        run.workers -= 1;
        let is_last = run.workers == 0;
        if is_last {
            self.runs.remove(&number);
            self.track.leave(number);
        }
        is_last
    }
}

/// Whether the runner moves this build: `sync` builds that serve move in the appends themselves.
fn is_to_advance(build: &Build) -> bool {
    let by_appends = build.role == Role::Serving && build.projection.mode == Mode::Sync;
    build.state == State::Running && build.role != Role::Kept && !by_appends
}
