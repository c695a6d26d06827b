//! The format of projections.

mod accepted;
mod beside;
mod paths;
mod refused;
mod tokens;
