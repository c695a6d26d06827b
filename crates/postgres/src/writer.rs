//! The writer: one task that takes what waits, and for each partition of it goes through one transaction.
//!
//! The life of a batch: lock the partition's head and fetch the facts (one flush), let `decide` decide, write the rows and
//! COMMIT (a second flush), publish to followers, answer each append by itself. A batch whose transaction broke off is
//! sent again: ids and keys tell what was stored.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use pacioli_core::decide::Batch;
use pacioli_core::group_commit::{Pending, Taken};
use pacioli_core::place::Checkpoint;
use pacioli_core::schemas::{self, Generation};
use pacioli_core::store::{AppendError, StoreError};
use pacioli_core::{Append, AppendOutcome, Appended, Partition, Position, Refusal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::connect::{Purpose, Session};
use crate::error::{Error, OfHandler, Result};
use crate::facts::{self, Found};
use crate::flush::{self, Rows};
use crate::maintenance;
use crate::shared::{Counters, Shared};

/// How long a writer waits at most before it tries again; the first time a hundredth of it.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// A transaction that is not over by then goes with its connection.
const ROLLBACK_PATIENCE: Duration = Duration::from_secs(1);

/// Appends of one batch that are left out one by one after a projection refused them; with more, the batch is halved.
const REFUSED_MAX: usize = 4;

type Answer = oneshot::Sender<std::result::Result<AppendOutcome, AppendError>>;

/// Runs a writer until its queue is closed and empty. One that meets what cannot be says so before it ends.
pub(crate) async fn run(shared: Arc<Shared>, number: usize) {
    let writer = Writer { shared: Arc::clone(&shared), number, session: None };
    if AssertUnwindSafe(writer.run()).catch_unwind().await.is_err() {
        let reason = "the store stopped taking appends: a check inside the writer failed, see the log; restart it";
        tracing::error!(reason);
        let _ = shared.stopped.set(reason.to_owned());
        // Nobody takes what waits any more: who waits is told by dropping it.
        shared.queues[number].close();
        while let Taken::Batch(left) = shared.queues[number].take(Duration::ZERO) {
            drop(left);
        }
    }
}

/// Waits for what a database does, until the deadline: a socket whose other end has stalled never ends a wait.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout_at(deadline, work).await.unwrap_or(Err(Error::Late))
}

/// One writer and its connection.
struct Writer {
    shared: Arc<Shared>,
    /// Which of the queues is its own.
    number: usize,
    session: Option<Session>,
}

/// Why a batch has no outcome yet.
enum Failure {
    /// It is certain that nothing was stored.
    NotStored(Error),
    /// The connection broke with COMMIT on its way. What was decided is told only if it turns out to be stored.
    Unknown(Error, Vec<AppendOutcome>),
    /// A projection refused an event, and nothing was stored: which of the appends it is of, where that is known.
    Refused(Option<usize>, Refusal),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::NotStored(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure::NotStored(error.into())
    }
}

impl Writer {
    async fn run(mut self) {
        loop {
            match self.shared.queues[self.number].next().await {
                Taken::Batch(pending) => self.answer(pending).await,
                Taken::Idle => {}
                Taken::Closed => return,
            }
        }
    }

    async fn answer(&mut self, pending: Vec<Pending>) {
        let mut partitions: BTreeMap<Partition, (Vec<Append>, Vec<Answer>)> = BTreeMap::new();
        for Pending { append, answer } in pending {
            let (appends, answers) = partitions.entry(append.partition()).or_default();
            appends.push(append);
            answers.push(answer);
        }
        for (partition, (appends, answers)) in partitions {
            if let Some(reason) = self.shared.stopped.get() {
                for answer in answers {
                    let _ = answer.send(Err(AppendError::Store(StoreError::new(reason.clone()))));
                }
                continue;
            }
            let deadline = Instant::now() + self.shared.answer_within;
            self.answer_partition(partition, appends, answers, deadline).await;
        }
    }

