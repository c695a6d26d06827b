//! The ring of recent events: what live followers read, so that an event at the head is not read from storage once for
//! each of them. It is a cache and a hint; storage is the truth.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::event::RecordedEvent;
use crate::place::{Checkpoint, Epoch, Partition, Position};

/// How much of the log's end is kept in memory, shared out evenly over the partitions.
#[derive(Clone, Copy, Debug)]
pub struct RecentLimits {
    /// Events at most.
    pub events_max: usize,
    /// Bytes at most.
    pub bytes_max: usize,
}

impl Default for RecentLimits {
    fn default() -> Self {
        RecentLimits { events_max: 8_192, bytes_max: 8 << 20 }
    }
}

/// The end of the log in memory, and a bell that rings when it moves.
#[derive(Debug)]
pub struct Recent {
    rings: Box<[Mutex<Ring>]>,
    limits: RecentLimits,
    epoch: AtomicU32,
    bell: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    head: Position,
    events: VecDeque<Arc<RecordedEvent>>,
    bytes: usize,
}

impl Recent {
    /// A ring that is empty at `heads`.
    pub fn new(heads: &Checkpoint, limits: RecentLimits) -> Recent {
        let ring = |head| Mutex::new(Ring { head, events: VecDeque::new(), bytes: 0 });
        let partitions = usize::from(heads.partitions());
        let limits = RecentLimits {
            events_max: (limits.events_max / partitions).max(limits.events_max.min(16)),
            bytes_max: (limits.bytes_max / partitions).max(limits.bytes_max.min(16 << 10)),
        };
        Recent {
            rings: heads.iter().map(|place| ring(place.position)).collect(),
            limits,
            epoch: AtomicU32::new(heads.epoch().0),
            bell: watch::Sender::new(0),
        }
    }

    fn ring(&self, partition: Partition) -> MutexGuard<'_, Ring> {
        // A panic while the lock is held leaves a ring that is still a valid cache.
        self.rings[partition.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The committed and visible head of every partition.
    pub fn heads(&self) -> Checkpoint {
        loop {
            let epoch = self.epoch();
            let heads =
                Checkpoint::new((0..self.rings.len()).map(|index| self.ring(Partition(index as u16)).head), epoch);
            // Rewound meanwhile: some of the heads may be of the new epoch.
            if self.epoch() == epoch {
                return heads;
            }
        }
    }

    /// The epoch the heads are of.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// How much of a partition's end it keeps.
    pub fn limits(&self) -> RecentLimits {
        self.limits
    }

    /// The head of one partition.
    pub fn head(&self, partition: Partition) -> Position {
        self.ring(partition).head
    }

    /// Publishes events that are committed, in position order, and rings the bell.
    pub fn publish(&self, events: &[Arc<RecordedEvent>]) {
        self.publish_in(self.epoch(), events);
    }

    /// The same, for events that were committed in `epoch`: where another one began meanwhile they may be lost, and are
    /// passed over.
    pub fn publish_in(&self, epoch: Epoch, events: &[Arc<RecordedEvent>]) {
        for run in events.chunk_by(|a, b| a.partition == b.partition) {
            let mut ring = self.ring(run[0].partition);
            // An epoch begins while all rings are locked.
            if self.epoch() != epoch {
                return;
            }
            for event in run {
                if event.position <= ring.head {
                    // A reader asked the storage between this event's commit and now, and was first to say so.
                    continue;
                }
                assert_eq!(event.position, ring.head.next(), "positions are gapless");
                ring.head = event.position;
                ring.bytes += event.size();
                ring.events.push_back(Arc::clone(event));
            }
            while ring.events.len() > self.limits.events_max || ring.bytes > self.limits.bytes_max {
                let Some(oldest) = ring.events.pop_front() else { break };
                ring.bytes -= oldest.size();
            }
        }
        self.bell.send_modify(|generation| *generation += 1);
    }

    /// Moves a head forward whose events are in storage only (another writer's), and rings the bell. Heads of another
    /// epoch than the current one say nothing about it.
    pub fn observe(&self, heads: &Checkpoint) {
        let mut moved = false;
        for place in heads.iter() {
            let mut ring = self.ring(place.partition);
            if place.position > ring.head && self.epoch() == heads.epoch() {
                ring.head = place.position;
                ring.events.clear();
                ring.bytes = 0;
                moved = true;
            }
        }
        if moved {
            self.bell.send_modify(|generation| *generation += 1);
        }
    }

    /// Begins a new epoch at `heads`, which may lie before those known so far, forgets all events and rings the bell.
    ///
    /// The store must name the new epoch in [`epochs`](crate::subscription::LogSource::epochs) before it calls this.
    pub fn rewind(&self, heads: &Checkpoint) {
        assert!(heads.epoch() > self.epoch(), "epochs only grow");
        let mut rings: Vec<_> = (0..self.rings.len()).map(|index| self.ring(Partition(index as u16))).collect();
        self.epoch.store(heads.epoch().0, Ordering::Release);
        for (ring, place) in rings.iter_mut().zip(heads.iter()) {
            ring.head = place.position;
            ring.events.clear();
            ring.bytes = 0;
        }
        drop(rings);
        self.bell.send_modify(|generation| *generation += 1);
    }

    /// Up to `limit` events right after `after`; `None` where the ring no longer (or does not) hold the first of them.
    pub fn after(&self, partition: Partition, after: Position, limit: usize) -> Option<Vec<Arc<RecordedEvent>>> {
        let ring = self.ring(partition);
        let first = ring.events.front()?.position;
        if after.next() < first || after >= ring.head {
            return None;
        }
        let skip = usize::try_from(after.next().0 - first.0).ok()?;
        Some(ring.events.iter().skip(skip).take(limit).cloned().collect())
    }

    /// A bell that rings after each publication. Mark it seen before looking at the heads, then no ring is missed.
    pub fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, NewEvent, Timestamp};
    use crate::names::{EventType, StreamName};
    use crate::place::{Place, Version};

