//! What came by SQL and what came through a server are the same log: rows, partitions, keys and ids.

use bytes::Bytes;
use pacioli_core::{
    Append, AppendOutcome, AppendRequest, EventId, EventStore, EventType, ExpectedVersion, Metadata, NewEvent, Refusal,
    StreamName, Tag, Tags, Timestamp,
};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::session::{Asked, Subject, append, asked, conflict, refused};

const FULL: &str = r#"{"type":"MoneyDeposited","schema_version":3,"id":"0198a9c2-7a10-7000-8000-000000000001",
    "data":{"amount": 0.10, "note": "a \"b\" é \u0001 \\ /", "list": [1, 2.50, null, true]},"tags":["b","a","c\"d\\e","{f}"],
    "occurred_at":"2020-02-29T12:00:00.1234567+01:00",
    "metadata":{"actor":"an \"actor\" \\ é/","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "correlation_id":"c","causation_id":"d","headers":{"x":1},"source":"mine","zone":null}}"#;

/// The same event as the server's doors make it, with the bytes that `jsonb` writes.
fn full() -> NewEvent {
    let data = r#"{"list": [1, 2.50, null, true], "note": "a \"b\" é \u0001 \\ /", "amount": 0.10}"#;
    let id = EventId("0198a9c2-7a10-7000-8000-000000000001".parse().expect("it is well-formed"));
    let metadata = Metadata {
        actor: Some("an \"actor\" \\ é/".into()),
        correlation_id: Some("c".into()),
        causation_id: Some("d".into()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        headers: Some(Bytes::from_static(br#"{"zone": null, "source": "mine", "headers": {"x": 1}}"#)),
        ..Metadata::default()
    };
    let tags = ["b", "a", "c\"d\\e", "{f}"].map(|tag| Tag::new(tag).expect("it is well-formed"));
    NewEvent {
        schema_version: Some(3),
        metadata,
        tags: Tags::new(tags).expect("it is well-formed"),
        occurred_at: Some(Timestamp::from_micros(1_582_974_000_123_456)),
        ..NewEvent::json(id, EventType::new("MoneyDeposited").expect("it is well-formed"), data)
    }
}

fn plain(data: &'static str) -> NewEvent {
    NewEvent::json(EventId(Uuid::now_v7()), EventType::new("E").expect("it is well-formed"), data)
}

fn to(stream: &str, events: Vec<NewEvent>) -> AppendRequest {
    Append::to(StreamName::new(stream).expect("it is well-formed"), ExpectedVersion::Any, events)
}

#[tokio::test]
async fn the_same_event_makes_the_same_row() {
    let subject = Subject::new("same_rows", 1).await;
    let session = subject.session().await;
    append(&session, &asked("a-1").events([FULL, r#"{"type":"E","data":null}"#])).await.unwrap();
    let theirs = NewEvent { id: EventId(Uuid::now_v7()), ..full() };
    subject.store.append(to("a-2", vec![theirs.clone(), plain("null")])).await.unwrap();
    let log = subject.log().await;
    for (by_sql, by_store) in [(&log[0], &log[2]), (&log[1], &log[3])] {
        let as_theirs = pacioli_core::RecordedEvent {
            position: by_store.position,
            stream: by_store.stream.clone(),
            id: by_store.id,
            recorded_at: by_store.recorded_at,
            ..by_sql.clone()
        };
        assert_eq!(as_theirs, *by_store);
    }
    assert_eq!(log[1].id.0.get_version_num(), 7, "an id that is made tells its time");
    let rows = "SELECT to_jsonb(e) - ARRAY['position','version','recorded_at','id','stream'] || jsonb_build_object('data', e.data::text, 'metadata', e.metadata::text)
                  FROM pacioli.events e ORDER BY position";
    let rows = session.query(&format!("SELECT r::text FROM ({rows}) t(r)"), &[]).await.unwrap();
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows[0], rows[2], "to the byte");
    assert_eq!(rows[1], rows[3], "to the byte");
}

#[tokio::test]
async fn a_key_means_the_same_through_every_door() {
    let subject = Subject::new("same_keys", 1).await;
    let session = subject.session().await;
    let keys = [Uuid::now_v7(), Uuid::new_v4(), Uuid::now_v7(), Uuid::now_v7()];
    let both = r#"{"type":"E","data":{"n":1}}"#;

    // By SQL, then through the store.
    let first = append(&session, &Asked { key: Some(keys[0]), ..asked("a-1").events([FULL, both]) }).await.unwrap();
    let again = to("a-1", vec![NewEvent { id: EventId(Uuid::now_v7()), ..full() }, plain(r#"{"n": 1}"#)]);
    let outcome = subject.store.append(again.clone().key(keys[0])).await.unwrap();
    let AppendOutcome::Appended(appended) = outcome else { panic!("{outcome:?}") };
    assert!(appended.duplicate);
    assert_eq!((appended.first_position.0 as i64, appended.last_position.0 as i64), first.positions);
    let outcome = subject.store.append(to("a-1", vec![plain("{}")]).key(keys[0])).await.unwrap();
    assert_eq!(outcome, AppendOutcome::Refused(Refusal::KeyReused { key: keys[0] }));

    // Through the store, then by SQL, whose stream has gone on meanwhile.
    let fresh = |event: NewEvent| NewEvent { id: EventId(Uuid::now_v7()), ..event };
    let outcome =
        subject.store.append(to("a-2", vec![fresh(full()), plain(r#"{"n": 1}"#)]).key(keys[1])).await.unwrap();
    let AppendOutcome::Appended(appended) = outcome else { panic!("{outcome:?}") };
    append(&session, &asked("a-2")).await.unwrap();
    let events = [FULL.replace(r#""id":"0198a9c2-7a10-7000-8000-000000000001","#, ""), both.to_owned()];
    let keyed = Asked { key: Some(keys[1]), expected: "none", events: events.to_vec(), ..asked("a-2") };
    let answer = append(&session, &keyed).await.unwrap();
    assert!(answer.duplicate);
    assert_eq!(answer.versions, (0, 1));
    assert_eq!(answer.positions, (appended.first_position.0 as i64, appended.last_position.0 as i64));
    assert_eq!(answer.checkpoint, appended.checkpoint.to_string());
    let before = subject.log().await.len();
    for other in [
        Asked { stream: "a-3", ..keyed.clone() },
        Asked { events: vec![events[0].clone()], ..keyed.clone() },
        Asked { events: vec![events[0].clone(), both.replace('1', "2")], ..keyed.clone() },
        Asked { events: vec![events[0].replace("\"c\"", "\"e\""), both.to_owned()], ..keyed.clone() },
        Asked { events: vec![events[0].replace("\"zone\"", "\"bone\""), both.to_owned()], ..keyed.clone() },
        Asked { events: vec![events[0].replace("[\"b\",", "[\"x\","), both.to_owned()], ..keyed.clone() },
        Asked { events: vec![events[0].replace("\"schema_version\":3,", ""), both.to_owned()], ..keyed.clone() },
        Asked { events: vec![events[0].replace("12:00:00", "12:00:01"), both.to_owned()], ..keyed.clone() },
        Asked { events: vec![events[0].replace("MoneyDeposited", "MoneyWithdrawn"), both.to_owned()], ..keyed.clone() },
    ] {
        let error = refused(append(&session, &other).await);
        assert_eq!(
            error.message(),
            format!(
                "idempotency key {} was used for an append with other content; use a new key for a new append",
                keys[1]
            )
        );
        assert_eq!((error.code(), error.constraint()), (&SqlState::INVALID_PARAMETER_VALUE, Some("key-reused")));
    }

    // One event, without anything.
    let bare = Asked { key: Some(keys[2]), ..asked("b-1") };
    append(&session, &bare).await.unwrap();
    let outcome = subject.store.append(to("b-1", vec![plain("{}")]).key(keys[2])).await.unwrap();
    assert!(matches!(outcome, AppendOutcome::Appended(appended) if appended.duplicate));
    assert_eq!(subject.log().await.len(), before + 1);
    // What was rolled back was never used.
    session.batch_execute("BEGIN").await.unwrap();
    append(&session, &Asked { key: Some(keys[3]), ..asked("b-2") }).await.unwrap();
    session.batch_execute("ROLLBACK").await.unwrap();
    assert!(!append(&session, &Asked { key: Some(keys[3]), ..asked("b-3") }).await.unwrap().duplicate);
}

#[tokio::test]
async fn an_id_means_the_same_through_every_door() {
    let subject = Subject::new("same_ids", 1).await;
    let session = subject.session().await;
    subject.store.append(to("a-1", vec![plain("{}"), full(), plain(r#"{"n":1}"#)])).await.unwrap();
    let recorded = subject.log().await;

    let again = append(&session, &Asked { expected: "none", ..asked("a-1").events([FULL]) }).await.unwrap();
    assert!(again.duplicate);
    assert_eq!((again.versions, again.positions, again.checkpoint.as_str()), ((1, 1), (2, 2), "0:2"));
    // JSON is compared as what it says: SQL cannot spell it as it came.
    let third = format!(r#"{{"type":"E","data":{{"n": 1.0}},"id":"{}"}}"#, recorded[2].id);
    let run = append(&session, &asked("a-1").events([FULL, &third])).await.unwrap();
    assert!(run.duplicate && run.versions == (1, 2) && run.positions == (2, 3));
    let turned = conflict(append(&session, &asked("a-1").events([&third, FULL])).await);
    assert!(turned.message().starts_with("2 of the events are in the log already"), "{}", turned.message());
    assert_eq!(turned.constraint(), Some("ids-known"));
    let mixed = conflict(append(&session, &asked("a-1").events([FULL, r#"{"type":"E","data":{}}"#])).await);
    assert!(mixed.message().contains(&format!("(known: {})", full().id)), "{}", mixed.message());

    for other in [
        FULL.replace("0.10", "0.11"),
        FULL.replace("MoneyDeposited", "MoneyWithdrawn"),
        FULL.replace("\"schema_version\":3", "\"schema_version\":2"),
        FULL.replace("\"zone\":null", "\"zone\":1"),
        FULL.replace("\"correlation_id\":\"c\",", ""),
        FULL.replace("\"b\",\"a\",", "\"a\",\"b\","),
        FULL.replace("1234567", "1234500"),
    ] {
        let error = refused(append(&session, &asked("a-1").events([&other])).await);
        assert_eq!(
            error.message(),
            format!("event id {} belongs to another event, version 1 of `a-1`; give new events new ids", full().id),
            "{other}"
        );
        assert_eq!((error.code(), error.constraint()), (&SqlState::INVALID_PARAMETER_VALUE, Some("id-reused")));
    }
    refused(append(&session, &asked("a-2").events([FULL])).await);
    let no_version = FULL.replace("\"schema_version\":3,", "");
    assert!(append(&session, &asked("a-1").events([&no_version])).await.unwrap().duplicate);

    // And the other way round.
    let id = "00000000-0000-4000-8000-000000000009";
    let mine = format!(r#"{{"type":"E","data":{{"n": 2}},"id":"{id}"}}"#);
    let answer = append(&session, &asked("a-1").events([&mine])).await.unwrap();
    let theirs = NewEvent { id: EventId(id.parse().unwrap()), ..plain(r#"{"n": 2}"#) };
    let outcome = subject.store.append(to("a-1", vec![theirs])).await.unwrap();
    let AppendOutcome::Appended(appended) = outcome else { panic!("{outcome:?}") };
    assert!(appended.duplicate);
    assert_eq!(appended.first_position.0 as i64, answer.positions.0);
}

#[tokio::test]
async fn a_stream_lives_in_the_same_partition() {
    let subject = Subject::new("same_partitions", 4).await;
    let session = subject.session().await;
    let mut names: Vec<String> = (0..2_000).map(|number| format!("order-{number}")).collect();
    names.extend(
        ["a", "-", "a-", "-b", "a-b-c", "é-ü", "注文-七", "x-🦀", "a- b", "a-\\x41", "ab-%"].map(str::to_owned),
    );
    names.extend((0..200).map(|number| format!("s-{}", Uuid::from_u128(number * 0x1234_5678_9abc_def1))));
    for partitions in [1_u16, 4, 7, 1_024] {
        let call =
            "SELECT array_agg(pacioli.partition_of(s, $2) ORDER BY n) FROM unnest($1::text[]) WITH ORDINALITY u(s, n)";
        let found: Vec<i32> = session.query_one(call, &[&names, &i32::from(partitions)]).await.unwrap().get(0);
        let expected = names.iter().map(|name| StreamName::new(&**name).unwrap().partition(partitions).0.into());
        assert_eq!(found, expected.collect::<Vec<i32>>(), "{partitions} partitions");
    }
    // Where it lives is where it is put, and the answer speaks of all partitions.
    for name in &names[2_000..2_011] {
        let home = StreamName::new(&**name).unwrap().partition(4).index();
        let answer = append(&session, &asked(name)).await.unwrap();
        let expected: Vec<String> =
            (0..4).map(|part| format!("{part}:{}", if part == home { answer.positions.1 } else { 0 })).collect();
        assert_eq!(answer.checkpoint, expected.join(","));
        let unless = Some(format!(r#"{{"items":[{{"types":["E"]}}],"after":"{}"}}"#, answer.checkpoint));
        append(&session, &Asked { unless, ..asked(name) }).await.unwrap();
        let unless = Some(format!(r#"{{"items":[{{"types":["E"]}}],"after":"{}"}}"#, answer.checkpoint));
        let error = conflict(append(&session, &Asked { unless, ..asked(name) }).await);
        assert!(error.message().contains(&format!("lies at {home}:{}", answer.positions.1 + 1)), "{}", error.message());
    }
    assert_eq!(subject.log().await.len(), 22);
}
