//! How builds come, change and go. Everything here is one transaction of the catalogue, with the catalogue locked.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rusqlite::{Connection, params};
use tokio::sync::Semaphore;

use pacioli_core::Timestamp;
use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::store::StoreError;
use pacioli_projection::engine::{
    Advance, AdvanceError, Advanced, Build, BuildNumber, EngineError, PassedOver, Progress, Role, State,
};
use pacioli_projection::file::{Finding, Mode, Name, Severity};
use pacioli_projection::{Projection, crash_point};

use super::advance::{self, of_read_model};
use super::build::{self, BuildFile, Durability, Stands, Unusable};
use super::builds::{Builds, Known};
use super::catalogue::{self, Catalogue, Listed};
use super::check;
use super::copies;
use super::events::{self, Wanted};
use super::files::{self, Files};
use super::past::Folds;
use super::readers::Readers;
use super::shapes;
use super::sync::{self, NotSwapped};
use super::{LOOKUPS_MAX, Models, QUERIES_MAX, QUESTIONS_OF_PAST_MAX};
use crate::error::{Error, Result as InnerResult};
use crate::schema::{self, USUAL_DIRECTORY};
use crate::store::{self, SqliteStore};

/// Opens the read models of a store.
pub(super) fn open(store: &SqliteStore, directory: Option<&Path>) -> Result<Models, StoreError> {
    let shared = store.shared();
    let default = shared.log.with_file_name(USUAL_DIRECTORY);
    let root = directory.unwrap_or(&default);
    sync::check_directory(shared, root)?;
    let files = Files::open(root)?;
    let opened = open_files(store, &files).map_err(|error| {
        StoreError::new(format!("cannot open the read models in {}: {}", root.display(), of_read_model(error).reason))
    });
    let (catalogue, builds) = opened?;
    let models = Models {
        readers: Readers::new(Arc::clone(shared)),
        store: store.clone(),
        files,
        catalogue: Mutex::new(catalogue),
        builds: RwLock::new(Arc::new(builds)),
        queries: Arc::new(Semaphore::new(QUERIES_MAX)),
        lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        questions_of_past: Arc::new(Semaphore::new(QUESTIONS_OF_PAST_MAX)),
        folds: Folds::default(),
    };
    models.serve_all_sync()?;
    Ok(models)
}

fn open_files(store: &SqliteStore, files: &Files) -> InnerResult<(Catalogue, Builds)> {
    let shared = store.shared();
    let store_id: String = store::read_here(shared, |reader| {
        schema::read_meta(reader.conn, "store_id")?.ok_or_else(|| Error::Store("the store has no id".to_owned()))
    })?;
    let mut catalogue = Catalogue::open(&files.catalogue(), &store_id)?;
    let listed = catalogue.builds(&[])?;
    copies::remove_ahead(&mut catalogue, files, shared)?;
    let copies = catalogue.copies()?;
    let keys = catalogue.keys()?;
    files
        .remove_leftovers(
            |name, number| keys.iter().any(|(known, its)| known == name && *its == number),
            |file| copies.iter().any(|copy| copy.file == file),
        )
        .map_err(|error| Error::Store(format!("files that belong to nobody cannot be removed: {error}")))?;
    let head = shared.recent.heads();
    let mut all = Vec::new();
    for listed in listed {
        let path = files.build(&listed.projection.name, listed.number);
        // The writer looked at those that it runs when the store was opened, and they move all the time.
        let (listed, stands) = if sync::stands(shared, &listed.projection.name, listed.number).is_some() {
            (listed, Stands::default())
        } else {
            match build::inspect(&path, &listed.projection, listed.number, &shared.epochs, &head) {
                Ok(stands) => (listed, stands),
                Err(why) => start_again(&mut catalogue, files, &head, shared.clock.now(), listed, &why)?,
            }
        };
        let path = files.build(&listed.projection.name, listed.number);
        let file = BuildFile::new(path, &listed.projection, shared.gate.as_ref(), stands);
        all.push(Known { listed, file: Arc::new(file) });
    }
    Ok((catalogue, Builds::new(all)))
}

