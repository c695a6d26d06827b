//! What two steps of an upcaster cost on an event of ten fields, beside parsing and writing the whole of it; and what a reader
//! pays for seeing an event in its newest shape.
//!
//! `cargo bench -p pacioli-schema --bench upcast`

#![expect(clippy::unwrap_used, reason = "a bench stops at what is wrong")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pacioli_core::schemas::{Gate, Generation, RegisteredSchema, Registry, SchemaFormat, Seen, Semver, Shape};
use pacioli_core::{
    EventId, EventType, Metadata, Partition, Payload, Position, RecordedEvent, StreamName, Tags, Timestamp, Version,
};
use pacioli_schema::{Chain, SchemaGate, Upcaster};

const EVENT: &str = r#"{"order":"6f1c2a90","amount":129950,"customer":"c-20417","status":"P","channel":"web","items":3,"gift":false,"note":"leave at the door","address":{"city":"Venezia","zip":"30121"},"placed":"2026-03-01T10:00:00Z"}"#;
const RENAME: &str = r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/amount","path":"/amount_cents"}]}"#;
const DEFAULT: &str = r#"{"from":2,"to":3,"steps":[{"op":"default","path":"/currency","value":"USD"}]}"#;
const NESTED: &str = r#"{"from":3,"to":4,"steps":[{"op":"move","from":"/address/zip","path":"/address/postcode"},{"op":"map","path":"/status","values":{"P":"placed"}}]}"#;
const BATCHES: usize = 2_000;
const ROUNDS: usize = 100;

fn main() {
    let upcasters = [RENAME, DEFAULT, NESTED].map(|text| Upcaster::parse(text).unwrap());
    let event = Bytes::from_static(EVENT.as_bytes());
    println!("an event of {} bytes", event.len());
    let two = Chain::new(&upcasters[..2]);
    measure("two upcasters, a move and a default", || drop(black_box(two.lift(black_box(&event)))));
    let four = Chain::new(&upcasters);
    measure("three upcasters, four steps, one nested", || drop(black_box(four.lift(black_box(&event)))));
    let none = Upcaster::parse(r#"{"from":1,"to":2,"steps":[{"op":"drop","path":"/x"}]}"#).unwrap();
    let none = Chain::new([&none]);
    measure("one upcaster that finds nothing", || drop(black_box(none.lift(black_box(&event)))));
    measure("baseline: serde_json, parsed and written", || {
        let value: serde_json::Value = serde_json::from_slice(black_box(&event)).unwrap();
        drop(black_box(serde_json::to_vec(&value).unwrap()));
    });
    measure("baseline: a copy of the bytes", || drop(black_box(Bytes::from(black_box(&event).to_vec()))));

    let gate = SchemaGate::new();
    gate.take(registry(), false);
    let lens = gate.lens(&Shape::default());
    let mut old = Arc::new(stored(&event, 1));
    let data = old.data.clone();
    measure("a lens, two upcasters, in place", || {
        let event = Arc::get_mut(&mut old).unwrap();
        (event.schema_version, event.data) = (1, data.clone());
        assert!(matches!(lens.see(black_box(&mut old), false), Seen::Lifted));
    });
    let old = Arc::new(stored(&event, 1));
    measure("a lens, two upcasters, of an event that is shared", || {
        assert!(matches!(lens.see(black_box(&mut Arc::clone(&old)), false), Seen::Lifted));
    });
    let mut newest = Arc::new(stored(&event, 3));
    measure("a lens, the newest shape already", || drop(black_box(lens.see(black_box(&mut newest), false))));
    measure("baseline: an event, cloned", || drop(black_box(Arc::new(RecordedEvent::clone(black_box(&old))))));
}

fn registry() -> Registry {
    let row = |(version, upcaster): (u32, Option<&str>)| RegisteredSchema {
        event_type: EventType::new("OrderPlaced").unwrap(),
        version,
        semver: Semver { major: version, minor: 0, patch: 0 },
        id: version,
        format: SchemaFormat::Json,
        text: r#"{"type":"object"}"#.into(),
        references: None,
        upcaster: upcaster.map(Arc::from),
        is_deleted: false,
        registered_at: Timestamp::default(),
        registered_by: None,
    };
    let schemas = [(1, None), (2, Some(RENAME)), (3, Some(DEFAULT))].map(row).to_vec();
    Registry { generation: Generation(3), schemas, settings: Vec::new() }
}

fn stored(data: &Bytes, schema_version: u32) -> RecordedEvent {
    RecordedEvent {
        partition: Partition::ZERO,
        position: Position(1),
        stream: StreamName::new("order-6f1c2a90").unwrap(),
        version: Version(0),
        id: EventId(uuid::Uuid::from_u128(1)),
        event_type: EventType::new("OrderPlaced").unwrap(),
        schema_version,
        data: Payload::Json(data.clone()),
        metadata: Metadata::default(),
        tags: Tags::default(),
        occurred_at: None,
        recorded_at: Timestamp::default(),
    }
}

/// The best of many short batches, since another process can only make one slower.
fn measure(what: &str, mut run: impl FnMut()) {
    let best = (0..BATCHES).map(|_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| run());
        start.elapsed().as_secs_f64() * 1e9 / ROUNDS as f64
    });
    println!("{:>8.0} ns  {what}", best.fold(f64::INFINITY, f64::min));
}
