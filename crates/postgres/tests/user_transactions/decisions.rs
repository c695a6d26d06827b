//! The table of the decision rule, run through SQL: the rule is written twice, and says the same in the same words.

use pacioli_core::append::AppendRequest;
use pacioli_core::decisions::{self, Rule, decisions, say};
use pacioli_core::{AppendOutcome, Condition, EventStore, NewEvent, StreamWrite};
use tokio_postgres::error::SqlState;

use super::session::{Asked, Subject, append, refused};

/// What SQL cannot say: a consumer's checkpoint, and several streams in one append.
const NOT_EXPRESSIBLE: [&str; 7] = [
    "known ids over two streams",
    "tracking does not advance",
    "tracking goes back",
    "the second stream's version",
    "tracking advances",
    "a new consumer",
    "two streams",
];

fn json(text: &str) -> String {
    format!("{text:?}")
}

fn event_json(event: &NewEvent) -> String {
    let data = std::str::from_utf8(event.data.bytes()).expect("JSON");
    let id = event.id;
    let mut json = format!(r#"{{"type":"{}","data":{data},"id":"{id}""#, event.event_type);
    if let Some(at) = event.occurred_at {
        let (seconds, micros) = (at.as_micros().div_euclid(1_000_000), at.as_micros().rem_euclid(1_000_000));
        json += &format!(r#","occurred_at":"@{seconds}.{micros:06}""#);
    }
    let tags: Vec<String> = event.tags.as_slice().iter().map(|tag| self::json(tag.as_str())).collect();
    json + &format!(r#","tags":[{}]}}"#, tags.join(","))
}

fn condition_json(condition: &Condition) -> String {
    let items: Vec<String> = condition
        .query
        .items
        .iter()
        .map(|item| {
            let types: Vec<String> = item.types.iter().map(|name| json(name.as_str())).collect();
            let tags: Vec<String> = item.tags.iter().map(|name| json(name.as_str())).collect();
            format!(r#"{{"types":[{}],"tags":[{}]}}"#, types.join(","), tags.join(","))
        })
        .collect();
    let after = condition.after.as_ref().map_or("null".to_owned(), |after| json(&after.to_string()));
    format!(r#"{{"items":[{}],"after":{after}}}"#, items.join(","))
}

/// The request as SQL says it, without its tracking; `None` where that would be another request.
fn in_sql(rule: Rule, request: &AppendRequest) -> Option<(&StreamWrite, Vec<String>, Option<String>)> {
    let [write] = &request.writes[..] else { return None };
    if rule == Rule::Tracking {
        return None;
    }
    let events = write.events.iter().map(event_json).collect();
    Some((write, events, request.condition.as_ref().map(condition_json)))
}

#[tokio::test]
async fn the_table_of_the_rule_holds_in_sql() {
    let subject = Subject::new("decisions", 1).await;
    for written in decisions::log() {
        let outcome = subject.store.append(written).await.expect("the log is written");
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    }
    let recorded_at = subject.log().await.iter().find(|event| event.stream.as_str() == "a-1").unwrap().recorded_at;
    let session = subject.session().await;
    let mut skipped = Vec::new();
    for row in decisions(recorded_at) {
        let Some((write, events, unless)) = in_sql(row.rule, &row.request) else {
            skipped.push(row.name);
            continue;
        };
        // Moments are spelt by the database, which has a calendar.
        let events = session
            .query_one(
                r#"SELECT array_agg(regexp_replace(e, '"@([0-9.]+)"', coalesce(to_json(to_timestamp(0) +
                       (substring(e FROM '"@([0-9.]+)"') || ' s')::interval)::text, '')) ORDER BY n)
                     FROM unnest($1::text[]) WITH ORDINALITY u(e, n)"#,
                &[&events],
            )
            .await
            .unwrap()
            .get(0);
        let expected = write.expected.to_string();
        let asked = Asked { stream: write.stream.as_str(), expected: &expected, events, key: row.request.key, unless };
        session.batch_execute("BEGIN").await.unwrap();
        let outcome = append(&session, &asked).await;
        session.batch_execute("ROLLBACK").await.unwrap();

        let decided = decisions::decide(row.request.clone(), recorded_at);
        assert_eq!(say(&decided), row.outcome, "{}", row.name);
        match decided {
            AppendOutcome::Appended(decided) => {
                let answer = outcome.unwrap_or_else(|error| panic!("{}: {error:?}", row.name));
                let stream = &decided.streams[0];
                let versions = (stream.first_version.0 as i64, stream.last_version.0 as i64);
                let positions = (decided.first_position.0 as i64, decided.last_position.0 as i64);
                assert_eq!((answer.versions, answer.positions), (versions, positions), "{}", row.name);
                assert_eq!(answer.checkpoint, decided.checkpoint.to_string(), "{}", row.name);
                assert_eq!(answer.duplicate, decided.duplicate, "{}", row.name);
            }
            AppendOutcome::Conflict(conflict) => {
                let error = refused(outcome);
                assert_eq!(error.message(), conflict.to_string(), "{}", row.name);
                assert_eq!(*error.code(), SqlState::T_R_SERIALIZATION_FAILURE, "{}", row.name);
            }
            AppendOutcome::Refused(refusal) => {
                let error = refused(outcome);
                assert_eq!(error.message(), refusal.to_string(), "{}", row.name);
                assert_eq!(*error.code(), SqlState::INVALID_PARAMETER_VALUE, "{}", row.name);
            }
        }
    }
    assert_eq!(skipped, NOT_EXPRESSIBLE, "every other row ran");
}
