//! A `sync` projection is there with the append, at every door, and what it refuses is refused alone.

use pacioli_core::{AppendOutcome, Refusal};
use pacioli_postgres::PostgresOptions;
use pacioli_projection::Engine;
use pacioli_projection::engine::{BuildNumber, Role, Sample, State};

use super::world::{World, event, name};
use crate::support::options;

const GAUGE: &str = "-- projection: gauge
-- version: 1
-- mode: sync
-- types: GaugeRead

CREATE TABLE gauge (gauge TEXT PRIMARY KEY, value BIGINT NOT NULL CHECK (value >= 0), reads BIGINT NOT NULL);

-- on: GaugeRead
INSERT INTO gauge (gauge, value, reads) VALUES (:stream, :data.value, 1)
ON CONFLICT (gauge) DO UPDATE SET value = excluded.value, reads = gauge.reads + 1;
";

const TOTAL: &str = "-- projection: total
-- version: 1
-- mode: sync
-- types: GaugeRead

CREATE TABLE total (n INT PRIMARY KEY, reads BIGINT NOT NULL, lowest BIGINT NOT NULL CHECK (lowest >= 0));

-- on batch:
INSERT INTO total (n, reads, lowest) SELECT 1, count(*), min(CAST(data ->> 'value' AS bigint)) FROM batch
ON CONFLICT (n) DO UPDATE SET reads = total.reads + excluded.reads, lowest = least(total.lowest, excluded.lowest);
";

async fn reads(world: &World, text: &str, named: &str) {
    assert_eq!(world.begin(text).await.role, Role::Filling, "it can be relied on only once it is at the head");
    world.catch_up(named, 1).await.expect("it advances");
    world.swap(named, 1).await.expect("it serves");
}

