//! In which shape a projection sees events: the newest that is registered, within what it understands.

use std::fmt;
use std::sync::Arc;

use pacioli_core::place::Position;
use pacioli_core::schemas::{Gate, Generation, Lens, OnNewer, Seen, Shape, Withheld};
use pacioli_core::{EventType, RecordedEvent};
use pacioli_projection::Projection;
use pacioli_projection::engine::PassedOver;
use rusqlite::{Connection, params};

/// How one projection sees events. Without a gate, as they are stored.
#[derive(Debug)]
pub(crate) struct Shapes {
    sight: Option<Sight>,
}

struct Sight {
    gate: Arc<dyn Gate>,
    lens: Arc<dyn Lens>,
    shape: Shape,
}

/// What was taken out of events that were brought into their shape.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    /// What the projection passes over.
    pub(crate) passed_over: Vec<(Position, EventType)>,
    /// The first that it does not understand and does not pass over: it and all behind it are taken off.
    pub(crate) withheld: Option<Box<Withheld>>,
}

impl Shapes {
    /// Those of a projection.
    pub(crate) fn of(projection: &Projection, gate: Option<&Arc<dyn Gate>>) -> Shapes {
        let sight = gate.map(|gate| Sight {
            gate: Arc::clone(gate),
            lens: gate.lens(&projection.shape()),
            shape: projection.shape(),
        });
        Shapes { sight }
    }

    /// Brings events into their shape, and takes out what the projection does not understand.
    pub(crate) fn bring(&self, events: &mut Vec<Arc<RecordedEvent>>) -> Brought {
        let mut brought = Brought::default();
        let Some(sight) = &self.sight else { return brought };
        if sight.shape.is_default() && sight.gate.generation() == Generation(0) {
            return brought;
        }
        events.retain_mut(|event| {
            if brought.withheld.is_some() {
                return false;
            }
            // This process is the one that changes the registry, so its gate always knows all of it.
            match sight.lens.see(event, true) {
                Seen::AsStored | Seen::Lifted => true,
                Seen::Withheld(why) if sight.shape.on_newer == OnNewer::Skip => {
                    brought.passed_over.push((event.position, why.event_type));
                    false
                }
                Seen::Withheld(why) => {
                    brought.withheld = Some(why);
                    false
                }
                Seen::Unknown => unreachable!("a lens that is told that all is known knows"),
            }
        });
        brought
    }
}

/// How many there are of each type.
pub(crate) fn count(passed_over: &[(Position, EventType)]) -> PassedOver {
    let mut counts = PassedOver::new();
    for (_, event_type) in passed_over {
        *counts.entry(event_type.clone()).or_default() += 1;
    }
    counts
}

/// Counts what is passed over, in the transaction that moves the progress over it.
pub(crate) fn count_passed_over(conn: &Connection, statement: &str, passed_over: &PassedOver) -> rusqlite::Result<()> {
    for (event_type, events) in passed_over {
        conn.prepare_cached(statement)?.execute(params![event_type.as_str(), *events as i64])?;
    }
    Ok(())
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sight").field("shape", &self.shape).finish_non_exhaustive()
    }
}
