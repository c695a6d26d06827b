//! Projections: SQL that folds the log's events into tables, what such a file may say, and the runner that keeps the tables
//! up to date.
//!
//! ```text
//!   funnel.sql ──► file ──► engine.begin ──► a build: tables of its own, filled from the start of the log
//!                                              │
//!   the log ───────────────► runner ──► engine.advance: rows and progress in one transaction
//!                                              │
//!   query, read models ◄── engine.query ◄── engine.swap: the build serves, the one before is kept
//! ```
//!
//! Read [`mod@file`] for what a projection is, [`engine`] for what the SQLite and the PostgreSQL store do for one, `runner`
//! for how it is driven, and [`ReadModels`] for what a server asks.
//!
//! **Invariants.** There is no SQL in this crate: it knows where statements begin and end and which named values they use,
//! and engines run them. Rows and progress move in one transaction, and only from where they stood.

pub mod answer;
mod catalogue;
mod crash;
pub mod engine;
pub mod file;
mod moment;
pub mod past;
mod runner;
pub mod service;
pub mod state;

pub use crash::crash_point;
pub use engine::Engine;
pub use file::Projection;
pub use service::{ReadModels, ReadModelsOptions, WeakReadModels};
