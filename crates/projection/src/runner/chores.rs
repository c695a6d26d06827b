//! What the leader of a projection does beside advancing it: lets a build that is at the head serve, saves copies,
//! verifies, refreshes. At most one of a kind at a time, each in a task of its own.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pacioli_core::Timestamp;
use pacioli_core::place::Checkpoint;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::catalogue::Family;
use crate::engine::{Build, BuildNumber, Sample, State, least};
use crate::file::{Makes, Mode, Name};
use crate::service::{Command, last_verified, record, verified_status};

use super::lead::Run;
use super::trouble::Trouble;
use super::{Shared, Track};

/// Events that a build may be behind the head to be swapped: it takes the rest while the one that serves stands still.
const SWAP_DISTANCE: u64 = 1_000;
/// The same where appends stand still meanwhile.
const SWAP_DISTANCE_SYNC: u64 = 250;
/// How long the serving build may stand still for a swap.
const STAND_STILL_MAX: Duration = Duration::from_secs(2);
/// How long a build stays that fills beside another: whoever began it may be about to give it up.
const OUTRUN_FOR: Duration = Duration::from_secs(10);
/// The least time between two attempts of what takes long and failed.
const LONG_REST: Duration = Duration::from_secs(60);
/// The longest time between two looks at the age of materialized views.
const REFRESH_LOOK_MAX: Duration = Duration::from_secs(30);

/// A kind of chore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Chore {
    DropOutrun,
    Swap,
    Copy,
    Verify,
    Refresh,
}

/// What became of a chore.
struct Outcome {
    /// How long until the next one of its kind.
    rest: Duration,
    error: Option<String>,
}

/// The chores of one projection.
pub(super) struct Chores {
    shared: Arc<Shared>,
    name: Name,
    track: Arc<Track>,
    tasks: JoinSet<Outcome>,
    busy: HashMap<Id, Chore>,
    not_before: HashMap<Chore, Instant>,
    troubles: HashMap<Chore, Trouble>,
    outrun_since: Option<Instant>,
    /// Of which build a copy was saved last, and how many times `keep-copies` events it had then.
    copied: Option<(BuildNumber, u64)>,
}

impl Chores {
    pub(super) fn new(shared: Arc<Shared>, name: Name, track: Arc<Track>) -> Chores {
        Chores {
            shared,
            name,
            track,
            tasks: JoinSet::new(),
            busy: HashMap::new(),
            not_before: HashMap::new(),
            troubles: HashMap::new(),
            outrun_since: None,
            copied: None,
        }
    }

    /// Starts what is due.
    pub(super) fn look(&mut self, family: &Family, runs: &BTreeMap<BuildNumber, Run>) {
        self.look_at_outrun(family);
        self.look_at_swap(family, runs);
        if let Some(serving) = &family.serving {
            self.look_at_copies(serving);
            if let Some(every) = serving.projection.verify
                && self.may(Chore::Verify)
            {
                let (shared, track, serving) = (Arc::clone(&self.shared), Arc::clone(&self.track), Arc::clone(serving));
                self.begin(Chore::Verify, async move { verify(&shared, &track, &serving, every).await });
            }
            if has_schedule(serving) && self.may(Chore::Refresh) {
                let (shared, serving) = (Arc::clone(&self.shared), Arc::clone(serving));
                self.begin(Chore::Refresh, async move { refresh(&shared, &serving).await });
            }
        }
    }

