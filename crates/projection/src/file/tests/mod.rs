//! The format of projections.

mod accepted;
mod beside;
mod documented;
mod paths;
mod refused;
mod tokens;
