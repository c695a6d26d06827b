//! What is let through and what is refused, before any database is asked.

use proptest::collection::vec;
use proptest::prelude::*;

use super::check::{Checked, check};
use super::plain::{Token, plain};

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
fn what_is_nested_or_long_is_read_or_refused_in_no_time() {
    let nested = |open: &str, middle: &str, close: &str| {
        let nest = move |depth: usize| format!("SELECT {}{middle}{}", open.repeat(depth), close.repeat(depth));
        [nest(10), nest(60), nest(400), nest(3_000)]
    };
    let questions = [
        nested("(", "1", ")"),
        nested("(", "1 1", ")"),
        nested("(SELECT ", "1", ")"),
        nested("abs(", "1", ")"),
        nested("CASE WHEN true THEN ", "1", " END"),
        nested("EXISTS(SELECT ", "1", ")"),
        nested("ARRAY[", "1", "]"),
        nested("NOT ", "true", ""),
        nested("- ", "1", ""),
        nested("", "1", " + 1"),
        nested("", "true", " OR true"),
        nested("", "1", "::int"),
        nested("", "1", " UNION SELECT 1"),
        nested("* FROM ", "", "(a JOIN "),
        nested("* FROM (SELECT ", "1", ") AS x"),
        nested("* FROM ", "a", " JOIN a ON true"),
        nested("1 BETWEEN 1 AND ", "1", ""),
        nested("sum(1) OVER (ORDER BY ", "1", ")"),
        nested("interval ", "'1'", ""),
        nested("date ", "'1'", ""),
    ];
    for sql in questions.iter().flatten() {
        let began = std::time::Instant::now();
        let _ = check(sql, None);
        let took = began.elapsed();
        assert!(
            took < std::time::Duration::from_secs(2),
            "{took:?} for {} bytes of {}…",
            sql.len(),
            &sql[..40.min(sql.len())]
        );
    }
    let deep = passes(&format!("SELECT {}1{}", "(".repeat(20), ")".repeat(20)));
    assert!(deep.relations.is_empty() && !deep.is_explain);
    let ids: Vec<String> = (0..4_000).map(|id| id.to_string()).collect();
    passes(&format!("SELECT * FROM events WHERE position IN ({})", ids.join(", ")));
    assert!(refused(&format!("SELECT '{}'", "x".repeat(300_000))).contains("300009 bytes"));
    assert!(refused(&format!("SELECT 1{}", ", 1".repeat(6_000))).contains("10000 words"));
}

#[test]
fn refusals_say_what_is_wrong_and_what_to_do() {
    for (sql, says) in [
        ("DELETE FROM balances", "a query only reads: write one SELECT"),
        ("SELECT 1; SELECT 2", "a query is one statement"),
        (
            "SELECT pg_sleep(1)",
            "`pg_sleep` may not be called in a query; the functions that may are in docs/reference/sql-queries.md",
        ),
        ("SELECT \"Lower\"('A')", "`Lower` may not be called"),
        ("SELECT x.lower('A')", "may not be called"),
        (
            "SELECT * FROM public.balances",
            "`public.balances` may not be queried: name the tables of projections, and `events`, without a schema",
        ),
        ("SELECT * FROM pg_class", "it is PostgreSQL's own"),
        ("SELECT * INTO x FROM events", "leave INTO out"),
        ("SELECT * FROM events FOR UPDATE", "leave FOR UPDATE or FOR SHARE out"),
        ("EXPLAIN ANALYZE SELECT 1", "ANALYZE would run the query"),
        ("SELECT $1", "write the value where `$` stands"),
        ("SELECT 'events'::regclass", "nothing is cast to `regclass`"),
        ("TABLE events", "a query only reads"),
        ("SELECT 1 UNION TABLE events", "write SELECT * FROM for TABLE"),
        ("SELECT * FROM events TABLESAMPLE system (1)", "no TABLESAMPLE"),
        ("SELECT U&'x'", "write the signs themselves"),
        ("SELECT 'a' 'b'", "join them with ||"),
        ("SELECT 1 FROM", "the query cannot be read: Expected: identifier"),
        ("", "the query is empty"),
    ] {
        let said = refused(sql);
        assert!(said.contains(says), "{sql}: {said}");
    }
}

