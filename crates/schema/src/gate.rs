//! The gate itself: the catalogue of today behind one lock, for the store and for readers.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pacioli_core::append::StreamWrite;
use pacioli_core::event::DEFAULT_SCHEMA_VERSION;
use pacioli_core::schemas::{
    Gate, Generation, Judged, Lens, Registry, SchemaViolation, Seen, Shape, Understanding, Verdict, Withheld,
};
use pacioli_core::{NewEvent, RecordedEvent};

use self::counted::Counted;
use crate::catalogue::{Catalogue, Entry, Mode, unregistered};
use crate::format::{Broken, Schema};
use crate::frame;
use crate::lint::lint_data;

mod counted;

#[cfg(test)]
mod campaign;
#[cfg(all(feature = "avro", feature = "protobuf"))]
#[cfg(test)]
mod carried;
#[cfg(all(test, feature = "avro", feature = "protobuf"))]
mod framed;
#[cfg(test)]
mod tests;

/// How many versions are tried, at most, to find one that would accept an event.
const ACCEPTED_BY_TRIED_MAX: usize = 16;
/// From so many warnings of a type on, one in so many is logged.
const WARNINGS_PER_LINE: u64 = 1024;

/// What a store is opened with, so that its events are held against the schemas that are registered in it.
#[derive(Debug, Default)]
pub struct SchemaGate {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    catalogue: RwLock<Arc<Catalogue>>,
    /// Held while a catalogue is taken over, so that none is lost to another one.
    taking: Mutex<()>,
    violated: Counted,
    without_schema: Counted,
    large: Counted,
}

impl SchemaGate {
    /// A gate that knows nothing yet: the store that it is given to tells it.
    pub fn new() -> SchemaGate {
        SchemaGate::default()
    }

    /// The catalogue of today.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue()
    }

    /// How many events were not what their schemas say and were stored all the same, since the start (mode `warn`).
    ///
    /// An append that was judged again counts again.
    pub fn warned(&self) -> u64 {
        self.shared.violated.all()
    }

    /// How many events of types without a schema were stored since the start, in a store in which another type has one or a
    /// mode is set.
    pub fn without_schema(&self) -> u64 {
        self.shared.without_schema.all()
    }

    /// How many events were stored whose data is a document rather than a fact, since the start and in such a store.
    pub fn large(&self) -> u64 {
        self.shared.large.all()
    }
}

impl Gate for SchemaGate {
    fn generation(&self) -> Generation {
        self.catalogue().generation()
    }

    fn take(&self, registry: Registry, is_rewound: bool) {
        let _taking = self.shared.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.catalogue();
        if !is_rewound && registry.generation <= before.generation() && before.generation() > Generation(0) {
            return;
        }
        let catalogue = Arc::new(Catalogue::new(registry, Some(&before)));
        *self.shared.catalogue.write().unwrap_or_else(PoisonError::into_inner) = catalogue;
    }

    fn judge(&self, writes: &[StreamWrite]) -> Judged {
        let catalogue = self.catalogue();
        let generation = catalogue.generation();
        if catalogue.lets_all_pass() {
            return Judged { generation, verdict: Verdict::default() };
        }
        // Filled from the first event on that gets another version than it would by itself.
        let mut versions: Vec<u32> = Vec::new();
        let mut seen = 0;
        for (at_write, write) in writes.iter().enumerate() {
            let category = write.stream.category();
            for (at_event, event) in write.events.iter().enumerate() {
                let version = match self.shared.judge(&catalogue, category, event) {
                    Ok(version) => version,
                    Err(mut violation) => {
                        violation.field = format!("writes[{at_write}].events[{at_event}].{}", violation.field);
                        return Judged { generation, verdict: Verdict::Violated(violation) };
                    }
                };
                if versions.is_empty() && version != said(event) {
                    versions.reserve(writes.iter().map(|write| write.events.len()).sum());
                    versions.extend(writes.iter().flat_map(|write| &write.events).take(seen).map(said));
                }
                if !versions.is_empty() || version != said(event) {
                    versions.push(version);
                }
                seen += 1;
            }
        }
        Judged { generation, verdict: Verdict::Passed(versions.into()) }
    }

    fn lens(&self, shape: &Shape) -> Arc<dyn Lens> {
        Arc::new(SchemaLens {
            shared: Arc::clone(&self.shared),
            raw: shape.raw,
            understands: shape.understands.clone(),
        })
    }
}

