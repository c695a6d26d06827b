//! What an application writes and the events of it become durable together, or neither does.

use pacioli_core::Version;

use super::session::{Asked, Subject, append, asked, conflict};

#[tokio::test]
async fn rows_and_events_commit_or_roll_back_together() {
    let subject = Subject::new("together", 1).await;
    let mut session = subject.session().await;
    session.batch_execute("CREATE TABLE wallets (name text PRIMARY KEY, amount int)").await.unwrap();

    let both = session.transaction().await.unwrap();
    both.execute("INSERT INTO wallets VALUES ('wallet-1', 5)", &[]).await.unwrap();
    append(both.client(), &asked("wallet-1")).await.unwrap();
    both.commit().await.unwrap();

    let neither = session.transaction().await.unwrap();
    neither.execute("INSERT INTO wallets VALUES ('wallet-2', 5)", &[]).await.unwrap();
    let answer = append(neither.client(), &asked("wallet-2")).await.unwrap();
    assert_eq!(answer.positions, (2, 2));
    neither.rollback().await.unwrap();

    // A conflict takes the row with it.
    let late = session.transaction().await.unwrap();
    late.execute("INSERT INTO wallets VALUES ('wallet-3', 5)", &[]).await.unwrap();
    conflict(append(late.client(), &Asked { expected: "none", ..asked("wallet-1") }).await);
    late.commit().await.unwrap();

    let rows = session.query("SELECT name FROM wallets", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>(), ["wallet-1"]);
    let log = subject.log().await;
    assert_eq!(log.iter().map(|event| event.stream.as_str()).collect::<Vec<_>>(), ["wallet-1"]);
}

#[tokio::test]
async fn a_rolled_back_savepoint_gives_its_positions_back() {
    let subject = Subject::new("savepoints", 1).await;
    let session = subject.session().await;
    session.batch_execute("BEGIN; SAVEPOINT first").await.unwrap();
    let first = append(&session, &asked("wallet-1")).await.unwrap();
    session.batch_execute("ROLLBACK TO first").await.unwrap();
    // The lock went with the savepoint: a server can come between.
    let between = subject.session().await;
    assert_eq!(append(&between, &asked("wallet-2")).await.unwrap().positions, first.positions);
    let kept = append(&session, &asked("wallet-1")).await.unwrap();
    assert_eq!((kept.versions, kept.positions), ((0, 0), (2, 2)));
    session.batch_execute("SAVEPOINT second").await.unwrap();
    conflict(append(&session, &Asked { expected: "none", ..asked("wallet-1") }).await);
    session.batch_execute("ROLLBACK TO second; COMMIT").await.unwrap();
    assert_eq!(subject.log().await.len(), 2);
}

#[tokio::test]
async fn several_appends_in_one_transaction_see_each_other() {
    let subject = Subject::new("several", 1).await;
    let session = subject.session().await;
    session.batch_execute("BEGIN").await.unwrap();
    let seat = r#"{"type":"SeatTaken","data":{},"tags":["seat:7"],"id":"00000000-0000-0000-0000-000000000007"}"#;
    let first = append(&session, &Asked { expected: "none", ..asked("student-1") }.events([seat])).await.unwrap();
    assert_eq!((first.checkpoint.as_str(), first.duplicate), ("0:1", false));
    let again = append(&session, &Asked { expected: "none", ..asked("student-1") }.events([seat])).await.unwrap();
    assert!(again.duplicate && again.positions == first.positions);
    let second = append(&session, &Asked { expected: "0", ..asked("student-1") }).await.unwrap();
    assert_eq!((second.versions, second.positions), ((1, 1), (2, 2)));
    session.batch_execute("SAVEPOINT taken").await.unwrap();
    let unless = Some(r#"{"items":[{"tags":["seat:7"]}]}"#.to_owned());
    let taken = conflict(append(&session, &Asked { unless, ..asked("student-2") }).await);
    assert_eq!(taken.message(), "an event that matches the condition lies at 0:1; read again and decide again");
    session.batch_execute("ROLLBACK TO taken").await.unwrap();
    // What this transaction wrote itself is not past its head.
    let unless = Some(r#"{"items":[{"types":["SeatTaken"]}],"after":"0:2"}"#.to_owned());
    append(&session, &Asked { unless, ..asked("student-2") }).await.unwrap();
    session.batch_execute("COMMIT").await.unwrap();

    // Each is a batch of its own.
    let commits = session.query("SELECT first_pos, last_pos FROM pacioli.commits ORDER BY 1", &[]).await.unwrap();
    let commits: Vec<(i64, i64)> = commits.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(commits, [(1, 1), (2, 2), (3, 3)]);
    let log = subject.log().await;
    assert_eq!(log[1].version, Version(1));
}

#[tokio::test]
async fn a_query_can_append_a_row_at_a_time() {
    let subject = Subject::new("by_query", 1).await;
    let session = subject.session().await;
    let call = "SELECT a.* FROM generate_series(1, 5) n, \
                LATERAL pacioli.append('import-' || n, 'none', ARRAY[jsonb_build_object('type', 'Imported', 'data', n, \
                                       'occurred_at', timestamptz '2020-02-29 12:00+01')]) a";
    let rows = session.query(call, &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, i64>("last_position")).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let log = subject.log().await;
    assert_eq!(log[4].data.bytes().as_ref(), b"5");
    assert_eq!(log[4].occurred_at.unwrap().as_micros(), 1_582_974_000_000_000);
}
