//! Whether the events have what handlers ask of them. A path that leads nowhere is NULL for ever, and nobody is told by
//! the database; so stored events are looked at before a file runs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pacioli_core::schemas::{Gate, Lens, Seen};
use pacioli_core::{
    EventStore, EventType, Filter, Payload, PayloadChoice, ReadError, ReadLog, RecordedEvent, StoreError,
};
use serde_json::value::RawValue;

use super::findings::{Finding, Findings, nearest};
use super::statement::{Path, Source, Step};
use super::{Handler, On, Projection};

/// Events of one type that are looked at, at most.
pub const EVENTS_LOOKED_AT_MAX: u64 = 20_000;
/// Pages that are read, at most: a type that is rare in a large log is not searched for to its end.
const PAGES_MAX: u32 = 64;
/// Events of the first page, which mostly answers everything, and of each further one.
const PAGE_EVENTS: [usize; 2] = [64, 4_096];
/// Names of members that a message lists, at most.
const NAMES_LISTED_MAX: usize = 12;

/// One use of a path into events' data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathUse<'a> {
    /// The types that its handler is for; none where it is for every event that the header lets in.
    pub types: &'a [EventType],
    /// The path.
    pub path: &'a [Step],
    /// Where it stands.
    pub line: u32,
}

impl Projection {
    /// The paths that per-event handlers ask of events' data, in the order of the file.
    pub fn paths(&self) -> impl Iterator<Item = PathUse<'_>> {
        self.handlers.iter().flat_map(paths_of)
    }
}

impl Projection {
    /// The fields that it reads of events of a type, as JSON pointers in the order of the alphabet; `None` where it may
    /// read all of them.
    pub fn fields(&self, event_type: &EventType) -> Option<Vec<String>> {
        let mut fields = BTreeSet::new();
        for handler in &self.handlers {
            match &handler.on {
                On::Types(types) if !types.contains(event_type) => continue,
                On::Types(_) | On::Every => {}
                On::Batch => return None,
            }
            for value in handler.statements.iter().flat_map(|statement| statement.values()) {
                match &value.source {
                    Source::Data => return None,
                    Source::Path(path) => {
                        fields.insert(pointer(path));
                    }
                    _ => {}
                }
            }
        }
        Some(fields.into_iter().collect())
    }
}

/// A path as a JSON pointer.
fn pointer(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Member(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        Step::Element(index) => format!("/{index}"),
    };
    path.iter().map(step).collect()
}

fn paths_of(handler: &Handler) -> impl Iterator<Item = PathUse<'_>> {
    handler.statements.iter().flat_map(|statement| statement.values()).filter_map(|value| match &value.source {
        Source::Path(path) => Some(PathUse { types: handler.types(), path, line: value.line }),
        _ => None,
    })
}

/// Looks whether stored events have the paths that a projection's handlers name.
///
/// A type of which no event is stored is a warning: its paths are not known yet. A path that no event of its handler's
/// types has is an error where all of them were looked at, and a warning where there are more than
/// [`EVENTS_LOOKED_AT_MAX`]; one that only some of the types have is a warning. Events are looked at as the handlers will see
/// them: lifted by the gate, where the store has one, and none that the projection does not understand.
///
/// # Errors
/// The log cannot be read.
pub async fn check_paths(
    projection: &Projection,
    store: &dyn EventStore,
    gate: Option<&dyn Gate>,
) -> Result<Vec<Finding>, StoreError> {
    let lens = gate.map(|gate| gate.lens(&projection.shape()));
    let lens = lens.as_deref();
    let mut findings = Findings::of(&projection.file);
    let mut types: Vec<Sample<'_>> = Vec::new();
    let mut every = Sample::default();
    for handler in &projection.handlers {
        for one in handler.types() {
            if !types.iter().any(|sample| sample.event_type == Some(one)) {
                types.push(Sample { event_type: Some(one), ..Sample::default() });
            }
        }
    }
    for used in projection.paths() {
        every.add(used.path, used.types.is_empty());
        for sample in types.iter_mut().filter(|sample| used.types.iter().any(|one| sample.event_type == Some(one))) {
            sample.add(used.path, true);
        }
    }
    if !types.is_empty() {
        look(projection, store, lens, &mut types).await?;
    }
    for sample in types.iter().filter(|sample| sample.looked == 0) {
        tell_missing(projection, sample, &mut findings);
    }
    let star = projection.handlers.iter().find(|handler| handler.on == On::Every);
    if let Some(star) = star {
        look(projection, store, lens, std::slice::from_mut(&mut every)).await?;
        if every.looked == 0 {
            let problem =
                format!("no event{} is stored yet, so nobody knows whether the paths are right", inside(projection));
            findings.warning(star.line, problem);
        }
    }
    for used in projection.paths() {
        if used.types.is_empty() {
            tell_path(&[&every], used, &mut findings);
        } else {
            let of_use = |sample: &&Sample<'_>| used.types.iter().any(|one| sample.event_type == Some(one));
            tell_path(&types.iter().filter(of_use).collect::<Vec<_>>(), used, &mut findings);
        }
    }
    Ok(findings.sorted())
}

