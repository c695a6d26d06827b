//! The format of projections.

mod accepted;
