//! A backup over the network: whole and checked, or not there.

use std::io;
use std::path::Path;

use pacioli_api::generated::v1::BackupRequest;
use pacioli_api::generated::v1::backup_response::{Part, Summary};
use pacioli_core::{ReadError, StoreError};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::store::Shared;

/// Writes the server's backup to a file beside `to`, and gives it its name once it is complete, checked and on disk.
pub(crate) async fn backup(shared: &Shared, to: &Path) -> Result<u64, ReadError> {
    let failed = |error: io::Error| {
        ReadError::Store(StoreError::new(format!("the backup could not be written to {}: {error}", to.display())))
    };
    let torn = |problem: String| {
        ReadError::Store(StoreError::new(format!("the backup did not arrive whole ({problem}); make it again")))
    };
    let dir = match to.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    if to.exists() {
        let problem = format!("{} exists already; name a new file", to.display());
        return Err(ReadError::Invalid { field: "to", problem });
    }
    let partial = tempfile::Builder::new().prefix(".pacioli-backup-").tempfile_in(dir).map_err(failed)?;
    let mut file = tokio::fs::File::from_std(partial.reopen().map_err(failed)?);
    let call = shared.connections.admin().backup(BackupRequest {}).await;
    let mut call = call.map_err(|status| shared.read_error(&status))?.into_inner();
    let mut hash = Sha256::new();
    let mut size = 0;
    let summary: Summary = loop {
        let message = call.message().await.map_err(|status| shared.read_error(&status))?;
        match message.and_then(|message| message.part) {
            Some(Part::Chunk(chunk)) => {
                hash.update(&chunk);
                size += chunk.len() as u64;
                file.write_all(&chunk).await.map_err(failed)?;
            }
            Some(Part::Summary(summary)) => break summary,
            None => return Err(torn(format!("it ended after {size} bytes"))),
        }
    };
    if summary.size != size || summary.sha256 != hash.finalize().as_slice() {
        return Err(torn(format!("{size} of {} bytes, or others than were sent", summary.size)));
    }
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    partial.persist_noclobber(to).map_err(|error| failed(error.error))?;
    sync_dir(dir).map_err(failed)?;
    Ok(size)
}

/// Makes the new name durable too.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(dir)?.sync_all() } else { Ok(()) }
}