/// What the stored events of one type have.
#[derive(Debug, Default)]
struct Sample<'a> {
    /// The type; `None` is every event that the header lets in.
    event_type: Option<&'a EventType>,
    paths: BTreeMap<String, Sought<'a>>,
    /// How many events were looked at.
    looked: u64,
    /// Whether these are all there are.
    is_all: bool,
}

/// A path that is looked for.
#[derive(Debug)]
struct Sought<'a> {
    path: &'a [Step],
    found: bool,
    /// How many of its steps some event has, and which members there are instead of the next one.
    reached: usize,
    members: BTreeSet<String>,
}

impl<'a> Sample<'a> {
    fn add(&mut self, path: &'a [Step], is_sought: bool) {
        if is_sought {
            let sought = Sought { path, found: false, reached: 0, members: BTreeSet::new() };
            self.paths.entry(Path(path).to_string()).or_insert(sought);
        }
    }

    fn is_pending(&self) -> bool {
        let lacks = self.looked == 0 || self.paths.values().any(|sought| !sought.found);
        lacks && self.looked < EVENTS_LOOKED_AT_MAX
    }

    fn look_at(&mut self, event: &RecordedEvent) {
        self.looked += 1;
        let Payload::Json(data) = &event.data else { return };
        let Ok(document) = serde_json::from_slice::<&RawValue>(data) else { return };
        for sought in self.paths.values_mut().filter(|sought| !sought.found) {
            sought.look_at(document);
        }
    }

    fn sought(&self, path: &[Step]) -> Option<&Sought<'a>> {
        self.paths.get(&Path(path).to_string())
    }
}

impl Sought<'_> {
    fn look_at(&mut self, document: &RawValue) {
        let mut value = document;
        for (depth, step) in self.path.iter().enumerate() {
            let next = match step {
                Step::Element(index) => elements(value).and_then(|all| all.into_iter().nth(*index as usize)),
                Step::Member(name) => {
                    let members = members(value).unwrap_or_default();
                    let next = members.get(name.as_str()).copied();
                    if next.is_none() {
                        self.remember(depth, members.into_keys());
                    }
                    next
                }
            };
            let Some(next) = next else { return };
            value = next;
        }
        self.found = true;
    }

    /// Keeps the names of what lies where the path ends, of the events that come farthest.
    fn remember<'n>(&mut self, depth: usize, names: impl Iterator<Item = Cow<'n, str>>) {
        if depth > self.reached {
            (self.reached, self.members) = (depth, BTreeSet::new());
        }
        if depth == self.reached && self.members.len() < NAMES_LISTED_MAX {
            self.members.extend(names.map(Cow::into_owned));
        }
    }

    /// What there is instead of the step that leads nowhere.
    fn instead(&self) -> String {
        let Some(Step::Member(wrong)) = self.path.get(self.reached) else { return String::new() };
        if self.members.is_empty() {
            return String::new();
        }
        let written = |name: &str| {
            let mut path = self.path[..self.reached].to_vec();
            path.push(Step::Member(name.to_owned()));
            format!(":data{}", Path(&path))
        };
        if let Some(meant) = nearest(wrong, self.members.iter().map(String::as_str)) {
            return format!("; did you mean `{}`?", written(meant));
        }
        let listed = self.members.iter().take(NAMES_LISTED_MAX).map(|name| format!("`{}`", written(name)));
        format!("; there are {}", listed.collect::<Vec<_>>().join(", "))
    }
}

fn members(value: &RawValue) -> Option<BTreeMap<Cow<'_, str>, &RawValue>> {
    value.get().starts_with('{').then(|| serde_json::from_str(value.get()).ok()).flatten()
}

fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    value.get().starts_with('[').then(|| serde_json::from_str(value.get()).ok()).flatten()
}

