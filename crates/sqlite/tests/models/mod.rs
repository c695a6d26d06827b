//! Read models on real stores, by guarantee.

mod advance;
mod query;
pub(crate) mod support;
