//! Which builds serve: those the catalogue has when the store opens, and those that come and go while it is open.

use std::path::Path;
use std::sync::{PoisonError, mpsc};

use pacioli_core::Place;
use pacioli_core::store::StoreError;
use pacioli_projection::file::Name;

use super::attach;
use super::{SYNC_PROJECTIONS_MAX, Served, Standing, SyncBuild, SyncStands, no_room};
use crate::error::{Error, Result};
use crate::models::handlers::ApplyError;
use crate::pool::STATEMENTS_KEPT;
use crate::schema::{self, READ_MODELS, USUAL_DIRECTORY};
use crate::writer::Writer;

/// What the writer is asked about `sync` projections. Nothing is appended meanwhile.
pub(crate) enum ProjectionCommand {
    /// Take a build to the head and let it serve in the place of the one of its projection that does.
    Serve {
        build: SyncBuild,
        /// Told once the build is at the head, or why it cannot be; and again once it serves.
        at_head: mpsc::SyncSender<std::result::Result<(), NotServing>>,
        /// Waited for then, with nobody appending: a word lets it serve, and without one nothing has changed.
        confirmed: mpsc::Receiver<()>,
    },
    /// Let the build of a projection serve no longer.
    Stop { name: Name, done: mpsc::SyncSender<std::result::Result<(), NotServing>> },
}

/// Why a build does not serve. What served before does still.
#[derive(Debug)]
pub(crate) enum NotServing {
    /// It cannot, and why, and what to do.
    Refused(String),
    /// A statement failed on an event.
    Event { place: Option<Place>, error: String },
    /// The storage failed.
    Store(Error),
    /// The storage failed before.
    Failed(StoreError),
}

impl From<Error> for NotServing {
    fn from(error: Error) -> NotServing {
        NotServing::Store(error)
    }
}

impl From<rusqlite::Error> for NotServing {
    fn from(error: rusqlite::Error) -> NotServing {
        NotServing::Store(error.into())
    }
}

impl NotServing {
    /// The store went away before it answered.
    pub(crate) fn closed() -> NotServing {
        NotServing::Store(Error::Store("the store was closed".to_owned()))
    }

    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            NotServing::Refused(problem) => StoreError::new(problem),
            NotServing::Event { place: Some(place), error } => StoreError::new(format!("event {place}: {error}")),
            NotServing::Event { place: None, error } => StoreError::new(error),
            NotServing::Store(error) if error.is_full() => {
                StoreError::full("the disk is full: free space on the volume of the read models, it goes on by itself")
            }
            NotServing::Store(error) => error.into_store_error(),
            NotServing::Failed(error) => error,
        }
    }
}

impl From<ApplyError> for NotServing {
    fn from(error: ApplyError) -> NotServing {
        match error {
            ApplyError::Statement { place, error } => NotServing::Event { place, error },
            ApplyError::Sqlite(error) => NotServing::Store(error.into()),
        }
    }
}

impl Writer {
    /// Brings the builds that serve to the head, before the first append. One that cannot be brought there takes no appends
    /// that it wants, and everything else goes on.
    pub(crate) fn serve_at_open(&mut self, builds: Vec<(SyncBuild, Option<StoreError>)>) {
        for (build, unusable) in builds {
            let mut served = Served { build, attached: None, standing: Standing::AtHead };
            let taken = match unusable {
                Some(error) => Err(NotServing::Failed(error)),
                None => self.take_to_head(&mut served),
            };
            if let Err(error) = taken {
                self.leave_behind(&mut served, error);
            }
            self.projections.served.push(served);
        }
        self.keep_statements();
        self.tell_who_serves();
    }

    pub(in crate::writer) fn execute_on_projections(&mut self, command: ProjectionCommand) {
        let stopped = self.shared.stopped.get().map(|reason| NotServing::Store(Error::Store(reason.clone())));
        match (command, stopped) {
            (
                ProjectionCommand::Serve { at_head: answer, .. } | ProjectionCommand::Stop { done: answer, .. },
                Some(why),
            ) => {
                let _ = answer.send(Err(why));
            }
            (ProjectionCommand::Serve { build, at_head, confirmed }, None) => self.serve(build, &at_head, &confirmed),
            (ProjectionCommand::Stop { name, done }, None) => {
                let stopped = self.stop_serving(&name);
                self.tell_who_serves();
                let _ = done.send(stopped.map_err(NotServing::from));
            }
        }
        self.keep_statements();
        self.tell_who_serves();
    }

