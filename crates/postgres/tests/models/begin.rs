//! A build is begun, advances and serves.

use pacioli_projection::Engine;
use pacioli_projection::engine::{AdvanceError, BuildNumber, Role};

use super::world::{BALANCES, COUNTS, World, event, name, step};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_build_serves_at_once_and_has_each_event_once() {
    let world = World::new("models_first").await;
    world.deposit(3, 4).await;
    world.append("account-1", vec![event("Withdrawn", r#"{"cents":3}"#)]).await;
    world.append("other-1", vec![event("Deposited", r#"{"cents":100}"#)]).await;
    for text in [BALANCES, COUNTS] {
        assert_eq!(world.begin(text).await.role, Role::Serving);
    }
    world.catch_up("balances", 1).await.expect("it advances");
    world.catch_up("counts", 1).await.expect("it advances");
    let balances =
        "SELECT string_agg(account || '=' || cents || '/' || events, ' ' ORDER BY account) FROM pacioli_read.balances";
    assert_eq!(world.value(balances).await, "account-0=4/4 account-1=1/5 account-2=4/4");
    let counts = "SELECT string_agg(type || '=' || events || '/' || cents, ' ' ORDER BY type) FROM pacioli_read.counts";
    assert_eq!(world.value(counts).await, "Deposited=12/12 Withdrawn=1/3");
    let build = world.build("balances", 1).await;
    assert_eq!(build.progress[0].position.0, 14, "it looked at the other category too");
    assert_eq!(build.progress[0].events, 13, "and applied its own");
    assert_eq!(world.value("SELECT count(*) FROM pacioli_read.events").await, "14");
    let projections = "SELECT string_agg(name || ' ' || checkpoint, ', ' ORDER BY name) FROM pacioli_read.projections";
    assert_eq!(world.value(projections).await, "balances 0:14, counts 0:14");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_refused_where_the_worker_stands_elsewhere() {
    let world = World::new("models_fence").await;
    world.deposit(1, 10).await;
    let build = world.begin(BALANCES).await;
    let advanced = world.models.advance(step(&build, 0, 10, 4)).await.expect("it advances");
    assert_eq!((advanced.position.0, advanced.events), (4, 4));
    for after in [0, 3, 5] {
        let moved = world.models.advance(step(&build, after, 10, 4)).await;
        assert!(matches!(moved, Err(AdvanceError::Moved)), "{moved:?}");
    }
    let advanced = world.models.advance(step(&build, 4, 10, 100)).await.expect("it advances");
    assert_eq!((advanced.position.0, advanced.events), (10, 6));
    assert_eq!(world.value("SELECT cents FROM pacioli_read.balances").await, "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_fills_beside_the_old_one_and_takes_over_in_one_step() {
    let world = World::new("models_swap").await;
    world.deposit(2, 3).await;
    world.begin(BALANCES).await;
    world.catch_up("balances", 1).await.expect("it advances");
    let second = BALANCES
        .replace("-- version: 1", "-- version: 2")
        .replace("cents BIGINT NOT NULL,", "cents NUMERIC NOT NULL, note TEXT,");
    assert_eq!(world.begin(&second).await.role, Role::Filling);
    let refused = world.models.begin(&super::world::projection(&second), 1).await.expect_err("one fills at a time");
    assert!(refused.to_string().contains("is being filled"), "{refused}");
    assert_eq!(world.value("SELECT sum(cents) FROM pacioli_read.balances").await, "6", "the old one serves");
    world.catch_up("balances", 2).await.expect("it advances");
    world.swap("balances", 2).await.expect("it takes over");
    assert_eq!((world.role("balances", 1).await, world.role("balances", 2).await), (Role::Kept, Role::Serving));
    assert_eq!(world.value("SELECT count(note) || ' ' || sum(cents) FROM pacioli_read.balances").await, "0 6");
    // A third one, and the first is gone for good.
    world.begin(&second.replace("-- version: 2", "-- version: 3")).await;
    world.catch_up("balances", 3).await.expect("it advances");
    world.swap("balances", 3).await.expect("it takes over");
    assert_eq!(world.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pacioli_balances_%'").await, "2");
    // Back to the second, which catches up first.
    world.deposit(2, 1).await;
    world.models.take_back(&name("balances"), BuildNumber(2)).await.expect("it is taken back");
    world.catch_up("balances", 2).await.expect("it advances");
    world.swap("balances", 2).await.expect("it takes over");
    assert_eq!(world.value("SELECT sum(cents) FROM pacioli_read.balances").await, "8");
    world.models.drop_build(&name("balances"), BuildNumber(3)).await.expect("it is dropped");
    world.models.drop_build(&name("balances"), BuildNumber(2)).await.expect("it is dropped");
    assert_eq!(world.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pacioli_balances_%'").await, "0");
    assert_eq!(world.value("SELECT to_regclass('pacioli_read.balances')").await, "");
    assert_eq!(world.begin(BALANCES).await.number, BuildNumber(4), "a number is never used again");
}
