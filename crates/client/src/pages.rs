//! Reads of many pages that go on after a lost connection.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use pacioli_api::generated::v1;
use pacioli_api::wire::{read, shape, status};
use pacioli_core::{LogPage, ReadError, ReadLog, StoreError};
use tonic::{Status, Streaming};

use crate::retry::{Backoff, Deadline};
use crate::store::{Manner, Shared};

/// A read of the log on the wire.
pub(crate) fn log_request(manner: &Manner, read: &ReadLog, limit: u64, pages: u32) -> v1::ReadLogRequest {
    v1::ReadLogRequest {
        after: read.after.as_ref().map(ToString::to_string),
        filter: read::filter_to_wire(&read.filter),
        limit,
        fields: read::payload_to_wire(read.payload),
        pages,
        shape: shape::shape_to_wire(&manner.shape),
        reader: manner.reader.clone(),
    }
}

struct Reading {
    shared: Arc<Shared>,
    manner: Arc<Manner>,
    read: ReadLog,
    /// Events that may still come; `None` is no limit.
    left: Option<u64>,
    call: Option<Streaming<v1::ReadLogResponse>>,
    backoff: Backoff,
    /// When to give up, counted from the last page.
    deadline: Deadline,
}

/// Reads the log page after page.
pub(crate) fn log(
    shared: Arc<Shared>,
    manner: Arc<Manner>,
    read: ReadLog,
) -> BoxStream<'static, Result<LogPage, ReadError>> {
    let reading = Reading {
        left: (read.limit > 0).then_some(read.limit as u64),
        read,
        call: None,
        backoff: Backoff::new(shared.config.backoff_max),
        deadline: Deadline::after(shared.config.deadline),
        shared,
        manner,
    };
    stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(page)) => Some((Ok(page), Some(reading))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl Reading {
    async fn next(&mut self) -> Result<Option<LogPage>, ReadError> {
        loop {
            let status = match self.message().await {
                Ok(Some(message)) => {
                    self.shared.heard();
                    let page = read::log_page_from_wire(message);
                    let page = page.map_err(|error| ReadError::Store(StoreError::new(error.to_string())))?;
                    self.read.after = Some(page.checkpoint.clone());
                    self.left = self.left.map(|left| left.saturating_sub(page.events.len() as u64));
                    self.backoff.reset();
                    self.deadline = Deadline::after(self.shared.config.deadline);
                    return Ok(Some(page));
                }
                Ok(None) => return Ok(None),
                Err(status) => status,
            };
            self.call = None;
            if self.left == Some(0) {
                return Ok(None);
            }
            if !status::is_transient(&status)
                || self.shared.is_hopeless(&status).is_some()
                || !self.deadline.wait(self.backoff.next()).await
            {
                return Err(self.shared.read_error(&status));
            }
        }
    }

    async fn message(&mut self) -> Result<Option<v1::ReadLogResponse>, Status> {
        let patience = self.shared.config.try_timeout;
        let call = match &mut self.call {
            Some(call) => call,
            None => {
                let request = log_request(&self.manner, &self.read, self.left.unwrap_or(0), 0);
                let mut connection = self.shared.connections.store();
                let call = tokio::time::timeout(patience, connection.read_log(request)).await.map_err(silent)??;
                self.call.insert(call.into_inner())
            }
        };
        tokio::time::timeout(patience, call.message()).await.map_err(silent)?
    }
}

fn silent(_: tokio::time::error::Elapsed) -> Status {
    Status::unavailable("the server went silent")
}