/// Replaces a build that cannot go on by an empty one in the same role.
pub(super) fn start_again(
    catalogue: &mut Catalogue,
    files: &Files,
    head: &Checkpoint,
    now: Timestamp,
    old: Listed,
    why: &Unusable,
) -> InnerResult<(Listed, Stands)> {
    let (name, number) = (old.projection.name.clone(), old.number);
    let reason = match why {
        Unusable::Damaged(reason) | Unusable::AheadOfLog(reason) => reason,
    };
    tracing::warn!(projection = %name, build = number.0, reason, "a read model cannot be used and is filled again from the first event");
    let new = catalogue.change(|conn| {
        let number = catalogue::take_number(conn, &name)?;
        let new = Listed { number, state: State::Running, began_at: now, ..old };
        build::create(&files.build(&name, number), &new.projection, number, head, Durability::Kept)?;
        files.sync().map_err(|error| Error::Store(format!("the directory cannot be synced: {error}")))?;
        catalogue::delete_build(conn, &name, old.number)?;
        catalogue::insert_build(conn, &new)?;
        Ok(new)
    })?;
    // Where this fails it is a leftover of the next start.
    let _ = files::remove_database(&files.build(&name, old.number));
    let stands = build::read_stands(&build::open_reader(&files.build(&name, new.number))?)?;
    Ok((new, stands))
}

/// An error of the catalogue or a build's file.
pub(super) fn engine_error(error: Error) -> EngineError {
    EngineError::Store(of_read_model(error))
}

