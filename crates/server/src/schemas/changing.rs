//! Changes of the registry that are no registrations: a version goes, a setting changes.

use pacioli_api::schemas::Deleted;
use pacioli_core::schemas::{RegistryChange, RegistryOutcome, Setting};
use pacioli_core::{AppendError, Checkpoint, EventId, EventType};
use pacioli_schema::Catalogue;
use pacioli_schema::register::{self, RetireError};
use uuid::Uuid;

use super::comparing::{no_schema, version_of};
use super::{ATTEMPT_WAIT, ATTEMPTS, Registry, RegistryError, sample};
use crate::keep_going::KeepGoing;

impl Registry {
    /// Hides a version, or all of a type: no event is stored under it any more, and those that are stay readable.
    /// `permanent` takes away what was hidden before, where no stored event follows it and none is lifted through it.
    ///
    /// # Errors
    /// There is no such version, or it cannot be taken away.
    pub async fn delete(
        &self,
        event_type: &EventType,
        version: Option<u32>,
        permanent: bool,
        by: Option<&str>,
    ) -> Result<Deleted, RegistryError> {
        let (registry, event_type, by) = (self.clone(), event_type.clone(), by.map(str::to_owned));
        let deleting = KeepGoing::new(async move {
            let stored = match permanent {
                // They are hidden by then, so that no event comes meanwhile.
                true => {
                    let versions = versions(&*registry.refresh().await?, &event_type, version, permanent)?;
                    registry.stored_under(&event_type, &versions).await?
                }
                false => Vec::new(),
            };
            let mut gone = Vec::new();
            let change = |catalogue: &Catalogue, id| {
                gone = versions(catalogue, &event_type, version, permanent)?;
                let change = match permanent {
                    false => register::delete(catalogue, &event_type, &gone, by.as_deref(), id),
                    true => register::remove(catalogue, &event_type, &gone, &stored, by.as_deref(), id),
                };
                change.map_err(refused)
            };
            let checkpoint = registry.change(change).await?;
            Ok(Deleted { versions: gone, checkpoint })
        });
        deleting.await
    }

    /// Makes a setting, or takes it away where its value is `None`.
    ///
    /// # Errors
    /// There is no such setting, or it has not such a value.
    pub async fn set(&self, setting: Setting, by: Option<&str>) -> Result<Checkpoint, RegistryError> {
        self.set_all(vec![setting], by).await
    }

    /// Makes several settings, all or none.
    ///
    /// # Errors
    /// Those of [`Registry::set`].
    pub async fn set_all(&self, settings: Vec<Setting>, by: Option<&str>) -> Result<Checkpoint, RegistryError> {
        let (registry, by) = (self.clone(), by.map(str::to_owned));
        KeepGoing::new(async move {
            let change = |catalogue: &Catalogue, id| {
                let change = register::set(catalogue, &settings, by.as_deref(), id);
                change.map_err(|error| RegistryError::invalid("setting", error.problem))
            };
            registry.change(change).await
        })
        .await
    }

    /// Makes a change that is thought out anew whenever others were faster.
    async fn change(
        &self,
        mut think: impl FnMut(&Catalogue, EventId) -> Result<RegistryChange, RegistryError> + Send,
    ) -> Result<Checkpoint, RegistryError> {
        let mut unknown = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(ATTEMPT_WAIT * attempt).await;
            }
            let catalogue = self.refresh().await?;
            let change = think(&catalogue, EventId(Uuid::now_v7()))?;
            let told = change.record.first().map(|event| event.event_type.clone());
            if let Some(checkpoint) = self.try_change(change, &mut unknown).await? {
                tracing::info!(change = told.as_ref().map(EventType::as_str), "the schema registry was changed");
                return Ok(checkpoint);
            }
        }
        Err(unknown.map_or(RegistryError::Busy { attempts: ATTEMPTS }, RegistryError::Change))
    }

    /// Makes a change, if the registry still is what it was thought out for. `None` where it has to be thought out again:
    /// others were faster, or `unknown` says why nobody knows whether it was done.
    pub(super) async fn try_change(
        &self,
        change: RegistryChange,
        unknown: &mut Option<AppendError>,
    ) -> Result<Option<Checkpoint>, RegistryError> {
        match self.inner.rows.change_registry(change).await {
            Ok(RegistryOutcome::Changed { checkpoint, .. }) => Ok(Some(checkpoint)),
            Ok(RegistryOutcome::Moved { .. }) => {
                *unknown = None;
                Ok(None)
            }
            // Whether it was done is seen in the registry, and a second try finds it moved if it was.
            Err(error @ AppendError::Unknown { .. }) => {
                *unknown = Some(error);
                Ok(None)
            }
            Err(error) => Err(RegistryError::Change(error)),
        }
    }

    /// Under which of these versions events are stored.
    async fn stored_under(&self, event_type: &EventType, versions: &[u32]) -> Result<Vec<u32>, RegistryError> {
        let stored = sample::stored_under(self, event_type, versions).await?;
        stored.ok_or_else(|| {
            RegistryError::State(format!(
                "the log is too long to see in time whether an event of {event_type} follows this schema; leave it deleted, \
                 which keeps new ones out"
            ))
        })
    }
}

/// The versions that are meant: one, or all that there are to be hidden or taken away.
fn versions(
    catalogue: &Catalogue,
    event_type: &EventType,
    version: Option<u32>,
    permanent: bool,
) -> Result<Vec<u32>, RegistryError> {
    if let Some(version) = version {
        return Ok(vec![version_of(catalogue, event_type.as_str(), version)?.row.version]);
    }
    let entries = catalogue.versions(event_type.as_str()).iter();
    // What was hidden before is not hidden again.
    let meant: Vec<u32> =
        entries.filter(|entry| permanent || !entry.row.is_deleted).map(|entry| entry.row.version).collect();
    match meant.is_empty() {
        true => Err(RegistryError::NotFound(no_schema(event_type.as_str()))),
        false => Ok(meant),
    }
}

fn refused(error: RetireError) -> RegistryError {
    match error {
        RetireError::NotFound { .. } | RetireError::Deleted { .. } => RegistryError::NotFound(error.to_string()),
        _ => RegistryError::State(error.to_string()),
    }
}
