//! Golden events: some of each type and version, in files that an application keeps beside its code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use pacioli_api::cloudevents::{self, Layout};
use pacioli_api::fields::Fields;
use pacioli_core::{NewEvent, Partition, Position, RecordedEvent, StreamName, Timestamp, Version};
use serde_json::Value;
use uuid::Uuid;

use crate::failure::Failure;
use crate::ndjson::{self, Parsed};
use crate::read_models::encoded;

/// The most bytes of a type in the name of a file, which file systems bound at 255.
const NAME_BYTES_MAX: usize = 130;

/// Golden events as they are gathered.
pub(super) struct Golden {
    of_each: usize,
    kept: BTreeMap<(String, u32), Kept>,
}

/// Those of a type and version: first one of each set of fields, then more of them.
#[derive(Default)]
struct Kept {
    fields: BTreeSet<Vec<String>>,
    different: Vec<String>,
    others: Vec<String>,
}

impl Golden {
    pub(super) fn new(of_each: usize) -> Golden {
        Golden { of_each, kept: BTreeMap::new() }
    }

    /// Looks at an event, and keeps it where it is worth it.
    pub(super) fn take(&mut self, event: &RecordedEvent) {
        if event.stream.as_str().starts_with('$') {
            return;
        }
        let kept = self.kept.entry((event.event_type.to_string(), event.schema_version)).or_default();
        let line = || cloudevents::to_string(event, &Fields::All, Layout::Export);
        if kept.different.len() >= self.of_each {
            return;
        }
        if kept.fields.insert(fields(event)) {
            kept.different.push(line());
        } else if kept.others.len() < self.of_each {
            kept.others.push(line());
        }
    }

    /// Writes a file for each type and version, in place of what was there of that name. Gives how many.
    pub(super) fn write(self, directory: &Path) -> Result<u64, Failure> {
        let failed = |path: &Path| Failure::io(format!("could not write {}", path.display()));
        std::fs::create_dir_all(directory).map_err(failed(directory))?;
        let mut files = 0;
        for ((event_type, version), kept) in &self.kept {
            let path = directory.join(file_name(event_type, *version));
            let mut out = BufWriter::new(File::create(&path).map_err(failed(&path))?);
            for line in kept.different.iter().chain(&kept.others).take(self.of_each) {
                writeln!(out, "{line}").map_err(failed(&path))?;
            }
            out.flush().map_err(failed(&path))?;
            files += 1;
        }
        Ok(files)
    }
}

/// The names of the fields of an event's data.
fn fields(event: &RecordedEvent) -> Vec<String> {
    match serde_json::from_slice(event.data.bytes()) {
        Ok(Value::Object(members)) => members.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

/// Reads the golden events of a directory, and gives each away with its file and line, or what is wrong with the line.
pub(super) fn read(
    directory: &Path,
    mut take: impl FnMut(String, Result<RecordedEvent, String>),
) -> Result<(), Failure> {
    let failed = || Failure::io(format!("could not read {}", directory.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::usage(format!("{} holds no file that ends in .ndjson", directory.display()))
            .hint("`pacioli check --export-samples DIR` writes golden events."));
    }
    for path in paths {
        let (mut lines, _) = ndjson::read(&path, Arc::new(AtomicU64::new(0)))?;
        while let Some(group) = tokio::task::block_in_place(|| lines.blocking_recv()) {
            for line in group {
                let sample = match line.parsed {
                    Parsed::Event(stream, event) => Ok(recorded(stream, *event)),
                    Parsed::Invalid(problem) | Parsed::Unreadable(problem) => Err(problem),
                };
                take(format!("{}:{}", path.display(), line.number), sample);
            }
        }
    }
    Ok(())
}

/// An event of a file as if it were stored.
fn recorded(stream: StreamName, event: NewEvent) -> RecordedEvent {
    RecordedEvent {
        partition: Partition(0),
        position: Position(0),
        stream,
        version: Version::FIRST,
        id: event.id,
        event_type: event.event_type,
        schema_version: event.schema_version.unwrap_or(1),
        data: event.data,
        metadata: event.metadata,
        tags: event.tags,
        occurred_at: event.occurred_at,
        recorded_at: Timestamp::default(),
    }
}

/// The name of the file for a type and version: the type as it stands in a path, and of a long one the beginning and a hash.
fn file_name(event_type: &str, version: u32) -> String {
    let mut name = encoded(event_type);
    if name.len() > NAME_BYTES_MAX {
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, event_type.as_bytes());
        let end = name[..NAME_BYTES_MAX].rfind('%').filter(|at| at + 3 > NAME_BYTES_MAX).unwrap_or(NAME_BYTES_MAX);
        name.truncate(end);
        name = format!("{name}~{}", hash.simple());
    }
    format!("{name}@{version}.ndjson")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_file_of_its_own() {
        assert_eq!(file_name("MoneyDeposited", 3), "MoneyDeposited@3.ndjson");
        assert_eq!(file_name("../a/b", 1), "..%2Fa%2Fb@1.ndjson");
        let long = ["é".repeat(64), format!("{}x", "é".repeat(63)), "/".repeat(128), "x".repeat(128)];
        let names: BTreeSet<String> = long.iter().map(|name| file_name(name, u32::MAX)).collect();
        assert_eq!(names.len(), long.len());
        for name in names {
            assert!(name.len() <= 200 && !name.contains('/'), "{name}");
            assert!(!name.contains("%~") && !name.contains("%2~"), "no half of a byte: {name}");
        }
    }
}
