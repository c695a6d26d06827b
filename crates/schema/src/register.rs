//! What becomes of a new schema: its number, its semantic version, whether it is taken.

use std::collections::HashMap;
use std::sync::Arc;

use pacioli_core::schemas::{RegisteredSchema, RegistryChange, SchemaFormat, Semver};
use pacioli_core::{EventId, EventType, NewEvent, RecordedEvent, Timestamp};
use serde_json::json;

use crate::catalogue::{Catalogue, Entry, ReferenceTo, Rules, is_same, lifted, setting_name};
use crate::compat::{Change, Level, Size};
use crate::format::{Schema, SchemaError};
use crate::lint::lint;
use crate::upcast::{Chain, Upcaster, UpcasterError};

mod retire;
mod settings;

#[cfg(test)]
mod tests;

pub use retire::{RetireError, delete, remove};
pub use settings::{SettingError, set};

/// How many changes an error or a record tells of.
const CHANGES_TOLD_MAX: usize = 20;

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
/// registered already, and not deleted, is known, whatever semantic version is asked for.
pub fn draft(catalogue: &Catalogue, proposal: &Proposal) -> Result<Draft, RegisterError> {
    let event_type = proposal.event_type.as_str();
    let references = catalogue.resolve(&proposal.references).map_err(RegisterError::Schema)?;
    let compiled = Schema::parse(proposal.format, &proposal.text, &references).map_err(RegisterError::Schema)?;
    let upcaster = proposal.upcaster.as_deref().map(Upcaster::parse).transpose().map_err(RegisterError::Upcaster)?;
    let warnings = lint(&proposal.event_type, &compiled);
    if let Some(known) = catalogue.newest(event_type)
        && is_same(known, &compiled, &proposal.references)
        && upcaster.as_ref().is_none_or(|upcaster| known.upcaster() == Ok(Some(upcaster)))
    {
        let (schema, changes) = (known.row.clone(), Vec::new());
        return Ok(Draft { schema, is_known: true, changes, size: Size::Patch, warnings, compiled, upcaster });
    }
    let before = catalogue.versions(event_type).last();
    let version = before.map_or(1, |before| before.row.version.saturating_add(1));
    if let Some(upcaster) = &upcaster {
        check_numbers(upcaster, before, version)?;
    }
    let (level, rules) = (catalogue.level(event_type), catalogue.rules_of(event_type));
    let changes = match before {
        Some(before) => compiled.changes_since(schema_of(before)?),
        None => Vec::new(),
    };
    // Steps may make data look different where the schema does not say so.
    let is_lifting = upcaster.as_ref().is_some_and(|upcaster| !upcaster.steps.is_empty());
    let size = level.size(&changes).max(if is_lifting { Size::Minor } else { Size::Patch });
    let semver = semver(proposal.semver, before, size, level, &changes)?;
    if upcaster.is_none() {
        check_level(catalogue, proposal, &compiled, level, rules)?;
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
    Ok(Draft { schema, is_known: false, changes, size, warnings, compiled, upcaster })
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
        Ok(Comparison { version: *version, changes: changes_by(rules, &schema, schema_of(entry)?) })
    });
    compared.collect()
}

