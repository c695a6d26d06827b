//! Group commit: a bounded queue in front of one writer, which takes whatever is waiting as one batch.
//!
//! While one batch flushes the next one gathers. A full queue refuses at once; nothing is buffered without bound.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::append::{Append, AppendOutcome};
use crate::store::AppendError;

/// The bounds of a batch and of the queue before it.
#[derive(Clone, Copy, Debug)]
pub struct GroupCommitLimits {
    /// Appends of one batch.
    pub batch_appends_max: usize,
    /// Bytes of one batch.
    pub batch_bytes_max: usize,
    /// Appends that may wait.
    pub queue_appends_max: usize,
    /// Bytes that may wait.
    pub queue_bytes_max: usize,
}

impl Default for GroupCommitLimits {
    fn default() -> Self {
        GroupCommitLimits {
            batch_appends_max: 1_000,
            batch_bytes_max: 4 << 20,
            queue_appends_max: 8_192,
            queue_bytes_max: 32 << 20,
        }
    }
}

/// An append that waits for its batch, and where its answer goes.
#[derive(Debug)]
pub struct Pending {
    /// What is asked.
    pub append: Append,
    /// Where to answer. Dropping it without an answer says "unknown" to the caller.
    pub answer: oneshot::Sender<Result<AppendOutcome, AppendError>>,
}

/// What the writer found when it looked.
#[derive(Debug)]
pub enum Taken {
    /// Something to do.
    Batch(Vec<Pending>),
    /// Nothing came in time.
    Idle,
    /// The queue was closed and everything in it was taken.
    Closed,
}

/// The queue between many appenders and one writer.
#[derive(Debug, Default)]
pub struct GroupCommit {
    limits: GroupCommitLimits,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Pending>,
    bytes: usize,
    woken: bool,
    closed: bool,
}

impl GroupCommit {
    /// An empty queue.
    pub fn new(limits: GroupCommitLimits) -> GroupCommit {
        GroupCommit { limits, ..GroupCommit::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an append into the queue and waits for its answer.
    ///
    /// # Errors
    /// [`AppendError::Overloaded`] where the queue is full or closing: nothing was stored. [`AppendError::Unknown`] where
    /// the writer went away with the append in hand.
    pub async fn append(&self, append: Append) -> Result<AppendOutcome, AppendError> {
        let answer = self.submit(append)?;
        answer.await.unwrap_or_else(|_| {
            Err(AppendError::Unknown { reason: "the writer stopped before it answered".to_owned() })
        })
    }

    fn submit(&self, append: Append) -> Result<oneshot::Receiver<Result<AppendOutcome, AppendError>>, AppendError> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.state();
        if state.closed {
            return Err(AppendError::ShuttingDown);
        }
        if state.waiting.len() >= self.limits.queue_appends_max
            || (!state.waiting.is_empty() && state.bytes + append.bytes() > self.limits.queue_bytes_max)
        {
            return Err(AppendError::Overloaded { retry_after: Duration::from_millis(100) });
        }
        state.bytes += append.bytes();
        state.waiting.push_back(Pending { append, answer });
        let was_empty = state.waiting.len() == 1;
        drop(state);
        if was_empty {
            self.arrived.notify_one();
        }
        Ok(receiver)
    }

    /// How many appends wait, for metrics.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Takes the next batch; waits for it up to `patience`. Blocks the calling thread.
    pub fn take(&self, patience: Duration) -> Taken {
        let mut state = self.state();
        if state.waiting.is_empty() && !state.closed && !patience.is_zero() {
            state = self
                .arrived
                .wait_timeout_while(state, patience, |state| state.waiting.is_empty() && !state.woken && !state.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.woken = false;
        if state.waiting.is_empty() {
            return if state.closed { Taken::Closed } else { Taken::Idle };
        }
        let mut batch = Vec::with_capacity(state.waiting.len().min(self.limits.batch_appends_max));
        let mut bytes = 0;
        while batch.len() < self.limits.batch_appends_max
            && let Some(next) = state.waiting.front()
            && (batch.is_empty() || bytes + next.append.bytes() <= self.limits.batch_bytes_max)
        {
            bytes += next.append.bytes();
            batch.extend(state.waiting.pop_front());
        }
        state.bytes -= bytes;
        Taken::Batch(batch)
    }

    /// Lets a waiting writer look up: [`GroupCommit::take`] answers "idle" at once, now or the next time.
    pub fn wake(&self) {
        self.state().woken = true;
        self.arrived.notify_all();
    }

    /// Refuses further appends; what waits is still taken.
    pub fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }
}