    /// Returns once a chore is done.
    pub(super) async fn done(&mut self) {
        let (id, outcome) = match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, outcome))) => (id, outcome),
            Some(Err(error)) => {
                (error.id(), Outcome { rest: LONG_REST, error: Some(format!("the task broke off: {error}")) })
            }
        };
        let Some(chore) = self.busy.remove(&id) else { return };
        let name = &self.name;
        let trouble = self.troubles.entry(chore).or_insert_with(|| Trouble::new(chore.describe(name)));
        let rest = match outcome.error {
            Some(error) => {
                // The mark it was for counts as not reached, so that it is tried again.
                if let Some((_, last)) = self.copied.as_mut().filter(|_| chore == Chore::Copy) {
                    *last = last.saturating_sub(1);
                }
                trouble.failed(&error).max(outcome.rest)
            }
            None => {
                trouble.over();
                outcome.rest
            }
        };
        self.not_before.insert(chore, Instant::now() + rest);
    }

    fn may(&self, chore: Chore) -> bool {
        let is_busy = self.busy.values().any(|busy| *busy == chore);
        !is_busy && self.not_before.get(&chore).is_none_or(|not_before| *not_before <= Instant::now())
    }

    fn begin(&mut self, chore: Chore, work: impl Future<Output = Outcome> + Send + 'static) {
        let task = self.tasks.spawn(work);
        self.busy.insert(task.id(), chore);
    }

    fn look_at_outrun(&mut self, family: &Family) {
        let Some(outrun) = family.outrun.first() else {
            self.outrun_since = None;
            return;
        };
        let since = *self.outrun_since.get_or_insert_with(Instant::now);
        if since.elapsed() > OUTRUN_FOR && self.may(Chore::DropOutrun) {
            let (shared, outrun) = (Arc::clone(&self.shared), Arc::clone(outrun));
            self.begin(Chore::DropOutrun, async move {
                let dropped = shared.engine.drop_build(&outrun.projection.name, outrun.number).await;
                let _ = shared.catalogue.reload().await;
                Outcome::of(dropped, Duration::ZERO)
            });
        }
    }

    fn look_at_swap(&mut self, family: &Family, runs: &BTreeMap<BuildNumber, Run>) {
        let Some(filling) = &family.filling else { return };
        let Some(run) = runs.get(&filling.number) else { return };
        if filling.state != State::Running || !self.may(Chore::Swap) {
            return;
        }
        let head = self.shared.head.borrow().clone();
        let Some((checkpoint, _)) = self.track.stands(filling.number, head.partitions(), head.epoch()) else { return };
        let is_sync = filling.projection.mode == Mode::Sync;
        let near = if is_sync { SWAP_DISTANCE_SYNC } else { SWAP_DISTANCE };
        if checkpoint.distance_to(&head) > near {
            return;
        }
        let swap = Swap {
            shared: Arc::clone(&self.shared),
            track: Arc::clone(&self.track),
            filling: Arc::clone(filling),
            filling_permits: (Arc::clone(&run.permits), run.permits_all),
            serving: family.serving.clone(),
            serving_permits: family
                .serving
                .as_ref()
                .and_then(|serving| runs.get(&serving.number))
                .map(|run| (Arc::clone(&run.permits), run.permits_all)),
        };
        self.begin(Chore::Swap, swap.run());
    }

    fn look_at_copies(&mut self, serving: &Arc<Build>) {
        let Some(every) = serving.projection.keep_copies.filter(|every| *every > 0) else { return };
        let head = self.shared.head.borrow().clone();
        let events = match self.track.stands(serving.number, head.partitions(), head.epoch()) {
            Some((_, events)) => events,
            None => serving.progress.iter().map(|stands| stands.events).sum(),
        };
        let times = events / every;
        let last = match self.copied {
            Some((number, last)) if number == serving.number => last,
            // A new build came to serve under this leader: nothing of it was saved.
            Some(_) => 0,
            // Another leader may have saved one at this mark.
            None => times,
        };
        self.copied = Some((serving.number, last));
        if times > last && self.may(Chore::Copy) {
            self.copied = Some((serving.number, times));
            let (shared, serving) = (Arc::clone(&self.shared), Arc::clone(serving));
            self.begin(Chore::Copy, async move {
                let copied = shared.engine.keep_copy(&serving.projection.name, serving.number).await;
                let rest = if copied.is_ok() { Duration::ZERO } else { LONG_REST };
                Outcome::of(copied, rest)
            });
        }
    }
}

