//! Each event takes effect exactly once, whoever advances and whatever is appended meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use pacioli_core::store::{Filter, PayloadChoice, ReadLog};
use pacioli_core::{AppendOutcome, Checkpoint, EventStore};
use pacioli_postgres::{PostgresModels, PostgresOptions};
use pacioli_projection::Engine;
use pacioli_projection::engine::{Advance, AdvanceError, BuildNumber, Sample};

use super::world::{BALANCES, COUNTS, World, event, name, projection};
use crate::support::options;

/// Balances and counts by type, folded by this program from the log up to a checkpoint.
async fn fold(world: &World, up_to: &Checkpoint) -> (BTreeMap<String, (i64, i64)>, BTreeMap<String, i64>) {
    let (mut balances, mut counts) = (BTreeMap::new(), BTreeMap::new());
    let mut after = None;
    loop {
        let read =
            ReadLog { after: after.clone(), filter: Filter::default(), limit: 1000, payload: PayloadChoice::All };
        let page = world.store.read_log(read).await.expect("a page");
        for event in &page.events {
            if event.position > up_to.position(event.partition) || event.stream.category() != "account" {
                continue;
            }
            let text = String::from_utf8_lossy(event.data.bytes()).into_owned();
            let cents: i64 =
                text.split(':').nth(1).and_then(|rest| rest.trim_end_matches('}').parse().ok()).expect("cents");
            let event_type = event.event_type.as_str();
            *counts.entry(event_type.to_owned()).or_insert(0) += 1;
            match event_type {
                "Deposited" => {
                    let balance = balances.entry(event.stream.as_str().to_owned()).or_insert((0, 0));
                    *balance = (balance.0 + cents, balance.1 + 1);
                }
                _ => {
                    if let Some(balance) = balances.get_mut(event.stream.as_str()) {
                        *balance = (balance.0 - cents, balance.1 + 1);
                    }
                }
            }
        }
        if page.events.is_empty() {
            return (balances, counts);
        }
        after = Some(page.checkpoint);
    }
}

/// One look at the rows of both read models and at where they stand.
async fn compare(world: &World) {
    let client = world.client().await;
    let builds = world.models.builds().await.expect("builds");
    for named in ["balances", "counts"] {
        let build = builds.iter().find(|build| build.projection.name.as_str() == named).expect("a build");
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("a transaction");
        let stands = format!(
            "SELECT part, min(position) = max(position), min(position) FROM pacioli_projections.progress WHERE name = '{named}' GROUP BY part ORDER BY part"
        );
        let stands = client.query(&stands, &[]).await.expect("progress");
        let table = format!("SELECT * FROM {}_{}.{named}", "pacioli", format_args!("{named}_{}", build.number.0));
        let rows = client.query(&table, &[]).await.expect("rows");
        client.batch_execute("COMMIT").await.expect("a look");
        // Workers of one partition stand apart while they are on their way.
        if !stands.iter().all(|row| row.get::<_, bool>(1)) {
            continue;
        }
        let positions = stands.iter().map(|row| pacioli_core::Position(row.get::<_, i64>(2) as u64));
        let (balances, counts) = fold(world, &Checkpoint::new(positions, pacioli_core::Epoch::FIRST)).await;
        if named == "balances" {
            let rows: BTreeMap<String, (i64, i64)> =
                rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
            assert_eq!(rows, balances);
        } else {
            let rows: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            assert_eq!(rows, counts);
        }
    }
}

