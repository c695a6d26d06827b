//! Running programs, and what the system knows of processes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::{Error, Result};

/// Removes the settings for PostgreSQL's clients, such as PGDATA and PGHOST, that the tester's shell may have.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PG")) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end. Its output is shown where it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(Error::cannot(format_args!("start {shown}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Err(Error::new(format!("{shown} failed ({}): {}", output.status, said.trim())))
}

/// Sends a signal. A process that has gone is no error.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    match rustix::process::kill_process(raw(pid)?, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Error::cannot(format_args!("send {signal:?} to process {pid}"))(error)),
    }
}

/// The processes whose parent this is.
pub(crate) fn children(parent: u32) -> Result<Vec<u32>> {
    if !Path::new("/proc/self/stat").exists() {
        return children_by_ps(parent);
    }
    let entries = std::fs::read_dir("/proc").map_err(Error::cannot("list /proc"))?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid| stat(*pid).is_some_and(|(_, its_parent)| its_parent == parent)).collect())
}

/// Whether it runs. A process that has ended, but whose end nobody took note of, does not.
pub(crate) fn runs(pid: u32) -> bool {
    match stat(pid) {
        Some((state, _)) => state != 'Z' && state != 'X',
        None if Path::new("/proc/self/stat").exists() => false,
        None => raw(pid).is_ok_and(|pid| rustix::process::test_kill_process(pid).is_ok()),
    }
}

/// Asks again and again until there is an answer, for so long.
pub(crate) fn wait_for<T>(at_most: Duration, mut answer: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let started = Instant::now();
    loop {
        let answer = answer()?;
        if answer.is_some() || started.elapsed() >= at_most {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn raw(pid: u32) -> Result<Pid> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    raw.ok_or_else(|| Error::new(format!("{pid} is not the id of a process")))
}

/// State and parent, of `/proc/PID/stat`: `4711 (postgres) S 4700 …`. A name may contain anything, so the last `)` counts.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children_by_ps(parent: u32) -> Result<Vec<u32>> {
    let output = Command::new("ps").args(["-A", "-o", "ppid=,pid="]).output().map_err(Error::cannot("run ps"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let pairs = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    });
    Ok(pairs.filter(|(its_parent, _)| *its_parent == parent).map(|(_, pid)| pid).collect())
}
