//! `pacioli schema diff`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use pacioli_core::schemas::SchemaFormat;
use pacioli_schema::catalogue::ReferenceTo;
use pacioli_schema::{Catalogue, Level, Schema, Size};
use serde_json::json;

use super::told::{FormatArg, SchemaFile, TypeAt, print_changes, reference};
use crate::failure::{Code, Failure};
use crate::output::{Form, OutputArgs, count_of, say};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// See what changed between two schemas, and for whom that is a break
///
/// Each is a registered version, like MoneyDeposited@2, or a file. Two files need no server. It exits 0 whatever changed:
/// `pacioli schema check` says whether a schema would be taken.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema diff MoneyDeposited@1 MoneyDeposited@2
  pacioli schema diff MoneyDeposited@2 money-deposited.json
  pacioli schema diff old.json new.json --output json"#)]
pub(super) struct Diff {
    /// The older one
    #[arg(value_name = "TYPE@VERSION|FILE")]
    older: String,
    /// The newer one
    #[arg(value_name = "TYPE@VERSION|FILE")]
    newer: String,
    /// The language of the files; by default by their extensions: .json, .avsc or .proto
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatArg>,
    /// A registered schema that a file refers to by a name. Given again: and this one
    #[arg(long = "reference", value_name = "NAME=TYPE@VERSION", value_parser = reference)]
    references: Vec<pacioli_api::schemas::Reference>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// One side.
enum Side {
    Version(TypeAt),
    File(PathBuf),
}

impl Side {
    /// A file of that name is one, whatever it looks like.
    fn new(text: &str) -> Result<Side, Failure> {
        let path = PathBuf::from(text);
        let is_named_like_one = [".json", ".avsc", ".proto"].iter().any(|end| text.ends_with(end));
        if is_named_like_one || path.exists() {
            return Ok(Side::File(path));
        }
        let at: TypeAt = text.parse().map_err(Failure::usage)?;
        match at.version {
            Some(_) => Ok(Side::Version(at)),
            None => Err(Failure::usage(format!("`{text}` is neither a file nor a registered version"))
                .hint("Write a version like OrderPlaced@2, or the name of a file.")),
        }
    }
}

impl Diff {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let sides = (Side::new(&self.older)?, Side::new(&self.newer)?);
        let is_local = matches!(sides, (Side::File(_), Side::File(_))) && self.references.is_empty();
        let catalogue = match is_local {
            true => Catalogue::default(),
            false => {
                let registry =
                    ReadModelsDoor::with(&self.store, true, async |door| Ok(door.schemas().registry(None).await?));
                Catalogue::new(registry.await?, None)
            }
        };
        let (older, newer) = (self.schema(&catalogue, &sides.0)?, self.schema(&catalogue, &sides.1)?);
        let changes: Vec<_> = newer.changes_since(&older);
        let level = match &sides {
            (Side::Version(at), _) | (_, Side::Version(at)) => catalogue.level(at.event_type.as_str()),
            _ => Level::DEFAULT,
        };
        let breaks = changes.iter().filter(|change| change.breaks_backward || level.forbids(change)).count();
        let size = match level.size(&changes) {
            Size::Patch => "patch",
            Size::Minor => "minor",
            Size::Major => "major",
        };
        let told: Vec<pacioli_api::schemas::Change> = changes.into_iter().map(told).collect();
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => {
                for change in &told {
                    writeln!(out, "{}", json!(change))?;
                }
            }
            Form::Table => print_changes(&mut out, &told)?,
        }
        out.flush()?;
        let total = count_of(told.len() as u64, "change");
        say(&match (told.len(), breaks) {
            (0, _) => "they say the same".to_owned(),
            (_, 0) => format!("{total}, none breaks at the level {level}: a {size} version"),
            (_, breaks) => format!("{total}, {breaks} of them a break at the level {level}: a {size} version"),
        });
        Ok(())
    }

    fn schema(&self, catalogue: &Catalogue, side: &Side) -> Result<Schema, Failure> {
        match side {
            Side::Version(TypeAt { event_type, version }) => {
                let version = version.unwrap_or_default();
                let entry = catalogue.version(event_type.as_str(), version).ok_or_else(|| {
                    Failure::new(Code::NotFound, format!("{event_type} has no schema version {version}"))
                        .hint(format!("`pacioli schema list {event_type}` shows the versions that there are."))
                })?;
                let schema = entry.schema();
                Ok(schema.map_err(|error| Failure::failed(format!("{event_type} version {version}: {error}")))?.clone())
            }
            Side::File(path) => {
                let SchemaFile { format, text } = SchemaFile::read(path, self.format)?;
                let usage = |error: pacioli_schema::SchemaError| Failure::usage(refused(path, format, &error));
                let to = |one: &pacioli_api::schemas::Reference| ReferenceTo {
                    name: one.name.clone(),
                    event_type: one.event_type.clone(),
                    version: one.version,
                };
                let references: Vec<ReferenceTo> = self.references.iter().map(to).collect();
                let texts = catalogue.resolve(&references).map_err(usage)?;
                Schema::parse(format, &text, &texts).map_err(usage)
            }
        }
    }
}

fn refused(path: &std::path::Path, format: SchemaFormat, error: &pacioli_schema::SchemaError) -> String {
    let at = if error.path.is_empty() { String::new() } else { format!(" at {}", error.path) };
    format!("{} is no {} schema{at}: {}", path.display(), format.word(), error.problem)
}

fn told(change: pacioli_schema::Change) -> pacioli_api::schemas::Change {
    let pacioli_schema::Change { path, breaks_backward, breaks_forward, is_visible, sentence } = change;
    pacioli_api::schemas::Change { path, breaks_backward, breaks_forward, is_visible, sentence }
}
