//! Where clusters and templates live.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};
use crate::server_user::ServerUser;

/// The path of a unix socket has at most 107 bytes on Linux and 103 elsewhere; what we add to this takes less than 43.
const BASE_BYTES_MAX: usize = 60;

/// Where temporary directories go: a short path that the server's user reaches.
fn base(user: ServerUser) -> PathBuf {
    // The path as the server sees it: on macOS `/tmp` is a link, and a link may lead to a longer path.
    let fits = |path: PathBuf| {
        let path = path.canonicalize().ok()?;
        (path.as_os_str().len() <= BASE_BYTES_MAX && user.reaches(&path)).then_some(path)
    };
    fits(std::env::temp_dir()).unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// Makes a directory for one cluster. Its name says which process made it.
pub(crate) fn new_cluster_directory(user: ServerUser) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let base = base(user);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("pacioli-pg-{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => {
                give(&path, user)?;
                return Ok(path);
            }
            // Left by a machine that went down under an earlier process of this number.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::cannot(format_args!("make {}", path.display()))(error)),
        }
    }
}

/// The directory of the templates, which outlive a process: in cargo's target directory, so that `cargo clean` takes them
/// along, if the server's user reaches that; else among the temporary files.
pub(crate) fn templates(user: ServerUser) -> Result<PathBuf> {
    let in_target = target_directory().filter(|path| user.reaches(path)).map(|path| path.join("pacioli-pgtest"));
    if let Some(path) = in_target
        && make(&path, user).is_ok()
    {
        return Ok(path);
    }
    let path = base(user).join(format!("pacioli-pgtest-{}", user.uid()));
    make(&path, user)?;
    Ok(path)
}

/// Cargo marks its target directory, and the test binary that runs this lies below it.
fn target_directory() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().skip(1).find(|path| path.join("CACHEDIR.TAG").is_file()).map(Path::to_path_buf)
}

fn make(path: &Path, user: ServerUser) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::cannot(format_args!("make {}", path.display())))?;
    give(path, user)
}

/// The server's user owns it and keeps it to itself: a cluster trusts whoever reaches its socket. Root does all the same.
fn give(path: &Path, user: ServerUser) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o700))
        .and_then(|()| user.own(path))
        .map_err(Error::cannot(format_args!("give {} to the user of the server", path.display())))
}
