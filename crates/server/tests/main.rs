//! The server over real ports: each module's name is what it guarantees.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod appends_answer_as_documented;
mod confluent_clients_find_their_registry;
mod failures_are_told_apart;
mod limits_hold_to_the_one;
mod live_streams_resume;
mod moments_of_the_past_are_read;
mod names_stand_for_all_that_read;
mod pages_link_to_the_next;
mod projections_are_steered;
mod queries_answer_as_documented;
mod read_models;
mod readers_get_what_they_understand;
mod registry;
mod schemas_are_registered;
mod schemas_change_under_readers;
mod servers_share_a_registry;
mod shutdown_is_orderly;
mod support;
mod tls_and_addresses_are_guarded;
mod tokens_guard_every_route;
