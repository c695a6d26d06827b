//! The registry with its schemas compiled, as it was at one generation.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use pacioli_core::schemas::{Generation, RegisteredSchema, Registry, SchemaFormat, SemverRange, SettingScope};
use pacioli_core::{EventType, RecordedEvent};

use crate::compat::Level;
use crate::format::{Reference, Schema, SchemaError};
use crate::frame;
use crate::upcast::Upcaster;

mod references;
mod road;
mod settings;

pub use references::ReferenceTo;
pub(crate) use road::Road;
pub use settings::{Mode, RegistryMode, Rules, setting_name};

use settings::Settings;

/// How many ranges the ways of one type are kept for; one more, and all are found anew.
const RANGES_MAX: usize = 256;

/// One registered version, compiled when it is first asked for.
#[derive(Debug)]
pub struct Entry {
    /// Its row.
    pub row: RegisteredSchema,
    compiled: Arc<Compiled>,
    /// The version before, where there is one.
    before: Option<(u32, Arc<Compiled>)>,
    upcaster: OnceLock<Result<Option<Upcaster>, Hole>>,
}

/// A text and what it refers to, compiled when that is first asked for.
#[derive(Debug)]
struct Compiled {
    format: SchemaFormat,
    text: Arc<str>,
    references: Result<Vec<Reference>, SchemaError>,
    schema: OnceLock<Result<Schema, SchemaError>>,
}

impl Compiled {
    fn schema(&self) -> Result<&Schema, &SchemaError> {
        let compile = || Schema::parse(self.format, &self.text, self.references.as_ref().map_err(Clone::clone)?);
        self.schema.get_or_init(compile).as_ref()
    }

    fn is_same_as(&self, other: &Compiled) -> bool {
        self.format == other.format && self.text == other.text && self.references == other.references
    }
}

impl Entry {
    /// The schema. What was registered by a build that took more than this one does may fail to compile.
    pub fn schema(&self) -> Result<&Schema, &SchemaError> {
        self.compiled.schema()
    }

    /// What lifts the version before to this one: `Ok(None)` where that is the identity, a compatible change without a
    /// document; `Err` where the chain has a hole here, a break that was registered without one.
    pub fn upcaster(&self) -> Result<Option<&Upcaster>, Hole> {
        self.upcaster.get_or_init(|| self.find_upcaster()).as_ref().map(Option::as_ref).map_err(|hole| *hole)
    }

    fn find_upcaster(&self) -> Result<Option<Upcaster>, Hole> {
        let Some((version, before)) = &self.before else { return Ok(None) };
        let hole = Hole { version: self.row.version };
        if let Some(text) = &self.row.upcaster {
            let upcaster = Upcaster::parse(text).map_err(|_| hole)?;
            // The version that it lifts from may be gone for good; then the one before that counts.
            if upcaster.from == *version {
                return Ok(Some(upcaster));
            }
        }
        let (Ok(older), Ok(newer)) = (before.schema(), self.schema()) else { return Err(hole) };
        if newer.changes_since(older).iter().any(|change| change.breaks_backward) { Err(hole) } else { Ok(None) }
    }
}

/// A break between two versions that nothing lifts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The version behind it.
    pub version: u32,
}

/// A way from a stored version to a newer one.
#[derive(Clone, Debug)]
pub struct Lift {
    /// The version it ends at.
    pub version: u32,
    road: Road,
    from: Arc<Entry>,
    to: Arc<Entry>,
}

impl Lift {
    /// Brings an event to the end of the way, in place where nobody shares it, and says whether it did: data that cannot be
    /// lifted (binary data that a schema on the way cannot read, or that would grow over a bound) stays what it is under the
    /// version it was stored with.
    ///
    /// An event that was read without its data gets the newer version and no data.
    pub fn apply(&self, event: &mut Arc<RecordedEvent>) -> bool {
        // Only binary data may be framed, and only for that the schema has to be known.
        let from = if event.data.is_json() { None } else { self.from.schema().ok() };
        let end = (self.to.row.format, self.to.row.id);
        let Some(data) = frame::lifted(&event.data, from, end, |data| self.road.lift(data)) else { return false };
        let event = Arc::make_mut(event);
        (event.data, event.schema_version) = (data, self.version);
        true
    }
}

