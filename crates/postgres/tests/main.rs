//! Each file is a guarantee.

mod bus;
mod conformance;
mod indexes;
mod roles;
mod support;
