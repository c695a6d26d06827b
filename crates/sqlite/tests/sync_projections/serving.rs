//! How a projection comes to serve, and stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pacioli_core::store::Direction;
use pacioli_core::{AppendOutcome, EventStore, Filter, Position, ReadStream};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{Advance, AdvanceError, Engine, EngineError, Role, State};

use crate::models::support::{BALANCES, build, exists, models, moved, name, projection, rows, to_head};
use crate::support::{append, open, stream, whole_log};

use super::{all_at_once, assert_folded, one, serve, sync_balances};

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_comes_to_serve_under_appends_misses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let over = Arc::new(AtomicBool::new(false));
    let appenders: Vec<_> = (0..4_u128)
        .map(|appender| {
            let (store, over) = (store.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut id = (appender + 1) << 64;
                while !over.load(Ordering::Relaxed) {
                    let appends =
                        (0..20).map(|n| one(&format!("account-{}", (id + n) % 9), moved(id + n, "Deposited", 1)));
                    for outcome in all_at_once(&store, appends.collect()).await {
                        assert!(matches!(outcome, Ok(AppendOutcome::Appended(_))), "{outcome:?}");
                    }
                    id += 20;
                }
            })
        })
        .collect();
    for version in 1..=5 {
        // Not taken to the head first: the swap itself brings it there.
        let begun = models.begin(&projection(&sync_balances(version)), 1).await.expect("a build");
        models.swap(&name("balances"), begun.number).await.expect("it serves");
        let serving = build(&models, "balances", Role::Serving).await;
        assert_eq!(serving.projection.version, version);
    }
    over.store(true, Ordering::Relaxed);
    for appender in appenders {
        appender.await.expect("it appended");
    }
    assert_folded(&store, &models).await;
    assert!(whole_log(&store, Filter::default()).await.len() > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_fails_before_it_serves_says_on_what_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    append(&store, "account-1", vec![moved(1, "Deposited", 2), moved(2, "Withdrawn", 3)]).await;
    let begun = models.begin(&projection(&sync_balances(1)), 1).await.expect("a build");
    let Err(EngineError::Refused(why)) = models.swap(&name("balances"), begun.number).await else { panic!("refused") };
    assert!(why.contains("0:2") && why.contains("CHECK constraint"), "{why}");
    let filling = build(&models, "balances", Role::Filling).await;
    let State::Failed(failed) = &filling.state else { panic!("{:?}", filling.state) };
    assert_eq!((failed.place.to_string().as_str(), filling.progress[0].position), ("0:2", Position(0)));
    append(&store, "account-1", vec![moved(3, "Withdrawn", 3)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serving_sync_projection_is_moved_by_appends_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let first = serve(&models, &sync_balances(1)).await.expect("it serves");
    append(&store, "account-1", vec![moved(1, "Deposited", 2)]).await;
    let serving = build(&models, "balances", Role::Serving).await;
    let Err(EngineError::Refused(why)) = models.set_state(&name("balances"), first, State::Paused).await else {
        panic!("a pause is refused")
    };
    assert!(why.contains("cannot be paused"), "{why}");
    let advance = Advance {
        epoch: pacioli_core::Epoch::FIRST,
        build: Arc::new(serving),
        worker: 0,
        partition: pacioli_core::Partition(0),
        after: Position(1),
        up_to: Position(2),
        events_max: 10,
    };
    assert!(matches!(models.advance(advance).await, Err(AdvanceError::Moved)));
    // A version that runs by itself takes over, and appends are not refused any more.
    let second = models.begin(&projection(&BALANCES.replace("version: 1", "version: 2")), 1).await.expect("a build");
    to_head(&models, "balances", Role::Filling, 100).await.expect("it fills");
    models.swap(&name("balances"), second.number).await.expect("it serves");
    append(&store, "account-1", vec![moved(2, "Withdrawn", 5)]).await;
    // And back again, from where it stood.
    models.take_back(&name("balances"), first).await.expect("it fills again");
    let Err(EngineError::Refused(why)) = models.swap(&name("balances"), first).await else { panic!("the overdraft") };
    assert!(why.contains("0:2"), "{why}");
    models.drop_build(&name("balances"), first).await.expect("it is dropped");
    let third = serve(&models, &sync_balances(3).replace(" CHECK (cents >= 0)", "")).await.expect("it serves");
    append(&store, "account-1", vec![moved(3, "Withdrawn", 5)]).await;
    assert_folded(&store, &models).await;
    models.drop_build(&name("balances"), third).await.expect("it is dropped");
    append(&store, "account-1", vec![moved(4, "Withdrawn", 5)]).await;
    assert!(!exists(&directory.path().join(format!("read-models/balances.{}.db", third.0))));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_the_log_and_a_ninth_projection_are_refused_before_they_fill() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let named = |name: &str| sync_balances(1).replace("balances", name);
    let Err(EngineError::File(findings)) = models.begin(&projection(&named("streams")), 1).await else {
        panic!("refused")
    };
    assert!(findings[0].problem.contains("`streams` is a table of the log"), "{findings:?}");
    for number in 0..8 {
        serve(&models, &named(&format!("balances_{number}"))).await.expect("it serves");
    }
    let ninth = models.begin(&projection(&named("balances_8")), 1).await;
    let Err(EngineError::Refused(why)) = ninth else { panic!("{ninth:?}") };
    assert!(why.contains("at most 8"), "{why}");
    append(&store, "account-1", vec![moved(1, "Deposited", 2)]).await;
    for number in 0..8 {
        let row = rows(&models, &format!("SELECT cents FROM balances_{number}")).await;
        assert_eq!(row, [[Value::Int(2)]]);
    }
    let read = ReadStream {
        stream: stream("account-1"),
        from: None,
        direction: Direction::Forward,
        limit: 10,
        payload: Default::default(),
    };
    assert_eq!(store.read_stream(read).await.expect("a page").events.len(), 1);
}
