//! What a handler fails on is told with its place and its line, and takes nothing with it.

use pacioli_projection::Engine;
use pacioli_projection::engine::{AdvanceError, BuildNumber, Failed, State};

use super::world::{BALANCES, COUNTS, World, event, name, projection, step};
use pacioli_core::{Place, Timestamp};

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_is_told_with_its_place_and_the_line_and_can_be_passed_over() {
    let world = World::new("models_poison").await;
    world.deposit(1, 3).await;
    world.append("account-0", vec![event("Deposited", r#"{"cents":"many"}"#)]).await;
    world.deposit(1, 2).await;
    let build = world.begin(BALANCES).await;
    let failed = world.models.advance(step(&build, 0, 6, 100)).await.expect_err("it fails");
    let AdvanceError::Event { place: Some(place), error } = failed else { panic!("{failed:?}") };
    assert_eq!(place.position.0, 4);
    assert!(error.starts_with("test.sql:8: invalid input syntax for type bigint: \"many\""), "{error}");
    assert_eq!(world.value("SELECT count(*) FROM pacioli_read.balances").await, "0", "nothing of it is there");
    let advanced = world.models.advance(step(&build, 0, 3, 100)).await.expect("what lies before it passes");
    assert_eq!(advanced.events, 3);
    let state = State::Failed(Failed { place, error: error.clone(), at: Timestamp::from_micros(1_000_000) });
    world.models.set_state(&name("balances"), BuildNumber(1), state.clone()).await.expect("it is written down");
    assert_eq!(world.build("balances", 1).await.state, state);
    let moved = world.models.advance(step(&build, 3, 6, 100)).await;
    assert!(matches!(moved, Err(AdvanceError::Moved)), "a build that failed does not advance: {moved:?}");
    world.models.skip(&name("balances"), BuildNumber(1), place).await.expect("it is passed over");
    assert_eq!(world.build("balances", 1).await.state, State::Running);
    world.catch_up("balances", 1).await.expect("it goes on");
    assert_eq!(world.value("SELECT cents || '/' || events FROM pacioli_read.balances").await, "5/5");
    let verified = world
        .models
        .verify(&name("balances"), BuildNumber(1), pacioli_projection::engine::Sample::All, &|_| {})
        .await
        .expect("a fold passes over it too");
    assert_eq!((verified.rows, verified.different), (1, 0), "{verified:?}");
    let again = world.models.skip(&name("balances"), BuildNumber(1), place).await.expect_err("it is past that");
    assert!(again.to_string().contains("is past the event"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skip_applies_what_lies_before_the_event() {
    let world = World::new("models_skip").await;
    world.deposit(1, 3).await;
    world.append("account-0", vec![event("Deposited", r#"{}"#)]).await;
    world.begin(BALANCES).await;
    let place: Place = Place { partition: pacioli_core::Partition(0), position: pacioli_core::Position(4) };
    world.models.skip(&name("balances"), BuildNumber(1), place).await.expect("it is passed over");
    let build = world.build("balances", 1).await;
    assert_eq!((build.progress[0].position.0, build.progress[0].events), (4, 3));
    assert_eq!(world.value("SELECT cents FROM pacioli_read.balances").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_over_many_events_tells_the_event_once_it_is_alone() {
    let world = World::new("models_batch_poison").await;
    world.deposit(1, 2).await;
    world.append("account-0", vec![event("Deposited", r#"{"cents":1.5}"#)]).await;
    let build = world.begin(COUNTS).await;
    let AdvanceError::Event { place: None, error } =
        world.models.advance(step(&build, 0, 3, 100)).await.expect_err("it fails")
    else {
        panic!("an event")
    };
    assert!(error.starts_with("test.sql:8: invalid input syntax"), "{error}");
    world.models.advance(step(&build, 0, 2, 100)).await.expect("the first two are good");
    let AdvanceError::Event { place: Some(place), .. } =
        world.models.advance(step(&build, 2, 3, 1)).await.expect_err("it fails")
    else {
        panic!("a place")
    };
    assert_eq!(place.position.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_run_is_refused_with_its_lines() {
    let world = World::new("models_check").await;
    for (from, to, expected) in [
        ("cents BIGINT NOT NULL", "cents BIGINTEGER", "test.sql:5: error: type \"biginteger\" does not exist"),
        (
            "cents = cents - CAST(:data.cents AS bigint)",
            "cents = cents - :data.cents / 100",
            "test.sql:12: error: `:data.cents` would be a 32-bit integer",
        ),
        (
            "cents = cents - CAST(:data.cents AS bigint)",
            "cents = cents - round(:data.cents)",
            "CAST(:data.cents AS numeric)",
        ),
        ("cents = cents - CAST(:data.cents AS bigint)", "cents = :occurred_at", "test.sql:12: error:"),
        (
            "cents = cents - CAST(:data.cents AS bigint)",
            "cent = 1",
            "test.sql:12: error: column \"cent\" of relation \"balances\" does not exist",
        ),
        (
            "cents = cents - CAST(:data.cents AS bigint)",
            "cents = no_such(1)",
            "test.sql:12: error: a handler cannot call `no_such`",
        ),
        ("cents = cents - CAST(:data.cents AS bigint)", "cents = pg_backend_pid()", "cannot call `pg_backend_pid`"),
    ] {
        let text = BALANCES.replace(from, to);
        assert_ne!(text, BALANCES);
        let findings = world.models.check(&projection(&text)).await.expect("findings");
        let listed = pacioli_projection::file::listed(&findings);
        assert!(listed.contains(&expected[..expected.len().min(60)]) || listed.contains(expected), "{to}: {listed}");
        let refused = world.models.begin(&projection(&text), 1).await.expect_err("it cannot run").to_string();
        assert_eq!(refused, listed);
    }
    assert_eq!(world.models.check(&projection(BALANCES)).await.expect("findings"), []);
    assert_eq!(world.value("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^pacioli_(balances|t)'").await, "0");
}