    /// Goes on until the batch has an outcome, or until nobody waits for it any more. An append that a projection refuses is
    /// left out and told so once the others have theirs: what it was refused for may lie in one of them. Returns whether it
    /// came to an outcome.
    fn answer_partition(
        &mut self,
        partition: Partition,
        appends: Vec<Append>,
        answers: Vec<Answer>,
        deadline: Instant,
    ) -> BoxFuture<'_, bool> {
        async move {
            let mut refused = Vec::new();
            let is_settled = self.settle_partition(partition, appends, answers, deadline, &mut refused).await;
            for (answer, refusal) in refused {
                let _ = answer.send(match is_settled {
                    true => Ok(AppendOutcome::Refused(refusal)),
                    false => Err(AppendError::Store(StoreError::new(format!(
                        "nothing was stored: the batch it was in has no outcome, send it again ({refusal})"
                    )))),
                });
            }
            is_settled
        }
        .boxed()
    }

    fn settle_partition<'w>(
        &'w mut self,
        partition: Partition,
        appends: Vec<Append>,
        answers: Vec<Answer>,
        deadline: Instant,
        refused: &'w mut Vec<(Answer, Refusal)>,
    ) -> BoxFuture<'w, bool> {
        async move {
            let (mut appends, mut answers) = (appends, answers);
            // What was decided by a transaction whose end is not known.
            let mut decided: Option<Vec<AppendOutcome>> = None;
            let mut attempts: u32 = 0;
            // That there was no time left says less than what took the time.
            let mut last = None;
            loop {
                if decided.is_none() {
                    leave_out_unheard(&mut appends, &mut answers);
                }
                match self.attempt(partition, &mut appends, &mut answers, &mut decided, deadline).await {
                    Ok(outcomes) => {
                        let outcomes = settle(outcomes, decided);
                        // A caller that went away meanwhile does not hear its answer; its retry will.
                        for (answer, outcome) in answers.into_iter().zip(outcomes) {
                            let _ = answer.send(Ok(outcome));
                        }
                        return true;
                    }
                    Err(Failure::Refused(index, refusal)) => {
                        let index = index.or((appends.len() == 1).then_some(0));
                        let Some(index) = index.filter(|_| refused.len() < REFUSED_MAX || appends.len() == 1) else {
                            // Many of them, or nobody knows which: each half has fewer.
                            return self.answer_in_halves(partition, appends, answers, deadline).await;
                        };
                        appends.remove(index);
                        refused.push((answers.remove(index), refusal));
                        // Nothing of the batch was stored, whatever became of an earlier try.
                        decided = None;
                        if appends.is_empty() {
                            return true;
                        }
                        continue;
                    }
                    Err(Failure::Unknown(error, outcomes)) => {
                        tracing::warn!(%error, appends = appends.len(), "the end of a batch is not known; it is sent again");
                        Counters::add(&self.shared.counters.unknown_outcomes);
                        self.session = None;
                        decided = Some(settle(outcomes, decided));
                    }
                    Err(Failure::NotStored(error @ Error::Broken(_))) => {
                        self.session = None;
                        tracing::error!(%error, "the store takes no more appends");
                        // The first reason is the one to act on.
                        let _ = self.shared.stopped.set(error.to_string());
                        answer_failure(error, true, answers);
                        return false;
                    }
                    Err(Failure::NotStored(error)) => {
                        if error.ends_connection() {
                            self.session = None;
                        }
                        let events = appends.iter().map(Append::events).sum();
                        if error.lacks_partition() && self.make_room(events, deadline).await {
                            continue;
                        }
                        if !error.is_passing() && !error.lacks_partition() {
                            if appends.len() > 1 && decided.is_none() && error.is_of_one_append() {
                                return self.answer_in_halves(partition, appends, answers, deadline).await;
                            }
                            answer_failure(error, decided.is_some(), answers);
                            return false;
                        }
                        tracing::debug!(%error, "a batch was not stored; it is sent again");
                        last = if matches!(error, Error::Late) { last.or(Some(error)) } else { Some(error) };
                    }
                }
                if appends.is_empty() {
                    return true;
                }
                if Instant::now() >= deadline {
                    answer_failure(last.unwrap_or(Error::Late), decided.is_some(), answers);
                    return false;
                }
                Counters::add(&self.shared.counters.batches_retried);
                let pause = RETRY_PAUSE_MAX.min(Duration::from_millis(5) * 2_u32.saturating_pow(attempts));
                attempts += 1;
                tokio::time::sleep(pause).await;
            }
        }
        .boxed()
    }

    /// Something in one of them failed the whole batch. That is its trouble and not the others'.
    async fn answer_in_halves(
        &mut self,
        partition: Partition,
        mut appends: Vec<Append>,
        mut answers: Vec<Answer>,
        deadline: Instant,
    ) -> bool {
        let half = appends.len() / 2;
        let (late_appends, late_answers) = (appends.split_off(half), answers.split_off(half));
        let is_settled = self.answer_partition(partition, appends, answers, deadline).await;
        self.answer_partition(partition, late_appends, late_answers, deadline).await && is_settled
    }

    /// Makes the chunk or period that the log ran into, in time; false where that is not allowed.
    async fn make_room(&mut self, events: usize, deadline: Instant) -> bool {
        match in_time(deadline, maintenance::make_ahead(&self.shared, events)).await {
            Ok(made) => {
                tracing::warn!(made, "the log reached the end of its chunks; more were made");
                made > 0
            }
            Err(error) => {
                tracing::error!(%error, "the log reached the end of its chunks, and no more could be made: run `pacioli maintain`");
                false
            }
        }
    }

    /// One transaction. `appends` and `answers` lose those that ask for what the log never had.
    async fn attempt(
        &mut self,
        partition: Partition,
        appends: &mut Vec<Append>,
        answers: &mut Vec<Answer>,
        decided: &mut Option<Vec<AppendOutcome>>,
        deadline: Instant,
    ) -> std::result::Result<Vec<AppendOutcome>, Failure> {
        let shared = Arc::clone(&self.shared);
        // A connection of before a failover leads to the old primary.
        if self.session.as_ref().is_none_or(|session| session.is_closed() || !shared.leads_to(session)) {
            self.session = None;
            let session = in_time(deadline, shared.connect(Purpose::Append)).await?;
            Counters::add(&shared.counters.reconnects);
            self.session = Some(session);
        }
        let Some(session) = &self.session else { return Err(Error::Unreachable("no connection".to_owned()).into()) };
        in_time(deadline, refuse_wrong_checkpoints(&shared, session, appends, answers, decided)).await?;
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        session.was_warned();
        match write(&shared, session, partition, appends, deadline).await {
            Ok(outcomes) => Ok(outcomes),
            Err(failure) => {
                // The connection is of use again once the transaction is over; where it is broken, it is left behind.
                let rollback = async { Ok(session.batch_execute("ROLLBACK").await?) };
                if matches!(&failure, Failure::NotStored(error) if !error.ends_connection())
                    && in_time(Instant::now() + ROLLBACK_PATIENCE, rollback).await.is_err()
                {
                    self.session = None;
                }
                Err(failure)
            }
        }
    }
}

