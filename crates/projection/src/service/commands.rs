//! Commands on a projection that exists. Each works on every server, whoever runs the projection: it changes the
//! catalogue, and the leader reads that twice a second.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pacioli_core::lease::LeaseOutcome;
use tokio::time::Instant;

use crate::catalogue::Family;
use crate::engine::{Build, BuildNumber, EngineError, Failed, Materialized, Role, Sample, State, Verified};
use crate::file::{Mode, Name, Projection};
use crate::runner::tell_of_drift;

use super::record::{Command, record};
use super::{CommandError, ReadModels, Status, no_such_projection, store_error, verified_status};

/// The lease that commands hold, so that those of two servers come one after the other.
const COMMAND_LEASE: &str = "projections";
/// How long a command's lease lasts where its server dies.
const COMMAND_LEASE_FOR: Duration = Duration::from_secs(5);
/// How long a command waits for those before it.
const COMMAND_PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks whether they are done.
const COMMAND_LOOK_EVERY: Duration = Duration::from_millis(25);
/// Workers of a build whose streams may be shared, where nobody says how many.
const WORKERS_BY_STREAM: u16 = 4;

impl ReadModels {
    /// Fills a new build of the version that serves, or of the newest where none does. Written down before it returns.
    ///
    /// # Errors
    /// Another build fills already; more workers are asked for than the file or the engine allows.
    pub async fn rebuild(&self, name: &Name, workers: Option<u16>, by: Option<&str>) -> Result<Status, CommandError> {
        let (name, by) = (name.clone(), by.map(str::to_owned));
        self.command(name.clone(), by, move |this, family| async move {
            if let Some(filling) = &family.filling {
                return Err(CommandError::State(format!(
                    "{} is being filled already; wait for it, or give it up with `pacioli projection cancel {name}`",
                    title(filling)
                )));
            }
            let source = family.serving.as_ref().or(family.newest()).ok_or_else(|| no_such_projection(&name))?;
            let workers = this.workers(&source.projection, workers)?;
            let build = this.shared().engine.begin(&source.projection, workers).await?;
            Ok(Command::RebuildStarted { version: build.projection.version, build: build.number, workers })
        })
        .await
    }

    /// Gives up the build that fills, and drops its tables.
    ///
    /// # Errors
    /// None fills.
    pub async fn cancel(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let by = by.map(str::to_owned);
        let before = self.command_on(name.clone(), by, move |this, family| async move {
            let Some(filling) = &family.filling else {
                return Err(CommandError::State(format!(
                    "no build is being filled, so there is nothing to cancel: {}",
                    how_it_is(&family)
                )));
            };
            for build in family.filling().cloned().collect::<Vec<_>>() {
                this.shared().engine.drop_build(&build.projection.name, build.number).await?;
            }
            Ok(Command::Cancelled { version: filling.projection.version, build: filling.number })
        });
        let before = before.await?;
        if before.serving.is_none() && before.kept.is_none() {
            // It was all there was of a `sync` projection: how it was is all that can be told.
            return self.status_when_cancelled(name, &before).await;
        }
        self.status(name).await
    }

    /// Stops it where it is.
    ///
    /// # Errors
    /// Nothing of it runs, or it runs in the appends.
    pub async fn pause(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let (name, by) = (name.clone(), by.map(str::to_owned));
        self.command(name.clone(), by, move |this, family| async move {
            let running: Vec<_> = family
                .live()
                .filter(|build| build.state == State::Running && !build.runs_in_appends())
                .map(Arc::clone)
                .collect();
            if running.is_empty() {
                let how = match family.serving.as_ref().filter(|build| build.runs_in_appends()) {
                    Some(_) => {
                        "it is `sync`, so each append runs it, and one that did not would be missing in it. Drop \
                                it, or give it a version that is `async`"
                            .to_owned()
                    }
                    None => how_it_is(&family),
                };
                return Err(CommandError::State(format!("`{name}` cannot be paused: {how}")));
            }
            for build in &running {
                this.shared().engine.set_state(&name, build.number, State::Paused).await?;
            }
            Ok(Command::Paused { builds: numbered(&running) })
        })
        .await
    }

