//! Queries.
mod check;
mod plain;
#[cfg(test)]
mod check_tests;
