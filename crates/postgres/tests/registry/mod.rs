//! The registry of schemas: changed whole or not at all, and in force for every store from that moment on; and what SQL makes
//! of it.

mod changes;
mod door;
mod fence;
mod shapes;
pub(crate) mod world;
