//! Read models on real stores, by guarantee.

mod advance;
mod check;
mod kill;
mod lifecycle;
mod past;
mod query;
mod rewind;
pub(crate) mod support;
mod verify;
