//! Guarantees of the runner and of what a server asks, over an engine in memory.

#![allow(clippy::unwrap_used)]

mod adding;
mod exactly_once;
mod leases;
mod past;
mod point_reads;
mod poison;
mod rebuilding;
mod recorded;
mod rewound;
mod schedules;
mod status;
mod support;
mod waiting;
