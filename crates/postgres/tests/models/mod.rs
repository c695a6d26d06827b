//! Read models: what a build is, and that each event takes effect exactly once in it.

mod begin;
mod world;
