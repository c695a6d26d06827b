//! The data directory: where the files are, and that one process at a time has it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use pacioli_core::store::StoreError;

/// A data directory, locked while this value lives.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory where it is missing, and locks it against a second process.
    pub(crate) fn open(path: &Path) -> Result<DataDirectory, StoreError> {
        let failed = |what: &str, error: std::io::Error| {
            StoreError::new(format!("cannot {what} the data directory {}: {error}", path.display()))
        };
        make_private(path).map_err(|error| failed("make", error))?;
        let lock_path = path.join("pacioli.lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(lock_path)
            .map_err(|error| failed("open the lock file of", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::new(format!(
                    "the data directory {} is in use by another process: stop it, or talk to it with --server instead of --store",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        // Only for people who look: the lock itself is the operating system's and ends with the process.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(DataDirectory { path: path.to_owned(), _lock: lock })
    }

    /// The file of the log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log.db")
    }

    /// Makes the names of new files durable: a file whose directory entry is lost at a power cut is lost.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        sync_directory(&self.path)
    }
}

/// Makes the directory for this user alone, where it does not exist: events are nobody else's business.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
