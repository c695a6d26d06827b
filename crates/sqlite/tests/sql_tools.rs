//! Any SQLite tool queries the `events` view, complete while the store is open.

use rusqlite::{Connection, OpenFlags};

use crate::support::{append, event, fill, open};

#[tokio::test(flavor = "multi_thread")]
async fn the_view_is_complete_while_serving() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    fill(&store, 1, 2_500, 10).await;
    append(&store, "account-7-eu", vec![event(1 << 80, "Opened")]).await;
    let conn = Connection::open_with_flags(directory.path().join("log.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("a reader");
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count");
    assert_eq!(count("SELECT count(*) FROM events"), 2_501);
    assert_eq!(count("SELECT count(*) FROM events WHERE stream = 'filled-3' AND type = 'Filled'"), 250);
    assert_eq!(count("SELECT count(*) FROM events WHERE data->>'n' = 17"), 1);
    let row: (i64, i64, String, String, i64, String, String, String) = conn
        .query_row(
            "SELECT partition, position, category, key, version, id, occurred_at, recorded_at FROM events WHERE type = 'Opened'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?)),
        )
        .expect("the event");
    assert_eq!((row.0, row.1, row.2.as_str(), row.3.as_str(), row.4), (0, 2_501, "account", "7-eu", 0));
    assert_eq!(row.5, uuid::Uuid::from_u128(1 << 80).to_string());
    assert_eq!(row.6, row.7);
    assert!(row.7.ends_with('Z') && row.7.len() == 27, "{}", row.7);
}
