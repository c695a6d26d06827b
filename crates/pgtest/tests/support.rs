//! What the tests share: is a process there, and waiting for what must happen.

use std::time::{Duration, Instant};

use pacioli_pgtest::{Cluster, ClusterOptions};

/// A cluster as most tests want it.
#[track_caller]
pub(crate) fn started() -> Cluster {
    Cluster::start(ClusterOptions::default()).unwrap()
}

/// Whether the process runs. One that has ended, but of whose end nobody took note, does not.
pub(crate) fn runs(pid: u32) -> bool {
    if !std::path::Path::new("/proc/self/stat").exists() {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        return rustix::process::test_kill_process(pid).is_ok();
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, so: impl Fn() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < Duration::from_secs(20), "still not so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
