//! Reads of many pages, and round trips of everything that reads.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use pacioli_core::{
    Append, Direction, EventStore, LeaseOutcome, ListStreams, LogPage, PayloadChoice, ReadLog, ReadStream, StreamName,
    Version,
};

use crate::support::{Proxy, Server, client, memory};
use crate::{appended, event, note, whole_log};

/// A log that takes several engine pages and many messages.
async fn large_log(partitions: u16) -> std::sync::Arc<pacioli_core::memory::MemoryStore> {
    let store = memory(partitions);
    let data = format!("\"{}\"", "x".repeat(400));
    for stream in 0..20 {
        let name = StreamName::new(format!("a-{stream}")).unwrap();
        let events = (0..500).map(|_| event(&data)).collect();
        appended(store.append(Append::to(name, Default::default(), events)).await.unwrap());
    }
    store
}

#[tokio::test]
async fn a_page_of_the_log_is_what_the_store_gives() {
    for partitions in [1, 4] {
        let store = large_log(partitions).await;
        let server = Server::start(store.clone()).await;
        let client = server.client();
        let mut read = ReadLog { limit: 3_000, ..whole_log() };
        loop {
            let (ours, theirs) =
                (client.read_log(read.clone()).await.unwrap(), store.read_log(read.clone()).await.unwrap());
            assert_eq!(ours.events, theirs.events);
            assert_eq!((&ours.from, &ours.checkpoint, &ours.head), (&theirs.from, &theirs.checkpoint, &theirs.head));
            if ours.at_head() {
                break;
            }
            read.after = Some(ours.checkpoint);
        }
    }
}

#[tokio::test]
async fn the_whole_log_streams_to_the_head_across_cut_connections() {
    for partitions in [1, 4] {
        let store = large_log(partitions).await;
        let server = Server::start(store.clone()).await;
        let proxy = Proxy::before(server.address).await;
        let client = client(proxy.address);
        let mut pages = client.read_log_pages(ReadLog { limit: 0, ..whole_log() });
        let mut places = Vec::new();
        let mut last: Option<LogPage> = None;
        while let Some(page) = pages.try_next().await.unwrap() {
            if let Some(last) = &last {
                assert_eq!(page.from, last.checkpoint, "each part begins where the one before ended");
            }
            places.extend(page.events.iter().map(|event| event.place()));
            if places.len() % 3 == 0 {
                proxy.cut();
            }
            last = Some(page);
        }
        assert!(last.unwrap().at_head());
        assert_eq!(places.len(), 10_000);
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 10_000, "nothing twice");
        let few: Vec<LogPage> =
            client.read_log_pages(ReadLog { limit: 7, ..whole_log() }).map(Result::unwrap).collect().await;
        assert_eq!(few.iter().map(|page| page.events.len()).sum::<usize>(), 7);
    }
}

#[tokio::test]
async fn a_stream_is_read_both_ways() {
    let store = large_log(1).await;
    let server = Server::start(store.clone()).await;
    let client = server.client();
    for direction in [Direction::Forward, Direction::Backward] {
        for payload in [PayloadChoice::All, PayloadChoice::None] {
            for (from, limit) in [(None, 10_000), (Some(Version(40)), 7), (Some(Version(9_999)), 1), (None, 0)] {
                let stream = StreamName::new("a-3").unwrap();
                let read = ReadStream { stream, from, direction, limit, payload };
                let (ours, theirs) =
                    (client.read_stream(read.clone()).await.unwrap(), store.read_stream(read).await.unwrap());
                assert_eq!(ours.events, theirs.events);
                assert_eq!((ours.next, ours.version), (theirs.next, theirs.version));
            }
        }
    }
}

#[tokio::test]
async fn streams_heads_tracking_and_leases_come_back() {
    let store = memory(4);
    let server = Server::start(store.clone()).await;
    let client = server.client();
    for n in 0..5 {
        appended(client.append(note(&format!("ac-{n}"), "{}")).await.unwrap());
    }
    let stands = client.head().await.unwrap();
    let moving = note("mover-1", "{}").tracking("mover", stands.clone());
    appended(client.append(moving).await.unwrap());
    assert_eq!(client.head().await.unwrap(), store.head().await.unwrap());
    assert_eq!(client.tracking("mover").await.unwrap(), Some(stands));
    assert_eq!(client.tracking("nobody").await.unwrap(), None);
    let known = StreamName::new("ac-3").unwrap();
    assert_eq!(client.stream(&known).await.unwrap(), store.stream(&known).await.unwrap());
    assert_eq!(client.stream(&StreamName::new("ac-9").unwrap()).await.unwrap(), None);
    let mut list = ListStreams { prefix: Some("ac-".to_owned()), limit: 2, ..ListStreams::default() };
    let mut names = Vec::new();
    loop {
        let page = client.list_streams(list.clone()).await.unwrap();
        names.extend(page.streams.iter().map(|info| info.stream.to_string()));
        list.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(names, ["ac-0", "ac-1", "ac-2", "ac-3", "ac-4"]);

    let minute = Duration::from_secs(60);
    let LeaseOutcome::Held(lease) = client.acquire_lease("p", "me", minute).await.unwrap() else {
        panic!("it is free")
    };
    assert_eq!(client.acquire_lease("p", "you", minute).await.unwrap(), LeaseOutcome::Taken(lease.clone()));
    assert!(client.release_lease(&lease).await.unwrap());
    assert!(!client.release_lease(&lease).await.unwrap());
}