impl Models {
    pub(super) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what the catalogue says what everybody sees.
    fn publish(&self, catalogue: &Catalogue) -> Result<Arc<Builds>, EngineError> {
        let before = self.builds();
        let known: Vec<Listed> = before.all.iter().map(|build| build.listed.clone()).collect();
        let mut all = Vec::new();
        for listed in catalogue.builds(&known).map_err(engine_error)? {
            let file = match before.find(&listed.projection.name, listed.number) {
                Some(known) => Arc::clone(&known.file),
                None => {
                    let path = self.files.build(&listed.projection.name, listed.number);
                    let stands = build::open_reader(&path).map_err(Error::from).and_then(|c| build::read_stands(&c));
                    let stands = stands.map_err(engine_error)?;
                    Arc::new(BuildFile::new(path, &listed.projection, self.shared().gate.as_ref(), stands))
                }
            };
            all.push(Known { listed, file });
        }
        let builds = Arc::new(Builds::new(all));
        *self.builds.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&builds);
        Ok(builds)
    }

    /// The same, where which builds serve has changed.
    fn publish_and_close_readers(&self, catalogue: &Catalogue) -> Result<Arc<Builds>, EngineError> {
        let builds = self.publish(catalogue)?;
        self.readers.close();
        Ok(builds)
    }

    pub(super) fn known(&self, name: &Name, number: BuildNumber) -> Result<Known, EngineError> {
        let found = self.builds().find(name, number).cloned();
        found.ok_or_else(|| EngineError::Refused(format!("there is no build {} of `{name}`", number.0)))
    }

    /// What is wrong with a file, here and beside the other projections.
    pub(super) fn check(&self, projection: &Projection) -> Result<Vec<Finding>, EngineError> {
        let mut findings = check::check(projection).map_err(engine_error)?;
        findings.extend(self.check_sync(projection).map_err(engine_error)?);
        let builds = self.builds();
        for definition in &projection.definitions {
            let Some(relation) = super::window::relation(&definition.makes) else { continue };
            let others = builds.all.iter().filter(|build| build.listed.projection.name != projection.name);
            let owner = others.map(|build| &build.listed.projection).find(|other| {
                // A full-text table has further ones behind it, whose names begin with its own.
                other.relations().any(|known| known == relation)
            });
            if let Some(owner) = owner {
                findings.push(Finding {
                    severity: Severity::Error,
                    file: projection.file.clone(),
                    line: definition.line,
                    problem: format!(
                        "`{relation}` belongs to projection `{}` ({}); queries name tables without their projection, so \
                         choose another name",
                        owner.name, owner.file
                    ),
                });
            }
        }
        Ok(findings)
    }

    pub(super) fn begin(&self, projection: Projection, workers: u16) -> Result<Build, EngineError> {
        if workers != 1 {
            return Err(EngineError::Refused(format!(
                "{workers} workers were asked for and 1 is possible: SQLite has one writer for each file"
            )));
        }
        self.check_room(&projection)?;
        let findings = self.check(&projection)?;
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(EngineError::File(findings));
        }
        let shared = self.shared();
        let (head, now) = (shared.recent.heads(), shared.clock.now());
        let mut catalogue = self.catalogue();
        let builds = self.builds();
        let name = projection.name.clone();
        let is_first = builds.of_role(&name, Role::Serving).is_none();
        let role = if is_first && projection.mode == Mode::Async { Role::Serving } else { Role::Filling };
        let projection = Arc::new(projection);
        let number = catalogue.change(|conn| {
            let number = catalogue::take_number(conn, &name)?;
            build::create(&self.files.build(&name, number), &projection, number, &head, Durability::Kept)?;
            self.files.sync().map_err(|error| Error::Store(format!("the directory cannot be synced: {error}")))?;
            catalogue::insert_build(
                conn,
                &Listed {
                    projection: Arc::clone(&projection),
                    number,
                    role,
                    state: State::Running,
                    workers,
                    began_at: now,
                    served_at: (role == Role::Serving).then_some(now),
                },
            )?;
            crash_point("begin:before-commit");
            Ok(number)
        });
        let number = number.map_err(engine_error)?;
        crash_point("begin:after-commit");
        let builds = self.publish_and_close_readers(&catalogue)?;
        let begun = builds.find(&name, number).map(Known::as_build);
        begun.ok_or_else(|| EngineError::Refused(format!("build {} of `{name}` is gone already", number.0)))
    }

    pub(super) fn advance(&self, wanted: &Advance) -> Result<Advanced, AdvanceError> {
        let builds = self.builds();
        let build = builds.find(&wanted.build.projection.name, wanted.build.number).ok_or(AdvanceError::Moved)?;
        // A build that the writer runs is moved by the writer.
        let is_of_now = wanted.epoch == self.shared().epochs.current();
        if build.listed.role == Role::Kept || build.is_run_by_writer() || !is_of_now {
            return Err(AdvanceError::Moved);
        }
        advance::advance(self.shared(), &build.file, wanted)
    }

    pub(super) fn set_state(&self, name: &Name, number: BuildNumber, state: &State) -> Result<(), EngineError> {
        let mut catalogue = self.catalogue();
        let known = self.known(name, number)?;
        if known.is_run_by_writer() {
            return self.set_state_of_sync(&known, state);
        }
        catalogue.change(|conn| catalogue::set_state(conn, name, number, state)).map_err(engine_error)?;
        if *state != State::Running {
            known.file.forget_ahead();
        }
        self.publish(&catalogue).map(drop)
    }

    pub(super) fn skip(&self, name: &Name, number: BuildNumber, place: Place) -> Result<(), EngineError> {
        let mut catalogue = self.catalogue();
        let known = self.known(name, number)?;
        match &self.state(&known) {
            State::Failed(failed) if failed.place == place => {}
            State::Failed(failed) => {
                let stopped = failed.place;
                return Err(EngineError::Refused(format!("`{name}` stopped at {stopped}, not at {place}; look again")));
            }
            _ => {
                return Err(EngineError::Refused(format!(
                    "`{name}` has not failed; only the event it failed on is skipped"
                )));
            }
        }
        if known.is_run_by_writer() {
            known.file.refresh_stands().map_err(engine_error)?;
            self.pass_over(&known, place)?;
            return self.set_state_of_sync(&known, &State::Running);
        }
        self.pass_over(&known, place)?;
        crash_point("skip:half");
        catalogue.change(|conn| catalogue::set_state(conn, name, number, &State::Running)).map_err(engine_error)?;
        self.publish(&catalogue).map(drop)
    }

    /// Moves the progress over one event. Synced, so that nobody has to skip it again after a power cut.
    fn pass_over(&self, known: &Known, place: Place) -> Result<(), EngineError> {
        let of_partition = |stands: &&Progress| stands.partition == place.partition;
        let stands = known.file.stands().progress.iter().find(of_partition).copied();
        let after = stands.map(|stands| stands.position).unwrap_or_default();
        if after >= place.position {
            return Ok(());
        }
        let mut passed_over = Vec::new();
        let mut wanted = Wanted { partition: place.partition, after, up_to: place.position, events_max: 1 };
        // What it does not understand and passes over by itself may lie before the event.
        let next = loop {
            match events::read(self.shared(), &known.file.handlers, wanted) {
                Ok(found) => {
                    let withheld = found.withheld.map(|withheld| withheld.place);
                    let next = found.events.first().map(|event| event.place()).or(withheld);
                    passed_over.extend(found.passed_over);
                    if next.is_some() || found.up_to >= place.position || found.up_to <= wanted.after {
                        break next;
                    }
                    wanted.after = found.up_to;
                }
                Err(Error::Damaged { place, .. }) => break Some(place),
                Err(error) => return Err(engine_error(error)),
            }
        };
        let passed_over: PassedOver = shapes::count(&passed_over);
        // A damaged event may be in no index any more, and then nothing is found up to it.
        if next.is_some_and(|next| next != place) {
            return Err(EngineError::Refused(format!(
                "{place} is not the next event of the build, which is at {}:{}; retry, so that it comes up to it",
                place.partition.0, after.0
            )));
        }
        known.file.forget_ahead();
        let skipped = known.file.write(|writing| -> InnerResult<()> {
            let conn = &writing.conn;
            conn.execute_batch(sql!("models/sync_commits"))?;
            advance::begin(conn)?;
            conn.prepare_cached(sql!("models/insert_skipped"))?
                .execute(params![place.partition.0, place.position.0 as i64])?;
            conn.prepare_cached(sql!("models/move_progress"))?.execute(params![
                0,
                place.partition.0,
                place.position.0 as i64,
                0
            ])?;
            shapes::count_passed_over(conn, sql!("models/count_passed_over"), &passed_over)?;
            conn.prepare_cached(sql!("commit"))?.execute([])?;
            conn.execute_batch(sql!("models/do_not_sync_commits"))?;
            Ok(())
        });
        skipped.map_err(engine_error)?;
        known.file.moved(0, place.partition, place.position, 0, passed_over);
        Ok(())
    }

    pub(super) fn swap(&self, name: &Name, number: BuildNumber) -> Result<(), EngineError> {
        let mut catalogue = self.catalogue();
        let filling = self.known(name, number)?;
        if filling.listed.role != Role::Filling {
            return Err(EngineError::Refused(format!("build {} of `{name}` is not being filled", number.0)));
        }
        let builds = self.builds();
        let (serving, kept) = (builds.of_role(name, Role::Serving), builds.of_role(name, Role::Kept));
        let now = self.shared().clock.now();
        let swap = |conn: &Connection| {
            if let Some(kept) = kept {
                catalogue::delete_build(conn, name, kept.listed.number)?;
            }
            if let Some(serving) = serving {
                catalogue::set_role(conn, name, serving.listed.number, Role::Kept, None)?;
            }
            catalogue::set_role(conn, name, number, Role::Serving, Some(now))?;
            crash_point("swap:before-commit");
            Ok(())
        };
        if filling.listed.projection.mode == Mode::Sync {
            let served = self.serve_sync(&filling, || catalogue.change(swap).map_err(engine_error));
            if let Err(NotSwapped::Failed(failed)) = &served {
                let failed = State::Failed(failed.clone());
                catalogue.change(|conn| catalogue::set_state(conn, name, number, &failed)).map_err(engine_error)?;
                self.publish(&catalogue)?;
            }
            served?;
        } else {
            catalogue.change(swap).map_err(engine_error)?;
            if serving.is_some_and(Known::is_run_by_writer) {
                self.stop_sync(name)?;
            }
        }
        crash_point("swap:after-commit");
        self.folds.forget(name.as_str());
        self.publish_and_close_readers(&catalogue)?;
        if let Some(serving) = serving {
            serving.file.close();
        }
        if let Some(kept) = kept {
            remove(kept);
        }
        Ok(())
    }

    pub(super) fn take_back(&self, name: &Name, number: BuildNumber) -> Result<(), EngineError> {
        let mut catalogue = self.catalogue();
        let kept = self.known(name, number)?;
        if kept.listed.role != Role::Kept {
            return Err(EngineError::Refused(format!("build {} of `{name}` is not kept from before", number.0)));
        }
        let taken = catalogue.change(|conn| {
            catalogue::set_role(conn, name, number, Role::Filling, None)?;
            catalogue::set_state(conn, name, number, &State::Running)
        });
        taken.map_err(engine_error)?;
        self.publish(&catalogue).map(drop)
    }

    pub(super) fn drop_build(&self, name: &Name, number: BuildNumber) -> Result<(), EngineError> {
        let mut catalogue = self.catalogue();
        let known = self.known(name, number)?;
        let copies = catalogue.copies().map_err(engine_error)?;
        let builds = self.builds();
        let others = builds.all.iter().filter(|build| build.listed.projection.name == *name && !build.is(name, number));
        let hashes: Vec<&str> = others.map(|build| build.listed.projection.hash.as_str()).collect();
        let copies: Vec<&catalogue::Copied> =
            copies.iter().filter(|copy| copy.name == name.as_str() && !hashes.contains(&copy.hash.as_str())).collect();
        let dropped = catalogue.change(|conn| {
            copies.iter().try_for_each(|copy| catalogue::delete_copy(conn, &copy.file))?;
            catalogue::delete_build(conn, name, number)?;
            crash_point("drop:before-commit");
            Ok(())
        });
        dropped.map_err(engine_error)?;
        crash_point("drop:after-commit");
        if known.is_run_by_writer() {
            self.stop_sync(name)?;
        }
        self.publish_and_close_readers(&catalogue)?;
        self.folds.forget(name.as_str());
        remove(&known);
        for copy in copies {
            let _ = files::remove_database(&self.files.copies().join(&copy.file));
        }
        Ok(())
    }
}

/// Removes the file of a build that the catalogue does not name any more. Where that fails the next start does it.
fn remove(build: &Known) {
    build.file.close();
    if let Err(error) = files::remove_database(&build.file.path) {
        tracing::warn!(file = %build.file.path.display(), %error, "the file of a dropped read model cannot be removed now");
    }
}
