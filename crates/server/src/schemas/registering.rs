//! A registration: draft, try on stored events, ask who reads, change the registry if it still is what it was.

use std::sync::Arc;

use pacioli_api::schemas::{ImpactedReader, Proposed, ReaderCheck, Registered, Registration, Size};
use pacioli_core::{EventId, EventType, RecordedEvent};
use pacioli_schema::register::{self, Draft, Proposal, Tried};
use pacioli_schema::{Catalogue, Change};
use uuid::Uuid;

use super::comparing::reference_to;
use super::{ATTEMPT_WAIT, ATTEMPTS, Registry, RegistryError, change, error, sample, size};
use crate::keep_going::KeepGoing;

impl Registry {
    /// Registers a schema, or says what would be with [`Registration::dry_run`]. Registered it is durable, and enforced on
    /// every server from then on. One that is registered already is an answer like any other: there was nothing to do.
    ///
    /// # Errors
    /// Why the rules refuse it; or that it is a break and readers were neither acknowledged nor say that they understand it.
    pub async fn register(&self, registration: Registration, by: Option<&str>) -> Result<Registered, RegistryError> {
        let (registry, by) = (self.clone(), by.map(str::to_owned));
        KeepGoing::new(async move { registry.register_whole(registration, by).await }).await
    }

