//! Each file is a guarantee.

mod conformance;
mod roles;
mod support;
