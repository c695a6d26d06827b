//! A cluster goes with the test that made it, however that ends.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pacioli_pgtest::{Cluster, ClusterOptions, Shutdown};

use crate::support::{runs, started, wait_until};

#[test]
fn it_is_gone_after_drop_running_or_not() {
    for stop in [false, true] {
        let cluster = started();
        let (directory, pid) = (cluster.socket_directory().to_owned(), cluster.postmaster_pid().unwrap());
        assert!(directory.is_dir() && runs(pid));
        if stop {
            cluster.stop(Shutdown::Fast).unwrap();
        }
        drop(cluster);
        assert!(!directory.exists() && !runs(pid));
    }
}

#[test]
fn it_is_gone_after_a_panic() {
    let panicked = std::thread::spawn(|| {
        let cluster = started();
        std::panic::panic_any((cluster.socket_directory().to_owned(), cluster.postmaster_pid().unwrap()));
    });
    let payload = panicked.join().unwrap_err();
    let (directory, pid) = payload.downcast_ref::<(PathBuf, u32)>().unwrap();
    assert!(!directory.exists() && !runs(*pid));
}

#[test]
fn it_is_gone_when_it_could_not_start() {
    let settings = vec![("shared_buffers".to_owned(), "none".to_owned())];
    let error = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).unwrap_err().to_string();
    let settings_file = error.split('"').find(|part| part.contains("/pacioli-pg-")).expect("the log names the file");
    let directory = Path::new(settings_file).ancestors().nth(2).unwrap();
    assert!(directory.file_name().unwrap().to_str().unwrap().starts_with("pacioli-pg-"), "{error}");
    assert!(!directory.exists(), "{}", directory.display());
}

/// Another process with a cluster, which it shares with nobody: its directory and its postmaster.
fn other_process() -> (Child, PathBuf, u32) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_pacioli-pgtest"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
    let directory = url.split_once("host=").and_then(|(_, rest)| rest.split_once('&')).unwrap().0;
    let pid_file = Path::new(directory).join("data/postmaster.pid");
    let pid = std::fs::read_to_string(pid_file).unwrap().lines().next().unwrap().parse().unwrap();
    (process, PathBuf::from(directory), pid)
}

#[test]
fn a_shared_one_is_gone_after_its_process_has_ended() {
    let (mut process, directory, pid) = other_process();
    assert!(directory.is_dir() && runs(pid));
    // Its input ends.
    assert!(process.wait().unwrap().success());
    wait_until("the directory is gone", || !directory.exists());
    assert!(!runs(pid));
}

#[test]
fn it_is_gone_after_its_process_was_killed() {
    let (mut process, directory, pid) = other_process();
    process.kill().unwrap();
    // What listens to the output of the tests is not kept waiting by processes that they left.
    process.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
    process.wait().unwrap();
    wait_until("the directory is gone", || !directory.exists());
    assert!(!runs(pid));
}
