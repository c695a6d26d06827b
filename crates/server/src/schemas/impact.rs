//! Who reads a type, and whether a version of its schema suits them.

use std::collections::HashMap;
use std::sync::Arc;

use pacioli_api::schemas::{Impact, ImpactOf, ImpactedReader, ReaderCheck, ReaderKind};
use pacioli_core::schemas::{Semver, SemverRange, TrackedConsumer, Understanding};
use pacioli_core::{Category, EventType, Filter, PayloadChoice, ReadError, ReadLog, StoreError};
use pacioli_projection::service::ProjectionReader;
use pacioli_schema::register;

use super::comparing::{no_schema, version_of};
use super::readers::{self, Reader};
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
        let check = |reader: &str, ranges: &[SemverRange], is_gone: bool| {
            let suits = |semver| !ranges.is_empty() && ranges.iter().all(|range| range.contains(semver));
            if acknowledged.iter().any(|name| name == reader) {
                ReaderCheck::Acknowledged
            } else if semver.is_some_and(suits) {
                ReaderCheck::OptedIn
            } else if is_gone {
                ReaderCheck::Gone
            } else {
                ReaderCheck::Unchecked
            }
        };
        let mut occurrences = Occurrences { registry: self, event_type, known: HashMap::new() };
        let mut readers = Vec::new();
        if let Some(models) = self.read_models() {
            let projections = models.readers().await;
            let projections = projections
                .map_err(|error| RegistryError::Read(ReadError::Store(StoreError::new(error.to_string()))))?;
            for reader in &projections {
                let categories = &reader.projection.categories;
                let category = categories.first().map_or("", |category| category.as_str());
                if reader.projection.wants(event_type, category) && occurrences.lie_in(categories).await? {
                    let ranges = understood(&reader.projection.understands, event_type);
                    let status = check(reader.projection.name.as_str(), &ranges, false);
                    readers.push(ImpactedReader { status, ..self.projection(reader, event_type, &ranges) });
                }
            }
        }
        let now = self.now();
        let named = self.inner.readers.all(now).await?;
        let tracked = self.inner.rows.tracked_consumers().await?;
        for reader in named.iter().filter(|reader| readers::reads(&reader.latest, event_type)) {
            let categories = reader.latest.categories.iter().map(|name| Category::from_storage(&**name));
            if occurrences.lie_in(&categories.collect::<Vec<_>>()).await? {
                let ranges = understood(&reader.latest.understands, event_type);
                let status = check(&reader.latest.name, &ranges, reader.is_gone(&tracked, now));
                let impacted = of_name(reader, reader.tracked(&tracked), &ranges);
                readers.push(ImpactedReader { status, ..impacted });
            }
        }
        // One that gave a name for reading too is known by what it asked for.
        let is_named = |consumer: &&TrackedConsumer| named.iter().any(|reader| reader.latest.name == consumer.name);
        let of_tracked = |consumer| {
            let impacted = of_tracked(consumer);
            ImpactedReader { status: check(&impacted.name, &[], false), ..impacted }
        };
        readers.extend(tracked.iter().filter(|consumer| !is_named(consumer)).map(of_tracked));
        readers.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(readers)
    }

    fn projection(&self, reader: &ProjectionReader, event_type: &EventType, ranges: &[SemverRange]) -> ImpactedReader {
        let ProjectionReader { projection, checkpoint, runs } = reader;
        ImpactedReader {
            kind: ReaderKind::Projection,
            name: projection.name.to_string(),
            fields: projection.fields(event_type).unwrap_or_default(),
            understands: told(ranges),
            last_read_at: runs.then(|| self.now()),
            checkpoint: Some(checkpoint.clone()),
            status: ReaderCheck::Unchecked,
        }
    }
}

/// In which categories events of a type are stored, as far as that is asked.
struct Occurrences<'r> {
    registry: &'r Registry,
    event_type: &'r EventType,
    known: HashMap<Vec<Category>, bool>,
}

impl Occurrences<'_> {
    /// Whether one may lie in any of these; no categories are all that there are, where one may come whatever is stored.
    async fn lie_in(&mut self, categories: &[Category]) -> Result<bool, ReadError> {
        if categories.is_empty() {
            return Ok(true);
        }
        if let Some(known) = self.known.get(categories) {
            return Ok(*known);
        }
        let types = vec![self.event_type.clone()];
        let filter = Filter { types, categories: categories.to_vec(), ..Filter::default() };
        let read = ReadLog { after: None, filter, limit: 1, payload: PayloadChoice::None };
        let page = self.registry.store().read_log(read).await?;
        // Where the store stopped before the head without having found one, it cannot be told cheaply.
        let may_lie = !page.events.is_empty() || !page.at_head();
        self.known.insert(categories.to_vec(), may_lie);
        Ok(may_lie)
    }
}

fn of_name(reader: &Reader, tracked: Option<&TrackedConsumer>, ranges: &[SemverRange]) -> ImpactedReader {
    let Reader { latest, is_live, .. } = reader;
    ImpactedReader {
        kind: if *is_live { ReaderKind::Subscription } else { ReaderKind::Consumer },
        name: latest.name.to_string(),
        fields: Vec::new(),
        understands: told(ranges),
        last_read_at: Some(latest.read_at).max(tracked.and_then(|consumer| consumer.moved_at)),
        checkpoint: latest.checkpoint.clone().or_else(|| tracked.map(|consumer| consumer.checkpoint.clone())),
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

/// What was said about one type: each of these has to hold.
fn understood(understands: &[Understanding], event_type: &EventType) -> Vec<SemverRange> {
    understands.iter().filter(|one| one.event_type == *event_type).map(|one| one.versions.clone()).collect()
}

fn told(ranges: &[SemverRange]) -> Option<String> {
    let told: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join(" and "))
}
