//! What was acknowledged is there after a restart, found by every index, however far index work had come.

use pacioli_core::store::Direction;
use pacioli_core::{
    Append, AppendOutcome, Category, EventStore, EventType, ExpectedVersion, Filter, ListStreams, Query, QueryItem,
    ReadStream, Tag, Version,
};
use uuid::Uuid;

use crate::support::{append, event, fill, open, stream, tagged, whole_log};

#[tokio::test(flavor = "multi_thread")]
async fn every_index_answers_the_same_after_each_of_many_restarts() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = Uuid::from_u128(77);
    let keyed = |store: pacioli_sqlite::SqliteStore, id| async move {
        let append = Append::to(stream("keyed-1"), ExpectedVersion::Any, vec![event(id, "Keyed")]);
        let same_content = pacioli_core::Payload::Json("{}".into());
        let mut append = append.key(key);
        append.writes[0].events[0].data = same_content;
        store.append(append).await.expect("an outcome")
    };
    let store = open(directory.path());
    let AppendOutcome::Appended(first_answer) = keyed(store.clone(), 1 << 70).await else { panic!("appended") };
    append(&store, "course-1", vec![tagged(1 << 71, "seat:7")]).await;
    drop(store);

    const ROUND: u128 = 25_000;
    for round in 0..6_u128 {
        let store = open(directory.path());
        // 1. Keys, ids and conditions of the first moments are still known.
        match keyed(store.clone(), (1 << 72) + round).await {
            AppendOutcome::Appended(again) => {
                assert!(again.duplicate);
                assert_eq!(again.streams, first_answer.streams);
            }
            other => panic!("{other:?}"),
        }
        let seat = Query { items: vec![QueryItem { types: vec![], tags: vec![Tag::new("seat:7").expect("a tag")] }] };
        let conditional = Append::to(stream("course-2"), ExpectedVersion::Any, vec![event((1 << 73) + round, "E")]);
        assert!(matches!(store.append(conditional.unless(seat, None)).await, Ok(AppendOutcome::Conflict(_))));
        for known in [1, round * ROUND / 2 + 1, round * ROUND] {
            if (1..=round * ROUND).contains(&known) {
                let again = append(&store, &format!("filled-{}", known % 500), vec![event(known, "Filled")]).await;
                assert!(again.duplicate, "event {known} in round {round}");
            }
        }
        // 2. More.
        fill(&store, round * ROUND + 1, ROUND, 500).await;
        drop(store);
    }

    let store = open(directory.path());
    let total = 6 * ROUND as usize;
    let by = |categories: &[&str], types: &[&str]| Filter {
        categories: categories.iter().map(|name| Category::new(*name).expect("a category")).collect(),
        types: types.iter().map(|name| EventType::new(*name).expect("a type")).collect(),
        ..Filter::default()
    };
    assert_eq!(whole_log(&store, Filter::default()).await.len(), total + 2);
    assert_eq!(whole_log(&store, by(&["filled"], &[])).await.len(), total);
    assert_eq!(whole_log(&store, by(&["course"], &[])).await.len(), 1);
    assert_eq!(whole_log(&store, by(&[], &["Keyed", "Tagged"])).await.len(), 2);
    assert_eq!(whole_log(&store, by(&["course"], &["Keyed"])).await.len(), 0);
    let read = ReadStream {
        stream: stream("filled-7"),
        from: None,
        direction: Direction::Forward,
        limit: 4_096,
        payload: Default::default(),
    };
    let page = store.read_stream(read).await.expect("a page");
    let versions: Vec<Version> = page.events.iter().map(|event| event.version).collect();
    assert_eq!(versions, (0..total as u64 / 500).map(Version).collect::<Vec<_>>());
    let list = ListStreams {
        category: Some(Category::new("filled").expect("a category")),
        limit: 1_000,
        ..ListStreams::default()
    };
    assert_eq!(store.list_streams(list).await.expect("a page").streams.len(), 500);
}
