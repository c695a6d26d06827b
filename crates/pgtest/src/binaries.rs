//! Finds PostgreSQL's programs on this machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};

/// The oldest major version that Pacioli supports.
const MAJOR_MIN: u32 = 15;
/// A directory with these two is an installation of the server.
const SERVER_PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// Where distributions keep the servers: a parent directory, how the entries in it begin, and the way on to the programs.
const INSTALLATIONS: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/usr/local", "pgsql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
];

/// An installation of the PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    version: String,
    major: u32,
}

impl Binaries {
    /// The installation to test with: the directory that `PG_BIN` names; else that of the `initdb` in `PATH`; else the
    /// newest of those in the distributions' usual places.
    ///
    /// # Errors
    ///
    /// When there is none of version 15 or later. The text says what to install.
    pub fn find() -> Result<Binaries> {
        if let Some(directory) = std::env::var_os("PG_BIN").filter(|value| !value.is_empty()) {
            return Binaries::at(Path::new(&directory))
                .and_then(Binaries::supported)
                .map_err(|error| Error::new(format!("PG_BIN is set, but {error}")));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        if let Some(found) = in_path(&path).into_iter().find_map(|found| found.supported().ok()) {
            return Ok(found);
        }
        let mut installed = installed();
        installed.sort_by_key(|one| one.major);
        match installed.pop() {
            Some(newest) => newest.supported(),
            None => Err(Error::new(format!(
                "PostgreSQL's server was not found: no `initdb` and `postgres` in PATH or in the usual places. \
                 Install it ({}), or set PG_BIN to the directory of these programs",
                install_hint()
            ))),
        }
    }

    /// The installation in this directory, of whatever version.
    ///
    /// # Errors
    ///
    /// When `initdb` or `postgres` is not there or does not run.
    pub fn at(directory: &Path) -> Result<Binaries> {
        let directory =
            directory.canonicalize().map_err(Error::cannot(format_args!("open {}", directory.display())))?;
        for program in SERVER_PROGRAMS {
            if !directory.join(program).is_file() {
                return Err(Error::new(format!("{} has no program `{program}`", directory.display())));
            }
        }
        let server = directory.join("postgres");
        let output = Command::new(&server)
            .arg("--version")
            .output()
            .map_err(Error::cannot(format_args!("run {}", server.display())))?;
        // `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; a development version is `19devel`.
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let version = text.split_once(") ").map_or("", |(_, version)| version).to_owned();
        let digits = version.find(|c: char| !c.is_ascii_digit()).map_or(&version[..], |end| &version[..end]);
        match digits.parse() {
            Ok(major) => Ok(Binaries { directory, version, major }),
            Err(_) => Err(Error::new(format!(
                "{} --version says {text:?} {}",
                server.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            ))),
        }
    }

    fn supported(self) -> Result<Binaries> {
        if self.major >= MAJOR_MIN {
            return Ok(self);
        }
        Err(Error::new(format!(
            "{} is PostgreSQL {}, and Pacioli needs {MAJOR_MIN} or later. Install a newer one ({}), or set PG_BIN to the \
             directory of its programs",
            self.directory.display(),
            self.version,
            install_hint()
        )))
    }

    /// The directory of the programs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The version as the server says it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The major version, such as 15.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The path of a program such as `pg_rewind`. Some packages have the server alone.
    ///
    /// # Errors
    ///
    /// When the installation does not have it.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::new(format!(
            "this PostgreSQL has no `{name}` in {}. Unset PG_BIN, or install the whole of PostgreSQL ({})",
            self.directory.display(),
            install_hint()
        )))
    }
}

/// The installations that `PATH` leads to, in its order. A link is followed: the other programs are next to its target.
fn in_path(path: &OsStr) -> Vec<Binaries> {
    let targets = std::env::split_paths(path).filter_map(|entry| entry.join("initdb").canonicalize().ok());
    targets.filter_map(|initdb| Binaries::at(initdb.parent()?).ok()).collect()
}

fn installed() -> Vec<Binaries> {
    let mut found = Vec::new();
    for (parent, prefix, inside) in INSTALLATIONS {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
                found.extend(Binaries::at(&entry.path().join(inside)));
            }
        }
    }
    found
}

fn install_hint() -> &'static str {
    if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else {
        "Debian and Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server postgresql-contrib; \
         Alpine: apk add postgresql"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_path_or_the_usual_places_is_found_and_runs() {
        let found = Binaries::find().unwrap();
        assert!(found.major() >= MAJOR_MIN, "{found:?}");
        assert!(found.version().starts_with(&found.major().to_string()), "{found:?}");
        assert!(found.program("postgres").unwrap().is_file());
        assert!(found.program("pg_no_such").unwrap_err().to_string().contains("`pg_no_such`"));
    }

    #[test]
    fn path_leads_to_the_directory_of_the_target_of_a_link() {
        let found = Binaries::find().unwrap();
        let directory = std::env::temp_dir().join(format!("pacioli-path-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(found.directory().join("initdb"), directory.join("initdb")).unwrap();
        let path = std::env::join_paths([Path::new("/nonexistent"), &directory]).unwrap();
        let through_link = in_path(&path);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(through_link, [found]);
    }

    #[test]
    fn a_directory_without_a_server_is_refused() {
        let error = Binaries::at(Path::new("/")).unwrap_err().to_string();
        assert!(error.contains("/ has no program `initdb`"), "{error}");
    }

    #[test]
    fn an_old_server_is_refused_with_what_to_do() {
        let old = Binaries { directory: PathBuf::from("/old"), version: "14.2".to_owned(), major: 14 };
        let error = old.supported().unwrap_err().to_string();
        assert!(error.contains("/old is PostgreSQL 14.2") && error.contains("PG_BIN"), "{error}");
    }
}
