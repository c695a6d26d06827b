//! A backup is whole, taken while the server serves, and overwrites nothing.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Server, pacioli, run, text};

#[test]
fn a_backup_is_whole_and_overwrites_nothing() {
    let server = Server::start();
    for n in 0..20 {
        server.append("account-1", "T", &n.to_string());
    }
    let copy = text(&server.file("copy.db"));
    let line = server.run(&["backup", &copy]).line();
    assert_eq!(line["file"], copy.as_str());
    assert_eq!(line["bytes"].as_u64().unwrap(), std::fs::metadata(&copy).unwrap().len());
    assert!(std::fs::read(&copy).unwrap().starts_with(b"SQLite format 3"));
    server.run(&["backup", &copy]).fails(1, "exists already");
    assert!(server.run(&["backup", &text(&server.file("copy2.db")), "--output", "table"]).out.starts_with("wrote "));

    let memory = run(["backup", &text(&server.file("memory.db")), "--store", "memory:"]);
    memory.fails(1, "in-memory");
    assert!(!server.file("memory.db").exists());
}

#[test]
fn a_backup_to_a_pipe_is_refused() {
    run(["backup", "-", "--store", "memory:"]).fails(2, "pipe");
    assert!(!std::path::Path::new("-").exists());
}

/// A directory for temporary files is often too small for a copy of the store, and nobody tidies the data's.
#[test]
fn backups_are_put_together_beside_the_data_and_torn_ones_are_swept_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let torn = directory.path().join(".pacioli-backup-torn");
    std::fs::create_dir(&torn).unwrap();
    std::fs::write(torn.join("store"), "half of it").unwrap();
    let mut server = pacioli()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let listens = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(" listens on ")));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(listens.is_some());
    assert!(!torn.exists());
    assert!(directory.path().join("log.db").exists());
}
