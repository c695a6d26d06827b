//! Appends in order, many on their way at once.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use pacioli_client::{Appender, Submitted};
use pacioli_core::{AppendError, AppendOutcome, AppendRequest, EventStore, InvalidAppend};

use crate::failure::Failure;
use crate::target::Target;

/// Bytes on their way at most: far below what a store's queue holds, so that it never refuses one in the middle.
const BYTES_MAX: usize = 8 << 20;

/// Sends appends in order and gives their answers in order.
///
/// A stream's events keep their order, because the store takes appends in the order in which they come. Events bring
/// their ids along, so whatever has to be sent again is stored once.
pub(crate) struct Pipeline {
    lane: Lane,
    in_flight_max: usize,
    /// The number and size of each append that waits for its answer, oldest first.
    waiting: VecDeque<(u64, usize)>,
    bytes: usize,
}

enum Lane {
    /// The client's own pipeline: it sends what was not answered again, in order, for 30 s without an answer.
    Server { appender: Appender, answers: FuturesOrdered<Submitted> },
    /// A queue takes appends in the order in which their futures are first polled, which is that of the pushes.
    InProcess {
        store: Arc<dyn EventStore>,
        answers: FuturesOrdered<BoxFuture<'static, Result<AppendOutcome, AppendError>>>,
    },
}

/// What became of an append.
pub(crate) struct Answer {
    /// The number it was sent with.
    pub(crate) number: u64,
    pub(crate) result: Result<AppendOutcome, Unanswered>,
}

/// Why there is no outcome.
pub(crate) enum Unanswered {
    /// This append is malformed; the others are not touched by it.
    Invalid(InvalidAppend),
    /// The store failed or stays away.
    Failed(Failure),
}

impl Pipeline {
    /// A pipeline of so many appends at most.
    pub(crate) fn new(target: &Target, in_flight_max: usize) -> Pipeline {
        let lane = match target {
            Target::Server(client) => {
                Lane::Server { appender: client.appender(in_flight_max), answers: FuturesOrdered::new() }
            }
            Target::InProcess(opened) => {
                Lane::InProcess { store: Arc::clone(&opened.store), answers: FuturesOrdered::new() }
            }
        };
        Pipeline { lane, in_flight_max, waiting: VecDeque::new(), bytes: 0 }
    }

    /// Whether another append may be sent before an answer is taken.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < self.in_flight_max && self.bytes < BYTES_MAX
    }

    /// Whether no answer is missing.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends an append; its answer will carry `number`.
    pub(crate) async fn send(&mut self, number: u64, request: AppendRequest) {
        let bytes = request.writes.iter().flat_map(|write| &write.events).map(|event| event.len() + 256).sum();
        match &mut self.lane {
            Lane::Server { appender, answers } => answers.push_back(appender.submit(request).await),
            Lane::InProcess { store, answers } => {
                let store = Arc::clone(store);
                answers.push_back(Box::pin(async move { store.append(request).await }));
            }
        }
        self.waiting.push_back((number, bytes));
        self.bytes += bytes;
    }

    /// The next answer, in the order of sending. There must be one missing. Dropping the call loses nothing.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Failure> {
        let result = match &mut self.lane {
            Lane::Server { answers, .. } => answers.next().await,
            Lane::InProcess { answers, .. } => answers.next().await,
        };
        let answered = result.zip(self.waiting.pop_front());
        let Some((result, (number, bytes))) = answered else {
            return Err(Failure::failed("the store gave an answer that nobody waits for"));
        };
        self.bytes -= bytes;
        let result = result.map_err(|error| match error {
            AppendError::Invalid(invalid) => Unanswered::Invalid(invalid),
            // Waiting does not help who lacks a role.
            error @ AppendError::Denied { .. } => Unanswered::Failed(Failure::from(error)),
            error => Unanswered::Failed(
                Failure::from(error)
                    .hint("Start it again when the store is back: what is stored already is recognised."),
            ),
        });
        Ok(Answer { number, result })
    }
}
