//! A file that cannot run is refused before it does, with the line and what to do.

use pacioli_projection::Projection;
use pacioli_projection::engine::{Engine, EngineError};
use pacioli_projection::file::Severity;

use super::support::{BALANCES, TOTALS, models, projection};
use crate::support::open;

/// A projection of one table with these statements in a handler, from line 6 on.
fn handler(on: &str, statements: &str) -> String {
    format!(
        "-- projection: t\n-- version: 1\nCREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT, CHECK (n > 0));\nCREATE VIEW v AS SELECT id FROM t;\n-- on{on}\n{statements}\n"
    )
}

async fn problems(text: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let models = models(&open(directory.path()));
    // Much is refused when the file is taken apart; what gets past that is refused here.
    match Projection::parse("test.sql", text) {
        Err(findings) => format!("parse: {}", pacioli_projection::file::listed(&findings)),
        Ok(projection) => {
            let findings = models.check(&projection).await.expect("it can be checked");
            let errors = findings.iter().any(|finding| finding.severity == Severity::Error);
            let begun = models.begin(&projection, 1).await;
            assert_eq!(matches!(begun, Err(EngineError::File(_))), errors, "{begun:?}");
            pacioli_projection::file::listed(&findings)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_has_no_findings() {
    let ok = [
        BALANCES.to_owned(),
        TOTALS.to_owned(),
        pacioli_sqlite::models::REWIND.to_owned(),
        handler(": *", "INSERT OR REPLACE INTO t (id, n) VALUES (:id, :position);"),
        handler(": *", "REPLACE INTO t (id, n) SELECT value, :position FROM json_each(:data, '$.items');"),
        handler(": *", "WITH x AS (SELECT :id AS id) INSERT INTO t (id, n) SELECT id, 1 FROM x;"),
        handler(": *", "UPDATE t SET n = other.n FROM t AS other WHERE other.id = :stream AND t.id = :id;"),
        handler(": *", "DELETE FROM t WHERE id IN (SELECT id FROM v) AND n = :version;"),
        handler(" batch:", "INSERT INTO t (id, n) SELECT id, row_number() OVER (ORDER BY position) FROM batch;"),
        "-- projection: t\n-- version: 1\nCREATE TABLE t (a TEXT, b TEXT GENERATED ALWAYS AS (upper(a)) STORED, PRIMARY KEY (a)) WITHOUT ROWID, STRICT;\n\
         CREATE UNIQUE INDEX i ON t (b);\nCREATE VIRTUAL TABLE f USING fts5 (x, tokenize = 'porter unicode61');\n-- on: *\nINSERT INTO f (x) VALUES (:data.x);\n\
         INSERT INTO t (a) SELECT highlight(f, 0, '[', ']') FROM f WHERE f MATCH :data.x;\n"
            .to_owned(),
    ];
    for text in ok {
        assert_eq!(problems(&text).await, "", "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_finding_has_its_line_and_says_what_to_do() {
    for (text, said) in [
        (handler(": *", "INSERT INTO t (id, n) VALUES (:id,\n  no_such(1));"), "test.sql:7: error: SQLite has no function `no_such`"),
        (handler(": *", "INSERT INTO t (id, m)\nVALUES (:id, 1);"), "test.sql:6: error: table t has no column named m"),
        (handler(": *", "INSERT INTO t (id, n)\nSELECT :id, absent\nFROM t;"), "test.sql:7: error: no such column: absent"),
        (handler(": *", "INSERT INTO t (id, n) VALUES (:id, \"text\");"), "test.sql:6: error: no such column: \"text\""),
        (handler(": *", "INSERT INTO t (id) VALUES (:id) RETURNING n;"), "test.sql:6: error: "),
        (handler(": *", "INSERT INTO t (id, n) VALUES (load_extension('x'), 1);"), "the function `load_extension` is not available"),
        (handler(": *", "INSERT INTO t (id, n) VALUES (sqlite_version(), 1);"), "the function `sqlite_version` is not available"),
        (handler(": *", "INSERT INTO t (id, n) SELECT name, 1 FROM pragma_table_info('t');"), "test.sql:6: error: "),
        (handler(": *", "INSERT INTO t (id, n) SELECT sql, 1 FROM sqlite_schema;"), "test.sql:6: error: "),
        (handler(": *", "INSERT INTO t (id, n) VALUES (:id, changes());"), "test.sql:6: error: "),
        (handler(": *", "INSERT INTO t (id, n) SELECT id, 1 FROM batch;"), "test.sql:6: error: "),
        (handler(" batch:", "DELETE FROM batch;"), "test.sql:6: error: "),
        (handler(": *", "DELETE FROM v;"), "test.sql:6: error: "),
        (handler(": *", "DELETE FROM nowhere;"), "test.sql:6: error: "),
        (handler(": *", "PRAGMA user_version = 1;"), "test.sql:6: error: "),
        (handler(": *", "ATTACH 'x' AS y;"), "test.sql:6: error: "),
        (handler(": *", "CREATE TABLE u (a);"), "error: "),
        (handler(": *", "DROP TABLE t;"), "test.sql:6: error: "),
        (handler(": *", "SELECT 1;"), "test.sql:6: error: "),
        ("-- projection: t\n-- version: 1\nCREATE TABLE t (a INTEGER,\n b NOTHING NONSENSE (,));\n-- on: *\nDELETE FROM t;\n".to_owned(), "test.sql:4: error: near"),
        ("-- projection: t\n-- version: 1\nCREATE TABLE t (a);\nCREATE INDEX i ON t\n (absent);\n-- on: *\nDELETE FROM t;\n".to_owned(), "test.sql:5: error: no such column: absent"),
        ("-- projection: t\n-- version: 1\nCREATE TABLE t (a, b AS (load_extension(a)));\n-- on: *\nDELETE FROM t;\n".to_owned(), "test.sql:3: error: "),
        ("-- projection: t\n-- version: 1\nCREATE TABLE t (a);\nCREATE VIRTUAL TABLE r USING rtree (id, a, b);\n-- on: *\nDELETE FROM t;\n".to_owned(), "test.sql:4: error: "),
        ("-- projection: t\n-- version: 1\nCREATE TABLE t (a);\nCREATE VIRTUAL TABLE f USING fts5 (x, tokenize = 'nonsense');\n-- on: *\nDELETE FROM t;\n".to_owned(), "test.sql:4: error: no such tokenizer"),
        ("-- projection: t\n-- version: 1\nCREATE TABLE t (a);\nCREATE VIEW v AS SELECT * FROM sqlite_schema;\n-- on: *\nDELETE FROM t;\n".to_owned(), "test.sql:4: error: "),
        ("-- projection: t\n-- version: 1\nCREATE TABLE t (a);\n-- materialized: on demand\nCREATE MATERIALIZED VIEW v AS SELECT a FROM t;\n-- on: *\nDELETE FROM t;\n".to_owned(), "there is on PostgreSQL only"),
        ("-- projection: t\n-- version: 1\nCREATE TABLE t (a);\nCREATE VIRTUAL TABLE f USING fts5 (x);\n-- on: *\nINSERT INTO f_data VALUES (1, 2);\n".to_owned(), "test.sql:6: error: "),
    ] {
        let found = problems(&text).await;
        assert!(found.contains(said), "{text}\nfound: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_refused_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let models = models(&open(directory.path()));
    let text = handler(": *", "INSERT INTO t (id, n) VALUES (no_such(1), 1);");
    assert!(models.begin(&projection(&text), 1).await.is_err());
    assert_eq!(models.builds().await.expect("the builds").len(), 0);
    assert!(!directory.path().join("read-models/t.1.db").exists());
    let first = models.begin(&projection(&handler(": *", "DELETE FROM t;")), 1).await.expect("a build");
    assert_eq!(first.number.0, 1);
}
