//! The binary from outside: real processes, real ports, real files. A module is a guarantee.

#![expect(clippy::unwrap_used, reason = "what is not there is a failed test, also in the helpers of tests")]

mod support;

mod appends;
mod backups;
mod benches;
mod demo;
mod imports;
mod model_benches;
mod postgres;
mod postgres_benches;
mod read_models;
mod readme;
mod reads;
mod retired;
mod schemas;
mod servers;
mod usage;
