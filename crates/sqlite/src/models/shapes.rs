//! In which shape a projection sees events: the newest that is registered, within what it understands.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pacioli_core::RecordedEvent;
use pacioli_core::schemas::{Gate, Generation, Lens, OnNewer, Seen, Shape, Withheld};
use pacioli_projection::Projection;
use pacioli_projection::file::Name;

/// How one projection sees events. Without a gate, as they are stored.
#[derive(Debug)]
pub(crate) struct Shapes {
    sight: Option<Sight>,
}

struct Sight {
    gate: Arc<dyn Gate>,
    lens: Arc<dyn Lens>,
    shape: Shape,
    name: Name,
    passed_over: AtomicU64,
}

impl Shapes {
    /// Those of a projection.
    pub(crate) fn of(projection: &Projection, gate: Option<&Arc<dyn Gate>>) -> Shapes {
        let sight = gate.map(|gate| Sight {
            gate: Arc::clone(gate),
            lens: gate.lens(&projection.shape()),
            shape: projection.shape(),
            name: projection.name.clone(),
            passed_over: AtomicU64::new(0),
        });
        Shapes { sight }
    }

    /// Brings events into their shape, and takes out what the projection passes over. The first that it does not understand
    /// and does not pass over is returned, and it and all behind it are taken off.
    pub(crate) fn bring(&self, events: &mut Vec<Arc<RecordedEvent>>) -> Option<Box<Withheld>> {
        let sight = self.sight.as_ref()?;
        if sight.shape.is_default() && sight.gate.generation() == Generation(0) {
            return None;
        }
        let mut withheld = None;
        events.retain_mut(|event| {
            if withheld.is_some() {
                return false;
            }
            // This process is the one that changes the registry, so its gate always knows all of it.
            match sight.lens.see(event, true) {
                Seen::AsStored | Seen::Lifted => true,
                Seen::Withheld(why) if sight.shape.on_newer == OnNewer::Skip => {
                    sight.passed_over(&why);
                    false
                }
                Seen::Withheld(why) => {
                    withheld = Some(why);
                    false
                }
                Seen::Unknown => unreachable!("a lens that is told that all is known knows"),
            }
        });
        withheld
    }
}

impl Sight {
    /// Counts it, and tells of the first, the second, the fourth and so on.
    fn passed_over(&self, why: &Withheld) {
        let count = self.passed_over.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(projection = %self.name, count, "an event is passed over: {why}");
        }
    }
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sight").field("shape", &self.shape).finish_non_exhaustive()
    }
}
