//! What the clients saw: written by them, before a request and after its answer, and read back by the checker.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An event as a client sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SentEvent {
    #[serde(with = "uuid_as_text")]
    pub(crate) id: Uuid,
    pub(crate) stream: String,
    pub(crate) data: String,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// About to be sent, for the first time or again.
    Invoke { events: Vec<SentEvent> },
    /// Acknowledged: positions, and the version of the first event of each stream.
    Ok { first_position: u64, last_position: u64, first_versions: Vec<(String, u64)>, duplicate: bool },
    /// The server decided that it does not fit, so it is not stored: it would have known the ids.
    Fail,
    /// This try was never considered: the server was away, or had too much to do.
    NotConsidered,
    /// No answer, or one that says nobody knows.
    Info,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) op: u64,
    /// Microseconds since the history began.
    pub(crate) at: u64,
    pub(crate) phase: Phase,
}

/// The history being written.
pub(crate) struct History {
    began: Instant,
    file: Mutex<File>,
}

impl History {
    pub(crate) fn create(path: &Path) -> History {
        History { began: Instant::now(), file: Mutex::new(File::create(path).expect("a history file")) }
    }

    pub(crate) fn write(&self, op: u64, phase: Phase) {
        // The time is taken under the lock, so that lines are in the order of their times.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line { op, at: self.began.elapsed().as_micros() as u64, phase };
        let mut text = serde_json::to_string(&line).expect("a line of JSON");
        text.push('\n');
        file.write_all(text.as_bytes()).expect("the history can be written");
    }
}

/// What is known of one operation at the end.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) events: Vec<SentEvent>,
    /// When it was sent first.
    pub(crate) invoked_at: u64,
    pub(crate) outcome: Outcome,
    /// How often it was sent.
    pub(crate) tries: u32,
    /// Whether a try got no answer.
    pub(crate) doubt: bool,
}

/// The last word on an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged {
        at: u64,
        first_position: u64,
        last_position: u64,
        first_versions: Vec<(String, u64)>,
        duplicate: bool,
    },
    Refused,
    Unknown,
}

/// Reads a history back.
pub(crate) fn read(path: &Path) -> BTreeMap<u64, Operation> {
    let lines = BufReader::new(File::open(path).expect("the history")).lines();
    fold(lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("a line of the history")))
}

/// Folds lines into operations.
pub(crate) fn fold(lines: impl Iterator<Item = Line>) -> BTreeMap<u64, Operation> {
    let mut operations: BTreeMap<u64, Operation> = BTreeMap::new();
    for Line { op, at, phase } in lines {
        match phase {
            Phase::Invoke { events } => {
                let operation = operations.entry(op).or_insert(Operation {
                    events,
                    invoked_at: at,
                    outcome: Outcome::Unknown,
                    tries: 0,
                    doubt: false,
                });
                operation.outcome = Outcome::Unknown;
                operation.tries += 1;
            }
            answer => {
                let operation = operations.get_mut(&op).expect("an answer follows a request");
                operation.outcome = match answer {
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
        }
    }
    operations
}

/// Ids as people read them.
mod uuid_as_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