    fn serve(
        &mut self,
        build: SyncBuild,
        at_head: &mpsc::SyncSender<std::result::Result<(), NotServing>>,
        confirmed: &mpsc::Receiver<()>,
    ) {
        let replaced = self.projections.position(build.name());
        if replaced.is_none() && self.projections.served.len() >= SYNC_PROJECTIONS_MAX {
            let _ = at_head.send(Err(NotServing::Refused(no_room())));
            return;
        }
        // The one that serves now goes first: the new one may have tables of the same names.
        let mut replaced = replaced.map(|index| self.projections.served.swap_remove(index));
        let mut served = Served { build, attached: None, standing: Standing::AtHead };
        let detached = replaced.as_mut().map_or(Ok(()), |replaced| self.detach(replaced));
        let taken = detached
            .map_err(NotServing::from)
            .and_then(|()| self.take_to_head(&mut served))
            .and_then(|()| Ok(self.remember_directory(&served.build)?));
        let is_there = taken.is_ok();
        if at_head.send(taken).is_ok() && is_there && confirmed.recv().is_ok() {
            self.projections.served.push(served);
            self.keep_statements();
            self.tell_who_serves();
            let _ = at_head.send(Ok(()));
            return;
        }
        if let Err(error) = self.detach(&mut served) {
            tracing::error!(projection = %served.build.name(), %error, "a build that does not serve stays attached");
        }
        if let Some(mut replaced) = replaced {
            if let Err(error) = self.take_to_head(&mut replaced) {
                self.leave_behind(&mut replaced, error);
            }
            self.projections.served.push(replaced);
        }
    }

    /// Writes down where read models are that every append has to see, for the next start.
    fn remember_directory(&self, build: &SyncBuild) -> Result<()> {
        let directory = build.file.parent().unwrap_or(Path::new(""));
        let usual = self.shared.log.with_file_name(USUAL_DIRECTORY);
        let noted = if directory == usual {
            String::new()
        } else {
            let whole = std::path::absolute(directory).ok();
            whole.and_then(|whole| whole.to_str().map(str::to_owned)).ok_or_else(|| {
                Error::Store(format!("the directory of read models, {}, has no name in UTF-8", directory.display()))
            })?
        };
        if schema::read_meta::<String>(&self.conn, READ_MODELS)?.unwrap_or_default() != noted {
            schema::write_meta(&self.conn, READ_MODELS, noted)?;
        }
        Ok(())
    }

    fn stop_serving(&mut self, name: &Name) -> Result<()> {
        let Some(index) = self.projections.position(name) else { return Ok(()) };
        let mut stopped = self.projections.served.swap_remove(index);
        self.detach(&mut stopped)
    }

    pub(super) fn detach(&self, served: &mut Served) -> Result<()> {
        if let Some(attached) = served.attached.take() {
            attach::detach(&self.conn, &attached.schema)?;
        }
        Ok(())
    }

    /// Statements of all projections stay prepared beside those of the log.
    fn keep_statements(&self) {
        let statements: usize =
            self.projections.served.iter().map(|served| served.build.handlers.statements().len() + 4).sum();
        self.conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT + statements);
    }

    /// Says outside which builds serve, and how they are.
    pub(super) fn tell_who_serves(&self) {
        let stands = self.projections.served.iter().map(|served| SyncStands {
            name: served.build.name().clone(),
            number: served.build.number,
            file: served.build.file.clone(),
            behind: match &served.standing {
                Standing::AtHead => None,
                Standing::Behind(behind) => Some(behind.failed.clone()),
            },
        });
        *self.shared.sync.lock().unwrap_or_else(PoisonError::into_inner) = stands.collect();
    }
}
