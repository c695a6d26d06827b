//! What becomes of a new schema: its number, its semantic version, whether it is taken.

use std::collections::HashMap;
use std::sync::Arc;

use pacioli_core::schemas::{RegisteredSchema, RegistryChange, SchemaFormat, Semver};
use pacioli_core::{EventId, EventType, NewEvent, RecordedEvent, Timestamp};
use serde_json::json;

use crate::catalogue::{Catalogue, Entry, ReferenceTo, Road, Rules, is_same, setting_name};
use crate::compat::{Change, Level, Size};
use crate::format::{Schema, SchemaError};
use crate::lint::lint;
use crate::upcast::{Upcaster, UpcasterError};

mod lifting;
mod retire;
mod settings;

#[cfg(test)]
mod lifting_tests;
#[cfg(test)]
mod tests;

pub use lifting::changes_with;
pub use retire::{RetireError, delete, remove};
pub use settings::{SettingError, set};

/// How many changes an error or a record tells of.
const CHANGES_TOLD_MAX: usize = 20;
/// How much of data that was made up is told.
const MADE_CHARACTERS_TOLD_MAX: usize = 200;

/// A schema that somebody wants to register.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The type it is of.
    pub event_type: EventType,
    /// Its language.
    pub format: SchemaFormat,
    /// Its text.
    pub text: String,
    /// What it refers to: schemas that are registered.
    pub references: Vec<ReferenceTo>,
    /// Its semantic version; `None` takes the least that the changes allow.
    pub semver: Option<Semver>,
    /// The document that lifts the version before to this one.
    pub upcaster: Option<String>,
    /// Who proposes it, where that is known.
    pub by: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// A schema that can be registered.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its row.
    pub schema: RegisteredSchema,
    /// Whether exactly this schema is registered already, so that there is nothing to do.
    pub is_known: bool,
    /// What changed since the version before; empty for the first.
    pub changes: Vec<Change>,
    /// How much that is.
    pub size: Size,
    /// What could be better about it, a sentence each.
    pub warnings: Vec<String>,
    compiled: Schema,
    upcaster: Option<Upcaster>,
    /// Whether the schema is registered, and gets the upcaster that it came without.
    is_mended: bool,
    by: Option<Box<str>>,
}

/// What came of trying a draft on events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// How many stored events were lifted, and are what the new schema says.
    pub events: usize,
    /// What is to be known besides, a sentence each.
    pub warnings: Vec<String>,
}

/// Why a schema is not registered. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// It is no schema, or costs too much.
    #[error("the schema is refused: {0}")]
    Schema(SchemaError),
    /// The document that was to lift is none.
    #[error("the upcaster is refused: {0}")]
    Upcaster(UpcasterError),
    /// The semantic version understates the changes, or does not follow the one before.
    #[error("{problem}")]
    Semver {
        /// What is wrong with it, with the changes that it understates.
        problem: String,
        /// The least that would do.
        least: Semver,
    },
    /// It breaks somebody, and nothing lifts.
    #[error("{problem}")]
    Incompatible {
        /// The changes that break, with the ways out.
        problem: String,
        /// Those changes.
        changes: Vec<Change>,
    },
    /// The upcaster does not make of a stored event what the new schema says.
    #[error("{problem}")]
    Sample {
        /// Which event, and what is wrong.
        problem: String,
    },
}

/// What changed between one registered version and a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The version.
    pub version: u32,
    /// What changed since it.
    pub changes: Vec<Change>,
}

