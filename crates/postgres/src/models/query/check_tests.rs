//! What is let through and what is refused, before any database is asked.

use super::check::{Checked, check};
use super::plain::plain;

#[track_caller]
fn passes(sql: &str) -> Checked {
    check(sql, Some("pacioli_read")).unwrap_or_else(|problem| panic!("{sql}\n{problem}"))
}

#[track_caller]
fn refused(sql: &str) -> String {
    match check(sql, Some("pacioli_read")) {
        Ok(checked) => panic!("{sql}\nis let through as\n{}", checked.text),
        Err(problem) => problem,
    }
}

/// Questions as analysts ask them.
const GOOD: &[&str] = &[
    "SELECT 1",
    "select * from events",
    "SELECT * FROM events;",
    "SELECT type, count(*) FROM events GROUP BY type ORDER BY 2 DESC, type LIMIT 10 OFFSET 5 -- the funnel",
    "SELECT * FROM pacioli_read.events e WHERE e.stream = 'a-1' AND position BETWEEN 1 AND 10",
    "VALUES (1, 'a'), (2, 'b')",
    "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1",
    "SELECT 1 EXCEPT SELECT 2 INTERSECT SELECT 3",
    "WITH a AS (SELECT 1 AS n), b(n) AS MATERIALIZED (SELECT n + 1 FROM a) SELECT * FROM b JOIN a USING (n)",
    "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t",
    "SELECT data ->> 'amount', data #>> '{a,b}', data -> 'x' -> 0, data @> '{\"a\":1}', data ? 'k', data ?| array['a','b'] FROM events",
    "SELECT (data ->> 'amount')::numeric(12, 2), CAST(data ->> 'n' AS bigint), (data->'n')::int FROM events",
    "SELECT date_trunc('month', occurred_at), sum((data ->> 'amount')::numeric) FILTER (WHERE type = 'MoneyDeposited') FROM events GROUP BY 1",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY position), mode() WITHIN GROUP (ORDER BY type) FROM events",
    "SELECT row_number() OVER w, lag(position, 1, 0) OVER (PARTITION BY partition ORDER BY position ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM events WINDOW w AS (ORDER BY position)",
    "SELECT DISTINCT ON (stream) stream, version FROM events ORDER BY stream, version DESC",
    "SELECT extract(epoch FROM occurred_at), occurred_at AT TIME ZONE 'Europe/Berlin', occurred_at - INTERVAL '1 day', now() - interval '2 hours' FROM events",
    "SELECT CASE WHEN version = 0 THEN 'new' ELSE 'old' END, coalesce(tags, ARRAY['none']), nullif(type, ''), greatest(1, 2) FROM events",
    "SELECT substring(stream FROM 1 FOR 3), substring(stream, 2), position('-' IN stream), trim(BOTH ' ' FROM key), overlay(key PLACING 'x' FROM 1 FOR 1) FROM events",
    "SELECT * FROM generate_series(1, 10) AS g(n), LATERAL (SELECT n * 2) AS d(m)",
    "SELECT * FROM events, LATERAL jsonb_each_text(data) AS x(k, v) WHERE k = 'amount'",
    "SELECT e.stream, t FROM events e CROSS JOIN LATERAL unnest(e.tags) WITH ORDINALITY AS u(t, n)",
    "SELECT * FROM jsonb_to_recordset('[{\"a\":1}]') AS x(a int, b text)",
    "SELECT * FROM unnest(ARRAY[1,2], ARRAY['a','b']) AS u(n, s)",
    "SELECT type, count(*) FROM events GROUP BY ROLLUP (type)",
    "SELECT type, partition, grouping(type) FROM events GROUP BY GROUPING SETS ((type), (partition), ())",
    "SELECT stream FROM events WHERE stream LIKE 'a\\_%' ESCAPE '\\' OR stream ILIKE '%x' OR stream SIMILAR TO '(a|b)%' OR stream ~* '^a'",
    "SELECT EXISTS (SELECT 1 FROM events WHERE version > ALL (SELECT 1)), 1 = ANY (ARRAY[1,2]), 1 IN (1, 2), (1, 2) IN (SELECT 1, 2)",
    "SELECT ARRAY(SELECT type FROM events), (ARRAY[1,2,3])[2:3], tags[1] FROM events",
    "SELECT array_agg(DISTINCT type ORDER BY type), string_agg(type, ',' ORDER BY position) FROM events",
    "SELECT pg_catalog.lower(type), PG_CATALOG . \"upper\" (type) FROM events",
    "SELECT \"lower\"('A'), \"Größe\", größe, e.\"select\" FROM funnel AS e",
    "SELECT date '2024-01-01', timestamp with time zone '2024-01-01T00:00:00Z', timestamptz '2024-01-01', true IS NOT FALSE, NULL IS NULL",
    "SELECT current_date, current_timestamp, localtimestamp(3), now(), clock_timestamp()",
    "SELECT to_tsvector('english', 'a b') @@ plainto_tsquery('english', 'a')",
    "SELECT -1, - 1, 1.5e10, .5, 1., 0.1, 2 ^ 3, 5 % 2, |/ 4, @ -1, ~1, 1 << 2, 7 & 3 | 8 # 1",
    "SELECT 'it''s', E'tab\\there', $$dollar 'quoted'$$, $x$another $$ one$x$, X'1F', B'101', ''",
    "SELECT 1 /* a comment /* in a comment */ still */ + 1 -- end",
    "SELECT n FROM funnel TABLESPACE",
    "EXPLAIN SELECT * FROM events",
    "EXPLAIN VERBOSE WITH a AS (SELECT 1) SELECT * FROM a",
    "SELECT count(*) FROM events a LEFT JOIN funnel b ON a.type = b.type AND (b.n > 1) NATURAL JOIN x FULL OUTER JOIN y USING (type)",
    "SELECT type FROM events FETCH FIRST 5 ROWS ONLY",
    "SELECT 'a' COLLATE \"C\" < 'b', row_to_json(e), to_jsonb(e.*), (e).type, e FROM events e",
    "SELECT regexp_replace(stream, '(\\d+)', '<\\1>', 'g'), format('%s', 1), width_bucket(5, 0, 10, 5) FROM events",
    "SELECT position, version, type, key, data, metadata, stream, id FROM events ORDER BY position ASC NULLS LAST",
    "SELECT ROW(1, 'a'), (1, 2) = (1, 2), (date '2024-01-01', date '2024-02-01') OVERLAPS (date '2024-01-15', date '2024-01-16')",
];

