//! How many names a store takes: whoever may read may give one, and a break asks for each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pacioli_core::schemas::{NamedReader, RegistryStore};
use pacioli_core::{ReadError, Timestamp};

use super::{PAUSE, after, is_gone};

/// Named readers of a store at most.
pub(super) const PLACES: usize = 1_000;
/// How often it is logged at most that there are too many.
const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// The names that have a place.
#[derive(Default)]
pub(super) struct Places {
    seen: tokio::sync::Mutex<Option<Seen>>,
    not_noted: AtomicU64,
    warned: Mutex<Option<Timestamp>>,
}

/// What the store knew when it was last asked, and what was noted here since.
struct Seen {
    at: Timestamp,
    /// When each read, and until when it counts as one that follows the log.
    names: HashMap<Box<str>, (Timestamp, Option<Timestamp>)>,
}

/// Whether a name has a place.
pub(super) enum Place {
    Has,
    /// It took that of one that is gone.
    Of(Box<str>),
    /// There are as many as there may be.
    None,
}

impl Places {
    /// Gives a name its place, if there is one. `is_live` tells who follows the log here.
    pub(super) async fn take(
        &self,
        rows: &dyn RegistryStore,
        name: &str,
        now: Timestamp,
        is_live: impl Fn(&str) -> bool,
    ) -> Result<Place, ReadError> {
        let mut seen = self.seen.lock().await;
        let is_fresh = |seen: &Seen| seen.at <= now && after(seen.at, PAUSE) > now;
        let seen = match &mut *seen {
            Some(seen) if is_fresh(seen) => seen,
            seen => seen.insert(Seen::new(now, &rows.named_readers().await?)),
        };
        let mut place = Place::Has;
        if !seen.names.contains_key(name) && seen.names.len() >= PLACES {
            let Some(oldest) = seen.oldest_gone(now, is_live) else { return Ok(Place::None) };
            rows.forget_reader(&oldest).await?;
            seen.names.remove(&oldest);
            place = Place::Of(oldest);
        }
        seen.names.insert(name.into(), (now, None));
        Ok(place)
    }

    pub(super) async fn free(&self, name: &str) {
        if let Some(seen) = &mut *self.seen.lock().await {
            seen.names.remove(name);
        }
    }

    /// Counts a read whose name has no place.
    pub(super) fn refuse(&self, name: &str, now: Timestamp) {
        let count = self.not_noted.fetch_add(1, Ordering::Relaxed) + 1;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back keeps nobody quiet.
        if warned.is_none_or(|at| after(at, WARNING_PAUSE) <= now || at > now) {
            *warned = Some(now);
            tracing::warn!(
                reader = name,
                count,
                "a read was not noted under its name: the store knows {PLACES} readers and takes no more; forget those that \
                 are none with `pacioli schema readers --forget`"
            );
        }
    }

    /// How many reads were not noted.
    pub(super) fn not_noted(&self) -> u64 {
        self.not_noted.load(Ordering::Relaxed)
    }
}

impl Seen {
    fn new(at: Timestamp, rows: &[NamedReader]) -> Seen {
        let names = rows.iter().map(|reader| (reader.name.clone(), (reader.read_at, reader.live_until)));
        Seen { at, names: names.collect() }
    }

    fn oldest_gone(&self, now: Timestamp, is_live: impl Fn(&str) -> bool) -> Option<Box<str>> {
        let is_live = |name: &str, until: Option<Timestamp>| until.is_some_and(|until| until > now) || is_live(name);
        let is_old = |read_at: Timestamp| is_gone(read_at, false, now);
        let gone = self.names.iter().filter(|(name, (read_at, until))| is_old(*read_at) && !is_live(name, *until));
        gone.min_by_key(|(_, (read_at, _))| *read_at).map(|(name, _)| name.clone())
    }
}
