//! Each file is a guarantee.

mod bus;
mod conformance;
mod indexes;
mod roles;
mod failover;
mod faults;
mod support;
