//! `pacioli.v1.Admin`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use pacioli_api::generated::v1::admin_server::Admin;
use pacioli_api::generated::v1::backup_response::{Part, Summary};
use pacioli_api::generated::v1::{BackupRequest, BackupResponse};
use pacioli_api::wire::status;
use pacioli_core::{ReadError, StoreError};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc};
use tonic::{Request, Response, Status};

use super::Services;
use super::ahead::{Messages, read_ahead};
use crate::keep_going::KeepGoing;

/// Bytes of one message of a backup.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that are read ahead of the network.
const CHUNKS_AHEAD: usize = 2;

/// What the name of a directory begins with in which a backup is put together.
const BACKUP_PREFIX: &str = ".pacioli-backup-";

/// Removes what backups left behind that ended with the process.
pub(crate) fn sweep_backups(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(BACKUP_PREFIX);
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match std::fs::remove_dir_all(entry.path()) {
            Ok(()) => tracing::info!(path = %entry.path().display(), "removed what a torn backup left behind"),
            Err(error) => tracing::warn!(path = %entry.path().display(), %error, "cannot remove a torn backup"),
        }
    }
}

/// The store behind the service.
pub(super) struct AdminService {
    services: Arc<Services>,
    /// A second backup at the same time would take twice the disk.
    running: Arc<Semaphore>,
}

impl AdminService {
    pub(super) fn new(services: Arc<Services>) -> AdminService {
        AdminService { services, running: Arc::new(Semaphore::new(1)) }
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    type BackupStream = Messages<BackupResponse>;

    async fn backup(&self, _request: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let Ok(running) = Arc::clone(&self.running).try_acquire_owned() else {
            return Err(Status::resource_exhausted("another backup is being made; ask again when it is done"));
        };
        let dir = tempfile::Builder::new()
            .prefix(BACKUP_PREFIX)
            .tempdir_in(&self.services.backup_dir)
            .map_err(|error| failed(&self.services.backup_dir, &error))?;
        let copy = dir.path().join("store");
        let store = Arc::clone(&self.services.store);
        // The store goes on with it when the caller goes away, and until then its place is taken.
        let copying = KeepGoing::new(async move {
            let copied = store.backup(&copy).await;
            (copied, copy, dir, running)
        });
        let (copied, copy, dir, running) = copying.await;
        copied.map_err(|error| status::read_status(&error))?;
        let file = File::open(&copy).map_err(|error| failed(&copy, &error))?;
        let (sender, mut receiver) = mpsc::channel(CHUNKS_AHEAD);
        tokio::task::spawn_blocking(move || {
            // The copy goes away with this task, sent or not.
            let _gone_at_the_end = (dir, running);
            let sent = send(file, |part| sender.blocking_send(Ok(BackupResponse { part: Some(part) })).is_ok());
            if let Err(error) = sent {
                // Nobody listens any more where this fails too.
                let _ = sender.blocking_send(Err(failed(&copy, &error)));
            }
        });
        let messages = stream::poll_fn(move |context| receiver.poll_recv(context)).boxed();
        Ok(Response::new(read_ahead(Arc::clone(&self.services), messages)))
    }
}

/// Sends the file in chunks and then what they amount to, until `send` says that nobody listens any more.
fn send(mut file: File, send: impl Fn(Part) -> bool) -> std::io::Result<()> {
    let mut hash = Sha256::new();
    let mut size = 0;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            let sha256 = Bytes::copy_from_slice(&hash.finalize());
            send(Part::Summary(Summary { size, sha256 }));
            return Ok(());
        }
        hash.update(&chunk);
        size += chunk.len() as u64;
        if !send(Part::Chunk(chunk.into())) {
            return Ok(());
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Status {
    let reason = format!("the backup failed at {}: {error}; is there room on the server's disk?", path.display());
    status::read_status(&ReadError::Store(StoreError::new(reason)))
}