/// Decides what becomes of a proposal. Does nothing.
///
/// The version before is the newest there is, a deleted one too: events that are stored under that have to be lifted. What is
/// registered already, and not deleted, is known, whatever semantic version is asked for; with an upcaster that it lacks it
/// gets that.
pub fn draft(catalogue: &Catalogue, proposal: &Proposal) -> Result<Draft, RegisterError> {
    let event_type = proposal.event_type.as_str();
    let references = catalogue.resolve(&proposal.references).map_err(RegisterError::Schema)?;
    let compiled = Schema::parse(proposal.format, &proposal.text, &references).map_err(RegisterError::Schema)?;
    let upcaster = proposal.upcaster.as_deref().map(Upcaster::parse).transpose().map_err(RegisterError::Upcaster)?;
    let mut warnings = lint(&proposal.event_type, &compiled);
    let by = proposal.by.as_deref().map(Box::from);
    if let Some(known) = catalogue.newest(event_type)
        && is_same(known, &compiled, &proposal.references)
        && upcaster.as_ref().is_none_or(|upcaster| known.upcaster() == Ok(Some(upcaster)))
    {
        let (schema, changes) = (known.row.clone(), Vec::new());
        let (is_known, size) = (true, Size::Patch);
        return Ok(Draft { schema, is_known, changes, size, warnings, compiled, upcaster, is_mended: false, by });
    }
    if let Some(upcaster) = &upcaster
        && let Some(schema) = lifting::mended(catalogue, proposal, &compiled, upcaster)?
    {
        let (changes, size, upcaster) = (Vec::new(), Size::Patch, Some(upcaster.clone()));
        warnings.push(format!(
            "version {} was registered without an upcaster and gets this one: what lies before it is lifted over it from now on",
            schema.version
        ));
        return Ok(Draft { schema, is_known: false, changes, size, warnings, compiled, upcaster, is_mended: true, by });
    }
    let before = catalogue.versions(event_type).last();
    let version = highest_version(catalogue, event_type).saturating_add(1);
    if let Some(upcaster) = &upcaster {
        check_numbers(upcaster, before, version)?;
    }
    let (level, rules) = (catalogue.level(event_type), catalogue.rules_of(event_type));
    let (changes, size) = match before {
        Some(before) => changes_with(level, &compiled, schema_of(before)?, upcaster.as_ref()),
        None => (Vec::new(), Size::Patch),
    };
    let semver = semver(proposal.semver, before, size, level, &changes)?;
    check_level(catalogue, (event_type, version), &compiled, upcaster.as_ref(), level, rules)?;
    if let Some(before) = before
        && upcaster.is_none()
        && changes.iter().any(|change| change.breaks_backward)
    {
        let before = before.row.version;
        warnings.push(format!(
            "nothing lifts what is stored under version {before} and before to this one: a reader that only understands \
             {semver} and newer stops at the first such event; register the same schema again with an upcaster from version \
             {before} to {version} to close that hole"
        ));
    }
    let schema = RegisteredSchema {
        event_type: proposal.event_type.clone(),
        version,
        semver,
        id: id(catalogue, &compiled, proposal),
        format: proposal.format,
        text: proposal.text.as_str().into(),
        references: ReferenceTo::written(&proposal.references).map(Arc::from),
        upcaster: proposal.upcaster.as_deref().map(Arc::from),
        is_deleted: false,
        registered_at: proposal.at,
        registered_by: proposal.by.as_deref().map(Box::from),
    };
    Ok(Draft { schema, is_known: false, changes, size, warnings, compiled, upcaster, is_mended: false, by })
}

/// What changed between registered versions of a type and a schema, by the rules that are named. Does nothing.
///
/// # Errors
/// The schema is none, or one of the versions is not registered.
pub fn compare(
    catalogue: &Catalogue,
    event_type: &str,
    (format, text): (SchemaFormat, &str),
    references: &[ReferenceTo],
    against: &[u32],
    rules: Rules,
) -> Result<Vec<Comparison>, RegisterError> {
    let references = catalogue.resolve(references).map_err(RegisterError::Schema)?;
    let schema = Schema::parse(format, text, &references).map_err(RegisterError::Schema)?;
    let compared = against.iter().map(|version| {
        let Some(entry) = catalogue.version(event_type, *version) else {
            let problem =
                format!("{event_type} has no version {version} to compare it with; ask for its versions first");
            return Err(RegisterError::Schema(SchemaError { path: String::new(), problem }));
        };
        Ok(Comparison { version: *version, changes: changes(rules, &schema, schema_of(entry)?) })
    });
    compared.collect()
}

