//! What the commands on schemas share: versions and files as they are named, changes as they are told.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use clap::ValueEnum;
use pacioli_api::schemas::{Change, Reference, Registered};
use pacioli_core::EventType;
use pacioli_core::schemas::SchemaFormat;

use crate::failure::{Code, Failure};
use crate::output::{Paint, count_of, plain};

/// A type, and one of its versions where that is said: `OrderPlaced@2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeAt {
    pub(super) event_type: EventType,
    pub(super) version: Option<u32>,
}

impl FromStr for TypeAt {
    type Err = String;

    fn from_str(text: &str) -> Result<TypeAt, String> {
        let at = text.rsplit_once('@').and_then(|(name, version)| Some((name, version.parse::<u32>().ok()?)));
        let (name, version) = at.map_or((text, None), |(name, version)| (name, Some(version)));
        if version == Some(0) {
            return Err(format!("`{text}`: versions are counted from 1"));
        }
        Ok(TypeAt { event_type: EventType::new(name).map_err(|error| error.to_string())?, version })
    }
}

/// One version of a type, which has to be named.
pub(super) fn version_at(text: &str) -> Result<(EventType, u32), String> {
    let TypeAt { event_type, version } = text.parse()?;
    let version = version.ok_or_else(|| format!("`{text}` names no version; write it like OrderPlaced@2"))?;
    Ok((event_type, version))
}

/// A reference: `NAME=TYPE@VERSION`.
pub(super) fn reference(text: &str) -> Result<Reference, String> {
    let problem = || format!("`{text}` is no reference; write it like money.json=Money@1");
    let (name, at) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(problem)?;
    let (event_type, version) = version_at(at).map_err(|_| problem())?;
    Ok(Reference { name: name.to_owned(), event_type, version })
}

/// The language of a schema, as an option says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// JSON Schema, draft 2020-12
    Json,
    /// Apache Avro
    Avro,
    /// Protocol Buffers
    Protobuf,
}

/// A schema that was read from a file.
#[derive(Clone, Debug)]
pub(super) struct SchemaFile {
    pub(super) format: SchemaFormat,
    pub(super) text: String,
}

impl SchemaFile {
    /// Reads it; its language is the one that is given, or that of its extension.
    pub(super) fn read(path: &Path, format: Option<FormatArg>) -> Result<SchemaFile, Failure> {
        let by_extension = || match path.extension()?.to_str()? {
            "json" => Some(SchemaFormat::Json),
            "avsc" => Some(SchemaFormat::Avro),
            "proto" => Some(SchemaFormat::Protobuf),
            _ => None,
        };
        let format = match format {
            Some(FormatArg::Json) => Some(SchemaFormat::Json),
            Some(FormatArg::Avro) => Some(SchemaFormat::Avro),
            Some(FormatArg::Protobuf) => Some(SchemaFormat::Protobuf),
            None => by_extension(),
        };
        let format = format.ok_or_else(|| {
            let problem = match path.as_os_str() == "-" {
                true => "standard input has no name that says its language".to_owned(),
                false => format!("{} does not end in .json, .avsc or .proto", path.display()),
            };
            Failure::usage(problem).hint("Say with --format which language it is in: json, avro or protobuf.")
        })?;
        Ok(SchemaFile { format, text: read(path)? })
    }
}

/// The most bytes of a file with a schema or an upcaster: more than any may have, so that the registry says the limit.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text of a file, or with `-` that of standard input.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let failed = || Failure::io(format!("could not read {}", path.display()));
    let mut source: Box<dyn io::Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(failed())?),
    };
    let mut bytes = Vec::new();
    // A device has no size and no end.
    source.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let problem =
            format!("{} has more than {} MiB, and no schema has that much", path.display(), FILE_BYTES_MAX >> 20);
        return Err(Failure::usage(problem).hint("Name the file of one schema; it has at most 262,144 bytes."));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is no text: it is not UTF-8", path.display())))
}

/// Nothing is registered for a type, whose name may be mistyped.
pub(super) fn no_schema(event_type: &EventType) -> Failure {
    Failure::new(Code::NotFound, format!("no schema is registered for {event_type}"))
        .hint("`pacioli schema list` shows the types that have one.")
}

/// What became of a schema, on one line for a person.
pub(crate) fn registered_line(registered: &Registered, what: &str) -> String {
    let Registered { event_type, version, semver, size, changes, tried, .. } = registered;
    let mut line = format!("{} {what} version {version} ({semver})", plain(event_type.as_str()));
    if !changes.is_empty() {
        line.push_str(&format!(", a {} change", size.word()));
    }
    if *tried > 0 {
        line.push_str(&format!("; tried on {}", count_of(*tried, "stored event")));
    }
    line
}

/// Prints changes, a line each, what breaks somebody with a mark.
pub(super) fn print_changes(out: &mut impl Write, changes: &[Change]) -> io::Result<()> {
    let paint = Paint::stdout();
    for change in changes {
        let mark = match change {
            Change { breaks_backward: true, .. } => paint.red("breaks"),
            Change { breaks_forward: true, .. } => paint.yellow("breaks old readers"),
            Change { is_visible: true, .. } => paint.green("compatible"),
            Change { .. } => paint.dim("words only"),
        };
        writeln!(out, "  {mark}: {}", plain(&change.sentence))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_stands_behind_its_type() {
        let at = |text: &str| text.parse::<TypeAt>().map(|at| (at.event_type.to_string(), at.version));
        assert_eq!(at("OrderPlaced"), Ok(("OrderPlaced".to_owned(), None)));
        assert_eq!(at("OrderPlaced@2"), Ok(("OrderPlaced".to_owned(), Some(2))));
        assert_eq!(at("a@b"), Ok(("a@b".to_owned(), None)));
        assert_eq!(at("a@b@3"), Ok(("a@b".to_owned(), Some(3))));
        assert!(at("OrderPlaced@0").is_err() && at("").is_err());
        assert!(version_at("OrderPlaced").unwrap_err().contains("OrderPlaced@2"));
        let reference = reference("money.json=Money@1").unwrap();
        assert_eq!((reference.name.as_str(), reference.version), ("money.json", 1));
        for wrong in ["money.json", "=Money@1", "money.json=Money"] {
            assert!(super::reference(wrong).is_err(), "{wrong}");
        }
    }
}
