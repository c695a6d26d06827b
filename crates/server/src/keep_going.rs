//! Work that is finished though nobody waits for it any more.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

/// A future that goes on in a task of its own when it is dropped before its end: half an append is nothing a store should
/// have to undo because a timer rang or a connection broke. It runs where it is polled until then, so that appends reach
/// the store in the order in which they came.
pub(crate) struct KeepGoing<T: Send + 'static>(Option<BoxFuture<'static, T>>);

impl<T: Send + 'static> KeepGoing<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> KeepGoing<T> {
        KeepGoing(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for KeepGoing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that what panics here is not polled again when this is dropped.
        let mut work = self.0.take().expect("not polled after it was ready");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for KeepGoing<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}
