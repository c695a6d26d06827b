//! The door every request passes on its way to the store: it counts, sets deadlines, and closes when the server stops.
//!
//! It is an [`EventStore`] itself, so HTTP and gRPC use the store through it and nothing is counted twice or forgotten.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use pacioli_core::store::{Bus, Measure};
use pacioli_core::{
    AppendError, AppendOutcome, AppendRequest, Checkpoint, Deliveries, Delivery, EventStore, Lease, LeaseOutcome,
    ListStreams, LogPage, NewEvent, ReadError, ReadLog, ReadStream, StoreError, StreamInfo, StreamName, StreamPage,
    StreamsPage, Subscribe,
};
use tokio::sync::watch;

use crate::config::ServerLimits;
use crate::keep_going::KeepGoing;
use crate::metrics::{AppendLabel, Metrics, ReadLabel};

/// An event with more data than this is counted, as a sign of an event that says more than what happened.
const LARGE_BYTES: usize = 8 << 10;

/// The store as the server's requests see it.
pub(crate) struct Door {
    store: Arc<dyn EventStore>,
    metrics: Arc<Metrics>,
    limits: ServerLimits,
    closing: watch::Sender<bool>,
}

impl Door {
    pub(crate) fn new(store: Arc<dyn EventStore>, metrics: Arc<Metrics>, limits: ServerLimits) -> Door {
        Door { store, metrics, limits, closing: watch::Sender::new(false) }
    }

    /// Refuses further appends and ends all live streams; what was begun goes on.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Whether the server was told to stop.
    pub(crate) fn is_closed(&self) -> bool {
        *self.closing.borrow()
    }

    /// Turns true when the server is told to stop.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Resolves when the server is told to stop.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.closing.subscribe();
        async move {
            // The sender lives as long as the door; if it is gone, all is over anyway.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// Waits for the answer to a read, within the limit and counted.
    async fn read<T>(
        &self,
        kind: &'static str,
        read: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        self.metrics.reads.get_or_create(&ReadLabel { kind }).inc();
        match tokio::time::timeout(self.limits.request_timeout, read).await {
            Ok(answer) => answer,
            Err(_) => Err(ReadError::Store(StoreError::new(format!(
                "the read took longer than {} s; ask for less, or try again",
                self.limits.request_timeout.as_secs()
            )))),
        }
    }
}

#[async_trait]
impl EventStore for Door {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        if self.is_closed() {
            return Err(AppendError::ShuttingDown);
        }
        // It is finished and counted also where the caller goes away in the middle, or is told that nobody knows.
        let appending = KeepGoing::new(counted(Arc::clone(&self.store), Arc::clone(&self.metrics), append));
        match tokio::time::timeout(self.limits.append_timeout, appending).await {
            Ok(answer) => answer,
            Err(_) => {
                self.metrics.append_timeouts.inc();
                let reason = format!("no answer within {} s", self.limits.append_timeout.as_secs());
                Err(AppendError::Unknown { reason })
            }
        }
    }

    fn bus(&self) -> Bus {
        self.store.bus()
    }

    fn measures(&self) -> Vec<Measure> {
        self.store.measures()
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.read("stream", self.store.read_stream(read)).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.read("log", self.store.read_log(read)).await
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        let deliveries = self.store.subscribe(subscribe).await?;
        let live = Live::new(Arc::clone(&self.metrics));
        let until_closed: BoxStream<'static, Result<Delivery, ReadError>> = deliveries
            .inspect(move |_| {
                // Held by the stream, so that the gauge falls when it is dropped.
                let _ = &live;
            })
            .take_until(self.closed())
            .boxed();
        Ok(until_closed)
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        self.read("stream_info", self.store.stream(stream)).await
    }

    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError> {
        self.read("streams", self.store.list_streams(list)).await
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        self.read("head", self.store.head()).await
    }

    async fn ready(&self) -> Result<(), ReadError> {
        self.read("ready", self.store.ready()).await
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        self.read("tracking", self.store.tracking(name)).await
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        self.store.acquire_lease(name, owner, time_to_live).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        self.store.release_lease(lease).await
    }

    async fn backup(&self, to: &Path) -> Result<u64, ReadError> {
        self.store.backup(to).await
    }
}

/// Appends, and counts what came of it.
async fn counted(
    store: Arc<dyn EventStore>,
    metrics: Arc<Metrics>,
    append: AppendRequest,
) -> Result<AppendOutcome, AppendError> {
    let events: usize = append.writes.iter().map(|write| write.events.len()).sum();
    let is_large = |event: &&NewEvent| event.data.len() > LARGE_BYTES;
    let large = append.writes.iter().flat_map(|write| &write.events).filter(is_large).count();
    let started = Instant::now();
    metrics.appends_in_flight.inc();
    // Counted down also where the store panics.
    let in_flight = InFlight(&metrics);
    let answer = store.append(append).await;
    drop(in_flight);
    metrics.append_seconds.observe(started.elapsed().as_secs_f64());
    let outcome = match &answer {
        Ok(AppendOutcome::Appended(appended)) if appended.duplicate => "duplicate",
        Ok(AppendOutcome::Appended(_)) => {
            metrics.events_appended.inc_by(events as u64);
            metrics.events_large.inc_by(large as u64);
            "appended"
        }
        Ok(AppendOutcome::Conflict(_)) => "conflict",
        Ok(AppendOutcome::Refused(_)) => "refused",
        Err(AppendError::Invalid(_)) => "invalid",
        Err(AppendError::Overloaded { .. }) => "overloaded",
        Err(AppendError::Unknown { .. }) => "unknown",
        Err(AppendError::ShuttingDown) => "shutting_down",
        Err(AppendError::Denied { .. }) => "denied",
        Err(AppendError::Store(_)) => "failed",
    };
    metrics.appends.get_or_create(&AppendLabel { outcome }).inc();
    if let Err(AppendError::Store(error)) = &answer {
        tracing::error!(%error, "the storage refused an append");
    }
    answer
}

/// One append in flight.
struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.appends_in_flight.dec();
    }
}

/// One live subscription.
struct Live(Arc<Metrics>);

impl Live {
    fn new(metrics: Arc<Metrics>) -> Live {
        metrics.subscriptions.inc();
        Live(metrics)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.subscriptions.dec();
    }
}
