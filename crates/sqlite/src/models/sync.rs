//! `sync` projections, which the store's writer runs in every append's transaction: which they are when the store opens, and
//! how one comes to serve.
//!
//! The catalogue says which builds serve. The store reads it when it is opened, before it takes an append, whoever opens it
//! and for whatever: no append may pass a projection that it has to see.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use rusqlite::Connection;

use pacioli_core::Timestamp;
use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::schemas::Gate;
use pacioli_core::store::{Epochs, StoreError};
use pacioli_projection::Projection;
use pacioli_projection::engine::{Build, BuildNumber, EngineError, Failed, Progress, Role, State};
use pacioli_projection::file::{Finding, Mode, Name, Severity};

use super::Models;
use super::build;
use super::builds::Known;
use super::catalogue::{Catalogue, Listed};
use super::files::Files;
use super::lifecycle::{engine_error, start_again};
use super::window;
use crate::error::{Error, Result};
use crate::schema::{self, READ_MODELS, USUAL_DIRECTORY};
use crate::store::{self, Shared};
use crate::writer::{NotServing, SYNC_PROJECTIONS_MAX, SyncBuild, SyncStands, no_room, relations};

/// The builds that the writer has to run, for a store that is being opened. One that cannot be used comes with the reason.
pub(crate) fn serving(
    conn: &Connection,
    log: &Path,
    epochs: &Epochs,
    head: &Checkpoint,
    now: Timestamp,
    gate: Option<&Arc<dyn Gate>>,
) -> Result<Vec<(SyncBuild, Option<StoreError>)>> {
    let Some(root) = directory(conn, log)? else { return Ok(Vec::new()) };
    serving_in(&root, conn, epochs, head, now, gate).map_err(|error| {
        Error::Store(format!(
            "its sync projections have to see every append, and the read models in {} cannot be read: {}; mend that, or move \
             the directory away: without it the store opens, and projections can be added again",
            root.display(),
            error.into_store_error().reason
        ))
    })
}

/// The directory of the read models, where there are any.
fn directory(conn: &Connection, log: &Path) -> Result<Option<PathBuf>> {
    let noted = schema::read_meta::<String>(conn, READ_MODELS)?.filter(|noted| !noted.is_empty()).map(PathBuf::from);
    if let Some(noted) = noted.as_ref().filter(|noted| !noted.is_dir()) {
        return Err(Error::Store(format!(
            "its sync projections have to see every append, and their directory {} is not there: bring it back; or make it \
             anew, empty, and the projections are gone and can be added again",
            noted.display()
        )));
    }
    let root = noted.unwrap_or_else(|| log.with_file_name(USUAL_DIRECTORY));
    Ok(Files::catalogue_in(&root).exists().then_some(root))
}

fn serving_in(
    root: &Path,
    conn: &Connection,
    epochs: &Epochs,
    head: &Checkpoint,
    now: Timestamp,
    gate: Option<&Arc<dyn Gate>>,
) -> Result<Vec<(SyncBuild, Option<StoreError>)>> {
    let files = Files::open(root).map_err(|error| Error::Store(error.reason))?;
    let store_id: String = schema::read_meta(conn, "store_id")?.unwrap_or_default();
    let mut catalogue = Catalogue::open(&files.catalogue(), &store_id)?;
    let mut serving = Vec::new();
    for listed in catalogue.builds(&[])?.into_iter().filter(runs_in_appends) {
        let path = files.build(&listed.projection.name, listed.number);
        serving.push(match build::inspect(&path, &listed.projection, listed.number, epochs, head) {
            Ok(_) => (sync_build(&listed, path, gate), None),
            Err(why) => match start_again(&mut catalogue, &files, head, now, listed.clone(), &why) {
                Ok((new, _)) => {
                    let path = files.build(&new.projection.name, new.number);
                    (sync_build(&new, path, gate), None)
                }
                Err(error) => (sync_build(&listed, path, gate), Some(error.into_store_error())),
            },
        });
    }
    Ok(serving)
}

fn runs_in_appends(listed: &Listed) -> bool {
    listed.projection.mode == Mode::Sync && listed.role == Role::Serving
}

fn sync_build(listed: &Listed, path: PathBuf, gate: Option<&Arc<dyn Gate>>) -> SyncBuild {
    SyncBuild::new(Arc::clone(&listed.projection), listed.number, path, gate)
}

