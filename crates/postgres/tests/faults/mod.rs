//! What breaks, and that nothing acknowledged is lost, nothing is told by guess, and everything goes on by itself.
//!
//! Chance comes from `PACIOLI_FAULT_SEED`; a campaign has more rounds by `PACIOLI_FAULT_ROUNDS`.

pub(crate) mod proxy;
pub(crate) mod world;

mod crashes;
mod cuts;
mod locks;
mod refusals;
mod stalls;
mod system_only;
