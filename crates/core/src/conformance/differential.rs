//! Random operations against the subject and against the in-memory store, side by side: same outcomes.

use std::sync::Arc;

use uuid::Uuid;

use super::client::{Client, Event, category, event_type, item, query, stream, tag, tagged};
use super::random::Random;
use super::trial::Trial;
use crate::append::{Append, AppendRequest, ExpectedVersion};
use crate::clock::SystemClock;
use crate::event::{EventId, NewEvent, RecordedEvent, Timestamp};
use crate::memory::MemoryStore;
use crate::place::{Checkpoint, Position, Version};
use crate::store::{AppendError, Direction, Filter, PayloadChoice, ReadStream};

const TAGS: [&str; 4] = ["a:1", "a:2", "b:1", "b:2"];
const TYPES: [&str; 3] = ["Opened", "Noted", "Closed"];
const CATEGORIES: [&str; 3] = ["account", "order", "acc"];

pub(super) async fn random_operations_agree_with_the_model(trial: &Trial<'_>) {
    let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
    let model = Arc::new(MemoryStore::new(trial.partitions, trial.limits, clock));
    let mut walk = Walk {
        subject: trial.client(),
        model: trial.client_of(model),
        random: trial.random(1),
        sent: Vec::new(),
        keys: Vec::new(),
    };
    for step in 0..trial.scaled(300) {
        walk.step(step).await;
    }
    walk.compare_logs().await;
}

/// A walk over both stores.
struct Walk {
    subject: Client,
    model: Client,
    random: Random,
    /// What was sent before, to be sent again.
    sent: Vec<AppendRequest>,
    /// Keys that were used, each with the key part of the streams it was used for.
    keys: Vec<(Uuid, usize)>,
}

impl Walk {
    async fn step(&mut self, step: usize) {
        match self.random.below(10) {
            0..=6 => {
                let request = self.request().await;
                self.append(step, request).await;
            }
            7 => self.read_stream(step).await,
            8 => self.read_log(step).await,
            _ => self.list(step).await,
        }
    }

    async fn append(&mut self, step: usize, request: AppendRequest) {
        let said = format!("step {step}, {request:?}");
        let outcomes =
            [self.subject.store.append(request.clone()).await, self.model.store.append(request.clone()).await];
        match outcomes {
            [Ok(subject), Ok(model)] => assert_eq!(subject, model, "{said}: expected the model's outcome"),
            [Err(AppendError::Invalid(subject)), Err(AppendError::Invalid(model))] => {
                assert_eq!(subject.field, model.field, "{said}: expected the model's field");
            }
            [subject, model] => panic!("{said}: expected the model's {model:?}, got {subject:?}"),
        }
        if let Some(tracking) = &request.tracking {
            let (subject, model) =
                (self.subject.tracked(&tracking.name).await, self.model.tracked(&tracking.name).await);
            assert_eq!(subject, model, "{said}: expected the consumer where the model has it");
        }
        self.sent.push(request);
    }

    /// Few streams, types, tags, consumers and keys, so that they collide.
    async fn request(&mut self) -> AppendRequest {
        if !self.sent.is_empty() && self.random.percent(15) {
            return self.again();
        }
        // All streams of one append share their key; ids and keys are used again within one partition only.
        let key = self.random.below(5);
        let mut request = AppendRequest::default();
        for kind in CATEGORIES.into_iter().filter(|_| request_has(&mut self.random)).collect::<Vec<_>>() {
            let name = format!("{kind}-{key}");
            let expected = self.expected(&name).await;
            let events = (0..=self.random.below(3)).map(|_| self.event()).collect();
            request = request.and(stream(name), expected, events);
        }
        if request.writes.is_empty() {
            request = Append::to(stream(format!("acc-{key}")), ExpectedVersion::Any, vec![self.event()]);
        }
        if self.random.percent(20) {
            let known: Vec<Uuid> = self.keys.iter().filter(|(_, of)| *of == key).map(|(known, _)| *known).collect();
            if !known.is_empty() && self.random.percent(30) {
                request = request.key(self.random.pick(&known));
            } else {
                let new = self.subject.id();
                self.keys.push((new, key));
                request = request.key(new);
            }
        }
        if self.random.percent(25) {
            let items = (0..=self.random.below(2)).map(|_| {
                let tags: Vec<&str> = TAGS.into_iter().filter(|_| self.random.percent(40)).collect();
                item(&[self.random.pick(&TYPES)], &tags)
            });
            let items: Vec<_> = items.collect();
            let after = if self.random.percent(70) { Some(self.somewhere().await) } else { None };
            request = request.unless(query(items), after);
        }
        if self.random.percent(15) {
            let checkpoint = self.somewhere().await;
            request = request.tracking(format!("consumer {}", self.random.below(2)), checkpoint);
        }
        request
    }

    /// Something that was sent before: as it was, a part of it, with something new, with other content, with new ids.
    fn again(&mut self) -> AppendRequest {
        let mut request = self.sent[self.random.below(self.sent.len())].clone();
        let new = self.event();
        let events = &mut request.writes[0].events;
        match self.random.below(6) {
            0 => {}
            1 => drop(events.pop().filter(|_| events.is_empty()).map(|only| events.push(only))),
            2 => events.push(new),
            3 => events[0].data = new.data,
            4 => events.iter_mut().for_each(|event| event.id = EventId(self.subject.id())),
            _ => drop(request.key.take()),
        }
        request
    }

