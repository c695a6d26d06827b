//! The faults of registries: a store that keeps the contract, with a gate or a registry between that does not.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use pacioli_core::append::Refusal;
use pacioli_core::conformance::Gated;
use pacioli_core::memory::MemoryStore;
use pacioli_core::schemas::*;
use pacioli_core::store::*;
use pacioli_core::subscription::Subscribe;
use pacioli_core::*;
use uuid::Uuid;

use super::Fault;

/// A store and its registry, with a fault.
pub(crate) struct BrokenRegistry {
    inner: MemoryStore,
    fault: Fault,
    gate: Arc<Between>,
}

/// The gate that the store has: it asks the one that the check gave.
struct Between {
    fault: Fault,
    given: RwLock<Arc<dyn Gate>>,
    /// What it says its generation is, where it does not ask.
    known: RwLock<Registry>,
}

impl BrokenRegistry {
    pub(crate) fn fresh(fault: Fault, partitions: u16, gate: Arc<dyn Gate>) -> Gated {
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        let gate = Arc::new(Between { fault, given: RwLock::new(gate), known: RwLock::default() });
        let inner = MemoryStore::with_gate(partitions, Limits::default(), clock, Arc::clone(&gate) as _);
        Gated::of(BrokenRegistry { inner, fault, gate })
    }

    /// The same store, opened again with another gate.
    pub(crate) async fn reopened(fault: Fault, gated: Gated, gate: Arc<dyn Gate>) -> Gated {
        let registry = gated.registry.registry().await.unwrap();
        if fault != Fault::TellsNoGateWhenReopened {
            gate.take(registry, true);
        }
        // What the store itself asks stays the gate of before, which knows the same.
        Gated { store: gated.store, registry: Arc::new(Reopened { inner: gated.registry, gate }) }
    }
}

impl Gate for Between {
    fn generation(&self) -> Generation {
        self.known.read().unwrap().generation
    }

    fn take(&self, registry: Registry, is_rewound: bool) {
        let mut known = self.known.write().unwrap();
        let told = if self.fault == Fault::TellsTheGateLate { known.clone() } else { registry.clone() };
        if registry.generation > known.generation || is_rewound {
            *known = registry;
        }
        drop(known);
        self.given.read().unwrap().take(told, is_rewound);
    }

    fn judge(&self, writes: &[StreamWrite]) -> Judged {
        let judged = self.given.read().unwrap().judge(writes);
        let verdict = match judged.verdict {
            Verdict::Passed(_) if self.fault == Fault::IgnoresVersionsOfTheGate => Verdict::default(),
            Verdict::Violated(_) if self.fault == Fault::JudgesBeforehand => Verdict::default(),
            verdict => verdict,
        };
        Judged { generation: self.generation(), verdict }
    }

    fn lens(&self, shape: &Shape) -> Arc<dyn Lens> {
        self.given.read().unwrap().lens(shape)
    }
}

#[async_trait::async_trait]
impl RegistryStore for BrokenRegistry {
    async fn registry(&self) -> Result<Registry, ReadError> {
        self.inner.registry().await
    }

    async fn change_registry(&self, mut change: RegistryChange) -> Result<RegistryOutcome, AppendError> {
        if self.fault == Fault::MakesStaleChanges {
            change.expected = self.inner.registry().await.unwrap().generation;
        }
        match self.inner.change_registry(change.clone()).await {
            Err(AppendError::Invalid(_)) if self.fault == Fault::ChangesWithoutItsRecord => {
                let event = NewEvent::json(EventId(Uuid::new_v4()), EventType::new("Changed").unwrap(), "{}");
                self.inner.change_registry(RegistryChange { record: vec![event], ..change }).await
            }
            outcome => outcome,
        }
    }

    async fn note_reader(&self, reader: NamedReader) -> Result<(), ReadError> {
        let knows = self.inner.named_readers().await?.iter().any(|known| known.name == reader.name);
        if knows && self.fault == Fault::KeepsTheFirstNote {
            return Ok(());
        }
        self.inner.note_reader(reader).await
    }

    async fn named_readers(&self) -> Result<Vec<NamedReader>, ReadError> {
        self.inner.named_readers().await
    }

    async fn tracked_consumers(&self) -> Result<Vec<TrackedConsumer>, ReadError> {
        let mut consumers = self.inner.tracked_consumers().await?;
        if self.fault == Fault::TellsOneConsumer {
            consumers.truncate(1);
        }
        Ok(consumers)
    }

    async fn forget_reader(&self, name: &str) -> Result<bool, ReadError> {
        self.inner.forget_reader(name).await
    }
}

/// A registry whose gate is another one since it was opened again.
struct Reopened {
    inner: Arc<dyn RegistryStore>,
    gate: Arc<dyn Gate>,
}

#[async_trait::async_trait]
impl RegistryStore for Reopened {
    async fn registry(&self) -> Result<Registry, ReadError> {
        self.inner.registry().await
    }

    async fn change_registry(&self, change: RegistryChange) -> Result<RegistryOutcome, AppendError> {
        let outcome = self.inner.change_registry(change).await;
        self.gate.take(self.inner.registry().await.unwrap(), false);
        outcome
    }

    async fn note_reader(&self, reader: NamedReader) -> Result<(), ReadError> {
        self.inner.note_reader(reader).await
    }

    async fn named_readers(&self) -> Result<Vec<NamedReader>, ReadError> {
        self.inner.named_readers().await
    }

    async fn tracked_consumers(&self) -> Result<Vec<TrackedConsumer>, ReadError> {
        self.inner.tracked_consumers().await
    }

    async fn forget_reader(&self, name: &str) -> Result<bool, ReadError> {
        self.inner.forget_reader(name).await
    }
}

#[async_trait::async_trait]
impl EventStore for BrokenRegistry {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        if self.fault == Fault::JudgesBeforehand {
            let judged = self.gate.given.read().unwrap().judge(&append.writes);
            if let Verdict::Violated(violation) = judged.verdict {
                return Ok(AppendOutcome::Refused(Refusal::BySchema(violation)));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.inner.append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.inner.read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.inner.read_log(read).await
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        self.inner.subscribe(subscribe).await
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        self.inner.stream(stream).await
    }

    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError> {
        self.inner.list_streams(list).await
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        self.inner.head().await
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        self.inner.tracking(name).await
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        self.inner.acquire_lease(name, owner, time_to_live).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        self.inner.release_lease(lease).await
    }

    async fn backup(&self, to: &std::path::Path) -> Result<u64, ReadError> {
        self.inner.backup(to).await
    }
}