/// What changed between two schemas of a type, as one or the other rules see it.
pub fn changes(rules: Rules, newer: &Schema, older: &Schema) -> Vec<Change> {
    match rules {
        Rules::Ours => newer.changes_since(older),
        Rules::Confluent => newer.changes_by_confluent(older),
    }
}

fn schema_of(entry: &Entry) -> Result<&Schema, RegisterError> {
    entry.schema().map_err(|error| {
        let version = entry.row.version;
        let problem = format!("version {version}, which it follows, is not taken by this build: {error}");
        RegisterError::Schema(SchemaError { path: String::new(), problem })
    })
}

fn check_numbers(upcaster: &Upcaster, before: Option<&Arc<Entry>>, version: u32) -> Result<(), RegisterError> {
    let problem = match before {
        None => "this is the first version of its type, and there is nothing to lift from; leave the upcaster out"
            .to_owned(),
        Some(before) if (upcaster.from, upcaster.to) != (before.row.version, version) => format!(
            "it lifts from version {} to {}, and this schema becomes version {version}: it has to say `\"from\": {}, \"to\": \
             {version}`; an upcaster that is registered stays as it is",
            upcaster.from, upcaster.to, before.row.version
        ),
        Some(_) => return Ok(()),
    };
    Err(RegisterError::Upcaster(UpcasterError { path: "/from".to_owned(), problem }))
}

/// The semantic version it gets.
fn semver(
    wanted: Option<Semver>,
    before: Option<&Arc<Entry>>,
    size: Size,
    level: Level,
    changes: &[Change],
) -> Result<Semver, RegisterError> {
    let Some(before) = before.map(|before| before.row.semver) else { return Ok(wanted.unwrap_or(Semver::FIRST)) };
    let least = size.next(before);
    let Some(wanted) = wanted else { return Ok(least) };
    if wanted >= least {
        return Ok(wanted);
    }
    let problem = if wanted <= before {
        format!("{wanted} does not follow {before}, the version before; say {least} or higher")
    } else {
        let breaks = |change: &Change| change.breaks_backward || level.forbids(change);
        // Where nothing in the schemas breaks, the upcaster takes something from those who read by the old one.
        let is_by_upcaster = !changes.iter().any(breaks);
        let is_told = |change: &&Change| match size {
            Size::Major => breaks(change) || is_by_upcaster && change.breaks_forward,
            Size::Minor => change.is_visible,
            Size::Patch => true,
        };
        let told = tell(changes.iter().filter(is_told));
        let told = if told.is_empty() { "its upcaster changes data".to_owned() } else { told };
        format!(
            "{wanted} understates what changed since {before}, which is a {} change: say {least} or higher. {told}",
            size.word()
        )
    };
    Err(RegisterError::Semver { problem, least })
}