/// Compiled and looked up by type. Built anew for each generation; what did not change is taken over from the one before.
#[derive(Debug, Default)]
pub struct Catalogue {
    registry: Registry,
    types: HashMap<EventType, Arc<Kind>>,
    ids: HashMap<u32, Vec<Arc<Entry>>>,
    settings: Settings,
}

/// What is registered for one type.
#[derive(Debug, Default)]
struct Kind {
    /// By version.
    entries: Vec<Arc<Entry>>,
    /// For each of them, the way to the newest version.
    newest: Vec<OnceLock<Option<Arc<Lift>>>>,
    /// The ways within a range, from each version that was asked for.
    within: RwLock<HashMap<SemverRange, HashMap<u32, Way>>>,
}

type Way = Result<Option<Arc<Lift>>, NotUnderstood>;

impl Kind {
    fn place(&self, version: u32) -> Option<usize> {
        self.entries.binary_search_by_key(&version, |entry| entry.row.version).ok()
    }

    /// The way from a version to the newest one that is reached and understood, a deleted one too: to delete is to keep new
    /// events out, and what is stored is read as before.
    fn way(&self, from: usize, understands: Option<&SemverRange>) -> Way {
        let is_understood = |entry: &Entry| understands.is_none_or(|range| range.contains(entry.row.semver));
        let mut end = is_understood(&self.entries[from]).then_some(from);
        for (place, entry) in self.entries.iter().enumerate().skip(from + 1) {
            if entry.upcaster().is_err() {
                break;
            }
            if is_understood(entry) {
                end = Some(place);
            }
        }
        let end = end.ok_or(NotUnderstood)?;
        if end == from {
            return Ok(None);
        }
        let steps = || self.entries[from + 1..=end].iter().map(|entry| (entry.upcaster().ok().flatten(), entry));
        let road = if self.entries[from..=end].iter().all(|entry| entry.row.format == SchemaFormat::Json) {
            Road::of_json(steps().filter_map(|(upcaster, _)| upcaster))
        } else {
            Road::new(
                self.entries[from].schema().ok(),
                steps().map(|(upcaster, entry)| (upcaster, entry.schema().ok())),
            )
        };
        let (from, to) = (Arc::clone(&self.entries[from]), Arc::clone(&self.entries[end]));
        Ok(Some(Arc::new(Lift { version: to.row.version, road, from, to })))
    }

    fn way_within(&self, from: usize, range: &SemverRange) -> Way {
        let version = self.entries[from].row.version;
        let known = self.within.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = known.get(range).and_then(|ways| ways.get(&version)) {
            return way.clone();
        }
        drop(known);
        let way = self.way(from, Some(range));
        let mut known = self.within.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= RANGES_MAX && !known.contains_key(range) {
            known.clear();
        }
        known.entry(range.clone()).or_default().insert(version, way.clone());
        way
    }
}

impl Catalogue {
    /// The catalogue of a registry. `before` spares compiling again what it has compiled.
    pub fn new(registry: Registry, before: Option<&Catalogue>) -> Catalogue {
        let mut types: Rows<'_> = BTreeMap::new();
        for row in &registry.schemas {
            types.entry(row.event_type.as_str()).or_default().push(row);
        }
        types.values_mut().for_each(|rows| rows.sort_by_key(|row| row.version));
        let mut catalogue = Catalogue { settings: Settings::new(&registry.settings), ..Catalogue::default() };
        for rows in types.values() {
            let event_type = &rows[0].event_type;
            let known = before.and_then(|before| before.types.get(event_type));
            let kind = kind(rows, &types, known);
            for entry in &kind.entries {
                catalogue.ids.entry(entry.row.id).or_default().push(Arc::clone(entry));
            }
            catalogue.types.insert(event_type.clone(), kind);
        }
        catalogue.registry = registry;
        catalogue
    }

