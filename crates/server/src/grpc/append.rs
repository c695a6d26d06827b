//! Appends: one a call, or many pipelined on one.

use std::sync::Arc;
use std::task::Poll;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};
use pacioli_api::generated::v1::{self, append_stream_response};
use pacioli_api::wire::{append, status};
use pacioli_core::{AppendError, AppendOutcome, AppendRequest, InvalidAppend};
use tonic::Status;

use super::Services;
use super::ahead::Messages;
use crate::keep_going::KeepGoing;

/// Appends of one call that may be in flight.
const IN_FLIGHT_MAX: usize = 1_024;

/// Answers one append.
pub(super) async fn append(services: &Services, request: v1::AppendRequest) -> Result<v1::AppendResponse, Status> {
    let request = append::request_from_wire(request).map_err(|error| status::invalid(&error))?;
    respond(ask(services, request).await)
}

fn respond(answer: Answer) -> Result<v1::AppendResponse, Status> {
    answer.map(|outcome| append::outcome_to_wire(&outcome)).map_err(|error| status::append_status(&error))
}

/// Puts an append to the store, and does not wait for ever.
async fn ask(services: &Services, request: AppendRequest) -> Answer {
    let store = Arc::clone(&services.store);
    let appending = KeepGoing::new(async move { store.append(request).await });
    tokio::time::timeout(services.append_timeout, appending).await.unwrap_or_else(|_| {
        let reason = format!("the store did not answer within {} ms", services.append_timeout.as_millis());
        Err(AppendError::Unknown { reason })
    })
}

/// Answers the appends of one call, in their order. They are put to the store as they come.
pub(super) fn append_stream(
    services: Arc<Services>,
    requests: impl Stream<Item = Result<v1::AppendStreamRequest, Status>> + Send + 'static,
) -> Messages<v1::AppendStreamResponse> {
    let down = {
        let services = Arc::clone(&services);
        async move { services.shut_down().await }
    };
    let ended = Arc::clone(&services);
    let answers = requests
        // What is in flight when the server goes away is still answered.
        .take_until(Box::pin(down))
        .then(move |request| admit(Arc::clone(&services), request))
        .buffered(IN_FLIGHT_MAX);
    let end = stream::once(async move { ended.shutdown.borrow().then(|| Err(status::shutting_down())) });
    answers.chain(end.filter_map(std::future::ready)).boxed()
}

type StreamAnswer = BoxFuture<'static, Result<v1::AppendStreamResponse, Status>>;

/// Puts one append to the store, so that the next one comes behind it. A store that is overloaded is asked again: what
/// comes behind must not overtake, and the caller is slowed down by what it may have in flight.
async fn admit(services: Arc<Services>, request: Result<v1::AppendStreamRequest, Status>) -> StreamAnswer {
    let v1::AppendStreamRequest { correlation, append: request } = match request {
        Ok(request) => request,
        Err(status) => return std::future::ready(Err(status)).boxed(),
    };
    let request = request.ok_or_else(|| InvalidAppend::new("append", "is missing"));
    let request = match request.and_then(append::request_from_wire) {
        Ok(request) => request,
        Err(error) => return std::future::ready(Ok(response(correlation, Err(error.into())))).boxed(),
    };
    loop {
        let (services, request) = (Arc::clone(&services), request.clone());
        let mut answer = async move { ask(&services, request).await }.boxed();
        match std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await {
            Poll::Ready(Err(AppendError::Overloaded { retry_after })) => tokio::time::sleep(retry_after).await,
            Poll::Ready(answer) => return std::future::ready(Ok(response(correlation, answer))).boxed(),
            Poll::Pending => return answer.map(move |answer| Ok(response(correlation, answer))).boxed(),
        }
    }
}

fn response(correlation: u64, answer: Answer) -> v1::AppendStreamResponse {
    let result = match respond(answer) {
        Ok(response) => append_stream_response::Result::Response(response),
        Err(status) => append_stream_response::Result::Failure(v1::AppendFailure {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: bytes::Bytes::copy_from_slice(status.details()),
        }),
    };
    v1::AppendStreamResponse { correlation, result: Some(result) }
}

type Answer = Result<AppendOutcome, AppendError>;
