//! Clients beside a run that append in transactions of their own, as an application on the same database does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pacioli_bench::report::Latencies;
use pacioli_postgres::Location;
use pacioli_postgres::bench::Application;
use tokio::task::JoinSet;

use crate::failure::Failure;

/// The clients while they run.
pub(super) struct Applications {
    over: Arc<AtomicBool>,
    began: Instant,
    clients: JoinSet<Result<Latencies, Failure>>,
}

impl Applications {
    /// Connects so many clients, each of which runs one transaction after the other that lasts `work`.
    pub(super) async fn start(location: &Location, clients: usize, work: Duration) -> Result<Applications, Failure> {
        let over = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        for number in 0..clients {
            let application = Application::connect(location).await.map_err(|error| Failure::failed(error.reason))?;
            running.spawn(run(application, number, work, Arc::clone(&over)));
        }
        Ok(Applications { over, began: Instant::now(), clients: running })
    }

    /// Lets each end the transaction it is in; gives a latency a transaction, and how long it all took.
    pub(super) async fn stop(mut self) -> Result<(Latencies, Duration), Failure> {
        self.over.store(true, Ordering::Relaxed);
        let mut latencies = Latencies::default();
        while let Some(client) = self.clients.join_next().await {
            let ended = client.map_err(|error| Failure::failed(format!("a client ended early: {error}")))?;
            latencies.merge(&ended?);
        }
        Ok((latencies, self.began.elapsed()))
    }
}

async fn run(
    application: Application,
    number: usize,
    work: Duration,
    over: Arc<AtomicBool>,
) -> Result<Latencies, Failure> {
    let mut latencies = Latencies::default();
    let stream = format!("order-{number}");
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let event = format!(r#"{{"type":"OrderPlaced","data":{{"number":{}}}}}"#, latencies.len());
        application.transact(&stream, &event, work).await.map_err(|error| Failure::failed(error.reason))?;
        latencies.record(began.elapsed());
    }
    Ok(latencies)
}
