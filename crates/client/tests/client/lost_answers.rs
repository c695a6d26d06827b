//! Answers that were lost: the append is sent again and stored once.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pacioli_core::{AppendError, EventStore, Version};

use crate::support::{Proxy, Script, Scripted, Server, client, config};
use crate::{appended, events, note};

/// A store that cuts the connections right after it stored one of the first `times` appends, and the way to it.
async fn cut_after_storing(times: usize) -> (Arc<Scripted>, Server, Proxy) {
    let proxy: Arc<OnceLock<Proxy>> = Arc::default();
    let cutter = Arc::clone(&proxy);
    let store = Scripted::appends(move |turn, _| match turn < times {
        true => {
            let proxy = cutter.get().unwrap().clone();
            Script::Then(Box::new(move || proxy.cut()))
        }
        false => Script::Store,
    });
    let server = Server::start(store.clone()).await;
    let made = Proxy::before(server.address).await;
    let _ = proxy.set(made.clone());
    (store, server, made)
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_stored_once() {
    let (store, _server, proxy) = cut_after_storing(3).await;
    let answer = appended(client(proxy.address).append(note("a-1", "{}")).await.unwrap());
    assert!(answer.duplicate, "the retry is told the original answer");
    assert_eq!(answer.streams[0].last_version, Version(0));
    assert_eq!(store.appends.load(Ordering::SeqCst), 4);
    assert_eq!(events(&*store.store).await, 1);
}

#[tokio::test]
async fn an_append_that_is_late_is_unknown_at_first_and_stored_once() {
    let store = Scripted::appends(|turn, _| match turn {
        0 => Script::Late(Duration::from_millis(150)),
        _ => Script::Store,
    });
    let server = Server::patient(store.clone(), Duration::from_millis(50)).await;
    appended(server.client().append(note("a-1", "{}")).await.unwrap());
    // The late one goes on though nobody waits for it, and finds its event there.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.appends.load(Ordering::SeqCst), 2);
    assert_eq!(events(&*store.store).await, 1);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_any_more_is_not_given_up() {
    let store = Scripted::appends(|_, _| Script::Late(Duration::from_millis(100)));
    let server = Server::start(store.clone()).await;
    let client = server.client();
    let waiting = tokio::time::timeout(Duration::from_millis(50), client.append(note("a-1", "{}")));
    assert!(waiting.await.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(events(&*store.store).await, 1);
}

#[tokio::test]
async fn a_failure_after_a_doubt_is_not_told_as_a_failure() {
    let store = Scripted::appends(|turn, _| match turn {
        0 => Script::Fail(AppendError::Unknown { reason: "silence".to_owned() }),
        _ => Script::Fail(AppendError::Denied { reason: "the token is no more".to_owned() }),
    });
    let server = Server::start(store).await;
    let error = server.client().append(note("a-1", "{}")).await.unwrap_err();
    assert!(matches!(&error, AppendError::Unknown { reason } if reason.contains("the token is no more")), "{error:?}");
}

#[tokio::test]
async fn an_overloaded_store_is_left_alone_for_as_long_as_it_says() {
    let store = Scripted::appends(|turn, _| match turn {
        0 => Script::Fail(AppendError::Overloaded { retry_after: Duration::from_millis(200) }),
        _ => Script::Store,
    });
    let server = Server::start(store.clone()).await;
    let began = std::time::Instant::now();
    appended(server.client().append(note("a-1", "{}")).await.unwrap());
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(store.appends.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn several_connections_are_used_in_turn() {
    let server = Server::start(crate::support::memory(1)).await;
    let proxy = Proxy::before(server.address).await;
    let many = pacioli_client::ClientConfig { connections: 4, ..config(proxy.address) };
    let client = pacioli_client::Client::connect(many).unwrap();
    for n in 0..40 {
        appended(client.append(note(&format!("a-{n}"), "{}")).await.unwrap());
        if n % 10 == 5 {
            proxy.cut();
        }
    }
    assert_eq!(events(&client).await, 40);
}
