//! Which events are looked at: all of them, or a sample from all over a long log.

use pacioli_core::{
    Checkpoint, EventStore, EventType, Filter, PayloadChoice, Position, ReadError, ReadLog, RecordedEvent,
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
        mut take: impl FnMut(&RecordedEvent, u64),
    ) -> Result<(), ReadError> {
        let mut seen = 0;
        let mut take = |event: &RecordedEvent| {
            seen += 1;
            take(event, seen);
        };
        let Some(types) = &self.types else {
            let start = self.at(0, 1);
            return read(store, start, &self.head, Filter::default(), usize::MAX, &mut take).await;
        };
        for part in 0..PARTS {
            let (start, end) = (self.at(part, PARTS), self.at(part + 1, PARTS));
            read(store, start.clone(), &end, Filter::default(), EVENTS_OF_PART, &mut take).await?;
            for event_type in types {
                // An event may be met twice, which counts it twice and does no harm.
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

/// Reads events behind `after` and up to `end`, so many at most.
async fn read(
    store: &dyn EventStore,
    after: Checkpoint,
    end: &Checkpoint,
    filter: Filter,
    limit: usize,
    take: &mut impl FnMut(&RecordedEvent),
) -> Result<(), ReadError> {
    let (mut after, mut left) = (after, limit);
    while left > 0 && !after.covers(end) {
        let limit = left.min(PAGE_EVENTS);
        let read = ReadLog { after: Some(after), filter: filter.clone(), limit, payload: PayloadChoice::All };
        let page = store.read_log(read).await?;
        for event in page.events.iter().filter(|event| event.position <= end.position(event.partition)) {
            take(event);
            left -= 1;
        }
        if page.checkpoint.covers(&page.head) {
            break;
        }
        after = page.checkpoint;
    }
    Ok(())
}