    /// Lets it go on after a pause.
    ///
    /// # Errors
    /// It is not paused.
    pub async fn resume(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let (name, by) = (name.clone(), by.map(str::to_owned));
        self.command(name.clone(), by, move |this, family| async move {
            let paused: Vec<_> = family.live().filter(|build| build.state == State::Paused).map(Arc::clone).collect();
            if paused.is_empty() {
                return Err(CommandError::State(format!("`{name}` is not paused: {}", how_it_is(&family))));
            }
            for build in &paused {
                this.shared().engine.set_state(&name, build.number, State::Running).await?;
            }
            Ok(Command::Resumed { builds: numbered(&paused) })
        })
        .await
    }

    /// Tries the event again that it failed on. Where the build that serves and the one that fills both failed, both do.
    ///
    /// # Errors
    /// It did not fail.
    pub async fn retry(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let (name, by) = (name.clone(), by.map(str::to_owned));
        self.command(name.clone(), by, move |this, family| async move {
            let failed = failed(&name, &family)?;
            for (build, _) in &failed {
                this.shared().engine.set_state(&name, build.number, State::Running).await?;
            }
            let (build, failed) = &failed[0];
            Ok(Command::Retried {
                version: build.projection.version,
                build: build.number,
                place: failed.place,
                error: failed.error.clone(),
            })
        })
        .await
    }

    /// Passes over the event that it failed on: the one that [`Status::error`] names, in each build that failed there.
    ///
    /// # Errors
    /// It did not fail, or no reason is given.
    pub async fn skip(&self, name: &Name, reason: &str, by: Option<&str>) -> Result<Status, CommandError> {
        let (name, by, reason) = (name.clone(), by.map(str::to_owned), reason.trim().to_owned());
        if reason.is_empty() {
            return Err(CommandError::State(
                "say why the event is skipped: whoever audits the numbers later will ask".to_owned(),
            ));
        }
        self.command(name.clone(), by, move |this, family| async move {
            let failed = failed(&name, &family)?;
            let place = failed[0].1.place;
            for (build, _) in failed.iter().filter(|(_, failed)| failed.place == place) {
                this.shared().engine.skip(&name, build.number, place).await?;
            }
            let (build, failed) = &failed[0];
            Ok(Command::Skipped {
                version: build.projection.version,
                build: build.number,
                place,
                error: failed.error.clone(),
                reason,
            })
        })
        .await
    }

    /// Lets the version before serve again: it is brought to the head and then takes over.
    ///
    /// # Errors
    /// None is kept, or another build fills.
    pub async fn rollback(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let (name, by) = (name.clone(), by.map(str::to_owned));
        self.command(name.clone(), by, move |this, family| async move {
            let Some(kept) = &family.kept else {
                return Err(CommandError::State(format!("no version of `{name}` is kept to roll back to")));
            };
            if let Some(filling) = &family.filling {
                return Err(CommandError::State(format!(
                    "{} is being filled; give it up first, with `pacioli projection cancel {name}`",
                    title(filling)
                )));
            }
            let engine = &this.shared().engine;
            engine.take_back(&name, kept.number).await?;
            if kept.state != State::Running {
                engine.set_state(&name, kept.number, State::Running).await?;
            }
            Ok(Command::RolledBack { version: kept.projection.version, build: kept.number })
        })
        .await
    }

    /// Drops the version that is kept for a rollback; with `all`, the projection with all its builds. A file in the
    /// directory that is read at start is filled anew at the next start.
    ///
    /// # Errors
    /// There is nothing to drop.
    pub async fn drop_builds(&self, name: &Name, all: bool, by: Option<&str>) -> Result<(), CommandError> {
        let (name, by) = (name.clone(), by.map(str::to_owned));
        let dropped = self.command_on(name.clone(), by, move |this, family| async move {
            let (kept, others): (Vec<_>, Vec<_>) = family.iter().cloned().partition(|build| build.role == Role::Kept);
            if !all && kept.is_empty() {
                return Err(CommandError::State(format!(
                    "no version of `{name}` is kept, so there is nothing to drop; `--all` drops the projection"
                )));
            }
            let mut builds = kept;
            if all {
                // What serves goes last: if something fails in between, the projection is still there.
                builds.extend(others.into_iter().rev());
            }
            for build in &builds {
                this.shared().engine.drop_build(&name, build.number).await?;
            }
            Ok(Command::Dropped { builds: numbered(&builds), all })
        });
        dropped.await.map(|_| ())
    }

