//! The faults of appending.

use std::time::Duration;

use pacioli_core::*;
use uuid::Uuid;

use super::{Broken, Fault};

type Outcome = Result<AppendOutcome, AppendError>;

impl Broken {
    pub(super) async fn append_badly(&self, mut request: AppendRequest) -> Outcome {
        self.spoil_request(&mut request).await;
        match self.fault {
            Fault::ChecksVersionsBeforehand => self.check_versions_beforehand(request).await,
            Fault::ChecksConditionsBeforehand => self.check_condition_beforehand(request).await,
            Fault::AnswersBeforeItStores => self.answer_before_storing(request).await,
            Fault::ShowsHalfOfAnAppend => self.append_one_by_one(request).await,
            Fault::ComparesKeysOnly => {
                let known = request.key.and_then(|key| self.memory.lock().unwrap().keys.get(&key).cloned());
                if let Some(AppendOutcome::Appended(known)) = known {
                    return Ok(AppendOutcome::Appended(Appended { duplicate: true, ..known }));
                }
                let key = request.key;
                let outcome = self.inner.append(request).await?;
                self.memory.lock().unwrap().keys.extend(key.map(|key| (key, outcome.clone())));
                Ok(outcome)
            }
            _ => {
                let outcome = self.inner.append(request.clone()).await?;
                self.spoil_outcome(request, outcome).await
            }
        }
    }

    /// Changes what is asked for.
    async fn spoil_request(&self, request: &mut AppendRequest) {
        let forgets = self.was_reopened && self.has(Fault::ForgetsKeysWhenReopened);
        if forgets || self.has(Fault::ForgetsKeys) {
            request.key = None;
        }
        if let Some(tracking) = request.tracking.clone().filter(|_| self.has(Fault::TracksConflicts)) {
            self.memory.lock().unwrap().tracking.insert(tracking.name, tracking.checkpoint);
        }
        if self.has(Fault::ForgetsTracking) {
            request.tracking = None;
        }
        for write in &mut request.writes {
            if self.has(Fault::IgnoresExactVersions) && matches!(write.expected, ExpectedVersion::Exact(_)) {
                write.expected = ExpectedVersion::Any;
            }
            if self.has(Fault::TrimsNames) {
                write.stream = StreamName::new(write.stream.as_str().trim().to_owned()).unwrap();
            }
            for event in &mut write.events {
                match (&mut event.data, self.fault) {
                    (Payload::Json(bytes), Fault::NormalizesJson) => *bytes = bytes.trim_ascii().to_vec().into(),
                    (_, Fault::ForgetsTimesBefore1970) => {
                        event.occurred_at = event.occurred_at.filter(|at| at.as_micros() >= 0);
                    }
                    _ => {}
                }
            }
        }
        let Some(condition) = &mut request.condition else { return };
        match self.fault {
            Fault::AsksOnlyTheFirstItem => condition.query.items.truncate(1),
            Fault::IgnoresWhereAConditionBegins => condition.after = None,
            Fault::IgnoresAConditionTag => {
                for item in &mut condition.query.items {
                    if item.types.len() + item.tags.len() > 1 {
                        item.tags.pop();
                    }
                }
            }
            Fault::AcceptsConditionsPastTheHead => {
                let head = self.inner.head().await.unwrap();
                if condition.after.as_ref().is_some_and(|after| after.partitions() == head.partitions()) {
                    condition.after = Some(head);
                }
            }
            _ => {}
        }
    }

