//! What a file may not say: each with its line and with what to do.

use crate::file::{Projection, Severity, listed};

use super::accepted::{FUNNEL, STATUS, parsed};

/// The first three lines of a file.
const TOP: &str = "-- projection: p\n-- version: 1\nCREATE TABLE t (a TEXT PRIMARY KEY, n BIGINT);\n";

/// All findings of a file, by line.
pub(super) fn findings(text: &str) -> Vec<(u32, String)> {
    match Projection::parse("a.sql", text) {
        Ok(projection) => panic!("this was to be refused:\n{text}\n{projection:?}"),
        Err(findings) => {
            assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
            findings.into_iter().map(|finding| (finding.line, finding.problem)).collect()
        }
    }
}

/// Asserts that each file has one finding, in this line and with these words.
fn assert_refused(rows: &[(String, u32, &str)]) {
    for (text, line, words) in rows {
        let findings = findings(text);
        assert_eq!(findings.len(), 1, "{findings:?}\n{text}");
        let (found, problem) = &findings[0];
        assert!(problem.contains(words), "{problem}\nlacks: {words}\n{text}");
        assert_eq!(found, line, "{problem}\n{text}");
    }
}

/// A header whose third line is `line`.
fn header(line: &str) -> String {
    format!("-- projection: p\n-- version: 1\n{line}\nCREATE TABLE t (a TEXT PRIMARY KEY);\n-- on: A\nDELETE FROM t;\n")
}

#[test]
fn an_annotation_that_says_nothing_is_refused() {
    let row = |line: &str, words| (header(line), 3, words);
    assert_refused(&[
        row("-- verson: 1", "there is no annotation `verson`; did you mean `version`?"),
        row("-- Mode: sync", "there is no annotation `Mode`; did you mean `mode`?"),
        row("-- keep_copies: every 5 events", "did you mean `keep-copies`?"),
        row("-- parallel by: stream", "did you mean `parallel-by`?"),
        row("-- categories: a", "did you mean `category`?"),
        row("-- note: by hand", "a remark must not begin with a word and a colon"),
        row("-- version: 2", "`version` is said in line 2 already; say it once"),
        row("-- mode: later", "`later` is no mode; write `async` or `sync`"),
        row("-- mode:", "`` is no mode; write `async` or `sync`"),
        row("-- category: a, b-c", "category contains `-`"),
        row("-- category: a,, b", "`category` lacks a name"),
        row("-- category: a, b, a", "`category` names `a` twice"),
        row("-- types: A, B", "no handler takes `B`; take it out of `types`, or write `-- on: B`"),
        row("-- types: A,", "`types` lacks a name; write them with commas between them, on one line"),
        row("-- parallel-by: key", "`key` cannot part the work; write `parallel-by: stream`"),
        row("-- keep-copies: 1000 events", "write `keep-copies: every 1000000 events`"),
        row("-- keep-copies: every 0 events", "`every 0 events` is no measure of events"),
        row("-- verify: every day", "write `verify: hourly`, `daily`, `weekly` or `every 6h`"),
        row("-- verify: every 0s", "`every 0s` is no time"),
        row("-- verify: every 99999999999999999999h", "is no time"),
        row("-- schemas:", "`` does not say which versions are understood; write a type and its versions"),
        row("-- schemas: A", "`A` does not say which versions are understood"),
        row("-- schemas: A ^1, B", "`B` does not say which versions are understood"),
        row("-- schemas: A new", "`new` is no range of versions"),
        row("-- schemas: A >=2, <1", "`>=2, <1` contains no version at all"),
        row("-- schemas: ^1", "does not say which versions are understood"),
        row("-- schemas: A ^1, A ^2", "`schemas` names `A` twice"),
        row("-- schemas: B ^1", "`B` never comes; take it out of `schemas`, or write a handler for it"),
        row("-- schema: A ^1", "there is no annotation `schema`; did you mean `schemas`?"),
        row("-- on-newer: stop", "no `schemas` is said; write `-- schemas: SomeEvent ^1` above it"),
        row("-- materialized: on demand", "`materialized` stands directly before CREATE MATERIALIZED VIEW only"),
    ]);
    let misspelt = header("-- schemas: OrderPlacd ^1").replace("-- on: A", "-- on: OrderPlaced");
    assert_refused(&[(misspelt, 3, "`OrderPlacd` never comes; did you mean `OrderPlaced`?")]);
    let later = header("-- schemas: A ^1\n-- on-newer: later");
    assert_refused(&[(later, 4, "`later` is nothing to do about an event")]);
    let left_out = header("-- types: A\n-- schemas: B ^1");
    assert_refused(&[(left_out, 4, "`B` never comes")]);
    parsed(&header("-- This counts deposits: see the guide at"));
    parsed(&header("-- https://example.com/funnel"));
    parsed(&header("/* verson: 1 */ -- keep_copies"));
}

