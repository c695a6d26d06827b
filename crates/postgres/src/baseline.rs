//! Raw COPY: what PostgreSQL itself can do with the rows of a log, to measure the store against.
//!
//! An append goes the way of the store's, through the same queue into batches of the same size. Each batch is one `COPY
//! ... FROM STDIN BINARY`, a transaction of its own, into a plain table with the columns of `events`, its primary key, and
//! indexes by stream and by id. Nothing is locked, looked up or decided.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use futures::SinkExt;
use pacioli_core::append::{Append, AppendOutcome, AppendRequest, Appended, StreamAppended};
use pacioli_core::clock::{Clock, SystemClock};
use pacioli_core::event::Payload;
use pacioli_core::group_commit::{GroupCommit, GroupCommitLimits, Pending, Taken};
use pacioli_core::lease::{Lease, LeaseOutcome};
use pacioli_core::place::{Checkpoint, Epoch, Position};
use pacioli_core::store::{
    AppendError, Deliveries, EventStore, ListStreams, LogPage, ReadError, ReadLog, ReadStream, StoreError, StreamInfo,
    StreamPage, StreamsPage,
};
use pacioli_core::subscription::Subscribe;
use pacioli_core::{Limits, NewEvent, Partition, StreamName, Timestamp, Version};
use postgres_types::{ToSql, Type};
use tokio_postgres::Statement;

use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::row::Moment;

/// How the rows of a binary COPY begin: the signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Columns of a row.
const COLUMNS: i16 = 13;
/// Bytes of one message at most: several fill the socket's buffer while the next is on its way.
const MESSAGE_BYTES: usize = 256 << 10;

/// A store that copies events into a plain table and can do nothing else.
pub struct RawCopy {
    queue: Arc<GroupCommit>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    head: Arc<AtomicU64>,
}

impl RawCopy {
    /// Makes the schema of `location`, which must not be there yet, and the table in it.
    ///
    /// # Errors
    /// The database cannot be reached, or the role may not make the schema.
    pub async fn open(location: &Location) -> std::result::Result<RawCopy, StoreError> {
        let connector = Connector::new(location.clone())?;
        RawCopy::make(&connector).await.map_err(Error::into_store_error)
    }

    async fn make(connector: &Connector) -> Result<RawCopy> {
        let session = connector.connect(Purpose::Append).await?;
        session.batch_execute(&format!("CREATE SCHEMA {}", connector.location().schema())).await?;
        for sql in [sql!("bench/create_copied"), sql!("bench/index_copied_streams"), sql!("bench/index_copied_ids")] {
            session.batch_execute(sql).await?;
        }
        let copy = session.prepare(sql!("bench/copy_rows")).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        let queue = Arc::new(GroupCommit::new(GroupCommitLimits::default()));
        let head = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            queue: Arc::clone(&queue),
            session,
            copy,
            clock: Arc::clone(&clock),
            head: Arc::clone(&head),
            versions: HashMap::new(),
        };
        tokio::spawn(writer.run());
        Ok(RawCopy { queue, limits: Limits::default(), clock, head })
    }
}

impl Drop for RawCopy {
    fn drop(&mut self) {
        // The writer copies what is queued, and ends.
        self.queue.close();
    }
}

struct Writer {
    queue: Arc<GroupCommit>,
    session: Session,
    copy: Statement,
    clock: Arc<dyn Clock>,
    head: Arc<AtomicU64>,
    /// The next version of each stream.
    versions: HashMap<StreamName, u64>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            match self.queue.next().await {
                Taken::Batch(batch) => self.write(batch).await,
                Taken::Idle => {}
                Taken::Closed => return,
            }
        }
    }

    async fn write(&mut self, batch: Vec<Pending>) {
        let first = self.head.load(Ordering::Relaxed) + 1;
        let (messages, outcomes) = self.encode(&batch, first);
        let copied = self.copy(messages).await;
        if let Ok(rows) = &copied {
            self.head.store(first - 1 + rows, Ordering::Relaxed);
        }
        for (pending, outcome) in batch.into_iter().zip(outcomes) {
            // A caller that went away does not wait for its answer.
            let _ = pending.answer.send(match &copied {
                Ok(_) => Ok(AppendOutcome::Appended(outcome)),
                Err(error) => Err(AppendError::Store(StoreError::new(error.to_string()))),
            });
        }
    }

    /// The batch as COPY takes it, and its answers.
    fn encode(&mut self, batch: &[Pending], first: u64) -> (Vec<Bytes>, Vec<Appended>) {
        let mut messages = Vec::new();
        let mut rows = BytesMut::with_capacity(2 * MESSAGE_BYTES);
        rows.extend_from_slice(HEADER);
        let mut answers = Vec::with_capacity(batch.len());
        let (now, mut position) = (self.clock.now(), first);
        for pending in batch {
            let append: &Append = &pending.append;
            let began = position;
            let mut streams = Vec::with_capacity(append.writes().len());
            for write in append.writes() {
                let next = self.versions.entry(write.stream.clone()).or_default();
                let first_version = Version(*next);
                for event in &write.events {
                    encode_row(&mut rows, &write.stream, event, Version(*next), Position(position), now);
                    (*next, position) = (*next + 1, position + 1);
                    if rows.len() >= MESSAGE_BYTES {
                        messages.push(rows.split().freeze());
                    }
                }
                streams.push(StreamAppended {
                    stream: write.stream.clone(),
                    first_version,
                    last_version: Version(next.saturating_sub(1)),
                });
            }
            answers.push(Appended {
                streams: streams.into_iter().collect(),
                partition: Partition::ZERO,
                first_position: Position(began),
                last_position: Position(position - 1),
                checkpoint: Checkpoint::new([Position(position - 1)], Epoch::FIRST),
                duplicate: false,
            });
        }
        rows.put_i16(-1);
        messages.push(rows.freeze());
        (messages, answers)
    }

    async fn copy(&self, messages: Vec<Bytes>) -> Result<u64> {
        let sink = self.session.copy_in::<_, Bytes>(&self.copy).await?;
        let mut sink = std::pin::pin!(sink);
        for message in messages {
            sink.feed(message).await?;
        }
        Ok(sink.finish().await?)
    }
}

