//! The conformance suite: what every engine must do, as a library.
//!
//! An engine, or a client of one, describes itself as a [`Subject`] and gets one test a check in a few lines:
//!
//! ```
//! # use std::sync::Arc;
//! # use pacioli_core::{EventStore, Limits, SystemClock, conformance::Subject, memory::MemoryStore};
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl Subject for Memory {
//!     fn name(&self) -> &str {
//!         "memory"
//!     }
//!
//!     async fn fresh(&self, partitions: u16) -> Arc<dyn EventStore> {
//!         let clock = SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)));
//!         Arc::new(MemoryStore::new(partitions, Limits::default(), Arc::new(clock)))
//!     }
//! }
//!
//! pacioli_core::conformance_tests!(Memory);
//! # fn main() {}
//! ```
//!
//! Checks are grouped by guarantee, one module each. Every check runs on a store of one partition and on one of four,
//! and ends with a look at the whole log: no gap, nothing twice, the streams and the log telling the same story. Chance
//! comes from a seed that a failure names, so that a failure can be run again.
//!
//! The environment may say more: `PACIOLI_CONFORMANCE_SEED` (default 1494) and `PACIOLI_CONFORMANCE_SCALE` (default 1),
//! which multiplies how many writers' rounds and random operations there are.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::limits::Limits;
use crate::schemas::{Gate, RegistryStore};
use crate::store::EventStore;
use trial::Trial;

mod client;
mod follow;
pub mod history;
mod random;
pub mod toy;
mod trial;
mod verify;

mod appending;
mod concurrency;
mod conditions;
mod content;
mod differential;
mod filtering;
mod idempotency;
mod leases;
mod limits;
mod multi_stream;
mod partitions;
mod reading;
mod registry;
mod reopening;
mod subscribing;
mod tracking;

/// What is put to the test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Its name in failures.
    fn name(&self) -> &str;

    /// A store with no event in it and this many partitions. What an earlier one holds must not show in it.
    async fn fresh(&self, partitions: u16) -> Arc<dyn EventStore>;

    /// How it differs from others.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Closes a store that [`Subject::fresh`] gave, and opens what it had stored again; `None` where nothing is kept.
    ///
    /// The caller holds no other handle on it.
    async fn reopen(&self, store: Arc<dyn EventStore>) -> Option<Arc<dyn EventStore>> {
        drop(store);
        None
    }

    /// As [`Subject::fresh`], of a store that is opened with this gate, and its registry; `None` where it keeps none.
    async fn fresh_with_gate(&self, partitions: u16, gate: Arc<dyn Gate>) -> Option<Gated> {
        let _ = (partitions, gate);
        None
    }

    /// As [`Subject::reopen`], of a store that [`Subject::fresh_with_gate`] gave, with this gate in the place of the one that it
    /// had.
    async fn reopen_with_gate(&self, gated: Gated, gate: Arc<dyn Gate>) -> Option<Gated> {
        let _ = (gated, gate);
        None
    }
}

/// A store with the registry of schemas that it keeps.
#[derive(Clone)]
pub struct Gated {
    /// The store.
    pub store: Arc<dyn EventStore>,
    /// Its registry.
    pub registry: Arc<dyn RegistryStore>,
}

impl Gated {
    /// A store that is both.
    pub fn of<S: EventStore + RegistryStore>(store: S) -> Gated {
        let store = Arc::new(store);
        Gated { store: Arc::clone(&store) as _, registry: store }
    }
}

/// How a subject differs from others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities {
    /// The limits its stores were made with.
    pub limits: Limits,
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where chance begins.
    pub seed: u64,
    /// Multiplies how much is done.
    pub scale: usize,
    /// How long to wait for anything that must happen at once, like a delivery.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { seed: 1494, scale: 1, patience: Duration::from_secs(20) }
    }
}

