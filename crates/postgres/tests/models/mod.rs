//! Read models: what a build is, and that each event takes effect exactly once in it.

mod begin;
mod elsewhere;
mod errors;
mod exactly_once;
mod materialized;
mod past;
mod rewind;
mod rights;
mod shapes;
mod sync;
mod travel;
mod world;
