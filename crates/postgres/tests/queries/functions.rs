//! The list of functions, against the catalogue of the server the tests run on.

use std::collections::BTreeSet;

use pacioli_postgres::models::functions::allowed;
use pacioli_postgres::models::query::SqlReader;

use super::world::connect;
use crate::support::location;

/// Those of the list that may give another answer at each call. They read and write nothing.
const CHANGING: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "gen_random_uuid",
    "random",
    "random_normal",
    "uuidv4",
    "uuidv7",
];

async fn names(sql: &str) -> BTreeSet<String> {
    let client = connect(&pacioli_pgtest::shared().url("postgres")).await;
    let rows = client.query(sql, &[]).await.expect("an answer");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn each_is_there_and_only_computes() {
    let version = names("SELECT (current_setting('server_version_num')::int / 10000)::text").await;
    let version: u16 = version.first().expect("a version").parse().expect("a number");
    let there = names("SELECT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace").await;
    let listed: BTreeSet<String> =
        allowed().filter(|(_, since)| *since <= version).map(|(name, _)| name.to_owned()).collect();
    assert!(listed.len() > 300, "{}", listed.len());
    assert_eq!(listed.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "there is no such function");

    let volatile = names(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'",
    )
    .await;
    let changing: BTreeSet<String> = CHANGING.iter().map(|name| (*name).to_owned()).collect();
    let volatile: Vec<_> = listed.intersection(&volatile).filter(|name| !changing.contains(*name)).collect();
    assert_eq!(volatile, Vec::<&String>::new(), "may do more than compute");
}

#[tokio::test]
async fn none_runs_a_text_or_leaves_its_arguments() {
    let listed: BTreeSet<String> = allowed().map(|(name, _)| name.to_owned()).collect();
    let refused = names(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
            AND proname ~ '^(pg_|lo_|txid_|has_|inet_|binary_upgrade_|brin_|gin_|set_config|setseed|setval|nextval|currval|lastval|current_|row_security|dblink|ts_stat|ts_rewrite|ts_debug|ts_parse|col_description|obj_description|shobj_description|version|to_reg|amvalidate|acl|makeacl|has_|getdatabase|satisfies|xml|xpath)'
             OR proname ~ '_to_xml'",
    )
    .await;
    assert!(refused.len() > 300, "{}", refused.len());
    assert_eq!(listed.intersection(&refused).collect::<Vec<_>>(), Vec::<&String>::new());
    // A name of the catalogue's is resolved by its reader, and internal arguments are for the server itself.
    let peeking = names(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
            AND (proargtypes::oid[] && ARRAY['regclass', 'regproc', 'regprocedure', 'regrole', 'regnamespace', 'internal', 'refcursor', 'trigger']::regtype[]::oid[])",
    )
    .await;
    assert_eq!(listed.intersection(&peeking).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test]
async fn what_goes_without_a_function_only_computes_too() {
    for (what, sql) in [
        ("operators", "SELECT oprcode::text FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND p.provolatile = 'v'"),
        ("casts", "SELECT castfunc::regproc::text FROM pg_cast JOIN pg_proc p ON p.oid = castfunc WHERE p.provolatile = 'v' AND p.pronamespace = 'pg_catalog'::regnamespace"),
        // `t.f` is `f(t)` where t is a relation: one argument that takes a row.
        (
            "functions of a row",
            "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v' AND pronargs >= 1 AND pronargs - pronargdefaults <= 1
                AND proargtypes[0] IN ('\"any\"'::regtype, 'anyelement'::regtype, 'anynonarray'::regtype, 'record'::regtype, 'anycompatible'::regtype, 'anycompatiblenonarray'::regtype)",
        ),
        ("relations that look like nobody's own", "SELECT relname::text FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relname !~ '^pg_'"),
    ] {
        assert_eq!(names(sql).await, BTreeSet::new(), "{what}");
    }
}

#[tokio::test]
async fn no_other_function_of_the_server_can_be_called_in_any_place() {
    let listed: BTreeSet<String> = allowed().map(|(name, _)| name.to_owned()).collect();
    let others = names("SELECT DISTINCT proname::text FROM pg_proc").await;
    let reader = SqlReader::new(&location(&pacioli_pgtest::shared().url("postgres")), 1).expect("a reader");
    let mut through = BTreeSet::new();
    for name in others.difference(&listed) {
        for place in [
            "SELECT {f}(1)",
            "SELECT {f} /* ( */ ()",
            "SELECT \"{f}\"(1)",
            "SELECT pg_catalog.{f}(1)",
            "SELECT pg_catalog.\"{f}\"(1, 'a')",
            "SELECT * FROM {f}(1) AS x(y)",
            "SELECT * FROM events, LATERAL {f}(1) x",
            "SELECT * FROM events JOIN events e ON {f}(1)",
            "VALUES ({f}(1))",
            "SELECT sum(1) OVER (ORDER BY {f}(1))",
            "SELECT count(*) FILTER (WHERE {f}(1))",
            "SELECT 1 ORDER BY {f}(1) LIMIT {f}(1)",
            "SELECT CASE WHEN EXISTS (SELECT {f}(1)) THEN ARRAY[{f}(1)] END",
            "WITH x AS (SELECT {f}(1)) SELECT * FROM x",
            "WITH {f}(a) AS (SELECT 1) SELECT {f}(a) FROM {f}",
        ] {
            if reader.named_by(&place.replace("{f}", name)).is_ok() {
                through.insert(name.as_str());
            }
        }
    }
    // `interval(3) '1 s'` is a type with a precision.
    assert_eq!(through, BTreeSet::from(["interval"]));
}

#[test]
fn the_documentation_has_the_same_list() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/sql-queries.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let section = page.split("## Functions").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let told: BTreeSet<&str> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    let listed: BTreeSet<&str> = allowed().map(|(name, _)| name).collect();
    assert_eq!(told.symmetric_difference(&listed).collect::<Vec<_>>(), Vec::<&&str>::new());
}