/// An append is stored, as was decided at first, if a later look found it there.
fn settle(later: Vec<AppendOutcome>, first: Option<Vec<AppendOutcome>>) -> Vec<AppendOutcome> {
    let Some(first) = first else { return later };
    assert_eq!(later.len(), first.len(), "what was decided is of these appends");
    let settled = later.into_iter().zip(first).map(|pair| match pair {
        (AppendOutcome::Appended(later), AppendOutcome::Appended(first))
            if later.duplicate && later.first_position == first.first_position && later.streams == first.streams =>
        {
            // The checkpoint is of today's epoch.
            AppendOutcome::Appended(Appended { duplicate: first.duplicate, ..later })
        }
        (later, _) => later,
    });
    settled.collect()
}

/// Takes out those that nobody waits for any more: whoever sent them was told that the outcome is unknown.
fn leave_out_unheard(appends: &mut Vec<Append>, answers: &mut Vec<Answer>) {
    if answers.iter().any(Answer::is_closed) {
        let heard = std::mem::take(appends).into_iter().zip(std::mem::take(answers));
        (*appends, *answers) = heard.filter(|(_, answer)| !answer.is_closed()).unzip();
    }
}

fn answer_failure(error: Error, may_be_stored: bool, answers: Vec<Answer>) {
    tracing::warn!(%error, appends = answers.len(), may_be_stored, "a batch has no outcome");
    let error = match error {
        error if may_be_stored => AppendError::Unknown { reason: error.to_string() },
        Error::Invalid(invalid) => invalid.into(),
        Error::Denied(reason) => AppendError::Denied { reason },
        error => AppendError::Store(error.into_store_error()),
    };
    for answer in answers {
        let _ = answer.send(Err(error.clone()));
    }
}