/// What changed, as one or the other rules see it.
fn changes_by(rules: Rules, newer: &Schema, older: &Schema) -> Vec<Change> {
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
        let is_told = |change: &&Change| match size {
            Size::Major => change.breaks_backward || level.forbids(change),
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

/// Refuses what breaks somebody, where no document lifts.
fn check_level(
    catalogue: &Catalogue,
    proposal: &Proposal,
    compiled: &Schema,
    level: Level,
    rules: Rules,
) -> Result<(), RegisterError> {
    let event_type = proposal.event_type.as_str();
    let entries = catalogue.versions(event_type);
    let mut broken: Vec<Change> = Vec::new();
    let mut versions: Vec<u32> = Vec::new();
    // Going back from the newest: whether a document lifts from the version that is looked at to the newest.
    let mut is_lifted = false;
    let mut is_first = true;
    for (at, entry) in entries.iter().enumerate().rev() {
        // By our rules events of a deleted version are still lifted through the one that follows.
        let is_passed_over = entry.row.is_deleted && (rules == Rules::Confluent || at + 1 < entries.len());
        if !is_passed_over {
            let is_broken = |change: &Change| match rules {
                Rules::Confluent => level.forbids(change),
                Rules::Ours if is_lifted => level.forward && change.breaks_forward,
                Rules::Ours => level.forbids(change) || change.breaks_backward && level != Level::NONE,
            };
            let changes = changes_by(rules, compiled, schema_of(entry)?);
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
    let (Some(before), false) = (entries.last(), broken.is_empty()) else { return Ok(()) };
    let (from, to) = (before.row.version, before.row.version.saturating_add(1));
    let versions = versions.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let problem = format!(
        "this schema of {event_type} breaks what is held to version {versions} (level `{level}`), and no upcaster comes with \
         it: register it with an upcaster from version {from} to {to}, or keep to the shape there was, or give the new shape \
         an event type of its own. {}",
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

    /// Lifts stored events of the type, of whatever version, and holds them against the new schema. Returns how many were
    /// tried; those that no chain lifts are passed over.
    ///
    /// So are events that already are not what their own version says (stored before it was registered, or in mode `warn`):
    /// no upcaster can be blamed for them. And so are all where the schema is known. Where no upcaster comes with it, a field
    /// that is missing is no fault: the schema was found compatible, so its readers take a default for it.
    pub fn try_on<'a>(
        &self,
        catalogue: &Catalogue,
        events: impl IntoIterator<Item = &'a RecordedEvent>,
    ) -> Result<usize, RegisterError> {
        let entries = if self.is_known { &[] } else { catalogue.versions(self.schema.event_type.as_str()) };
        let mut chains: HashMap<u32, Option<Chain>> = HashMap::new();
        let mut tried = 0;
        for event in events {
            let version = event.schema_version;
            let place = entries.binary_search_by_key(&version, |entry| entry.row.version);
            let Ok(place) = place else { continue };
            if event.event_type != self.schema.event_type || event.data.is_empty() {
                continue;
            }
            let entry = &entries[place];
            let chain = chains.entry(version).or_insert_with(|| self.chain(&entries[place + 1..]));
            let is_as_said = entry.schema().is_ok_and(|schema| schema.check(&event.data).is_ok());
            let (Some(chain), true) = (chain, is_as_said) else { continue };
            let problem = match lifted(&event.data, chain, entry, || Some(&self.compiled)) {
                None => "cannot be lifted: its data cannot be read by its schema, or grows over every bound".to_owned(),
                Some(data) => match self.compiled.check(&data) {
                    Ok(()) => {
                        tried += 1;
                        continue;
                    }
                    // A reader takes the default for a required field that has one; what is missing besides was told.
                    Err(broken) if self.upcaster.is_none() && broken.rule == "required" => {
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
        Ok(tried)
    }

    /// From the version in front of these entries to the new one; `None` where there is a hole.
    fn chain(&self, entries: &[Arc<Entry>]) -> Option<Chain> {
        let is_hole = self.upcaster.is_none() && self.changes.iter().any(|change| change.breaks_backward);
        let upcasters = entries.iter().map(|entry| entry.upcaster().ok()).collect::<Option<Vec<_>>>()?;
        (!is_hole).then(|| Chain::new(upcasters.into_iter().flatten().chain(&self.upcaster)))
    }

    /// The change of the registry that registers it, recorded by an event `SchemaRegistered` with this id. Where it
    /// [is known](Draft::is_known) there is nothing to change.
    pub fn change(&self, catalogue: &Catalogue, id: EventId) -> RegistryChange {
        let schema = &self.schema;
        let data = json!({
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
        });
        RegistryChange {
            expected: catalogue.generation(),
            schemas: vec![schema.clone()],
            record: vec![record(id, "SchemaRegistered", schema.registered_by.as_deref(), &data)],
            ..RegistryChange::default()
        }
    }
}