/// How the build stands that the writer runs, if it runs this one.
pub(super) fn stands(shared: &Shared, name: &Name, number: BuildNumber) -> Option<SyncStands> {
    let all = shared.sync.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().find(|stands| stands.name == *name && stands.number == number).cloned()
}

/// Refuses to open another directory than the one whose `sync` projections the store runs.
pub(super) fn check_directory(shared: &Shared, root: &Path) -> std::result::Result<(), StoreError> {
    let all = shared.sync.lock().unwrap_or_else(PoisonError::into_inner);
    let whole = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let elsewhere = all.iter().filter_map(|stands| stands.file.parent()).find(|theirs| whole(theirs) != whole(root));
    match elsewhere {
        None => Ok(()),
        Some(theirs) => Err(StoreError::new(format!(
            "the sync projections of this store are in {} and run in every append: open the read models there, or drop those \
             projections there first",
            theirs.display()
        ))),
    }
}

/// Why a build does not come to serve.
pub(super) enum NotSwapped {
    /// A statement failed on an event.
    Failed(Failed),
    /// Anything else.
    Other(EngineError),
}

impl From<EngineError> for NotSwapped {
    fn from(error: EngineError) -> NotSwapped {
        NotSwapped::Other(error)
    }
}

impl From<NotSwapped> for EngineError {
    fn from(error: NotSwapped) -> EngineError {
        match error {
            NotSwapped::Failed(Failed { place, error, .. }) => {
                EngineError::Refused(format!("it cannot serve: event {place}: {error}"))
            }
            NotSwapped::Other(error) => error,
        }
    }
}

impl From<NotServing> for NotSwapped {
    fn from(error: NotServing) -> NotSwapped {
        match error {
            NotServing::Event { place: Some(place), error } => {
                NotSwapped::Failed(Failed { place, error, at: Timestamp::default() })
            }
            NotServing::Event { place: None, error } => {
                EngineError::Refused(format!("it cannot serve: {error}")).into()
            }
            NotServing::Refused(problem) => EngineError::Refused(format!("it cannot serve: {problem}")).into(),
            NotServing::Store(error) => engine_error(error).into(),
            NotServing::Failed(error) => EngineError::Store(error).into(),
        }
    }
}

impl Known {
    /// Whether it is the writer that moves it.
    pub(super) fn is_run_by_writer(&self) -> bool {
        runs_in_appends(&self.listed)
    }
}

impl Models {
    /// Every build as the contract says it, with where those stand that the writer moves.
    pub(super) fn as_builds(&self) -> Vec<Build> {
        self.builds().all.iter().map(|known| self.as_build(known)).collect()
    }

    /// One of them.
    pub(super) fn as_build(&self, known: &Known) -> Build {
        if known.is_run_by_writer()
            && let Err(error) = known.file.refresh_stands()
        {
            tracing::warn!(projection = %known.listed.projection.name, %error, "where it stands cannot be read now");
        }
        Build { state: self.state(known), ..known.as_build() }
    }

    /// Where a build stands that the writer runs. At the head no file has to be read: what is published of the log is in the
    /// tables of all that are not known to be behind.
    pub(super) fn progress_of_sync(&self, known: &Known) -> Vec<Progress> {
        let heads = self.shared().recent.heads();
        let Listed { projection, number, .. } = &known.listed;
        match stands(self.shared(), &projection.name, *number) {
            Some(SyncStands { behind: None, .. }) => {
                let counted = known.file.stands();
                let at_head = |head: Place| Progress {
                    worker: 0,
                    partition: head.partition,
                    position: head.position,
                    events: counted
                        .progress
                        .iter()
                        .find(|stands| stands.partition == head.partition)
                        .map_or(0, |stands| stands.events),
                    epoch: heads.epoch(),
                };
                heads.iter().map(at_head).collect()
            }
            _ => self.as_build(known).progress,
        }
    }

    /// How a build is: the catalogue does not know when one is behind that the writer runs.
    pub(super) fn state(&self, known: &Known) -> State {
        let behind = || stands(self.shared(), &known.listed.projection.name, known.listed.number)?.behind;
        match known.is_run_by_writer().then(behind).flatten() {
            Some(failed) => State::Failed(failed),
            None => known.listed.state.clone(),
        }
    }

