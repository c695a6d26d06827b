//! A backup is whole, taken while the server serves, and overwrites nothing.

use crate::support::{Server, run, text};

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
