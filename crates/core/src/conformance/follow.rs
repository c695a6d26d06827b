//! A subscription under watch: every delivery is held to the contract before a check sees it.

use std::time::Duration;

use futures::StreamExt;

use super::client::{Client, Event, check_run};
use crate::place::{Checkpoint, Epoch};
use crate::store::{Deliveries, Filter};
use crate::subscription::{Delivery, Subscribe};

/// A running subscription and where it stands.
pub(super) struct Follow {
    deliveries: Deliveries,
    filter: Filter,
    batch_max: usize,
    patience: Duration,
    /// Whether the caught-up mark was delivered. A network may deliver it before a reader asks for anything.
    pub(super) caught_up: bool,
    /// Where to resume after what was delivered so far.
    pub(super) at: Checkpoint,
}

impl Follow {
    pub(super) async fn start(client: &Client, subscribe: Subscribe) -> Follow {
        let at = subscribe.after.clone().unwrap_or_else(|| Checkpoint::start(client.partitions, Epoch::FIRST));
        let (filter, batch_max) = (subscribe.filter.clone(), subscribe.batch_max);
        let deliveries = client.store.subscribe(subscribe).await;
        let deliveries = deliveries.unwrap_or_else(|error| panic!("expected a subscription, got the error: {error}"));
        Follow { deliveries, filter, batch_max, patience: client.patience, caught_up: false, at }
    }

    /// The next delivery.
    pub(super) async fn next(&mut self) -> Delivery {
        let delivery = match tokio::time::timeout(self.patience, self.deliveries.next()).await {
            Ok(Some(Ok(delivery))) => delivery,
            Ok(Some(Err(error))) => panic!("expected a delivery after {}, got the error: {error}", self.at),
            Ok(None) => panic!("expected a subscription never to end, it ended after {}", self.at),
            Err(_) => panic!("expected a delivery after {} within {:?}, nothing came", self.at, self.patience),
        };
        let said = format!("a delivery after {}", self.at);
        let checkpoint = delivery.checkpoint().clone();
        match &delivery {
            Delivery::Events { events, from, .. } => {
                assert!(!events.is_empty(), "{said}: expected at least one event");
                assert!(events.len() <= self.batch_max, "{said}: expected at most {}", self.batch_max);
                assert!(from.covers(&self.at), "{said}: expected to begin there, began at {from}");
                // What lies between the last checkpoint and the beginning was passed over: nothing in it may match.
                check_run(&said, &self.at, from, &[], &self.filter);
                check_run(&said, from, &checkpoint, events, &self.filter);
            }
            Delivery::CaughtUp { .. } => {
                self.caught_up = true;
                check_run(&said, &self.at, &checkpoint, &[], &self.filter);
            }
            Delivery::Heartbeat { head, .. } => {
                check_run(&said, &self.at, &checkpoint, &[], &self.filter);
                assert!(head.covers(&checkpoint), "{said}: expected a head at or past {checkpoint}, got {head}");
            }
        }
        assert!(checkpoint.covers(&self.at), "{said}: expected no step back, got {checkpoint}");
        self.at = checkpoint;
        delivery
    }

    /// The events up to a checkpoint.
    pub(super) async fn until(&mut self, checkpoint: &Checkpoint) -> Vec<Event> {
        let mut taken = Vec::new();
        while !self.at.covers(checkpoint) {
            if let Delivery::Events { events, .. } = self.next().await {
                taken.extend(events);
            }
        }
        taken
    }

    /// The next so many events, or a few more.
    pub(super) async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut taken = Vec::new();
        while taken.len() < count {
            if let Delivery::Events { events, .. } = self.next().await {
                taken.extend(events);
            }
        }
        taken
    }

    /// The events up to the caught-up mark.
    pub(super) async fn until_caught_up(&mut self) -> Vec<Event> {
        let mut taken = Vec::new();
        loop {
            match self.next().await {
                Delivery::Events { events, .. } => taken.extend(events),
                Delivery::CaughtUp { .. } => return taken,
                Delivery::Heartbeat { .. } => {}
            }
        }
    }
}
