//! A data directory fresh from `initdb`, made once and copied for every cluster: a copy takes a tenth of the time.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries::Binaries;
use crate::error::{Error, Result};
use crate::places;
use crate::processes;
use crate::server_user::ServerUser;

/// Checksums (`-k`), without which `pg_rewind` refuses; no sync (`-N`), because a template that is lost is made again.
const INITDB: [&str; 9] =
    ["--encoding=UTF8", "--locale=C", "--auth=trust", "-U", "postgres", "-N", "-k", "--no-instructions", "-D"];

/// The settings of a cluster are in a file of our own, so that a standby's differ from those it was copied from.
pub(crate) const SETTINGS_FILE: &str = "pacioli-pgtest.conf";

/// Copies the template into `data`, making it first if it is missing or was made by another version.
pub(crate) fn copy(binaries: &Binaries, user: ServerUser, data: &Path) -> Result<()> {
    let template = prepare(binaries, user)?;
    let mut copy = Command::new("cp");
    // As the server's user, so that the copy is its own.
    processes::run(user.run(copy.arg("-Rp").arg(&template).arg(data).current_dir("/")))
}

fn prepare(binaries: &Binaries, user: ServerUser) -> Result<PathBuf> {
    let parent = places::templates(user)?;
    let template = parent.join(name(binaries, user));
    if template.is_dir() {
        return Ok(template);
    }

    // 1. One process makes it and the others wait. The system lets go of the lock of a process that was killed.
    let lock = parent.join("lock");
    let lock = File::create(&lock).map_err(Error::cannot(format_args!("make {}", lock.display())))?;
    lock.lock().map_err(Error::cannot("lock the directory of the templates"))?;
    if template.is_dir() {
        return Ok(template);
    }

    // 2. Under another name, so that the real one appears whole or not at all.
    let unfinished = parent.join("unfinished");
    let cannot = || Error::cannot(format!("prepare {}", unfinished.display()));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(cannot())?;
    }
    let mut initdb = Command::new(binaries.program("initdb")?);
    initdb.args(INITDB).arg(&unfinished).current_dir(&parent);
    processes::run(user.run(processes::clean(&mut initdb)))?;
    File::options()
        .append(true)
        .open(unfinished.join("postgresql.conf"))
        .and_then(|mut file| writeln!(file, "include '{SETTINGS_FILE}'"))
        .map_err(cannot())?;
    fs::rename(&unfinished, &template).map_err(cannot())?;
    Ok(template)
}

/// Templates of different versions, of two builds of one version, of other options and of other owners live side by side.
fn name(binaries: &Binaries, user: ServerUser) -> String {
    let mut hasher = DefaultHasher::new();
    (binaries.version(), binaries.directory(), INITDB, SETTINGS_FILE, user.uid()).hash(&mut hasher);
    format!("{}-{:016x}", binaries.major(), hasher.finish())
}
