//! Copies, comparisons with a fresh fold, and the cut of a moment.

use pacioli_core::place::Checkpoint;
use pacioli_projection::Engine;
use pacioli_projection::engine::{BuildNumber, Moment, Sample};

use super::world::{BALANCES, COUNTS, World, catch_up, name, projection};
use pacioli_core::{EventStore, Timestamp};

const BY_STREAM: &str = "-- parallel-by: stream\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_drifted_is_found_and_one_that_did_not_is_not() {
    let world = World::new("models_verify").await;
    world.deposit(20, 5).await;
    for (text, named) in [(BALANCES, "balances"), (COUNTS, "counts")] {
        world.begin(text).await;
        world.catch_up(named, 1).await.expect("it advances");
    }
    let shares = std::sync::Mutex::new(Vec::new());
    let told = |share: f64| shares.lock().expect("a lock").push(share);
    let verified = world.models.verify(&name("balances"), BuildNumber(1), Sample::All, &told).await.expect("verified");
    assert_eq!((verified.rows, verified.different), (20, 0), "{verified:?}");
    assert_eq!(verified.checkpoint.to_string(), "0:100");
    assert_eq!(shares.lock().expect("a lock").last(), Some(&1.0));
    let spoil = "UPDATE pacioli_balances_1.balances SET cents = 7 WHERE account = 'account-3';
                 DELETE FROM pacioli_balances_1.balances WHERE account = 'account-4';
                 INSERT INTO pacioli_balances_1.balances VALUES ('account-x', 1, 1)";
    world.client().await.batch_execute(spoil).await.expect("it is spoiled");
    let verified =
        world.models.verify(&name("balances"), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
    assert_eq!(verified.different, 2, "{verified:?}");
    let told = verified.differences.join("\n");
    assert!(told.contains("balances: the fold has (account-4,5,5), and the read model has not"), "{told}");
    assert!(told.contains("balances: the read model has (account-3,7,5), and the fold has not"), "{told}");
    let counts = world.models.verify(&name("counts"), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
    assert_eq!((counts.rows, counts.different), (1, 0));
    let refused =
        world.models.verify(&name("counts"), BuildNumber(1), Sample::Streams { of: 4, part: 0 }, &|_| {}).await;
    assert!(refused.expect_err("not by stream").to_string().contains("parallel-by: stream"));
    assert_eq!(world.value("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'scratch'").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_streams_and_a_sample_of_them_is_compared() {
    let world = World::new("models_workers").await;
    world.deposit(60, 3).await;
    let text = BALANCES.replace("-- category", &format!("{BY_STREAM}-- category"));
    let build = world.models.begin(&projection(&text), 4).await.expect("it begins");
    assert_eq!(build.progress.len(), 4);
    catch_up(&world.models, "balances", 1, 7).await.expect("it advances");
    let build = world.build("balances", 1).await;
    let events: Vec<u64> = build.progress.iter().map(|stands| stands.events).collect();
    assert_eq!(events.iter().sum::<u64>(), 180);
    assert!(events.iter().all(|events| *events > 0), "{events:?}");
    assert_eq!(world.value("SELECT count(*) || ' ' || sum(cents) FROM pacioli_read.balances").await, "60 180");
    let spoil = "UPDATE pacioli_balances_1.balances SET cents = 7 WHERE account = 'account-3'";
    world.client().await.batch_execute(spoil).await.expect("it is spoiled");
    let (mut rows, mut different) = (0, 0);
    for part in 0..3 {
        let sample = Sample::Streams { of: 3, part };
        let verified = world.models.verify(&name("balances"), BuildNumber(1), sample, &|_| {}).await.expect("verified");
        rows += verified.rows;
        different += verified.different;
    }
    assert_eq!((rows, different), (60, 1), "each stream is in one of the parts");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_copies_are_kept() {
    let world = World::new("models_copies").await;
    world.begin(BALANCES).await;
    let mut checkpoints = Vec::new();
    for _ in 0..10 {
        world.deposit(2, 1).await;
        world.catch_up("balances", 1).await.expect("it advances");
        let copy = world.models.keep_copy(&name("balances"), BuildNumber(1)).await.expect("a copy");
        checkpoints.push(copy.to_string());
    }
    assert_eq!(checkpoints, (1..=10).map(|n| format!("0:{}", n * 2)).collect::<Vec<_>>());
    let copies = "SELECT count(*) || ' ' || (SELECT count(*) FROM pg_namespace WHERE nspname ~ '_copy_') FROM pacioli_projections.copies";
    assert_eq!(world.value(copies).await, "8 8");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cut_of_a_time_is_the_last_position_recorded_by_then() {
    let world = World::new("models_cut").await;
    for _ in 0..9 {
        world.deposit(1, 3).await;
    }
    let client = world.client().await;
    let rows = client
        .query("SELECT last_pos, (extract(epoch FROM at) * 1000000)::bigint FROM pacioli.commits ORDER BY 1", &[])
        .await;
    for row in rows.expect("commits") {
        let (last, micros): (i64, i64) = (row.get(0), row.get(1));
        for (offset, expected) in [(-1, last - 3), (0, last), (1, last)] {
            let moment = Moment::Recorded(Timestamp::from_micros(micros + offset));
            let cut = world.models.cut(&moment).await.expect("a cut");
            assert_eq!(cut.to_string(), format!("0:{expected}"), "{micros} {offset}");
        }
    }
    let head: Checkpoint = world.store.head().await.expect("a head");
    assert_eq!(world.models.cut(&Moment::Occurred(Timestamp::from_micros(0))).await.expect("a cut"), head);
}
