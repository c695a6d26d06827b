//! The events of one advance: from the ring of recent events at the head, else from the log, verified, and read ahead on
//! another thread while the ones before are applied.

use std::sync::mpsc;
use std::sync::{Arc, PoisonError};

use pacioli_core::place::Position;
use pacioli_core::schemas::Withheld;
use pacioli_core::store::PayloadChoice;
use pacioli_core::subscription::Scan;
use pacioli_core::{EventType, Partition, RecordedEvent};
use pacioli_projection::engine::PassedOver;

use super::build::BuildFile;
use super::handlers::Handlers;
use super::shapes::{self, Brought};
use crate::error::Result;
use crate::store::{self, Shared};

/// Bytes of events that are applied in one transaction: they are all in memory, and so are those read ahead.
const BYTES_MAX: usize = 16 << 20;
/// Positions looked at for one batch. Progress is saved at the latest after so many, though nothing matched.
const LOOKED_AT_MAX: u64 = 1 << 19;

/// From so many events a batch on it is faster to read the next one on another thread.
const WORTH_READING_AHEAD: usize = 100;

/// Which events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) partition: Partition,
    pub(super) after: Position,
    pub(super) up_to: Position,
    pub(super) events_max: usize,
}

/// Events in order, and up to where they are complete.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) events: Vec<Arc<RecordedEvent>>,
    pub(super) up_to: Position,
    /// What lies between and is passed over, because the projection does not understand it.
    pub(super) passed_over: Vec<(Position, EventType)>,
    /// The event behind them, where the projection does not understand it and stops before it.
    pub(super) withheld: Option<Box<Withheld>>,
}

/// Events being read by another thread.
#[derive(Debug)]
pub(super) struct Ahead {
    wanted: Wanted,
    found: mpsc::Receiver<Result<Found>>,
}

/// The events of this advance. Starts reading those behind it where the batch is full.
pub(super) fn next(shared: &Arc<Shared>, file: &Arc<BuildFile>, wanted: Wanted) -> Result<Found> {
    let ahead = file.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
    let fits = |ahead: &Ahead| {
        let theirs = &ahead.wanted;
        theirs.partition == wanted.partition && theirs.after == wanted.after && theirs.up_to <= wanted.up_to
    };
    let found = match ahead.filter(fits) {
        Some(ahead) => match ahead.found.recv() {
            // What is registered by now may let it be understood. A thread that broke off sent nothing.
            Ok(Ok(Found { withheld: Some(_), .. })) | Err(_) => read(shared, &file.handlers, wanted)?,
            Ok(found) => found?,
        },
        None => read(shared, &file.handlers, wanted)?,
    };
    let found = found.cut(wanted.events_max);
    if wanted.events_max >= WORTH_READING_AHEAD && found.up_to < wanted.up_to && found.withheld.is_none() {
        start_reading(shared, file, Wanted { after: found.up_to, ..wanted });
    }
    Ok(found)
}

fn start_reading(shared: &Arc<Shared>, file: &Arc<BuildFile>, wanted: Wanted) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (sender, found) = mpsc::sync_channel(1);
    let (shared, its_file) = (Arc::clone(shared), Arc::clone(file));
    runtime.spawn_blocking(move || {
        // Nobody waits for it any more where the build was stopped or moved elsewhere.
        let _ = sender.send(read(&shared, &its_file.handlers, wanted));
    });
    *file.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ahead { wanted, found });
}

impl Found {
    /// At most so many of them.
    fn cut(mut self, events_max: usize) -> Found {
        if self.events.len() > events_max {
            self.events.truncate(events_max);
            self.up_to = self.events.last().map_or(self.up_to, |last| last.position);
            self.passed_over.retain(|(position, _)| *position <= self.up_to);
            self.withheld = None;
        }
        self
    }

    /// How many events of each type are passed over.
    pub(super) fn passed_over(&self) -> PassedOver {
        shapes::count(&self.passed_over)
    }
}

/// Reads events that the projection wants, in the shape in which it wants them.
pub(super) fn read(shared: &Shared, handlers: &Handlers, wanted: Wanted) -> Result<Found> {
    read_some(shared, handlers, wanted, |_| true)
}

/// The same of those that are to be taken. The others are not looked at, whatever their shape.
pub(super) fn read_some(
    shared: &Shared,
    handlers: &Handlers,
    wanted: Wanted,
    is_taken: impl Fn(&RecordedEvent) -> bool,
) -> Result<Found> {
    let mut found = match recent(shared, handlers, wanted) {
        Some(found) => found,
        None => stored(shared, handlers, wanted)?,
    };
    found.events.retain(|event| is_taken(event));
    Brought { passed_over: found.passed_over, withheld: found.withheld } = handlers.shapes().bring(&mut found.events);
    if let Some(withheld) = &found.withheld {
        found.up_to = withheld.place.position.before();
    }
    Ok(found)
}

/// Reads events as they are stored.
fn stored(shared: &Shared, handlers: &Handlers, wanted: Wanted) -> Result<Found> {
    store::read_here(shared, |reader| {
        let mut found = Found { up_to: wanted.after, ..Found::default() };
        let mut bytes = 0;
        loop {
            let scanned = reader.scan(&Scan {
                partition: wanted.partition,
                after: found.up_to,
                up_to: wanted.up_to,
                epoch: shared.epochs.current(),
                filter: Arc::clone(handlers.filter()),
                limit: wanted.events_max - found.events.len(),
                payload: PayloadChoice::All,
            })?;
            found.up_to = scanned.up_to;
            for event in scanned.events.into_iter().filter(|event| handlers.wants(event)) {
                bytes += event.size();
                found.events.push(event);
            }
            let is_full = found.events.len() >= wanted.events_max || bytes >= BYTES_MAX;
            if is_full || found.up_to >= wanted.up_to || found.up_to.0 - wanted.after.0 >= LOOKED_AT_MAX {
                return Ok(found);
            }
        }
    })
}

/// The same from memory, where the ring of recent events reaches back far enough.
fn recent(shared: &Shared, handlers: &Handlers, wanted: Wanted) -> Option<Found> {
    let positions = usize::try_from(wanted.up_to.0.checked_sub(wanted.after.0)?).ok()?;
    if positions > shared.recent.limits().events_max {
        return None;
    }
    let events = shared.recent.after(wanted.partition, wanted.after, positions)?;
    let mut found = Found { up_to: wanted.after, ..Found::default() };
    for event in events {
        found.up_to = event.position;
        if handlers.wants(&event) {
            found.events.push(event);
            if found.events.len() >= wanted.events_max {
                break;
            }
        }
    }
    // The ring may end before the position that was asked for: then the rest is the next advance's.
    (found.up_to > wanted.after).then_some(found)
}
