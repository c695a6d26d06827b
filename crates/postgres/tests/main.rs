//! Each file is a guarantee.

mod benches;
mod bus;
mod conformance;
mod doctor;
mod failover;
mod faults;
mod indexes;
mod models;
mod queries;
mod registry;
mod roles;
mod support;
mod user_transactions;
