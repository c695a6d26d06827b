//! Server-sent events: catch-up and then live, for as long as the client listens.
//!
//! ```text
//! id: 0:17                    the checkpoint after this event: `Last-Event-ID` resumes behind it
//! data: {"specversion":…}     the CloudEvent, on one line
//!
//! event: caught-up            the head was reached; what follows is live
//! id: 0:17
//! data: {"checkpoint":"0:17"}
//!
//! : heartbeat                 every 15 s without events; its id is progress, though nothing matched
//! id: 0:17
//!
//! event: error                the stream ends; data is a problem
//! data: {"type":…}
//! ```

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use pacioli_api::cloudevents::{self, Layout};
use pacioli_api::fields::Fields;
use pacioli_api::json::HeadBody;
use pacioli_api::problem::Problem;
use pacioli_core::store::with_checkpoints;
use pacioli_core::{Checkpoint, Deliveries, Delivery, EventStore, ReadError, RecordedEvent, Subscribe};

use super::App;
use super::answer::{self, Failure};
use super::query::Format;

/// A subscription with the server's heartbeat.
pub(super) fn subscribe(app: &App) -> Subscribe {
    Subscribe { heartbeat: app.limits.heartbeat, ..Subscribe::default() }
}

/// Follows the log and sends the events that are `asked_for`, up to `limit`.
pub(super) async fn follow(
    store: &dyn EventStore,
    subscribe: Subscribe,
    fields: Fields,
    limit: Option<usize>,
    is_asked_for: impl Fn(&RecordedEvent) -> bool + Send + 'static,
) -> Result<Response, Failure> {
    let deliveries = store.subscribe(subscribe).await?;
    let follower = Follower { deliveries, fields, left: limit, is_asked_for };
    let chunks = stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        let (chunk, goes_on) = follower.next().await?;
        Some((chunk, goes_on.then_some(follower)))
    });
    let body = Body::from_stream(chunks.map(Ok::<Bytes, std::convert::Infallible>));
    let mut response = answer::body(StatusCode::OK, Format::Live.media_type(), body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Some proxies gather what they should pass on.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Follower<F> {
    deliveries: Deliveries,
    fields: Fields,
    left: Option<usize>,
    is_asked_for: F,
}

impl<F: Fn(&RecordedEvent) -> bool> Follower<F> {
    /// The next text, and whether there is more after it; `None` when the server stops.
    async fn next(&mut self) -> Option<(Bytes, bool)> {
        loop {
            let mut out = Vec::new();
            match self.deliveries.next().await? {
                Ok(Delivery::Events { events, from, .. }) => self.write_events(&mut out, &from, &events),
                Ok(Delivery::CaughtUp { checkpoint }) => {
                    let data = pacioli_api::json::to_string(&HeadBody::from(&checkpoint));
                    out.extend(format!("event: caught-up\nid: {checkpoint}\ndata: {data}\n\n").into_bytes());
                }
                Ok(Delivery::Heartbeat { checkpoint, .. }) => {
                    out.extend(format!(": heartbeat\nid: {checkpoint}\n\n").into_bytes());
                }
                Err(error) => return Some((last_words(&error), false)),
            }
            let goes_on = self.left != Some(0);
            if !out.is_empty() || !goes_on {
                return Some((out.into(), goes_on));
            }
        }
    }

    fn write_events(&mut self, out: &mut Vec<u8>, from: &Checkpoint, events: &[Arc<RecordedEvent>]) {
        for (checkpoint, event) in with_checkpoints(from, events) {
            if !(self.is_asked_for)(event) {
                continue;
            }
            if let Some(left) = &mut self.left {
                if *left == 0 {
                    return;
                }
                *left -= 1;
            }
            out.extend(format!("id: {checkpoint}\ndata: ").into_bytes());
            cloudevents::write(out, event, &self.fields, Layout::Line);
            out.extend_from_slice(b"\n\n");
        }
    }
}

fn last_words(error: &ReadError) -> Bytes {
    match error {
        // The reader's own wish.
        ReadError::Withheld(_) => tracing::info!(%error, "a live stream ends"),
        _ => tracing::error!(%error, "a live stream ends"),
    }
    format!("event: error\ndata: {}\n\n", Problem::from(error).to_json()).into()
}
