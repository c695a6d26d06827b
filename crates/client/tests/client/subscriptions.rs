//! A subscription outlives its connections: nothing is missed, nothing comes twice.

use std::time::Duration;

use futures::StreamExt;
use pacioli_core::{Deliveries, Delivery, EventStore, Filter, ReadError, Subscribe};

use crate::support::{Proxy, Server, client, memory};
use crate::{appended, note};

/// Takes deliveries until `count` events came, and says their places.
async fn take(deliveries: &mut Deliveries, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    while positions.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(10), deliveries.next()).await.expect("a delivery in time");
        if let Delivery::Events { events, from, checkpoint } = next.unwrap().unwrap() {
            assert!(checkpoint.advances(&from));
            positions.extend(events.iter().map(|event| event.position.0));
        }
    }
    positions
}

#[tokio::test]
async fn a_cut_connection_is_not_noticed() {
    let store = memory(1);
    let server = Server::start(store.clone()).await;
    let proxy = Proxy::before(server.address).await;
    let client = client(proxy.address);
    let small = Subscribe { batch_max: 7, heartbeat: Duration::from_millis(50), ..Subscribe::default() };
    let mut deliveries = client.subscribe(small).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..600 {
                appended(store.append(note(&format!("a-{}", n % 5), "{}")).await.unwrap());
                if n % 100 == 50 {
                    proxy.cut();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            // Also while everybody is at the head.
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(150)).await;
                proxy.cut();
                appended(store.append(note("a-9", "{}")).await.unwrap());
            }
        })
    };
    let positions = take(&mut deliveries, 603).await;
    assert_eq!(positions, (1..=603).collect::<Vec<_>>());
    writer.await.unwrap();
}

#[tokio::test]
async fn a_server_that_shuts_down_ends_its_streams_and_the_client_goes_on_with_the_next() {
    let store = memory(1);
    let mut first = Server::start(store.clone()).await;
    let proxy = Proxy::before(first.address).await;
    let mut deliveries = client(proxy.address).subscribe(Subscribe::default()).await.unwrap();
    assert!(matches!(deliveries.next().await.unwrap().unwrap(), Delivery::CaughtUp { .. }));
    appended(store.append(note("a-1", "{}")).await.unwrap());
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    // The reader keeps polling, as readers do, so that the connection can end.
    let reader = tokio::spawn(async move { take(&mut deliveries, 2).await });
    tokio::time::timeout(Duration::from_secs(5), first.stop()).await.expect("live streams do not hold it up");
    appended(store.append(note("a-1", "{}")).await.unwrap());
    let second = Server::start(store.clone()).await;
    proxy.turn_to(second.address);
    appended(store.append(note("a-1", "{}")).await.unwrap());
    assert_eq!(reader.await.unwrap(), [2, 3]);
}

#[tokio::test]
async fn heartbeats_carry_the_head_and_progress_without_matches() {
    let store = memory(1);
    let server = Server::start(store.clone()).await;
    let filter = Filter { stream_prefix: Some("b-".to_owned()), ..Filter::default() };
    let subscribe = Subscribe { filter, heartbeat: Duration::from_millis(30), ..Subscribe::default() };
    let mut deliveries = server.client().subscribe(subscribe).await.unwrap();
    for _ in 0..5 {
        appended(store.append(note("a-1", "{}")).await.unwrap());
    }
    let end = "0:5".parse().unwrap();
    loop {
        match deliveries.next().await.unwrap().unwrap() {
            Delivery::Heartbeat { checkpoint, head } if checkpoint == end && head == end => break,
            Delivery::Events { events, .. } => panic!("nothing matches: {events:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_rewound_log_is_told_to_the_reader() {
    let rewound = || Some(ReadError::Rewound { to: "0:1@2".parse().unwrap() });
    let server = Server::start(crate::support::Scripted::reads(rewound)).await;
    let subscribe = Subscribe { after: Some("0:4".parse().unwrap()), ..Subscribe::default() };
    let Err(error) = server.client().subscribe(subscribe).await else { panic!("the log was rewound") };
    assert!(matches!(error, ReadError::Rewound { to } if to == "0:1@2".parse().unwrap()));
}
