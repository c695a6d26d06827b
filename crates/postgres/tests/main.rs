//! Each file is a guarantee.

mod conformance;
mod indexes;
mod roles;
mod support;