#[test]
fn relations_are_named_once_and_in_order() {
    let named = |sql: &str| passes(sql).relations;
    assert_eq!(
        named(
            "WITH b AS (SELECT * FROM funnel) SELECT * FROM b, events e, pacioli_read.\"Ünï\", (SELECT 1 FROM EVENTS) x, unnest(ARRAY[1]) u(n)"
        ),
        ["b", "events", "funnel", "Ünï"]
    );
    assert!(
        check("SELECT * FROM pacioli_read.events", None).is_err(),
        "another search path: no schema leads out of it"
    );
}

#[test]
fn what_is_sent_has_no_comment_and_no_second_reading() {
    for (sql, sent) in [
        ("SELECT/* a */1--b\n+2 ;; -- end", "select 1\n+2 "),
        ("select E'a\\'b\\\\', $$c'd$$, 'e''f'", "select 'a''b\\', 'c''d', 'e''f'"),
        ("SELECT größe, \"Größe\", \"a\"\"b\"", "select \"größe\", \"Größe\", \"a\"\"b\""),
        ("SELECT x'1F', B'101', 1.5E-3, .5, 1.", "select x'1F', b'101', 1.5E-3, .5, 1."),
        ("SELECT a/*x*/-/*y*/-b, c --d\r, e", "select a - -b, c \n, e"),
    ] {
        // What is kept of a comment is a blank, or a line's end if it had one.
        let plain = plain(sql).expect("plain").text.replace('\r', "\n");
        assert_eq!(plain.split_whitespace().collect::<Vec<_>>(), sent.split_whitespace().collect::<Vec<_>>(), "{sql}");
    }
}

/// Pieces of SQL that meet at random.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "SELECT",
        "select",
        "FROM",
        "events",
        "WHERE",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "::",
        "int",
        "1",
        "'a'",
        "E'\\''",
        "$$",
        "$x$",
        "'",
        "\"",
        "\"q\"",
        "--",
        "/*",
        "*/",
        "\n",
        ";",
        "pg_sleep",
        "lower",
        "(1)",
        "AS",
        "WITH",
        "x",
        "VALUES",
        "UNION",
        "JOIN",
        "ON",
        "LATERAL",
        "ORDER BY",
        "OVER",
        "CASE",
        "END",
        "INTO",
        "DELETE FROM",
        "U&'",
        "u&\"",
        "@",
        "->>",
        "-",
        "*",
        "\\",
        "ß",
        "\u{a0}",
        "CAST(",
        "FILTER(",
        "public",
        "FOR UPDATE",
        "NOT",
        "IN",
        "{",
        "`",
        "?",
        "$1",
        "e'",
        "b'1'",
        "0x1",
        "1e",
        "OPERATOR(",
        "TABLE",
        "EXPLAIN",
        " ",
        " ",
        " ",
    ];
    vec(proptest::sample::select(PIECES), 1..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_what_passes_is_one_plain_query(sql in pieces()) {
        let sql = format!("SELECT {sql}");
        if let Ok(checked) = check(&sql, None) {
            // It is plain already: no comment is in it, and no semicolon.
            let again = plain(&checked.text).expect("plain");
            prop_assert_eq!(&again.text, &checked.text);
            prop_assert!(check(&checked.text, None).is_ok());
            prop_assert!(!again.tokens.contains(&Token::Word("into".to_owned())));
            // Only as an alias, with nothing but names behind it.
            for (at, pair) in again.tokens.windows(2).enumerate() {
                let is_named = matches!(&pair[0], Token::Word(name) | Token::Name(name) if name == "pg_sleep");
                if is_named && pair[1] == Token::Sign(b'(') {
                    let inside = again.tokens[at + 2..].iter().take_while(|token| **token != Token::Sign(b')'));
                    for token in inside {
                        let is_plain = matches!(token, Token::Word(_) | Token::Name(_)) || *token == Token::Sign(b',');
                        prop_assert!(is_plain, "{}", checked.text);
                    }
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_check_panic(sql in "\\PC{0,200}") {
        let _ = check(&sql, None);
        let _ = check(&format!("SELECT {sql}"), None);
    }
}
