//! Read models: what a build is, and that each event takes effect exactly once in it.

mod begin;
mod errors;
mod materialized;
mod past;
mod sync;
mod travel;
mod world;
