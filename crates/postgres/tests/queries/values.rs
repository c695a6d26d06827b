//! What comes back is what is stored.

use pacioli_projection::answer::{Kind, Value};
use pacioli_projection::engine::QueryError;

use super::world::{Mode, World};

/// A value in SQL, and as it is told.
fn cases() -> Vec<(&'static str, Kind, Value)> {
    let text = |text: &str| Value::Text(text.to_owned());
    let json = |text: &str| Value::Json(text.to_owned());
    let decimal = |text: &str| Value::Decimal(text.to_owned());
    vec![
        ("true", Kind::Bool, Value::Bool(true)),
        ("false", Kind::Bool, Value::Bool(false)),
        ("1::smallint", Kind::Int, Value::Int(1)),
        ("-2147483648", Kind::Int, Value::Int(-2_147_483_648)),
        ("9223372036854775807", Kind::Int, Value::Int(i64::MAX)),
        ("0.1::real", Kind::Float, Value::Float(0.1)),
        ("0.1::float8", Kind::Float, Value::Float(0.1)),
        ("'Infinity'::float8", Kind::Float, Value::Float(f64::INFINITY)),
        ("12.50", Kind::Decimal, decimal("12.50")),
        ("0.000000000000000000000000000001", Kind::Decimal, decimal("0.000000000000000000000000000001")),
        (
            "-123456789012345678901234567890.123456789",
            Kind::Decimal,
            decimal("-123456789012345678901234567890.123456789"),
        ),
        ("'NaN'::numeric", Kind::Decimal, decimal("NaN")),
        ("10000::numeric", Kind::Decimal, decimal("10000")),
        ("'it''s'", Kind::Text, text("it's")),
        ("E'tab\\tand\\nline'", Kind::Text, text("tab\tand\nline")),
        ("$$dollar ' quoted$$", Kind::Text, text("dollar ' quoted")),
        ("'ÄÖ€😀'::varchar(10)", Kind::Text, text("ÄÖ€😀")),
        ("'ab'::char(4)", Kind::Text, text("ab  ")),
        ("''", Kind::Text, text("")),
        ("'00000000-0000-0000-0000-00000000002a'::uuid", Kind::Text, text("00000000-0000-0000-0000-00000000002a")),
        ("'{\"a\": [1, 2]}'::json", Kind::Json, json("{\"a\": [1, 2]}")),
        ("'{\"b\":1,\"a\":[1,2]}'::jsonb", Kind::Json, json("{\"a\": [1, 2], \"b\": 1}")),
        ("'null'::jsonb", Kind::Json, json("null")),
        ("timestamptz '2024-02-29 12:34:56.789012+02'", Kind::Time, Value::Time(1_709_202_896_789_012)),
        ("timestamp '1970-01-01 00:00:00.000001'", Kind::Time, Value::Time(1)),
        ("timestamptz 'infinity'", Kind::Time, text("infinity")),
        ("date '2024-02-29'", Kind::Text, text("2024-02-29")),
        ("date '0044-03-15 BC'", Kind::Text, text("0044-03-15 BC")),
        ("date '9999-12-31' + 1", Kind::Text, text("10000-01-01")),
        ("time '12:34:56.5'", Kind::Text, text("12:34:56.5")),
        ("interval '1 month -2 days 03:04:05'", Kind::Text, text("1 mon -2 days +03:04:05")),
        ("'\\xdeadbeef'::bytea", Kind::Bytes, Value::Bytes(vec![0xde, 0xad, 0xbe, 0xef])),
        ("NULL::int", Kind::Int, Value::Null),
        ("NULL", Kind::Text, Value::Null),
        ("ARRAY['a', NULL, 'b \"c\"']", Kind::Json, json("[\"a\",null,\"b \\\"c\\\"\"]")),
        ("ARRAY[[1,2],[3,4]]", Kind::Json, json("[[1,2],[3,4]]")),
        ("ROW(1, 'x')", Kind::Json, json("{\"f1\":1,\"f2\":\"x\"}")),
        ("int4range(1, 5)", Kind::Text, text("[1,5)")),
        ("'10.0.0.1/8'::inet", Kind::Text, text("10.0.0.1/8")),
        ("to_tsvector('english', 'cats')", Kind::Text, text("'cat':1")),
        ("X'1F'", Kind::Text, text("00011111")),
    ]
}

