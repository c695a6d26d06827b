//! Files that run, and what becomes of them.

use std::time::Duration;

use pacioli_core::schemas::{OnNewer, Shape};
use pacioli_core::{Category, EventType};

use crate::file::{Makes, Mode, On, Piece, Projection, Source, listed};

pub(super) const STATUS: &str = "-- projection: application_status
-- version: 1
-- mode: async
-- category: application

CREATE TABLE application_status (
    application TEXT PRIMARY KEY,
    status      TEXT NOT NULL,
    events      BIGINT NOT NULL,
    step        BIGINT NOT NULL
);

-- on: *
INSERT INTO application_status (application, status, events, step)
VALUES (:stream, :type, 1, :data.step)
ON CONFLICT (application) DO UPDATE
SET status = excluded.status, events = application_status.events + 1, step = excluded.step;
";

pub(super) const FUNNEL: &str = "-- projection: funnel
-- version: 1
-- category: application

CREATE TABLE funnel (type TEXT NOT NULL, month TEXT NOT NULL, events BIGINT NOT NULL, PRIMARY KEY (type, month));

-- on batch:
INSERT INTO funnel (type, month, events)
SELECT type, substr(CAST(occurred_at AS TEXT), 1, 7), count(*) FROM batch WHERE true GROUP BY 1, 2
ON CONFLICT (type, month) DO UPDATE SET events = funnel.events + excluded.events;
";

pub(super) const GAUGE: &str = "-- projection: gauge
-- version: 1
-- mode: sync
-- types: GaugeRead

CREATE TABLE gauge (gauge TEXT PRIMARY KEY, value BIGINT NOT NULL CHECK (value >= 0));

-- on: GaugeRead
INSERT INTO gauge (gauge, value) VALUES (:stream, :data.value)
ON CONFLICT (gauge) DO UPDATE SET value = excluded.value;
";

pub(super) fn parsed(text: &str) -> Projection {
    Projection::parse("a.sql", text).unwrap_or_else(|findings| panic!("{}\n{text}", listed(&findings)))
}

#[test]
fn a_file_for_each_event_is_taken_apart() {
    let projection = parsed(STATUS);
    assert_eq!((projection.name.as_str(), projection.version, projection.mode), ("application_status", 1, Mode::Async));
    assert_eq!(projection.relations().collect::<Vec<_>>(), ["application_status"]);
    assert_eq!(projection.definitions[0].makes, Makes::Table("application_status".to_owned()));
    assert_eq!(projection.definitions[0].line, 6);
    let [handler] = &projection.handlers[..] else { panic!("one handler") };
    assert_eq!((&handler.on, handler.line), (&On::Every, 13));
    let [statement] = &handler.statements[..] else { panic!("one statement") };
    let values: Vec<_> = statement.values().map(|value| (value.source.to_string(), value.line, value.column)).collect();
    assert_eq!(
        values,
        [(":stream".to_owned(), 15, 9), (":type".to_owned(), 15, 18), (":data.step".to_owned(), 15, 28)]
    );
    assert!(!projection.excludes_system());
    assert_eq!(projection.filter().categories[0].as_str(), "application");
    assert!(statement.pieces.contains(&Piece::Sql(", 1, ".to_owned())));
    assert_eq!(statement.values().next().map(|value| &value.source), Some(&Source::Stream));
}

#[test]
fn a_file_for_batches_and_one_in_the_appends_transaction_are_taken_apart() {
    let funnel = parsed(FUNNEL);
    assert_eq!(funnel.handlers[0].on, On::Batch);
    assert_eq!(funnel.handlers[0].statements[0].values().count(), 0);
    let gauge = parsed(GAUGE);
    assert_eq!(gauge.mode, Mode::Sync);
    assert_eq!(gauge.filter().types[0].as_str(), "GaugeRead");
}

/// A file that uses most of what there is.
pub(super) const BALANCES: &str = "-- projection: balances
-- version: 3
-- category: account, wallet
-- types: MoneyDeposited, MoneyWithdrawn, AccountRenamed
-- parallel-by: stream
-- keep-copies: every 100_000 events
-- verify: every 6h
-- What an account has, and how it came to it