impl Settings {
    /// The defaults, with what `PACIOLI_CONFORMANCE_SEED` and `PACIOLI_CONFORMANCE_SCALE` say instead.
    pub fn from_env() -> Settings {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a whole number, not `{text}`")))
        };
        let default = Settings::default();
        Settings {
            seed: number("PACIOLI_CONFORMANCE_SEED").unwrap_or(default.seed),
            scale: number("PACIOLI_CONFORMANCE_SCALE").map_or(default.scale, |scale| scale.max(1) as usize),
            ..default
        }
    }
}

/// One guarantee, checked.
pub struct Check {
    /// Its name, `group::guarantee`.
    pub name: &'static str,
    run: for<'a> fn(&'a Trial<'a>) -> BoxFuture<'a, ()>,
}

/// A check that found a guarantee broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The check.
    pub check: &'static str,
    /// The subject.
    pub subject: String,
    /// How many partitions its store had.
    pub partitions: u16,
    /// Where chance began.
    pub seed: u64,
    /// What was expected, and what came.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { check, subject, partitions, seed, message } = self;
        write!(f, "{subject} fails {check} ({partitions} partitions, PACIOLI_CONFORMANCE_SEED={seed}): {message}")
    }
}

impl Check {
    /// Runs the check with one partition and with four.
    ///
    /// # Errors
    /// The first failure.
    pub async fn run(&self, subject: &dyn Subject, settings: Settings) -> Result<(), Failure> {
        for partitions in [1, 4] {
            let whole = async {
                let trial = Trial::begin(subject, partitions, settings, self.name).await;
                (self.run)(&trial).await;
                verify::verify(&trial).await;
            };
            // A check says what is wrong by a panic, wherever it is; here the panic learns whose it was.
            let message =
                match tokio::time::timeout(settings.patience * 6, AssertUnwindSafe(whole).catch_unwind()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(panic)) => message_of(&*panic),
                    Err(_) => format!("expected to be done within {:?}", settings.patience * 6),
                };
            let subject = subject.name().to_owned();
            return Err(Failure { check: self.name, subject, partitions, seed: settings.seed, message });
        }
        Ok(())
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Runs every check in turn.
///
/// # Panics
/// With the first [`Failure`].
pub async fn run(subject: &dyn Subject, seed: u64) {
    for check in checks() {
        if let Err(failure) = check.run(subject, Settings { seed, ..Settings::from_env() }).await {
            panic!("{failure}");
        }
    }
}

/// Runs the check of this name on a runtime of its own; this is what [`crate::conformance_tests!`] calls.
///
/// # Panics
/// With the [`Failure`], and where there is no such check.
pub fn test<S: Subject>(name: &str, subject: impl FnOnce() -> S) {
    let check = checks().iter().find(|check| check.name == name).expect("the macro names only checks that exist");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    let outcome = runtime.block_on(async { check.run(&subject(), Settings::from_env()).await });
    runtime.shutdown_timeout(Duration::from_secs(5));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// The catalogue: every check, grouped by guarantee. What uses it is given to it as a macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_conformance_check {
    ($then:ident!($($with:tt)*)) => {
        $crate::$then! { ($($with)*)
            appending:
                an_append_answers_with_its_versions_and_positions,
                expected_versions_are_met_or_conflict,
                each_version_is_won_by_one_writer,
                a_conflict_harms_no_neighbour;
            concurrency:
                concurrent_appends_leave_no_gap,
                an_append_that_began_later_lies_later,
                an_acknowledged_append_is_seen_at_once,
                optimistic_writers_lose_no_update;
            idempotency:
                a_retry_regrouped_in_every_way_stores_nothing_twice,
                known_and_new_ids_conflict,
                known_ids_that_are_no_run_conflict,
                an_id_with_other_content_is_refused,
                a_retry_outlives_its_expectation_and_condition,
                a_key_gives_its_answer_to_new_ids,
                a_key_with_other_content_is_refused,
                a_conflict_leaves_its_key_unused,
                concurrent_twins_store_once,
                racing_regroupings_store_each_event_once;
            conditions:
                a_condition_asks_for_types_and_tags,
                a_condition_looks_after_its_checkpoint,
                a_condition_does_not_see_its_own_events,
                of_concurrent_conditional_appends_one_succeeds,
                a_condition_that_makes_no_sense_is_refused;
            multi_stream:
                several_streams_are_written_as_one,
                a_conflict_in_any_stream_stores_nothing,
                a_retry_of_several_streams_is_recognised,
                readers_never_see_half;
            content:
                blanks_around_headers_mean_nothing,
                every_field_comes_back_as_it_was_sent,
                names_keep_their_unicode,
                the_largest_event_comes_back,
                envelopes_come_without_data;
            reading:
                an_empty_store_reads_as_empty,
                a_stream_reads_forward_from_everywhere,
                a_stream_reads_backward_from_everywhere,
                a_page_is_bounded_in_bytes,
                a_stream_that_is_not_there_is_not_found,
                the_log_reads_after_every_checkpoint,
                streams_are_listed_by_category_and_prefix,
                a_checkpoint_of_another_store_is_refused;
            filtering:
                a_filter_gives_what_matches_and_nothing_else,
                a_filter_takes_names_literally,
                a_filter_that_matches_nothing_reaches_the_head;
            subscribing:
                a_subscription_from_every_point_misses_nothing,
                a_subscription_resumes_from_any_checkpoint,
                a_subscription_says_when_it_caught_up,
                a_subscription_at_the_head_sees_only_what_is_new,
                a_subscription_filters,
                a_heartbeat_carries_progress,
                a_heartbeat_comes_though_others_write,
                a_slow_subscriber_slows_only_itself,
                a_checkpoint_of_another_store_starts_no_subscription;
            limits:
                one_over_a_limit_is_refused,
                what_is_malformed_is_refused,
                a_limit_can_be_reached;
            tracking:
                a_checkpoint_commits_with_its_append,
                a_checkpoint_past_the_head_is_refused,
                a_checkpoint_that_would_not_advance_is_refused,
                a_conflict_does_not_advance_a_checkpoint,
                of_concurrent_consumers_one_advances;
            leases:
                a_lease_is_held_renewed_and_given_back,
                an_expired_lease_goes_to_another,
                of_concurrent_owners_one_holds_a_lease,
                a_lease_needs_names;
            partitions:
                streams_of_one_key_meet,
                an_append_stays_in_one_partition,
                a_condition_sees_its_own_partition,
                a_checkpoint_names_every_partition;
            registry:
                a_change_of_the_registry_is_made_once_and_recorded,
                a_change_without_a_record_of_its_own_changes_nothing,
                of_concurrent_changes_each_generation_is_won_once,
                nothing_lies_behind_the_record_that_refuses_it,
                events_get_the_schema_version_that_the_gate_gives,
                a_retry_outlives_the_schema_that_would_refuse_it,
                readers_that_gave_their_names_are_known,
                consumers_that_track_are_known,
                the_registry_is_there_after_reopening;
            differential:
                random_operations_agree_with_the_model;
            reopening:
                what_was_stored_is_there_after_reopening;
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_checks {
    (() $($group:ident: $($name:ident),+;)+) => {
        &[$($(Check {
            name: concat!(stringify!($group), "::", stringify!($name)),
            run: |trial| Box::pin($group::$name(trial)),
        },)+)+]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test_functions {
    (($subject:expr) $($group:ident: $($name:ident),+;)+) => {
        $($(
            #[test]
            fn $name() {
                $crate::conformance::test(concat!(stringify!($group), "::", stringify!($name)), || $subject);
            }
        )+)+
    };
}

/// Makes one `#[test]` of every check, each on a multi-threaded runtime of its own.
///
/// The expression makes the [`Subject`](crate::conformance::Subject); it is evaluated once a test, inside the runtime.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::__for_each_conformance_check!(__conformance_test_functions!($subject));
    };
}

/// Every check, in the order in which a reader of the contract meets the guarantees.
pub fn checks() -> &'static [Check] {
    const CHECKS: &[Check] = crate::__for_each_conformance_check!(__conformance_checks!());
    CHECKS
}