    /// Changes what is answered, and what comes after.
    async fn spoil_outcome(&self, mut request: AppendRequest, outcome: AppendOutcome) -> Outcome {
        match (outcome, self.fault) {
            (AppendOutcome::Appended(mut answer), Fault::AnswersWrongPositions) => {
                answer.last_position = answer.last_position.next();
                Ok(AppendOutcome::Appended(answer))
            }
            (AppendOutcome::Appended(mut answer), Fault::SharesPositions) => {
                let last = self.memory.lock().unwrap().last_answer.replace(answer.clone());
                if let Some(last) = last.filter(|last| last.partition == answer.partition) {
                    (answer.first_position, answer.last_position) = (last.first_position, last.last_position);
                }
                Ok(AppendOutcome::Appended(answer))
            }
            (AppendOutcome::Appended(answer), Fault::StoresRetriesAgain) if answer.duplicate => {
                for write in &mut request.writes {
                    write.expected = ExpectedVersion::Any;
                    write.events.iter_mut().for_each(|event| event.id = EventId(Uuid::now_v7()));
                }
                let again = AppendRequest { writes: request.writes, ..AppendRequest::default() };
                self.inner.append(again).await?;
                Ok(AppendOutcome::Appended(answer))
            }
            (AppendOutcome::Appended(answer), Fault::ComparesIdsOnly) => {
                self.memory.lock().unwrap().last_answer = Some(answer.clone());
                Ok(AppendOutcome::Appended(answer))
            }
            (AppendOutcome::Refused(refused), Fault::ComparesIdsOnly) => {
                let last = self.memory.lock().unwrap().last_answer.clone();
                let last = last.map(|last| AppendOutcome::Appended(Appended { duplicate: true, ..last }));
                Ok(last.unwrap_or(AppendOutcome::Refused(refused)))
            }
            (AppendOutcome::Conflict(Conflict::Ids { known }), Fault::StoresWhatIsNewOfMixedIds) => {
                for write in &mut request.writes {
                    write.events.retain(|event| !known.contains(&event.id));
                }
                self.inner.append(request).await
            }
            (AppendOutcome::Conflict(Conflict::Tracking { .. }), Fault::TracksTheSameTwice) => {
                self.inner.append(AppendRequest { tracking: None, ..request }).await
            }
            (
                AppendOutcome::Conflict(Conflict::ExpectedVersion { stream, expected, .. }),
                Fault::HidesTheCurrentVersion,
            ) => Ok(AppendOutcome::Conflict(Conflict::ExpectedVersion { stream, expected, current: None })),
            (AppendOutcome::Conflict(conflict), Fault::StoresHalfOfAConflict) if request.writes.len() > 1 => {
                request.writes.truncate(1);
                self.inner.append(request).await?;
                Ok(AppendOutcome::Conflict(conflict))
            }
            (outcome, _) => Ok(outcome),
        }
    }

    /// Looks at the versions first and stores later, as if nothing could come between.
    async fn check_versions_beforehand(&self, mut request: AppendRequest) -> Outcome {
        for write in &mut request.writes {
            let current = self.inner.stream(&write.stream).await.unwrap().map(|info| info.version);
            if !write.expected.is_met_by(current) {
                let (stream, expected) = (write.stream.clone(), write.expected);
                return Ok(AppendOutcome::Conflict(Conflict::ExpectedVersion { stream, expected, current }));
            }
            write.expected = ExpectedVersion::Any;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        self.inner.append(request).await
    }

    /// Asks the condition first and stores later, as if nothing could come between.
    async fn check_condition_beforehand(&self, mut request: AppendRequest) -> Outcome {
        let Some(condition) = request.condition.take() else { return self.inner.append(request).await };
        let (filter, payload) = (Filter::default(), PayloadChoice::None);
        let read = ReadLog { after: condition.after, filter, limit: 4_000, payload };
        let log = self.inner.read_log(read).await.unwrap().events;
        if let Some(event) = log.iter().find(|event| condition.query.matches(&event.event_type, &event.tags)) {
            return Ok(AppendOutcome::Conflict(Conflict::Condition { matched: event.place() }));
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        self.inner.append(request).await
    }

    /// Says what ought to become of it, and sees to it a little later.
    async fn answer_before_storing(&self, request: AppendRequest) -> Outcome {
        let head = self.inner.head().await.unwrap();
        let partition = request.writes[0].stream.partition(head.partitions());
        let mut streams = Vec::new();
        let mut last_position = head.position(partition);
        for write in &request.writes {
            let current = self.inner.stream(&write.stream).await.unwrap().map(|info| info.version);
            let (stream, first_version, count) =
                (write.stream.clone(), Version::after(current), write.events.len() as u64);
            streams.push(StreamAppended { stream, first_version, last_version: first_version.plus(count - 1) });
            last_position = last_position.plus(count);
        }
        let checkpoint = decide::checkpoint_at(partition, last_position, head.partitions(), head.epoch());
        let first_position = head.position(partition).next();
        let inner = std::sync::Arc::clone(&self.inner);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            inner.append(request).await
        });
        let duplicate = false;
        Ok(AppendOutcome::Appended(Appended {
            streams,
            partition,
            first_position,
            last_position,
            checkpoint,
            duplicate,
        }))
    }

    /// Stores one stream after the other.
    async fn append_one_by_one(&self, request: AppendRequest) -> Outcome {
        let mut outcome = None;
        for write in request.writes.clone() {
            let part = AppendRequest { writes: vec![write], ..request.clone() };
            outcome = Some(self.inner.append(part).await?);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(outcome.unwrap())
    }
}
