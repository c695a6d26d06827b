//! A backup is the log of one moment, and its restoration is told to readers.

use pacioli_core::{
    Append, EventStore, EventType, ExpectedVersion, Filter, Partition, Query, QueryItem, ReadError, ReadLog, Subscribe,
};

use crate::support::{append, event, fill, open, stream, whole_log};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_whole_and_begins_a_new_epoch() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("data"));
    fill(&store, 1, 3_000, 50).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move { fill(&store, 10_000, 3_000, 50).await }
    });
    let copy = directory.path().join("copy.db");
    let bytes = store.backup(&copy).await.expect("a backup");
    assert_eq!(bytes, std::fs::metadata(&copy).expect("the file").len());
    writing.await.expect("the load");
    let ahead = store.head().await.expect("a head");
    assert_eq!(ahead.to_string(), "0:6000");

    let restored = directory.path().join("restored");
    std::fs::create_dir(&restored).expect("a directory");
    std::fs::copy(&copy, restored.join("log.db")).expect("a copy");
    let restored = open(&restored);
    let head = restored.head().await.expect("a head");
    assert!(head.epoch().0 > 1, "{head}");
    let events = whole_log(&restored, Filter::default()).await;
    assert!(events.len() >= 3_000);
    assert_eq!(events.len() as u64, head.iter().map(|place| place.position.0).sum::<u64>());
    // The copy is a prefix of the original.
    let original = whole_log(&store, Filter::default()).await;
    assert!(events.iter().zip(&original).all(|(a, b)| a == b));

    // A reader of the original that is ahead of the copy is told, one that is not goes on.
    let read = |after| ReadLog { after, filter: Filter::default(), limit: 10, payload: Default::default() };
    if events.len() < 6_000 {
        let told = restored.read_log(read(Some(ahead.clone()))).await.expect_err("a rewind");
        assert!(matches!(told, ReadError::Rewound { to } if to == head));
        let told = restored.subscribe(Subscribe { after: Some(ahead), ..Subscribe::default() }).await;
        assert!(matches!(told.err(), Some(ReadError::Rewound { .. })));
    }
    let behind = "0:10".parse().expect("a checkpoint");
    let page = restored.read_log(read(Some(behind))).await.expect("a page");
    assert_eq!((page.checkpoint.position(Partition::ZERO).0, page.checkpoint.epoch()), (20, head.epoch()));
    // A decision that rests on what was rewound is refused, however far the new log has come.
    fill(&restored, 100_000, 4_000, 50).await;
    let query =
        Query { items: vec![QueryItem { types: vec![EventType::new("Filled").expect("a type")], tags: vec![] }] };
    let rests_on_it = Append::to(stream("decided-1"), ExpectedVersion::Any, vec![event(1 << 90, "Decided")]);
    if events.len() < 6_000 {
        let refused = restored.append(rests_on_it.unless(query, Some("0:6000".parse().expect("a checkpoint")))).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("rewound")));
    }
    drop(restored);

    // A second restoration of the same copy is another history, so another epoch.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let twin = directory.path().join("twin");
    std::fs::create_dir(&twin).expect("a directory");
    std::fs::copy(&copy, twin.join("log.db")).expect("a copy");
    assert!(open(&twin).head().await.expect("a head").epoch() > head.epoch());

    // The new epoch begins once, not at every start.
    let again = open(&directory.path().join("restored"));
    assert_eq!(again.head().await.expect("a head").epoch(), head.epoch());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_overwrites_nothing_and_leaves_nothing_half_done() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("data"));
    append(&store, "a-1", vec![event(1, "Happened")]).await;
    let taken = directory.path().join("taken");
    std::fs::write(&taken, "mine").expect("a file");
    let refused = store.backup(&taken).await.expect_err("a refusal").to_string();
    assert!(refused.contains("exists"), "{refused}");
    assert_eq!(std::fs::read_to_string(&taken).expect("the file"), "mine");
    store.backup(&directory.path().join("no-such-folder/copy.db")).await.expect_err("no folder");
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).expect("a listing").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
