//! Each file is a guarantee.

mod conformance;
mod support;
mod user_transactions;
