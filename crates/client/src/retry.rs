//! Patience: bounded, growing, and never in step with other clients.

use std::time::Duration;

use tokio::time::Instant;

/// Less time than this is no time for another attempt.
const SHORTEST_TRY: Duration = Duration::from_millis(10);
/// The wait before the second attempt, about.
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// Waits that double up to a bound, each shortened at random by up to half.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(max: Duration) -> Backoff {
        Backoff { next: FIRST_WAIT.min(max), max }
    }

    /// How long to wait before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        // The clients of a server that comes back must not come back all at once.
        let random = (uuid::Uuid::new_v4().as_u128() as u32) as f64 / f64::from(u32::MAX);
        wait.mul_f64(0.5 + random / 2.0)
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        *self = Backoff::new(self.max);
    }
}

/// How long something may go on being tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(patience: Duration) -> Deadline {
        let now = Instant::now();
        // Patience beyond the clock's range is patience for ever, about.
        let far = Duration::from_secs(86_400 * 365);
        Deadline(now.checked_add(patience).unwrap_or(now + far))
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Waits, unless there is less left than that: then false.
    pub(crate) async fn wait(&self, wait: Duration) -> bool {
        if wait >= self.left() {
            return false;
        }
        tokio::time::sleep(wait).await;
        // A try without the time to be answered only leaves a doubt.
        self.left() >= SHORTEST_TRY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_differ() {
        let mut backoff = Backoff::new(Duration::from_millis(100));
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] >= FIRST_WAIT / 2 && waits[0] <= FIRST_WAIT);
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(100)));
        assert!(waits[10..].iter().all(|wait| *wait >= Duration::from_millis(50)));
        assert!(waits[10..].windows(2).any(|pair| pair[0] != pair[1]));
    }
}