    async fn register_whole(
        &self,
        registration: Registration,
        by: Option<String>,
    ) -> Result<Registered, RegistryError> {
        let Registration { proposed, acknowledged, dry_run } = registration;
        let event_type = proposed.event_type.clone();
        let strangers = self.strangers(&event_type, &acknowledged).await?;
        let proposal = Arc::new(self.proposal(proposed, by));
        let mut sample: Option<Arc<Vec<Arc<RecordedEvent>>>> = None;
        // What another server registered is not waited for: it is read first.
        let mut catalogue = self.refresh().await?;
        let mut unknown = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(ATTEMPT_WAIT * attempt).await;
                catalogue = self.refresh().await?;
            }
            let draft = Arc::new(self.draft(&catalogue, &proposal).await?);
            if draft.is_known {
                return Ok(registered(&draft, &strangers, Tried::default(), None));
            }
            let events = match &sample {
                Some(events) => Arc::clone(events),
                None => Arc::clone(sample.insert(Arc::new(sample::stored(self, &event_type).await?))),
            };
            let tried = try_on(&draft, &catalogue, events).await?;
            let looked_after = self.check_readers(&draft, &acknowledged).await?;
            if dry_run {
                return Ok(registered(&draft, &strangers, tried, None));
            }
            let change = draft.change(&catalogue, &looked_after, EventId(Uuid::now_v7()));
            if let Some(checkpoint) = self.try_change(change, &mut unknown).await? {
                tracing::info!(
                    event_type = %draft.schema.event_type,
                    version = draft.schema.version,
                    semver = %draft.schema.semver,
                    has_upcaster = draft.schema.upcaster.is_some(),
                    "a schema was registered"
                );
                return Ok(registered(&draft, &strangers, tried, Some(checkpoint)));
            }
        }
        Err(unknown.map_or(RegistryError::Busy { attempts: ATTEMPTS }, RegistryError::Change))
    }

    /// What would become of a schema, by the rules alone: neither stored events nor readers are looked at.
    pub(super) async fn draft(
        &self,
        catalogue: &Arc<Catalogue>,
        proposal: &Arc<Proposal>,
    ) -> Result<Draft, RegistryError> {
        let (catalogue, proposal) = (Arc::clone(catalogue), Arc::clone(proposal));
        // A schema may take some time to compile.
        let drafting = tokio::task::spawn_blocking(move || register::draft(&catalogue, &proposal));
        Ok(drafting.await.map_err(|error| RegistryError::broken(&error))??)
    }

    pub(super) fn proposal(&self, proposed: Proposed, by: Option<String>) -> Proposal {
        let Proposed { event_type, format, text, references, semver, upcaster } = proposed;
        let references = references.into_iter().map(reference_to).collect();
        Proposal { event_type, format, text, references, semver, upcaster, by, at: self.now() }
    }

    /// Warns of the names that were acknowledged and that nobody has who reads the type.
    async fn strangers(&self, event_type: &EventType, acknowledged: &[String]) -> Result<Vec<String>, RegistryError> {
        if acknowledged.is_empty() {
            return Ok(Vec::new());
        }
        let readers = self.readers_of(event_type, None, &[]).await?;
        let is_known = |name: &&String| readers.iter().any(|reader| reader.name == **name);
        let warn = |name: &String| {
            format!(
                "nobody who reads {event_type} has the name `{name}` that was acknowledged; `pacioli schema impact {event_type}` \
                 shows who does"
            )
        };
        Ok(acknowledged.iter().filter(|name| !is_known(name)).map(warn).collect())
    }

    /// A break is only made once somebody looked after everybody who reads the type. Gives the names of those that were
    /// acknowledged.
    async fn check_readers(&self, draft: &Draft, acknowledged: &[String]) -> Result<Vec<String>, RegistryError> {
        let is_break = size(draft.size) == Size::Major && !draft.changes.is_empty();
        if !is_break {
            return Ok(Vec::new());
        }
        let schema = &draft.schema;
        let readers = self.readers_of(&schema.event_type, Some(schema.semver), acknowledged).await?;
        if readers.iter().all(|reader| reader.status != ReaderCheck::Unchecked) {
            let acknowledged = readers.into_iter().filter(|reader| reader.status == ReaderCheck::Acknowledged);
            return Ok(acknowledged.map(|reader| reader.name).collect());
        }
        let problem = self.unchecked(draft, &readers);
        let breaks = |change: &&Change| change.breaks_backward || change.breaks_forward;
        let changes = draft.changes.iter().filter(breaks).map(change).collect();
        Err(RegistryError::Unchecked { problem, readers, changes })
    }

    fn unchecked(&self, draft: &Draft, readers: &[ImpactedReader]) -> String {
        const NAMED_MAX: usize = 8;
        let unchecked: Vec<&ImpactedReader> =
            readers.iter().filter(|reader| reader.status == ReaderCheck::Unchecked).collect();
        let named = unchecked.iter().take(NAMED_MAX).map(|reader| {
            let read = reader.last_read_at.map(|at| format!(", read {}", error::ago(at, self.now())));
            format!("{} `{}`{}", reader.kind.word(), reader.name, read.unwrap_or_default())
        });
        let more = match unchecked.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let options = unchecked.iter().take(NAMED_MAX).map(|reader| format!("--acknowledge {}", reader.name));
        format!(
            "{} {} is a break, and nobody said that who reads the type was checked: {}{more}; look whether each can take the \
             new shape and say so with {}, or let them say that they understand {}",
            draft.schema.event_type,
            draft.schema.semver,
            named.collect::<Vec<_>>().join("; "),
            options.collect::<Vec<_>>().join(" "),
            draft.schema.semver
        )
    }
}

/// Tries a draft on stored events, on a thread that may take its time.
async fn try_on(
    draft: &Arc<Draft>,
    catalogue: &Arc<Catalogue>,
    events: Arc<Vec<Arc<RecordedEvent>>>,
) -> Result<Tried, RegistryError> {
    let (draft, catalogue) = (Arc::clone(draft), Arc::clone(catalogue));
    let trying = tokio::task::spawn_blocking(move || draft.try_on(&catalogue, events.iter().map(|event| &**event)));
    Ok(trying.await.map_err(|error| RegistryError::broken(&error))??)
}

fn registered(
    draft: &Draft,
    strangers: &[String],
    tried: Tried,
    checkpoint: Option<pacioli_core::Checkpoint>,
) -> Registered {
    let schema = &draft.schema;
    Registered {
        event_type: schema.event_type.clone(),
        version: schema.version,
        semver: schema.semver,
        id: schema.id,
        is_known: draft.is_known,
        size: size(draft.size),
        changes: draft.changes.iter().map(change).collect(),
        warnings: [&draft.warnings, strangers, &tried.warnings].concat(),
        tried: tried.events as u64,
        checkpoint,
    }
}