    /// The rows it was built of.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The generation of them.
    pub fn generation(&self) -> Generation {
        self.registry.generation
    }

    /// The types that something is registered for, by name.
    pub fn types(&self) -> Vec<&EventType> {
        let mut types: Vec<&EventType> = self.types.keys().collect();
        types.sort();
        types
    }

    /// The versions of a type, deleted ones too, in order; empty where nothing is registered for it.
    pub fn versions(&self, event_type: &str) -> &[Arc<Entry>] {
        self.types.get(event_type).map_or(&[], |kind| &kind.entries)
    }

    /// One version of a type.
    pub fn version(&self, event_type: &str, version: u32) -> Option<&Arc<Entry>> {
        let kind = self.types.get(event_type)?;
        Some(&kind.entries[kind.place(version)?])
    }

    /// The newest version of a type that events may be stored under.
    pub fn newest(&self, event_type: &str) -> Option<&Arc<Entry>> {
        self.versions(event_type).iter().rfind(|entry| !entry.row.is_deleted)
    }

    /// The versions, of whatever types, whose text has this number, deleted ones too.
    pub fn with_id(&self, id: u32) -> &[Arc<Entry>] {
        self.ids.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The newest version of a type that is this very schema, however it is spelled.
    pub fn same(&self, event_type: &str, schema: &Schema, references: &[ReferenceTo]) -> Option<&Arc<Entry>> {
        self.versions(event_type).iter().rev().find(|entry| is_same(entry, schema, references))
    }

    /// The texts of registered schemas that one refers to, and what those refer to in turn.
    ///
    /// # Errors
    /// One of them is not registered.
    pub fn resolve(&self, references: &[ReferenceTo]) -> Result<Vec<Reference>, SchemaError> {
        references::resolve(references, &|event_type, version| {
            self.version(event_type, version).map(|entry| &entry.row)
        })
    }

    /// Whether events of a type in a category are held against schemas, and whether that was set for the category.
    ///
    /// What is set for the category counts before what is set for all. Where neither is, a type that has a schema is
    /// enforced, and one that has none is warned of.
    pub fn mode(&self, category: &str, event_type: &str) -> (Mode, bool) {
        self.mode_of(category, self.types.contains_key(event_type))
    }

    /// The same where it is known whether the type has a schema.
    pub(crate) fn mode_of(&self, category: &str, has_schema: bool) -> (Mode, bool) {
        if let Some(mode) = self.settings.category(category).mode {
            return (mode, true);
        }
        let unset = if has_schema { Mode::Enforce } else { Mode::Warn };
        (self.settings.global.mode.unwrap_or(unset), false)
    }

    /// Whether every event passes, and gets the version that it says: nothing is registered, and no mode is set.
    pub(crate) fn lets_all_pass(&self) -> bool {
        self.types.is_empty() && !self.settings.has_mode
    }

    /// The level of a type: what is set for it, else what is set for all.
    pub fn level(&self, event_type: &str) -> Level {
        let level = self.settings.of_type(event_type).level.or(self.settings.global.level);
        level.unwrap_or(Level::DEFAULT)
    }

    /// By whose rules the level of a type is kept: as they were set together with the level that counts.
    pub fn rules_of(&self, event_type: &str) -> Rules {
        let of_type = self.settings.of_type(event_type);
        let scope = if of_type.level.is_some() { of_type } else { &self.settings.global };
        scope.rules.unwrap_or(Rules::Ours)
    }

    /// What the surface of a schema registry lets be done with a type: what is set for it, else what is set for all.
    pub fn registry_mode(&self, event_type: &str) -> RegistryMode {
        let mode = self.settings.of_type(event_type).registry_mode.or(self.settings.global.registry_mode);
        mode.unwrap_or(RegistryMode::ReadWrite)
    }

    /// The value of a setting in exactly this scope.
    pub fn setting(&self, scope: &SettingScope, name: &str) -> Option<&str> {
        let is_it = |setting: &&pacioli_core::schemas::Setting| setting.scope == *scope && *setting.name == *name;
        self.registry.settings.iter().find(is_it).and_then(|setting| setting.value.as_deref())
    }

    /// How an event of a type that is stored under `version` is lifted: to the newest version that can be reached, or to
    /// the newest within what a reader understands. `None` where it stays as it is, being there already or unknown.
    ///
    /// A deleted version is part of the way like any other, and may be its end. A version of a type for which nothing at all is registered counts as the semantic version of that
    /// major, so that `^1` understands version 1 of it. Of a type that has schemas, a version that is not registered is
    /// never understood by a reader that states what it understands.
    ///
    /// # Errors
    /// Nothing from `version` on that can be reached is understood.
    pub fn lift(
        &self,
        event_type: &EventType,
        version: u32,
        understands: Option<&SemverRange>,
    ) -> Result<Option<Arc<Lift>>, NotUnderstood> {
        let Some(kind) = self.types.get(event_type) else {
            let is_understood = understands.is_none_or(|range| range.contains(unregistered(version)));
            return if is_understood { Ok(None) } else { Err(NotUnderstood) };
        };
        match (kind.place(version), understands) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(NotUnderstood),
            (Some(from), None) => Ok(kind.newest[from].get_or_init(|| kind.way(from, None).unwrap_or(None)).clone()),
            (Some(from), Some(range)) => kind.way_within(from, range),
        }
    }
}

