//! Pipelined appends: in order, bounded, and stored once whatever breaks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pacioli_core::{AppendError, AppendOutcome, EventStore, ExpectedVersion, Position};

use crate::support::{Proxy, Script, Scripted, Server, client, memory};
use crate::{appended, events, note, whole_log};

#[tokio::test]
async fn appends_enter_the_log_and_are_answered_in_their_order() {
    let store = memory(1);
    let server = Server::start(store.clone()).await;
    let appender = server.client().appender(64);
    let mut answers = Vec::new();
    for n in 0..500 {
        answers.push(appender.submit(note("a-1", &n.to_string())).await);
    }
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(appended(answer.await.unwrap()).first_position, Position(n as u64 + 1));
    }
}

#[tokio::test]
async fn a_conflict_or_an_invalid_one_harms_no_neighbour() {
    let server = Server::start(memory(1)).await;
    let appender = server.client().appender(8);
    let mut stale = note("a-1", "{}");
    stale.writes[0].expected = ExpectedVersion::Exists;
    let submitted = [
        appender.submit(stale).await,
        appender.submit(note("a-1", "{")).await,
        appender.submit(note("a-1", "{}")).await,
    ];
    let [conflict, invalid, good] = submitted;
    assert!(matches!(conflict.await.unwrap(), AppendOutcome::Conflict(_)));
    let error = invalid.await.unwrap_err();
    assert!(matches!(&error, AppendError::Invalid(error) if error.field == "writes[0].events[0].data"), "{error}");
    assert_eq!(appended(good.await.unwrap()).first_position, Position(1));
}

#[tokio::test]
async fn a_cut_connection_stores_nothing_twice_and_nothing_out_of_order() {
    let store = memory(1);
    let server = Server::start(store.clone()).await;
    let proxy = Proxy::before(server.address).await;
    let appender = client(proxy.address).appender(32);
    let mut answers = Vec::new();
    for n in 0..600 {
        answers.push(appender.submit(note("a-1", &n.to_string())).await);
        if n % 97 == 50 {
            proxy.cut();
        }
    }
    for answer in answers {
        appended(answer.await.unwrap());
    }
    let log = store.read_log(whole_log()).await.unwrap();
    let stored: Vec<String> = log.events.iter().map(|e| String::from_utf8(e.data.bytes().to_vec()).unwrap()).collect();
    assert_eq!(stored, (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_overloaded_store_slows_the_pipeline_and_keeps_its_order() {
    let store = Scripted::appends(|turn, _| match turn % 10 {
        3 => Script::Fail(AppendError::Overloaded { retry_after: Duration::from_millis(5) }),
        _ => Script::Store,
    });
    let server = Server::start(store.clone()).await;
    let appender = server.client().appender(16);
    let mut answers = Vec::new();
    for n in 0..100 {
        answers.push(appender.submit(note("a-1", &n.to_string())).await);
    }
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(appended(answer.await.unwrap()).first_position, Position(n as u64 + 1));
    }
    assert!(store.appends.load(Ordering::SeqCst) > 100);
}

#[tokio::test]
async fn what_was_submitted_is_sent_though_nobody_waits() {
    let store = memory(1);
    let server = Server::start(store.clone()).await;
    let appender = server.client().appender(4);
    for _ in 0..4 {
        drop(appender.submit(note("a-1", "{}")).await);
    }
    drop(appender);
    tokio::time::timeout(Duration::from_secs(10), async {
        while events(&*store).await < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}