#[test]
fn a_header_that_lacks_something_is_refused() {
    let rest = "CREATE TABLE t (a TEXT PRIMARY KEY);\n-- on: A\nDELETE FROM t;\n";
    assert_refused(
        &[
            (
                format!("-- version: 1\n{rest}"),
                1,
                "the file has no name; write `-- projection: name` into its first lines",
            ),
            (format!("-- projection: p\n{rest}"), 1, "the file has no version; write `-- version: 1` below its name"),
            (format!("-- projection: P\n-- version: 1\n{rest}"), 1, "`P` is no name of a projection"),
            (format!("-- projection: p\n-- version: 0\n{rest}"), 2, "`0` is no version; write a whole number from 1"),
            (format!("-- projection: p\n-- version: +1\n{rest}"), 2, "`+1` is no version"),
            (format!("-- projection: p\n-- version: 4294967296\n{rest}"), 2, "is no version"),
            (
                format!("-- projection: p\n{rest}-- version: 1\n"),
                5,
                "`version` belongs into the header, above the first",
            ),
            (TOP.to_owned(), 1, "the file has no handler; write `-- on: SomeEvent`"),
            ("-- projection: p\n-- version: 1\n-- on: A\nDELETE FROM t;\n".to_owned(), 1, "the file makes no table"),
            (
                header("-- mode: sync\n-- parallel-by: stream"),
                4,
                "a `sync` projection runs in the append's transaction, which cannot share its streams",
            ),
        ][..8],
    );
    let both = findings("");
    assert_eq!(both.len(), 4, "{both:?}");
    let sync = findings(&header("-- mode: sync\n-- parallel-by: stream"));
    assert!(sync.len() == 1 && sync[0].0 == 4 && sync[0].1.contains("take `parallel-by` out"), "{sync:?}");
    parsed(&header("-- mode: sync\n-- keep-copies: every 1_000 events\n-- verify: every 6h"));
}

#[test]
fn a_handler_that_never_runs_is_refused() {
    let row = |rest: &str, line, words| (format!("{TOP}{rest}"), line, words);
    assert_refused(
        &[
            row(
                "DELETE FROM t;\n-- on: A\nDELETE FROM t;",
                4,
                "DELETE stands before the first handler; write `-- on: SomeEvent`",
            ),
            row("-- on: A\n-- on: B\nDELETE FROM t;", 4, "the handler has no statement"),
            row("-- on:\nDELETE FROM t;", 4, "`on` lacks a name"),
            row("-- on: A, *\nDELETE FROM t;", 4, "`*` is every event and stands alone"),
            row("-- on: A, A\nDELETE FROM t;", 4, "`on` names `A` twice"),
            row("-- on: batch\nDELETE FROM t;", 4, "write `-- on batch:`"),
            row("-- on batch: A\nDELETE FROM t;", 4, "write nothing behind the colon"),
            row("-- on_batch:\nDELETE FROM t;\n-- on: A\nDELETE FROM t;", 4, "there is no annotation `on_batch`"),
            row("-- on: A\nDELETE FROM t; -- on: B\n", 5, "`on` needs a line of its own"),
            row(
                "-- on: A\nDELETE FROM t\n-- on: B\nDELETE FROM t;",
                5,
                "the statement does not end before line 6; put a `;` behind it",
            ),
            row(
                "-- on batch:\nDELETE FROM t;\nDELETE FROM t;",
                6,
                "`on batch:` has one statement; write another `-- on batch:`",
            ),
            row("-- on: A\nDELETE FROM t;\n-- category: a", 6, "`category` belongs into the header"),
        ][..7],
    );
    let mut header = "-- projection: p\n-- version: 1\n-- types: A\n".to_owned();
    header += "CREATE TABLE t (a TEXT PRIMARY KEY);\n-- on: A, B\nDELETE FROM t;\n";
    assert_refused(&[(header, 5, "`B` never comes: the header's `types` in line 3 leaves it out")]);
}

