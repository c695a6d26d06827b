//! Applications and servers append at once, and the log is one.

use pacioli_core::{Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName};
use pacioli_postgres::PostgresOptions;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::session::{Asked, Subject, append, asked, defer};
use crate::support::options;

/// Writers through the store, through `append` and through `append_deferred` share two streams a partition; some of the
/// transactions roll back, and all of them count.
async fn interleave(label: &'static str, partitions: u16, chunk_events: u64) {
    let subject = Subject::with(label, partitions, PostgresOptions { chunk_events, ..options() }).await;
    let streams: Vec<String> = (0..2 * partitions).map(|key| format!("shared-{key}")).collect();
    let by_store = |writer: usize| {
        let (subject, streams) = (&subject, &streams);
        async move {
            let mut stored = 0;
            for round in 0..40 {
                let event =
                    |_| NewEvent::json(EventId(Uuid::now_v7()), EventType::new("ByStore").expect("it goes well"), "{}");
                let stream = StreamName::new(&*streams[(writer + round) % streams.len()]).expect("it goes well");
                let events = (0..1 + round % 3).map(event).collect();
                let outcome =
                    subject.store.append(Append::to(stream, ExpectedVersion::Any, events)).await.expect("it goes well");
                let AppendOutcome::Appended(appended) = outcome else { panic!("{outcome:?}") };
                stored += appended.last_position.0 - appended.first_position.0 + 1;
            }
            stored
        }
    };
    let by_sql = |writer: usize| {
        let (subject, streams) = (&subject, &streams);
        async move {
            let session = subject.session().await;
            let mut stored = 0;
            for round in 0..40 {
                let asked = asked(&streams[(writer + round) % streams.len()])
                    .events([r#"{"type":"BySql","data":{},"tags":["a"]}"#, r#"{"type":"BySql","data":{}}"#]);
                session.batch_execute("BEGIN").await.expect("it goes well");
                if writer.is_multiple_of(2) {
                    append(&session, &asked).await.expect("it goes well");
                } else {
                    defer(&session, &asked).await.expect("it goes well");
                }
                let keeps = round % 5 != 0;
                session.batch_execute(if keeps { "COMMIT" } else { "ROLLBACK" }).await.expect("it goes well");
                stored += if keeps { 2 } else { 0 };
            }
            stored
        }
    };
    let (by_store, by_sql): (Vec<u64>, Vec<u64>) =
        tokio::join!(futures::future::join_all((0..3).map(by_store)), futures::future::join_all((0..4).map(by_sql)),);
    let log = subject.log().await;
    assert_eq!(log.len() as u64, by_store.iter().chain(&by_sql).sum::<u64>());
    // What the streams say of themselves is what the log says.
    let session = subject.session().await;
    let wrong: i64 = session
        .query_one(
            "SELECT count(*) FROM pacioli.streams s
              WHERE s.version <> (SELECT max(e.version) FROM pacioli.events e WHERE e.part = s.part AND e.stream = s.stream)
                 OR s.first_pos <> (SELECT min(e.position) FROM pacioli.events e WHERE e.part = s.part AND e.stream = s.stream)
                 OR ARRAY(SELECT (c.chunk, c.first_version) FROM pacioli.stream_chunks c
                           WHERE c.part = s.part AND c.stream = s.stream ORDER BY c.chunk)
                    <> ARRAY(SELECT ((e.position / t.chunk_events)::int, min(e.version))
                               FROM pacioli.events e, pacioli.store t WHERE e.part = s.part AND e.stream = s.stream
                              GROUP BY (e.position / t.chunk_events)::int ORDER BY 1)",
            &[],
        )
        .await
        .expect("it goes well")
        .get(0);
    assert_eq!(wrong, 0, "streams whose row or chunks are wrong");
    let beside: i64 = session
        .query_one(
            "SELECT (SELECT count(*) FROM pacioli.events) - (SELECT count(*) FROM pacioli.event_ids)
                  + (SELECT count(*) FROM pacioli.events, unnest(tags)) - (SELECT count(*) FROM pacioli.event_tags)
                  + (SELECT count(*) FROM pacioli.events) - (SELECT sum(last_pos - first_pos + 1)::bigint FROM pacioli.commits)",
            &[],
        )
        .await
        .expect("it goes well")
        .get(0);
    assert_eq!(beside, 0, "ids, tags and commits beside the events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_partition_has_one_order() {
    interleave("interleaved", 1, 1 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_partitions_have_one_each() {
    interleave("interleaved_4", 4, 1 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_are_made_when_they_are_needed() {
    interleave("interleaved_chunks", 1, 64).await;
}

#[tokio::test]
async fn an_append_runs_over_the_ends_of_chunks_that_nobody_made() {
    let subject = Subject::with("no_chunks", 1, PostgresOptions { chunk_events: 5, ..options() }).await;
    let session = subject.session().await;
    let many = Asked { events: vec![r#"{"type":"E","data":{},"tags":["t"]}"#.to_owned(); 100], ..asked("a-1") };
    let answer = append(&session, &many).await.unwrap();
    assert_eq!((answer.versions, answer.positions), ((0, 99), (1, 100)));
    let answer =
        append(&session, &Asked { unless: Some(r#"{"items":[{"types":["X"]}],"after":"0:100"}"#.to_owned()), ..many })
            .await
            .unwrap();
    assert_eq!((answer.versions, answer.positions), ((100, 199), (101, 200)));
    assert_eq!(subject.log().await.len(), 200);
    let chunks = session.query("SELECT chunk, first_version FROM pacioli.stream_chunks ORDER BY 1", &[]).await.unwrap();
    let chunks: Vec<(i32, i64)> = chunks.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected: Vec<(i32, i64)> = (0..=40).map(|chunk| (chunk, i64::from(chunk * 5 - 1).max(0))).collect();
    assert_eq!(chunks, expected);
}

/// Of many that expect the same version, one wins; the others are told so, and may try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_wins() {
    let subject = Subject::new("one_wins", 1).await;
    let race = |writer: usize| {
        let subject = &subject;
        async move {
            let session = subject.session().await;
            let asked = Asked { expected: "none", ..asked("a-1") };
            if writer.is_multiple_of(2) {
                append(&session, &asked).await.map(drop)
            } else {
                defer(&session, &asked).await
            }
        }
    };
    let outcomes = futures::future::join_all((0..8).map(race)).await;
    let lost = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let lost: Vec<_> = lost.map(|error| error.code().expect("an error of the database").clone()).collect();
    assert_eq!(lost, [(); 7].map(|()| SqlState::T_R_SERIALIZATION_FAILURE));
    assert_eq!(subject.log().await.len(), 1);
}