impl Chore {
    /// Completes "cannot …".
    fn describe(self, name: &Name) -> String {
        match self {
            Chore::DropOutrun => format!("drop a build of projection `{name}` that a newer one outran"),
            Chore::Swap => format!("let the build of projection `{name}` serve that is at the head"),
            Chore::Copy => format!("save a copy of projection `{name}`"),
            Chore::Verify => format!("verify projection `{name}`"),
            Chore::Refresh => format!("refresh the materialized views of projection `{name}`"),
        }
    }
}

impl Outcome {
    fn of<T, E: ToString>(result: Result<T, E>, rest: Duration) -> Outcome {
        Outcome { rest, error: result.err().map(|error| error.to_string()) }
    }
}

type Permits = (Arc<Semaphore>, u32);

/// Lets a build serve that is nearly at the head.
struct Swap {
    shared: Arc<Shared>,
    track: Arc<Track>,
    filling: Arc<Build>,
    filling_permits: Permits,
    serving: Option<Arc<Build>>,
    serving_permits: Option<Permits>,
}

impl Swap {
    async fn run(self) -> Outcome {
        // The serving build stands still until the other has come as far, so that no reader sees time go back.
        let serving_stands_still = match &self.serving_permits {
            Some(permits) => hold(permits).await,
            None => None,
        };
        let is_sync = self.filling.projection.mode == Mode::Sync;
        if !is_sync && !self.wait_until_level().await {
            return Outcome { rest: Duration::from_millis(250), error: None };
        }
        // The engine itself takes a `sync` build to the head, while nobody appends.
        let filling_stands_still = if is_sync { hold(&self.filling_permits).await } else { None };
        // In a task of its own: a swap that is done is also written down, even if this server stops leading meanwhile.
        let swapped = tokio::spawn(async move {
            let outcome = self.swap(is_sync).await;
            drop((serving_stands_still, filling_stands_still));
            outcome
        });
        swapped.await.unwrap_or_else(|error| Outcome { rest: LONG_REST, error: Some(error.to_string()) })
    }

    async fn swap(&self, is_sync: bool) -> Outcome {
        let shared = &self.shared;
        let (name, version, number) =
            (&self.filling.projection.name, self.filling.projection.version, self.filling.number);
        if let Err(error) = shared.engine.swap(name, number).await {
            // Somebody may have cancelled it, or another server, which took over, let it serve.
            let family = shared.catalogue.reload().await.ok().and_then(|builds| builds.family(name));
            let fills = family.is_some_and(|family| family.filling().any(|filling| filling.number == number));
            return Outcome { rest: Duration::ZERO, error: fills.then(|| error.to_string()) };
        }
        if is_sync {
            self.filling_permits.0.close();
        }
        let head = shared.head.borrow().clone();
        let checkpoint = self.track.stands(number, head.partitions(), head.epoch()).map(|(checkpoint, _)| checkpoint);
        tracing::info!(
            projection = name.as_str(),
            version,
            "projection `{name}` is served by build {} now (version {version})",
            number.0
        );
        let before = self.serving.as_ref().map(|serving| (serving.projection.version, serving.number));
        let reloaded = shared.catalogue.reload().await;
        record(shared, name, Command::Swapped { version, build: number, checkpoint, before }, None).await;
        Outcome::of(reloaded.map(|_| ()), Duration::ZERO)
    }

