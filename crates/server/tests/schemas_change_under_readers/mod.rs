//! Random changes of a type's schema, with readers of every kind at work meanwhile: none gets what it did not say that it
//! understands, none loses an event, and what each gets is what the schema of the version says that comes with it.
//!
//! A short seeded campaign runs with the tests; `PACIOLI_SCHEMA_CHANGES` and `PACIOLI_SEED` ask for more.

mod changes;
mod readers;

use std::collections::BTreeMap;
use std::time::Duration;

use pacioli_core::schemas::{Semver, SemverRange, Shape};
use pacioli_core::{EventStore, Filter, Payload, PayloadChoice, ReadLog};
use pacioli_schema::Schema;

use crate::registry::Registry;
use crate::support::config;
use changes::Changes;
use readers::{Got, Kind, Reader};

/// The type whose schema changes.
pub(crate) const TYPE: &str = "ThingSeen";

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_gets_what_it_does_not_understand_in_memory() {
    campaign("memory:", setting("PACIOLI_SCHEMA_CHANGES", 60), setting("PACIOLI_SEED", 1494)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_gets_what_it_does_not_understand_on_sqlite() {
    campaign("sqlite:DIRECTORY", setting("PACIOLI_SCHEMA_CHANGES", 40), setting("PACIOLI_SEED", 1202)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_gets_what_it_does_not_understand_on_postgres() {
    let url = tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("schemas_change")).await.unwrap();
    campaign(&url, setting("PACIOLI_SCHEMA_CHANGES", 30), setting("PACIOLI_SEED", 1340)).await;
}

async fn campaign(store: &str, count: u64, seed: u64) {
    eprintln!("{count} changes of a schema on {store}, seed {seed} (PACIOLI_SCHEMA_CHANGES, PACIOLI_SEED)");
    let mut often = config();
    // So that a live stream that got all sees that this was the end.
    often.limits.heartbeat = Duration::from_millis(100);
    let registry = Registry::with(often, store).await;
    let mut changes = Changes::new(&registry, seed);
    changes.begin().await;
    let readers: Vec<Reader> = Kind::ALL.into_iter().map(|kind| Reader::start(kind, &registry)).collect();
    for _ in 0..count {
        changes.next().await;
    }
    // Every reader sees that this is the end.
    let head = changes.append_last().await;
    let mut got = Vec::new();
    for reader in readers {
        got.push((reader.kind, reader.end(&head, seed).await));
    }
    let truth = Truth::read(&registry).await;
    for (kind, got) in &got {
        truth.check(*kind, got, seed);
    }
    let versions = truth.versions.len();
    eprintln!("{} events of {versions} versions, {} of them breaks", truth.stored.len(), changes.breaks);
    assert!(changes.breaks > 0 && versions > 5, "the campaign changed something, seed {seed}");
}

/// What is stored and registered in the end.
struct Truth {
    /// Under which version each event is stored, by position.
    stored: BTreeMap<u64, u32>,
    versions: BTreeMap<u32, (Semver, Schema)>,
}

impl Truth {
    async fn read(registry: &Registry) -> Truth {
        let raw = registry.client.with_shape(Shape { raw: true, ..Shape::default() });
        let filter = Filter { types: vec![crate::registry::event_type(TYPE)], ..Filter::default() };
        let mut read = ReadLog { after: None, filter, limit: 1_000, payload: PayloadChoice::All };
        let mut stored = BTreeMap::new();
        loop {
            let page = raw.read_log(read.clone()).await.unwrap();
            stored.extend(page.events.iter().map(|event| (event.position.0, event.schema_version)));
            if page.at_head() {
                break;
            }
            read.after = Some(page.checkpoint);
        }
        let rows = registry.client.schemas().registry(None).await.unwrap().schemas;
        let version = |row: &pacioli_core::schemas::RegisteredSchema| {
            (row.version, (row.semver, Schema::parse(row.format, &row.text, &[]).unwrap()))
        };
        Truth { stored, versions: rows.iter().map(version).collect() }
    }

    fn check(&self, kind: Kind, got: &[Got], seed: u64) {
        let mut taken = BTreeMap::new();
        for one in got {
            let place = one.position;
            let told = || format!("{kind:?}, position {place}, version {}, seed {seed}", one.version);
            assert!(taken.insert(place, one.version).is_none(), "an event came twice: {}", told());
            let (semver, schema) = &self.versions[&one.version];
            let understood = one.understands.as_deref().map(|range| range.parse::<SemverRange>().unwrap());
            assert!(understood.is_none_or(|range| range.contains(*semver)), "{semver} was not understood: {}", told());
            let data = Payload::Json(one.data.clone());
            assert_eq!(schema.check(&data), Ok(()), "{}: {:?}", told(), data);
            if kind.is_raw() {
                assert_eq!(one.version, self.stored[&place], "raw is as stored: {}", told());
            }
        }
        let places: Vec<u64> = got.iter().map(|one| one.position).collect();
        assert!(places.is_sorted(), "{kind:?} got events out of order, seed {seed}");
        // Who skips loses what nothing makes understandable, and nothing else.
        let expected: Vec<u64> = match kind.skips_beyond() {
            None => self.stored.keys().copied().collect(),
            Some(range) => {
                let range: SemverRange = range.parse().unwrap();
                let is_understood = |version: &u32| range.contains(self.versions[version].0);
                self.stored.iter().filter(|(_, version)| is_understood(version)).map(|(place, _)| *place).collect()
            }
        };
        assert_eq!(places, expected, "{kind:?} lost events or got too many, seed {seed}");
    }
}
