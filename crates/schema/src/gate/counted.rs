//! Events that are stored and that somebody should hear of: counted each, logged ever more seldom.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pacioli_core::EventType;

/// Of how many types it is counted by itself how many there were.
const TYPES_MAX: usize = 1024;

/// Events of one kind.
#[derive(Debug, Default)]
pub(super) struct Counted {
    all: AtomicU64,
    by_type: Mutex<HashMap<EventType, u64>>,
}

impl Counted {
    /// How many there were.
    pub(super) fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// Counts one. Returns how many of its type there were, it included, or of all where there are too many types to count.
    pub(super) fn add(&self, event_type: &EventType) -> u64 {
        let all = self.all.fetch_add(1, Ordering::Relaxed) + 1;
        let mut by_type = self.by_type.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_type.get_mut(event_type) {
            *count += 1;
            return *count;
        }
        // Names come from outside: a new one for each event must neither fill the memory nor the log.
        if by_type.len() >= TYPES_MAX {
            return all;
        }
        by_type.insert(event_type.clone(), 1);
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_without_number_are_counted_together() {
        let counted = Counted::default();
        let of = |number: usize| counted.add(&EventType::new(format!("T{number}")).unwrap());
        assert!((0..TYPES_MAX).all(|number| of(number) == 1));
        assert_eq!((of(0), of(TYPES_MAX), of(TYPES_MAX + 1)), (2, TYPES_MAX as u64 + 2, TYPES_MAX as u64 + 3));
        assert_eq!((of(5), counted.all()), (2, TYPES_MAX as u64 + 4));
    }
}
