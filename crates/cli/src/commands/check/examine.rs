//! Events held against the registry: how many of each type and version, and what is wrong with the first of each kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use pacioli_core::RecordedEvent;
use pacioli_schema::Catalogue;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{count_of, say};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// By type and version.
    shapes: BTreeMap<(String, u32), Shape>,
    /// What cannot be read, so that nobody knows what it is.
    unreadable: BTreeMap<&'static str, Failed>,
}

/// The events of a type and version.
#[derive(Debug, Default)]
struct Shape {
    events: u64,
    failed: u64,
    /// The version that they were lifted to.
    lifted_to: Option<u32>,
    /// What is wrong, by what it is.
    failures: BTreeMap<String, Failed>,
}

/// A kind of failure.
#[derive(Debug)]
struct Failed {
    /// How often.
    count: u64,
    /// Where it was first.
    first: String,
    problem: String,
}

/// What is wrong with an event.
struct Wrong {
    /// By what failures are told apart: the step, the path and the rule.
    kind: String,
    problem: String,
}

impl Wrong {
    fn new(kind: impl Into<String>, problem: impl Into<String>) -> Wrong {
        Wrong { kind: kind.into(), problem: problem.into() }
    }
}

impl Examined {
    /// Looks at an event; `from` says where it comes from.
    pub(super) fn take(&mut self, catalogue: &Catalogue, event: &RecordedEvent, from: &str) {
        // The streams of the system are its own.
        if event.stream.as_str().starts_with('$') {
            return;
        }
        let key = (event.event_type.to_string(), event.schema_version);
        let shape = self.shapes.entry(key).or_default();
        shape.events += 1;
        match examine(catalogue, event) {
            Ok(lifted_to) => shape.lifted_to = lifted_to.or(shape.lifted_to),
            Err(Wrong { kind, problem }) => {
                shape.failed += 1;
                let first = || Failed { count: 0, first: from.to_owned(), problem };
                shape.failures.entry(kind).or_insert_with(first).count += 1;
            }
        }
    }

    /// Takes note of what cannot be read.
    pub(super) fn take_unreadable(&mut self, kind: &'static str, from: &str, problem: String) {
        let first = || Failed { count: 0, first: from.to_owned(), problem };
        self.unreadable.entry(kind).or_insert_with(first).count += 1;
    }

    /// Tells what failed first, a line a kind, and how the command ends.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let (mut events, mut failed, mut kinds) = (0, 0, 0);
        for Failed { count, first, problem } in self.unreadable.values() {
            events += count;
            failed += count;
            kinds += 1;
            say(&format!("{first}: {problem}{}", others(*count)));
        }
        for ((event_type, version), shape) in &self.shapes {
            events += shape.events;
            failed += shape.failed;
            for Failed { count, first, problem } in shape.failures.values() {
                kinds += 1;
                say(&format!("{event_type} version {version}, {first}: {problem}{}", others(*count)));
            }
        }
        let looked_at = count_of(events, "event");
        match failed {
            0 => {
                say(&format!("checked {looked_at}: all are what their schemas say"));
                Ok(())
            }
            failed => {
                let kinds = count_of(kinds, "kind");
                let message = format!("{} of {looked_at} failed, {kinds} of failure", count_of(failed, "event"));
                let failure = Failure::failed(message);
                if self.shapes.values().all(|shape| shape.failed == 0) {
                    return Err(failure);
                }
                Err(failure.hint(
                    "Stored events do not change: register an upcaster that lifts them, or a version that allows what they \
                     are.",
                ))
            }
        }
    }

    /// A row for each type and version.
    pub(super) fn rows(&self, catalogue: &Catalogue) -> Vec<Vec<String>> {
        let row = |((event_type, version), shape): (&(String, u32), &Shape)| {
            let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            vec![
                event_type.clone(),
                version.to_string(),
                semver(catalogue, event_type, *version).unwrap_or_else(|| "-".to_owned()),
                crate::output::grouped(shape.events),
                crate::output::grouped(shape.failed),
                number(shape.lifted_to),
            ]
        };
        let unreadable = self.unreadable.iter().map(|(kind, failed)| {
            let count = crate::output::grouped(failed.count);
            let none = || "-".to_owned();
            vec![format!("({kind})"), none(), none(), count.clone(), count, none()]
        });
        self.shapes.iter().map(row).chain(unreadable).collect()
    }

    /// The same as JSON, with the failures.
    pub(super) fn told(&self, catalogue: &Catalogue) -> Vec<Value> {
        let told = |((event_type, version), shape): (&(String, u32), &Shape)| {
            let failures: Vec<Value> = shape.failures.values().map(Failed::told).collect();
            json!({
                "type": event_type,
                "version": version,
                "semver": semver(catalogue, event_type, *version),
                "events": shape.events,
                "failed": shape.failed,
                "lifted_to": shape.lifted_to,
                "failures": failures,
            })
        };
        let unreadable = self.unreadable.iter().map(|(kind, failed)| {
            json!({
                "type": null,
                "version": null,
                "semver": null,
                "unreadable": kind,
                "events": failed.count,
                "failed": failed.count,
                "lifted_to": null,
                "failures": [failed.told()],
            })
        });
        self.shapes.iter().map(told).chain(unreadable).collect()
    }
}