/// Refuses what breaks somebody, but for what the upcaster lifts: that heals those who read by the new schema what was stored
/// before, and nobody else.
fn check_level(
    catalogue: &Catalogue,
    (event_type, version): (&str, u32),
    compiled: &Schema,
    upcaster: Option<&Upcaster>,
    level: Level,
    rules: Rules,
) -> Result<(), RegisterError> {
    let entries = catalogue.versions(event_type);
    let Some(before) = entries.last() else { return Ok(()) };
    // An upcaster that leaves a break is refused at every level: without it there would be a hole, and no wrong data.
    let mut broken: Vec<Change> =
        upcaster.map(|upcaster| lifting::unhealed(compiled, before, upcaster)).transpose()?.unwrap_or_default();
    let mut versions: Vec<u32> = Vec::from_iter((!broken.is_empty()).then_some(before.row.version));
    let heals = |change: &Change| upcaster.is_some_and(|upcaster| lifting::heals(upcaster, change));
    // Going back from the newest: whether a document lifts from the version that is looked at to the newest.
    let mut is_lifted = false;
    let mut is_first = true;
    for (at, entry) in entries.iter().enumerate().rev() {
        // By our rules events of a deleted version are still lifted through the one that follows.
        let is_passed_over = entry.row.is_deleted && (rules == Rules::Confluent || at + 1 < entries.len());
        if !is_passed_over {
            let is_broken = |change: &Change| match rules {
                Rules::Confluent if upcaster.is_some() => level.forward && change.breaks_forward,
                Rules::Ours if is_lifted || heals(change) => level.forward && change.breaks_forward,
                rules => rules.forbid(level, change),
            };
            let changes = changes(rules, compiled, schema_of(entry)?);
            let known = broken.len();
            for change in changes.into_iter().filter(is_broken) {
                if !broken[..known].iter().any(|other| other.path == change.path && other.sentence == change.sentence) {
                    broken.push(change);
                }
            }
            if broken.len() > known {
                versions.push(entry.row.version);
            }
            is_first = false;
        }
        is_lifted |= matches!(entry.upcaster(), Ok(Some(_)));
        if !is_first && !level.transitive {
            break;
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    versions.dedup();
    let versions = versions.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let way = if level.forward && broken.iter().any(|change| change.breaks_forward) {
        "an upcaster is no help for who still reads by an older schema: set another level for the type".to_owned()
    } else if upcaster.is_some() {
        "its upcaster leaves that: give it steps for each of these places".to_owned()
    } else {
        let from = before.row.version;
        format!("no upcaster comes with it: register it with an upcaster from version {from} to {version}")
    };
    let problem = format!(
        "this schema of {event_type} breaks what is held to version {versions} (level `{level}`), and {way}, or keep to the \
         shape there was, or give the new shape an event type of its own. {}",
        tell(&broken)
    );
    Err(RegisterError::Incompatible { problem, changes: broken })
}

/// Changes one behind the other.
fn tell<'a>(changes: impl IntoIterator<Item = &'a Change>) -> String {
    let mut told: Vec<String> = changes.into_iter().map(Change::to_string).collect();
    if told.len() > CHANGES_TOLD_MAX {
        let more = told.len() - CHANGES_TOLD_MAX;
        told.truncate(CHANGES_TOLD_MAX);
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

/// The number of the text: the one that it has already, of whatever type, or one that none ever had.
fn id(catalogue: &Catalogue, compiled: &Schema, proposal: &Proposal) -> u32 {
    let rows = &catalogue.registry().schemas;
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let json = value(&proposal.text);
    // Reading a text as JSON is cheap, compiling thousands of schemas is not.
    let may_be_it = |row: &&RegisteredSchema| {
        row.format == proposal.format && (proposal.format != SchemaFormat::Json || value(&row.text) == json)
    };
    let is_it = |row: &&RegisteredSchema| {
        let entry = catalogue.version(row.event_type.as_str(), row.version);
        entry.is_some_and(|entry| is_same(entry, compiled, &proposal.references))
    };
    match rows.iter().filter(may_be_it).find(is_it) {
        Some(row) => row.id,
        None => highest_id(catalogue).saturating_add(1),
    }
}

/// The highest number that a text ever had.
fn highest_id(catalogue: &Catalogue) -> u32 {
    let scope = pacioli_core::schemas::SettingScope::Global;
    let gone = catalogue.setting(&scope, setting_name::HIGHEST_ID).and_then(|value| value.parse().ok()).unwrap_or(0);
    catalogue.registry().schemas.iter().map(|row| row.id).fold(gone, u32::max)
}

/// The highest version that a type ever had; 0 where it had none.
fn highest_version(catalogue: &Catalogue, event_type: &str) -> u32 {
    let scope = pacioli_core::schemas::SettingScope::Type(event_type.into());
    let gone =
        catalogue.setting(&scope, setting_name::HIGHEST_VERSION).and_then(|value| value.parse().ok()).unwrap_or(0);
    catalogue.versions(event_type).last().map_or(gone, |entry| entry.row.version.max(gone))
}

/// An event that records a change of the registry.
fn record(id: EventId, event_type: &'static str, by: Option<&str>, data: &serde_json::Value) -> NewEvent {
    let mut event = NewEvent::json(id, EventType::from_storage(event_type), data.to_string());
    event.metadata.actor = by.map(Box::from);
    event
}

impl Draft {
    /// The schema, compiled.
    pub fn compiled(&self) -> &Schema {
        &self.compiled
    }

    /// Lifts stored events of the type, of whatever version, and holds them against the new schema. Those that no chain lifts
    /// are passed over.
    ///
    /// So are events that already are not what their own version says (stored before it was registered, or in mode `warn`):
    /// no upcaster can be blamed for them, and it is told how many they are. And so are all where the schema is known.
    ///
    /// An upcaster is tried on data made of the older schema where no event of that is stored.
    pub fn try_on<'a>(
        &self,
        catalogue: &Catalogue,
        events: impl IntoIterator<Item = &'a RecordedEvent>,
    ) -> Result<Tried, RegisterError> {
        let entries = if self.is_known { &[] } else { catalogue.versions(self.schema.event_type.as_str()) };
        // Where a version gets its upcaster later, there are others behind it.
        let entries = &entries[..entries.partition_point(|entry| entry.row.version < self.schema.version)];
        let before = entries.last().filter(|_| self.upcaster.is_some());
        let mut is_before_tried = false;
        let (mut unlike, mut strange) = (0_usize, 0_usize);
        let mut roads: HashMap<u32, Option<Road>> = HashMap::new();
        let mut tried = 0;
        for event in events {
            let version = event.schema_version;
            if event.event_type != self.schema.event_type || event.data.is_empty() {
                continue;
            }
            // Its number may have been in use before anything was registered under it.
            strange += usize::from(version == self.schema.version && self.compiled.check(&event.data).is_err());
            let place = entries.binary_search_by_key(&version, |entry| entry.row.version);
            let Ok(place) = place else { continue };
            let entry = &entries[place];
            let road = roads.entry(version).or_insert_with(|| self.road(entry, &entries[place + 1..]));
            let is_as_said = entry.schema().is_ok_and(|schema| schema.check(&event.data).is_ok());
            unlike += usize::from(!is_as_said);
            let (Some(road), true) = (road, is_as_said) else { continue };
            is_before_tried |= before.is_some_and(|before| before.row.version == version);
            let problem = match road.lift(&event.data) {
                None => "cannot be lifted: its data cannot be read by its schema, or grows over every bound".to_owned(),
                Some(data) => match self.compiled.check(&data) {
                    Ok(()) => {
                        tried += 1;
                        continue;
                    }
                    Err(broken) => {
                        let path = if broken.path.is_empty() { "the data" } else { &broken.path };
                        format!(
                            "becomes what the new schema refuses: {path} {} (rule `{}`)",
                            broken.problem, broken.rule
                        )
                    }
                },
            };
            let problem = format!(
                "the stored event at {} of `{}` ({} version {version}), lifted to version {}, {problem}; mend the upcaster or \
                 the schema",
                event.place(),
                event.stream,
                event.event_type,
                self.schema.version
            );
            return Err(RegisterError::Sample { problem });
        }
        let mut warnings = Vec::new();
        if strange > 0 {
            warnings.push(format!(
                "{strange} of the stored events that were looked at say version {} already and are not what it says; `pacioli \
                 check` tells where and why",
                self.schema.version
            ));
        }
        if unlike > 0 {
            warnings.push(format!(
                "{unlike} of the stored events that were looked at are not what their own version says, and nothing was tried \
                 on them: readers get them as they are, or lifted as far as the upcasters find what they look for"
            ));
        }
        if let (Some(before), false) = (before, is_before_tried) {
            warnings.extend(self.try_on_made(before)?);
        }
        Ok(Tried { events: tried, warnings })
    }

    /// Tries the upcaster on data made of the schema before. Returns what that leaves open.
    fn try_on_made(&self, before: &Entry) -> Result<Option<String>, RegisterError> {
        let (Some(upcaster), Ok(schema)) = (&self.upcaster, before.schema()) else { return Ok(None) };
        let Some(road) = self.road(before, &[]) else { return Ok(None) };
        let version = before.row.version;
        let none = format!("no event of version {version} is stored that the upcaster could be tried on");
        let made = schema.examples();
        for data in &made {
            let Some(lifted) = road.lift(data) else { continue };
            let Err(broken) = self.compiled.check(&lifted) else { continue };
            let path = if broken.path.is_empty() { "the data" } else { &broken.path };
            let made = String::from_utf8_lossy(data.bytes());
            let made: String = made.chars().take(MADE_CHARACTERS_TOLD_MAX).collect();
            let refused = format!(
                "{none}, and `{made}`, made of its schema, becomes what the new schema refuses: {path} {} (rule `{}`)",
                broken.problem, broken.rule
            );
            // What a table or a cast makes of a value that was made up says nothing about those that will be stored.
            if lifting::depends_on_value(upcaster, &broken.path, broken.rule == "required") {
                return Ok(Some(format!("{refused}; look whether the upcaster takes every value that there may be")));
            }
            return Err(RegisterError::Sample { problem: format!("{refused}; mend the upcaster or the schema") });
        }
        Ok(made.is_empty().then(|| format!("{none}, and none could be made of its schema: try it on data of yours")))
    }

    /// From a version through those behind it to the new one; `None` where there is a hole.
    fn road(&self, from: &Entry, entries: &[Arc<Entry>]) -> Option<Road> {
        let is_hole = self.upcaster.is_none() && self.changes.iter().any(|change| change.breaks_backward);
        let mut upcasters = entries.iter().map(|entry| entry.upcaster().ok()).collect::<Option<Vec<_>>>()?;
        upcasters.push(self.upcaster.as_ref());
        let is_json = |entry: &Entry| entry.row.format == SchemaFormat::Json;
        if is_json(from) && entries.iter().all(|entry| is_json(entry)) && self.schema.format == SchemaFormat::Json {
            return (!is_hole).then(|| Road::of_json(upcasters.into_iter().flatten()));
        }
        let schemas = entries.iter().map(|entry| entry.schema().ok()).chain([Some(&self.compiled)]);
        (!is_hole).then(|| Road::new(from.schema().ok(), upcasters.into_iter().zip(schemas)))
    }

    /// The change of the registry that registers it, recorded by an event `SchemaRegistered` with this id, which names the
    /// readers that were acknowledged. Where it [is known](Draft::is_known) there is nothing to change.
    pub fn change(&self, catalogue: &Catalogue, acknowledged: &[String], id: EventId) -> RegistryChange {
        let schema = &self.schema;
        let by = self.by.as_deref();
        let record = if self.is_mended {
            let data = json!({
                "type": schema.event_type.as_str(),
                "version": schema.version,
                "upcaster": schema.upcaster.as_deref(),
                "acknowledged": acknowledged,
            });
            record(id, "SchemaUpcasterAdded", by, &data)
        } else {
            record(id, "SchemaRegistered", by, &self.registered(acknowledged))
        };
        RegistryChange {
            expected: catalogue.generation(),
            schemas: vec![schema.clone()],
            record: vec![record],
            ..RegistryChange::default()
        }
    }

    fn registered(&self, acknowledged: &[String]) -> serde_json::Value {
        let schema = &self.schema;
        json!({
            "type": schema.event_type.as_str(),
            "version": schema.version,
            "semver": schema.semver.to_string(),
            "id": schema.id,
            "format": schema.format.word(),
            "schema": &*schema.text,
            "references": schema.references.as_deref(),
            "upcaster": schema.upcaster.as_deref(),
            "size": self.size.word(),
            "changes": self.changes.iter().take(CHANGES_TOLD_MAX).map(Change::to_string).collect::<Vec<_>>(),
            "acknowledged": acknowledged,
        })
    }
}
