//! Point reads: names from the catalogue, values by PostgreSQL's own reading.

use std::time::{Duration, Instant};

use pacioli_projection::answer::{Answer, Kind, Value};
use pacioli_projection::engine::{Lookup, QueryError};

use super::world::{Mode, World, limits, lookup};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[tokio::test]
async fn rows_are_found_by_values_of_any_type() {
    for (label, mode) in [("lookup_reader", Mode::Reader), ("lookup_superuser", Mode::Superuser)] {
        let world = World::new(label, mode).await;
        let answer = world.look_up("balances", &[("account", "account-16")]).await.expect("an answer");
        let names: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["account", "cents", "rate", "opened", "tags", "at"]);
        assert_eq!(answer.columns[4].kind, Kind::Json);
        let row = [
            text("account-16"),
            Value::Int(1_600),
            Value::Decimal("2.0000".to_owned()),
            text("2024-01-17"),
            Value::Json("[\"t16\",\"x\"]".to_owned()),
            Value::Time(1_704_124_800_000_000),
        ];
        assert_eq!(answer.rows, vec![row.to_vec()]);
        for equals in [
            &[("cents", "1600")][..],
            &[("rate", "2")],
            &[("rate", "2.000000")],
            &[("opened", "2024-01-17")],
            &[("at", "2024-01-01T16:00:00Z")],
            &[("at", "2024-01-01T18:00:00+02:00")],
            &[("tags", "{t16,x}")],
            &[("account", "account-16"), ("cents", " 1600 ")],
        ] {
            assert_eq!(world.look_up("balances", equals).await.expect("an answer").rows, answer.rows, "{equals:?}");
        }
        assert_eq!(
            world.look_up("balances", &[("account", "account-16"), ("cents", "1")]).await.expect("an answer").rows,
            Vec::<Vec<Value>>::new()
        );
        let odd = world.look_up("Größe", &[("a\"b", "two")]).await.expect("an answer");
        assert_eq!(odd.rows, vec![vec![Value::Int(2), text("two"), Value::Null]]);
        assert_eq!(
            world.look_up("events", &[("stream", "account-1"), ("version", "4")]).await.expect("an answer").rows.len(),
            1
        );
    }
}

#[tokio::test]
async fn rows_come_in_the_order_and_number_that_was_asked_for() {
    let world = World::new("lookup_order", Mode::Reader).await;
    let ask = |order: Option<(&str, bool)>, limit| {
        let order = order.map(|(column, is_descending)| (column.to_owned(), is_descending));
        world.reader.lookup(Lookup { order, limit, ..lookup("balances", &[]) }, limits())
    };
    let cents = |answer: &Answer| answer.rows.iter().map(|row| row[1].clone()).collect::<Vec<_>>();
    let last = ask(Some(("cents", true)), 2).await.expect("an answer");
    assert_eq!(cents(&last), [Value::Int(100_000), Value::Int(99_900)]);
    let first = ask(Some(("cents", false)), 1).await.expect("an answer");
    assert_eq!(cents(&first), [Value::Int(100)]);
    assert_eq!(ask(None, 0).await.expect("an answer").rows.len(), 0);
    assert_eq!(ask(None, 1_000).await.expect("an answer").rows.len(), 1_000);
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_is() {
    let world = World::new("lookup_names", Mode::Reader).await;
    let says = async |lookup: Lookup| match world.reader.lookup(lookup, limits()).await {
        Err(QueryError::Invalid(said)) => said,
        other => panic!("{other:?}"),
    };
    let said = says(lookup("balance", &[])).await;
    assert_eq!(said, "there is no table `balance`; there are `Größe`, `balances`, `events`");
    for table in
        ["pg_authid", "pacioli_read.balances", "balances\"; DELETE FROM balances; --", "", "BALANCES", "secret"]
    {
        assert!(says(lookup(table, &[])).await.contains("there is no table"), "{table}");
    }
    for column in ["cent", "cents\" = 1; --", "1 = 1 OR account", "", "ctid", "xmin"] {
        let said = says(lookup("balances", &[(column, "1")])).await;
        assert!(said.contains("has no column") && said.contains("there are `account`, `cents`"), "{said}");
        let ordered = Lookup { order: Some((column.to_owned(), true)), ..lookup("balances", &[]) };
        assert!(says(ordered).await.contains("has no column"), "{column}");
    }
    assert!(says(lookup("balances", &[("cents", "many")])).await.contains("many"));
    assert!(says(lookup("balances", &[("opened", "2024-02-30")])).await.contains("2024-02-30"));
    assert!(says(lookup("Größe", &[("j", "{}")])).await.contains("json = json"));
    let quoted = world.look_up("balances", &[("account", "' OR 1 = 1; --")]).await.expect("an answer");
    assert_eq!(quoted.rows.len(), 0);
}

#[tokio::test]
async fn another_build_is_read_as_soon_as_it_serves() {
    let world = World::new("lookup_swap", Mode::Reader).await;
    let ask = || world.look_up("balances", &[("account", "account-1")]);
    for _ in 0..10 {
        assert_eq!(ask().await.expect("an answer").columns.len(), 6);
    }
    // The same columns, one of another type, in another table.
    world
        .admin
        .batch_execute(
            "BEGIN; CREATE TABLE pacioli_balances_1.second AS SELECT account, cents::numeric AS cents, rate, opened, tags, at FROM pacioli_balances_1.balances;
             DROP VIEW pacioli_read.balances; CREATE VIEW pacioli_read.balances AS SELECT * FROM pacioli_balances_1.second;
             GRANT SELECT ON pacioli_read.balances TO pacioli_reader; COMMIT",
        )
        .await
        .expect("swapped");
    for _ in 0..10 {
        assert_eq!(ask().await.expect("an answer").rows[0][1], Value::Decimal("100".to_owned()));
    }
    // One column more, and one less.
    world
        .admin
        .batch_execute(
            "CREATE OR REPLACE VIEW pacioli_read.balances AS SELECT *, 1 AS more FROM pacioli_balances_1.second",
        )
        .await
        .expect("swapped");
    let began = Instant::now();
    while ask().await.expect("an answer").columns.len() != 7 {
        assert!(began.elapsed() < Duration::from_secs(3), "the new column does not come");
    }
    world
        .admin
        .batch_execute(
            "BEGIN; DROP VIEW pacioli_read.balances; CREATE VIEW pacioli_read.balances AS SELECT account, cents FROM pacioli_balances_1.second;
             GRANT SELECT ON pacioli_read.balances TO pacioli_reader; COMMIT",
        )
        .await
        .expect("swapped");
    assert_eq!(ask().await.expect("an answer").columns.len(), 2);
}
