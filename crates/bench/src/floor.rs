//! The floor: a store that keeps the append path and nothing else.
//!
//! It checks an append, queues it in the same [`GroupCommit`], writes the bytes of each batch to one file, syncs it and
//! answers. It decides nothing, indexes nothing and reads nothing back, so no durable store on this machine can be
//! faster on the same path; a real store is quoted as a share of it.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::append::{AppendOutcome, AppendRequest, Appended, StreamAppended};
use pacioli_core::group_commit::{GroupCommit, GroupCommitLimits, Pending, Taken};
use pacioli_core::{
    Append, AppendError, Checkpoint, Clock, Deliveries, Epoch, EventStore, Lease, LeaseOutcome, Limits, ListStreams,
    LogPage, Partition, Position, ReadError, ReadLog, ReadStream, StoreError, StreamInfo, StreamName, StreamPage,
    StreamsPage, Subscribe, Version,
};

use crate::BenchError;

/// The file begins anew after so many bytes, so that a long run cannot fill the disk.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A store that appends durably and can do nothing else.
pub struct FloorStore {
    queue: Arc<GroupCommit>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    head: Arc<AtomicU64>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl FloorStore {
    /// A store over `floor.log` in `directory`.
    ///
    /// # Errors
    /// [`BenchError::Io`] where the file cannot be made.
    pub fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<FloorStore, BenchError> {
        let path = directory.join("floor.log");
        let failed = || BenchError::io(format!("could not write {}", path.display()));
        let file = File::create(&path).map_err(failed())?;
        let queue = Arc::new(GroupCommit::new(GroupCommitLimits::default()));
        let head = Arc::new(AtomicU64::new(0));
        let writer = Writer { queue: Arc::clone(&queue), file, bytes: 0, head: Arc::clone(&head) };
        let handle =
            std::thread::Builder::new().name("floor-writer".to_owned()).spawn(move || writer.run()).map_err(failed())?;
        Ok(FloorStore { queue, limits: Limits::default(), clock, head, writer: Mutex::new(Some(handle)) })
    }
}

impl Drop for FloorStore {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A writer that panicked has answered nobody, which every caller has been told already.
            let _ = writer.join();
        }
    }
}

struct Writer {
    queue: Arc<GroupCommit>,
    file: File,
    bytes: u64,
    head: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self) {
        let mut buffer = Vec::new();
        loop {
            match self.queue.take(Duration::from_secs(1)) {
                Taken::Batch(batch) => self.write(batch, &mut buffer),
                Taken::Idle => {}
                Taken::Closed => return,
            }
        }
    }

    fn write(&mut self, batch: Vec<Pending>, buffer: &mut Vec<u8>) {
        // 1. The bytes of the batch, one after the other.
        buffer.clear();
        for pending in &batch {
            encode(&pending.append, buffer);
        }
        // 2. One write, one sync.
        let written =
            self.begin_anew_when_full().and_then(|()| self.file.write_all(buffer)).and_then(|()| self.file.sync_data());
        self.bytes += buffer.len() as u64;
        // 3. Every answer. A caller that went away does not wait for it.
        for pending in batch {
            let answer = match &written {
                Ok(()) => Ok(AppendOutcome::Appended(self.appended(&pending.append))),
                Err(error) => {
                    Err(AppendError::Store(StoreError::new(format!("the file could not be written: {error}"))))
                }
            };
            let _ = pending.answer.send(answer);
        }
    }

    fn begin_anew_when_full(&mut self) -> std::io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX {
            self.file.seek(SeekFrom::Start(0))?;
            self.bytes = 0;
        }
        Ok(())
    }

    fn appended(&self, append: &Append) -> Appended {
        let events = append.events() as u64;
        let before = self.head.fetch_add(events, Ordering::Relaxed);
        let streams = append.writes().iter().map(|write| StreamAppended {
            stream: write.stream.clone(),
            first_version: Version(before),
            last_version: Version(before + write.events.len() as u64 - 1),
        });
        Appended {
            streams: streams.collect(),
            partition: Partition::ZERO,
            first_position: Position(before + 1),
            last_position: Position(before + events),
            checkpoint: Checkpoint::new([Position(before + events)], Epoch::FIRST),
            duplicate: false,
        }
    }
}

fn encode(append: &Append, buffer: &mut Vec<u8>) {
    for write in append.writes() {
        for event in &write.events {
            buffer.extend_from_slice(write.stream.as_str().as_bytes());
            buffer.extend_from_slice(event.id.0.as_bytes());
            buffer.extend_from_slice(event.event_type.as_str().as_bytes());
            buffer.extend_from_slice(&(event.data.len() as u32).to_be_bytes());
            buffer.extend_from_slice(event.data.bytes());
            buffer.extend_from_slice(event.metadata.headers.as_deref().unwrap_or_default());
        }
    }
}

fn unsupported<T>() -> Result<T, ReadError> {
    Err(ReadError::Unsupported { reason: "the floor only appends: it shows what the machine can do".to_owned() })
}

#[async_trait]
impl EventStore for FloorStore {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        let append = append.check(&self.limits, self.clock.now(), 1)?;
        self.queue.append(append).await
    }

    async fn read_stream(&self, _read: ReadStream) -> Result<StreamPage, ReadError> {
        unsupported()
    }

    async fn read_log(&self, _read: ReadLog) -> Result<LogPage, ReadError> {
        unsupported()
    }

    async fn subscribe(&self, _subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        unsupported()
    }

    async fn stream(&self, _stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        unsupported()
    }

    async fn list_streams(&self, _list: ListStreams) -> Result<StreamsPage, ReadError> {
        unsupported()
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        Ok(Checkpoint::new([Position(self.head.load(Ordering::Relaxed))], Epoch::FIRST))
    }

    async fn tracking(&self, _name: &str) -> Result<Option<Checkpoint>, ReadError> {
        unsupported()
    }

    async fn acquire_lease(&self, _: &str, _: &str, _: Duration) -> Result<LeaseOutcome, ReadError> {
        unsupported()
    }

    async fn release_lease(&self, _lease: &Lease) -> Result<bool, ReadError> {
        unsupported()
    }

    async fn backup(&self, _to: &Path) -> Result<u64, ReadError> {
        unsupported()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Events;
    use crate::report::Parameters;
    use pacioli_core::{ExpectedVersion, SystemClock};

    #[tokio::test]
    async fn an_acknowledged_append_has_its_bytes_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        let store = FloorStore::open(directory.path(), clock).unwrap();
        let mut events =
            Events::new(1, &Parameters { streams: 10, payload_bytes: 200, ..Parameters::default() }).unwrap();
        for expected_head in [3, 6] {
            let append = Append::to(events.stream(), ExpectedVersion::Any, events.batch(3));
            let outcome = store.append(append).await.unwrap();
            let AppendOutcome::Appended(appended) = outcome else { panic!("{outcome:?}") };
            assert_eq!(appended.last_position, Position(expected_head));
        }
        let bytes = std::fs::metadata(directory.path().join("floor.log")).unwrap().len();
        assert_eq!(bytes, 6 * (16 + 16 + 16 + 4 + 200));
        assert!(
            store
                .read_log(ReadLog { after: None, filter: Default::default(), limit: 1, payload: Default::default() })
                .await
                .is_err()
        );
    }
}
