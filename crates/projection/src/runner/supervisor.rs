//! Sees to it that every projection has a driver, and watches how they get on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::catalogue::Builds;
use crate::file::Name;

use super::advancing::told;
use super::driver::drive;
use super::observed::Episode;
use super::trouble::Trouble;
use super::{Shared, Track};

/// How often the catalogue is read: commands given to other servers are seen within this time.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the head may stand still until it is asked again, whatever the engine says.
const PATIENCE: Duration = Duration::from_millis(500);
/// The least time from one question for the head to the next.
const HEAD_REST: Duration = Duration::from_millis(2);
/// How long a driver may take to end.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Runs until it is told to stop. Dropping it ends all that it started.
pub(crate) async fn supervise(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut following = JoinSet::new();
    following.spawn(follow_head(Arc::clone(&shared)));
    let mut drivers = Drivers::default();
    let mut catalogue = shared.catalogue.subscribe();
    let mut trouble = Trouble::new("read the catalogue of projections");
    let mut next_look = Instant::now();
    loop {
        let builds = Arc::clone(&catalogue.borrow_and_update());
        drivers.reconcile(&shared, &builds);
        observe(&shared, &builds);
        tokio::select! {
            () = told(&mut stop) => break,
            _ = catalogue.changed() => {}
            () = drivers.ended() => {}
            () = tokio::time::sleep_until(next_look) => {
                let read = tokio::select! {
                    read = shared.catalogue.reload() => read,
                    () = told(&mut stop) => break,
                };
                let wait = match read {
                    Ok(_) => {
                        trouble.over();
                        LOOK_EVERY
                    }
                    Err(error) => {
                        builds.names().iter().for_each(|name| shared.track(name).store_failed());
                        trouble.failed(&error)
                    }
                };
                next_look = Instant::now() + wait;
            }
        }
    }
    drivers.stop().await;
    // So that nothing holds the store any more when this returns.
    following.shutdown().await;
}

/// The drivers by projection.
#[derive(Default)]
struct Drivers {
    tasks: JoinSet<()>,
    running: HashMap<Name, (Id, watch::Sender<bool>)>,
}

impl Drivers {
    fn reconcile(&mut self, shared: &Arc<Shared>, builds: &Builds) {
        let names = builds.names();
        for (name, (_, stop)) in &self.running {
            if names.binary_search(name).is_err() {
                stop.send_replace(true);
            }
        }
        for name in names {
            if !self.running.contains_key(&name) {
                let stop = watch::Sender::new(false);
                let task = self.tasks.spawn(drive(Arc::clone(shared), name.clone(), stop.subscribe()));
                self.running.insert(name, (task.id(), stop));
            }
        }
    }

    /// Returns when a driver has ended.
    async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                tracing::error!("the driver of a projection broke off: {error}; another begins");
                error.id()
            }
        };
        self.running.retain(|_, (running, _)| *running != id);
    }

    async fn stop(&mut self) {
        for (_, stop) in self.running.values() {
            stop.send_replace(true);
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_MAX, all).await.is_err() {
            tracing::warn!("some projections did not stop in time; their leases expire by themselves");
        }
    }
}

/// Keeps the known head at the head: at once where this server advances something, and else just often enough to say who
/// is behind.
async fn follow_head(shared: Arc<Shared>) {
    let mut trouble = Trouble::new("ask for the head of the log");
    loop {
        let seen = shared.head.borrow().clone();
        let asked = Instant::now();
        if shared.advances_any() {
            // An engine keeps its patience; this is for one that does not.
            let _ = tokio::time::timeout(2 * PATIENCE, shared.engine.moved(&seen, PATIENCE)).await;
        } else {
            tokio::time::sleep(PATIENCE).await;
        }
        match shared.engine.head().await {
            Ok(head) => {
                trouble.over();
                shared.see_head(&head);
                tokio::time::sleep_until(asked + HEAD_REST).await;
            }
            Err(error) => tokio::time::sleep(trouble.failed(&error)).await,
        }
    }
}

/// Takes note of where all builds stand, and says which are behind and do not move.
fn observe(shared: &Shared, builds: &Builds) {
    let head = shared.head.borrow().clone();
    let stalled_after = shared.options.stalled_after;
    let mut observed = shared.observed.lock().unwrap_or_else(PoisonError::into_inner);
    for (build, episode) in observed.take(builds, &head, stalled_after) {
        let name = &build.projection.name;
        // The server that runs it says so; where nobody does, all do.
        let track: Arc<Track> = shared.track(name);
        if track.is_run_elsewhere(shared.options.lease_for) {
            continue;
        }
        let title = format!("projection `{name}` (version {}, build {})", build.projection.version, build.number.0);
        match episode {
            Episode::Stalled { for_, behind } => tracing::warn!(
                projection = name.as_str(),
                behind,
                "{title} is {behind} events behind the head and has not moved for {} s; `pacioli projection status \
                 {name}` says how it is",
                for_.as_secs()
            ),
            Episode::Moves { after } => {
                tracing::info!(projection = name.as_str(), "{title} moves again, after {} s", after.as_secs());
            }
        }
    }
}
