//! Each file is a guarantee.

mod benches;
mod conformance;
mod support;
