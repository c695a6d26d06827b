//! A full disk refuses appends with a clear error, keeps reads up, and appends go on once there is room.

use pacioli_core::store::AppendError;
use pacioli_core::{Append, AppendOutcome, EventStore, ExpectedVersion, Filter};
use pacioli_sqlite::{SqliteOptions, SqliteStore};

use crate::support::{event, stream, whole_log};

#[tokio::test(flavor = "multi_thread")]
async fn appends_are_refused_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let bounded = SqliteOptions { file_bytes_max: Some(1 << 20), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), bounded).expect("the store opens");
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for id in 0..20_000_u128 {
        let append = Append::to(stream(&format!("a-{}", id % 10)), ExpectedVersion::Any, vec![event(id, "Happened")]);
        match store.append(append).await {
            Ok(AppendOutcome::Appended(appended)) => acknowledged.push((id, appended.last_position)),
            Ok(other) => panic!("{other:?}"),
            Err(AppendError::Store(error)) => {
                assert!(error.to_string().contains("disk is full"), "{error}");
                refused += 1;
                if refused == 20 {
                    break;
                }
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 20, "the bound was reached");
    assert!(acknowledged.len() > 500);
    let check = |events: &[std::sync::Arc<pacioli_core::RecordedEvent>]| {
        let stored: Vec<_> = events.iter().map(|event| (event.id.0.as_u128(), event.position)).collect();
        assert_eq!(stored, acknowledged);
    };
    check(&whole_log(&store, Filter::default()).await);
    drop(store);

    // With room again the same log goes on where it was.
    let store = SqliteStore::open(directory.path(), SqliteOptions::default()).expect("the store opens again");
    check(&whole_log(&store, Filter::default()).await);
    let next = Append::to(stream("a-1"), ExpectedVersion::Exists, vec![event(1 << 60, "Happened")]);
    match store.append(next).await.expect("room") {
        AppendOutcome::Appended(appended) => assert_eq!(appended.first_position.0, acknowledged.len() as u64 + 1),
        other => panic!("{other:?}"),
    }
}
