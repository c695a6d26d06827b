//! Schemas, data and documents of the worst kind that is still taken: whatever is asked about them is answered in time.
//!
//! The time is the 100 ms that are promised, so this is there in a release build alone. What bounds the work has tests of
//! its own, which count it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pacioli_core::schemas::SchemaFormat;
use pacioli_core::{EventType, Payload};

use crate::catalogue::Rules;
use crate::format::Reference;
use crate::register::changes;
use crate::{Chain, Schema, Upcaster, lint};

mod avro;
mod json;
mod protobuf;
mod upcast;

/// What each question may take.
const WITHIN: Duration = Duration::from_millis(100);
/// The most bytes that the data of an event has by default.
const DATA_BYTES: usize = 1024 * 1024;

/// What was asked, and what it took.
struct Report {
    took: Vec<(Duration, String)>,
}

impl Report {
    fn new() -> Report {
        // Compiles the dialects' own schemas, which is done once in a process.
        for draft in ["2020-12/schema", "2019-09/schema"] {
            let text = format!(r#"{{"$schema":"https://json-schema.org/draft/{draft}"}}"#);
            Schema::parse(SchemaFormat::Json, &text, &[]).unwrap();
        }
        Report { took: Vec::new() }
    }

    fn time<T>(&mut self, what: impl Into<String>, mut work: impl FnMut() -> T) -> T {
        let mut asked = || {
            let start = worked();
            let result = work();
            (worked().saturating_sub(start), result)
        };
        let (mut took, mut result) = asked();
        // One answer may be the first of its kind, or meet a machine that is busy.
        for _ in 0..3 {
            if took < WITHIN {
                break;
            }
            let (again, other) = asked();
            if again < took {
                (took, result) = (again, other);
            }
        }
        self.took.push((took, what.into()));
        result
    }

    /// Everything that is asked about a schema, with others to compare it with and data to hold against it.
    fn schema(&mut self, format: SchemaFormat, name: &str, texts: &[String], data: &[(String, Payload)]) {
        self.referring(format, name, texts, &[], data);
    }

    fn referring(
        &mut self,
        format: SchemaFormat,
        name: &str,
        texts: &[String],
        references: &[Reference],
        data: &[(String, Payload)],
    ) {
        let bytes = texts[0].len();
        let parsed = texts.iter().enumerate().map(|(at, text)| {
            self.time(format!("{name}: compile {at} ({bytes} bytes)"), || Schema::parse(format, text, references))
        });
        let schemas: Vec<Schema> = parsed
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|parsed| parsed.map_err(|error| eprintln!("{name}: refused: {error:.160}")).ok())
            .collect();
        let event_type = EventType::new("ThingSeen").unwrap();
        for (at, schema) in schemas.iter().enumerate() {
            self.time(format!("{name}: lint"), || lint::lint(&event_type, schema));
            for (other_at, other) in schemas.iter().enumerate() {
                for rules in [Rules::Ours, Rules::Confluent] {
                    let what = format!("{name}: compare {other_at} to {at} by {}", rules.word());
                    let told = self.time(what, || changes(rules, schema, other));
                    let words: usize = told.iter().map(|change| change.sentence.len()).sum();
                    assert!(words < 16 << 20, "{name}: {words} bytes are told");
                }
            }
            for (of, data) in data {
                let checked = self.time(format!("{name}: check {of}"), || schema.check(data));
                if !data.is_json() && checked.is_ok() {
                    self.time(format!("{name}: to JSON {of}"), || drop(schema.to_json(data)));
                }
                if let (Payload::Json(json), true) = (data, format != SchemaFormat::Json) {
                    self.time(format!("{name}: from JSON {of}"), || drop(schema.from_json(json.clone(), true)));
                }
                if at == 0 && checked.is_ok() {
                    for (to, newer) in schemas.iter().enumerate() {
                        self.time(format!("{name}: carry {of} to {to}"), || drop(newer.carry(schema, data)));
                    }
                }
            }
        }
    }

    /// Tells what took longest, and fails where that is too long.
    fn end(mut self, of: &str) {
        self.took.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
        eprintln!("{of}: {} questions, the longest", self.took.len());
        for (took, what) in self.took.iter().take(25) {
            eprintln!("  {:>9.1} ms  {what}", took.as_secs_f64() * 1e3);
        }
        let (took, what) = &self.took[0];
        assert!(*took < WITHIN, "{what} took {took:?}");
    }
}

/// How long this thread has worked: on a machine that is shared, the time of day says something else.
fn worked() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let scheduled = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = scheduled.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| BEGAN.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

fn json(text: impl Into<String>) -> Payload {
    Payload::Json(text.into().into())
}

/// Parts made of a number, with commas between them, up to so many bytes.
fn many(bytes: usize, part: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(bytes);
    for at in 0.. {
        let part = part(at);
        if text.len() + part.len() + 1 > bytes {
            break;
        }
        if at > 0 {
            text.push(',');
        }
        text.push_str(&part);
    }
    text
}

/// So many parts made of a number, with commas between them.
fn parts(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(",")
}
