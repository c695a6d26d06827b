//! What clients asked and were answered while something broke, and the check of it against the log.
//!
//! Clients write down each request before they send it and each answer when they have it. At the end [`check`] trusts
//! nothing but the log itself.

mod check;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use uuid::Uuid;

pub use super::random::Random;
use crate::append::{AppendOutcome, AppendRequest};
use crate::store::AppendError;

pub use check::{Counts, LoggedEvent, check, read_whole_log};

/// An event as a client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentEvent {
    /// Its id.
    pub id: Uuid,
    /// Its stream.
    pub stream: String,
    /// Its data as text.
    pub data: String,
}

/// What a client writes down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// About to be sent, for the first time or again.
    Invoke {
        /// What is sent.
        events: Vec<SentEvent>,
    },
    /// Acknowledged.
    Ok {
        /// The position of its first event.
        first_position: u64,
        /// The position of its last event.
        last_position: u64,
        /// The version of the first event of each stream.
        first_versions: Vec<(String, u64)>,
        /// Whether it was stored before.
        duplicate: bool,
    },
    /// The store decided that it does not fit, so it is not stored: it would have known the ids.
    Fail,
    /// This try was never considered: the store was away, or had too much to do.
    NotConsidered,
    /// No answer, or one that says nobody knows.
    Info,
}

impl Phase {
    /// A request that is about to be sent.
    pub fn invoke(request: &AppendRequest) -> Phase {
        let events = request.writes.iter().flat_map(|write| write.events.iter().map(|event| (&write.stream, event)));
        let sent = events.map(|(stream, event)| SentEvent {
            id: event.id.0,
            stream: stream.to_string(),
            data: String::from_utf8_lossy(event.data.bytes()).into_owned(),
        });
        Phase::Invoke { events: sent.collect() }
    }

    /// What came of it.
    ///
    /// # Panics
    /// Where the answer makes no sense for a client that sends nothing wrong, and nothing under an id used before.
    pub fn answer(answer: &Result<AppendOutcome, AppendError>) -> Phase {
        match answer {
            Ok(AppendOutcome::Appended(appended)) => Phase::Ok {
                first_position: appended.first_position.0,
                last_position: appended.last_position.0,
                first_versions: appended.streams.iter().map(|s| (s.stream.to_string(), s.first_version.0)).collect(),
                duplicate: appended.duplicate,
            },
            Ok(AppendOutcome::Conflict(_)) => Phase::Fail,
            Ok(AppendOutcome::Refused(refusal)) => panic!("nothing was sent with other content: {refusal}"),
            Err(AppendError::Unknown { .. }) => Phase::Info,
            Err(AppendError::Overloaded { .. } | AppendError::ShuttingDown | AppendError::Store(_)) => {
                Phase::NotConsidered
            }
            Err(error) => panic!("nothing was sent that is wrong: {error}"),
        }
    }
}

/// What is known of one operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What was sent.
    pub events: Vec<SentEvent>,
    /// When it was sent first, in microseconds since the history began.
    pub invoked_at: u64,
    /// The last word on it.
    pub outcome: Outcome,
    /// How often it was sent.
    pub tries: u32,
    /// Whether a try got no answer.
    pub doubt: bool,
}

/// The last word on an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored.
    Acknowledged {
        /// When that was answered, in microseconds since the history began.
        at: u64,
        /// The position of its first event.
        first_position: u64,
        /// The position of its last event.
        last_position: u64,
        /// The version of the first event of each stream.
        first_versions: Vec<(String, u64)>,
        /// Whether the answer said that it had been stored before.
        duplicate: bool,
    },
    /// It is not stored.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// A history that many clients write, each operation under a number of its own.
#[derive(Debug)]
pub struct History {
    began: Instant,
    operations: Mutex<BTreeMap<u64, Operation>>,
}

impl Default for History {
    fn default() -> History {
        History { began: Instant::now(), operations: Mutex::default() }
    }
}

impl History {
    /// Writes a line.
    ///
    /// # Panics
    /// Where an answer has no request before it.
    pub fn write(&self, op: u64, phase: Phase) {
        // The time is taken under the lock, so that what is written later is later.
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.began.elapsed().as_micros() as u64;
        if let Phase::Invoke { events } = phase {
            let first = Operation { events, invoked_at: at, outcome: Outcome::Unknown, tries: 0, doubt: false };
            let operation = operations.entry(op).or_insert(first);
            operation.outcome = Outcome::Unknown;
            operation.tries += 1;
            return;
        }
        let operation = operations.get_mut(&op).expect("an answer follows a request");
        operation.outcome = match phase {
            Phase::Ok { first_position, last_position, first_versions, duplicate } => {
                Outcome::Acknowledged { at, first_position, last_position, first_versions, duplicate }
            }
            Phase::Fail => Outcome::Refused,
            // An earlier try without an answer may have stored it all the same.
            Phase::NotConsidered if !operation.doubt => Outcome::Refused,
            Phase::Info | Phase::NotConsidered | Phase::Invoke { .. } => Outcome::Unknown,
        };
        operation.doubt |= operation.outcome == Outcome::Unknown;
    }

    /// What is known of every operation now.
    pub fn operations(&self) -> BTreeMap<u64, Operation> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
