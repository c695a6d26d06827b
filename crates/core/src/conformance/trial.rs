//! One run of one check: the store it is about, and what it may know of it.

use std::ops::Deref;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::client::Client;
use super::random::Random;
use super::{Settings, Subject};
use crate::limits::Limits;

/// One run of one check against a fresh store. It is a [`Client`] of that store, too.
pub(super) struct Trial<'a> {
    pub(super) subject: &'a dyn Subject,
    pub(super) partitions: u16,
    pub(super) limits: Limits,
    pub(super) settings: Settings,
    client: Client,
}

impl<'a> Trial<'a> {
    /// Asks the subject for a fresh store.
    pub(super) async fn begin(
        subject: &'a dyn Subject,
        partitions: u16,
        settings: Settings,
        check: &'static str,
    ) -> Trial<'a> {
        let store = subject.fresh(partitions).await;
        // Each check has its own ids, should a subject's stores share more than they ought to.
        let salt = check.bytes().fold(settings.seed, |salt, byte| salt.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let client = Client::new(store, partitions, salt, settings.patience);
        Trial { subject, partitions, limits: subject.capabilities().limits, settings, client }
    }

    /// `count` as often as the run's scale says.
    pub(super) fn scaled(&self, count: usize) -> usize {
        count * self.settings.scale
    }

    /// Chance for this run; `purpose` keeps two uses apart.
    pub(super) fn random(&self, purpose: u64) -> Random {
        Random::new(self.settings.seed ^ (u64::from(self.partitions) << 48) ^ purpose)
    }

    /// A client to be moved into another task.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// This client, on another store of the same subject.
    pub(super) fn client_of(&self, store: Arc<dyn crate::EventStore>) -> Client {
        Client { store, ..self.client.clone() }
    }
}

impl Deref for Trial<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Waits for every task, and fails as the first one that failed.
pub(super) async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        match task.await {
            Ok(result) => results.push(result),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    results
}
