//! A batch with projections: all of it at once, and where a projection refuses an append, once more with a savepoint an
//! append, so that only that one is left out.

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
    /// A projection refused the append with this index, or could not go on at it.
    Run(usize, RunError),
    /// The transaction did not begin.
    Failed(Failure),
}

/// What keeps a projection from taking an append.
enum Objection {
    Unavailable(StoreError),
    Refused(Refusal),
    Run(RunError),
}

impl Writer {
    /// Decides a batch and runs the projections on what is accepted. At most two rounds, one more for each append at
    /// which a projection's own `ROLLBACK` takes the whole transaction with it, and one for each file that is found damaged.
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
            let tried = if refused.is_empty() {
                self.try_at_once(appends, heads, &mut batch)
            } else {
                self.try_one_by_one(appends, heads, &mut batch, &refused)
            };
            match tried {
                Ok(answers) => return Ok(Decided { batch, touched, answers }),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Run(_, RunError::Storage(error))) => return Err(self.roll_back(error)),
                Err(Broken::Run(index, RunError::Refused(refusal))) => {
                    self.abandon()?;
                    let known = refused.insert(index, refusal);
                    assert!(known.is_none(), "an append that was refused is not run again");
                }
                Err(Broken::Run(_, RunError::Broken(projection, error))) => {
                    self.abandon()?;
                    self.was_broken(projection, error);
                }
                Err(Broken::Run(_, RunError::Moved(projection))) => {
                    self.abandon()?;
                    moved += 1;
                    self.was_moved(projection, moved >= MOVED_MAX);
                }
            }
            // What was rolled back of the index work is still due.
            self.work.blocks = due_blocks;
        }
    }

    /// Decides all of them, then runs the projections on those that were accepted.
    fn try_at_once(
        &mut self,
        appends: &[Append],
        heads: &Checkpoint,
        batch: &mut Batch,
    ) -> std::result::Result<Vec<Answer>, Broken> {
        let mut decide = |append: &Append| {
            let objection = |events: &[_]| self.projections.unavailable(events).map_or(Ok(()), Err);
            batch.decide_unless(append.clone(), objection).map_err(AppendError::Store)
        };
        let answers: Vec<Answer> = appends.iter().map(&mut decide).collect();
        if batch.events().is_empty() {
            return Ok(answers);
        }
        self.begin_with_index_work().map_err(Broken::Failed)?;
        let mut running = self.projections.running(&self.conn);
        let mut events = batch.events();
        for (index, answer) in answers.iter().enumerate() {
            if let Ok(AppendOutcome::Appended(appended)) = answer
                && !appended.duplicate
            {
                let accepted = appended.last_position.0 - appended.first_position.0 + 1;
                let (of_this, others) = events.split_at(accepted as usize);
                running.append(of_this).map_err(|error| Broken::Run(index, error))?;
                events = others;
            }
        }
        assert!(events.is_empty(), "every event of a batch belongs to an append that was accepted");
        running.move_progress(heads, batch.heads()).map_err(|error| Broken::Run(appends.len(), error))?;
        Ok(answers)
    }

    /// Decides one after the other and runs the projections on each before the next is decided.
    fn try_one_by_one(
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
                    None => running.append_alone(events).map_err(|error| match error {
                        RunError::Refused(refusal) if !self.conn.is_autocommit() => Objection::Refused(refusal),
                        error => Objection::Run(error),
                    }),
                }
            });
            answers.push(match decided {
                Ok(outcome) => Ok(outcome),
                Err(Objection::Unavailable(why)) => Err(AppendError::Store(why)),
                Err(Objection::Refused(refusal)) => Ok(AppendOutcome::Refused(refusal)),
                Err(Objection::Run(error)) => return Err(Broken::Run(index, error)),
            });
        }
        if batch.events().is_empty() {
            drop(running);
            self.abandon().map_err(Broken::Failed)?;
            return Ok(answers);
        }
        running.move_progress(heads, batch.heads()).map_err(|error| Broken::Run(appends.len(), error))?;
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