    /// Folds again and compares with what serves. The runner of that build waits meanwhile only as long as it must. What
    /// a verification of all found is written down, and part of the status from then on.
    ///
    /// # Errors
    /// Nothing serves; a sample is asked for of a projection whose streams meet.
    pub async fn verify(
        &self,
        name: &Name,
        sample: Sample,
        progress: &(dyn Fn(f64) + Send + Sync),
    ) -> Result<Verified, CommandError> {
        let family = self.family(name).await?;
        let serving = family.serving.as_ref().ok_or_else(|| nothing_serves(name))?;
        if let Sample::Streams { of, part } = sample
            && part >= of
        {
            return Err(CommandError::State(format!("there is no part {part} of {of}: parts are numbered from 0")));
        }
        if matches!(sample, Sample::Streams { .. }) && !serving.projection.parallel_by_stream {
            return Err(CommandError::State(format!(
                "a sample of `{name}` cannot be verified, because its file does not say `-- parallel-by: stream`: rows \
                 of different streams may meet. Verify all of it"
            )));
        }
        let shared = self.shared();
        let verified = shared.engine.verify(name, serving.number, sample, progress).await?;
        tell_of_drift(name, &verified.checkpoint, verified.different, &verified.differences);
        if sample == Sample::All {
            let status = verified_status(&verified, shared.now());
            record(shared, name, Command::Verified(status.clone()), None).await;
            shared.track(name).keep_verified(Some(status));
        }
        Ok(verified)
    }

    /// Refreshes a materialized view now.
    ///
    /// # Errors
    /// There is no such view.
    pub async fn refresh(&self, name: &Name, view: &str) -> Result<Vec<Materialized>, CommandError> {
        let (name, view) = (name.clone(), view.to_owned());
        self.detached(move |this| async move {
            let family = this.family(&name).await?;
            let serving = family.serving.as_ref().ok_or_else(|| nothing_serves(&name))?;
            let engine = &this.shared().engine;
            let views = engine.materialized(&name, serving.number).await?;
            if !views.iter().any(|known| known.view == view) {
                let known = views.iter().map(|known| format!("`{}`", known.view)).collect::<Vec<_>>().join(", ");
                return Err(CommandError::NotFound(format!(
                    "`{name}` has no materialized view `{view}`; it has {}",
                    if known.is_empty() { "none".to_owned() } else { known }
                )));
            }
            engine.refresh(&name, serving.number, &view).await?;
            Ok(engine.materialized(&name, serving.number).await?)
        })
        .await
    }

    /// The builds of a projection, asked of the storage.
    pub(super) async fn family(&self, name: &Name) -> Result<Family, CommandError> {
        let builds = self.shared().catalogue.reload().await?;
        builds.family(name).ok_or_else(|| no_such_projection(name))
    }

    /// How many workers a build of it gets.
    pub(super) fn workers(&self, projection: &Projection, wish: Option<u16>) -> Result<u16, CommandError> {
        let workers_max = self.shared().engine.abilities().workers_max.max(1);
        match wish {
            Some(wish) if wish > 1 && projection.mode == Mode::Sync => Err(CommandError::State(format!(
                "{wish} workers cannot fill `{}`: it is `sync`, and appends go on where one worker stopped",
                projection.name
            ))),
            None if projection.parallel_by_stream && projection.mode == Mode::Async => {
                Ok(WORKERS_BY_STREAM.min(workers_max))
            }
            None | Some(1) => Ok(1),
            Some(0) => Err(CommandError::State("a build needs at least one worker".to_owned())),
            Some(wish) if !projection.parallel_by_stream => Err(CommandError::State(format!(
                "{wish} workers cannot share `{}`: its file does not say `-- parallel-by: stream`, so rows of different \
                 streams may meet. Say so in the file if they never do",
                projection.name
            ))),
            Some(wish) if wish > workers_max => Err(CommandError::State(format!(
                "this store runs at most {workers_max} workers a build, and {wish} are asked for"
            ))),
            Some(wish) => Ok(wish),
        }
    }

    /// Does something with a projection's builds and says how it is then.
    async fn command<F, W>(&self, name: Name, by: Option<String>, work: F) -> Result<Status, CommandError>
    where
        F: FnOnce(ReadModels, Family) -> W + Send + 'static,
        W: Future<Output = Result<Command, CommandError>> + Send + 'static,
    {
        self.command_on(name.clone(), by, work).await?;
        self.status(&name).await
    }

