//! Taking versions out of use: hidden first, and for good where nothing needs them.

use std::sync::Arc;

use pacioli_core::schemas::{RegisteredSchema, RegistryChange, Setting, SettingScope};
use pacioli_core::{EventId, EventType};
use serde_json::json;

use super::{highest_id, highest_version, record};
use crate::catalogue::{Catalogue, Entry, ReferenceTo, setting_name};

/// Why a version is not taken out of use. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetireError {
    /// Nothing is registered for the type, or not this version.
    #[error("{event_type} has no version {version}; ask for its versions first")]
    NotFound {
        /// The type.
        event_type: EventType,
        /// The version.
        version: u32,
    },
    /// It is deleted already.
    #[error("{event_type} version {version} is deleted already; remove it for good, or leave it")]
    Deleted {
        /// The type.
        event_type: EventType,
        /// The version.
        version: u32,
    },
    /// It is to be removed for good and is not deleted.
    #[error("{event_type} version {version} is in use; delete it first, and remove it for good then")]
    NotDeleted {
        /// The type.
        event_type: EventType,
        /// The version.
        version: u32,
    },
    /// Another schema refers to it.
    #[error("{event_type} version {version} is referred to by {by} version {by_version}; delete that one first")]
    Referenced {
        /// The type.
        event_type: EventType,
        /// The version.
        version: u32,
        /// The type of the schema that refers to it.
        by: EventType,
        /// And its version.
        by_version: u32,
    },
    /// Events are stored under it.
    #[error(
        "events are stored under {event_type} version {version}, and they never change; leave it deleted, which keeps new ones out"
    )]
    Stored {
        /// The type.
        event_type: EventType,
        /// The version.
        version: u32,
    },
    /// Older events are lifted through it.
    #[error(
        "older events of {event_type} are lifted to version {to} through version {version}; leave it deleted, or remove the older versions with it"
    )]
    Lifts {
        /// The type.
        event_type: EventType,
        /// The version.
        version: u32,
        /// The version behind it.
        to: u32,
    },
}

/// Hides versions of a type: no event may be stored under them any more, and events that are stored are read as before.
/// Recorded by an event `SchemaDeleted` with this id. Does nothing itself.
pub fn delete(
    catalogue: &Catalogue,
    event_type: &EventType,
    versions: &[u32],
    by: Option<&str>,
    id: EventId,
) -> Result<RegistryChange, RetireError> {
    let mut schemas = Vec::with_capacity(versions.len());
    for entry in entries(catalogue, event_type, versions)? {
        let version = entry.row.version;
        if entry.row.is_deleted {
            return Err(RetireError::Deleted { event_type: event_type.clone(), version });
        }
        check_references(catalogue, event_type, versions, version, |row| !row.is_deleted)?;
        schemas.push(RegisteredSchema { is_deleted: true, ..entry.row.clone() });
    }
    let data = json!({ "type": event_type.as_str(), "versions": versions });
    let record = vec![record(id, "SchemaDeleted", by, &data)];
    Ok(RegistryChange { expected: catalogue.generation(), schemas, record, ..RegistryChange::default() })
}

