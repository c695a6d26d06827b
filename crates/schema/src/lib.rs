//! The schema gate's rules: what a schema may be, which change of it breaks whom, whether an event is what its schema
//! says, and how stored data is lifted to a newer shape. All of it is pure.
//!
//! Read the modules in this order: [`format`](mod@format) is a schema in any of the languages, of which [`json`] is always
//! there, [`compat`] says what changed between two of them and for whom that is a break, [`upcast`] lifts data from one
//! version to the next, [`catalogue`] is the whole registry with its schemas compiled, [`gate`] is what the store and its
//! readers ask, and [`register`] decides what becomes of a new schema.
//!
//! **Invariants.** This crate knows no SQL and no network: a schema that points to another place is refused. What a schema
//! or a document costs is bounded before it is compiled. Time arrives as an argument.

#[cfg(feature = "avro")]
pub mod avro;
pub mod catalogue;
pub mod compat;
pub mod confluent;
mod difference;
pub mod format;
mod frame;
pub mod gate;
#[cfg(all(feature = "avro", feature = "protobuf", not(debug_assertions)))]
#[cfg(test)]
mod hostile;
pub mod json;
pub mod lint;
#[cfg(feature = "protobuf")]
pub mod protobuf;
pub mod register;
#[cfg(test)]
mod testing;
mod trail;
pub mod upcast;

pub use catalogue::Catalogue;
pub use compat::{Change, Level, Size};
pub use format::{Broken, Schema, SchemaError};
pub use gate::SchemaGate;
#[cfg(feature = "protobuf")]
pub use protobuf::ProtobufSchema;
pub use upcast::{Chain, Upcaster};
