//! A batch with projections: each append is decided, shown to the projections, and accepted or refused, before the next one
//! is decided.

use std::collections::HashMap;

use pacioli_core::append::Refusal;
use pacioli_core::decide::{Batch, Facts};
use pacioli_core::place::Checkpoint;
use pacioli_core::store::{AppendError, StoreError};
use pacioli_core::{Append, AppendOutcome, Timestamp};

use super::RunError;
use crate::facts::Touched;
use crate::writer::{Answer, Failure, Writer};

/// How often a build that somebody else moves is brought to the head for one batch.
const MOVED_MAX: usize = 3;

/// A batch that was decided. Where it has events, its transaction is open and the projections have taken them.
pub(in crate::writer) struct Decided {
    pub(in crate::writer) batch: Batch,
    pub(in crate::writer) touched: Touched,
    pub(in crate::writer) answers: Vec<Answer>,
}

/// Why a batch has to be tried again, or cannot be.
enum Broken {
    /// A projection refused the append with this index and took the whole transaction with it.
    Transaction(usize, Refusal),
    /// The projections could not go on.
    Run(RunError),
    /// The transaction did not begin or could not be given up.
    Failed(Failure),
}

/// What keeps a projection from taking an append.
enum Objection {
    Unavailable(StoreError),
    Refused(Refusal),
    Run(RunError),
}

impl Writer {
    /// Decides a batch and runs the projections on what is accepted. It is done again where a projection's own `ROLLBACK`
    /// took the whole transaction with it, without the append that it refused; and without a projection whose file is found
    /// damaged.
    pub(in crate::writer) fn decide_with_projections(
        &mut self,
        appends: &[Append],
        heads: &Checkpoint,
        facts: Facts,
        touched: Touched,
        recorded_at: Timestamp,
    ) -> std::result::Result<Decided, Failure> {
        self.take_those_behind_to_head(self.shared.clock.now());
        let due_blocks = self.work.blocks;
        let mut refused = HashMap::new();
        let mut moved = 0;
        let mut fetched = Some((facts, touched));
        loop {
            let (facts, touched) = match fetched.take() {
                Some(fetched) => fetched,
                None => self.fetch(appends, heads)?,
            };
            let mut batch = Batch::new(facts, heads.clone(), recorded_at);
            match self.try_batch(appends, heads, &mut batch, &refused) {
                Ok(answers) => return Ok(Decided { batch, touched, answers }),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Run(RunError::Storage(error))) => return Err(self.roll_back(error)),
                Err(Broken::Transaction(index, refusal)) => {
                    self.abandon()?;
                    let known = refused.insert(index, refusal);
                    assert!(known.is_none(), "an append that was refused is not run again");
                }
                Err(Broken::Run(RunError::Broken(projection, error))) => {
                    self.abandon()?;
                    self.was_broken(projection, error);
                }
                Err(Broken::Run(RunError::Moved(projection))) => {
                    self.abandon()?;
                    moved += 1;
                    self.was_moved(projection, moved >= MOVED_MAX);
                }
                Err(Broken::Run(RunError::Refused(_))) => unreachable!("a refusal is the outcome of its append"),
            }
            // What was rolled back of the index work is still due.
            self.work.blocks = due_blocks;
        }
    }

    fn try_batch(
        &mut self,
        appends: &[Append],
        heads: &Checkpoint,
        batch: &mut Batch,
        refused: &HashMap<usize, Refusal>,
    ) -> std::result::Result<Vec<Answer>, Broken> {
        self.begin_with_index_work().map_err(Broken::Failed)?;
        let mut answers = Vec::with_capacity(appends.len());
        let mut running = self.projections.running(&self.conn);
        for (index, append) in appends.iter().enumerate() {
            let decided = batch.decide_unless(append.clone(), |events| {
                if let Some(why) = self.projections.unavailable(events) {
                    return Err(Objection::Unavailable(why));
                }
                match refused.get(&index) {
                    Some(refusal) => Err(Objection::Refused(refusal.clone())),
                    None => running.append(events).map_err(|error| match error {
                        RunError::Refused(refusal) => Objection::Refused(refusal),
                        error => Objection::Run(error),
                    }),
                }
            });
            answers.push(match decided {
                Ok(outcome) => Ok(outcome),
                Err(Objection::Unavailable(why)) => Err(AppendError::Store(why)),
                Err(Objection::Refused(refusal)) if self.conn.is_autocommit() => {
                    return Err(Broken::Transaction(index, refusal));
                }
                Err(Objection::Refused(refusal)) => Ok(AppendOutcome::Refused(refusal)),
                Err(Objection::Run(error)) => return Err(Broken::Run(error)),
            });
        }
        if batch.events().is_empty() {
            drop(running);
            self.abandon().map_err(Broken::Failed)?;
            return Ok(answers);
        }
        running.finish(heads, batch.heads()).map_err(Broken::Run)?;
        Ok(answers)
    }

    /// Gives a transaction up that no error of the storage broke.
    fn abandon(&mut self) -> std::result::Result<(), Failure> {
        self.forget_index_work();
        if !self.conn.is_autocommit() {
            self.conn.execute_batch(sql!("rollback")).map_err(|error| Failure::Unknown(error.into()))?;
        }
        Ok(())
    }
}
