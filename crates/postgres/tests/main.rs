//! Each file is a guarantee.

mod bus;
mod conformance;
mod support;