#[test]
fn a_statement_that_folds_nothing_is_refused() {
    let row = |statement: &'static str, words| (format!("{TOP}-- on: A\n{statement};"), 5, words);
    assert_refused(&[
        row("SELECT a FROM t", "SELECT is not for a handler: a query changes nothing"),
        row("WITH x AS (SELECT 1 AS n) SELECT n FROM x", "SELECT is not for a handler"),
        row("VALUES (1)", "VALUES is not for a handler"),
        row("SET search_path = x", "SET is not for a handler: the database's settings and its upkeep"),
        row("COPY t TO '/tmp/x'", "COPY is not for a handler: a projection sees its events and its own tables"),
        row("PRAGMA writable_schema = 1", "PRAGMA is not for a handler"),
        row("ATTACH 'x' AS y", "ATTACH is not for a handler"),
        row("BEGIN", "BEGIN is not for a handler: rows and checkpoint commit together"),
        row("COMMIT", "COMMIT is not for a handler"),
        row("ROLLBACK", "ROLLBACK is not for a handler"),
        row("SAVEPOINT x", "SAVEPOINT is not for a handler"),
        row("CREATE TABLE u (a TEXT)", "CREATE is not for a handler: what a projection owns is made at the top"),
        row("DROP TABLE t", "DROP is not for a handler: what a projection owns is made at the top of the file"),
        row("ALTER TABLE t ADD b TEXT", "ALTER is not for a handler"),
        row("TRUNCATE t", "TRUNCATE is not for a handler: it locks the table against readers; write DELETE FROM"),
        row("CALL f()", "CALL is not for a handler: a projection is plain statements"),
        row("DO $$ BEGIN END $$", "DO is not for a handler"),
        row("GRANT SELECT ON t TO x", "GRANT is not for a handler"),
        row("VACUUM", "VACUUM is not for a handler"),
        row("NOTIFY x", "NOTIFY is not for a handler"),
        row("LISTEN x", "LISTEN is not for a handler"),
        row("LOCK TABLE t", "LOCK is not for a handler"),
        row(
            "MERGE INTO t USING t ON true WHEN MATCHED THEN DELETE",
            "MERGE is not for a handler: SQLite does not know it",
        ),
        row("DELETE FROM t WHERE a = :stream RETURNING a", "RETURNING gives rows to nobody here; take it out"),
        row("EXPLAIN DELETE FROM t", "EXPLAIN is not for a handler"),
        row("HANDLER t OPEN", "HANDLER is not for a handler: a handler has INSERT, UPDATE, DELETE and REPLACE"),
        row("WITH x AS (SELECT 1)", "WITH needs its statement: INSERT, UPDATE or DELETE"),
    ]);
}

