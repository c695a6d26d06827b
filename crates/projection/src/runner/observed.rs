//! How fast builds move, and which do not: worked out from what the catalogue says twice a second, whoever runs them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use pacioli_core::place::Checkpoint;
use tokio::time::Instant;

use crate::catalogue::Builds;
use crate::engine::{Build, BuildNumber, Role};
use crate::file::Name;

/// How far back rates look.
const WINDOW: Duration = Duration::from_secs(5);
/// The least time between two samples, however often the catalogue is read.
const SAMPLE_EVERY: Duration = Duration::from_millis(200);

/// What was observed of all builds that move.
#[derive(Default)]
pub(crate) struct Observed {
    builds: BTreeMap<(Name, BuildNumber), History>,
}

/// One build's last seconds.
struct History {
    samples: VecDeque<Sample>,
    checkpoint: Checkpoint,
    /// When it last moved, or was at the head.
    moved_at: Instant,
    is_stalled: bool,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    events: u64,
    positions: u64,
    head: u64,
}

/// What was observed of one build.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Events it applied in a second.
    pub(crate) events_per_second: f64,
    /// By how many positions it came nearer to the head in a second.
    pub(crate) gain_per_second: f64,
    /// How long it has not moved though it is behind.
    pub(crate) still_for: Duration,
    /// Whether that is too long.
    pub(crate) is_stalled: bool,
}

/// A build stopped moving, or moves again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Episode {
    Stalled { for_: Duration, behind: u64 },
    Moves { after: Duration },
}

impl Observed {
    /// Takes note; returns what begins and ends with it.
    pub(super) fn take(
        &mut self,
        builds: &Builds,
        head: &Checkpoint,
        stalled_after: Duration,
    ) -> Vec<(Arc<Build>, Episode)> {
        let now = Instant::now();
        let mut episodes = Vec::new();
        let key = |build: &Build| (build.projection.name.clone(), build.number);
        let moving: Vec<_> = builds.iter().filter(|build| moves(build)).collect();
        self.builds.retain(|known, _| moving.iter().any(|build| key(build) == *known));
        for build in moving {
            let checkpoint = build.checkpoint(head);
            let history = self.builds.entry(key(build)).or_insert_with(|| History {
                samples: VecDeque::new(),
                checkpoint: checkpoint.clone(),
                moved_at: now,
                is_stalled: false,
            });
            let behind = checkpoint.distance_to(head);
            history.sample(Sample {
                at: now,
                events: build.progress.iter().map(|stands| stands.events).sum(),
                positions: checkpoint.iter().map(|place| place.position.0).sum(),
                head: head.iter().map(|place| place.position.0).sum(),
            });
            let still_for = now - history.moved_at;
            if checkpoint != history.checkpoint || behind == 0 {
                history.checkpoint = checkpoint;
                history.moved_at = now;
                if std::mem::take(&mut history.is_stalled) {
                    episodes.push((Arc::clone(build), Episode::Moves { after: still_for }));
                }
            } else if still_for >= stalled_after && !std::mem::replace(&mut history.is_stalled, true) {
                episodes.push((Arc::clone(build), Episode::Stalled { for_: still_for, behind }));
            }
        }
        episodes
    }

    /// What was observed of one build, which the catalogue says is like this now.
    pub(crate) fn seen(&self, build: &Build, head: &Checkpoint) -> Seen {
        let Some(history) = self.builds.get(&(build.projection.name.clone(), build.number)) else {
            return Seen::default();
        };
        let seen = history.seen();
        let checkpoint = build.checkpoint(head);
        if checkpoint == history.checkpoint && checkpoint != *head {
            return seen;
        }
        // It has moved since it was last observed, or is where there is nothing to do.
        Seen { still_for: Duration::ZERO, is_stalled: false, ..seen }
    }
}

impl History {
    fn sample(&mut self, sample: Sample) {
        // A build that stands farther back than before is another filling under the same number: none of it counts.
        if self.samples.back().is_some_and(|last| last.positions > sample.positions || last.events > sample.events) {
            self.samples.clear();
        }
        if self.samples.back().is_some_and(|last| last.at + SAMPLE_EVERY > sample.at) {
            return;
        }
        while self.samples.len() > 2 && self.samples[1].at + WINDOW < sample.at {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn seen(&self) -> Seen {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return Seen::default() };
        let seconds = (last.at - first.at).as_secs_f64();
        let rate = |first: u64, last: u64| if seconds > 0.0 { (last as f64 - first as f64) / seconds } else { 0.0 };
        let behind = |sample: &Sample| sample.head.saturating_sub(sample.positions);
        let is_behind = behind(last) > 0;
        Seen {
            events_per_second: rate(first.events, last.events),
            gain_per_second: -rate(behind(first), behind(last)),
            still_for: if is_behind { last.at - self.moved_at.min(last.at) } else { Duration::ZERO },
            is_stalled: self.is_stalled,
        }
    }
}

/// Whether a build is to follow the head: kept ones do not, and `sync` ones that serve always are there.
fn moves(build: &Build) -> bool {
    build.role != Role::Kept && !build.runs_in_appends()
}
