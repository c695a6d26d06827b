//! The past: of one stream, and of a table at two moments.

use std::time::Duration;

use bytes::Bytes;
use pacioli_core::append::ExpectedVersion;
use pacioli_core::{
    Append, Checkpoint, Clock, EventId, EventStore, EventType, NewEvent, Payload, ReadError, StreamName, Timestamp,
    Version,
};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{Moment, QueryLimits};
use pacioli_projection::service::AskError;
use pacioli_projection::state::{StreamState, stream_state};
use uuid::Uuid;

use crate::support::{World, file, named};

async fn put(world: &World, data: &str, occurred_at: Option<i64>) -> Checkpoint {
    let mut event =
        NewEvent::json(EventId(Uuid::now_v7()), EventType::new("Changed").unwrap(), Bytes::from(data.to_owned()));
    if data.is_empty() {
        event.data = Payload::Binary(Bytes::from_static(b"\x00\x01"));
    }
    event.occurred_at = occurred_at.map(Timestamp::from_micros);
    let request = Append::to(StreamName::new("order-1").unwrap(), ExpectedVersion::Any, vec![event]);
    match world.store.append(request).await.unwrap() {
        pacioli_core::AppendOutcome::Appended(appended) => appended.checkpoint,
        other => panic!("{other:?}"),
    }
}

async fn state(world: &World, until: Option<Moment>) -> Result<StreamState, ReadError> {
    stream_state(&world.store, &StreamName::new("order-1").unwrap(), until.as_ref()).await
}

#[tokio::test(start_paused = true)]
async fn events_are_merged_in_order_and_values_stay_as_they_were_written() {
    let world = World::with_partitions(2);
    put(&world, r#"{"status": "new", "total": 10.50, "items": {"a": 1, "b": 2}}"#, None).await;
    put(&world, r#"{"total": 1e2, "a \"name\"": [1, 2]}"#, None).await;
    put(&world, "[1, 2, 3]", None).await;
    put(&world, "", None).await;
    let at =
        put(&world, r#" {"items": {"c": 3}, "status": null, "big": 123456789012345678901234567890.10}"#, None).await;
    let state = state(&world, None).await.unwrap();
    assert_eq!(
        state.state,
        r#"{"status":null,"total":1e2,"items":{"c": 3},"a \"name\"":[1, 2],"big":123456789012345678901234567890.10}"#
    );
    assert_eq!((state.version, state.events, state.checkpoint), (Some(Version(4)), 5, Some(at)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_told_as_it_was_at_a_moment() {
    let world = World::new();
    let began = world.clock.now().as_micros();
    let at = |seconds: i64| began + seconds * 1_000_000;
    put(&world, r#"{"n": 1}"#, Some(at(-100))).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let second = put(&world, r#"{"n": 2}"#, None).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    put(&world, r#"{"n": 3}"#, Some(at(-50))).await;
    let n = |moment: Moment| {
        let world = &world;
        async move {
            let state = state(world, Some(moment)).await.unwrap();
            (state.state, state.events)
        }
    };
    let told = |n: u64, events: u64| (format!("{{\"n\":{n}}}"), events);
    assert_eq!(n(Moment::Recorded(Timestamp::from_micros(at(5)))).await, told(1, 1));
    assert_eq!(n(Moment::Recorded(Timestamp::from_micros(at(10)))).await, told(2, 2));
    assert_eq!(n(Moment::At(second)).await, told(2, 2));
    assert_eq!(n(Moment::Occurred(Timestamp::from_micros(at(-50)))).await, told(3, 2));
    assert_eq!(n(Moment::Occurred(Timestamp::from_micros(at(-60)))).await, told(1, 1));
    assert_eq!(n(Moment::Occurred(Timestamp::from_micros(at(10)))).await, told(3, 3));
    let before = state(&world, Some(Moment::Recorded(Timestamp::from_micros(at(-1))))).await.unwrap();
    assert_eq!((before.state.as_str(), before.version, before.events), ("{}", None, 0));
    for wrong in ["0:99", "0:1,1:1"] {
        let refused = state(&world, Some(Moment::At(wrong.parse().unwrap()))).await.unwrap_err();
        assert!(matches!(refused, ReadError::Invalid { .. }), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_streams_are_merged_page_by_page() {
    let world = World::new();
    for n in 0..2_345 {
        put(&world, &format!(r#"{{"last": {n}, "m{}": {n}}}"#, n % 3), None).await;
    }
    let state = state(&world, None).await.unwrap();
    assert_eq!(state.state, r#"{"last":2344,"m0":2343,"m1":2344,"m2":2342}"#);
    assert_eq!(state.events, 2_345);
    let missing = StreamName::new("order-2").unwrap();
    assert!(matches!(stream_state(&world.store, &missing, None).await, Err(ReadError::StreamNotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_diff_tells_the_rows_that_two_moments_do_not_share() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- category: account")).await;
    world.append("account-1", "MoneyDeposited", 1).await;
    let from = world.append("account-2", "MoneyDeposited", 2).await;
    world.append("account-2", "MoneyDeposited", 1).await;
    let to = world.append("account-3", "MoneyDeposited", 1).await;
    let diff = |from: &Checkpoint, to: &Checkpoint, limits: QueryLimits| {
        let (models, from, to) = (server.models.clone(), Moment::At(from.clone()), Moment::At(to.clone()));
        async move { models.diff("balances", from, to, limits).await }
    };
    let answer = diff(&from, &to, QueryLimits::default()).await.unwrap();
    let told: Vec<_> = answer
        .rows
        .iter()
        .map(|row| match &row[..3] {
            [Value::Text(change), Value::Text(stream), Value::Int(events)] => format!("{change} {stream} {events}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["- account-2 2", "+ account-2 3", "+ account-3 1"]);
    assert_eq!(answer.columns[0].name, "change");
    assert!(diff(&to, &to, QueryLimits::default()).await.unwrap().rows.is_empty());
    let much = diff(&from, &to, QueryLimits { rows_max: 2, ..QueryLimits::default() }).await.unwrap_err();
    assert!(much.to_string().contains("at most 2"), "{much}");
    let nothing = server.models.diff("nothing", Moment::At(from), Moment::At(to), QueryLimits::default()).await;
    assert!(matches!(nothing, Err(AskError::NotFound(_))));
    let _ = named("balances");
}
