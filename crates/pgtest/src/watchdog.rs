//! The small process that stops a cluster and removes its directory when ours has gone.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result};

/// A running `watchdog.sh`. Dropping it removes the directory.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
    directory: PathBuf,
}

impl Watchdog {
    /// Watches over this directory from now on.
    pub(crate) fn start(directory: &Path) -> Result<Watchdog> {
        let child = Command::new("sh")
            .args(["-c", include_str!("watchdog.sh"), "pacioli-pgtest-watchdog"])
            .arg(directory)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C, and whatever else ends the group of processes that the tests run in, leaves it alone.
            .process_group(0)
            .spawn()
            .map_err(Error::cannot("start the watchdog, a shell script"))?;
        Ok(Watchdog { child, directory: directory.to_owned() })
    }

    /// Tells it which server runs; `None`: none does any more.
    pub(crate) fn server(&mut self, pid: Option<u32>) -> Result<()> {
        let line = pid.map_or_else(|| "\n".to_owned(), |pid| format!("{pid}\n"));
        let pipe = self.child.stdin.as_mut().ok_or_else(|| Error::new("the watchdog has no pipe"))?;
        pipe.write_all(line.as_bytes()).map_err(Error::cannot("tell the watchdog of the server"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // `wait` closes the pipe first, which is the sign the script waits for.
        if !self.child.wait().is_ok_and(|status| status.success()) {
            // Somebody killed it. What cannot be removed either is left to the machine's cleaning of temporary files.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}