CREATE TABLE balances (
    account TEXT PRIMARY KEY, -- the stream
    cents   BIGINT NOT NULL /* never negative /* we hope */ */ CHECK (cents >= 0)
);
CREATE TABLE entries (account TEXT NOT NULL REFERENCES balances, version BIGINT NOT NULL, PRIMARY KEY (account, version));
CREATE UNIQUE INDEX entries_by_version ON entries (version, account);
CREATE VIRTUAL TABLE names USING fts5 (account, name);
CREATE VIEW rich AS SELECT account FROM balances WHERE cents > 100000;
-- materialized: refresh 60s
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS accounts, sum(cents) AS cents FROM balances;
CREATE UNIQUE INDEX totals_only ON totals (accounts);

-- on: MoneyDeposited, MoneyWithdrawn
INSERT INTO balances AS b (account, cents)
VALUES (:stream, CAST(CASE :type WHEN 'MoneyDeposited' THEN :data.cents ELSE 0 END AS bigint))
ON CONFLICT (account) DO UPDATE SET cents = b.cents + excluded.cents;
INSERT INTO entries (account, version) VALUES (:stream, :version);

-- on: AccountRenamed
WITH old AS (DELETE FROM names WHERE account = :stream RETURNING account)
INSERT INTO names (account, name) SELECT account, :data.name.\"full name\" FROM old;

-- on batch:
UPDATE balances SET cents = balances.cents + sums.cents
FROM (SELECT stream, sum(CAST(data ->> 'cents' AS bigint)) AS cents FROM batch GROUP BY stream) AS sums
WHERE sums.stream = balances.account
";

#[test]
fn a_file_that_uses_most_of_what_there_is_is_taken_apart() {
    let projection = parsed(BALANCES);
    assert_eq!(projection.keep_copies, Some(100_000));
    assert_eq!(projection.verify, Some(Duration::from_secs(6 * 3_600)));
    assert!(projection.parallel_by_stream);
    assert_eq!(projection.categories.iter().map(Category::as_str).collect::<Vec<_>>(), ["account", "wallet"]);
    assert_eq!(projection.relations().collect::<Vec<_>>(), ["balances", "entries", "names", "rich", "totals"]);
    let makes: Vec<_> = projection.definitions.iter().map(|definition| (&definition.makes, definition.line)).collect();
    let index = |name: &str, table: &str| Makes::Index { name: name.to_owned(), table: table.to_owned(), unique: true };
    assert_eq!(makes[2], (&index("entries_by_version", "entries"), 15));
    assert_eq!(makes[3], (&Makes::VirtualTable("names".to_owned()), 16));
    assert_eq!(makes[4], (&Makes::View("rich".to_owned()), 17));
    let every = Some(Duration::from_secs(60));
    assert_eq!(makes[5], (&Makes::MaterializedView { name: "totals".to_owned(), every }, 19));
    assert_eq!(makes[6], (&index("totals_only", "totals"), 20));
    let statements: Vec<_> =
        projection.handlers.iter().map(|handler| (handler.line, handler.statements.len())).collect();
    assert_eq!(statements, [(22, 2), (28, 1), (32, 1)]);
}

#[test]
fn comments_are_left_out_and_lines_stay() {
    let projection = parsed(BALANCES);
    let sql = &projection.definitions[0].sql;
    assert!(
        !sql.contains("--") && !sql.contains("/*") && sql.starts_with("CREATE TABLE") && sql.ends_with(')'),
        "{sql}"
    );
    assert_eq!(sql.lines().count(), 4);
    let rendered = projection.handlers[0].statements[0].render(|_, number| format!("${}", number + 1));
    assert!(rendered.contains("VALUES ($1, CAST(CASE $2 WHEN 'MoneyDeposited' THEN $3 ELSE"), "{rendered}");
}

