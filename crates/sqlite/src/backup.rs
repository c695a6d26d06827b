//! Online backup: a consistent copy while appends go on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use pacioli_core::store::{ReadError, StoreError};

use crate::directory::sync_directory;
use crate::error::{Error, Result};
use crate::pool::open_reader;
use crate::schema::{UNOPENED_BACKUP, write_meta};

/// How long to wait before asking a busy database again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How often to ask.
const BUSY_TRIES: usize = 500;

/// Copies the store at `from` to the new file `to`; returns its bytes.
///
/// The copy is made in one read transaction, so it is the log of one moment and no append waits for it. It is written
/// beside its place and renamed once it is synced: a file with the final name is whole. It is marked, so that it begins a
/// new epoch when it is opened as a store.
pub(crate) fn backup(from: &Path, to: &Path) -> Result<u64> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::Read(ReadError::Store(StoreError::new(format!("cannot {what} {}: {error}", to.display()))))
    };
    if to.exists() {
        return Err(failed("write the backup to", &"the file exists; choose another name or remove it"));
    }
    let unfinished = Unfinished(partial_name(to));
    copy(from, &unfinished.0)?;
    let file = File::open(&unfinished.0).map_err(|error| failed("sync the backup", &error))?;
    file.sync_all().map_err(|error| failed("sync the backup", &error))?;
    let bytes = file.metadata().map_err(|error| failed("measure the backup", &error))?.len();
    fs::rename(&unfinished.0, to).map_err(|error| failed("name the backup", &error))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_directory(parent).map_err(|error| failed("sync the folder of", &error))?;
    Ok(bytes)
}

fn partial_name(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{}.partial", uuid::Uuid::new_v4()));
    PathBuf::from(name)
}

/// Removes the file of a backup that did not get to its end.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.0.as_os_str().to_owned();
            name.push(suffix);
            let _ = fs::remove_file(name);
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = open_reader(from)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(to, flags)?;
    {
        let backup = Backup::new(&source, &mut target)?;
        let mut tries = 0;
        // All pages in one step: a copy made in several begins anew after every append in between.
        while backup.step(-1)? != StepResult::Done {
            tries += 1;
            if tries > BUSY_TRIES {
                return Err(Error::Store("the backup could not read the store, it stayed locked".to_owned()));
            }
            std::thread::sleep(BUSY_PAUSE);
        }
    }
    write_meta(&target, UNOPENED_BACKUP, 1)?;
    target.execute_batch(sql!("close_backup"))?;
    target.close().map_err(|(_, error)| error.into())
}
