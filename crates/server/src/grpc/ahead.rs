//! Reads ahead of a slow reader, a little: the next page is read and encoded while one is being sent.

use std::pin::pin;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use pacioli_api::wire::status;
use tokio::sync::mpsc;
use tonic::Status;

use super::Services;

/// Messages that wait for the reader at most, beside the one that is being made.
const MESSAGES_AHEAD: usize = 2;

/// The messages of a call.
pub(super) type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// Runs `messages` in a task of its own, a bounded number ahead of the reader, until they end, one fails, the reader
/// goes away, or the server does, which the reader is told.
pub(super) fn read_ahead<T: Send + 'static>(
    services: Arc<Services>,
    messages: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> Messages<T> {
    let (sender, mut receiver) = mpsc::channel(MESSAGES_AHEAD);
    let task = tokio::spawn(async move {
        let mut messages = pin!(messages);
        let mut shut_down = pin!(services.shut_down());
        loop {
            let next = async {
                // Room first, then the read: nothing is read that could not be handed on.
                let permit = sender.reserve().await.ok()?;
                Some((permit, messages.next().await?))
            };
            tokio::select! {
                biased;
                () = &mut shut_down => return Err(status::shutting_down()),
                () = sender.closed() => return Ok(()),
                next = next => match next {
                    Some((permit, Ok(message))) => permit.send(message),
                    Some((_, Err(status))) => return Err(status),
                    None => return Ok(()),
                },
            }
        }
    });
    // How it ended is told after the last message, so that an end by error never looks like an end.
    let end = task.map(|ended| match ended {
        Ok(Ok(())) => None,
        Ok(Err(status)) => Some(Err(status)),
        Err(failed) => Some(Err(Status::internal(format!("reading stopped: {failed}")))),
    });
    let messages = stream::poll_fn(move |context| receiver.poll_recv(context));
    messages.map(Ok).chain(stream::once(end).filter_map(std::future::ready)).boxed()
}
