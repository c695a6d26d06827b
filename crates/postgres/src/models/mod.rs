//! Read models on PostgreSQL.

pub mod functions;
pub mod query;
