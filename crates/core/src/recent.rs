//! The ring of recent events: what live followers read, so that an event at the head is not read from storage once for
//! each of them. It is a cache and a hint; storage is the truth.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::event::RecordedEvent;
use crate::place::{Checkpoint, Epoch, Partition, Position};

/// How much of the log's end is kept in memory, for each partition.
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
    epoch: Epoch,
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
        Recent {
            rings: heads.iter().map(|place| ring(place.position)).collect(),
            limits,
            epoch: heads.epoch(),
            bell: watch::Sender::new(0),
        }
    }

    fn ring(&self, partition: Partition) -> MutexGuard<'_, Ring> {
        // A panic while the lock is held leaves a ring that is still a valid cache.
        self.rings[partition.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The committed and visible head of every partition.
    pub fn heads(&self) -> Checkpoint {
        Checkpoint::new((0..self.rings.len()).map(|index| self.ring(Partition(index as u16)).head), self.epoch)
    }

    /// The head of one partition.
    pub fn head(&self, partition: Partition) -> Position {
        self.ring(partition).head
    }

    /// Publishes events that are committed, in position order, and rings the bell.
    pub fn publish(&self, events: &[Arc<RecordedEvent>]) {
        for run in events.chunk_by(|a, b| a.partition == b.partition) {
            let mut ring = self.ring(run[0].partition);
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

    /// Moves a head forward whose events are in storage only (another writer's), and rings the bell.
    pub fn observe(&self, heads: &Checkpoint) {
        let mut moved = false;
        for place in heads.iter() {
            let mut ring = self.ring(place.partition);
            if place.position > ring.head {
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
