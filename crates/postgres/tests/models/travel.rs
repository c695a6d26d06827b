//! A question about the past is answered from a fold up to that moment.

use pacioli_core::Timestamp;
use pacioli_core::place::Checkpoint;
use pacioli_projection::Engine;
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{BuildNumber, Moment, Query, QueryError, QueryLimits};

use super::world::{BALANCES, COUNTS, World, event, name};

impl World {
    async fn ask(&self, sql: &str, as_of: Option<Moment>) -> Result<Vec<Vec<Value>>, QueryError> {
        let query = Query { sql: sql.to_owned(), as_of, limits: QueryLimits::default() };
        Ok(self.models.query(query).await?.rows)
    }

    async fn first(&self, sql: &str, as_of: Option<Moment>) -> Value {
        let rows = self.ask(sql, as_of).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        rows[0][0].clone()
    }
}

fn at(checkpoint: &str) -> Option<Moment> {
    Some(Moment::At(checkpoint.parse::<Checkpoint>().expect("a checkpoint")))
}

const SCRATCHES: &str = "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'scratch'";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_table_and_the_log_were_at_a_checkpoint_is_what_they_were() {
    let world = World::new("models_travel").await;
    world.begin(BALANCES).await;
    world.begin(COUNTS).await;
    world.deposit(3, 4).await;
    world.catch_up("balances", 1).await.expect("it advances");
    world.catch_up("counts", 1).await.expect("it advances");
    let sum = "SELECT CAST(sum(cents) AS bigint) FROM balances";
    for (checkpoint, expected) in [("0:12", 12), ("0:7", 7), ("0:1", 1)] {
        assert_eq!(world.first(sum, at(checkpoint)).await, Value::Int(expected), "{checkpoint}");
        let both = "SELECT (SELECT CAST(sum(cents) AS bigint) FROM balances) + (SELECT CAST(sum(events) AS bigint) FROM counts)";
        assert_eq!(world.first(both, at(checkpoint)).await, Value::Int(2 * expected), "{checkpoint}");
        assert_eq!(world.first("SELECT count(*) FROM events", at(checkpoint)).await, Value::Int(expected));
    }
    assert_eq!(world.first(sum, at("0:0")).await, Value::Null);
    assert_eq!(world.first(sum, None).await, Value::Int(12), "and now is now");
    let refused = world.ask(sum, at("0:13")).await.expect_err("that is to come");
    assert!(refused.to_string().contains("has not come to 0:13 yet"), "{refused}");
    // They are dropped behind the answer.
    for _ in 0..200 {
        if world.value(SCRATCHES).await == "0" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(world.value(SCRATCHES).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_goes_on_from_the_nearest_copy_of_the_same_file() {
    let world = World::new("models_from_copy").await;
    world.begin(BALANCES).await;
    world.deposit(2, 5).await;
    world.catch_up("balances", 1).await.expect("it advances");
    world.models.keep_copy(&name("balances"), BuildNumber(1)).await.expect("a copy");
    // Whoever begins at the copy sees this.
    let mark = "UPDATE pacioli_copy_1.balances SET cents = cents + 1000 WHERE account = 'account-0'";
    world.client().await.batch_execute(mark).await.expect("it is marked");
    world.deposit(2, 5).await;
    world.catch_up("balances", 1).await.expect("it advances");
    let sum = "SELECT CAST(sum(cents) AS bigint) FROM balances";
    assert_eq!(world.first(sum, at("0:15")).await, Value::Int(1015));
    assert_eq!(world.first(sum, at("0:10")).await, Value::Int(1010));
    assert_eq!(world.first(sum, at("0:9")).await, Value::Int(9), "the copy lies beyond");
    // Another file is another projection.
    world.begin(&BALANCES.replace("-- version: 1", "-- version: 2")).await;
    world.catch_up("balances", 2).await.expect("it advances");
    world.swap("balances", 2).await.expect("it takes over");
    assert_eq!(world.first(sum, at("0:15")).await, Value::Int(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn business_time_is_when_it_occurred_whenever_it_was_recorded() {
    let world = World::new("models_occurred").await;
    world.begin(BALANCES).await;
    for (cents, micros) in [(1, 3_000_000), (10, 1_000_000), (100, 2_000_000)] {
        let mut event = event("Deposited", &format!(r#"{{"cents":{cents}}}"#));
        event.occurred_at = Some(Timestamp::from_micros(micros));
        world.append("account-1", vec![event]).await;
    }
    let sum = "SELECT CAST(sum(cents) AS bigint) FROM balances";
    let occurred = |micros| Some(Moment::Occurred(Timestamp::from_micros(micros)));
    for (micros, expected) in [(3_000_000, 111), (2_999_999, 110), (1_000_000, 10)] {
        assert_eq!(world.first(sum, occurred(micros)).await, Value::Int(expected), "{micros}");
        let events = "SELECT CAST(sum(CAST(data ->> 'cents' AS bigint)) AS bigint) FROM events";
        assert_eq!(world.first(events, occurred(micros)).await, Value::Int(expected), "{micros}");
    }
    let before = world.value("SELECT (extract(epoch FROM max(at)) * 1000000)::bigint FROM pacioli.commits").await;
    let recorded = Moment::Recorded(Timestamp::from_micros(before.parse().expect("micros")));
    world.append("account-1", vec![event("Deposited", r#"{"cents":1000}"#)]).await;
    assert_eq!(world.first(sum, Some(recorded)).await, Value::Int(111));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_questions_about_the_past_take_few_connections() {
    let world = World::new("models_many_pasts").await;
    world.begin(BALANCES).await;
    world.deposit(5, 20).await;
    world.catch_up("balances", 1).await.expect("it advances");
    let client = world.client().await;
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'";
    let count = async || client.query_one(connections, &[]).await.expect("a row").get::<_, i64>(0);
    let before = count().await;
    let sum = "SELECT CAST(sum(cents) AS bigint) FROM balances";
    let questions = futures::future::join_all((1..=40).map(|position| world.first(sum, at(&format!("0:{position}")))));
    tokio::pin!(questions);
    let mut most = before;
    let answers = loop {
        tokio::select! {
            answers = &mut questions => break answers,
            now = count() => most = most.max(now),
        }
    };
    for (answer, position) in answers.iter().zip(1..) {
        assert_eq!(*answer, Value::Int(position));
    }
    // Four fold, and four may still be ending; eight answer, and sixteen at most look up which projections are named.
    assert!(most <= before + 32, "{before} connections became {most}");
}
