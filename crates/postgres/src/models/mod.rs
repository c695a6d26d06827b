//! Read models on PostgreSQL.
pub(crate) mod functions;
pub(crate) mod query;