#[test]
fn a_table_of_somebody_else_is_refused() {
    let row = |statement: &'static str, words| (format!("{TOP}-- on: A\n{statement};"), 5, words);
    assert_refused(&[
        row("INSERT INTO u (a) VALUES (:stream)", "`u` is no table of this file; a projection writes"),
        row(
            "INSERT INTO totals (a) VALUES (:stream)",
            "`totals` is no table of this file; a projection writes the tables that it makes",
        ),
        row("INSERT OR REPLACE INTO totals (a) VALUES (1)", "`totals` is no table of this file"),
        row("UPDATE totals SET a = 1", "`totals` is no table of this file"),
        row("UPDATE OR IGNORE totals SET a = 1", "`totals` is no table of this file"),
        row("UPDATE ONLY totals SET a = 1", "`totals` is no table of this file"),
        row("DELETE FROM totals", "`totals` is no table of this file"),
        row("REPLACE INTO totals (a) VALUES (1)", "`totals` is no table of this file"),
        row("WITH x AS (DELETE FROM totals RETURNING a) INSERT INTO t (a) SELECT a FROM x", "`totals` is no table"),
        row("INSERT INTO pacioli.t (a) VALUES (1)", "each build has a place of its own; write the plain name"),
        row("INSERT INTO t (a) SELECT a FROM main.t", "write the plain name without what stands before the dot"),
        row(
            "INSERT INTO t (a) SELECT a FROM totals",
            "`totals` is no table of this file; a projection reads what it makes",
        ),
        row("INSERT INTO t (a) SELECT a FROM t, totals", "`totals` is no table"),
        row("INSERT INTO t (a) SELECT a FROM t AS x JOIN totals ON true", "`totals` is no table"),
        row("INSERT INTO t (a) SELECT a FROM (t CROSS JOIN totals)", "`totals` is no table"),
        row("INSERT INTO t (a) SELECT a FROM t WHERE a IN (SELECT a FROM totals)", "`totals` is no table"),
        row("INSERT INTO t (a) SELECT a FROM LATERAL (SELECT a FROM totals) AS x", "`totals` is no table"),
        row("UPDATE t SET n = x.n FROM totals AS x WHERE true", "`totals` is no table"),
        row("DELETE FROM t USING totals", "`totals` is no table"),
        row("INSERT INTO t (a) SELECT a FROM events", "`events` holds events that do not belong here yet"),
        row(
            "INSERT INTO t (a) SELECT stream FROM batch",
            "the relation `batch` is there in `-- on batch:` handlers only",
        ),
        row("INSERT INTO batch (stream) VALUES (1)", "`batch` is no table of this file"),
        row("INSERT INTO \"T\" (a) VALUES (1)", "`T` is no table of this file; did you mean `t`?"),
        row("WITH batch AS (SELECT 1 AS n) INSERT INTO t (n) SELECT n FROM batch", "give the query another name"),
        row("INSERT INTO 't' (a) VALUES (1)", "a table's name is missing here"),
        row("INSERT INTO t (a) SELECT 1 FROM 'events'", "a table's name is missing here"),
    ]);
    let view = "CREATE VIEW v AS SELECT a FROM t;\n";
    assert_refused(&[
        (format!("{TOP}{view}-- on: A\nDELETE FROM v;"), 6, "`v` is a view; write the table that it reads"),
        (
            format!("{TOP}CREATE VIEW v AS SELECT type FROM batch;\n-- on batch:\nDELETE FROM t;"),
            4,
            "`batch` is no table of this file; a projection reads what it makes itself",
        ),
        (format!("{TOP}CREATE VIEW v AS SELECT type FROM log;\n-- on: A\nDELETE FROM t;"), 4, "`log` holds events"),
        (
            format!("{TOP}CREATE VIEW v AS WITH x AS (DELETE FROM t) SELECT 1;\n-- on: A\nDELETE FROM t;"),
            4,
            "a view reads",
        ),
    ]);
}