/// Answers those whose condition or tracking names a checkpoint that this log never had, and takes them out.
async fn refuse_wrong_checkpoints(
    shared: &Shared,
    session: &Session,
    appends: &mut Vec<Append>,
    answers: &mut Vec<Answer>,
    decided: &mut Option<Vec<AppendOutcome>>,
) -> Result<()> {
    let (epochs, heads) = (shared.epochs(), shared.recent.heads());
    if appends.iter().all(|append| append.check_checkpoints(&epochs, &heads).is_ok()) {
        return Ok(());
    }
    // Another writer may be ahead of what is known here.
    let epoch = shared.recent.epoch();
    shared.recent.observe(&crate::shared::read_heads(session, epoch).await?);
    let (epochs, heads) = (shared.epochs(), shared.recent.heads());
    let mut index = 0;
    while index < appends.len() {
        match appends[index].check_checkpoints(&epochs, &heads) {
            Ok(()) => index += 1,
            Err(invalid) => {
                appends.remove(index);
                if let Some(decided) = decided {
                    decided.remove(index);
                }
                let error = match decided {
                    // It may be stored all the same, in a partition that lost nothing.
                    Some(_) => AppendError::Unknown { reason: invalid.to_string() },
                    None => invalid.into(),
                };
                let _ = answers.remove(index).send(Err(error));
            }
        }
    }
    Ok(())
}

/// Holds appends that were judged under another generation of the registry against the one that is in force behind the lock.
async fn judge_again(shared: &Shared, session: &Session, generation: Generation, appends: &mut [Append]) -> Result<()> {
    let is_outdated = |append: &Append| append.generation() != generation;
    if !appends.iter().any(is_outdated) {
        return Ok(());
    }
    let gate = shared.gate.as_deref();
    if let Some(gate) = gate.filter(|gate| gate.generation() != generation) {
        // To read it takes a while, and nobody else shall wait for that.
        session.batch_execute("ROLLBACK").await?;
        Box::pin(shared.take_registry(session)).await?;
        if gate.generation() > generation && shared.leads_to(session) {
            return Err(Error::Broken(format!(
                "the store stopped taking appends: the registry of schemas is at generation {generation} and was at {} before; \
                 the database was set back, or crashed with fsync off: restart this process",
                gate.generation()
            )));
        }
        return Err(Error::Outdated);
    }
    for append in appends.iter_mut().filter(|append| is_outdated(append)) {
        let Some(gate) = gate else {
            return schemas::judge(None, generation, append).map_err(|error| Error::Denied(error.to_string()));
        };
        let judged = gate.judge(append.writes());
        if judged.generation != generation {
            // The lock is one of a database that is none any more, and the gate knows that of another already.
            return Err(Error::Outdated);
        }
        append.set_judged(judged);
    }
    Ok(())
}