#[tokio::test]
async fn values_come_as_they_are_stored() {
    let world = World::new("query_values", Mode::Reader).await;
    for (sql, kind, value) in cases() {
        let answer = world.ask(&format!("SELECT {sql} AS \"Its value\"")).await;
        let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(answer.columns[0].name, "Its value");
        assert_eq!((answer.columns[0].kind, &answer.rows), (kind, &vec![vec![value]]), "{sql}");
    }
    // All at once: those that need the server's help do not disturb the others, nor their order.
    let all = cases();
    let columns: Vec<&str> = all.iter().map(|(sql, ..)| *sql).collect();
    let answer = world
        .ask(&format!("SELECT {} FROM generate_series(1, 3) -- at the end", columns.join(", ")))
        .await
        .expect("an answer");
    let values: Vec<Value> = all.into_iter().map(|(.., value)| value).collect();
    assert_eq!(answer.rows, vec![values.clone(), values.clone(), values]);
}

#[tokio::test]
async fn numbers_have_all_their_digits() {
    let world = World::new("query_numbers", Mode::Reader).await;
    let rows = world
        .rows(
            "SELECT n, n::text FROM (SELECT (CASE WHEN i % 2 = 0 THEN 1 ELSE -1 END) * (power(10::numeric, i % 40) * (i * 7919 % 100003) / power(10::numeric, i % 23)) AS n
             FROM generate_series(0, 3000) i) x",
        )
        .await;
    assert_eq!(rows.len(), 3_001);
    for row in rows {
        let [Value::Decimal(number), Value::Text(text)] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(number, text);
    }
}

#[tokio::test]
async fn names_and_order_of_an_answer_are_those_of_the_query() {
    let world = World::new("query_names", Mode::Superuser).await;
    let answer = world.ask("SELECT 1 AS a, 2 AS a, 3, now() IS NULL AS \"B c\"").await.expect("an answer");
    let names: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "a", "?column?", "B c"]);
    let tagged = world.rows("SELECT account, tags, rate FROM balances ORDER BY cents DESC LIMIT 3").await;
    assert_eq!(
        tagged[0],
        [
            Value::Text("account-1000".to_owned()),
            Value::Json("[\"t1000\",\"x\"]".to_owned()),
            Value::Decimal("125.0000".to_owned())
        ]
    );
    assert_eq!(tagged[2][0], Value::Text("account-998".to_owned()));
    let quoted = world.ask("SELECT \"select\", \"a\"\"b\", j FROM \"Größe\" ORDER BY 1").await.expect("an answer");
    assert_eq!(quoted.columns[1].name, "a\"b");
    assert_eq!(quoted.rows[1], [Value::Int(2), Value::Text("two".to_owned()), Value::Null]);
    let row = world.rows("SELECT g FROM \"Größe\" g ORDER BY \"select\" LIMIT 1").await;
    assert_eq!(row, vec![vec![Value::Json("{\"select\":1,\"a\\\"b\":\"one\",\"j\":{\"a\":1}}".to_owned())]]);
    assert_eq!(world.ask("SELECT FROM balances LIMIT 2").await.expect("an answer").rows, vec![vec![], vec![]]);
    let plan = world.ask("EXPLAIN SELECT * FROM balances WHERE account = 'account-1'").await.expect("a plan");
    assert_eq!(plan.columns[0].name, "QUERY PLAN");
}

#[tokio::test]
async fn the_log_is_a_relation() {
    let world = World::new("query_log", Mode::Reader).await;
    let sums = world
        .rows("SELECT stream, sum((data ->> 'amount')::bigint), count(*) FROM events WHERE type = 'MoneyDeposited' GROUP BY stream ORDER BY stream")
        .await;
    let row =
        |stream: u8| vec![Value::Text(format!("account-{stream}")), Value::Decimal("1500".to_owned()), Value::Int(5)];
    assert_eq!(sums, vec![row(1), row(2), row(3)]);
    assert_eq!(
        world
            .reader
            .named_by("SELECT * FROM events e JOIN pacioli_read.balances b ON true, (SELECT * FROM \"Größe\") x")
            .expect("names"),
        ["Größe", "balances", "events"]
    );
    let problem = world.ask("SELECT * FROM balance").await.expect_err("no such table");
    let QueryError::Invalid(problem) = problem else { panic!("{problem:?}") };
    assert!(
        problem.contains("\"balance\" does not exist") && problem.contains("there are `Größe`, `balances`, `events`"),
        "{problem}"
    );
    let problem = world.ask("SELECT nonsense FROM balances").await.expect_err("no such column");
    assert!(matches!(&problem, QueryError::Invalid(said) if said.contains("nonsense")), "{problem:?}");
    let problem = world.ask("SELECT 1 / 0").await.expect_err("no such number");
    assert!(matches!(&problem, QueryError::Invalid(said) if said.contains("division by zero")), "{problem:?}");
}
