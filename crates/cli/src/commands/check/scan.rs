//! Which events are looked at: all of them, or a sample from all over a long log.

use std::collections::BTreeSet;

use pacioli_core::{
    Checkpoint, EventStore, EventType, Filter, PayloadChoice, Place, Position, ReadError, ReadLog, RecordedEvent,
};
use pacioli_schema::Catalogue;

/// A log of at most so many events is looked at whole.
const WHOLE_EVENTS: u64 = 100_000;
/// The parts of a longer one, from each of which something is taken.
const PARTS: u64 = 32;
/// What is taken of a part: of whatever types, and of each type that has a schema.
const EVENTS_OF_PART: usize = 1_000;
const EVENTS_OF_TYPE: usize = 100;
/// Events of one page.
const PAGE_EVENTS: usize = 2_000;

/// What lies in the log.
pub(super) enum Found<'e> {
    /// An event.
    Event(&'e RecordedEvent),
    /// One that is damaged in storage, and what does not fit.
    Damaged(Place, String),
}

/// What is going to be looked at.
pub(super) struct Plan {
    head: Checkpoint,
    /// The types of which more is looked at than of others; `None` where everything is.
    types: Option<Vec<EventType>>,
}

impl Plan {
    /// The plan for a log as it is now.
    pub(super) async fn new(store: &dyn EventStore, catalogue: &Catalogue, all: bool) -> Result<Plan, ReadError> {
        let head = store.head().await?;
        let is_all = all || length(&head) <= WHOLE_EVENTS;
        let types = (!is_all).then(|| catalogue.types().into_iter().cloned().collect());
        Ok(Plan { head, types })
    }

    /// Whether every event is looked at.
    pub(super) fn is_all(&self) -> bool {
        self.types.is_none()
    }

    /// How many events that is, about.
    pub(super) fn events(&self) -> u64 {
        match &self.types {
            None => length(&self.head),
            Some(types) => PARTS * (EVENTS_OF_PART + types.len() * EVENTS_OF_TYPE) as u64,
        }
    }

    /// Reads them, and gives each away with how many there were.
    pub(super) async fn run(
        self,
        store: &dyn EventStore,
        mut take: impl FnMut(u64, Found<'_>),
    ) -> Result<(), ReadError> {
        let mut seen = 0;
        // What a sample meets again under another filter is no other event.
        let (is_sample, mut met) = (!self.is_all(), BTreeSet::new());
        let mut take = |found: Found<'_>| {
            let place = match &found {
                Found::Damaged(place, _) => *place,
                Found::Event(event) => event.place(),
            };
            if is_sample && !met.insert(place) {
                return;
            }
            seen += 1;
            take(seen, found);
        };
        let Some(types) = &self.types else {
            let start = self.at(0, 1);
            return read(store, start, &self.head, Filter::default(), usize::MAX, &mut take).await;
        };
        for part in 0..PARTS {
            let (start, end) = (self.at(part, PARTS), self.at(part + 1, PARTS));
            read(store, start.clone(), &end, Filter::default(), EVENTS_OF_PART, &mut take).await?;
            for event_type in types {
                let filter = Filter { types: vec![event_type.clone()], ..Filter::default() };
                read(store, start.clone(), &end, filter, EVENTS_OF_TYPE, &mut take).await?;
            }
        }
        Ok(())
    }

    /// Where a part of the log begins.
    fn at(&self, part: u64, parts: u64) -> Checkpoint {
        let share = |position: u64| (u128::from(position) * u128::from(part) / u128::from(parts)) as u64;
        Checkpoint::new(self.head.iter().map(|place| Position(share(place.position.0))), self.head.epoch())
    }
}

fn length(head: &Checkpoint) -> u64 {
    head.iter().map(|place| place.position.0).sum()
}

/// Reads events behind `after` and up to `end`, so many at most. What is damaged is passed over.
async fn read(
    store: &dyn EventStore,
    after: Checkpoint,
    end: &Checkpoint,
    filter: Filter,
    limit: usize,
    take: &mut impl FnMut(Found<'_>),
) -> Result<(), ReadError> {
    let (mut after, mut left, mut page_max) = (after, limit, PAGE_EVENTS);
    while left > 0 && !after.covers(end) {
        let limit = left.min(page_max);
        let read = ReadLog { after: Some(after.clone()), filter: filter.clone(), limit, payload: PayloadChoice::All };
        let page = match store.read_log(read).await {
            Ok(page) => page,
            Err(ReadError::Damaged { place, problem }) => {
                // The page ends before it, and once nothing is left there it is passed over.
                let before = place.position.0.saturating_sub(after.position(place.partition).0 + 1);
                match (limit / 2).min(before as usize) {
                    0 => {
                        if place.position <= end.position(place.partition) {
                            take(Found::Damaged(place, problem));
                        }
                        (after, page_max) = (behind(&after, place), PAGE_EVENTS);
                    }
                    less => page_max = less,
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        for event in page.events.iter().filter(|event| event.position <= end.position(event.partition)) {
            take(Found::Event(event));
            left -= 1;
        }
        if page.checkpoint.covers(&page.head) {
            break;
        }
        after = page.checkpoint;
    }
    Ok(())
}

/// A checkpoint that has come to this place of its partition.
fn behind(checkpoint: &Checkpoint, place: Place) -> Checkpoint {
    let moved = |known: Place| if known.partition == place.partition { place.position } else { known.position };
    Checkpoint::new(checkpoint.iter().map(moved), checkpoint.epoch())
}
