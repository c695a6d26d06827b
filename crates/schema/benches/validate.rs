//! What it costs to hold an event against a JSON Schema, beside what parsing it alone costs.
//!
//! `cargo bench -p pacioli-schema` prints nanoseconds an event, of the fastest of several runs: others may
//! use the machine.

#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use pacioli_core::Payload;
use pacioli_core::schemas::SchemaFormat;
use pacioli_schema::Schema;

/// Ten fields, as an application would describe them.
const PLAIN: &str = r#"{
  "type": "object",
  "properties": {
    "order": {"type": "string", "minLength": 1, "maxLength": 64},
    "customer": {"type": "string", "minLength": 1, "maxLength": 64},
    "amount_cents": {"type": "integer", "minimum": 0},
    "currency": {"enum": ["EUR", "USD", "GBP", "CHF"]},
    "is_gift": {"type": "boolean"},
    "rate": {"type": "number", "exclusiveMinimum": 0},
    "country": {"type": "string", "minLength": 2, "maxLength": 2},
    "channel": {"type": "string"},
    "lines": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
    "note": {"type": ["string", "null"]}
  },
  "required": ["order", "customer", "amount_cents", "currency"],
  "additionalProperties": false
}"#;

/// The same with what a single pass over the bytes could not do by itself.
const RICH: &str = r##"{
  "type": "object",
  "properties": {
    "order": {"type": "string", "pattern": "^o-[0-9]+$"},
    "customer": {"$ref": "#/$defs/key"},
    "amount_cents": {"allOf": [{"type": "integer"}, {"minimum": 0}]},
    "currency": {"enum": ["EUR", "USD", "GBP", "CHF"]},
    "is_gift": {"type": "boolean"},
    "rate": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]},
    "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
    "channel": {"type": "string"},
    "lines": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "uniqueItems": true},
    "note": {"type": ["string", "null"]}
  },
  "required": ["order", "customer", "amount_cents", "currency"],
  "$defs": {"key": {"type": "string", "pattern": "^c-[0-9]+$"}}
}"##;

const EVENT: &str = r#"{"order":"o-20391","customer":"c-1877","amount_cents":129900,"currency":"EUR","is_gift":false,"rate":1.0825,"country":"AT","channel":"web","lines":[11,12,13],"note":"leave it with the neighbour, please"}"#;

fn main() {
    let data = Payload::Json(Bytes::from_static(EVENT.as_bytes()));
    println!("{} bytes of data", data.len());
    measure("core's check that it is JSON", || pacioli_core::json::check(black_box(data.bytes())).is_ok());
    measure("serde_json, a tree of values", || {
        serde_json::from_slice::<serde_json::Value>(black_box(data.bytes())).is_ok()
    });
    for (name, text) in [("10 plain fields", PLAIN), ("10 fields with patterns, $ref and anyOf", RICH)] {
        let schema = Schema::parse(SchemaFormat::Json, text, &[]).expect("a schema");
        let plain: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let tree = jsonschema::options().build(&plain).expect("a schema");
        measure(&format!("{name}, over a tree of values"), || {
            let value = serde_json::from_slice(black_box(data.bytes())).expect("JSON");
            tree.is_valid(&value)
        });
        measure(name, || schema.check(black_box(&data)).is_ok());
    }
    for (name, text) in costly() {
        let started = Instant::now();
        let is_taken = Schema::parse(SchemaFormat::Json, &text, &[]).is_ok();
        let took = started.elapsed().as_micros();
        println!("{took:8} us  {} {name}", if is_taken { "takes" } else { "refuses" });
    }
}

/// Schemas that cost as much as any that is taken, or that are refused as late as any.
fn costly() -> Vec<(&'static str, String)> {
    let listed = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join(",");
    let fields = listed(3000, &|n| format!(r#""field_of_some_length_{n}":{{"type":"string","maxLength":{n}}}"#));
    let alternatives = listed(4000, &|n| format!(r#"{{"const":{n}}}"#));
    let patterns = listed(100, &|n| format!(r#"{{"pattern":"^[a-z]{{1,40}}_{n}[0-9a-f]{{1,40}}$"}}"#));
    let classes = listed(15, &|n| format!(r#"{{"pattern":"\\p{{L}}x\\p{{Lu}}{n}"}}"#));
    let heavy = listed(4, &|n| format!(r#"{{"pattern":"([a-y]{{1,60}}|{n}){{1,50}}"}}"#));
    let chain = listed(330, &|n| format!(r##""d{n}":{{"properties":{{"x":{{"$ref":"#/$defs/d{}"}}}}}}"##, n + 1));
    // Each of these leads to four others.
    let spread = listed(350, &|n| {
        let inner = listed(4, &|m| format!(r##""x{m}":{{"$ref":"#/$defs/d{}"}}"##, (n * 7 + m * 31) % 350));
        format!(r##""d{n}":{{"properties":{{{inner}}}}}"##)
    });
    let together =
        listed(220, &|n| format!(r##"{{"properties":{{"p{n}":{{"$ref":"#"}}}},"additionalProperties":{n}}}"##));
    let open = r#"{"properties":{"a":"#.repeat(28);
    let nested = format!(r#"{open}{{"properties":{{{fields}}}}}{}"#, "}}".repeat(28));
    vec![
        ("a first one", "{}".to_owned()),
        ("1 MB", format!(r#"{{"title":"{}"}}"#, "x".repeat(1 << 20))),
        ("3000 fields", format!(r#"{{"properties":{{{fields}}}}}"#)),
        ("4000 alternatives", format!(r#"{{"anyOf":[{alternatives}]}}"#)),
        ("100 regular expressions", format!(r#"{{"anyOf":[{patterns}]}}"#)),
        ("regular expressions of letters", format!(r#"{{"anyOf":[{classes}]}}"#)),
        ("heavy regular expressions", format!(r#"{{"anyOf":[{heavy}]}}"#)),
        ("a long chain", format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{chain},"d330":{{}}}}}}"##)),
        ("a thicket of references", format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{spread}}}}}"##)),
        ("many that apply together", format!(r#"{{"allOf":[{}]}}"#, together)),
        ("fields deep inside", nested),
        ("nested brackets", "[".repeat(200_000)),
    ]
}

/// Prints the nanoseconds that one call takes. It has to answer yes.
fn measure(name: &str, mut call: impl FnMut() -> bool) {
    const RUNS: usize = 40;
    const CALLS: u32 = 5_000;
    assert!(call(), "{name}");
    let runs = (0..RUNS).map(|_| {
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        started.elapsed().as_nanos() as f64 / f64::from(CALLS)
    });
    let fastest = runs.fold(f64::INFINITY, f64::min);
    println!("{fastest:8.0} ns  {name}");
}
