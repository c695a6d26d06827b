//! Ids and time that are the same at every telling of the story.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use pacioli_bench::random::Random;
use pacioli_core::{Clock, EventId, Timestamp};
use uuid::Uuid;

/// 2024-11-10T00:00:00Z in microseconds: a day in the month in which, 530 years before, Luca Pacioli's book appeared.
const DAY_MICROS: i64 = 1_731_196_800_000_000;
const HOUR_MICROS: i64 = 3_600_000_000;

/// The wall clock of the story: it begins at 9 in the morning and moves when it is told to. Sleeps are real.
pub(super) struct StoryClock(AtomicI64);

impl StoryClock {
    pub(super) fn new() -> StoryClock {
        StoryClock(AtomicI64::new(DAY_MICROS + 9 * HOUR_MICROS))
    }

    /// Lets time pass.
    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::Relaxed);
    }

    /// The present moment.
    pub(super) fn moment(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// A moment of the story's day.
    pub(super) fn at_hour(hour: i64) -> Timestamp {
        Timestamp::from_micros(DAY_MICROS + hour * HOUR_MICROS)
    }
}

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        self.moment()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// UUIDv7 that depend on the seed alone.
pub(super) struct Ids(Random);

impl Ids {
    pub(super) fn new(seed: u64) -> Ids {
        Ids(Random::new(seed))
    }

    /// The id of a new event.
    pub(super) fn event(&mut self) -> EventId {
        self.0.event_id((DAY_MICROS / 1_000) as u64)
    }

    /// An idempotency key.
    pub(super) fn key(&mut self) -> Uuid {
        self.event().0
    }
}
