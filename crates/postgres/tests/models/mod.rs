//! Read models: what a build is, and that each event takes effect exactly once in it.

mod begin;
mod elsewhere;
mod errors;
mod materialized;
mod past;
mod rewind;
mod sync;
mod travel;
mod world;
