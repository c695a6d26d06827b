//! Rewind: what each event changed, and what each stream has come to.

use pacioli_postgres::PostgresOptions;
use pacioli_projection::Engine;
use pacioli_projection::engine::{BuildNumber, Sample};

use super::world::{World, catch_up, event, name, projection};
use crate::support::options;

#[tokio::test(flavor = "multi_thread")]
async fn each_event_tells_what_it_changed_and_each_stream_what_it_is() {
    let world = World::with("models_rewind", PostgresOptions { partitions: Some(2), ..options() }).await;
    let events = [
        r#"{"name":"Ada","cents":1,"tags":["a"]}"#,
        r#"{"name":"Ada","cents":2}"#,
        r#"{"cents":null,"note":{"x":1}}"#,
        r#"[1,2]"#,
        r#"{"cents":2,"note":{"x":1}}"#,
        r#"{"cents":2}"#,
    ];
    for data in events {
        world.append("person-1", vec![event("Changed", data)]).await;
        world.append("person-2", vec![event("Changed", data), event("Changed", "{}")]).await;
    }
    let rewind = projection(pacioli_postgres::models::REWIND);
    assert_eq!(world.models.check(&rewind).await.expect("findings"), []);
    // However it is cut into batches.
    for (number, (workers, events_max)) in [(1, 1000), (1, 1), (3, 4)].into_iter().enumerate() {
        let number = number as u32 + 1;
        world.models.begin(&rewind, workers).await.expect("it begins");
        catch_up(&world.models, "rewind", number, events_max).await.expect("it advances");
        if number > 1 {
            world.swap("rewind", number).await.expect("it takes over");
        }
        let changes = "SELECT string_agg(changes::text, ' ' ORDER BY seq) FROM pacioli_read.rewind_events WHERE stream = 'person-1'";
        assert_eq!(
            world.value(changes).await,
            r#"{"name": "Ada", "tags": ["a"], "cents": 1} {"cents": 2} {"note": {"x": 1}, "cents": null} {} {"cents": 2} {}"#
        );
        for stream in ["person-1", "person-2"] {
            let state = format!("SELECT state::text FROM pacioli_read.rewind_streams WHERE stream = '{stream}'");
            assert_eq!(world.value(&state).await, r#"{"name": "Ada", "note": {"x": 1}, "tags": ["a"], "cents": 2}"#);
        }
        let row = "SELECT category || ' ' || key || ' ' || version || ' ' || events FROM pacioli_read.rewind_streams WHERE stream = 'person-2'";
        assert_eq!(world.value(row).await, "person 2 11 12");
        let seq = "SELECT bool_and(seq >> 48 = partition AND seq & 281474976710655 = position) AND count(*) = 18 FROM pacioli_read.rewind_events";
        assert_eq!(world.value(seq).await, "true");
        let verified =
            world.models.verify(&name("rewind"), BuildNumber(number), Sample::All, &|_| {}).await.expect("verified");
        assert_eq!((verified.rows, verified.different), (20, 0), "{verified:?}");
    }
}