/// Advances every worker of every build again and again, from wherever it stands, until told to stop.
async fn advance(models: &PostgresModels, seed: usize, until: &Checkpoint) -> (u64, u64) {
    let (mut advanced, mut moved, mut turn) = (0, 0, seed);
    loop {
        let head = models.head().await.expect("a head");
        let builds = models.builds().await.expect("builds");
        let mut behind = 0;
        for build in builds.into_iter().map(Arc::new) {
            for stands in &build.progress {
                if stands.position >= head.position(stands.partition) {
                    continue;
                }
                behind += 1;
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let step = Advance {
                    build: Arc::clone(&build),
                    worker: stands.worker,
                    partition: stands.partition,
                    after: stands.position,
                    up_to: head.position(stands.partition),
                    epoch: head.epoch(),
                    events_max: 1 + (turn >> 33) % 40,
                };
                match models.advance(step).await {
                    Ok(step) => advanced += step.events,
                    Err(AdvanceError::Moved) => moved += 1,
                    Err(AdvanceError::Store(error)) => panic!("{error}"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        if behind == 0 && head.covers(until) {
            return (advanced, moved);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_that_advance_one_build_never_apply_an_event_twice() {
    let world = World::with("models_race", PostgresOptions { partitions: Some(2), ..options() }).await;
    let other = PostgresModels::open(&world.store, None, None).await.expect("read models");
    let by_stream = BALANCES.replace("-- category", "-- parallel-by: stream\n-- category");
    world.models.begin(&projection(&by_stream), 3).await.expect("it begins");
    world.begin(COUNTS).await;
    let append = async {
        let mut last = None;
        for n in 0..300 {
            let stream = format!("account-{}", n % 17);
            let kind = if n % 5 == 4 { "Withdrawn" } else { "Deposited" };
            let events = (0..=n % 3).map(|m| event(kind, &format!(r#"{{"cents":{}}}"#, n + m))).collect();
            let AppendOutcome::Appended(appended) = world.append(&stream, events).await else {
                panic!("it is appended")
            };
            last = Some(appended.checkpoint);
            if n % 60 == 0 {
                compare(&world).await;
            }
        }
        last.expect("something was appended")
    };
    let until: Checkpoint = "0:1,1:1".parse().expect("a checkpoint");
    let (_, first, second) = tokio::join!(append, advance(&world.models, 1, &until), advance(&other, 2, &until));
    let (third, _) = advance(&world.models, 3, &world.store.head().await.expect("a head")).await;
    assert!(first.1 + second.1 > 0, "they met: {first:?} {second:?}");
    let builds = world.models.builds().await.expect("builds");
    let applied: u64 = builds.iter().flat_map(|build| &build.progress).map(|stands| stands.events).sum();
    assert_eq!(applied, first.0 + second.0 + third);
    let accounts: u64 = world.value("SELECT count(*) FROM pacioli.events").await.parse().expect("a number");
    assert_eq!(applied, 2 * accounts);
    compare(&world).await;
    for named in ["balances", "counts"] {
        let verified = world.models.verify(&name(named), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
        assert_eq!(verified.different, 0, "{verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_dropped_under_a_runner_without_harm() {
    let world = World::new("models_drop").await;
    world.deposit(4, 50).await;
    for number in 1..=3 {
        world.begin(BALANCES).await;
        let until = world.store.head().await.expect("a head");
        let named = name("balances");
        let drop = world.models.drop_build(&named, BuildNumber(number));
        let (_, dropped) = tokio::join!(advance(&world.models, number as usize, &until), drop);
        dropped.expect("it is dropped");
        assert!(world.models.builds().await.expect("builds").is_empty());
    }
    assert_eq!(world.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pacioli_balances_%'").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_waits_for_no_reader_longer_than_a_moment_and_keeps_no_append_waiting() {
    let world = World::new("models_readers").await;
    world.deposit(2, 3).await;
    world.begin(BALANCES).await;
    world.catch_up("balances", 1).await.expect("it advances");
    world.begin(&BALANCES.replace("-- version: 1", "-- version: 2")).await;
    world.catch_up("balances", 2).await.expect("it advances");
    let reader = world.client().await;
    reader.batch_execute("BEGIN; SELECT * FROM pacioli_read.balances").await.expect("a long query");
    let meanwhile = async {
        for n in 0..20 {
            let began = std::time::Instant::now();
            world.append(&format!("account-{n}"), vec![event("Deposited", r#"{"cents":1}"#)]).await;
            assert_eq!(world.value("SELECT count(*) FROM pacioli_read.balances").await, "2", "the old one serves");
            assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
        }
        reader.batch_execute("COMMIT").await.expect("the long query ends");
    };
    let (swapped, ()) = tokio::join!(world.swap("balances", 2), meanwhile);
    swapped.expect("it takes over");
    assert_eq!(
        world.value("SELECT string_agg(version || role, ' ' ORDER BY version) FROM pacioli_read.projections").await,
        "1kept 2serving"
    );
}
