//! Subscriptions that outlive their connections.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use pacioli_api::generated::v1;
use pacioli_api::wire::{read, shape, status};
use pacioli_core::{Deliveries, Delivery, ReadError, StoreError, Subscribe};
use tonic::{Status, Streaming};

use crate::retry::Backoff;
use crate::store::{Manner, Shared};

/// What a server may be late with a heartbeat before it is taken for lost.
const GRACE: Duration = Duration::from_secs(10);

struct Subscription {
    shared: Arc<Shared>,
    manner: Arc<Manner>,
    /// What to ask for when the connection is lost: it moves along with what was delivered.
    subscribe: Subscribe,
    call: Option<Streaming<v1::SubscribeResponse>>,
    backoff: Backoff,
}

/// Subscribes; an error of the first call is the caller's, later losses of the connection are hidden.
pub(crate) async fn subscribe(
    shared: Arc<Shared>,
    manner: Arc<Manner>,
    subscribe: Subscribe,
) -> Result<Deliveries, ReadError> {
    let request = request(&manner, &subscribe);
    let call = shared.ask(|mut connection| {
        let request = request.clone();
        async move { connection.subscribe(request).await }
    });
    let call = call.await?;
    shared.learn_bus(call.metadata());
    let call = Some(call.into_inner());
    let backoff = Backoff::new(shared.config.backoff_max);
    let subscription = Subscription { call, backoff, subscribe, shared, manner };
    let deliveries = stream::unfold(Some(subscription), |subscription| async {
        let mut subscription = subscription?;
        match subscription.next().await {
            Ok(delivery) => Some((Ok(delivery), Some(subscription))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(deliveries.boxed())
}

/// A subscription on the wire.
fn request(manner: &Manner, subscribe: &Subscribe) -> v1::SubscribeRequest {
    let request = read::subscribe_to_wire(subscribe);
    v1::SubscribeRequest { shape: shape::shape_to_wire(&manner.shape), reader: manner.reader.clone(), ..request }
}

impl Subscription {
    async fn next(&mut self) -> Result<Delivery, ReadError> {
        loop {
            let status = match self.message().await {
                Ok(message) => {
                    let delivery = read::delivery_from_wire(message);
                    let delivery = delivery.map_err(|error| ReadError::Store(StoreError::new(error.to_string())))?;
                    self.subscribe.after = Some(delivery.checkpoint().clone());
                    self.backoff.reset();
                    return Ok(delivery);
                }
                Err(status) if status::is_transient(&status) => status,
                Err(status) => return Err(self.shared.read_error(&status)),
            };
            self.call = None;
            tracing::debug!(url = %self.shared.config.url, error = %status.message(), "a subscription is resumed");
            tokio::time::sleep(self.backoff.next()).await;
        }
    }

    /// The next message of the call, or of a new one after what was delivered. The end of a call is a loss like any other.
    async fn message(&mut self) -> Result<v1::SubscribeResponse, Status> {
        let silent = |_| Status::unavailable("the server went silent");
        let call = match &mut self.call {
            Some(call) => call,
            None => {
                let mut connection = self.shared.connections.store();
                let calling = connection.subscribe(request(&self.manner, &self.subscribe));
                let call = tokio::time::timeout(self.shared.config.try_timeout, calling).await.map_err(silent)??;
                self.shared.learn_bus(call.metadata());
                self.call.insert(call.into_inner())
            }
        };
        let patience = self.subscribe.heartbeat.saturating_mul(2).saturating_add(GRACE);
        let message = tokio::time::timeout(patience, call.message()).await.map_err(silent)??;
        message.ok_or_else(|| Status::unavailable("the server ended the subscription"))
    }
}