    /// Whether the filling build came as far as the serving one in time.
    async fn wait_until_level(&self) -> bool {
        let Some(serving) = &self.serving else { return true };
        let head = self.shared.head.borrow().clone();
        let stands =
            |number| self.track.stands(number, head.partitions(), head.epoch()).map(|(checkpoint, _)| checkpoint);
        let goal = if serving.projection.mode == Mode::Sync {
            match self.shared.engine.head().await {
                Ok(head) => head,
                Err(_) => return false,
            }
        } else {
            match self.shared.engine.serving(&serving.projection.name).await {
                Ok(Some((_, progress))) => least(&progress, head.partitions(), head.epoch()),
                Ok(None) => return true,
                Err(_) => return false,
            }
        };
        self.shared.see_head(&goal);
        let mut standing = self.track.subscribe();
        let level = async {
            loop {
                standing.borrow_and_update();
                match stands(self.filling.number) {
                    Some(checkpoint) if checkpoint.covers(&goal) => return true,
                    Some(_) => {}
                    None => return false,
                }
                if standing.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(STAND_STILL_MAX, level).await.unwrap_or(false)
    }
}

/// Makes a build stand still until the permits are dropped; `None` where its workers ended anyway.
async fn hold((permits, all): &Permits) -> Option<OwnedSemaphorePermit> {
    Arc::clone(permits).acquire_many_owned(*all).await.ok()
}

/// Verifies all of the serving build, if that is due.
async fn verify(shared: &Arc<Shared>, track: &Track, serving: &Build, every: Duration) -> Outcome {
    let name = &serving.projection.name;
    let last = match last_verified(&*shared.store, name).await {
        Ok(last) => last,
        Err(error) => return Outcome { rest: Duration::ZERO, error: Some(error.to_string()) },
    };
    let since = last.as_ref().map(|(at, _)| *at).max(serving.served_at).unwrap_or(serving.began_at);
    track.keep_verified(last.map(|(_, status)| status));
    let wait = until(since, every, shared.now());
    if wait > Duration::ZERO {
        return Outcome { rest: wait, error: None };
    }
    match shared.engine.verify(name, serving.number, Sample::All, &|_| {}).await {
        Ok(verified) => {
            let status = verified_status(&verified, shared.now());
            tell_of_drift(name, &verified.checkpoint, verified.different, &verified.differences);
            record(shared, name, Command::Verified(status.clone()), None).await;
            track.keep_verified(Some(status));
            Outcome { rest: every, error: None }
        }
        Err(error) => Outcome { rest: LONG_REST, error: Some(error.to_string()) },
    }
}

/// Says that a read model is not what the log makes of it, if so.
pub(crate) fn tell_of_drift(name: &Name, checkpoint: &Checkpoint, different: u64, differences: &[String]) {
    if different > 0 {
        tracing::error!(
            projection = name.as_str(),
            different,
            "projection `{name}` drifted: at {checkpoint} {different} rows are not what a fresh fold of the log gives \
             (the first: {}). Somebody wrote into its tables, or its statements depend on more than the events; \
             `pacioli projection rebuild {name}` fills it anew",
            differences.first().map_or("not told", String::as_str)
        );
    }
}

fn has_schedule(build: &Build) -> bool {
    build
        .projection
        .definitions
        .iter()
        .any(|definition| matches!(definition.makes, Makes::MaterializedView { every: Some(_), .. }))
}

/// Refreshes the materialized views whose time has come, one after the other.
async fn refresh(shared: &Arc<Shared>, serving: &Build) -> Outcome {
    let name = &serving.projection.name;
    let views = match shared.engine.materialized(name, serving.number).await {
        Ok(views) => views,
        Err(error) => return Outcome { rest: Duration::ZERO, error: Some(error.to_string()) },
    };
    let mut next = REFRESH_LOOK_MAX;
    for view in views {
        let Some(every) = view.every else { continue };
        let wait = view.refreshed_at.map_or(Duration::ZERO, |at| until(at, every, shared.now()));
        if wait > Duration::ZERO {
            next = next.min(wait);
            continue;
        }
        if let Err(error) = shared.engine.refresh(name, serving.number, &view.view).await {
            return Outcome { rest: every.min(LONG_REST), error: Some(error.to_string()) };
        }
        next = next.min(every);
    }
    Outcome { rest: next, error: None }
}

/// How long it is from `now` until `every` has passed since `since`.
fn until(since: Timestamp, every: Duration, now: Timestamp) -> Duration {
    let passed = now.as_micros().saturating_sub(since.as_micros());
    every.saturating_sub(Duration::from_micros(u64::try_from(passed).unwrap_or(0)))
}
