//! Queries read, within their bounds, and nothing else.

use std::time::{Duration, Instant};

use pacioli_projection::answer::{Answer, Kind, Value};
use pacioli_projection::engine::{Engine, Lookup, Query, QueryError, QueryLimits, Role};
use pacioli_sqlite::SqliteModels;

use super::support::{BALANCES, TOTALS, deposit, lookup, models, name, projection, query, rows, text, to_head};
use crate::support::open;

const NOTES: &str = "-- projection: notes
-- version: 1
-- category: account

CREATE VIRTUAL TABLE notes USING fts5 (account UNINDEXED, note);
CREATE TABLE log_of_notes (position BIGINT PRIMARY KEY, streams TEXT NOT NULL);
CREATE VIEW loud AS SELECT upper(streams) AS streams FROM log_of_notes;

-- on: *
INSERT INTO notes (account, note) VALUES (:stream, :data.note);
INSERT INTO log_of_notes (position, streams) VALUES (:position, :stream);
";

async fn served(directory: &std::path::Path, events: u128) -> SqliteModels {
    let store = open(directory);
    deposit(&store, 1, events, 3).await;
    let models = models(&store);
    for (of, file) in [("balances", BALANCES), ("totals", TOTALS), ("notes", NOTES)] {
        models.begin(&projection(file), 1).await.expect("a build");
        to_head(&models, of, Role::Serving, 1_000).await.expect("advances");
    }
    models
}

