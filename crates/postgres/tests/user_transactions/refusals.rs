//! What is malformed is refused by name, before anybody waits for it, and by the same bounds as at every other door.

use tokio_postgres::error::SqlState;

use super::session::{Asked, Subject, append, asked, defer, refused};

fn event(members: &str) -> String {
    format!(r#"{{"type":"E","data":{{}},{members}}}"#)
}

#[tokio::test]
async fn the_wrong_field_is_named() {
    let subject = Subject::new("refusals", 1).await;
    let session = subject.session().await;
    append(&session, &asked("a-1")).await.unwrap();
    let long = "x".repeat(257);
    for (stream, says) in [
        ("", "stream: is empty"),
        ("a\u{1}", "stream: has a control character at character 1"),
        ("é-\u{85}", "stream: has a control character at character 2"),
        (&long, "stream: has 257 bytes; at most 256 are allowed"),
    ] {
        let error = refused(append(&session, &asked(stream)).await);
        assert_eq!((error.message(), error.code()), (says, &SqlState::INVALID_PARAMETER_VALUE));
    }
    for expected in ["", "NONE", "-1", "1.0", "+1", "99999999999999999999"] {
        let error = refused(append(&session, &Asked { expected, ..asked("a-1") }).await);
        assert_eq!(error.message(), "expected: must be `any`, `none`, `exists` or a version", "{expected}");
    }

    let deep = |n: usize| format!(r#"{{"type":"E","data":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    let deeper = format!(r#"{{"type":"E","data":{}1{}}}"#, "[".repeat(65), "]".repeat(65));
    let keys = |n: usize| {
        let keys: Vec<String> = (0..n).map(|n| format!(r#""k{n}":{n}"#)).collect();
        format!(r#"{{"type":"E","data":[{{{}}}]}}"#, keys.join(","))
    };
    let sized = |n: usize| format!(r#"{{"type":"E","data":"{}"}}"#, "x".repeat(n - 2));
    let tags = |n: usize| {
        let tags: Vec<String> = (0..n).map(|n| format!(r#""t{n}""#)).collect();
        event(&format!(r#""tags":[{}]"#, tags.join(",")))
    };
    let actor = |n: usize| event(&format!(r#""metadata":{{"actor":"{}"}}"#, "x".repeat(n)));
    for accepted in [deep(64), keys(10_000), sized(1 << 20), tags(32), actor(8_192)] {
        append(&session, &Asked { events: vec![accepted], ..asked("a-1") }).await.unwrap();
    }
    let traceparent = "is no W3C trace context";
    for (wrong, says) in [
        ("[]".to_owned(), "events[2]: must be a JSON object"),
        (r#"{"data":{}}"#.to_owned(), "events[2].type: is missing"),
        (r#"{"type":null,"data":{}}"#.to_owned(), "events[2].type: is missing"),
        (r#"{"type":7,"data":{}}"#.to_owned(), "events[2].type: must be text"),
        (r#"{"type":"","data":{}}"#.to_owned(), "events[2].type: is empty"),
        (format!(r#"{{"type":"{}","data":{{}}}}"#, "x".repeat(129)), "events[2].type: has 129 bytes"),
        (r#"{"type":"E"}"#.to_owned(), "events[2].data: is missing"),
        (event(r#""actor":"me""#), "events[2].actor: is no member of an event"),
        (event(r#""id":"x""#), "events[2].id: `x` is no UUID"),
        (event(r#""id":7"#), "events[2].id: must be text"),
        (event(r#""schema_version":0"#), "events[2].schema_version: must be a whole number from 1 on"),
        (event(r#""schema_version":1.5"#), "events[2].schema_version: must be a whole number from 1 on"),
        (event(r#""occurred_at":"tomorrow""#), "events[2].occurred_at: `tomorrow` is no RFC 3339 time"),
        (event(r#""occurred_at":"2020-13-01T00:00:00Z""#), "events[2].occurred_at: `2020-13-01T00:00:00Z` is no"),
        (event(r#""occurred_at":"2020-01-01T00:00:00""#), "events[2].occurred_at: `2020-01-01T00:00:00` is no"),
        (event(r#""occurred_at":"9999-01-01T00:00:00Z""#), "events[2].occurred_at: lies "),
        (event(r#""tags":"a""#), "events[2].tags: must be a list"),
        (event(r#""tags":[["a"]]"#), "events[2].tags: must be a list"),
        (event(r#""tags":["a",null]"#), "events[2].tags: must be a list"),
        (event(r#""tags":["a b"]"#), "events[2].tags: tag contains a comma or a space"),
        (event("\"tags\":[\"a\u{2003}b\"]"), "events[2].tags: tag contains a comma or a space"),
        (event(r#""tags":["a,b"]"#), "events[2].tags: tag contains a comma or a space"),
        (event(r#""tags":["a","b","a"]"#), "events[2].tags: tags name `a` twice"),
        (tags(33), "events[2].tags: tags are 33; at most 32 are allowed"),
        (event(r#""metadata":[]"#), "events[2].metadata: must be a JSON object"),
        (event(r#""metadata":{"actor":7}"#), "events[2].metadata.actor: must be text"),
        (event(r#""metadata":{"actor":"a\u0007"}"#), "events[2].metadata.actor: has a control character"),
        (event(r#""metadata":{"traceparent":"00-0-0-0"}"#), traceparent),
        (event(&format!(r#""metadata":{{"traceparent":"00-{:032}-{:016}-00"}}"#, 0, 1)), traceparent),
        (actor(8_193), "events[2].metadata: metadata has at most 8192 bytes, this has 8193"),
        (deep(65), "events[2].data: arrays and objects nest deeper than 64"),
        (deeper, "events[2].data: arrays and objects nest deeper than 64"),
        (keys(10_001), "events[2].data: the document has more than 10,000 keys"),
        (sized((1 << 20) + 1), "events[2].data: an event has at most 1048576 bytes, this one has 1048577"),
    ] {
        let events = vec![r#"{"type":"E","data":{}}"#.to_owned(), wrong];
        let wrong = Asked { events, ..asked("a-1") };
        let error = refused(append(&session, &wrong).await);
        assert!(error.message().contains(says), "{}, and not {says}", error.message());
        assert_eq!(*error.code(), SqlState::INVALID_PARAMETER_VALUE, "{says}");
        // The deferred form refuses it now, and not at COMMIT.
        assert_eq!(refused(defer(&session, &wrong).await).message(), error.message());
    }

    let id = r#"{"type":"E","data":{},"id":"00000000-0000-0000-0000-000000000001"}"#;
    let one = r#"{"type":"E","data":{}}"#.to_owned();
    for (events, says) in [
        (vec![], "events: an append needs at least one event".to_owned()),
        (vec![one; 1_001], "events: an append has at most 1000 events, this one has 1001; split it".to_owned()),
        (
            vec![sized(1 << 20); 5],
            "events: an append has at most 4194304 bytes, this one has 5242880; split it".to_owned(),
        ),
        (vec![id.to_owned(); 2], "is used twice in this append; every event needs its own".to_owned()),
    ] {
        let error = refused(append(&session, &Asked { events, ..asked("a-1") }).await);
        assert!(error.message().contains(&says), "{}, and not {says}", error.message());
    }
}

#[tokio::test]
async fn the_wrong_part_of_a_condition_is_named() {
    let subject = Subject::new("conditions", 1).await;
    let session = subject.session().await;
    append(&session, &asked("a-1")).await.unwrap();
    let terms = |n: usize| vec![r#""t""#; n].join(",");
    for (unless, says) in [
        ("[]".to_owned(), "unless: must be a JSON object"),
        (r#"{"query":[]}"#.to_owned(), "unless.query: is not known here; the members are items, after"),
        ("{}".to_owned(), "unless.items: must be a list"),
        (r#"{"items":[]}"#.to_owned(), "unless.items: a condition needs at least one item"),
        (r#"{"items":[{"types":[],"tags":null}]}"#.to_owned(), "unless.items[0]: matches every event"),
        (r#"{"items":[{"tags":["a"]},{"tag":["a"]}]}"#.to_owned(), "unless.items[1].tag: is not known here"),
        (r#"{"items":[{"types":"E"}]}"#.to_owned(), "unless.items[0].types: must be a list of texts"),
        (r#"{"items":[{"tags":["a","b c"]}]}"#.to_owned(), "unless.items[0].tags[1]: contains a comma or a space"),
        (r#"{"items":[{"types":[""]}]}"#.to_owned(), "unless.items[0].types[0]: is empty"),
        (
            format!(r#"{{"items":[{{"types":[{}]}}]}}"#, terms(65)),
            "unless.items[0]: a condition has at most 64 types and tags",
        ),
        (r#"{"items":[{"tags":["a"]}],"after":5}"#.to_owned(), "unless.after: must be text"),
        (r#"{"items":[{"tags":["a"]}],"after":"5"}"#.to_owned(), "unless.after: `5` is not a checkpoint"),
        (r#"{"items":[{"tags":["a"]}],"after":"1:5"}"#.to_owned(), "unless.after: `1:5` is not a checkpoint"),
        (r#"{"items":[{"tags":["a"]}],"after":"0:1@0"}"#.to_owned(), "unless.after: `0:1@0` is not a checkpoint"),
        (
            r#"{"items":[{"tags":["a"]}],"after":"0:1,1:0"}"#.to_owned(),
            "unless.after: `0:1,1:0` speaks of 2 partitions and this store has 1",
        ),
        (r#"{"items":[{"tags":["a"]}],"after":"0:2"}"#.to_owned(), "unless.after: `0:2` lies past the head, 0:1"),
        (
            r#"{"items":[{"tags":["a"]}],"after":"0:1@2"}"#.to_owned(),
            "unless.after: `0:1@2` is of an epoch this store never had",
        ),
    ] {
        let asked = Asked { unless: Some(unless), ..asked("a-1") };
        let error = refused(append(&session, &asked).await);
        assert!(error.message().contains(says), "{}, and not {says}", error.message());
        assert_eq!(*error.code(), SqlState::INVALID_PARAMETER_VALUE, "{says}");
    }
    let good = r#"{"items":[{"tags":["a"]},{"types":["X"],"tags":[]}],"after":"0:1"}"#.to_owned();
    append(&session, &Asked { unless: Some(good), ..asked("a-1") }).await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_of_an_earlier_epoch_is_good_up_to_where_the_next_began() {
    let subject = Subject::new("epochs", 1).await;
    let session = subject.session().await;
    for _ in 0..3 {
        append(&session, &asked("a-1")).await.unwrap();
    }
    // As a failover that lost the third event would leave it, had the third come after it.
    session
        .batch_execute(
            "INSERT INTO pacioli.epochs (epoch, heads, system_id, timeline)
             SELECT 2, ARRAY[2], system_id, timeline FROM pacioli.epochs; UPDATE pacioli.heads SET epoch = 2",
        )
        .await
        .unwrap();
    let after = |after: &str| Some(format!(r#"{{"items":[{{"tags":["a"]}}],"after":"{after}"}}"#));
    let answer = append(&session, &Asked { unless: after("0:2"), ..asked("a-1") }).await.unwrap();
    assert_eq!(answer.checkpoint, "0:4@2");
    append(&session, &Asked { unless: after("0:4@2"), ..asked("a-1") }).await.unwrap();
    let error = refused(append(&session, &Asked { unless: after("0:3"), ..asked("a-1") }).await);
    assert!(error.message().starts_with("unless.after: the log was rewound to 0:2@2: "), "{}", error.message());
}

#[tokio::test]
async fn a_transaction_with_an_old_snapshot_is_refused() {
    let subject = Subject::new("isolation", 1).await;
    let session = subject.session().await;
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for deferred in [false, true] {
            session.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}; SELECT 1")).await.unwrap();
            let error = if deferred {
                refused(defer(&session, &asked("a-1")).await)
            } else {
                refused(append(&session, &asked("a-1")).await)
            };
            session.batch_execute("ROLLBACK").await.unwrap();
            assert_eq!(
                error.message(),
                format!("an append needs a READ COMMITTED transaction, and this one is {level}")
            );
            // A loop that tries serialization failures again would never end.
            assert_eq!(*error.code(), SqlState::INVALID_TRANSACTION_STATE);
            assert!(error.hint().unwrap().contains("BEGIN ISOLATION LEVEL READ COMMITTED"));
        }
    }
    session.batch_execute("SET default_transaction_isolation = 'read uncommitted'").await.unwrap();
    append(&session, &asked("a-1")).await.unwrap();
}
