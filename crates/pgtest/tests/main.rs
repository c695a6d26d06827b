//! The harness itself, by guarantee.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod support;

mod clusters_are_private;
mod faults_hit_every_process;
mod nothing_is_left_behind;
mod system_only;