async fn write(
    shared: &Shared,
    session: &Session,
    partition: Partition,
    appends: &mut [Append],
    deadline: Instant,
) -> std::result::Result<Vec<AppendOutcome>, Failure> {
    // 1. Lock and look.
    let known = shared.recent.heads();
    let Found { locked, facts, last_chunks } =
        in_time(deadline, facts::fetch(session, partition, appends, shared.clock.now(), &known).boxed()).await?;
    if locked.epoch != known.epoch() {
        let learn = async {
            session.batch_execute("ROLLBACK").await?;
            shared.learn_epochs(session).await
        };
        in_time(deadline, learn).await?;
        return Err(Error::Unreachable(format!("epoch {} began meanwhile", locked.epoch.0)).into());
    }
    in_time(deadline, judge_again(shared, session, locked.generation, appends)).await?;

    // 2. Decide.
    let stood = facts.tracking.clone();
    let mut heads = known;
    if locked.head > heads.position(partition) {
        heads.advance(partition, locked.head);
    }
    if locked.head < heads.position(partition) {
        return Err(Error::Broken(format!(
            "the store stopped taking appends: partition {partition} ends at {} and {} was seen there before; the database \
             was set back, or crashed with a transaction of synchronous_commit = off: restart this process, and then the \
             readers that are ahead",
            locked.head,
            heads.position(partition)
        ))
        .into());
    }
    let mut batch = Batch::new(facts, heads, locked.now);
    let outcomes: Vec<AppendOutcome> = appends.iter().map(|append| batch.decide(append.clone())).collect();
    if batch.events().is_empty() {
        // Whoever stored what is a duplicate now may have been cut off before a standby had it.
        let vouches = outcomes.iter().any(|outcome| matches!(outcome, AppendOutcome::Appended(_)));
        let end = async {
            if vouches {
                let mark = session.prepare_cached(sql!("emit_sync_mark")).await?;
                session.execute(&mark, &[]).await?;
                Ok(session.batch_execute("COMMIT").await?)
            } else {
                Ok(session.batch_execute("ROLLBACK").await?)
            }
        };
        return match in_time(deadline, end).await {
            Ok(()) if vouches && session.was_warned() => Err(Failure::Unknown(unvouched(), outcomes)),
            Ok(()) => Ok(outcomes),
            Err(error) if vouches => Err(Failure::Unknown(error, outcomes)),
            Err(error) => Err(Failure::NotStored(error)),
        };
    }

    // 3. Write and commit.
    let rows = Rows { partition, locked, batch: &batch, last_chunks: &last_chunks, stood: &stood };
    if let Err(error) = in_time(deadline, flush::insert(shared, session, rows).boxed()).await {
        // The database that goes down between COMMIT and its answer may say so, and mean either.
        return Err(if error.ends_connection() {
            Failure::Unknown(error, outcomes)
        } else if let Some(OfHandler { projection, place, reason }) = error.of_handler() {
            let index = place.and_then(|place| holder(&outcomes, place.position));
            Failure::Refused(index, Refusal::ByProjection { projection, reason })
        } else {
            Failure::NotStored(error)
        });
    }
    if session.was_warned() {
        // COMMIT warns where the wait for a standby was given up: it is on this disk, and perhaps on no other.
        return Err(Failure::Unknown(unvouched(), outcomes));
    }

    // 4. It is durable: tell the followers.
    if !shared.own_by_bus {
        if locked.head > shared.recent.head(partition) {
            let mut seen = Checkpoint::start(shared.partitions, locked.epoch);
            seen.advance(partition, locked.head);
            shared.recent.observe(&seen);
        }
        shared.recent.publish_in(locked.epoch, batch.events());
    }
    let last = batch.heads().position(partition);
    // Half of a chunk is time enough to make another.
    if shared.chunk_of(last) != shared.chunk_of(locked.head) || shared.counters.chunks_ahead.load(Ordering::Relaxed) < 2
    {
        shared.chores.notify_one();
    }
    Ok(outcomes)
}

/// The append that was to store the event at a position.
fn holder(outcomes: &[AppendOutcome], position: Position) -> Option<usize> {
    outcomes.iter().position(|outcome| match outcome {
        AppendOutcome::Appended(appended) => {
            !appended.duplicate && (appended.first_position..=appended.last_position).contains(&position)
        }
        AppendOutcome::Conflict(_) | AppendOutcome::Refused(_) => false,
    })
}

fn unvouched() -> Error {
    Error::Unreachable("PostgreSQL warned at COMMIT that a standby may not have it".to_owned())
}