    /// Does something with a projection's builds, alone among all servers, and writes it down. Returns how they were.
    async fn command_on<F, W>(&self, name: Name, by: Option<String>, work: F) -> Result<Family, CommandError>
    where
        F: FnOnce(ReadModels, Family) -> W + Send + 'static,
        W: Future<Output = Result<Command, CommandError>> + Send + 'static,
    {
        self.detached(move |this| async move {
            let shared = this.shared();
            this.exclusively(async {
                let family = this.family(&name).await?;
                let command = work(this.clone(), family.clone()).await?;
                // Drivers look at once; the command is done, whatever becomes of this.
                let _ = shared.catalogue.reload().await;
                record(shared, &name, command, by.as_deref()).await;
                Ok(family)
            })
            .await
        })
        .await
    }

    /// Runs a command in a task of its own, so that it is done as a whole even where nobody waits for it any more.
    pub(super) async fn detached<T, F, W>(&self, work: F) -> Result<T, CommandError>
    where
        T: Send + 'static,
        F: FnOnce(ReadModels) -> W + Send + 'static,
        W: Future<Output = Result<T, CommandError>> + Send + 'static,
    {
        match tokio::spawn(work(self.clone())).await {
            Ok(outcome) => outcome,
            Err(error) => Err(CommandError::Store(pacioli_core::StoreError::new(format!(
                "the command broke off ({error}); look at the projection's status before it is given again"
            )))),
        }
    }

    /// Does something while no other command runs, on this server or another.
    pub(super) async fn exclusively<T>(
        &self,
        work: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        let (shared, patience) = (self.shared(), Instant::now() + COMMAND_PATIENCE);
        let too_long = |owner: &str| {
            CommandError::State(format!("another command on projections takes long (on server `{owner}`); try again"))
        };
        let alone = tokio::time::timeout_at(patience, self.commanding().lock()).await;
        let _alone = alone.map_err(|_| too_long(&shared.options.owner))?;
        let acquire = || shared.store.acquire_lease(COMMAND_LEASE, &shared.options.owner, COMMAND_LEASE_FOR);
        let lease = loop {
            match acquire().await.map_err(store_error)? {
                LeaseOutcome::Held(lease) => break lease,
                LeaseOutcome::Taken(other) if Instant::now() >= patience => return Err(too_long(&other.owner)),
                LeaseOutcome::Taken(_) => tokio::time::sleep(COMMAND_LOOK_EVERY).await,
            }
        };
        let mut renewal = tokio::time::interval_at(Instant::now() + COMMAND_LEASE_FOR / 3, COMMAND_LEASE_FOR / 3);
        tokio::pin!(work);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = renewal.tick() => {
                    if let Err(error) = acquire().await {
                        tracing::warn!("cannot renew the lease `{COMMAND_LEASE}`: {error}");
                    }
                }
            }
        };
        // Where this fails the lease runs out by itself.
        let _ = shared.store.release_lease(&lease).await;
        outcome
    }
}

/// "version 2 of `balances` (build 3)"
pub(super) fn title(build: &Build) -> String {
    format!("version {} of `{}` (build {})", build.projection.version, build.projection.name, build.number.0)
}

fn numbered(builds: &[Arc<Build>]) -> Vec<(u32, BuildNumber)> {
    builds.iter().map(|build| (build.projection.version, build.number)).collect()
}

/// The builds that failed, the serving one first.
fn failed(name: &Name, family: &Family) -> Result<Vec<(Arc<Build>, Failed)>, CommandError> {
    let failed: Vec<_> = family
        .live()
        .filter_map(|build| match &build.state {
            State::Failed(failed) => Some((Arc::clone(build), failed.clone())),
            State::Running | State::Paused => None,
        })
        .collect();
    if failed.is_empty() {
        return Err(CommandError::State(format!("`{name}` did not fail: {}", how_it_is(family))));
    }
    Ok(failed)
}

fn how_it_is(family: &Family) -> String {
    let each = family.live().map(|build| {
        let how = match &build.state {
            State::Running => "runs".to_owned(),
            State::Paused => "is paused".to_owned(),
            State::Failed(failed) => format!("failed at {}: {}", failed.place, failed.error),
        };
        format!("{} {how}", title(build))
    });
    let each = each.collect::<Vec<_>>().join(", ");
    if each.is_empty() { "only a kept version is left of it".to_owned() } else { each }
}

fn nothing_serves(name: &Name) -> CommandError {
    CommandError::State(format!("no build of `{name}` serves yet; wait until its first one is filled"))
}

impl From<EngineError> for CommandError {
    fn from(error: EngineError) -> CommandError {
        match error {
            EngineError::Refused(reason) => CommandError::State(reason),
            EngineError::File(findings) => CommandError::File(findings),
            EngineError::Store(error) => CommandError::Store(error),
        }
    }
}
