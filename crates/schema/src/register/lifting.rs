//! What an upcaster does for those who read the newer schema, and to those who still read the older one.

use std::sync::Arc;

use pacioli_core::schemas::RegisteredSchema;

use super::{Proposal, RegisterError, check_numbers, schema_of, tell};
use crate::catalogue::{Catalogue, Entry, is_same};
use crate::compat::{Change, Level, Size};
use crate::format::Schema;
use crate::upcast::{Pointer, Step, Upcaster};

/// What changed for readers from one version to the next, and how much that is: by the schemas, and by what the upcaster does
/// to data of the older one.
pub fn changes_with(level: Level, newer: &Schema, older: &Schema, upcaster: Option<&Upcaster>) -> (Vec<Change>, Size) {
    let mut changes = newer.changes_since(older);
    let size = level.size(&changes);
    let Some(upcaster) = upcaster.filter(|upcaster| !upcaster.steps.is_empty()) else { return (changes, size) };
    // Steps may make data look different where the schemas do not say so.
    let taken = if size == Size::Major { Vec::new() } else { taken(upcaster, older) };
    let size = if taken.is_empty() { size.max(Size::Minor) } else { Size::Major };
    changes.extend(taken);
    (changes, size)
}

/// The row of a registered version of this very schema that has a hole before it, with the upcaster that closes it; `None`
/// where there is no such version. What is registered with an upcaster keeps it.
pub(super) fn mended(
    catalogue: &Catalogue,
    proposal: &Proposal,
    compiled: &Schema,
    upcaster: &Upcaster,
) -> Result<Option<RegisteredSchema>, RegisterError> {
    let event_type = proposal.event_type.as_str();
    let entries = catalogue.versions(event_type);
    let is_it = |entry: &Arc<Entry>| {
        entry.row.version == upcaster.to
            && entry.row.upcaster.is_none()
            && is_same(entry, compiled, &proposal.references)
            && entry.upcaster().is_err()
    };
    let Some(at) = entries.iter().position(is_it) else { return Ok(None) };
    let (row, before) = (&entries[at].row, at.checked_sub(1).map(|at| &entries[at]));
    check_numbers(upcaster, before, row.version)?;
    let broken = before.map(|before| unhealed(compiled, before, upcaster)).transpose()?.unwrap_or_default();
    if !broken.is_empty() {
        let versions = before.map(|before| before.row.version.to_string()).unwrap_or_default();
        let problem = format!(
            "the upcaster leaves what breaks since version {versions}: give it steps for each of these places. {}",
            tell(&broken)
        );
        return Err(RegisterError::Incompatible { problem, changes: broken });
    }
    Ok(Some(RegisteredSchema { upcaster: proposal.upcaster.as_deref().map(Arc::from), ..row.clone() }))
}

/// What breaks those who read by the newer schema what was stored before, and that no step of an upcaster is about.
pub(super) fn unhealed(compiled: &Schema, before: &Entry, upcaster: &Upcaster) -> Result<Vec<Change>, RegisterError> {
    let mut changes = compiled.changes_since(schema_of(before)?);
    changes.retain(|change| change.breaks_backward && !heals(upcaster, change));
    Ok(changes)
}

/// Whether an upcaster does something about a change: a step of it leads to the same place, into it or around it.
pub(super) fn heals(upcaster: &Upcaster, change: &Change) -> bool {
    let place = segments(&change.path);
    upcaster.steps.iter().flat_map(Step::pointers).any(|pointer| meet(&pointer.0, &place))
}

/// Whether what a place becomes depends on the value that was there, and so cannot be foretold.
///
/// Where the place `is_missing`, what would have been moved there may only be missing in what was made up.
pub(super) fn depends_on_value(upcaster: &Upcaster, path: &str, is_missing: bool) -> bool {
    let place = segments(path);
    let depends = |step: &&Step| match step {
        Step::Cast { .. } | Step::Map { .. } | Step::Split { .. } => true,
        Step::Move { .. } | Step::Copy { .. } => is_missing,
        Step::Default { .. } | Step::Constant { .. } | Step::Drop { .. } => false,
    };
    upcaster.steps.iter().filter(depends).flat_map(Step::pointers).any(|pointer| meet(&pointer.0, &place))
}

/// What an upcaster takes from those who read by the older schema, or gives them another value for.
fn taken(upcaster: &Upcaster, older: &Schema) -> Vec<Change> {
    let described = Described { fields: older.fields().iter().map(|field| segments(&field.path)).collect() };
    let mut changes = Vec::new();
    let mut tell = |place: &Pointer, what: String, is_seen: bool| {
        if is_seen {
            let sentence = format!(
                "the upcaster {what}: whoever reads by the old schema what was stored before misses what it said there; leave \
                 `{place}` as it is (`copy` and `default` add beside it), or let those readers take the new schema first"
            );
            let path = place.to_string();
            let change = Change { path, breaks_backward: false, breaks_forward: true, is_visible: true, sentence };
            changes.push(change);
        }
    };
    for step in &upcaster.steps {
        match step {
            Step::Move { from, path } => {
                tell(from, format!("moves `{from}` to `{path}`"), described.may_be_seen(from));
                tell(path, format!("moves `{from}` over `{path}`"), described.names(path));
            }
            Step::Copy { from, path } => tell(path, format!("copies `{from}` over `{path}`"), described.names(path)),
            Step::Constant { path, .. } => tell(path, format!("sets `{path}`"), described.names(path)),
            Step::Split { from, paths, .. } => {
                paths
                    .iter()
                    .for_each(|path| tell(path, format!("splits `{from}` over `{path}`"), described.names(path)));
            }
            Step::Map { path, .. } => tell(path, format!("replaces `{path}`"), described.may_be_seen(path)),
            Step::Cast { path, .. } => tell(path, format!("casts `{path}`"), described.may_be_seen(path)),
            Step::Drop { path } => tell(path, format!("drops `{path}`"), described.may_be_seen(path)),
            // It only sets what is missing.
            Step::Default { .. } => {}
        }
    }
    changes
}

/// The fields of a schema.
struct Described {
    fields: Vec<Vec<Box<str>>>,
}

impl Described {
    /// Whether a place is a field, or holds one.
    fn names(&self, pointer: &Pointer) -> bool {
        self.fields.iter().any(|field| field.len() >= pointer.0.len() && meet(&pointer.0, field))
    }

    /// Whether a reader may look there: at what is described, and at anything in what is described no further.
    fn may_be_seen(&self, pointer: &Pointer) -> bool {
        let around = self.fields.iter().filter(|field| field.len() < pointer.0.len() && meet(&pointer.0, field));
        let nearest = around.map(Vec::len).max().unwrap_or(0);
        let is_open = || {
            let within = &pointer.0[..nearest];
            !self.fields.iter().any(|field| field.len() > nearest && meet(within, field))
        };
        self.names(pointer) || is_open()
    }
}

/// The segments of a path in data, in which `*` stands for every item.
fn segments(path: &str) -> Vec<Box<str>> {
    path.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~").into()).collect()
}

/// Whether two places are the same, or one lies in the other.
fn meet(one: &[Box<str>], other: &[Box<str>]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other || **one == *"*" || **other == *"*")
}
