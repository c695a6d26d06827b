//! Copies of builds, from which queries of the past begin to fold.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};

use pacioli_core::place::Checkpoint;
use pacioli_projection::crash_point;
use pacioli_projection::engine::{BuildNumber, EngineError};
use pacioli_projection::file::Name;

use super::Models;
use super::build::{self, Durability};
use super::catalogue::{self, Copied};
use super::files::{self, Files};
use super::lifecycle::engine_error;
use crate::error::{Error, Result};

/// Copies of one projection and text that are kept.
const COPIES_MAX: usize = 8;
/// How long to wait before asking a busy file again, and how often.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
const BUSY_TRIES: usize = 500;

impl Models {
    /// Saves a build as it is, and forgets the oldest copies beyond the newest eight.
    pub(super) fn keep_copy(&self, name: &Name, number: BuildNumber) -> std::result::Result<Checkpoint, EngineError> {
        let known = self.known(name, number)?;
        let hash = known.listed.projection.hash.clone();
        let file = format!("{name}.{}.{}.db", &hash[..12.min(hash.len())], uuid::Uuid::new_v4().simple());
        let copied = self.copy_whole(&known.file.path, &file);
        let checkpoint = copied.map_err(engine_error)?;
        let copy = Copied { file, name: name.as_str().to_owned(), hash, checkpoint: checkpoint.clone() };
        let now = self.shared().clock.now();
        let mut catalogue = self.catalogue();
        let forgotten = catalogue.copies().map_err(engine_error)?;
        let of_same = forgotten.into_iter().filter(|other| other.name == copy.name && other.hash == copy.hash);
        let forgotten: Vec<Copied> = of_same.skip(COPIES_MAX - 1).collect();
        let written = catalogue.change(|conn| {
            forgotten.iter().try_for_each(|old| catalogue::delete_copy(conn, &old.file))?;
            catalogue::insert_copy(conn, &copy, now)?;
            crash_point("copy:before-commit");
            Ok(())
        });
        if let Err(error) = written {
            let _ = files::remove_database(&self.files.copies().join(&copy.file));
            return Err(engine_error(error));
        }
        crash_point("copy:after-commit");
        for old in forgotten {
            let _ = files::remove_database(&self.files.copies().join(&old.file));
        }
        Ok(checkpoint)
    }

    /// Copies a build beside its place and gives it its name once it is whole and synced.
    fn copy_whole(&self, from: &Path, file: &str) -> Result<Checkpoint> {
        let to = self.files.copies().join(file);
        let partial = self.files.copies().join(format!("{file}.partial"));
        let io = |error: std::io::Error| Error::Store(format!("a copy of a read model cannot be written: {error}"));
        let copied = copy(from, &partial).and_then(|()| {
            let conn = build::open_reader(&partial)?;
            let checkpoint = build::read_checkpoint(&conn, self.shared().partitions)?;
            drop(conn);
            File::open(&partial).and_then(|file| file.sync_all()).map_err(io)?;
            fs::rename(&partial, &to).map_err(io)?;
            self.files.sync().map_err(io)?;
            Ok(checkpoint)
        });
        if copied.is_err() {
            let _ = files::remove_database(&partial);
        }
        copied
    }

    /// The nearest copy of a projection that is not past `cut`.
    pub(super) fn nearest_copy(
        &self,
        name: &Name,
        hash: &str,
        cut: &Checkpoint,
    ) -> Result<Option<(PathBuf, Checkpoint)>> {
        let copies = self.catalogue().copies()?;
        let usable =
            copies.into_iter().filter(|copy| copy.name == name.as_str() && copy.hash == hash).filter_map(|copy| {
                let today = self.shared().epochs.resolve(Some(&copy.checkpoint), &self.shared().recent.heads()).ok()?;
                cut.covers(&today).then(|| (self.files.copies().join(copy.file), today))
            });
        Ok(usable.min_by_key(|(_, stands)| stands.distance_to(cut)))
    }
}

/// Copies a database as it is at one moment, while others write it. The copy is one file that stands alone.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = build::open_reader(from)?;
    let mut target = build::open_new(to, Durability::Scratch)?;
    {
        let backup = Backup::new(&source, &mut target)?;
        let mut tries = 0;
        // All pages in one step: a copy made in several begins anew after every commit in between.
        while backup.step(-1)? != StepResult::Done {
            tries += 1;
            if tries > BUSY_TRIES {
                return Err(Error::Store("the read model could not be read, it stayed locked".to_owned()));
            }
            std::thread::sleep(BUSY_PAUSE);
        }
    }
    target.execute_batch(sql!("close_backup"))?;
    target.close().map_err(|(_, error)| error.into())
}

/// Removes copies that hold events which the log does not have any more.
pub(super) fn remove_ahead(
    catalogue: &mut catalogue::Catalogue,
    files: &Files,
    shared: &crate::store::Shared,
) -> Result<()> {
    let head = shared.recent.heads();
    for copy in catalogue.copies()? {
        if let Err(error) = shared.epochs.resolve(Some(&copy.checkpoint), &head) {
            tracing::warn!(copy = copy.file, %error, "a copy of a read model is ahead of the log and is removed");
            catalogue.change(|conn| catalogue::delete_copy(conn, &copy.file))?;
            let _ = files::remove_database(&files.copies().join(&copy.file));
        }
    }
    Ok(())
}
