//! Who reads a type, and whether a version of its schema suits them.

use std::sync::Arc;

use pacioli_api::schemas::{Impact, ImpactOf, ImpactedReader, ReaderCheck, ReaderKind};
use pacioli_core::schemas::{NamedReader, Semver, SemverRange, TrackedConsumer, Understanding};
use pacioli_core::{EventType, Timestamp};
use pacioli_core::{ReadError, StoreError};
use pacioli_projection::service::ProjectionReader;
use pacioli_schema::register;

use super::comparing::{no_schema, version_of};
use super::readers::Known;
use super::{Registry, RegistryError, change, size};

impl Registry {
    /// Says who reads a type, which fields of it and when they last did, and for a version or a proposed schema what changed
    /// and who said to understand it.
    ///
    /// # Errors
    /// There is no such version, or the rules refuse the proposed schema.
    pub async fn impact(&self, of: ImpactOf) -> Result<Impact, RegistryError> {
        let catalogue = self.refresh().await?;
        let mut impact = match of {
            ImpactOf::Type(event_type) => {
                Impact { event_type, version: None, semver: None, size: None, changes: Vec::new(), readers: Vec::new() }
            }
            ImpactOf::Version(event_type, version) => {
                let versions = catalogue.versions(event_type.as_str());
                if versions.is_empty() {
                    return Err(RegistryError::NotFound(no_schema(event_type.as_str())));
                }
                let entry = version_of(&catalogue, event_type.as_str(), version)?;
                let before = versions.iter().rfind(|before| before.row.version < version);
                let level = catalogue.level(event_type.as_str());
                let (changes, grown) = match before.map(|before| (entry.schema(), before.schema())) {
                    Some((Ok(newer), Ok(older))) => {
                        register::changes_with(level, newer, older, entry.upcaster().ok().flatten())
                    }
                    // One that does not compile is compared with nothing.
                    _ => (Vec::new(), pacioli_schema::Size::Patch),
                };
                Impact {
                    version: Some(version),
                    semver: Some(entry.row.semver),
                    size: Some(size(grown)),
                    changes: changes.iter().map(change).collect(),
                    event_type,
                    readers: Vec::new(),
                }
            }
            ImpactOf::Proposed(proposed) => {
                let draft = self.draft(&catalogue, &Arc::new(self.proposal(*proposed, None))).await?;
                Impact {
                    event_type: draft.schema.event_type.clone(),
                    version: Some(draft.schema.version),
                    semver: Some(draft.schema.semver),
                    size: Some(size(draft.size)),
                    changes: draft.changes.iter().map(change).collect(),
                    readers: Vec::new(),
                }
            }
        };
        impact.readers = self.readers_of(&impact.event_type, impact.semver, &[]).await?;
        Ok(impact)
    }

    /// Who reads a type, by kind and name, and whether a version suits them.
    pub(super) async fn readers_of(
        &self,
        event_type: &EventType,
        semver: Option<Semver>,
        acknowledged: &[String],
    ) -> Result<Vec<ImpactedReader>, RegistryError> {
        let mut readers = Vec::new();
        if let Some(models) = self.read_models() {
            let projections = models.readers().await;
            let projections = projections
                .map_err(|error| RegistryError::Read(ReadError::Store(StoreError::new(error.to_string()))))?;
            readers.extend(projections.iter().filter_map(|reader| self.projection(reader, event_type)));
        }
        let named = self.inner.readers.all().await?;
        let tracked = self.inner.rows.tracked_consumers().await?;
        let of_that_name = |known: &Known| tracked.iter().find(|consumer| consumer.name == known.latest.name);
        let now = self.now();
        readers.extend(
            named
                .iter()
                .filter(|known| reads(&known.latest, event_type))
                .map(|known| of_name(known, of_that_name(known), event_type, now)),
        );
        // One that gave a name for reading too is known by what it asked for.
        let is_named = |consumer: &&TrackedConsumer| named.iter().any(|known| known.latest.name == consumer.name);
        readers.extend(tracked.iter().filter(|consumer| !is_named(consumer)).map(of_tracked));
        for reader in &mut readers {
            let range = reader.understands.as_deref().and_then(|range| range.parse::<SemverRange>().ok());
            reader.status = if acknowledged.contains(&reader.name) {
                ReaderCheck::Acknowledged
            } else if semver.zip(range).is_some_and(|(semver, range)| range.contains(semver)) {
                ReaderCheck::OptedIn
            } else {
                ReaderCheck::Unchecked
            };
        }
        readers.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(readers)
    }

    fn projection(&self, reader: &ProjectionReader, event_type: &EventType) -> Option<ImpactedReader> {
        let ProjectionReader { projection, checkpoint, runs } = reader;
        // Of its categories, those in which the type occurs are not known.
        let category = projection.categories.first().map_or("", |category| category.as_str());
        projection.wants(event_type, category).then(|| ImpactedReader {
            kind: ReaderKind::Projection,
            name: projection.name.to_string(),
            fields: projection.fields(event_type).unwrap_or_default(),
            understands: understood(&projection.understands, event_type),
            last_read_at: runs.then(|| self.now()),
            checkpoint: Some(checkpoint.clone()),
            status: ReaderCheck::Unchecked,
        })
    }
}

/// Whether a reader asked for events of a type.
fn reads(reader: &NamedReader, event_type: &EventType) -> bool {
    reader.types.is_empty() || reader.types.contains(event_type)
}

fn of_name(known: &Known, tracked: Option<&TrackedConsumer>, event_type: &EventType, now: Timestamp) -> ImpactedReader {
    let reader = &known.latest;
    ImpactedReader {
        kind: if known.is_live(now) { ReaderKind::Subscription } else { ReaderKind::Consumer },
        name: reader.name.to_string(),
        fields: Vec::new(),
        understands: understood(&reader.understands, event_type),
        last_read_at: Some(reader.read_at).max(tracked.and_then(|consumer| consumer.moved_at)),
        checkpoint: reader.checkpoint.clone().or_else(|| tracked.map(|consumer| consumer.checkpoint.clone())),
        status: ReaderCheck::Unchecked,
    }
}

/// A consumer that is known by the checkpoint of its appends alone: it may read every type.
fn of_tracked(consumer: &TrackedConsumer) -> ImpactedReader {
    ImpactedReader {
        kind: ReaderKind::Consumer,
        name: consumer.name.to_string(),
        fields: Vec::new(),
        understands: None,
        last_read_at: consumer.moved_at,
        checkpoint: Some(consumer.checkpoint.clone()),
        status: ReaderCheck::Unchecked,
    }
}

/// What was said about one type.
fn understood(understands: &[Understanding], event_type: &EventType) -> Option<String> {
    understands.iter().find(|one| one.event_type == *event_type).map(|one| one.versions.to_string())
}
