//! Each file is a guarantee.

mod conformance;
mod failover;
mod faults;
mod support;
