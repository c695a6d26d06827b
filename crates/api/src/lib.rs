//! The wire: protos, JSON shapes, the error table, and their conversions to the vocabulary of core.
//!
//! [`cloudevents`] writes events and [`import`] reads them, [`json`] has the other shapes, [`fields`] chooses parts of an
//! event, [`problem`] is the one error table. The server speaks with these and the CLI prints with them, so both say the same.

pub mod cloudevents;
pub mod fields;
pub mod generated;
pub mod import;
#[cfg(test)]
mod import_tests;
pub mod json;
mod object;
pub mod problem;
pub mod schemas;
pub mod text;
pub mod time;
pub mod wire;
