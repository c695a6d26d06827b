//! What changed between two schemas, before anybody registers one.

use std::sync::Arc;

use pacioli_api::schemas::{Compared, Comparison, Reference, Side};
use pacioli_schema::catalogue::{ReferenceTo, Rules};
use pacioli_schema::register::{self, RegisterError};
use pacioli_schema::{Catalogue, Schema};

use super::{Registry, RegistryError, change, size};

impl Registry {
    /// Says what changed between two schemas, and for whom that is a break. Nothing is registered.
    ///
    /// # Errors
    /// A version is not registered, or a text is no schema.
    pub async fn compare(&self, comparison: Comparison) -> Result<Compared, RegistryError> {
        let catalogue = self.refresh().await?;
        // Schemas may take some time to compile.
        let comparing = tokio::task::spawn_blocking(move || compared(&catalogue, &comparison));
        comparing.await.map_err(|error| RegistryError::broken(&error))?
    }
}

fn compared(catalogue: &Arc<Catalogue>, comparison: &Comparison) -> Result<Compared, RegistryError> {
    let Comparison { event_type, older, newer } = comparison;
    let schema = |side: &Side| match side {
        Side::Version(version) => {
            let entry = version_of(catalogue, event_type.as_str(), *version)?;
            entry.schema().cloned().map_err(|error| RegistryError::Refused(RegisterError::Schema(error.clone())))
        }
        Side::Text { format, text, references } => {
            let refused = |error| RegistryError::Refused(RegisterError::Schema(error));
            let references: Vec<ReferenceTo> = references.iter().cloned().map(reference_to).collect();
            let references = catalogue.resolve(&references).map_err(refused)?;
            Schema::parse(*format, text, &references).map_err(refused)
        }
    };
    let (older, newer) = (schema(older)?, schema(newer)?);
    let (level, rules) = (catalogue.level(event_type.as_str()), catalogue.rules_of(event_type.as_str()));
    let changes = register::changes(rules, &newer, &older);
    Ok(Compared {
        // What the semantic version grows by is found by our rules, whosever keep the level.
        size: size(level.size(&register::changes(Rules::Ours, &newer, &older))),
        level: level.word().to_owned(),
        is_compatible: !changes.iter().any(|change| rules.forbid(level, change)),
        changes: changes.iter().map(change).collect(),
    })
}

/// A reference in the words of the rules.
pub(super) fn reference_to(reference: Reference) -> ReferenceTo {
    let Reference { name, event_type, version } = reference;
    ReferenceTo { name, event_type, version }
}

/// A registered version.
pub(super) fn version_of(
    catalogue: &Catalogue,
    event_type: &str,
    version: u32,
) -> Result<Arc<pacioli_schema::catalogue::Entry>, RegistryError> {
    if let Some(entry) = catalogue.version(event_type, version) {
        return Ok(Arc::clone(entry));
    }
    let versions: Vec<String> =
        catalogue.versions(event_type).iter().map(|entry| entry.row.version.to_string()).collect();
    Err(RegistryError::NotFound(match versions.as_slice() {
        [] => no_schema(event_type),
        versions => {
            format!("{event_type} has no schema version {version}; there are {}", versions.join(", "))
        }
    }))
}

pub(super) fn no_schema(event_type: &str) -> String {
    format!("no schema is registered for {event_type}; `pacioli schema list` shows the types that have one")
}
