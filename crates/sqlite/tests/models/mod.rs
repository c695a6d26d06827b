//! Read models on real stores, by guarantee.

mod advance;
mod check;
mod lifecycle;
mod past;
mod query;
pub(crate) mod support;
mod verify;