fn value(n: i64) -> pacioli_core::NewEvent {
    event("GaugeRead", &format!(r#"{{"value":{n}}}"#))
}

const STATE: &str =
    "SELECT string_agg(gauge || '=' || value || '/' || reads, ' ' ORDER BY gauge) FROM pacioli_read.gauge";

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_there_with_the_append_at_both_doors() {
    let world = World::new("models_sync").await;
    world.append("gauge-1", vec![value(1)]).await;
    reads(&world, GAUGE, "gauge").await;
    world.append("gauge-1", vec![value(5), value(6)]).await;
    world.append("other-1", vec![event("Other", "{}")]).await;
    assert_eq!(world.value(STATE).await, "gauge-1=6/3");
    let client = world.client().await;
    let append = "SELECT * FROM pacioli.append('gauge-2', 'any', ARRAY['{\"type\":\"GaugeRead\",\"data\":{\"value\":7}}'::jsonb])";
    client.batch_execute(append).await.expect("it is appended");
    assert_eq!(world.value(STATE).await, "gauge-1=6/3 gauge-2=7/1");
    client.batch_execute(&format!("BEGIN; {append}; ROLLBACK")).await.expect("it is rolled back");
    assert_eq!(world.value(STATE).await, "gauge-1=6/3 gauge-2=7/1");
    let deferred = append.replace("* FROM pacioli.append(", "pacioli.append_deferred(").replace("gauge-2", "gauge-3");
    client.batch_execute(&format!("BEGIN; {deferred}; COMMIT")).await.expect("it is appended");
    assert_eq!(world.value(STATE).await, "gauge-1=6/3 gauge-2=7/1 gauge-3=7/1");
    let build = world.build("gauge", 1).await;
    assert_eq!(build.progress[0].position.0, 6, "it stands at the head");
    let verified = world.models.verify(&name("gauge"), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
    assert_eq!((verified.rows, verified.different), (3, 0), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_refuses_is_refused_at_both_doors_and_nothing_is_stored() {
    let world = World::new("models_refused").await;
    reads(&world, GAUGE, "gauge").await;
    let outcome = world.append("gauge-1", vec![value(3), value(-1)]).await;
    let AppendOutcome::Refused(Refusal::ByProjection { projection, reason }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(projection, "gauge");
    assert!(reason.starts_with("test.sql:9: new row for relation \"gauge\" violates check constraint"), "{reason}");
    let client = world.client().await;
    let append = "SELECT * FROM pacioli.append('gauge-1', 'any', ARRAY['{\"type\":\"GaugeRead\",\"data\":{\"value\":-7}}'::jsonb])";
    let error = client.batch_execute(append).await.expect_err("it is refused");
    let error = error.as_db_error().expect("an answer");
    assert_eq!(
        (error.code().code(), error.constraint(), error.table()),
        ("P0001", Some("projection-refused"), Some("gauge"))
    );
    assert!(error.detail().is_some_and(|detail| detail.contains("event at 0:1")), "{error:?}");
    assert_eq!(world.value("SELECT count(*) FROM pacioli.events").await, "0");
    assert!(matches!(world.append("gauge-1", vec![value(8)]).await, AppendOutcome::Appended(_)));
    assert_eq!(world.value(STATE).await, "gauge-1=8/1");
}

async fn many(world: &World, of: usize, is_bad: fn(usize) -> bool) {
    let appends = (0..of).map(|n| {
        let stream = format!("gauge-{n}");
        async move { (n, world.append(&stream, vec![value(1), value(if is_bad(n) { -5_000 } else { 2 })]).await) }
    });
    for (n, outcome) in futures::future::join_all(appends).await {
        let is_refused = matches!(&outcome, AppendOutcome::Refused(Refusal::ByProjection { .. }));
        assert_eq!(is_refused, is_bad(n), "{n}: {outcome:?}");
        assert!(is_refused || matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_append_harms_no_other_of_its_batch() {
    for (label, text, named) in [("models_harm", GAUGE, "gauge"), ("models_harm_batch", TOTAL, "total")] {
        let world = World::with(label, PostgresOptions { partitions: Some(2), ..options() }).await;
        reads(&world, text, named).await;
        many(&world, 60, |n| n == 17).await;
        many(&world, 60, |n| n % 3 == 0).await;
        many(&world, 30, |_| true).await;
        assert_eq!(world.value("SELECT count(*) FROM pacioli.events").await, ((59 + 40) * 2).to_string());
        let verified = world.models.verify(&name(named), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
        assert_eq!(verified.different, 0, "{verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_take_turns_under_load_and_no_event_is_missed_or_applied_twice() {
    let world = World::with("models_turns", PostgresOptions { partitions: Some(2), ..options() }).await;
    let client = world.client().await;
    let appending = async {
        for n in 0..400_i64 {
            let outcome = world.append(&format!("gauge-{}", n % 7), vec![value(n), value(n + 1)]).await;
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
    };
    let in_sql = async {
        for n in 0..200 {
            let append = format!(
                "SELECT * FROM pacioli.append('gauge-sql{}', 'any', ARRAY['{{\"type\":\"GaugeRead\",\"data\":{{\"value\":{n}}}}}'::jsonb])",
                n % 5
            );
            client.batch_execute(&append).await.expect("it is appended");
        }
    };
    let turning = async {
        reads(&world, GAUGE, "gauge").await;
        for version in 2..=5 {
            world.begin(&GAUGE.replace("-- version: 1", &format!("-- version: {version}"))).await;
            world.catch_up("gauge", version).await.expect("it advances");
            world.swap("gauge", version).await.expect("it serves");
            for state in [State::Paused, State::Running] {
                world.models.set_state(&name("gauge"), BuildNumber(version), state).await.expect("it is written down");
            }
        }
    };
    tokio::join!(appending, in_sql, turning);
    assert_eq!(world.value("SELECT sum(reads) FROM pacioli_read.gauge").await, "1000");
    let verified = world.models.verify(&name("gauge"), BuildNumber(5), Sample::All, &|_| {}).await.expect("verified");
    assert_eq!((verified.rows, verified.different), (12, 0), "{verified:?}");
    assert_eq!(world.value("SELECT string_agg(schema_name, ' ') FROM pacioli.sync_builds").await, "pacioli_gauge_5");
    world.models.drop_build(&name("gauge"), BuildNumber(5)).await.expect("it is dropped");
    assert_eq!(world.value("SELECT count(*) FROM pacioli.sync_builds").await, "0");
    world.append("gauge-1", vec![value(-1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_one_is_passed_by_and_comes_back_to_the_head_before_it_goes_on() {
    let world = World::new("models_pause").await;
    reads(&world, GAUGE, "gauge").await;
    world.append("gauge-1", vec![value(5)]).await;
    world.models.set_state(&name("gauge"), BuildNumber(1), State::Paused).await.expect("it pauses");
    world.append("gauge-1", vec![value(6)]).await;
    assert_eq!(world.value(STATE).await, "gauge-1=5/1");
    assert_eq!(world.build("gauge", 1).await.progress[0].position.0, 1);
    world.models.set_state(&name("gauge"), BuildNumber(1), State::Running).await.expect("it goes on");
    assert_eq!(world.value(STATE).await, "gauge-1=6/2");
    world.append("gauge-1", vec![value(7)]).await;
    assert_eq!(world.value(STATE).await, "gauge-1=7/3");
    // What was appended meanwhile and cannot pass keeps it from its place.
    world.models.set_state(&name("gauge"), BuildNumber(1), State::Paused).await.expect("it pauses");
    world.append("gauge-1", vec![value(-6)]).await;
    let refused = world.models.set_state(&name("gauge"), BuildNumber(1), State::Running).await.expect_err("it fails");
    assert!(refused.to_string().contains("fails on the event at 0:4"), "{refused}");
    let State::Failed(failed) = world.build("gauge", 1).await.state else { panic!("it failed") };
    assert_eq!(failed.place.to_string(), "0:4");
    world.models.skip(&name("gauge"), BuildNumber(1), failed.place).await.expect("it is passed over");
    world.append("gauge-1", vec![value(9)]).await;
    assert_eq!(world.value(STATE).await, "gauge-1=9/4", "and it runs in appends again");
}
