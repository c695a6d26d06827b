//! Read models on real stores, by guarantee.

mod advance;
mod query;
mod support;