fn encode_row(
    out: &mut BytesMut,
    stream: &StreamName,
    event: &NewEvent,
    version: Version,
    position: Position,
    now: Timestamp,
) {
    out.put_i16(COLUMNS);
    // The partition: there is one.
    field(out, &0_i32.to_be_bytes());
    field(out, &(event.schema_version.unwrap_or(1) as i32).to_be_bytes());
    field(out, &position.0.to_be_bytes());
    field(out, &version.0.to_be_bytes());
    value(out, Some(Moment(now)), &Type::TIMESTAMPTZ);
    value(out, event.occurred_at.map(Moment), &Type::TIMESTAMPTZ);
    field(out, event.id.0.as_bytes());
    field(out, stream.as_str().as_bytes());
    field(out, event.event_type.as_str().as_bytes());
    let (json, raw) = match &event.data {
        Payload::Json(bytes) => (Some(bytes), None),
        Payload::Binary(bytes) => (None, Some(bytes)),
    };
    optional(out, json.map(|bytes| &bytes[..]));
    optional(out, raw.map(|bytes| &bytes[..]));
    optional(out, event.metadata.to_json().as_deref().map(str::as_bytes));
    let tags: Vec<&str> = event.tags.as_slice().iter().map(|tag| tag.as_str()).collect();
    value(out, (!tags.is_empty()).then_some(tags), &Type::TEXT_ARRAY);
}

fn field(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.extend_from_slice(bytes);
}

fn optional(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => field(out, bytes),
        None => out.put_i32(-1),
    }
}

fn value(out: &mut BytesMut, value: Option<impl ToSql>, kind: &Type) {
    let Some(value) = value else { return out.put_i32(-1) };
    let at = out.len();
    out.put_i32(0);
    value.to_sql(kind, out).expect("a time and texts of a bounded length can be sent");
    let bytes = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&bytes.to_be_bytes());
}

fn unsupported<T>() -> std::result::Result<T, ReadError> {
    Err(ReadError::Unsupported { reason: "raw COPY only appends: it shows what PostgreSQL can do".to_owned() })
}

#[async_trait]
impl EventStore for RawCopy {
    async fn append(&self, append: AppendRequest) -> std::result::Result<AppendOutcome, AppendError> {
        let append = append.check(&self.limits, self.clock.now(), 1)?;
        self.queue.append(append).await
    }

    async fn read_stream(&self, _read: ReadStream) -> std::result::Result<StreamPage, ReadError> {
        unsupported()
    }

    async fn read_log(&self, _read: ReadLog) -> std::result::Result<LogPage, ReadError> {
        unsupported()
    }

    async fn subscribe(&self, _subscribe: Subscribe) -> std::result::Result<Deliveries, ReadError> {
        unsupported()
    }

    async fn stream(&self, _stream: &StreamName) -> std::result::Result<Option<StreamInfo>, ReadError> {
        unsupported()
    }

    async fn list_streams(&self, _list: ListStreams) -> std::result::Result<StreamsPage, ReadError> {
        unsupported()
    }

    async fn head(&self) -> std::result::Result<Checkpoint, ReadError> {
        Ok(Checkpoint::new([Position(self.head.load(Ordering::Relaxed))], Epoch::FIRST))
    }

    async fn tracking(&self, _name: &str) -> std::result::Result<Option<Checkpoint>, ReadError> {
        unsupported()
    }

    async fn acquire_lease(&self, _: &str, _: &str, _: Duration) -> std::result::Result<LeaseOutcome, ReadError> {
        unsupported()
    }

    async fn release_lease(&self, _lease: &Lease) -> std::result::Result<bool, ReadError> {
        unsupported()
    }

    async fn backup(&self, _to: &Path) -> std::result::Result<u64, ReadError> {
        unsupported()
    }
}