async fn refusal(models: &SqliteModels, sql: &str) -> String {
    match query(models, sql).await {
        Err(QueryError::Refused(why)) => why,
        other => panic!("{sql}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_sees_read_models_and_the_log_in_one_statement() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = served(directory.path(), 100).await;
    let both = "WITH counted AS (SELECT stream, count(*) AS events FROM events GROUP BY stream)
        SELECT account, moves = events, (SELECT count(*) FROM totals) FROM balances JOIN counted ON stream = account";
    let found = rows(&models, both).await;
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|row| row[1..] == [Value::Int(1), Value::Int(2)]), "{found:?}");
    assert_eq!(
        rows(&models, "SELECT count(*) FROM loud").await,
        rows(&models, "SELECT count(*) FROM log_of_notes").await
    );
    assert_eq!(rows(&models, "SELECT account FROM notes WHERE notes MATCH '\"note 7\"'").await, [[text("account-1")]]);
    let named = models.named_by(both).await.expect("names");
    assert_eq!(named, [name("balances"), name("totals")]);
    assert_eq!(models.named_by("SELECT count(*) FROM events").await.expect("no names"), []);
    assert_eq!(models.named_by("-- a comment\n /* another */ VALUES (1)").await.expect("no names"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relation_events_has_what_the_view_of_the_log_has() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = served(directory.path(), 60).await;
    let columns = "partition, position, stream, category, key, version, type, schema_version, id, data, metadata, tags, \
        occurred_at, recorded_at";
    let answer = query(&models, &format!("SELECT {columns} FROM events ORDER BY position")).await.expect("an answer");
    let all = query(&models, "SELECT * FROM events ORDER BY position").await.expect("an answer");
    assert_eq!(answer, all, "these are all columns, in this order");
    assert_eq!(answer.columns[9].kind, Kind::Json);
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let conn = rusqlite::Connection::open_with_flags(directory.path().join("log.db"), flags).expect("the log");
    let mut statement = conn.prepare(&format!("SELECT {columns} FROM events ORDER BY position")).expect("the view");
    let mut found = statement.query([]).expect("rows");
    for row in &answer.rows {
        let theirs = found.next().expect("a row").expect("as many rows");
        for (at, value) in row.iter().enumerate() {
            let same = match (value, theirs.get_ref(at).expect("a value")) {
                (Value::Null, rusqlite::types::ValueRef::Null) => true,
                (Value::Int(ours), rusqlite::types::ValueRef::Integer(theirs)) => *ours == theirs,
                (Value::Text(ours) | Value::Json(ours), rusqlite::types::ValueRef::Text(theirs)) => {
                    ours.as_bytes() == theirs
                }
                _ => false,
            };
            assert!(same, "column {at}: {value:?}");
        }
    }
    assert!(found.next().expect("the end").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_writes_or_looks_elsewhere_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = served(directory.path(), 30).await;
    let secret = directory.path().join("log.db");
    let attach = format!("ATTACH '{}' AS stolen", secret.display());
    let refused = [
        "DELETE FROM balances",
        "INSERT INTO balances VALUES ('a', 1, 1, 'x')",
        "UPDATE balances SET cents = 0",
        "UPDATE events SET type = 'x'",
        "REPLACE INTO balances VALUES ('a', 1, 1, 'x')",
        "WITH x AS (SELECT 1) DELETE FROM balances",
        "WITH x AS (SELECT 1) INSERT INTO balances SELECT 'a', 1, 1, 'x'",
        "CREATE TABLE t (x int)",
        "CREATE TEMP TABLE t (x int)",
        "CREATE TEMP VIEW t AS SELECT 1",
        "CREATE VIRTUAL TABLE v USING fts5vocab(notes, row)",
        "DROP TABLE balances",
        "ALTER TABLE balances RENAME TO b",
        "CREATE INDEX i ON balances (cents)",
        "CREATE TRIGGER t AFTER INSERT ON balances BEGIN SELECT 1; END",
        "ATTACH 'x' AS y",
        &attach,
        "DETACH pacioli_0",
        "PRAGMA writable_schema = 1",
        "PRAGMA query_only = 0",
        "PRAGMA journal_mode",
        "SELECT * FROM pragma_table_info('balances')",
        "SELECT count(*) FROM pragma_database_list",
        "SELECT * FROM pragma_function_list",
        "SELECT sql FROM sqlite_schema",
        "SELECT count(*) FROM sqlite_master",
        "SELECT * FROM sqlite_temp_schema",
        "SELECT * FROM dbstat",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE balances",
        "SELECT 1; PRAGMA query_only = 0",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "VACUUM",
        "VACUUM INTO '/dev/null'",
        "ANALYZE",
        "REINDEX",
        "EXPLAIN SELECT 1",
        "EXPLAIN QUERY PLAN SELECT 1",
        "SET statement_timeout = 0",
        "COPY balances TO STDOUT",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT writefile('/tmp/x', 'y')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT sqlite_version()",
        "SELECT zeroblob(1000000000)",
        "SELECT hex(randomblob(1000000000))",
        "SELECT last_insert_rowid()",
        "SELECT 'a' FROM (SELECT load_extension('x')) AS x",
        "",
        "   ",
        "-- nothing",
        "/* nothing",
    ];
    for sql in refused {
        match query(&models, sql).await {
            Err(QueryError::Refused(_)) => {}
            // What SQLite does not even have is as good as refused.
            Err(QueryError::Invalid(why)) => assert!(why.contains("no such function"), "{sql}: {why}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
    for hidden in [
        "log",
        "streams",
        "types",
        "meta",
        "append_keys",
        "leases",
        "index_runs",
        "main.balances",
        "pacioli_0.balances",
        "pacioli_log.log",
        "pacioli_log.meta",
        "temp.events",
        "pacioli_progress",
        "pacioli_build",
        "batch",
    ] {
        for sql in [
            format!("SELECT * FROM {hidden}"),
            format!("SELECT count(*) FROM {hidden}"),
            format!("SELECT * FROM balances, {hidden}"),
            format!("WITH events AS (SELECT * FROM {hidden}) SELECT * FROM events, balances"),
            format!("SELECT (SELECT count(*) FROM {hidden}) FROM events"),
        ] {
            let answer = query(&models, &sql).await;
            assert!(matches!(answer, Err(QueryError::Invalid(_) | QueryError::Refused(_))), "{sql}: {answer:?}");
        }
    }
    assert!(refusal(&models, "SELECT 1; SELECT 2").await.contains("one statement"));
    assert!(refusal(&models, "DELETE FROM balances").await.contains("SELECT"));
    let still = rows(&models, "SELECT count(*) FROM balances").await;
    assert_eq!(still, [[Value::Int(3)]], "all that did nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_at_its_bounds() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = served(directory.path(), 60).await;
    let ask = |sql: &str, limits: QueryLimits| {
        let (models, sql) = (models.clone(), sql.to_owned());
        async move { models.query(Query { sql, as_of: None, limits }).await }
    };
    let short = QueryLimits { time_max: Duration::from_millis(200), ..QueryLimits::default() };
    let endless = [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n, n AS m WHERE m.i < 0",
        "SELECT count(*) FROM events a, events b, events c, events d, events e, events f",
        "WITH RECURSIVE n(i) AS (SELECT 'x' UNION ALL SELECT i || i FROM n WHERE length(i) < 1000000) SELECT count(*) FROM n a, n b, n c, n d, n e, n f, n g, n h",
    ];
    for sql in endless {
        let started = Instant::now();
        let late = ask(sql, short).await;
        assert!(matches!(late, Err(QueryError::Late(_))), "{sql}: {late:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{sql}: {:?}", started.elapsed());
    }
    let few = QueryLimits { rows_max: 10, ..QueryLimits::default() };
    assert_eq!(ask("SELECT position FROM events LIMIT 10", few).await.expect("ten rows").rows.len(), 10);
    let many = ask("SELECT position FROM events LIMIT 11", few).await;
    assert!(matches!(&many, Err(QueryError::TooMuch(why)) if why.contains("10 rows")), "{many:?}");
    let small = QueryLimits { bytes_max: 1_000, ..QueryLimits::default() };
    let large = ask("SELECT data FROM events", small).await;
    assert!(matches!(&large, Err(QueryError::TooMuch(why)) if why.contains("1000 bytes")), "{large:?}");
    let huge = "WITH RECURSIVE n(i, t) AS (SELECT 1, 'xxxxxxxx' UNION ALL SELECT i + 1, t || t FROM n WHERE i < 40) SELECT max(length(t)) FROM n";
    let huge = ask(huge, QueryLimits::default()).await;
    assert!(matches!(huge, Err(QueryError::TooMuch(_))), "{huge:?}");
    for deep in
        [format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)), format!("SELECT {}1", "1+".repeat(5_000))]
    {
        let deep = ask(&deep, QueryLimits::default()).await;
        assert!(matches!(deep, Err(QueryError::Invalid(_))), "{deep:?}");
    }
    let long = ask(&format!("SELECT '{}'", "x".repeat(100_000)), QueryLimits::default()).await;
    assert!(matches!(long, Err(QueryError::Invalid(_) | QueryError::TooMuch(_))), "{long:?}");
    // And the connection is as good as before.
    assert_eq!(rows(&models, "SELECT count(*) FROM totals").await, [[Value::Int(2)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_asker_goes_away_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = served(directory.path(), 60).await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    // More than may run at the same time: if they did not end, the last query would wait for its turn in vain.
    for _ in 0..20 {
        let asked = query(&models, endless);
        assert!(tokio::time::timeout(Duration::from_millis(20), asked).await.is_err());
    }
    let limits = QueryLimits { time_max: Duration::from_secs(10), ..QueryLimits::default() };
    let next = models.query(Query { sql: "SELECT 1".to_owned(), as_of: None, limits }).await;
    assert_eq!(next.expect("an answer").rows, [[Value::Int(1)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = served(directory.path(), 30).await;
    for (sql, said) in [
        ("SELECT x FROM nowhere", "there are balances, log_of_notes, loud, notes, totals, events"),
        ("SELECT absent FROM balances", "no such column: absent"),
        ("SELECT \"absent\" FROM balances", "no such column: \"absent\""),
        ("SELECT FROM balances", "syntax error"),
        ("SELECT * FROM balances WHERE account = ?", "no parameters"),
        ("SELECT no_such(1)", "no such function"),
        ("SELECT json_extract('{', '$')", "malformed JSON"),
    ] {
        let answer = query(&models, sql).await;
        assert!(matches!(&answer, Err(QueryError::Invalid(why)) if why.contains(said)), "{sql}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_keep_their_kinds() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = served(directory.path(), 30).await;
    let answer = query(&models, "SELECT 1 AS i, 1.5 AS f, 'x' AS t, x'00ff' AS b, NULL AS n, 1 AS i").await;
    let Answer { columns, rows } = answer.expect("an answer");
    let kinds: Vec<(&str, Kind)> = columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    let expected = [
        ("i", Kind::Int),
        ("f", Kind::Float),
        ("t", Kind::Text),
        ("b", Kind::Bytes),
        ("n", Kind::Any),
        ("i", Kind::Int),
    ];
    assert_eq!(kinds, expected);
    let bytes = Value::Bytes(vec![0, 255]);
    assert_eq!(rows, [[Value::Int(1), Value::Float(1.5), text("x"), bytes, Value::Null, Value::Int(1)]]);
    let mixed = query(&models, "VALUES (1), ('x')").await.expect("an answer");
    assert_eq!(mixed.columns[0].kind, Kind::Any);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_read_finds_rows_by_values_as_their_columns_hold_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = served(directory.path(), 60).await;
    let ask = |lookup: Lookup| {
        let models = models.clone();
        async move { models.lookup(lookup, QueryLimits::default()).await }
    };
    let one = ask(lookup("balances", "account", "account-1")).await.expect("an answer");
    let names: Vec<&str> = one.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((names, one.rows.len()), (vec!["account", "cents", "moves", "last_note"], 1));
    let cents = match &one.rows[0][1] {
        Value::Int(cents) => cents.to_string(),
        other => panic!("{other:?}"),
    };
    let by_number = ask(lookup("balances", "cents", &cents)).await.expect("an answer");
    assert_eq!(by_number.rows, one.rows, "a number is found by its text");
    let all = Lookup {
        table: "balances".to_owned(),
        equals: Vec::new(),
        order: Some(("account".to_owned(), true)),
        limit: 2,
    };
    let last_two: Vec<Value> = ask(all).await.expect("an answer").rows.into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(last_two, [text("account-2"), text("account-1")]);
    assert_eq!(ask(lookup("loud", "streams", "ACCOUNT-1")).await.expect("a view too").rows.len(), 20);
    for (wrong, said) in [
        (lookup("nowhere", "a", "b"), "there are balances"),
        (lookup("balances", "nothing", "b"), "it has account, cents, moves, last_note"),
        (lookup("balances", "account\" = '' OR 1 --", "b"), "has no column"),
        (lookup("balances; DROP TABLE balances", "account", "b"), "there is no table"),
        (lookup("sqlite_schema", "name", "b"), "there is no table"),
        (lookup("pacioli_progress", "worker", "0"), "there is no table"),
    ] {
        let answer = ask(wrong.clone()).await;
        assert!(matches!(&answer, Err(QueryError::Invalid(why)) if why.contains(said)), "{wrong:?}: {answer:?}");
    }
    let injected = ask(lookup("balances", "account", "' OR 1=1 --")).await.expect("an answer");
    assert_eq!(injected.rows.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_named_as_those_of_the_log_are_the_projections() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 30, 3).await;
    let models = models(&store);
    let text = "-- projection: names\n-- version: 1\n-- category: account\nCREATE TABLE streams (its TEXT PRIMARY KEY, name TEXT);\nCREATE TABLE types (id BIGINT);\n-- on: *\nINSERT INTO streams (its, name) VALUES (:stream, 'ours') ON CONFLICT DO NOTHING;\n";
    models.begin(&projection(text), 1).await.expect("a build");
    to_head(&models, "names", Role::Serving, 1_000).await.expect("advances");
    let both = "SELECT DISTINCT name, (SELECT count(*) FROM types) FROM streams JOIN events ON stream = its WHERE type = 'Deposited'";
    assert_eq!(rows(&models, both).await, [[Value::Text("ours".to_owned()), Value::Int(0)]]);
}
