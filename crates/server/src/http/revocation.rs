//! What ends a long call whose token was taken away or given a smaller role.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body as HttpBody, Frame};
use pacioli_api::problem::{Kind, Problem};

use crate::tokens::{Tokens, Used};

/// What the caller is told.
const DETAIL: &str = "the token was taken away or its role was lowered while this went on";
/// gRPC's code for who is not known (any more).
const UNAUTHENTICATED: u16 = 16;

/// How a body ends when its token does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// An answer of server-sent events: with an event `error`.
    Event,
    /// An answer of gRPC: with a status.
    Status,
    /// An answer of lines that are not events: by breaking off, so that nobody takes a part for the whole.
    Break,
    /// The requests of a call: what is in flight is still answered, and then the call ends with a status.
    Requests,
}

/// The body, until `used` is no longer good.
pub(super) fn until_revoked(tokens: &Arc<Tokens>, used: Used, ending: Ending, body: Body) -> Body {
    Body::new(Guarded { body: Some(body), revoked: Box::pin(Arc::clone(tokens).revoked(used)), ending })
}

struct Guarded {
    /// `None` after the end.
    body: Option<Body>,
    revoked: BoxFuture<'static, ()>,
    ending: Ending,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if this.revoked.as_mut().poll(context).is_pending() {
            return Pin::new(body).poll_frame(context);
        }
        this.body = None;
        tracing::info!("a call ends: {DETAIL}");
        Poll::Ready(Some(match this.ending {
            Ending::Event => {
                let problem = Problem::new(Kind::Unauthenticated, DETAIL).to_json();
                Ok(Frame::data(format!("event: error\ndata: {problem}\n\n").into()))
            }
            Ending::Status => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from(UNAUTHENTICATED));
                trailers.insert("grpc-message", HeaderValue::from_static(DETAIL));
                Ok(Frame::trailers(trailers))
            }
            Ending::Break => Err(axum::Error::new(std::io::Error::other(DETAIL))),
            Ending::Requests => Err(axum::Error::new(crate::grpc::unauthenticated(DETAIL))),
        }))
    }
}
