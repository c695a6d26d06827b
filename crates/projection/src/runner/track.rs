//! What this process knows of one projection: who runs it, and, while that is this process, where each build stands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pacioli_core::Timestamp;
use pacioli_core::place::{Checkpoint, Epoch};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::engine::{Build, BuildNumber, Engine, EngineError, Progress, least};
use crate::file::Name;
use crate::service::VerifiedStatus;

/// What this process knows of one projection.
#[derive(Default)]
pub(crate) struct Track {
    standing: watch::Sender<Standing>,
    runner: Mutex<Runner>,
    waiting: AtomicUsize,
    hurry: Notify,
    store_errors: AtomicU64,
    verified: Mutex<Option<(Instant, Option<VerifiedStatus>)>>,
    oldest_untaken: Mutex<Option<(Instant, Checkpoint, Option<Timestamp>)>>,
    read: tokio::sync::Mutex<Option<(Instant, Vec<Progress>)>>,
}

/// Who runs a projection, as far as this process knows.
#[derive(Clone, Default)]
enum Runner {
    #[default]
    Unknown,
    /// This process, until then at least, whoever else wants to.
    Us { owner: String, until: Instant },
    /// Another, when it was last asked.
    Other { owner: String, seen: Instant },
}

/// Where the builds stand that this process advances.
#[derive(Default)]
pub(crate) struct Standing {
    serving: Option<BuildNumber>,
    builds: BTreeMap<BuildNumber, Stand>,
}

/// Where one build stands.
struct Stand {
    /// Another number whenever rows may have changed.
    generation: u64,
    progress: Vec<Progress>,
}

/// Rows as they are between two commits that changed any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    build: BuildNumber,
    number: u64,
}

/// Numbers generations over all builds and all times that a lease was held, so that none comes again.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

impl Track {
    fn runner_now(&self) -> MutexGuard<'_, Runner> {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease is ours until then.
    pub(super) fn leads(&self, owner: &str, until: Instant) {
        *self.runner_now() = Runner::Us { owner: owner.to_owned(), until };
    }

    /// The lease is another's.
    pub(super) fn follows(&self, owner: &str) {
        *self.runner_now() = Runner::Other { owner: owner.to_owned(), seen: Instant::now() };
    }

    /// The lease is not ours any more: what is known of the builds may be old from now on.
    pub(super) fn lost(&self) {
        *self.runner_now() = Runner::Unknown;
        self.standing.send_replace(Standing::default());
    }

    /// The server that runs it; `None` where nobody is known to, `seen_within` a time.
    pub(crate) fn runner(&self, seen_within: Duration) -> Option<String> {
        let now = Instant::now();
        match &*self.runner_now() {
            Runner::Us { owner, until } if *until > now => Some(owner.clone()),
            Runner::Other { owner, seen } if *seen + seen_within > now => Some(owner.clone()),
            _ => None,
        }
    }

    /// Whether another server was seen to run it lately.
    pub(super) fn is_run_elsewhere(&self, seen_within: Duration) -> bool {
        matches!(&*self.runner_now(), Runner::Other { seen, .. } if *seen + seen_within > Instant::now())
    }

    /// Whether nobody else can have taken the lease over.
    fn is_ours(&self) -> bool {
        matches!(&*self.runner_now(), Runner::Us { until, .. } if *until > Instant::now())
    }

    /// This process begins to advance a build from where the catalogue has it.
    pub(super) fn enter(&self, build: &Build) {
        let stand = Stand { generation: next_generation(), progress: build.progress.clone() };
        self.standing.send_modify(|standing| {
            standing.builds.insert(build.number, stand);
        });
    }

    /// This process does not advance a build any more.
    pub(super) fn leave(&self, build: BuildNumber) {
        self.standing.send_modify(|standing| {
            standing.builds.remove(&build);
        });
    }

    /// Whether this process advances any build of it.
    pub(super) fn advances_any(&self) -> bool {
        !self.standing.borrow().builds.is_empty()
    }

    /// Which build serves.
    pub(super) fn serves(&self, build: Option<BuildNumber>) {
        self.standing.send_if_modified(|standing| std::mem::replace(&mut standing.serving, build) != build);
    }

    /// One worker of a build moved; `events` were applied.
    pub(super) fn moved(&self, build: BuildNumber, to: Progress, events: u64) {
        self.standing.send_modify(|standing| {
            let Some(stand) = standing.builds.get_mut(&build) else { return };
            let mine = |stands: &&mut Progress| stands.worker == to.worker && stands.partition == to.partition;
            if let Some(stands) = stand.progress.iter_mut().find(mine) {
                *stands = Progress { events: stands.events + events, ..to };
            }
            if events > 0 {
                stand.generation = next_generation();
            }
        });
    }