#[test]
fn a_definition_that_cannot_stay_apart_is_refused() {
    let row = |create: &'static str, words| (format!("{TOP}{create};\n-- on: A\nDELETE FROM t;"), 4, words);
    assert_refused(&[
        row("CREATE TABLE IF NOT EXISTS u (a TEXT)", "so a name that exists is a mistake; leave IF NOT EXISTS out"),
        row("CREATE TEMP TABLE u (a TEXT)", "a temporary table would be gone with its connection; leave TEMP out"),
        row("CREATE TEMPORARY TABLE u (a TEXT)", "leave TEMP out"),
        row("CREATE UNLOGGED TABLE u (a TEXT)", "an unlogged table is empty after a crash"),
        row("CREATE TABLE u AS SELECT a FROM t", "write the columns instead of AS SELECT"),
        row("CREATE TABLE u (a, b) AS SELECT a FROM t", "write the columns instead of AS SELECT"),
        row("CREATE TABLE u", "a table needs its columns"),
        row("CREATE TABLE", "the table has no name"),
        row("CREATE TABLE u (a TEXT) INHERITS (t)", "INHERITS is not for a table of a projection"),
        row("CREATE TABLE u (a TEXT) PARTITION BY LIST (a)", "PARTITION is not for a table of a projection"),
        row("CREATE TABLE pacioli.u (a TEXT)", "each build has a place of its own; write the plain name"),
        row("CREATE TABLE t (a TEXT)", "`t` is made above already; choose another name"),
        row("CREATE TABLE events (a TEXT)", "`events` means something else in queries; choose another name"),
        row(
            "CREATE TABLE Batch (a TEXT)",
            "`Batch` is no name that both databases take; write up to 63 lower-case letters",
        ),
        row("CREATE TABLE batch (a TEXT)", "`batch` means something else in queries"),
        row("CREATE TABLE log (a TEXT)", "`log` means something else in queries"),
        row("CREATE VIEW projections AS SELECT a FROM t", "`projections` means something else in queries"),
        row("CREATE TABLE pacioli_x (a TEXT)", "names that begin with `pacioli` are taken"),
        row("CREATE TABLE sqlite_x (a TEXT)", "names that begin with `sqlite_` are taken"),
        row("CREATE INDEX pg_x ON t (a)", "names that begin with `pg_` are taken"),
        row("CREATE TABLE \"my table\" (a TEXT)", "`my table` is no name that both databases take"),
        row("CREATE TABLE u (a TEXT REFERENCES v (a))", "`v` is no table that this file makes above"),
        row("CREATE TABLE u (a TEXT REFERENCES x.t (a))", "write the plain name"),
        row("CREATE TABLE u (id BIGSERIAL, a TEXT)", "BIGSERIAL counts on in a rebuild, and leaves gaps"),
        row("CREATE TABLE u (id BIGINT GENERATED ALWAYS AS IDENTITY)", "IDENTITY counts on in a rebuild"),
        row("CREATE TABLE u (a TEXT DEFAULT now())", "`now()` is another time in a rebuild; write `:recorded_at`"),
        row("CREATE TABLE u (a TEXT DEFAULT CURRENT_TIMESTAMP)", "`CURRENT_TIMESTAMP` is another time in a rebuild"),
        row(
            "CREATE TABLE u (a TEXT DEFAULT (:stream))",
            "`:stream` is of an event; named values stand in handlers only",
        ),
        row("CREATE VIRTUAL TABLE u USING rtree (a, b, c)", "write USING fts5 (…) behind its name"),
        row("CREATE INDEX ON t (a)", "the index has no name; write it before ON"),
        row("CREATE INDEX i ON u (a)", "`u` is no table that this file makes above"),
        row("CREATE INDEX CONCURRENTLY i ON t (a)", "leave CONCURRENTLY out"),
        row("CREATE INDEX i (a)", "an index stands on a table: CREATE INDEX name ON table (…)"),
        row("CREATE OR REPLACE VIEW v AS SELECT a FROM t", "leave OR REPLACE out"),
        row("CREATE VIEW v", "a view needs its query: AS SELECT …"),
        row("CREATE VIEW v AS SELECT :stream FROM t", "named values stand in handlers only"),
        row("CREATE VIEW v AS SELECT a FROM totals", "`totals` is no table of this file"),
        row("CREATE MATERIALIZED VIEW v AS SELECT a FROM t", "nothing says when the view is refreshed"),
        row(
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'x'",
            "CREATE FUNCTION is not for a projection; it makes TABLE",
        ),
        row("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1", "CREATE TRIGGER is not for a projection"),
        row("CREATE EXTENSION x", "CREATE EXTENSION is not for a projection"),
        row("CREATE SCHEMA x", "CREATE SCHEMA is not for a projection"),
        row("CREATE UNIQUE TABLE u (a TEXT)", "CREATE UNIQUE is not for a projection"),
        row("CREATE", "CREATE nothing is not for a projection"),
    ]);
    let view = "CREATE MATERIALIZED VIEW v AS SELECT a FROM t;\n-- on: A\nDELETE FROM t;";
    assert_refused(&[
        (
            format!("{TOP}-- materialized: hourly\n{view}"),
            4,
            "`hourly` does not say when; write `materialized: refresh 60s`",
        ),
        (
            format!("{TOP}-- materialized: on demand\n-- materialized: on demand\n{view}"),
            4,
            "`materialized` stands directly",
        ),
        (
            format!("{TOP}-- materialized: on demand\n-- on: A\nDELETE FROM t;"),
            4,
            "`materialized` stands directly before",
        ),
    ]);
}