    fn event(partition: u16, position: u64) -> Arc<RecordedEvent> {
        let id = EventId(uuid::Uuid::from_u128(u128::from(position)));
        let new = NewEvent::json(id, EventType::new("E").unwrap(), "{}");
        let place = Place { partition: Partition(partition), position: Position(position) };
        let stream = StreamName::new("a-1").unwrap();
        Arc::new(new.recorded(stream, Version(position), place, Timestamp::default()))
    }

    fn positions(events: Option<Vec<Arc<RecordedEvent>>>) -> Option<Vec<u64>> {
        events.map(|events| events.iter().map(|event| event.position.0).collect())
    }

    fn recent(heads: &str, events_max: usize, bytes_max: usize) -> Recent {
        Recent::new(&heads.parse().unwrap(), RecentLimits { events_max, bytes_max })
    }

    fn publish(recent: &Recent, positions: impl IntoIterator<Item = u64>) {
        recent.publish(&positions.into_iter().map(|position| event(0, position)).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_published_is_read_after_a_position() {
        let recent = recent("0:4", 10, 10_000);
        let after = |after, limit| positions(recent.after(Partition::ZERO, Position(after), limit));
        assert_eq!(after(4, 10), None, "nothing is there yet");
        publish(&recent, 5..=8);
        assert_eq!(recent.head(Partition::ZERO), Position(8));
        assert_eq!(after(4, 10), Some(vec![5, 6, 7, 8]));
        assert_eq!(after(6, 1), Some(vec![7]));
        assert_eq!(after(7, 10), Some(vec![8]));
        assert_eq!(after(8, 10), None, "nothing lies after the head");
        assert_eq!(after(9, 10), None, "nothing lies after what is past the head");
        assert_eq!(after(3, 10), None, "what lies before the ring is in storage only");
    }

    #[test]
    fn the_oldest_leave_first() {
        let by_count = recent("0:0", 3, 10_000);
        publish(&by_count, 1..=5);
        assert_eq!(positions(by_count.after(Partition::ZERO, Position(2), 10)), Some(vec![3, 4, 5]));
        assert_eq!(by_count.after(Partition::ZERO, Position(1), 10), None);
        let size = event(0, 1).size();
        let by_bytes = recent("0:0", 10, 2 * size);
        publish(&by_bytes, 1..=5);
        assert_eq!(positions(by_bytes.after(Partition::ZERO, Position(3), 10)), Some(vec![4, 5]));
        assert_eq!(by_bytes.after(Partition::ZERO, Position(2), 10), None);
        let too_small = recent("0:0", 10, size - 1);
        publish(&too_small, 1..=2);
        assert_eq!(too_small.after(Partition::ZERO, Position(1), 10), None, "what is over the bound is not kept");
        assert_eq!(too_small.head(Partition::ZERO), Position(2), "and is there all the same");
    }

    #[test]
    fn a_head_that_was_observed_has_its_events_in_storage() {
        let recent = recent("0:0,1:0", 10, 10_000);
        publish(&recent, 1..=2);
        recent.observe(&"0:5,1:0".parse().unwrap());
        assert_eq!(recent.heads(), "0:5,1:0".parse().unwrap());
        assert_eq!(recent.after(Partition::ZERO, Position(1), 10), None, "the ring has a gap behind 2 and says so");
        recent.observe(&"0:3,1:0".parse().unwrap());
        assert_eq!(recent.head(Partition::ZERO), Position(5), "what was observed late moves nothing back");
        // The writer publishes what a reader saw in storage first.
        publish(&recent, 4..=7);
        assert_eq!(recent.head(Partition::ZERO), Position(7));
        assert_eq!(positions(recent.after(Partition::ZERO, Position(5), 10)), Some(vec![6, 7]));
        assert_eq!(recent.after(Partition::ZERO, Position(4), 10), None);
    }

    #[test]
    fn a_new_epoch_begins_at_its_heads_and_forgets_the_rest() {
        let recent = recent("0:0,1:7", 10, 10_000);
        publish(&recent, 1..=5);
        let mut bell = recent.bell();
        bell.mark_unchanged();
        recent.rewind(&"0:3,1:7@2".parse().unwrap());
        assert_eq!(recent.heads(), "0:3,1:7@2".parse().unwrap());
        assert_eq!(recent.after(Partition::ZERO, Position(2), 10), None, "what was lost is not served");
        assert!(bell.has_changed().unwrap());
        publish(&recent, 4..=4);
        assert_eq!(positions(recent.after(Partition::ZERO, Position(3), 10)), Some(vec![4]));
    }

    #[test]
    fn what_comes_late_from_an_epoch_that_ended_moves_nothing() {
        let recent = recent("0:5", 10, 10_000);
        recent.rewind(&"0:3@2".parse().unwrap());
        recent.observe(&"0:5".parse().unwrap());
        recent.publish_in(Epoch::FIRST, &[event(0, 6)]);
        assert_eq!(recent.heads(), "0:3@2".parse().unwrap());
        recent.publish_in(Epoch(2), &[event(0, 4)]);
        recent.observe(&"0:6@2".parse().unwrap());
        assert_eq!(recent.heads(), "0:6@2".parse().unwrap());
    }

    #[test]
    fn each_partition_has_its_ring() {
        let recent = recent("0:0,1:7", 10, 10_000);
        recent.publish(&[event(0, 1), event(1, 8), event(1, 9), event(0, 2)]);
        assert_eq!(recent.heads(), "0:2,1:9".parse().unwrap());
        assert_eq!(positions(recent.after(Partition(1), Position(7), 10)), Some(vec![8, 9]));
        assert_eq!(positions(recent.after(Partition(0), Position(0), 10)), Some(vec![1, 2]));
    }

    #[test]
    fn the_bell_rings_when_a_head_moves() {
        let recent = recent("0:0", 10, 10_000);
        let mut bell = recent.bell();
        let mut rang = || {
            let changed = bell.has_changed().unwrap();
            bell.mark_unchanged();
            changed
        };
        assert!(!rang());
        publish(&recent, 1..=1);
        assert!(rang());
        recent.observe(&"0:1".parse().unwrap());
        assert!(!rang(), "nothing moved");
        recent.observe(&"0:2".parse().unwrap());
        assert!(rang());
    }

    #[test]
    #[should_panic(expected = "positions are gapless")]
    fn a_gap_is_a_bug() {
        let recent = recent("0:0", 10, 10_000);
        publish(&recent, [1, 3]);
    }
}