    /// Where a build stands that this process advances, and how many events it applied.
    pub(super) fn stands(&self, build: BuildNumber, partitions: u16, epoch: Epoch) -> Option<(Checkpoint, u64)> {
        let standing = self.standing.borrow();
        let stand = standing.builds.get(&build)?;
        let events = stand.progress.iter().map(|stands| stands.events).sum();
        Some((least(&stand.progress, partitions, epoch), events))
    }

    /// Tells of every change of where builds stand.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The rows that the serving build has, and up to where they are complete. `None` where this process does not know at
    /// once: it does not advance that build, or another server may have taken over.
    pub(crate) fn rows(&self, partitions: u16, epoch: Epoch) -> Option<(Generation, Checkpoint)> {
        if !self.is_ours() {
            return None;
        }
        let standing = self.standing.borrow();
        let build = standing.serving?;
        let stand = standing.builds.get(&build)?;
        // Of an earlier epoch: whether the log still has all of it is not known here.
        if stand.progress.iter().any(|stands| stands.epoch != epoch) {
            return None;
        }
        let generation = Generation { build, number: stand.generation };
        Some((generation, least(&stand.progress, partitions, epoch)))
    }

    /// Somebody waits for it until the guard is dropped: it goes on without rests.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.hurry.notify_waiters();
        Waiting { track: self }
    }

    /// Returns after `rest`, or as soon as somebody waits.
    pub(super) async fn rest(&self, until: Instant) {
        let hurry = self.hurry.notified();
        if self.waiting.load(Ordering::Relaxed) == 0 {
            tokio::select! {
                () = hurry => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Where the serving build stands by the storage, asked less than `max_age` ago by whoever: many who wait ask once.
    /// Empty where none serves.
    pub(crate) async fn read(
        &self,
        engine: &dyn Engine,
        name: &Name,
        max_age: Duration,
    ) -> Result<Vec<Progress>, EngineError> {
        let mut read = self.read.lock().await;
        let now = Instant::now();
        if let Some((_, progress)) = read.as_ref().filter(|(at, _)| *at + max_age > now) {
            return Ok(progress.clone());
        }
        let progress = engine.serving(name).await?.map(|(_, progress)| progress).unwrap_or_default();
        *read = Some((now, progress.clone()));
        Ok(progress)
    }

    /// Counts a failure of the storage.
    pub(super) fn store_failed(&self) {
        self.store_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the storage failed while it was to advance, since this process began.
    pub(crate) fn store_errors(&self) -> u64 {
        self.store_errors.load(Ordering::Relaxed)
    }

    /// What the last verification found, where that was asked of the log less than `max_age` ago.
    pub(crate) fn verified(&self, max_age: Duration) -> Option<Option<VerifiedStatus>> {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, status) = verified.as_ref()?;
        (*at + max_age > Instant::now()).then(|| status.clone())
    }

    /// Keeps what the last verification found.
    pub(crate) fn keep_verified(&self, status: Option<VerifiedStatus>) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), status));
    }
}

impl Track {
    /// When the first event behind a checkpoint was recorded, where that was asked for the same checkpoint or less than
    /// `max_age` ago.
    pub(crate) fn oldest_untaken(&self, checkpoint: &Checkpoint, max_age: Duration) -> Option<Option<Timestamp>> {
        let oldest = self.oldest_untaken.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, of, recorded_at) = oldest.as_ref()?;
        (of == checkpoint || *at + max_age > Instant::now()).then_some(*recorded_at)
    }

    /// Keeps when the first event behind a checkpoint was recorded.
    pub(crate) fn keep_oldest_untaken(&self, checkpoint: Checkpoint, recorded_at: Option<Timestamp>) {
        let kept = Some((Instant::now(), checkpoint, recorded_at));
        *self.oldest_untaken.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

/// Somebody waits for a projection.
pub(crate) struct Waiting<'a> {
    track: &'a Track,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.track.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn next_generation() -> u64 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_known_counts_only_while_nobody_else_can_have_the_lease() {
        let track = Track::default();
        let number = BuildNumber(1);
        track.standing.send_modify(|standing| {
            standing.serving = Some(number);
            standing.builds.insert(number, Stand { generation: 7, progress: Vec::new() });
        });
        assert!(track.rows(1, Epoch::FIRST).is_none(), "nobody said that it is ours");
        track.leads("one", Instant::now() + Duration::from_secs(3));
        assert!(track.rows(1, Epoch::FIRST).is_some());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(track.rows(1, Epoch::FIRST).is_none(), "the process was asleep, and somebody may have taken over");
        track.leads("one", Instant::now() + Duration::from_secs(3));
        track.lost();
        track.leads("one", Instant::now() + Duration::from_secs(3));
        assert!(track.rows(1, Epoch::FIRST).is_none(), "what was known under another lease is old");
    }
}