/// Takes deleted versions of a type out of the registry for good, where nothing needs them. `stored` are the versions of the
/// type under which events are stored. Recorded by an event `SchemaRemoved` with this id. Does nothing itself.
pub fn remove(
    catalogue: &Catalogue,
    event_type: &EventType,
    versions: &[u32],
    stored: &[u32],
    by: Option<&str>,
    id: EventId,
) -> Result<RegistryChange, RetireError> {
    for entry in entries(catalogue, event_type, versions)? {
        let (event_type, version) = (event_type.clone(), entry.row.version);
        if !entry.row.is_deleted {
            return Err(RetireError::NotDeleted { event_type, version });
        }
        if stored.contains(&version) {
            return Err(RetireError::Stored { event_type, version });
        }
        check_references(catalogue, &event_type, versions, version, |_| true)?;
    }
    let removed: Vec<(EventType, u32)> = versions.iter().map(|version| (event_type.clone(), *version)).collect();
    let highest = Setting {
        scope: SettingScope::Global,
        name: setting_name::HIGHEST_ID.into(),
        value: Some(highest_id(catalogue).to_string().into()),
    };
    let highest_version = Setting {
        scope: SettingScope::Type(event_type.as_str().into()),
        name: setting_name::HIGHEST_VERSION.into(),
        value: Some(highest_version(catalogue, event_type.as_str()).to_string().into()),
    };
    let data = json!({ "type": event_type.as_str(), "versions": versions });
    let change = RegistryChange {
        expected: catalogue.generation(),
        removed,
        settings: vec![highest, highest_version],
        record: vec![record(id, "SchemaRemoved", by, &data)],
        ..RegistryChange::default()
    };
    check_ways(catalogue, event_type, &change)?;
    Ok(change)
}

fn entries<'c>(
    catalogue: &'c Catalogue,
    event_type: &EventType,
    versions: &[u32],
) -> Result<Vec<&'c Arc<Entry>>, RetireError> {
    let entry = |version: &u32| {
        let found = catalogue.version(event_type.as_str(), *version);
        found.ok_or_else(|| RetireError::NotFound { event_type: event_type.clone(), version: *version })
    };
    versions.iter().map(entry).collect()
}

/// Refuses where another schema refers to a version, unless it goes too.
fn check_references(
    catalogue: &Catalogue,
    event_type: &EventType,
    going: &[u32],
    version: u32,
    counts: impl Fn(&RegisteredSchema) -> bool,
) -> Result<(), RetireError> {
    let stays = |row: &&RegisteredSchema| row.event_type != *event_type || !going.contains(&row.version);
    let refers = |row: &&RegisteredSchema| {
        let is_it = |reference: &ReferenceTo| reference.event_type == *event_type && reference.version == version;
        row.references.is_some() && ReferenceTo::of(row).is_ok_and(|references| references.iter().any(is_it))
    };
    match catalogue.registry().schemas.iter().filter(|row| counts(row)).filter(stays).find(refers) {
        None => Ok(()),
        Some(row) => Err(RetireError::Referenced {
            event_type: event_type.clone(),
            version,
            by: row.event_type.clone(),
            by_version: row.version,
        }),
    }
}

/// Refuses where versions that stay were lifted through one that goes.
fn check_ways(catalogue: &Catalogue, event_type: &EventType, change: &RegistryChange) -> Result<(), RetireError> {
    let mut registry = catalogue.registry().clone();
    registry.apply(change);
    let after = Catalogue::new(registry, Some(catalogue));
    let entries = catalogue.versions(event_type.as_str());
    let stays = |entry: &&Arc<Entry>| after.version(event_type.as_str(), entry.row.version).is_some();
    // The first that stays has nothing in front of it that could be lifted.
    let Some(first) = entries.iter().position(|entry| stays(&entry)) else { return Ok(()) };
    for (at, entry) in entries.iter().enumerate().skip(first + 1).filter(|(_, entry)| stays(entry)) {
        let gone = entries[first..at].iter().rev().take_while(|entry| !stays(entry));
        let gone: Vec<&Arc<Entry>> = gone.collect();
        let steps = || gone.iter().copied().chain([entry]);
        if gone.is_empty() || steps().any(|entry| entry.upcaster().is_err()) {
            // Nothing goes here, or nothing was lifted here before either.
            continue;
        }
        let is_lifted_now =
            after.version(event_type.as_str(), entry.row.version).is_some_and(|entry| entry.upcaster().is_ok());
        if steps().any(|entry| entry.upcaster() != Ok(None)) || !is_lifted_now {
            let (version, to) = (gone[0].row.version, entry.row.version);
            return Err(RetireError::Lifts { event_type: event_type.clone(), version, to });
        }
    }
    Ok(())
}