    fn event(&mut self) -> NewEvent {
        let tags: Vec<&str> = TAGS.into_iter().filter(|_| self.random.percent(25)).collect();
        let event = tagged(self.subject.event(self.random.pick(&TYPES)), &tags);
        let occurred_at = self.random.percent(20).then(|| Timestamp::from_micros(self.random.below(1_000_000) as i64));
        NewEvent { occurred_at, schema_version: self.random.percent(20).then_some(2), ..event }
    }

    async fn expected(&mut self, name: &str) -> ExpectedVersion {
        match self.random.below(8) {
            0 => ExpectedVersion::None,
            1 => ExpectedVersion::Exists,
            2 => ExpectedVersion::Exact(Version(self.random.below(6) as u64)),
            3 | 4 => self.model.version(name).await.map_or(ExpectedVersion::None, ExpectedVersion::Exact),
            _ => ExpectedVersion::Any,
        }
    }

    /// A checkpoint up to the head, or now and then a little past it.
    async fn somewhere(&mut self) -> Checkpoint {
        let head = self.model.head().await;
        let past = usize::from(self.random.percent(5));
        let positions =
            head.iter().map(|place| Position(self.random.below(place.position.0 as usize + 1 + past) as u64));
        Checkpoint::new(positions.collect::<Vec<_>>(), head.epoch())
    }

    async fn read_stream(&mut self, step: usize) {
        let name = format!("{}-{}", self.random.pick(&CATEGORIES), self.random.below(5));
        assert_eq!(self.subject.info(&name).await, self.model.info(&name).await, "step {step}: `{name}`");
        let read = ReadStream {
            stream: stream(&*name),
            from: self.random.percent(70).then(|| Version(self.random.below(12) as u64)),
            direction: self.random.pick(&[Direction::Forward, Direction::Backward]),
            limit: 1 + self.random.below(6),
            payload: PayloadChoice::All,
        };
        let said = format!("step {step}, {read:?}");
        match (self.subject.store.read_stream(read.clone()).await, self.model.store.read_stream(read).await) {
            (Ok(subject), Ok(model)) => {
                assert_same(&said, &subject.events, &model.events);
                assert_eq!((subject.next, subject.version), (model.next, model.version), "{said}");
            }
            (Err(_), Err(_)) => {}
            (subject, model) => panic!("{said}: expected the model's {model:?}, got {subject:?}"),
        }
    }

    async fn read_log(&mut self, step: usize) {
        let filter = Filter {
            categories: if self.random.percent(30) { vec![category(self.random.pick(&CATEGORIES))] } else { vec![] },
            stream_prefix: self.random.percent(20).then(|| "acc".to_owned()),
            types: if self.random.percent(40) { vec![event_type(self.random.pick(&TYPES))] } else { vec![] },
            tags: if self.random.percent(30) { vec![tag(self.random.pick(&TAGS))] } else { vec![] },
        };
        let head = self.model.head().await;
        let positions = head.iter().map(|place| Position(self.random.below(place.position.0 as usize + 1) as u64));
        let after = Some(Checkpoint::new(positions.collect::<Vec<_>>(), head.epoch()));
        let limit = 1 + self.random.below(20);
        let said = format!("step {step}, after {after:?} by {filter:?}, pages of {limit}");
        let mut subject = self.subject.log_after(after.clone(), filter.clone(), limit).await;
        let mut model = self.model.log_after(after, filter, limit).await;
        // Pages may take partitions in turn; `log_after` has checked the order within each.
        subject.sort_by_key(|event| event.place());
        model.sort_by_key(|event| event.place());
        assert_same(&said, &subject, &model);
    }

    async fn list(&mut self, step: usize) {
        let kind = self.random.percent(50).then(|| self.random.pick(&CATEGORIES));
        let prefix = self.random.percent(50).then(|| self.random.pick(&["acc", "account-", "order-1"]));
        let limit = 1 + self.random.below(4);
        let mut listed = self.subject.list(kind, prefix, limit).await;
        let mut expected = self.model.list(kind, prefix, limit).await;
        if self.subject.partitions > 1 {
            listed.sort_by(|a, b| a.stream.cmp(&b.stream));
            expected.sort_by(|a, b| a.stream.cmp(&b.stream));
        }
        assert_eq!(listed, expected, "step {step}, category {kind:?}, prefix {prefix:?}: expected the model's list");
    }

    async fn compare_logs(&mut self) {
        assert_eq!(self.subject.head().await, self.model.head().await, "in the end: expected the model's head");
        assert_same("in the end", &self.subject.log().await, &self.model.log().await);
    }
}

fn request_has(random: &mut Random) -> bool {
    random.percent(45)
}

/// Compares everything but when each store recorded it.
fn assert_same(said: &str, subject: &[Event], model: &[Event]) {
    let timeless = |events: &[Event]| -> Vec<RecordedEvent> {
        events.iter().map(|event| RecordedEvent { recorded_at: Timestamp::default(), ..(**event).clone() }).collect()
    };
    assert_eq!(timeless(subject), timeless(model), "{said}: expected the model's events");
}
