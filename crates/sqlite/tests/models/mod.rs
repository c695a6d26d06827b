//! Read models on real stores, by guarantee.

mod advance;
mod check;
mod gate;
mod kill;
mod lifecycle;
mod past;
mod query;
mod rewind;
mod shapes;
pub(crate) mod support;
mod verify;
