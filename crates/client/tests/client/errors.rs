//! Each error of the server's store is the very same error at the client.

use std::time::Duration;

use pacioli_client::Client;
use pacioli_core::{
    AppendError, EventStore, InvalidAppend, ListStreams, Partition, Place, Position, ReadError, StoreError, StreamName,
    Subscribe,
};

use crate::support::{Script, Scripted, Server, config};
use crate::{note, whole_log};

#[tokio::test]
async fn append_errors_come_back_as_they_were() {
    let over = InvalidAppend { over_limit: true, ..InvalidAppend::new("events", "are too many") };
    let rows = [
        AppendError::Invalid(InvalidAppend::new("writes[0].events[3].data", "is no JSON")),
        AppendError::Invalid(over),
        AppendError::Denied { reason: "you may not".to_owned() },
        AppendError::Store(StoreError::new("the disk is full")),
    ];
    for error in rows {
        let said = format!("{error:?}");
        let server = Server::start(Scripted::appends(move |_, _| Script::Fail(error.clone()))).await;
        let answer = server.client().append(note("a-1", "{}")).await.unwrap_err();
        assert_eq!(format!("{answer:?}"), said);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_until_the_deadline_and_then_told_as_it_was() {
    let rows = [
        (AppendError::Overloaded { retry_after: Duration::from_millis(40) }, "Overloaded"),
        (AppendError::ShuttingDown, "ShuttingDown"),
        (AppendError::Unknown { reason: "silence".to_owned() }, "Unknown"),
    ];
    for (error, expected) in rows {
        let store = Scripted::appends(move |_, _| Script::Fail(error.clone()));
        let server = Server::start(store.clone()).await;
        let patience = Duration::from_millis(300);
        let impatient = pacioli_client::ClientConfig { deadline: patience, ..config(server.address) };
        let answer = Client::connect(impatient).unwrap().append(note("a-1", "{}")).await.unwrap_err();
        assert!(format!("{answer:?}").starts_with(expected), "{answer:?}");
        assert!(store.appends.load(std::sync::atomic::Ordering::SeqCst) > 2, "it was tried again");
    }
}

#[tokio::test]
async fn the_door_names_the_field() {
    let server = Server::start(crate::support::memory(1)).await;
    let client = server.client();
    let mut two = note("a-1", "{}").and(StreamName::new("b-1").unwrap(), Default::default(), vec![crate::event("{")]);
    let error = client.append(two.clone()).await.unwrap_err();
    assert!(matches!(&error, AppendError::Invalid(error) if error.field == "writes[1].events[0].data"), "{error}");
    two.writes.clear();
    let error = client.append(two).await.unwrap_err();
    assert!(matches!(&error, AppendError::Invalid(error) if error.field == "writes"), "{error}");
    let past = Subscribe { after: Some("0:9".parse().unwrap()), ..Subscribe::default() };
    let Err(error) = client.subscribe(past).await else { panic!("there is nothing at 0:9") };
    assert!(matches!(&error, ReadError::Invalid { field: "after", .. }), "{error}");
    let mut elsewhere = whole_log();
    elsewhere.after = Some("0:0,1:0".parse().unwrap());
    let error = client.read_log(elsewhere).await.unwrap_err();
    assert!(matches!(&error, ReadError::Invalid { field: "after", .. }), "{error}");
    let error = client.acquire_lease("", "me", Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(&error, ReadError::Invalid { field: "name", .. }), "{error}");
}

#[tokio::test]
async fn an_append_beyond_the_transport_is_over_a_limit_too() {
    let server = Server::start(crate::support::memory(1)).await;
    let data = format!("\"{}\"", "x".repeat(6 << 20));
    let error = server.client().append(note("a-1", &data)).await.unwrap_err();
    assert!(matches!(&error, AppendError::Invalid(error) if error.over_limit), "{error}");
}

#[tokio::test]
async fn read_errors_come_back_as_they_were() {
    let place = Place { partition: Partition(2), position: Position(77) };
    let rows = [
        ReadError::StreamNotFound { stream: StreamName::new("ä-1").unwrap() },
        ReadError::Invalid { field: "after", problem: "lies past the head".to_owned() },
        ReadError::Rewound { to: "0:5,1:6@3".parse().unwrap() },
        ReadError::Damaged { place, problem: "hash".to_owned() },
        ReadError::Denied { reason: "no".to_owned() },
        ReadError::Unsupported { reason: "cannot".to_owned() },
        ReadError::Store(StoreError::new("broken")),
    ];
    for error in rows {
        let said = format!("{error:?}");
        let server = Server::start(Scripted::reads(move || Some(error.clone()))).await;
        let client = server.client();
        assert_eq!(format!("{:?}", client.read_log(whole_log()).await.unwrap_err()), said);
        assert_eq!(format!("{:?}", client.head().await.unwrap_err()), said);
        let Err(answer) = client.subscribe(Subscribe::default()).await else { panic!("expected {said}") };
        assert_eq!(format!("{answer:?}"), said);
        let nowhere = tempfile::tempdir().unwrap();
        let answer = client.backup(&nowhere.path().join("copy")).await.unwrap_err();
        assert_eq!(format!("{answer:?}"), said);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_nothing_is_in_doubt() {
    let address = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let impatient = pacioli_client::ClientConfig { deadline: Duration::from_millis(200), ..config(address) };
    let client = Client::connect(impatient).unwrap();
    let error = client.append(note("a-1", "{}")).await.unwrap_err();
    assert!(matches!(&error, AppendError::Store(_)), "{error:?}");
    assert!(error.to_string().contains("could not be reached"), "{error}");
    let error = client.list_streams(ListStreams { limit: 1, ..ListStreams::default() }).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let answer = client.appender(4).submit(note("a-1", "{}")).await.await.unwrap_err();
    assert!(matches!(&answer, AppendError::Store(_)), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_configuration_names_its_field() {
    let field = |change: fn(&mut pacioli_client::ClientConfig)| {
        let mut config = pacioli_client::ClientConfig::new("http://127.0.0.1:1");
        change(&mut config);
        Client::connect(config).unwrap_err().field
    };
    assert_eq!(field(|config| config.url = "not a url".to_owned()), "url");
    assert_eq!(field(|config| config.url = "ftp://127.0.0.1".to_owned()), "url");
    assert_eq!(field(|config| config.token = Some("a\nb".to_owned())), "token");
    assert_eq!(field(|config| config.ca_pem = Some(Vec::new())), "url");
}
