//! The past: copies of builds, and folds up to a moment into tables that are thrown away.

use pacioli_projection::engine::{EngineError, Moment};
use pacioli_projection::file::Name;

use super::home::Home;

/// Tables as they were at a moment, for one question.
pub(crate) struct Scratch {
    /// The schemas to put in front of the search path, in this order: one with `events` as the log was, and one for each
    /// projection with its tables. The reader's role may read them.
    pub(crate) schemas: Vec<String>,
}

impl Scratch {
    /// Drops them. What is left behind by a process that ended is dropped at the next opening.
    pub(crate) async fn discard(self, home: &Home) {
        let _ = (self, home);
    }
}

impl Home {
    /// Folds the serving builds of these projections up to a moment.
    pub(crate) async fn fold_scratch(&self, names: &[Name], moment: &Moment) -> Result<Scratch, EngineError> {
        let _ = (names, moment);
        Err(EngineError::Refused("the past is not built in".to_owned()))
    }
}

pub(super) async fn cut(home: &Home, moment: &Moment) -> Result<pacioli_core::Checkpoint, pacioli_core::StoreError> {
    let _ = (home, moment);
    Err(pacioli_core::StoreError::new("no"))
}
pub(super) async fn keep_copy(
    home: &Home,
    name: &Name,
    build: pacioli_projection::engine::BuildNumber,
) -> Result<pacioli_core::Checkpoint, EngineError> {
    let _ = (home, name, build);
    Err(EngineError::Refused("no".to_owned()))
}
pub(super) async fn verify(
    home: &Home,
    name: &Name,
    build: pacioli_projection::engine::BuildNumber,
    sample: pacioli_projection::engine::Sample,
    progress: &(dyn Fn(f64) + Send + Sync),
) -> Result<pacioli_projection::engine::Verified, EngineError> {
    let _ = (home, name, build, sample, progress);
    Err(EngineError::Refused("no".to_owned()))
}
