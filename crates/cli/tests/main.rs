//! The binary from outside: real processes, real ports, real files. A module is a guarantee.

mod support;

mod appends;
mod backups;
mod benches;
mod demo;
mod imports;
mod readme;
mod reads;
mod servers;
mod usage;
