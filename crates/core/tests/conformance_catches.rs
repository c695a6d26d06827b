//! The suite can fail: stores that are broken on purpose, each in one way, and the check that catches each.
#![cfg(feature = "conformance")]

use std::sync::Arc;
use std::time::Duration;

use broken::{Broken, BrokenRegistry, Fault};
use pacioli_core::EventStore;
use pacioli_core::conformance::{Gated, Settings, Subject, checks};
use pacioli_core::schemas::Gate;

mod broken;

struct BrokenSubject(Fault);

#[async_trait::async_trait]
impl Subject for BrokenSubject {
    fn name(&self) -> &str {
        "broken"
    }

    async fn fresh(&self, partitions: u16) -> Arc<dyn EventStore> {
        Arc::new(Broken::new(self.0, partitions))
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Option<Arc<dyn EventStore>> {
        Some(Arc::new(Broken::reopened(self.0, store)))
    }

    async fn fresh_with_gate(&self, partitions: u16, gate: Arc<dyn Gate>) -> Option<Gated> {
        Some(BrokenRegistry::fresh(self.0, partitions, gate))
    }

    async fn reopen_with_gate(&self, gated: Gated, gate: Arc<dyn Gate>) -> Option<Gated> {
        Some(BrokenRegistry::reopened(self.0, gated, gate).await)
    }
}

/// Runs one check over a store with this fault; says what it found.
async fn outcome(fault: Fault, name: &str) -> Option<String> {
    let check =
        checks().iter().find(|check| check.name == name).unwrap_or_else(|| panic!("there is no check `{name}`"));
    let settings = Settings { patience: Duration::from_secs(2), ..Settings::default() };
    let failure = check.run(&BrokenSubject(fault), settings).await.err()?;
    assert_eq!(failure.check, name);
    Some(failure.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_broken_store_is_caught() {
    use Fault::*;
    let rows = [
        (AnswersWrongPositions, "appending::an_append_answers_with_its_versions_and_positions"),
        (IgnoresExactVersions, "appending::expected_versions_are_met_or_conflict"),
        (HidesTheCurrentVersion, "appending::expected_versions_are_met_or_conflict"),
        (ChecksVersionsBeforehand, "appending::each_version_is_won_by_one_writer"),
        (ChecksVersionsBeforehand, "concurrency::optimistic_writers_lose_no_update"),
        (SharesPositions, "concurrency::concurrent_appends_leave_no_gap"),
        (AnswersBeforeItStores, "concurrency::an_acknowledged_append_is_seen_at_once"),
        (AnswersBeforeItStores, "concurrency::an_append_that_began_later_lies_later"),
        (StoresRetriesAgain, "idempotency::a_retry_regrouped_in_every_way_stores_nothing_twice"),
        (StoresRetriesAgain, "idempotency::racing_regroupings_store_each_event_once"),
        (StoresWhatIsNewOfMixedIds, "idempotency::known_and_new_ids_conflict"),
        (ComparesIdsOnly, "idempotency::an_id_with_other_content_is_refused"),
        (ForgetsKeys, "idempotency::a_key_gives_its_answer_to_new_ids"),
        (ForgetsKeys, "idempotency::concurrent_twins_store_once"),
        (ComparesKeysOnly, "idempotency::a_key_with_other_content_is_refused"),
        (IgnoresAConditionTag, "conditions::a_condition_asks_for_types_and_tags"),
        (AsksOnlyTheFirstItem, "conditions::a_condition_asks_for_types_and_tags"),
        (IgnoresWhereAConditionBegins, "conditions::a_condition_looks_after_its_checkpoint"),
        (ChecksConditionsBeforehand, "conditions::of_concurrent_conditional_appends_one_succeeds"),
        (AcceptsConditionsPastTheHead, "conditions::a_condition_that_makes_no_sense_is_refused"),
        (StoresHalfOfAConflict, "multi_stream::a_conflict_in_any_stream_stores_nothing"),
        (ShowsHalfOfAnAppend, "multi_stream::readers_never_see_half"),
        (NormalizesJson, "content::every_field_comes_back_as_it_was_sent"),
        (ForgetsTimesBefore1970, "content::every_field_comes_back_as_it_was_sent"),
        (TrimsNames, "content::names_keep_their_unicode"),
        (SendsDataAnyway, "content::envelopes_come_without_data"),
        (DropsAnEventFromPages, "reading::the_log_reads_after_every_checkpoint"),
        (SwapsTwoEvents, "reading::the_log_reads_after_every_checkpoint"),
        (ReadsFromTheCheckpointOn, "reading::the_log_reads_after_every_checkpoint"),
        (ReadsOneTooMany, "reading::a_stream_reads_forward_from_everywhere"),
        (EndsAPageEarly, "reading::a_stream_reads_backward_from_everywhere"),
        (SendsPagesOfAnySize, "reading::a_page_is_bounded_in_bytes"),
        (FindsEveryStream, "reading::a_stream_that_is_not_there_is_not_found"),
        (ListsWithoutCategory, "reading::streams_are_listed_by_category_and_prefix"),
        (SkipsAStreamBetweenPages, "reading::streams_are_listed_by_category_and_prefix"),
        (TakesAnyCheckpoint, "reading::a_checkpoint_of_another_store_is_refused"),
        (FiltersByTypeOnly, "filtering::a_filter_gives_what_matches_and_nothing_else"),
        (TakesPrefixesAsPatterns, "filtering::a_filter_takes_names_literally"),
        (StandsStillWhereNothingMatches, "filtering::a_filter_that_matches_nothing_reaches_the_head"),
        (SkipsAtHandOver, "subscribing::a_subscription_at_the_head_sees_only_what_is_new"),
        (SkipsAtHandOver, "subscribing::a_subscription_from_every_point_misses_nothing"),
        (RepeatsAtHandOver, "subscribing::a_subscription_from_every_point_misses_nothing"),
        (GivesCheckpointsAhead, "subscribing::a_subscription_resumes_from_any_checkpoint"),
        (GivesCheckpointsBehind, "subscribing::a_subscription_resumes_from_any_checkpoint"),
        (NeverSaysCaughtUp, "subscribing::a_subscription_says_when_it_caught_up"),
        (NeverSendsHeartbeats, "subscribing::a_heartbeat_carries_progress"),
        (NeverSendsHeartbeats, "subscribing::a_heartbeat_comes_though_others_write"),
        (CutsSlowSubscribers, "subscribing::a_slow_subscriber_slows_only_itself"),
        (FiltersByTypeOnly, "subscribing::a_subscription_filters"),
        (TakesAnyCheckpoint, "subscribing::a_checkpoint_of_another_store_starts_no_subscription"),
        (AcceptsOneMore, "limits::one_over_a_limit_is_refused"),
        (RefusesOneLess, "limits::a_limit_can_be_reached"),
        (AcceptsTheFuture, "limits::what_is_malformed_is_refused"),
        (ForgetsTracking, "tracking::a_checkpoint_commits_with_its_append"),
        (TracksTheSameTwice, "tracking::a_checkpoint_that_would_not_advance_is_refused"),
        (TracksTheSameTwice, "tracking::of_concurrent_consumers_one_advances"),
        (TracksConflicts, "tracking::a_conflict_does_not_advance_a_checkpoint"),
        (LendsToEverybody, "leases::a_lease_is_held_renewed_and_given_back"),
        (LendsToEverybody, "leases::of_concurrent_owners_one_holds_a_lease"),
        (RepeatsTokens, "leases::an_expired_lease_goes_to_another"),
        (GivesCheckpointsOfOnePartition, "partitions::a_checkpoint_names_every_partition"),
        (AsksOnlyTheFirstItem, "differential::random_operations_agree_with_the_model"),
        (ReadsOneTooMany, "differential::random_operations_agree_with_the_model"),
        (ForgetsKeysWhenReopened, "reopening::what_was_stored_is_there_after_reopening"),
        (ForgetsTrackingWhenReopened, "reopening::what_was_stored_is_there_after_reopening"),
        (MakesStaleChanges, "registry::a_change_of_the_registry_is_made_once_and_recorded"),
        (ChangesWithoutItsRecord, "registry::a_change_without_a_record_of_its_own_changes_nothing"),
        (TellsTheGateLate, "registry::of_concurrent_changes_each_generation_is_won_once"),
        (JudgesBeforehand, "registry::nothing_lies_behind_the_record_that_refuses_it"),
        (IgnoresVersionsOfTheGate, "registry::events_get_the_schema_version_that_the_gate_gives"),
        (JudgesBeforehand, "registry::a_retry_outlives_the_schema_that_would_refuse_it"),
        (KeepsTheFirstNote, "registry::readers_that_gave_their_names_are_known"),
        (TellsOneConsumer, "registry::consumers_that_track_are_known"),
        (TellsNoGateWhenReopened, "registry::the_registry_is_there_after_reopening"),
    ];
    let mut missed = Vec::new();
    for (fault, check) in rows {
        match outcome(fault, check).await {
            Some(said) => assert!(said.contains("expected"), "{fault:?}: a failure says what was expected: {said}"),
            None => missed.push(format!("{fault:?} by {check}")),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_wrapper_alone_breaks_nothing() {
    for check in checks() {
        assert_eq!(outcome(Fault::Nothing, check.name).await, None);
    }
}

#[test]
fn a_failure_names_the_check_the_store_and_the_seed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let check = "reading::a_stream_that_is_not_there_is_not_found";
    let said = runtime.block_on(outcome(Fault::FindsEveryStream, check)).unwrap();
    assert!(
        said.starts_with(&format!("broken fails {check} (1 partitions, PACIOLI_CONFORMANCE_SEED=1494): expected")),
        "{said}"
    );
}