/// The version that an event gets where nothing is registered.
fn said(event: &NewEvent) -> u32 {
    event.schema_version.unwrap_or(DEFAULT_SCHEMA_VERSION)
}

/// Whether the streams of a category are the system's.
fn is_of_system(category: &str) -> bool {
    category.starts_with('$')
}

impl Shared {
    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The version that an event is stored under, or why it is not. The violation's field is the one within the event.
    fn judge(&self, catalogue: &Catalogue, category: &str, event: &NewEvent) -> Result<u32, Box<SchemaViolation>> {
        if is_of_system(category) {
            return Ok(said(event));
        }
        let entries = catalogue.versions(event.event_type.as_str());
        let newest = || entries.iter().rfind(|entry| !entry.row.is_deleted).map(|entry| entry.row.version);
        let wanted = event.schema_version.or_else(newest).unwrap_or(DEFAULT_SCHEMA_VERSION);
        let (mode, is_of_category) = catalogue.mode_of(category, !entries.is_empty());
        if mode == Mode::Off {
            return Ok(wanted);
        }
        if entries.is_empty() {
            // Types without a schema are refused only where that was asked of this very category.
            if mode == Mode::Enforce && is_of_category {
                return Err(no_schema(category, event));
            }
            self.warn_of_no_schema(category, event);
        } else if let Err(mut violation) = check(entries, event, wanted) {
            if mode == Mode::Enforce {
                violation.accepted_by = nearest_that_accepts(entries, event, wanted);
                return Err(violation);
            }
            self.warn(category, &violation);
        }
        if let Some(warning) = lint_data(event.data.bytes().len()) {
            self.warn_of_length(category, event, &warning);
        }
        Ok(wanted)
    }

    fn warn_of_no_schema(&self, category: &str, event: &NewEvent) {
        let count = self.without_schema.add(&event.event_type);
        if count.is_power_of_two() {
            tracing::warn!(
                category,
                event_type = event.event_type.as_str(),
                count,
                "an event is stored whose type has no schema; register one with `pacioli schema register`, or set the mode \
                 `off` for its category"
            );
        }
    }

    fn warn_of_length(&self, category: &str, event: &NewEvent, warning: &str) {
        let count = self.large.add(&event.event_type);
        if count.is_power_of_two() {
            tracing::warn!(category, event_type = event.event_type.as_str(), count, "an event is stored: {warning}");
        }
    }

    /// Counts a violation, and logs the first of a type, the second, the fourth and so on.
    fn warn(&self, category: &str, violation: &SchemaViolation) {
        let count = self.violated.add(&violation.event_type);
        if count.is_power_of_two() && count < WARNINGS_PER_LINE || count.is_multiple_of(WARNINGS_PER_LINE) {
            tracing::warn!(
                category,
                event_type = violation.event_type.as_str(),
                schema_version = violation.schema_version,
                count,
                "an event is stored although its schema refuses it: {violation}"
            );
        }
    }
}

/// What is wrong with an event, held against the version that it wants.
fn check(entries: &[Arc<Entry>], event: &NewEvent, wanted: u32) -> Result<(), Box<SchemaViolation>> {
    let entry = entries.binary_search_by_key(&wanted, |entry| entry.row.version).ok().map(|at| &entries[at]);
    let unregistered = |problem: &str| violation(event, wanted, "schema_version", "registered", problem.to_owned());
    let violation = match entry {
        None => unregistered("is of a version that is not registered"),
        Some(entry) if entry.row.is_deleted => unregistered("is of a version that is deleted"),
        Some(entry) => match entry.schema().map(|schema| held_against(schema, entry.row.id, event)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(broken)) => {
                SchemaViolation { path: broken.path, ..violation(event, wanted, "data", &broken.rule, broken.problem) }
            }
            Err(error) => {
                let problem = format!("cannot be held against its schema, which this build does not take: {error}");
                violation(event, wanted, "data", "schema", problem)
            }
        },
    };
    Err(Box::new(SchemaViolation { semver: entry.map(|entry| entry.row.semver), ..violation }))
}

/// What is wrong with an event's data, held against the schema with a number.
fn held_against(schema: &Schema, id: u32, event: &NewEvent) -> Result<(), Broken> {
    schema.check(&event.data)?;
    frame::check(schema, id, &event.data)
}

