//! Changes of the registry of schemas: each is a batch of its own, whose one append is the record of the change.

use std::collections::BTreeMap;
use std::slice;

use tokio::sync::oneshot;

use pacioli_core::append::Refusal;
use pacioli_core::schemas::{NamedReader, REGISTRY_STREAM, RegistryChange, RegistryOutcome};
use pacioli_core::store::{AppendError, StoreError};
use pacioli_core::{Append, AppendOutcome, ExpectedVersion, InvalidAppend, StreamName};

use super::{Failure, Writer};
use crate::error::{Error, Result};
use crate::registry;

/// What the writer does for the registry.
pub(crate) enum RegistryCommand {
    /// Change it.
    Change { change: Box<RegistryChange>, answer: oneshot::Sender<std::result::Result<RegistryOutcome, AppendError>> },
    /// Write down that a reader read: with the next batch, or when nobody waits.
    NoteReader { reader: Box<NamedReader>, answer: oneshot::Sender<Result<()>> },
    /// The readers that gave their names.
    NamedReaders { answer: oneshot::Sender<Result<Vec<NamedReader>>> },
    /// Forget a reader.
    ForgetReader { name: Box<str>, answer: oneshot::Sender<Result<bool>> },
}

impl Writer {
    pub(super) fn execute_on_registry(&mut self, command: RegistryCommand) {
        let stopped = self.shared.stopped.get().cloned();
        let refused = || stopped.clone().map(Error::Store);
        match command {
            RegistryCommand::Change { change, answer } => {
                let outcome = match &stopped {
                    Some(reason) => Err(AppendError::Store(StoreError::new(reason.clone()))),
                    None => self.change_registry(&change),
                };
                let _ = answer.send(outcome);
            }
            RegistryCommand::NoteReader { reader, answer } => {
                let noted = refused().map_or(Ok(()), Err);
                if noted.is_ok() {
                    self.noted.insert(reader.name.clone(), *reader);
                }
                let _ = answer.send(noted);
            }
            RegistryCommand::NamedReaders { answer } => {
                let _ = answer.send(self.named_readers());
            }
            RegistryCommand::ForgetReader { name, answer } => {
                let _ = answer.send(refused().map_or_else(|| self.forget_reader(&name), Err));
            }
        }
    }

    /// Changes the registry, if it still is what the change was thought out for. The gate has taken it over when this
    /// returns, so what is appended next is held against it.
    fn change_registry(&mut self, change: &RegistryChange) -> std::result::Result<RegistryOutcome, AppendError> {
        if change.expected != self.generation {
            return Ok(RegistryOutcome::Moved { current: self.generation });
        }
        let stream = StreamName::from_storage(REGISTRY_STREAM);
        let record = Append::to(stream, ExpectedVersion::Any, change.record.clone());
        let record = record.check_record(&self.shared.limits, self.shared.clock.now(), self.shared.partitions)?;
        let heads = self.shared.recent.heads();
        let written = self
            .fetch(slice::from_ref(&record), &heads)
            .map_err(Failure::from)
            .and_then(|(facts, touched)| self.write(vec![record], heads, facts, touched, Some(change)));
        let answer = written.map_err(|failure| self.append_error(failure, 1))?.pop();
        match answer.expect("the batch has one append")? {
            AppendOutcome::Appended(appended) if !appended.duplicate => {
                Ok(RegistryOutcome::Changed { generation: self.generation, checkpoint: appended.checkpoint })
            }
            AppendOutcome::Refused(refusal @ Refusal::ByProjection { .. }) => {
                Err(AppendError::Denied { reason: format!("the registry was not changed: {refusal}") })
            }
            _ => Err(InvalidAppend::new("record", "has events that are in the log already").into()),
        }
    }

    /// What was written down, and what will be with the next batch.
    fn named_readers(&self) -> Result<Vec<NamedReader>> {
        let written = registry::readers(&self.conn)?.into_iter();
        let mut readers: BTreeMap<_, _> = written.map(|reader| (reader.name.clone(), reader)).collect();
        readers.extend(self.noted.clone());
        Ok(readers.into_values().collect())
    }

    fn forget_reader(&mut self, name: &str) -> Result<bool> {
        let was_noted = self.noted.remove(name).is_some();
        let deleted = registry::delete_reader(&self.conn, name);
        if let Err(error) = &deleted {
            self.stop_if_in_doubt(error);
        }
        Ok(deleted? || was_noted)
    }

    /// Writes down what was noted of readers, in a transaction of its own. It may be lost, so nobody is told where it fails.
    pub(super) fn write_noted_alone(&mut self) {
        let noted = std::mem::take(&mut self.noted);
        let written = self.conn.execute_batch(sql!("begin_write")).map_err(Error::from).and_then(|()| {
            registry::write_readers(&self.conn, noted.values())?;
            Ok(self.conn.execute_batch(sql!("commit"))?)
        });
        if let Err(error) = written {
            tracing::warn!(%error, readers = noted.len(), "it could not be written down which readers read");
            self.stop_if_in_doubt(&error);
            if let Failure::Unknown(error) = self.end_transaction(error) {
                self.stop(&error);
            }
        }
    }
}
