//! Placeholder.

pub mod grpc;