impl Failed {
    fn told(&self) -> Value {
        json!({ "events": self.count, "first": self.first, "problem": self.problem })
    }
}

/// How many others fail as the first does.
fn others(count: u64) -> String {
    match count - 1 {
        0 => String::new(),
        others => format!(" ({} more like it)", count_of(others, "event")),
    }
}

fn semver(catalogue: &Catalogue, event_type: &str, version: u32) -> Option<String> {
    catalogue.version(event_type, version).map(|entry| entry.row.semver.to_string())
}

/// Decodes, validates and lifts an event. Gives the version it was lifted to.
fn examine(catalogue: &Catalogue, event: &RecordedEvent) -> Result<Option<u32>, Wrong> {
    let event_type = event.event_type.as_str();
    let versions = catalogue.versions(event_type);
    if versions.is_empty() {
        return Ok(None);
    }
    let version = event.schema_version;
    let entry = catalogue.version(event_type, version).ok_or_else(|| {
        let numbers: Vec<String> = versions.iter().map(|entry| entry.row.version.to_string()).collect();
        Wrong::new("registered", format!("no such version is registered; there are {}", numbers.join(", ")))
    })?;
    let unusable = |version: u32, error: &pacioli_schema::SchemaError| {
        Wrong::new(format!("schema {version}"), format!("the schema of version {version} is not understood: {error}"))
    };
    let schema = entry.schema().map_err(|error| unusable(version, error))?;
    schema.check(&event.data).map_err(|broken| {
        let path = if broken.path.is_empty() { "the data" } else { &*broken.path };
        let kind = format!("{} {}", kind_of(&broken.path), broken.rule);
        Wrong::new(kind, format!("{path} {} (rule `{}`)", broken.problem, broken.rule))
    })?;
    let lift = catalogue.lift(&event.event_type, version, None).ok().flatten();
    let reached = lift.as_ref().map_or(version, |lift| lift.version);
    // One that was deleted takes no new events, so nobody waits for older ones in its shape.
    if let Some(newest) =
        catalogue.newest(event_type).map(|newest| newest.row.version).filter(|newest| *newest > reached)
    {
        let problem = format!(
            "nothing lifts it from version {reached} to version {newest}: there is a break between them without an upcaster"
        );
        return Err(Wrong::new("hole", problem));
    }
    let Some(lift) = lift else { return Ok(None) };
    let mut lifted = Arc::new(event.clone());
    if !lift.apply(&mut lifted) {
        let problem = format!("its data cannot be lifted from version {version} to version {}", lift.version);
        return Err(Wrong::new("lift", problem));
    }
    let Some(newest) = catalogue.version(event_type, lift.version) else { return Ok(Some(lift.version)) };
    let schema = newest.schema().map_err(|error| unusable(lift.version, error))?;
    schema.check(&lifted.data).map_err(|broken| {
        let path = if broken.path.is_empty() { "the data" } else { &*broken.path };
        let kind = format!("lifted {} {}", kind_of(&broken.path), broken.rule);
        let problem = format!(
            "lifted to version {} it is not what that says: {path} {} (rule `{}`)",
            lift.version, broken.problem, broken.rule
        );
        Wrong::new(kind, problem)
    })?;
    Ok(Some(lift.version))
}

/// A path with every item of a list as one, so that the same mistake in many items is one kind of failure.
fn kind_of(path: &str) -> String {
    let segment = |segment: &str| {
        let is_number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { "*".to_owned() } else { segment.to_owned() }
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_list_are_one_kind() {
        assert_eq!(kind_of("/lines/17/price"), "/lines/*/price");
        assert_eq!(kind_of(""), "");
    }
}
