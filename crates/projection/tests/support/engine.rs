//! An engine in memory that folds for real, in a simple way: each projection has one table with a row a stream that says
//! how many events it had and which was the last. Handles share the tables, as servers share a database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use pacioli_core::memory::MemoryStore;
use pacioli_core::place::{Checkpoint, Partition, Place, Position};
use pacioli_core::{Clock, Delivery, Epoch, EventStore, PayloadChoice, ReadLog, RecordedEvent, StoreError, Subscribe};
use pacioli_projection::answer::{Answer, Column, Kind, Value};
use pacioli_projection::engine::{
    Abilities, Advance, AdvanceError, Advanced, Build, BuildNumber, Engine, EngineError, Lookup, Materialized, Moment,
    Progress, Query, QueryError, QueryLimits, Role, Sample, State, Verified,
};
use pacioli_projection::file::{Finding, Makes, Mode, Name, On, Projection};

use super::Rewinds;
use super::random::Random;
use super::tables::{Database, Row, Stored};

/// A handle on the tables, with faults of its own.
pub(crate) struct MemoryEngine {
    pub(crate) database: Arc<Database>,
    store: MemoryStore,
    clock: Arc<dyn Clock>,
    epochs: Arc<Rewinds>,
    faults: Mutex<Faults>,
    pub(crate) lookups: AtomicU64,
    pub(crate) advances: AtomicU64,
}

/// What can go wrong in one server.
#[derive(Default)]
pub(crate) struct Faults {
    /// Which of the chances below come true.
    pub(crate) random: Option<Random>,
    /// One of so many advances fails and nothing happened.
    pub(crate) store_error_one_in: u64,
    /// One of so many advances is done, and its answer is lost.
    pub(crate) lost_answer_one_in: u64,
    /// One of so many advances is told that the build is elsewhere.
    pub(crate) moved_one_in: u64,
    /// How long an advance takes.
    pub(crate) advance_takes: Duration,
    /// How long a point read takes after it has read its rows.
    pub(crate) lookup_takes: Duration,
    /// How long it takes to write down how a build is.
    pub(crate) set_state_takes: Duration,
    /// The storage fails for everything.
    pub(crate) is_down: bool,
    /// Swaps are refused with these words.
    pub(crate) refuses_swap: Option<String>,
    /// Events at most of each advance, as they were asked for.
    pub(crate) batches: Vec<usize>,
}

/// The worker of an event.
pub(crate) fn worker_of(stream: &str, workers: u16) -> u16 {
    let sum: u64 = stream.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    (sum % u64::from(workers)) as u16
}

fn wants(projection: &Projection, event: &RecordedEvent) -> bool {
    projection.wants(&event.event_type, event.stream.category())
}

fn fold(rows: &mut BTreeMap<String, Row>, event: &RecordedEvent) {
    let row = rows.entry(event.stream.to_string()).or_default();
    row.events += 1;
    row.last = event.position.0;
}

impl MemoryEngine {
    pub(crate) fn new(
        database: Arc<Database>,
        store: MemoryStore,
        clock: Arc<dyn Clock>,
        epochs: Arc<Rewinds>,
    ) -> MemoryEngine {
        MemoryEngine {
            database,
            store,
            clock,
            epochs,
            faults: Mutex::default(),
            lookups: AtomicU64::new(0),
            advances: AtomicU64::new(0),
        }
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap()
    }

    fn check_up(&self) -> Result<(), StoreError> {
        if self.faults().is_down { Err(StoreError::new("the database is away")) } else { Ok(()) }
    }

    /// The events of one partition in a range.
    async fn events(&self, partition: Partition, after: Position, up_to: Position) -> Vec<Arc<RecordedEvent>> {
        let head = self.store.head().await.unwrap();
        let mut events = Vec::new();
        let mut after = Checkpoint::new(
            head.iter().map(|place| if place.partition == partition { after } else { place.position }),
            head.epoch(),
        );
        while after.position(partition) < up_to {
            let read = ReadLog {
                after: Some(after),
                filter: pacioli_core::Filter::default(),
                limit: 1_000,
                payload: PayloadChoice::All,
            };
            let page = self.store.read_log(read).await.unwrap();
            let mine = page.events.into_iter().filter(|event| event.partition == partition && event.position <= up_to);
            events.extend(mine);
            after = page.checkpoint;
        }
        events
    }

