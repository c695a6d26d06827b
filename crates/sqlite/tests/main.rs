//! The embedded store, by guarantee.

mod support;

mod backup;
mod conformance;
mod damage;
mod full_disk;
mod models;
mod one_process;
mod readme;
mod recovery;
mod registry;
mod sql_tools;
mod sync_projections;