#[test]
fn the_same_text_with_other_line_ends_is_the_same_projection() {
    let (unix, windows) = (parsed(BALANCES), parsed(&BALANCES.replace('\n', "\r\n")));
    assert_eq!(unix.hash, windows.hash);
    assert_eq!(unix.hash.len(), 64);
    assert_ne!(unix.hash, parsed(&BALANCES.replace("100000", "100001")).hash);
    let places = |projection: &Projection| -> Vec<_> {
        let statements = projection.handlers.iter().flat_map(|handler| &handler.statements);
        statements.flat_map(|statement| statement.values()).map(|value| (value.line, value.column)).collect()
    };
    assert_eq!(places(&unix), places(&windows));
    let marked = parsed(&format!("\u{feff}{STATUS}"));
    assert_eq!(places(&marked), places(&parsed(STATUS)));
}

#[test]
fn each_value_of_an_annotation_is_understood() {
    let file = |line: &str| {
        format!(
            "-- projection: p\n--version:2\n{line}\nCREATE TABLE t (a TEXT PRIMARY KEY);\n-- on: A\nDELETE FROM t;\n"
        )
    };
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3_600));
    for (value, expected) in [
        ("hourly", hours(1)),
        ("daily", hours(24)),
        ("weekly", hours(168)),
        ("every 6h", hours(6)),
        ("every 90m", Some(Duration::from_secs(5_400))),
        ("every 2d", hours(48)),
        ("every 30s", Some(Duration::from_secs(30))),
    ] {
        assert_eq!(parsed(&file(&format!("-- verify: {value}"))).verify, expected, "{value}");
    }
    for (value, expected) in
        [("refresh 60s", hours(0).map(|_| Duration::from_secs(60))), ("on demand", None), ("refresh on demand", None)]
    {
        let view = format!("-- materialized: {value}\nCREATE MATERIALIZED VIEW v AS SELECT a FROM t;");
        let text = file("").replace("-- on", &format!("{view}\n-- on"));
        assert!(
            parsed(&text)
                .definitions
                .iter()
                .any(|made| matches!(made.makes, Makes::MaterializedView { every, .. } if every == expected))
        );
    }
    for (value, expected) in [
        ("A ^1", &["A:^1"][..]),
        ("A: ^1", &["A:^1"]),
        ("A:^1", &["A:^1"]),
        ("A >=1.2, <3, B *", &["A:>=1.2, <3", "B:*"]),
        ("order placed ~1.2 , urn:order:shipped 2", &["order placed:~1.2", "urn:order:shipped:2"]),
    ] {
        let projection = parsed(
            &file(&format!("-- schemas: {value}")).replace("-- on: A", "-- on: A, B, order placed, urn:order:shipped"),
        );
        let stated: Vec<String> = projection.understands.iter().map(ToString::to_string).collect();
        assert_eq!(stated, expected, "{value}");
        assert_eq!(projection.on_newer, OnNewer::Stop, "the default");
    }
    for (value, expected) in [("stop", OnNewer::Stop), ("skip", OnNewer::Skip)] {
        let projection = parsed(&file(&format!("-- on-newer: {value}\n-- schemas: A ^1")));
        let shape = Shape { raw: false, understands: projection.understands.clone(), on_newer: expected };
        assert_eq!(projection.shape(), shape, "{value}");
        // What a catalogue keeps is the text, and it says the same again.
        assert_eq!(Projection::parse(&projection.file, &projection.text).unwrap(), projection);
    }
    let every = file("-- schemas: Whatever ^1").replace("-- on: A", "-- on: *");
    assert_eq!(parsed(&every).understands.len(), 1, "every type comes");
    assert!(parsed(&file("")).shape().is_default());
    assert_eq!(parsed(&file("-- mode: sync")).mode, Mode::Sync);
    assert_eq!(parsed(&file("  --   mode :  async  ")).mode, Mode::Async);
    assert_eq!(parsed(&file("")).version, 2);
}