fn no_schema(category: &str, event: &NewEvent) -> Box<SchemaViolation> {
    let problem =
        format!("is of a type without a schema, and the category `{category}` is to hold only types that have one");
    Box::new(violation(event, said(event), "schema_version", "registered", problem))
}

/// What is wrong with all of an event. The field is the one within it.
fn violation(event: &NewEvent, schema_version: u32, field: &str, rule: &str, problem: String) -> SchemaViolation {
    SchemaViolation {
        field: field.to_owned(),
        event_type: event.event_type.clone(),
        schema_version,
        semver: None,
        path: String::new(),
        rule: rule.to_owned(),
        problem,
        accepted_by: None,
    }
}

/// The version nearest to the wanted one that accepts an event; of two that are as near, the newer.
fn nearest_that_accepts(entries: &[Arc<Entry>], event: &NewEvent, wanted: u32) -> Option<u32> {
    let mut above = entries.partition_point(|entry| entry.row.version <= wanted);
    let mut below = entries.partition_point(|entry| entry.row.version < wanted);
    let mut tried = 0;
    while tried < ACCEPTED_BY_TRIED_MAX {
        let distance_above = entries.get(above).map(|entry| entry.row.version - wanted);
        let distance_below = below.checked_sub(1).map(|at| wanted - entries[at].row.version);
        let at = match (distance_above, distance_below) {
            (None, None) => return None,
            (Some(up), down) if down.is_none_or(|down| up <= down) => {
                above += 1;
                above - 1
            }
            _ => {
                below -= 1;
                below
            }
        };
        let entry = &entries[at];
        if entry.row.is_deleted {
            continue;
        }
        tried += 1;
        if entry.schema().is_ok_and(|schema| held_against(schema, entry.row.id, event).is_ok()) {
            return Some(entry.row.version);
        }
    }
    None
}

/// How one reader sees events.
struct SchemaLens {
    shared: Arc<Shared>,
    raw: bool,
    understands: Vec<Understanding>,
}

impl Lens for SchemaLens {
    fn see(&self, event: &mut Arc<RecordedEvent>, is_fresh: bool) -> Seen {
        let is_bounded = self.understands.iter().any(|one| one.event_type == event.event_type);
        if is_bounded {
            return self.see_within(event, is_fresh);
        }
        if self.raw || is_of_system(event.stream.category()) {
            return Seen::AsStored;
        }
        let lift = self.shared.catalogue().lift(&event.event_type, event.schema_version, None);
        match lift.ok().flatten().is_some_and(|lift| lift.apply(event)) {
            true => Seen::Lifted,
            false => Seen::AsStored,
        }
    }
}

impl SchemaLens {
    /// How an event is seen whose type the reader named. It is understood if it is by any of the ranges that were given.
    fn see_within(&self, event: &mut Arc<RecordedEvent>, is_fresh: bool) -> Seen {
        let event_type = event.event_type.clone();
        let named = self.understands.iter().filter(|one| one.event_type == event_type);
        let ranges = || named.clone().map(|one| &one.versions);
        let catalogue = self.shared.catalogue();
        let entry = catalogue.version(event_type.as_str(), event.schema_version);
        let is_of_system = is_of_system(event.stream.category());
        // What is not known may have been registered meanwhile, and as whatever it pleased somebody to.
        if entry.is_none() && !is_of_system && !is_fresh {
            return Seen::Unknown;
        }
        let semver = match entry {
            Some(entry) if !is_of_system => Some(entry.row.semver),
            None if !catalogue.versions(event_type.as_str()).is_empty() && !is_of_system => None,
            _ => Some(unregistered(event.schema_version)),
        };
        let is_understood = semver.is_some_and(|semver| ranges().any(|range| range.contains(semver)));
        if !self.raw && !is_of_system {
            let lifts =
                ranges().filter_map(|range| catalogue.lift(&event_type, event.schema_version, Some(range)).ok());
            let newest = lifts.flatten().max_by_key(|lift| lift.version);
            if newest.is_some_and(|lift| lift.apply(event)) {
                return Seen::Lifted;
            }
        }
        if is_understood {
            return Seen::AsStored;
        }
        let Some(understands) = ranges().max_by_key(|range| range.from).cloned() else { return Seen::AsStored };
        Seen::Withheld(Box::new(Withheld {
            place: event.place(),
            event_type: event_type.clone(),
            schema_version: event.schema_version,
            semver: entry.map(|entry| entry.row.semver),
            understands,
        }))
    }
}