    /// Lets those serve that the catalogue has and the writer does not run.
    pub(super) fn serve_all_sync(&self) -> std::result::Result<(), StoreError> {
        for known in self.builds().all.iter().filter(|known| known.is_run_by_writer()) {
            let Listed { projection, number, .. } = &known.listed;
            if stands(self.shared(), &projection.name, *number).is_none() {
                let served = self.serve_sync(known, || Ok(())).map_err(EngineError::from);
                served.map_err(|error| {
                    StoreError::new(format!("the sync projection `{}` cannot serve: {error}", projection.name))
                })?;
            }
        }
        Ok(())
    }

    /// Refuses a `sync` projection that could not come to serve because there are as many as there may be.
    pub(super) fn check_room(&self, projection: &Projection) -> std::result::Result<(), EngineError> {
        let builds = self.builds();
        let is_sync = |known: &&Known| known.listed.projection.mode == Mode::Sync && known.listed.role != Role::Kept;
        let mut names: Vec<&Name> =
            builds.all.iter().filter(is_sync).map(|known| &known.listed.projection.name).collect();
        names.dedup();
        if projection.mode == Mode::Sync && !names.contains(&&projection.name) && names.len() >= SYNC_PROJECTIONS_MAX {
            return Err(EngineError::Refused(no_room()));
        }
        Ok(())
    }

    /// Takes a build to the head and lets it serve in every append, once `change` has said so in the catalogue.
    pub(super) fn serve_sync(
        &self,
        known: &Known,
        change: impl FnOnce() -> std::result::Result<(), EngineError>,
    ) -> std::result::Result<(), NotSwapped> {
        known.file.close();
        let build = sync_build(&known.listed, known.file.path.clone(), self.shared().gate.as_ref());
        let served = self.store.serve_sync(build, || change().map_err(NotSwapped::from));
        served.map_err(|error| match error {
            NotSwapped::Failed(failed) => NotSwapped::Failed(Failed { at: self.shared().clock.now(), ..failed }),
            other => other,
        })
    }

    /// Takes the build of a projection out of the appends, if one is there.
    pub(super) fn stop_sync(&self, name: &Name) -> std::result::Result<(), EngineError> {
        self.store.stop_sync(name.clone()).map_err(|error| NotSwapped::from(error).into())
    }

    /// A projection that is in every append cannot be told to look away: what it missed could not be refused any more.
    pub(super) fn set_state_of_sync(&self, known: &Known, state: &State) -> std::result::Result<(), EngineError> {
        let name = &known.listed.projection.name;
        match state {
            State::Running => Ok(self.serve_sync(known, || Ok(()))?),
            State::Paused => Err(EngineError::Refused(format!(
                "`{name}` is a sync projection and runs in every append that it wants, so it cannot be paused: appends would pass \
                 that it has to see; drop it, or add a version with `mode: async`"
            ))),
            State::Failed(Failed { place, .. }) => Err(EngineError::Refused(format!(
                "`{name}` is run by the writer of the store, which knows that it did not fail at {place}"
            ))),
        }
    }

    /// What keeps a `sync` projection from being attached beside the log: relations of the same names.
    pub(super) fn check_sync(&self, projection: &Projection) -> Result<Vec<Finding>> {
        if projection.mode != Mode::Sync {
            return Ok(Vec::new());
        }
        let taken = store::read_here(self.shared(), |reader| relations(reader.conn, "main"))?;
        let mut findings = Vec::new();
        for definition in &projection.definitions {
            let mut error = |problem: String| {
                let (file, line) = (projection.file.clone(), definition.line);
                findings.push(Finding { severity: Severity::Error, file, line, problem });
            };
            if let Some(name) = window::relation(&definition.makes)
                && taken.iter().any(|taken| taken.eq_ignore_ascii_case(name))
            {
                error(format!(
                    "`{name}` is a table of the log, which is open together with those of a sync projection: choose another name, \
                     or make the projection async"
                ));
            }
            if is_deferred(&definition.sql) {
                error(
                    "a constraint of a sync projection cannot be INITIALLY DEFERRED: it would be checked when all appends of a \
                     batch are stored, and nobody could say which of them broke it"
                        .to_owned(),
                );
            }
        }
        Ok(findings)
    }
}

/// Whether a definition has a constraint that is checked at the end of a transaction.
fn is_deferred(sql: &str) -> bool {
    let words: Vec<String> =
        sql.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| pair == ["INITIALLY", "DEFERRED"])
}