    /// Every event up to a checkpoint, folded as the projection says.
    pub(crate) async fn folded(&self, projection: &Projection, to: &Checkpoint) -> BTreeMap<String, Row> {
        let mut rows = BTreeMap::new();
        for place in to.iter() {
            for event in self.events(place.partition, Position::START, place.position).await {
                if wants(projection, &event) {
                    fold(&mut rows, &event);
                }
            }
        }
        rows
    }

    /// What an append does on a real engine: brings the `sync` builds that serve to the head.
    pub(crate) async fn run_sync(&self) {
        let head = self.store.head().await.unwrap();
        let events: Vec<_> = {
            let mut all = Vec::new();
            for place in head.iter() {
                all.push(self.events(place.partition, Position::START, place.position).await);
            }
            all
        };
        let mut tables = self.database.tables();
        for stored in &mut tables.builds {
            if stored.build.role == Role::Serving && stored.build.projection.mode == Mode::Sync {
                bring_to(stored, &events, &head);
            }
        }
    }
}

fn bring_to(stored: &mut Stored, events: &[Vec<Arc<RecordedEvent>>], head: &Checkpoint) {
    let Stored { build, rows, applied } = stored;
    for stands in &mut build.progress {
        let to = head.position(stands.partition);
        for event in &events[stands.partition.index()] {
            let mine = worker_of(event.stream.as_str(), build.workers) == stands.worker;
            if event.position > stands.position && event.position <= to && mine && wants(&build.projection, event) {
                fold(rows, event);
                applied.push(event.place());
                stands.events += 1;
            }
        }
        stands.position = stands.position.max(to);
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    fn abilities(&self) -> Abilities {
        let tables = self.database.tables();
        Abilities { sync: !tables.no_sync, workers_max: tables.workers_max.max(1) }
    }

    async fn head(&self) -> Result<Checkpoint, StoreError> {
        self.check_up()?;
        let head = self.store.head().await.map_err(|error| StoreError::new(error.to_string()))?;
        Ok(head.in_epoch(self.epochs.epochs().current()))
    }

    async fn cut(&self, moment: &Moment) -> Result<Checkpoint, StoreError> {
        let head = self.head().await?;
        let Moment::Recorded(time) = moment else {
            return Ok(if let Moment::At(checkpoint) = moment { checkpoint.clone() } else { head });
        };
        let mut cut = Checkpoint::start(head.partitions(), head.epoch());
        for place in head.iter() {
            let events = self.events(place.partition, Position::START, place.position).await;
            if let Some(last) = events.iter().rfind(|event| event.recorded_at <= *time) {
                cut.advance(place.partition, last.position);
            }
        }
        Ok(cut)
    }

    async fn moved(&self, seen: &Checkpoint, patience: Duration) {
        let seen = seen.clone().in_epoch(Epoch::FIRST);
        let subscribe = Subscribe { after: Some(seen), payload: PayloadChoice::None, ..Subscribe::default() };
        let Ok(mut deliveries) = self.store.subscribe(subscribe).await else { return };
        let arrived = async {
            while let Some(delivery) = deliveries.next().await {
                if matches!(delivery, Ok(Delivery::Events { .. }) | Err(_)) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(patience, arrived).await;
    }

    async fn check(&self, projection: &Projection) -> Result<Vec<Finding>, EngineError> {
        self.check_up()?;
        let Some(line) = projection.text.lines().position(|line| line.contains("no_such")) else {
            return Ok(Vec::new());
        };
        Ok(vec![Finding {
            severity: pacioli_projection::file::Severity::Error,
            file: projection.file.clone(),
            line: line as u32 + 1,
            problem: "there is no function no_such".to_owned(),
        }])
    }

    async fn builds(&self) -> Result<Vec<Build>, EngineError> {
        self.check_up()?;
        Ok(self.database.tables().builds.iter().map(|stored| stored.build.clone()).collect())
    }

    async fn begin(&self, projection: &Projection, workers: u16) -> Result<Build, EngineError> {
        self.check_up()?;
        let head = self.head().await?;
        let now = self.clock.now();
        let mut tables = self.database.tables();
        tables.begun += 1;
        let number = tables.last_number.entry(projection.name.clone()).or_default();
        *number += 1;
        let number = BuildNumber(*number);
        if tables.role(projection.name.as_str(), Role::Filling).is_some() {
            return Err(EngineError::Refused("another build fills".to_owned()));
        }
        let is_first = !tables.builds.iter().any(|stored| stored.build.projection.name == projection.name);
        let serves = is_first && projection.mode == Mode::Async;
        let epoch = head.epoch();
        let progress = head.iter().flat_map(|place| {
            (0..workers).map(move |worker| Progress {
                worker,
                partition: place.partition,
                position: Position::START,
                events: 0,
                epoch,
            })
        });
        let build = Build {
            projection: Arc::new(projection.clone()),
            number,
            role: if serves { Role::Serving } else { Role::Filling },
            state: State::Running,
            progress: progress.collect(),
            passed_over: BTreeMap::new(),
            workers,
            began_at: now,
            served_at: serves.then_some(now),
        };
        tables.builds.push(Stored { build: build.clone(), rows: BTreeMap::new(), applied: Vec::new() });
        Ok(build)
    }

    async fn advance(&self, advance: Advance) -> Result<Advanced, AdvanceError> {
        self.advances.fetch_add(1, Ordering::Relaxed);
        self.check_up()?;
        let (takes, loses_answer) = {
            let mut faults = self.faults();
            faults.batches.push(advance.events_max);
            let Faults { store_error_one_in, lost_answer_one_in, moved_one_in, advance_takes, random, .. } =
                &mut *faults;
            let mut comes_true = |one_in: u64| random.as_mut().is_some_and(|random| random.one_in(one_in));
            if comes_true(*store_error_one_in) {
                return Err(AdvanceError::Store(StoreError::new("the connection was lost")));
            }
            if comes_true(*moved_one_in) {
                return Err(AdvanceError::Moved);
            }
            (*advance_takes, comes_true(*lost_answer_one_in))
        };
        // A real engine's transaction goes on where its caller went away, so nothing here is undone by that.
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let (build, partition) = (&advance.build, advance.partition);
        let name = &build.projection.name;
        assert!(advance.up_to > advance.after, "nothing to do");
        let events = self.events(partition, advance.after, advance.up_to).await;
        let mine: Vec<_> = events
            .into_iter()
            .filter(|event| worker_of(event.stream.as_str(), build.workers) == advance.worker)
            .filter(|event| wants(&build.projection, event))
            .take(advance.events_max)
            .collect();
        let position = if mine.len() == advance.events_max {
            mine.last().map_or(advance.up_to, |last| last.position)
        } else {
            advance.up_to
        };
        let mut tables = self.database.tables();
        let is_batch = build.projection.handlers.iter().any(|handler| handler.on == On::Batch);
        let poison = tables.poison.get(name.as_str()).cloned().unwrap_or_default();
        let together = tables.fails_together_over;
        let Some(stored) = tables.find(name, build.number) else { return Err(AdvanceError::Moved) };
        assert!(
            !(stored.build.role == Role::Serving && stored.build.projection.mode == Mode::Sync),
            "a sync build that serves is moved by appends only"
        );
        if stored.build.role == Role::Kept {
            return Err(AdvanceError::Moved);
        }
        let mut progress = stored.build.progress.iter_mut();
        let stands = progress.find(|stands| stands.worker == advance.worker && stands.partition == partition);
        let Some(stands) = stands.filter(|stands| stands.position == advance.after) else {
            return Err(AdvanceError::Moved);
        };
        if let Some(event) = mine.iter().find(|event| poison.contains(&event.place())) {
            let place = (!is_batch).then(|| event.place());
            return Err(AdvanceError::Event { place, error: "CHECK constraint failed: cents >= 0".to_owned() });
        }
        if together.is_some_and(|together| mine.len() > together) {
            let error = "ON CONFLICT DO UPDATE command cannot affect row a second time".to_owned();
            return Err(AdvanceError::Event { place: None, error });
        }
        stands.position = position;
        stands.events += mine.len() as u64;
        stands.epoch = advance.epoch;
        for event in &mine {
            fold(&mut stored.rows, event);
            stored.applied.push(event.place());
        }
        if loses_answer {
            return Err(AdvanceError::Store(StoreError::new("the connection was lost after COMMIT was sent")));
        }
        Ok(Advanced { position, events: mine.len() as u64 })
    }

    async fn skip(&self, name: &Name, build: BuildNumber, place: Place) -> Result<(), EngineError> {
        self.check_up()?;
        let before = Position(place.position.0 - 1);
        let events = self.events(place.partition, before, place.position).await;
        let stream = events[0].stream.to_string();
        let mut tables = self.database.tables();
        let stored = tables.find(name, build).ok_or_else(|| EngineError::Refused("no such build".to_owned()))?;
        let worker = worker_of(&stream, stored.build.workers);
        let mut progress = stored.build.progress.iter_mut();
        let stands = progress.find(|stands| stands.worker == worker && stands.partition == place.partition).unwrap();
        if stands.position != before {
            return Err(EngineError::Refused(format!("it stands at {}, not before {place}", stands.position)));
        }
        stands.position = place.position;
        stored.build.state = State::Running;
        Ok(())
    }

    async fn set_state(&self, name: &Name, build: BuildNumber, state: State) -> Result<(), EngineError> {
        self.check_up()?;
        let takes = self.faults().set_state_takes;
        tokio::time::sleep(takes).await;
        let mut tables = self.database.tables();
        let stored = tables.find(name, build).ok_or_else(|| EngineError::Refused("no such build".to_owned()))?;
        stored.build.state = state;
        Ok(())
    }

    async fn swap(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        self.check_up()?;
        if let Some(reason) = self.faults().refuses_swap.clone() {
            return Err(EngineError::Refused(reason));
        }
        let head = self.head().await?;
        let mut events = Vec::new();
        for place in head.iter() {
            events.push(self.events(place.partition, Position::START, place.position).await);
        }
        let now = self.clock.now();
        let mut tables = self.database.tables();
        let poison = tables.poison.get(name.as_str()).cloned().unwrap_or_default();
        let stored = tables.find(name, build).ok_or_else(|| EngineError::Refused("no such build".to_owned()))?;
        if stored.build.role != Role::Filling {
            return Err(EngineError::Refused("it does not fill".to_owned()));
        }
        if stored.build.projection.mode == Mode::Sync {
            let checkpoint = stored.build.checkpoint(&head);
            if poison.iter().any(|place| place.position > checkpoint.position(place.partition)) {
                return Err(EngineError::Refused("an event on the way to the head fails".to_owned()));
            }
            bring_to(stored, &events, &head);
        }
        tables.builds.retain(|stored| stored.build.projection.name != *name || stored.build.role != Role::Kept);
        for stored in tables.builds.iter_mut().filter(|stored| stored.build.projection.name == *name) {
            if stored.build.role == Role::Serving {
                stored.build.role = Role::Kept;
            }
            if stored.build.number == build {
                stored.build.role = Role::Serving;
                stored.build.served_at = Some(now);
            }
        }
        Ok(())
    }

    async fn take_back(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        self.check_up()?;
        let mut tables = self.database.tables();
        let stored = tables.find(name, build).ok_or_else(|| EngineError::Refused("no such build".to_owned()))?;
        if stored.build.role != Role::Kept {
            return Err(EngineError::Refused("it is not kept".to_owned()));
        }
        stored.build.role = Role::Filling;
        Ok(())
    }

    async fn drop_build(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        self.check_up()?;
        let mut tables = self.database.tables();
        tables.find(name, build).ok_or_else(|| EngineError::Refused("no such build".to_owned()))?;
        tables.builds.retain(|stored| stored.build.projection.name != *name || stored.build.number != build);
        Ok(())
    }

    async fn keep_copy(&self, name: &Name, build: BuildNumber) -> Result<Checkpoint, EngineError> {
        self.check_up()?;
        let head = self.head().await?;
        let mut tables = self.database.tables();
        let stored = tables.find(name, build).ok_or_else(|| EngineError::Refused("no such build".to_owned()))?;
        assert_eq!(stored.build.role, Role::Serving);
        let checkpoint = stored.build.checkpoint(&head);
        tables.copies.push((name.clone(), build, checkpoint.clone()));
        Ok(checkpoint)
    }

    async fn verify(
        &self,
        name: &Name,
        build: BuildNumber,
        _sample: Sample,
        progress: &(dyn Fn(f64) + Send + Sync),
    ) -> Result<Verified, EngineError> {
        self.check_up()?;
        let head = self.head().await?;
        let stored = self.database.tables().find(name, build).cloned();
        let stored = stored.ok_or_else(|| EngineError::Refused("no such build".to_owned()))?;
        let checkpoint = stored.build.checkpoint(&head);
        progress(0.5);
        let right = self.folded(&stored.build.projection, &checkpoint).await;
        progress(1.0);
        let streams: BTreeSet<_> = right.keys().chain(stored.rows.keys()).collect();
        let wrong: Vec<_> = streams.iter().filter(|stream| right.get(**stream) != stored.rows.get(**stream)).collect();
        Ok(Verified {
            checkpoint,
            rows: right.len() as u64,
            differences: wrong.iter().take(3).map(|stream| format!("row of `{stream}` differs")).collect(),
            different: wrong.len() as u64,
        })
    }

    async fn materialized(&self, name: &Name, build: BuildNumber) -> Result<Vec<Materialized>, EngineError> {
        self.check_up()?;
        let mut tables = self.database.tables();
        let refreshed = tables.refreshed.clone();
        let stored = tables.find(name, build).ok_or_else(|| EngineError::Refused("no such build".to_owned()))?;
        let views = stored.build.projection.definitions.iter().filter_map(|definition| match &definition.makes {
            Makes::MaterializedView { name, every } => Some(Materialized {
                view: name.clone(),
                every: *every,
                refreshed_at: refreshed.iter().rfind(|(view, _)| view == name).map(|(_, at)| *at),
            }),
            _ => None,
        });
        Ok(views.collect())
    }

    async fn refresh(&self, _name: &Name, _build: BuildNumber, view: &str) -> Result<(), EngineError> {
        self.check_up()?;
        let now = self.clock.now();
        self.database.tables().refreshed.push((view.to_owned(), now));
        Ok(())
    }

    async fn named_by(&self, sql: &str) -> Result<Vec<Name>, QueryError> {
        let tables = self.database.tables();
        let words: BTreeSet<_> = sql.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let named =
            words.iter().filter_map(|word| tables.owner(word)).map(|stored| stored.build.projection.name.clone());
        Ok(named.collect())
    }

    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        self.check_up()?;
        let table = query.sql.split_whitespace().last().unwrap_or_default().to_owned();
        match &query.as_of {
            Some(moment) => self.rows_as_of(&table, moment, query.limits).await,
            None => match self.database.tables().owner(&table) {
                Some(stored) => Ok(answer(&stored.rows)),
                None => Err(QueryError::Invalid(format!("no such table: {table}"))),
            },
        }
    }

    async fn lookup(&self, lookup: Lookup, _limits: QueryLimits) -> Result<Answer, QueryError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.check_up()?;
        let is_asked = |stream: &str| lookup.equals.iter().all(|(column, value)| column == "stream" && value == stream);
        let rows = {
            let tables = self.database.tables();
            let stored = tables.owner(&lookup.table).ok_or_else(|| QueryError::Invalid("no such table".to_owned()))?;
            let asked = stored.rows.iter().filter(|(stream, _)| is_asked(stream));
            asked.map(|(stream, row)| (stream.clone(), *row)).collect()
        };
        let takes = self.faults().lookup_takes;
        tokio::time::sleep(takes).await;
        Ok(answer(&rows))
    }

    async fn rows_as_of(&self, table: &str, moment: &Moment, _limits: QueryLimits) -> Result<Answer, QueryError> {
        let cut = self.cut(moment).await?;
        let projection = self.database.tables().owner(table).map(|stored| Arc::clone(&stored.build.projection));
        let projection = projection.ok_or_else(|| QueryError::Invalid("no such table".to_owned()))?;
        Ok(answer(&self.folded(&projection, &cut).await))
    }
}

fn answer(rows: &BTreeMap<String, Row>) -> Answer {
    let column = |name: &str, kind| Column { name: name.to_owned(), kind };
    let rows = rows
        .iter()
        .map(|(stream, row)| vec![Value::Text(stream.clone()), Value::Int(row.events), Value::Int(row.last as i64)]);
    Answer {
        columns: vec![column("stream", Kind::Text), column("events", Kind::Int), column("last", Kind::Int)],
        rows: rows.collect(),
    }
}
