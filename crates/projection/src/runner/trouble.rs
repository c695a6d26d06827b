//! Failures that pass by themselves: one line when they begin, one when they are over, and waits that grow in between.

use std::fmt::Display;
use std::time::Duration;

/// The first wait.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// The longest.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// One thing that may fail again and again.
pub(super) struct Trouble {
    what: String,
    failures: u32,
}

impl Trouble {
    /// `what` completes the sentence "cannot …".
    pub(super) fn new(what: impl Into<String>) -> Trouble {
        Trouble { what: what.into(), failures: 0 }
    }

    /// It failed: how long to wait until the next attempt.
    pub(super) fn failed(&mut self, error: &dyn Display) -> Duration {
        if self.failures == 0 {
            tracing::warn!("cannot {}: {error}; it is tried again until it works", self.what);
        }
        let wait = WAIT_MIN.saturating_mul(1 << self.failures.min(16)).min(WAIT_MAX);
        self.failures += 1;
        wait
    }

    /// It worked.
    pub(super) fn over(&mut self) {
        if self.failures > 0 {
            tracing::info!("it works again to {}, after {} failures", self.what, self.failures);
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_two_seconds_and_begin_anew() {
        let mut trouble = Trouble::new("do it");
        let waits: Vec<_> = (0..8).map(|_| trouble.failed(&"no").as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        trouble.over();
        assert_eq!(trouble.failed(&"no"), WAIT_MIN);
    }
}
