//! Time as an argument. The one file of this crate that may read the system's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;

use crate::event::Timestamp;

/// What a store and a subscription ask for time: tests and simulations bring their own.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock's time. It may jump; no decision about order depends on it.
    fn now(&self) -> Timestamp;

    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The system's wall clock, with the runtime's timer brought by the caller.
///
/// Core owns no runtime, so the timer is a function: `SystemClock::new(|d| Box::pin(tokio::time::sleep(d)))`.
#[derive(Clone, Copy)]
pub struct SystemClock {
    sleep: fn(Duration) -> BoxFuture<'static, ()>,
}

impl SystemClock {
    /// A clock whose sleeps are made by `sleep`.
    pub fn new(sleep: fn(Duration) -> BoxFuture<'static, ()>) -> SystemClock {
        SystemClock { sleep }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::from_micros(micros)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        (self.sleep)(duration)
    }
}
