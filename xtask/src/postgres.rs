//! The PostgreSQL that the tests run on: found, or installed where nobody is there to ask.

pub(crate) mod package;

use std::process::Command;

use anyhow::{Result, bail};
use pacioli_pgtest::Binaries;

use crate::run;

/// Makes sure that the tests find a PostgreSQL, and says which.
///
/// Without one it installs that of the system's package manager, if this process is root or CI's; a person at a keyboard
/// gets the command instead.
pub(crate) fn ensure() -> Result<()> {
    let why = match Binaries::find() {
        Ok(found) => {
            report(&found);
            return Ok(());
        }
        // Installing would not help: PG_BIN has the last word.
        Err(error) if std::env::var_os("PG_BIN").is_some_and(|value| !value.is_empty()) => bail!("{error}"),
        Err(error) => error,
    };
    let Some(manager) = MANAGERS.iter().find(|one| run::succeeds(Command::new(one.program).arg("--version"))) else {
        bail!("{why}");
    };
    let Some(before) = manager.before(Caller::of_this_process()) else {
        bail!("{why}\n\nThis installs it: {}", manager.for_a_person());
    };
    println!("    {why}");
    let installed = manager.commands.iter().try_for_each(|command| announce_and_run(&[before, command].concat()));
    let cleaned = manager.cleanup.iter().try_for_each(|command| announce_and_run(&[before, command].concat()));
    installed.and(cleaned)?;
    report(&Binaries::find()?);
    Ok(())
}

fn announce_and_run(command: &[&str]) -> Result<()> {
    println!("    {}", command.join(" "));
    run::check(Command::new(command[0]).args(&command[1..]), "could not install PostgreSQL; see above")
}

fn report(found: &Binaries) {
    println!("    PostgreSQL {} in {}", found.version(), found.directory().display());
}

/// Who runs the tests, as far as installing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Root,
    /// A run of CI, where `sudo` asks for no password.
    Ci,
    Person,
}

impl Caller {
    fn of_this_process() -> Self {
        let id = Command::new("id").arg("-u").output();
        if id.is_ok_and(|id| id.stdout.trim_ascii() == b"0") {
            Self::Root
        } else if std::env::var_os("CI").is_some_and(|value| value == "true") {
            Self::Ci
        } else {
            Self::Person
        }
    }
}

/// A package manager, and what it is told.
struct Manager {
    program: &'static str,
    /// Run one after the other, up to the first that fails.
    commands: &'static [&'static [&'static str]],
    /// Run afterwards in any case.
    cleanup: &'static [&'static [&'static str]],
    /// Whether it wants to be root. Homebrew refuses to be.
    as_root: bool,
}

const MANAGERS: &[Manager] = &[
    Manager {
        program: "apt-get",
        commands: &[
            // Debian's package makes a cluster and starts it, unless it is told not to.
            &["mkdir", "-p", "/etc/postgresql-common/createcluster.d"],
            &["sh", "-c", "echo create_main_cluster = false >/etc/postgresql-common/createcluster.d/pacioli.conf"],
            &["apt-get", "update"],
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
                "postgresql",
            ],
        ],
        cleanup: &[
            &["rm", "-f", "/etc/postgresql-common/createcluster.d/pacioli.conf"],
            &["rmdir", "--ignore-fail-on-non-empty", "/etc/postgresql-common/createcluster.d"],
        ],
        as_root: true,
    },
    Manager {
        program: "dnf",
        commands: &[&["dnf", "install", "--assumeyes", "postgresql-server", "postgresql-contrib"]],
        cleanup: &[],
        as_root: true,
    },
    Manager {
        program: "apk",
        commands: &[&["apk", "add", "postgresql", "postgresql-contrib"]],
        cleanup: &[],
        as_root: true,
    },
    Manager { program: "brew", commands: &[&["brew", "install", "postgresql@17"]], cleanup: &[], as_root: false },
];

impl Manager {
    /// What goes before the commands for this caller; none for one who is to run them by hand.
    fn before(&self, caller: Caller) -> Option<&'static [&'static str]> {
        match (caller, self.as_root) {
            (Caller::Person, _) | (Caller::Root, false) => None,
            (Caller::Root, true) | (Caller::Ci, false) => Some(&[]),
            (Caller::Ci, true) => Some(&["sudo", "-n"]),
        }
    }

    /// The one command that says it all.
    fn for_a_person(&self) -> String {
        let installs = self.commands.iter().filter(|command| command.contains(&self.program));
        let installs = installs.map(|command| {
            let command = command.strip_prefix(&["env", "DEBIAN_FRONTEND=noninteractive"]).unwrap_or(command);
            format!("{}{}", if self.as_root { "sudo " } else { "" }, command.join(" "))
        });
        installs.collect::<Vec<_>>().join(" && ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(program: &str) -> &'static Manager {
        MANAGERS.iter().find(|one| one.program == program).unwrap()
    }

    #[test]
    fn a_person_gets_one_command_to_run_by_hand() {
        let apt = manager("apt-get");
        assert_eq!(apt.before(Caller::Person), None);
        let expected = "sudo apt-get update && sudo apt-get install --yes --no-install-recommends postgresql";
        assert_eq!(apt.for_a_person(), expected);
        assert_eq!(manager("brew").for_a_person(), "brew install postgresql@17");
    }

    #[test]
    fn root_installs_as_it_is_and_ci_through_sudo_without_a_password() {
        for program in ["apt-get", "dnf", "apk"] {
            assert_eq!(manager(program).before(Caller::Root), Some(&[][..]));
            assert_eq!(manager(program).before(Caller::Ci), Some(&["sudo", "-n"][..]));
        }
        assert_eq!(manager("brew").before(Caller::Ci), Some(&[][..]));
        assert_eq!(manager("brew").before(Caller::Root), None);
    }
}
