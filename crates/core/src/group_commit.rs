//! Group commit: a bounded queue in front of one writer, which takes whatever is waiting as one batch.
//!
//! While one batch flushes the next one gathers. A full queue refuses at once; nothing is buffered without bound.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

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

type Answer = Result<AppendOutcome, AppendError>;

fn answered(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    answer.unwrap_or_else(|_| Err(AppendError::Unknown { reason: "the writer stopped before it answered".to_owned() }))
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
    /// Rings for a writer that is a thread.
    arrived: Condvar,
    /// Rings for a writer that is a task.
    rung: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Each under its number.
    waiting: VecDeque<(u64, Pending)>,
    /// How many were put here, ever.
    submitted: u64,
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
    /// [`AppendError::Overloaded`] where the queue is full and [`AppendError::ShuttingDown`] where it is closed: nothing was
    /// stored. [`AppendError::Unknown`] where the writer went away with the append in hand.
    pub async fn append(&self, append: Append) -> Result<AppendOutcome, AppendError> {
        answered(self.submit(append)?.1.await)
    }

    /// The same, for as long as `patience` lasts. An append that nobody took by then is withdrawn.
    ///
    /// # Errors
    /// Those of [`GroupCommit::append`]; what `withdrawn` says where nothing was stored, and [`AppendError::Unknown`] where
    /// the writer has the append in hand.
    pub async fn append_within(
        &self,
        append: Append,
        patience: impl Future<Output = ()>,
        withdrawn: impl FnOnce() -> AppendError,
    ) -> Result<AppendOutcome, AppendError> {
        let (number, mut receiver) = self.submit(append)?;
        tokio::select! {
            biased;
            answer = &mut receiver => return answered(answer),
            () = patience => {}
        }
        if self.withdraw(number) {
            return Err(withdrawn());
        }
        Err(AppendError::Unknown { reason: "there was no answer in time".to_owned() })
    }

    /// Takes an append out of the queue; false where it was taken already.
    fn withdraw(&self, number: u64) -> bool {
        let mut state = self.state();
        // They wait in the order of their numbers.
        let Ok(index) = state.waiting.binary_search_by_key(&number, |(number, _)| *number) else { return false };
        let Some((_, pending)) = state.waiting.remove(index) else { return false };
        state.bytes -= pending.append.bytes();
        true
    }

    fn submit(&self, append: Append) -> Result<(u64, oneshot::Receiver<Answer>), AppendError> {
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
        let number = state.submitted;
        state.submitted += 1;
        state.waiting.push_back((number, Pending { append, answer }));
        let was_empty = state.waiting.len() == 1;
        drop(state);
        if was_empty {
            self.ring();
        }
        Ok((number, receiver))
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
        self.take_waiting(&mut state)
    }

    /// Takes the next batch; waits for it as long as it takes. The same as [`GroupCommit::take`] for a writer that is a task.
    pub async fn next(&self) -> Taken {
        loop {
            {
                let mut state = self.state();
                if state.woken || state.closed || !state.waiting.is_empty() {
                    return self.take_waiting(&mut state);
                }
            }
            // A ring between the look above and here is kept by the bell.
            self.rung.notified().await;
        }
    }

    fn take_waiting(&self, state: &mut State) -> Taken {
        state.woken = false;
        if state.waiting.is_empty() {
            return if state.closed { Taken::Closed } else { Taken::Idle };
        }
        let mut batch = Vec::with_capacity(state.waiting.len().min(self.limits.batch_appends_max));
        let mut bytes = 0;
        while batch.len() < self.limits.batch_appends_max
            && let Some((_, next)) = state.waiting.front()
            && (batch.is_empty() || bytes + next.append.bytes() <= self.limits.batch_bytes_max)
        {
            bytes += next.append.bytes();
            batch.extend(state.waiting.pop_front().map(|(_, pending)| pending));
        }
        state.bytes -= bytes;
        Taken::Batch(batch)
    }

    /// Lets a waiting writer look up: [`GroupCommit::take`] answers "idle" at once, now or the next time.
    pub fn wake(&self) {
        self.state().woken = true;
        self.ring();
    }

    /// Refuses further appends; what waits is still taken.
    pub fn close(&self) {
        self.state().closed = true;
        self.ring();
    }

    fn ring(&self) {
        self.arrived.notify_one();
        self.rung.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::*;
    use crate::append::{Conflict, ExpectedVersion};
    use crate::event::{EventId, NewEvent, Payload, Timestamp};
    use crate::limits::Limits;
    use crate::names::{EventType, StreamName};
    use crate::place::{Partition, Place, Position};

    const LIMITS: GroupCommitLimits = GroupCommitLimits {
        batch_appends_max: 3,
        batch_bytes_max: 2_000,
        queue_appends_max: 5,
        queue_bytes_max: 6_000,
    };

    /// An append of one event that counts for so many bytes.
    fn append(bytes: usize) -> Append {
        let event = NewEvent::json(EventId(uuid::Uuid::from_u128(1)), EventType::new("E").unwrap(), "{}");
        let checked = |bytes: usize| {
            let event = NewEvent { data: Payload::Binary(vec![0; bytes].into()), ..event.clone() };
            Append::to(StreamName::new("a-1").unwrap(), ExpectedVersion::Any, vec![event])
                .check(&Limits::default(), Timestamp::default(), 1)
                .unwrap()
        };
        let overhead = checked(0).bytes();
        let append = checked(bytes - overhead);
        assert_eq!(append.bytes(), bytes);
        append
    }

    fn outcome(position: u64) -> AppendOutcome {
        let matched = Place { partition: Partition::ZERO, position: Position(position) };
        AppendOutcome::Conflict(Conflict::Condition { matched })
    }

    fn batch(taken: Taken) -> Vec<Pending> {
        match taken {
            Taken::Batch(batch) => batch,
            other => panic!("expected a batch, got {other:?}"),
        }
    }

    #[test]
    fn a_batch_is_bounded_by_appends_and_by_bytes() {
        let sizes = |queue: &GroupCommit| -> Vec<usize> {
            batch(queue.take(Duration::ZERO)).iter().map(|pending| pending.append.bytes()).collect()
        };
        let queue = GroupCommit::new(LIMITS);
        for bytes in [300, 301, 302, 303] {
            drop(queue.submit(append(bytes)));
        }
        assert_eq!(sizes(&queue), [300, 301, 302], "three appends, in the order in which they came");
        assert_eq!(queue.waiting(), 1);
        assert_eq!(sizes(&queue), [303]);
        for bytes in [1_000, 1_000, 300] {
            drop(queue.submit(append(bytes)));
        }
        assert_eq!(sizes(&queue), [1_000, 1_000], "2,000 bytes and not one more");
        drop(queue.submit(append(5_000)));
        assert_eq!(sizes(&queue), [300]);
        assert_eq!(sizes(&queue), [5_000], "an append larger than a batch is a batch of its own");
        assert!(matches!(queue.take(Duration::ZERO), Taken::Idle));
        assert_eq!(queue.state().bytes, 0, "what was taken does not wait any more");
    }

    #[test]
    fn a_full_queue_refuses_and_takes_again_once_there_is_room() {
        let refused = |queue: &GroupCommit, bytes| match queue.append(append(bytes)).now_or_never() {
            Some(Err(AppendError::Overloaded { retry_after })) => !retry_after.is_zero(),
            None => false,
            other => panic!("expected to wait or to be refused, got {other:?}"),
        };
        let by_count = GroupCommit::new(LIMITS);
        let waiting: Vec<_> = (0..5).map(|_| by_count.submit(append(300)).unwrap()).collect();
        assert!(refused(&by_count, 300), "a sixth append");
        assert_eq!(by_count.waiting(), waiting.len(), "what was refused does not wait");
        batch(by_count.take(Duration::ZERO));
        assert!(!refused(&by_count, 300), "there is room again");

        let by_bytes = GroupCommit::new(LIMITS);
        drop(by_bytes.submit(append(4_000)));
        assert!(refused(&by_bytes, 2_001));
        assert!(!refused(&by_bytes, 2_000), "6,000 bytes and not one more");
        let alone = GroupCommit::new(LIMITS);
        assert!(!refused(&alone, 7_000), "an append larger than the queue is taken when nothing else waits");
    }

    #[tokio::test]
    async fn each_append_gets_its_own_answer() {
        let queue = GroupCommit::new(LIMITS);
        let writer = async {
            tokio::task::yield_now().await;
            for (number, pending) in batch(queue.take(Duration::ZERO)).into_iter().enumerate() {
                pending.answer.send(Ok(outcome(number as u64))).unwrap();
            }
        };
        let (first, second, ()) = tokio::join!(queue.append(append(300)), queue.append(append(300)), writer);
        assert_eq!((first.unwrap(), second.unwrap()), (outcome(0), outcome(1)));
    }

    #[tokio::test]
    async fn an_answer_that_was_dropped_is_an_unknown_outcome() {
        let queue = GroupCommit::new(LIMITS);
        let writer = async {
            tokio::task::yield_now().await;
            drop(batch(queue.take(Duration::ZERO)));
        };
        let (answer, ()) = tokio::join!(queue.append(append(300)), writer);
        assert!(matches!(answer, Err(AppendError::Unknown { .. })), "{answer:?}");
    }

    #[tokio::test]
    async fn an_append_that_nobody_takes_in_time_is_withdrawn() {
        let queue = GroupCommit::new(LIMITS);
        let late = || AppendError::ShuttingDown;
        let (first, mut third) =
            (queue.append_within(append(300), async {}, late), Box::pin(queue.append(append(302))));
        let second = queue.append_within(append(301), std::future::pending(), late);
        assert!(matches!(first.now_or_never(), Some(Err(AppendError::ShuttingDown))));
        let mut second = Box::pin(second);
        assert!(futures::poll!(&mut second).is_pending() && futures::poll!(&mut third).is_pending());
        assert_eq!(queue.waiting(), 2, "what was withdrawn does not wait");
        let taken = async {
            let taken = batch(queue.take(Duration::ZERO));
            assert_eq!(queue.state().bytes, 0);
            taken
        };
        let (answer, taken) =
            tokio::join!(queue.append_within(append(303), async { tokio::task::yield_now().await }, late), taken);
        assert!(matches!(answer, Err(AppendError::Unknown { .. })), "a writer has it: {answer:?}");
        assert_eq!(taken.iter().map(|pending| pending.append.bytes()).collect::<Vec<_>>(), [301, 302, 303]);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_nothing_new() {
        let queue = GroupCommit::new(LIMITS);
        drop(queue.submit(append(300)));
        queue.close();
        let refused = queue.append(append(300)).now_or_never();
        assert!(matches!(refused, Some(Err(AppendError::ShuttingDown))), "{refused:?}");
        assert_eq!(batch(queue.take(Duration::from_secs(60))).len(), 1, "what waited is still taken");
        assert!(matches!(queue.take(Duration::from_secs(60)), Taken::Closed), "and then it says so at once");
    }

    #[tokio::test]
    async fn a_writing_task_wakes_for_an_append_a_wake_and_a_close() {
        let queue = GroupCommit::new(LIMITS);
        assert!(queue.next().now_or_never().is_none(), "there is nothing yet");
        let (taken, ()) = tokio::join!(queue.next(), async { drop(queue.submit(append(300))) });
        assert_eq!(batch(taken).len(), 1);
        let (taken, ()) = tokio::join!(queue.next(), async { queue.wake() });
        assert!(matches!(taken, Taken::Idle));
        drop(queue.submit(append(300)));
        queue.close();
        assert_eq!(batch(queue.next().await).len(), 1, "what waited is still taken");
        assert!(matches!(queue.next().await, Taken::Closed));
    }

    #[test]
    fn a_writer_wakes_for_an_append_a_wake_and_a_close() {
        let queue = Arc::new(GroupCommit::new(LIMITS));
        let (took, takes) = std::sync::mpsc::channel();
        let writer = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                loop {
                    let taken = queue.take(Duration::from_secs(60));
                    let is_last = matches!(taken, Taken::Closed);
                    took.send(format!("{taken:?}")).unwrap();
                    if is_last {
                        return;
                    }
                }
            })
        };
        // Each would last a minute if nobody woke the writer.
        let next = || takes.recv_timeout(Duration::from_secs(30)).unwrap();
        drop(queue.submit(append(300)));
        assert!(next().starts_with("Batch"));
        queue.wake();
        assert_eq!(next(), "Idle");
        queue.close();
        assert_eq!(next(), "Closed");
        writer.join().unwrap();
    }
}
