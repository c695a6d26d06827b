//! Each file is a guarantee.

mod conformance;
mod doctor;
mod indexes;
mod roles;
mod support;