#[test]
fn what_asks_the_clock_or_a_die_is_refused() {
    let row = |value: &str, words| (format!("{TOP}-- on: A\nUPDATE t SET a = {value};"), 5, words);
    assert_refused(&[
        row("now()", "`now()` is another time in a rebuild; write `:recorded_at` or `:occurred_at`"),
        row("datetime('now')", "`'now'` is another time in a rebuild"),
        row("strftime('%s', 'now', '-1 day')", "`'now'` is another time in a rebuild"),
        row("datetime()", "`datetime()` is another time in a rebuild"),
        row("strftime('%Y')", "`strftime()` is another time in a rebuild"),
        row("CAST('today' AS date)", "`'today'` is another time in a rebuild"),
        row("timestamp 'now'", "`'now'` is another time in a rebuild"),
        row("'now'::timestamptz", "`'now'` is another time in a rebuild"),
        row("CURRENT_DATE", "`CURRENT_DATE` is another time in a rebuild"),
        row("random()", "`random()` gives other rows in a rebuild; take what is unique from the event"),
        row("gen_random_uuid()", "`gen_random_uuid()` gives other rows in a rebuild"),
        row("last_insert_rowid()", "`last_insert_rowid()` counts on in a rebuild"),
    ]);
    parsed(&format!(
        "{TOP}CREATE VIEW v AS SELECT a, now() AS at FROM t;\n-- on: A\nUPDATE t SET a = 'now', n = t.random, d = strftime('%Y', :recorded_at);"
    ));
}

