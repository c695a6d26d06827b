//! What stands beside a named value, which says where its type comes from.

use crate::file::{Beside, Source, Step};

use super::accepted::parsed;

/// The first named value of an expression.
fn value(expression: &str) -> (Source, Beside) {
    let top = "-- projection: p\n-- version: 1\nCREATE TABLE t (a TEXT PRIMARY KEY, n BIGINT);\n-- on: A\n";
    let projection = parsed(&format!("{top}UPDATE t SET n = {expression};"));
    let value = projection.handlers[0].statements[0].values().next().expect("a named value").clone();
    (value.source, value.beside)
}

#[test]
fn what_stands_beside_a_value_is_seen() {
    let none = Beside::default();
    let arithmetic = Beside { arithmetic: true, ..none };
    let argument = Beside { argument: true, ..none };
    let cast = Beside { cast: true, ..none };
    let number = Beside { number: true, ..none };
    let rows = [
        (":version", none),
        ("(:version)", none),
        ("CASE WHEN true THEN :version END", none),
        ("n + :version", arithmetic),
        (":version - 1", arithmetic),
        ("n*:version", arithmetic),
        ("n % (:version)", arithmetic),
        ("((:version)) / 2", arithmetic),
        ("-:version", arithmetic),
        ("a || :version", none),
        (":data ->> 'x'", none),
        ("abs(:version)", argument),
        ("substr(:stream, 1, 7)", argument),
        ("substr(a, :version)", argument),
        ("substring(:stream FROM 2)", argument),
        ("max(n, (:version))", argument),
        ("abs(:version + 1)", arithmetic),
        ("coalesce(:version, n)", none),
        ("coalesce(n, :version)", none),
        ("nullif(:data.a, '')", none),
        ("coalesce(:version, 0)", number),
        ("greatest(n, :version, -1)", number),
        ("coalesce(:version, n) + 1", arithmetic),
        ("abs(coalesce(:version, n))", argument),
        ("1 + greatest(coalesce(:version, n), n)", arithmetic),
        ("CAST(:version AS bigint)", cast),
        (":version::bigint", cast),
        ("(:version)::bigint", cast),
        ("CAST(:version AS bigint) + 1", cast),
        ("CAST(:version + 1 AS bigint)", arithmetic),
        ("CAST(coalesce(:version, n) AS bigint)", cast),
        ("coalesce(:version::bigint, 0)", cast),
        ("1 + :version::bigint", Beside { arithmetic: true, ..cast }),
        ("(SELECT n FROM t WHERE a = :stream)", none),
        ("(SELECT n FROM t WHERE n IN (:version, 2))", none),
        ("(SELECT n FROM t WHERE n = ANY (:data.all))", none),
        ("(SELECT n FROM t WHERE n > :version)", none),
        ("(SELECT n FROM t WHERE :version > 100)", number),
        ("(SELECT n FROM t WHERE -5 <= :version)", number),
        ("(SELECT n FROM t WHERE :version = - 5)", number),
        ("ARRAY[:version, 1]", none),
        ("a[:version]", none),
    ];
    for (expression, expected) in rows {
        assert_eq!(value(expression).1, expected, "{expression}");
    }
    let insert = "-- projection: p\n-- version: 1\nCREATE TABLE t (a TEXT PRIMARY KEY, n BIGINT);\n-- on: A\n\
        INSERT INTO t (a, n) VALUES (:stream, :version);";
    assert!(parsed(insert).handlers[0].statements[0].values().all(|value| value.beside == none));
}

#[test]
fn a_path_is_read_as_it_is_written() {
    let member = |name: &str| Step::Member(name.to_owned());
    let rows = [
        (":data.amount", vec![member("amount")]),
        (":data.items[0].sku", vec![member("items"), Step::Element(0), member("sku")]),
        (":data[3]", vec![Step::Element(3)]),
        (":data.\"odd name\".x", vec![member("odd name"), member("x")]),
        (":data.\"a\"\"b.c\"[1]", vec![member("a\"b.c"), Step::Element(1)]),
        (":data.größe", vec![member("größe")]),
        (":data.select.from", vec![member("select"), member("from")]),
        (":data.\"\"", vec![member("")]),
    ];
    for (written, path) in rows {
        let (source, _) = value(written);
        assert_eq!(source, Source::Path(path), "{written}");
        assert_eq!(source.to_string(), written);
    }
    for (name, source) in Source::NAMED {
        let written = format!(":{name}");
        assert_eq!((source.to_string(), &value(&written).0), (written, &source));
    }
}

#[test]
fn what_only_looks_like_a_value_is_none() {
    let top = "-- projection: p\n-- version: 1\nCREATE TABLE t (a TEXT PRIMARY KEY, n BIGINT);\n-- on: A\n";
    for expression in [
        "':stream'",
        "'it''s :stream'",
        "E'\\':stream'",
        "$$:stream$$",
        "$q$ :stream $$ $q$",
        "\":stream\"",
        "`:stream`",
        "a::text",
        "a[1:2]",
        "a[n:n]",
        "(a)[1:n]",
        "a -> '$.x:stream'",
        "1 -- :stream\n",
        "1 /* :stream /* :type */ :key */",
    ] {
        let projection = parsed(&format!("{top}UPDATE t SET a = {expression};"));
        assert_eq!(projection.handlers[0].statements[0].values().count(), 0, "{expression}");
    }
}
