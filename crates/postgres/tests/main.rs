//! Each file is a guarantee.

mod bus;
mod conformance;
mod doctor;
mod indexes;
mod roles;
mod support;
mod user_transactions;