/// What a version counts as whose type has no schema at all.
pub(crate) fn unregistered(version: u32) -> pacioli_core::schemas::Semver {
    pacioli_core::schemas::Semver { major: version, minor: 0, patch: 0 }
}

/// Whether an entry is this very schema.
pub(crate) fn is_same(entry: &Entry, schema: &Schema, references: &[ReferenceTo]) -> bool {
    entry.row.format == schema.format()
        && entry.schema().is_ok_and(|known| known.canonical() == schema.canonical())
        && ReferenceTo::of(&entry.row).is_ok_and(|known| known == references)
}

/// A reader understands no version that an event of this one can be lifted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnderstood;

/// The rows of each type, by version.
type Rows<'r> = BTreeMap<&'r str, Vec<&'r RegisteredSchema>>;

/// The versions of a type, with what is known of them already.
fn kind(rows: &[&RegisteredSchema], types: &Rows<'_>, known: Option<&Arc<Kind>>) -> Arc<Kind> {
    let row_of = |event_type: &str, version: u32| {
        let rows = types.get(event_type)?;
        rows.binary_search_by_key(&version, |row| row.version).ok().map(|place| rows[place])
    };
    let mut entries: Vec<Arc<Entry>> = Vec::with_capacity(rows.len());
    for row in rows {
        let known = known.and_then(|known| Some(&known.entries[known.place(row.version)?]));
        let references = ReferenceTo::of(row).and_then(|references| references::resolve(&references, &row_of));
        let compiled =
            Compiled { format: row.format, text: Arc::clone(&row.text), references, schema: OnceLock::new() };
        let compiled = match known {
            Some(known) if known.compiled.is_same_as(&compiled) => Arc::clone(&known.compiled),
            _ => Arc::new(compiled),
        };
        let before = entries.last().map(|before| (before.row.version, Arc::clone(&before.compiled)));
        let is_unchanged = |known: &&Arc<Entry>| {
            let is_same_before = match (&known.before, &before) {
                (None, None) => true,
                (Some((known, one)), Some((version, other))) => known == version && Arc::ptr_eq(one, other),
                _ => false,
            };
            known.row == **row && Arc::ptr_eq(&known.compiled, &compiled) && is_same_before
        };
        entries.push(match known.filter(is_unchanged) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Entry { row: (*row).clone(), compiled, before, upcaster: OnceLock::new() }),
        });
    }
    if let Some(known) = known
        && known.entries.len() == entries.len()
        && known.entries.iter().zip(&entries).all(|(known, entry)| Arc::ptr_eq(known, entry))
    {
        return Arc::clone(known);
    }
    let newest = entries.iter().map(|_| OnceLock::new()).collect();
    Arc::new(Kind { entries, newest, within: RwLock::default() })
}
