//! The read workload: the whole log from its start to its head.

use std::time::{Duration, Instant};

use futures::StreamExt;
use pacioli_core::{Delivery, EventStore, Filter, PayloadChoice, ReadLog, Subscribe};

use crate::append::load;
use crate::report::{Measured, Parameters, Stall};
use crate::{BenchError, Connections};

/// Events of one page or delivery.
const PAGE_EVENTS: usize = 4_096;

/// By which call the log is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Means {
    /// A subscription that ends at its caught-up mark.
    #[default]
    Subscribe,
    /// Page after page of `read_log`.
    Pages,
}

/// Fills an empty store with the events asked for; says how many events the log has.
///
/// # Errors
/// [`BenchError`] where an append or the head fails, or the store is empty and no events were asked for.
pub async fn fill(connections: &Connections, parameters: &Parameters) -> Result<u64, BenchError> {
    let Some(store) = connections.first() else {
        return Err(BenchError::Usage("--connections must be at least 1".to_owned()));
    };
    let head = store.head().await?;
    let events = head.iter().map(|place| place.position.0).sum();
    if events > 0 {
        return Ok(events);
    }
    if parameters.events == 0 {
        return Err(BenchError::Usage("the store is empty; --events says how many to load first".to_owned()));
    }
    load(connections, parameters, parameters.events).await?;
    Ok(parameters.events)
}

/// Reads everything up to the head as it is now: once, or whole again until `at_least` has passed. A latency is the time
/// from one page or delivery to the next.
///
/// # Errors
/// [`BenchError::Read`] where the store fails, [`BenchError::Outcome`] where the log ends before its head.
pub async fn read(connections: &Connections, means: Means, at_least: Option<Duration>) -> Result<Measured, BenchError> {
    let Some(store) = connections.first() else {
        return Err(BenchError::Usage("--connections must be at least 1".to_owned()));
    };
    let mut tally = Tally::new(Instant::now());
    loop {
        match means {
            Means::Subscribe => read_by_subscription(&**store, &mut tally).await?,
            Means::Pages => read_by_pages(&**store, &mut tally).await?,
        }
        if at_least.is_none_or(|time| tally.began.elapsed() >= time) {
            return Ok(tally.finish());
        }
    }
}

async fn read_by_subscription(store: &dyn EventStore, tally: &mut Tally) -> Result<(), BenchError> {
    let mut deliveries = store.subscribe(Subscribe { batch_max: PAGE_EVENTS, ..Subscribe::default() }).await?;
    while let Some(delivery) = deliveries.next().await {
        match delivery? {
            Delivery::Events { events, .. } => tally.take(events.len()),
            Delivery::CaughtUp { .. } => return Ok(()),
            Delivery::Heartbeat { .. } => {}
        }
    }
    Err(BenchError::Outcome("the subscription ended before it had caught up".to_owned()))
}

async fn read_by_pages(store: &dyn EventStore, tally: &mut Tally) -> Result<(), BenchError> {
    let mut after = None;
    loop {
        let read = ReadLog { after, filter: Filter::default(), limit: PAGE_EVENTS, payload: PayloadChoice::All };
        let page = store.read_log(read).await?;
        tally.take(page.events.len());
        if page.at_head() {
            return Ok(());
        }
        after = Some(page.checkpoint);
    }
}

struct Tally {
    began: Instant,
    last: Instant,
    measured: Measured,
    stall: Stall,
}

impl Tally {
    fn new(began: Instant) -> Tally {
        Tally { began, last: began, measured: Measured::default(), stall: Stall::default() }
    }

    fn take(&mut self, events: usize) {
        let now = Instant::now();
        self.measured.events += events as u64;
        self.measured.latencies.record(now - self.last);
        self.stall.answered(now);
        self.last = now;
    }

    fn finish(mut self) -> Measured {
        self.measured.elapsed = self.last - self.began;
        self.measured.longest_stall_ms = self.stall.take_millis();
        self.measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::tests::{memory, parameters};

    #[tokio::test(flavor = "multi_thread")]
    async fn both_means_read_every_event() {
        let store = memory();
        let parameters = Parameters { events: 10_000, ..parameters() };
        assert_eq!(fill(&store, &parameters).await.unwrap(), 10_000);
        assert_eq!(fill(&store, &parameters).await.unwrap(), 10_000, "a store that has events is left as it is");
        for means in [Means::Subscribe, Means::Pages] {
            let measured = read(&store, means, None).await.unwrap();
            assert_eq!(measured.events, 10_000);
            assert!(measured.events_per_second() > 0.0);
            let time = Duration::from_millis(200);
            let measured = read(&store, means, Some(time)).await.unwrap();
            assert!(measured.elapsed >= time && measured.events > 0 && measured.events.is_multiple_of(10_000));
        }
    }
}