/// Reads the log until every sample has what it looks for, or is full.
async fn look(
    projection: &Projection,
    store: &dyn EventStore,
    lens: Option<&dyn Lens>,
    samples: &mut [Sample<'_>],
) -> Result<(), StoreError> {
    let mut after = None;
    for page in 0..PAGES_MAX {
        let types: Vec<EventType> =
            samples.iter().filter(|one| one.is_pending()).filter_map(|one| one.event_type.cloned()).collect();
        if !samples.iter().any(Sample::is_pending) {
            return Ok(());
        }
        let filter = if types.is_empty() { projection.filter() } else { Filter { types, ..projection.filter() } };
        let limit = PAGE_EVENTS[usize::from(page > 0)];
        let page =
            store.read_log(ReadLog { after, filter, limit, payload: PayloadChoice::All }).await.map_err(failed)?;
        for event in page.events.iter().filter(|event| projection.wants(&event.event_type, event.stream.category())) {
            let is_of = |sample: &&mut Sample<'_>| sample.event_type.is_none_or(|one| *one == event.event_type);
            let mut pending = samples.iter_mut().filter(is_of).filter(|sample| sample.is_pending()).peekable();
            if pending.peek().is_none() {
                continue;
            }
            // What this process does not know of the registry yet it cannot lift, and a file is not refused for that.
            let mut event = Arc::clone(event);
            if matches!(lens.map(|lens| lens.see(&mut event, true)), Some(Seen::Withheld(_))) {
                continue;
            }
            pending.for_each(|sample| sample.look_at(&event));
        }
        if page.at_head() {
            for sample in samples.iter_mut() {
                sample.is_all = sample.is_pending();
            }
            return Ok(());
        }
        after = Some(page.checkpoint);
    }
    Ok(())
}

fn failed(error: ReadError) -> StoreError {
    match error {
        ReadError::Store(error) => error,
        other => StoreError::new(other.to_string()),
    }
}

/// The header's categories, as the rest of a sentence.
fn inside(projection: &Projection) -> String {
    let categories: Vec<_> = projection.categories.iter().map(|category| format!("`{category}`")).collect();
    if categories.is_empty() { String::new() } else { format!(" in streams of {}", categories.join(", ")) }
}

fn tell_missing(projection: &Projection, sample: &Sample<'_>, findings: &mut Findings) {
    let Some(one) = sample.event_type else { return };
    let handlers = projection.handlers.iter().filter(|handler| handler.types().contains(one));
    let stored = if sample.is_all { "is stored yet" } else { "is among the first that are stored" };
    for handler in handlers {
        let problem = format!(
            "no event of type `{one}`{} {stored}, so nobody knows whether the name and the paths are right",
            inside(projection)
        );
        findings.warning(handler.line, problem);
    }
}

/// Tells a path that leads nowhere in the events of `samples`.
fn tell_path(samples: &[&Sample<'_>], used: PathUse<'_>, findings: &mut Findings) {
    let stored: Vec<_> = samples.iter().filter(|sample| sample.looked > 0).collect();
    let lacks = |sample: &&&&Sample<'_>| sample.sought(used.path).is_some_and(|sought| !sought.found);
    let lacking: Vec<_> = stored.iter().filter(lacks).collect();
    let Some(first) = lacking.first() else { return };
    let who = match first.event_type {
        None => "no event".to_owned(),
        Some(_) => {
            let names: Vec<_> = lacking.iter().filter_map(|one| Some(format!("`{}`", one.event_type?))).collect();
            format!("no event of type {}", names.join(" or "))
        }
    };
    let path = format!(":data{}", Path(used.path));
    let looked: u64 = lacking.iter().map(|sample| sample.looked).sum();
    let is_all = lacking.iter().all(|sample| sample.is_all);
    let among = if is_all { String::new() } else { format!(" among the first {looked} that were looked at") };
    if lacking.len() < stored.len() {
        let problem = format!("{who} has `{path}`{among}, so it is NULL there; other types of this handler have it");
        return findings.warning(used.line, problem);
    }
    let instead = first.sought(used.path).map(Sought::instead).unwrap_or_default();
    if is_all && stored.len() == samples.len() {
        findings.error(used.line, format!("{who} has `{path}` ({looked} looked at, which are all){instead}"));
    } else {
        findings.warning(used.line, format!("{who} has `{path}`{among}{instead}"));
    }
}
