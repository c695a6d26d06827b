//! Where the files of read models are, and which of them belong to nobody.
//!
//! ```text
//!   read-models/
//!     catalogue.db              which builds there are
//!     funnel.3.db               build 3 of the projection `funnel`: its tables, and where it stands
//!     copies/funnel.1.db        a build as it once was
//!     scratch/….db              folds of this process; nobody needs them once it is gone
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pacioli_core::store::StoreError;
use pacioli_projection::engine::BuildNumber;
use pacioli_projection::file::Name;

use crate::directory::{DataDirectory, sync_directory};

/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The directory of read models, locked against other processes while this value lives.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    _lock: DataDirectory,
}

impl Files {
    /// Makes the directory where it is missing, locks it, and removes what a killed process left in its scratch.
    pub(super) fn open(root: &Path) -> Result<Files, StoreError> {
        let lock = DataDirectory::open(root)?;
        let files = Files { root: root.to_owned(), _lock: lock };
        let failed = |error: io::Error| {
            StoreError::new(format!("cannot prepare the directory of read models {}: {error}", root.display()))
        };
        for folder in [files.copies(), files.scratch()] {
            fs::create_dir_all(&folder).map_err(failed)?;
        }
        for file in files_in(&files.scratch()).map_err(failed)? {
            fs::remove_file(file).map_err(failed)?;
        }
        Ok(files)
    }

    pub(super) fn catalogue(&self) -> PathBuf {
        Files::catalogue_in(&self.root)
    }

    /// Where the catalogue is in a directory of read models.
    pub(super) fn catalogue_in(root: &Path) -> PathBuf {
        root.join("catalogue.db")
    }

    pub(super) fn build(&self, name: &Name, number: BuildNumber) -> PathBuf {
        self.root.join(format!("{name}.{}.db", number.0))
    }

    pub(super) fn copies(&self) -> PathBuf {
        self.root.join("copies")
    }

    fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// A new name for a scratch file.
    pub(super) fn new_scratch(&self) -> PathBuf {
        self.scratch().join(format!("{}.db", uuid::Uuid::new_v4().simple()))
    }

    /// Makes new names durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.copies())?;
        sync_directory(&self.root)
    }

    /// Removes the files of builds and copies that the catalogue does not have: it was not told of them before the process
    /// was killed, or their removal did not get to its end. Other files are left alone.
    pub(super) fn remove_leftovers(
        &self,
        is_build: impl Fn(&str, u32) -> bool,
        is_copy: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        for path in files_in(&self.root)? {
            if let Some((name, number)) = database_name(&path).as_deref().and_then(build_of)
                && !is_build(&name, number)
            {
                tracing::warn!(file = %path.display(), "a build that was not finished is removed");
                fs::remove_file(path)?;
            }
        }
        for path in files_in(&self.copies())? {
            let is_known = database_name(&path).is_some_and(|name| is_copy(&name));
            let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(".db"));
            if is_ours && !is_known {
                tracing::warn!(file = %path.display(), "a copy that was not finished is removed");
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Removes a database with what SQLite keeps beside it. A file that is not there is none to remove.
pub(super) fn remove_database(path: &Path) -> io::Result<()> {
    // The database goes last: what is left of a removal that was cut short is still seen as a database.
    for suffix in COMPANIONS.iter().rev() {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// The name of the database that a file is or belongs to.
fn database_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (stem, companion) = name.rsplit_once(".db")?;
    COMPANIONS.contains(&companion).then(|| format!("{stem}.db"))
}

/// The projection and the number of a build's file.
fn build_of(file: &str) -> Option<(String, u32)> {
    let (name, number) = file.strip_suffix(".db")?.rsplit_once('.')?;
    Name::new(name).ok()?;
    Some((name.to_owned(), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_builds_are_taken_for_builds() {
        let build = |file: &str| database_name(Path::new(file)).as_deref().and_then(build_of);
        assert_eq!(build("funnel.3.db"), Some(("funnel".to_owned(), 3)));
        assert_eq!(build("funnel.3.db-wal"), Some(("funnel".to_owned(), 3)));
        for other in
            ["catalogue.db", "catalogue.db-wal", "log.db", "notes.txt", "Funnel.3.db", "funnel.x.db", "funnel.3.db.bak"]
        {
            assert_eq!(build(other), None, "{other}");
        }
    }
}