#[test]
fn questions_of_analysts_pass() {
    let mut failed = Vec::new();
    for sql in GOOD {
        if let Err(problem) = check(sql, Some("pacioli_read")) {
            failed.push(format!("{sql}\n    {problem}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
#[test]
fn deep() {
    for n in [5usize, 10, 15, 20, 25, 30, 40, 60, 150] {
        let time = |what: &str, sql: String| {
            let t = std::time::Instant::now();
            let r = check(&sql, None).err();
            eprintln!("{n} {what} {:?} {:?}", t.elapsed(), r.map(|r| r.chars().take(60).collect::<String>()));
        };
        time("paren", format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)));
        time("paren bad", format!("SELECT {}1 1 {}", "(".repeat(n), ")".repeat(n)));
        time("from", format!("SELECT * FROM {}a{}", "(".repeat(n), ")".repeat(n)));
        time("from select", format!("SELECT * FROM {}a{}", "(SELECT * FROM ".repeat(n), ") AS x".repeat(n)));
        time("select", format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)));
        time("case", format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)));
        time("fn", format!("SELECT {}1{}", "abs(".repeat(n), ")".repeat(n)));
        time("fn unclosed", format!("SELECT {}1 1{}", "abs(".repeat(n), ")".repeat(n)));
        time("exists", format!("SELECT {}1{}", "exists(select ".repeat(n), ")".repeat(n)));
        time("in", format!("SELECT 1 {}1{}", "in (1, 1 ".repeat(n), ")".repeat(n)));
        time("array", format!("SELECT {}1{}", "array[".repeat(n), "]".repeat(n)));
        time("idx", format!("SELECT a{}1{}", "[a".repeat(n), "]".repeat(n)));
        time("cte", format!("{}SELECT 1{}", "WITH a AS (".repeat(n), ") SELECT 1".repeat(n)));
        time("join", format!("SELECT * FROM {}a{}", "(a join ".repeat(n), " on true)".repeat(n)));
        time("interval", format!("SELECT {}'1'", "interval ".repeat(n)));
        time("date", format!("SELECT {}'1'", "date ".repeat(n)));
        time("tuple", format!("SELECT {}1, 2{}", "(1, ".repeat(n), ")".repeat(n)));
        time("lateral", format!("SELECT * FROM {}1{}", "lateral abs(".repeat(n), ")".repeat(n)));
        time("between", format!("SELECT {}1", "1 between 1 and ".repeat(n)));
        time("window", format!("SELECT {}1{}", "sum(1) over (order by ".repeat(n), ")".repeat(n)));
    }
}