#[test]
fn a_value_that_there_is_not_is_refused() {
    let row = |value: &str, words| (format!("{TOP}-- on: A\nUPDATE t SET a = {value};"), 5, words);
    assert_refused(&[
        row(":foo", "column 18: there is no value `:foo`. There are :stream, :category, :key, :type"),
        row(":strem", "there is no value `:strem`; did you mean `:stream`? There are"),
        row(":Stream", "there is no value `:Stream`; did you mean `:stream`?"),
        row(":metadata.actor", "paths lead into `:data` only; write `:metadata ->> 'correlation_id'`"),
        row(":stream.key", "`:stream` is one value and has no parts"),
        row(":type[0]", "`:type` is one value and has no parts"),
        row(":data.", "`:data.` is no path: a step is `.name`, `.\"odd name\"` or `[0]`"),
        row(":data.2fa", "`:data.2fa` is no path"),
        row(":data.a..b", "`:data.a..b` is no path"),
        row(":data.items[*]", "`:data.items[*]` is no path"),
        row(":data.items[-1]", "`:data.items[-1]` is no path"),
        row(":data.items[+1]", "`:data.items[+1]` is no path"),
        row(":data.items[99999999999]", "is no path"),
        row("$1", "`$1` is no named value; write `:stream`, `:data.amount` …"),
        row("$stream", "`$stream` is no named value"),
        row("@stream", "`@stream` is no named value"),
        row("?", "`?` is no named value"),
        row("?1", "`?1` is no named value"),
        row("f(?, 2)", "`?` is no named value"),
        row(":1", "`:1` is no named value"),
    ]);
    let batch = |value: &str| format!("{TOP}-- on batch:\nUPDATE t SET a = {value};");
    assert_refused(&[(
        batch(":data.amount"),
        5,
        "column 18: `:data.amount` is of one event; here the events are the rows",
    )]);
    parsed(&format!("{TOP}-- on: A\nUPDATE t SET a = :data ? 'x', n = (:data -> 'y' ?| array['a']);"));
}

#[test]
fn what_does_not_end_is_refused() {
    let row = |value: &str, words| (format!("{TOP}-- on: A\nUPDATE t SET\na = {value};"), 6, words);
    assert_refused(
        &[
            row("'x", "a string begins here and does not end; close it with `'`"),
            row("\"x", "a name begins here and does not end; close it with `\"`"),
            row("`x", "a name begins here and does not end; close it with ```"),
            row("E'x\\'", "a string begins here and does not end"),
            row("$tag$ x $t$", "a string begins here and does not end; close it with `$tag$`"),
            row("/* x", "a comment begins here and does not end; close it with `*/`"),
            row(":data.\"x", "a name begins here and does not end"),
            row("(1", "`(` is not closed before the statement ends"),
            row("a[1", "`[` is not closed before the statement ends"),
            row("1)", "`)` closes nothing; take it out"),
            row("1\u{a0}", "there is a character U+00A0, which is no space; take it out"),
            row("1\u{0}", "there is a character U+0000"),
        ][..5],
    );
}

#[test]
fn a_file_without_end_is_refused() {
    let text = format!("{TOP}-- on: A\nDELETE FROM t;\n{}", " ".repeat(1 << 20));
    assert_refused(&[(text, 1, "at most 1048576 are read")]);
    let deep = |depth: usize| format!("{TOP}-- on: A\nUPDATE t SET n = {}1{};", "(".repeat(depth), ")".repeat(depth));
    assert_refused(&[(deep(10_000), 5, "parentheses nest deeper than 500 here")]);
    parsed(&deep(500));
    assert_eq!(findings(&"SELECT 1;\n".repeat(1_000)).len(), 100);
}

#[test]
fn everything_that_is_wrong_is_told_at_once_by_line() {
    let text = "-- projection: Bad Name
-- verson: 1
-- mode: later

CREATE TABLE IF NOT EXISTS events (a TEXT);

-- on: A
INSERT INTO nowhere (a) VALUES (:foo);
SELECT 1;
";
    let found = findings(text);
    let lines: Vec<u32> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 1, 2, 3, 5, 5, 8, 8, 9], "{found:?}");
    let findings = Projection::parse("dir/a.sql", text).unwrap_err();
    assert!(listed(&findings).lines().all(|line| line.starts_with("dir/a.sql:") && line.contains(": error: ")));
}

#[test]
fn the_refusals_of_one_table_do_not_follow_from_another() {
    // A table that is refused is known below all the same.
    let text = STATUS.replace("CREATE TABLE", "CREATE TEMP TABLE");
    assert_eq!(findings(&text).len(), 1);
    let text = FUNNEL.replace("-- version: 1", "-- version: one");
    assert_eq!(findings(&text).len(), 1);
}
