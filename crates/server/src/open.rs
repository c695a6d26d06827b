//! Opening a store by its URL.

use std::path::Path;
use std::sync::Arc;

use pacioli_core::memory::MemoryStore;
use pacioli_core::{EventStore, Limits, Partition, StoreError, SystemClock};
use pacioli_sqlite::{SqliteOptions, SqliteStore};

/// Opens the store at `url`: `sqlite:DIR` keeps it in a directory, `memory:` forgets it with the process.
///
/// `partitions` is how many a new store gets (1 where `None`); a store that exists must have as many. The file system is
/// used by the calling thread, also to recover, so this is no call to make on a thread that drives others.
///
/// # Errors
/// What is wrong with the URL, or why the store cannot be opened and what to do.
pub fn open_store(url: &str, partitions: Option<u16>) -> Result<Arc<dyn EventStore>, StoreError> {
    open_store_with(url, partitions, Limits::default())
}

/// The directory that the store at `url` keeps its files in; `None` where it has none.
pub fn data_directory(url: &str) -> Option<&Path> {
    let rest = url.strip_prefix("sqlite:")?;
    let directory = rest.strip_prefix("//").unwrap_or(rest);
    (!directory.is_empty()).then(|| Path::new(directory))
}

/// Opens the store at `url` as [`open_store`] does, with these limits.
///
/// # Errors
/// Those of [`open_store`].
pub fn open_store_with(url: &str, partitions: Option<u16>, limits: Limits) -> Result<Arc<dyn EventStore>, StoreError> {
    if let Some(wrong) = partitions.filter(|count| *count == 0 || *count > Partition::MAX_COUNT) {
        return Err(StoreError::new(format!("a store has 1 to {} partitions, not {wrong}", Partition::MAX_COUNT)));
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(StoreError::new(format!("`{url}` is no store: write `sqlite:DIRECTORY` or `memory:`")));
    };
    match scheme {
        "memory" if rest.is_empty() => {
            let clock = SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)));
            Ok(Arc::new(MemoryStore::new(partitions.unwrap_or(1), limits, Arc::new(clock))))
        }
        "memory" => Err(StoreError::new("`memory:` takes nothing behind the colon")),
        // `sqlite://dir` is what people write who are used to URLs.
        "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
            "" => Err(StoreError::new("`sqlite:` needs a directory, like `sqlite:./pacioli-data`")),
            directory => {
                let options = SqliteOptions { partitions, limits, ..SqliteOptions::default() };
                Ok(Arc::new(SqliteStore::open(Path::new(directory), options)?))
            }
        },
        "postgres" | "postgresql" => {
            Err(StoreError::new("the PostgreSQL store is not in this build yet; use `sqlite:DIRECTORY` or `memory:`"))
        }
        // Never the whole URL: it may hold a password.
        other => Err(StoreError::new(format!(
            "`{other}:` is no store this build knows; write `sqlite:DIRECTORY` or `memory:`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_opened_is_said() {
        let problem = |url: &str, partitions| open_store(url, partitions).err().unwrap().reason;
        assert!(problem("data", None).contains("sqlite:DIRECTORY"));
        assert!(problem("postgres://user:secret@host/db", None).contains("not in this build yet"));
        assert!(!problem("mysql://user:secret@host/db", None).contains("secret"));
        assert!(problem("memory:", Some(0)).contains("1 to 1024"));
        assert!(open_store("memory:", Some(4)).is_ok());
    }

    #[tokio::test]
    async fn a_directory_keeps_its_events() {
        use pacioli_core::{Append, EventId, EventType, ExpectedVersion, NewEvent, StreamName};

        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("data").display());
        let event = NewEvent::json(EventId(uuid::Uuid::from_u128(1)), EventType::new("T").unwrap(), "{}");
        let append = Append::to(StreamName::new("a-1").unwrap(), ExpectedVersion::None, vec![event]);
        open_store(&url, None).unwrap().append(append).await.unwrap();
        let again = open_store(&url, Some(1)).unwrap();
        assert_eq!(again.head().await.unwrap().to_string(), "0:1");
        drop(again);
        assert!(open_store(&url, Some(2)).is_err(), "the number of partitions is fixed");
    }
}
