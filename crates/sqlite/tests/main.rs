//! The embedded store, by guarantee.

mod support;

mod backup;
//CONF mod conformance;
mod damage;
mod full_disk;
mod one_process;
mod recovery;
mod sql_tools;
