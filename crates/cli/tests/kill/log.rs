//! The server is killed at random moments under load, again and again, and every promise is checked from a history that
//! the clients wrote: what was acknowledged is there exactly once and byte-equal, no number is missing, what got no
//! answer is there whole and once or not at all, and a follower across all kills saw exactly the log.
//!
//! A short seeded slice runs with the tests. A campaign: `cargo x kill --kills 1000 --seed 7`.
//! The seed decides what the clients ask and when the server is killed; how the two meet is up to the machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use pacioli_client::{Client, ClientConfig};
use pacioli_core::conformance::history::{self, History, LoggedEvent};
use pacioli_core::{Delivery, EventStore, Subscribe};
use uuid::Uuid;

use crate::server::Server;
use crate::workload::{Random, Writer};
use crate::{alone, say, setting};

/// Kills of the slice that runs with the tests.
const KILLS: u64 = 30;
/// Clients that append at once.
const WRITERS: u64 = 8;
/// What a follower was delivered so far: positions and ids.
type Seen = Arc<Mutex<Vec<(u64, Uuid)>>>;

/// How long a reader may take to see the end of the log.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let _alone = alone().await;
    let (kills, seed) = (setting("PACIOLI_KILLS", KILLS), setting("PACIOLI_SEED", 1494));
    say(&format!("{kills} kills, seed {seed} (PACIOLI_KILLS, PACIOLI_SEED)"));
    let folder = tempfile::tempdir().expect("a folder");
    let history = Arc::new(History::default());
    let data = folder.path().join("data").display().to_string();
    let mut server = Server::start(&["--data".to_owned(), data], &folder.path().join("server.log"), &[]);
    let url = server.url();

    let follower = tokio::spawn(follow(url.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let writer = Writer::new(number, seed, &url, Arc::clone(&history), Arc::clone(&stop));
            tokio::spawn(writer.run())
        })
        .collect();

    let mut random = Random::new(seed);
    for kill in 1..=kills {
        tokio::time::sleep(Duration::from_millis(100 + random.below(600))).await;
        server.kill();
        // Sometimes it is back before a client notices, sometimes not for a while.
        tokio::time::sleep(Duration::from_millis(random.below(150))).await;
        server.restart();
        if kill % 100 == 0 {
            say(&format!("{kill} kills"));
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("a writer ends");
    }

    let log = read_whole_log(&url).await;
    let followed =
        tokio::time::timeout(FOLLOW_PATIENCE, take_until(follower, log.len())).await.expect("the follower arrives");
    let operations = history.operations();
    let counts = match history::check(&operations, &log, &followed) {
        Ok(counts) => counts,
        Err(broken) => {
            let kept = folder.keep();
            std::fs::write(kept.join("history"), format!("{operations:#?}")).expect("the history can be written");
            panic!("seed {seed}: {broken} (history and store kept in {})", kept.display());
        }
    };
    say(&format!("{counts:?}"));
    assert!(counts.acknowledged as u64 >= kills * 10, "too little was acknowledged to mean anything: {counts:?}");
    assert!(
        kills < 10 || counts.unknown_stored + counts.unknown_absent + counts.retried > 0,
        "no kill hit a request: {counts:?}"
    );
    assert_eq!(server.terminate(), Some(0), "SIGTERM ends it cleanly");
}

/// Follows the log across every kill and keeps what it was delivered, for ever.
async fn follow(url: String) -> Seen {
    let seen = Seen::default();
    let client = Client::connect(ClientConfig::new(url)).expect("a client");
    let mut deliveries = client.subscribe(Subscribe::default()).await.expect("a subscription");
    let keep = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Some(delivery) = deliveries.next().await {
            if let Delivery::Events { events, .. } = delivery.expect("a delivery") {
                let mut keep = keep.lock().expect("no panic");
                keep.extend(events.iter().map(|event| (event.position.0, event.id.0)));
            }
        }
    });
    seen
}

async fn take_until(follower: tokio::task::JoinHandle<Seen>, events: usize) -> Vec<(u64, Uuid)> {
    let seen = follower.await.expect("the follower");
    loop {
        let so_far = seen.lock().expect("no panic").clone();
        if so_far.len() >= events {
            return so_far;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn read_whole_log(url: &str) -> Vec<LoggedEvent> {
    let client = Client::connect(ClientConfig::new(url)).expect("a client");
    history::read_whole_log(&client).await.expect("the log can be read")
}