#[test]
fn a_projection_gets_what_its_header_or_its_handlers_name() {
    let file = |header: &str, on: &str| {
        let top = format!("-- projection: p\n-- version: 1\n{header}\nCREATE TABLE t (a TEXT PRIMARY KEY);\n");
        parsed(
            &format!("{top}-- on{on}:\nDELETE FROM t;\n")
                .replace("-- on A:", "-- on: A")
                .replace("-- on *:", "-- on: *"),
        )
    };
    let a = EventType::new("A").unwrap();
    let b = EventType::new("B").unwrap();
    let rows = [
        // header, handler, excludes the system's streams, and whether it wants A in x, B in x, A in y, A in $x
        ("", " A", false, [true, false, true, true]),
        ("", " *", true, [true, true, true, false]),
        ("", " batch", true, [true, true, true, false]),
        ("-- types: A", " *", false, [true, false, true, true]),
        ("-- types: A", " batch", false, [true, false, true, true]),
        ("-- category: x", " A", false, [true, false, false, false]),
        ("-- category: x", " *", false, [true, true, false, false]),
        ("-- category: $x, y", " *", false, [false, false, true, true]),
    ];
    for (header, on, excludes_system, wants) in rows {
        let projection = file(header, on);
        assert_eq!(projection.excludes_system(), excludes_system, "{header}{on}");
        assert_eq!(projection.filter().is_empty(), excludes_system, "{header}{on}");
        let found =
            [(&a, "x"), (&b, "x"), (&a, "y"), (&a, "$x")].map(|(one, category)| projection.wants(one, category));
        assert_eq!(found, wants, "{header}{on}");
    }
}

#[test]
fn what_both_databases_know_is_no_mistake() {
    let top = "-- projection: p\n-- version: 1\nCREATE TABLE t (a TEXT PRIMARY KEY, n BIGINT, d TEXT);\nCREATE TABLE u (a TEXT PRIMARY KEY);\n-- on: A\n";
    for statement in [
        "INSERT INTO t (a) SELECT trim(both 'x' FROM a) FROM t AS x, u",
        "INSERT INTO t (a, n) SELECT a, extract(year FROM CAST(:recorded_at AS timestamptz)) FROM t",
        "INSERT INTO t (a) SELECT substring(a FROM 2 FOR 3) FROM u WHERE a IS NOT DISTINCT FROM :stream",
        "INSERT INTO t (a) SELECT overlay(a PLACING 'x' FROM 1) FROM ONLY u",
        "INSERT INTO t (a) SELECT value ->> 'sku' FROM json_each(:data.items), u",
        "INSERT INTO t (a) SELECT x.sku FROM jsonb_to_recordset(:data.items) AS x (sku text, n int)",
        "INSERT INTO t (a) SELECT x FROM pg_catalog.jsonb_array_elements_text(:data.items) AS x",
        "INSERT INTO t (a) SELECT t.a FROM t JOIN u USING (a) LEFT JOIN LATERAL (SELECT 1) AS l ON true, u AS v",
        "INSERT INTO t (a) WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3), d AS MATERIALIZED (SELECT i FROM c) SELECT i FROM c, d",
        "INSERT INTO t (a) SELECT a FROM (VALUES ('x'), ('y')) AS v (a) WHERE true ON CONFLICT (a) DO UPDATE SET n = t.n + 1, d = 'x'",
        "INSERT INTO t (a) SELECT a FROM u GROUP BY a, 1 ORDER BY a, 1",
        "INSERT INTO t DEFAULT VALUES",
        "INSERT OR IGNORE INTO t (a) VALUES (:stream)",
        "REPLACE INTO t (a) VALUES (replace(:stream, 'a', 'b'))",
        "UPDATE T SET n = n + 1 FROM u WHERE u.a = T.a",
        "UPDATE t SET (n, d) = (SELECT 1, 'x' FROM u) WHERE a IN (SELECT a FROM u FOR UPDATE)",
        "DELETE FROM t USING u WHERE t.a = u.a",
        "DELETE FROM \"t\" WHERE EXISTS (SELECT 1 FROM [u] WHERE `a` = :stream)",
        "WITH x AS (SELECT a FROM u) UPDATE t SET n = 1 WHERE a IN (SELECT a FROM x)",
        "UPDATE t SET d = u.from FROM u",
    ] {
        parsed(&format!("{top}{statement};"));
    }
    parsed(&format!(
        "{top}DELETE FROM t;;\n-- on batch:\nINSERT INTO t (a) SELECT b.stream FROM batch AS b, u;\n-- on batch:\nDELETE FROM u;"
    ));
}
