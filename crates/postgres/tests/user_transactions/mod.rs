//! An application's own transaction appends: `append` and `append_deferred`, from plain SQL.

mod agreement;
mod concurrency;
mod decisions;
mod deferred;
mod guards;
mod refusals;
mod session;
mod together;
mod upkeep;
