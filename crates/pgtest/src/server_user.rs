//! As whom PostgreSQL's programs run: it refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};

/// Other names for the user of an installation, where a distribution has no `postgres`.
const USERS: [&str; 2] = ["postgres", "_postgres"];

/// The user that owns the clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerUser {
    /// The one who runs the tests.
    Same,
    /// The tests run as root, and PostgreSQL as this user, `postgres` by name.
    Other {
        /// Its user id.
        uid: u32,
        /// The id of its group.
        gid: u32,
    },
}

impl ServerUser {
    /// Who it is here.
    ///
    /// # Errors
    ///
    /// When this process is root and the machine has no user `postgres`.
    pub fn find() -> Result<ServerUser> {
        if !rustix::process::geteuid().is_root() {
            return Ok(ServerUser::Same);
        }
        let users = std::fs::read_to_string("/etc/passwd").map_err(Error::cannot("read /etc/passwd"))?;
        USERS.iter().find_map(|name| named(&users, name)).ok_or_else(|| {
            Error::new(
                "PostgreSQL does not run as root, and this machine has no user `postgres` to run it as. Install the \
                 distribution's PostgreSQL, which makes one; or run: useradd --system postgres",
            )
        })
    }

    /// Its user id.
    pub fn uid(self) -> u32 {
        match self {
            ServerUser::Same => rustix::process::geteuid().as_raw(),
            ServerUser::Other { uid, .. } => uid,
        }
    }

    /// Makes the command run as this user.
    pub fn run(self, command: &mut Command) -> &mut Command {
        match self {
            ServerUser::Same => command,
            // The standard library drops root's further groups along with its id.
            ServerUser::Other { uid, gid } => command.uid(uid).gid(gid),
        }
    }

    /// Gives the file or directory to this user.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn own(self, path: &Path) -> std::io::Result<()> {
        match self {
            ServerUser::Same => Ok(()),
            ServerUser::Other { uid, gid } => std::os::unix::fs::lchown(path, Some(uid), Some(gid)),
        }
    }

    /// Whether this user may go through the directory and all above it. Root's own directories are often closed.
    pub fn reaches(self, directory: &Path) -> bool {
        let ServerUser::Other { uid, gid } = self else { return directory.is_dir() };
        let Ok(directory) = directory.canonicalize() else { return false };
        directory.ancestors().all(|one| {
            one.metadata().is_ok_and(|one| {
                let class = match () {
                    () if one.uid() == uid => 0o100,
                    () if one.gid() == gid => 0o010,
                    () => 0o001,
                };
                one.mode() & class != 0
            })
        })
    }
}

/// The user of this name in the text of `/etc/passwd`.
fn named(users: &str, name: &str) -> Option<ServerUser> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        Some(ServerUser::Other { uid, gid: fields.next()?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_the_table_of_users() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgresx:x:1:1::/:\npostgres:x:101:104:a, b:/var:/bin/sh\n";
        assert_eq!(named(users, "postgres"), Some(ServerUser::Other { uid: 101, gid: 104 }));
        assert_eq!(named(users, "_postgres"), None);
    }

    #[test]
    fn a_closed_directory_is_out_of_reach_for_others() {
        use std::os::unix::fs::PermissionsExt;
        let directory = std::env::temp_dir().join(format!("pacioli-reach-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("inside")).unwrap();
        let nobody = ServerUser::Other { uid: 4_000_000, gid: 4_000_000 };
        let mut reached = Vec::new();
        for mode in [0o711, 0o770] {
            std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
            reached.push(nobody.reaches(&directory.join("inside")));
        }
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(reached, [true, false]);
        assert!(ServerUser::Same.reaches(Path::new("/")));
    }

    #[test]
    fn commands_do_not_run_as_root() {
        let output = ServerUser::find().unwrap().run(Command::new("id").arg("-u")).output().unwrap();
        assert_ne!(String::from_utf8(output.stdout).unwrap().trim(), "0");
    }
}
