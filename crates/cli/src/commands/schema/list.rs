//! `pacioli schema list`

use std::io::Write;

use clap::Args;
use pacioli_api::time;
use pacioli_core::EventType;
use pacioli_core::schemas::RegisteredSchema;
use serde_json::json;

use super::told::no_schema;
use crate::failure::Failure;
use crate::output::{Column, Form, OutputArgs, Table, say};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

const COLUMNS: &[Column] = &[
    Column::text("TYPE", 60),
    Column::number("VERSION"),
    Column::text("SEMVER", 16),
    Column::text("FORMAT", 8),
    Column::number("ID"),
    Column::text("UPCASTER", 8),
    Column::text("REGISTERED", 24),
    Column::text("BY", 30),
    Column::text("STATE", 8),
];

/// List the event types that have schemas, each with its newest version, or all versions of one type
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema list
  pacioli schema list MoneyDeposited
  pacioli schema list --all --deleted --output json"#)]
pub(super) struct List {
    /// Of this type only, and every version of it
    #[arg(value_name = "TYPE")]
    event_type: Option<EventType>,
    /// Every version of every type
    #[arg(long)]
    all: bool,
    /// Versions that were deleted, too
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let of = self.event_type.as_ref();
        let registry =
            ReadModelsDoor::with(&self.store, true, async |door| Ok(door.schemas().registry(of).await?)).await?;
        let mut rows: Vec<RegisteredSchema> = registry.schemas;
        if let (Some(event_type), true) = (of, rows.is_empty()) {
            return Err(no_schema(event_type));
        }
        rows.retain(|row| self.deleted || !row.is_deleted);
        if !self.all && self.event_type.is_none() {
            // They come by type and version, so the last of a type is its newest.
            rows.reverse();
            rows.dedup_by(|row, newer| row.event_type == newer.event_type);
            rows.reverse();
        }
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => {
                for row in &rows {
                    writeln!(out, "{}", told(row))?;
                }
            }
            Form::Table => {
                let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
                Table::new(COLUMNS).print(&mut out, &cells)?;
                if cells.is_empty() {
                    say(match of {
                        Some(_) => "every version of it was deleted; --deleted shows them",
                        None => "no schema is registered; `pacioli schema register TYPE FILE` registers one",
                    });
                }
            }
        }
        Ok(out.flush()?)
    }
}

fn cells(row: &RegisteredSchema) -> Vec<String> {
    vec![
        row.event_type.to_string(),
        row.version.to_string(),
        row.semver.to_string(),
        row.format.word().to_owned(),
        row.id.to_string(),
        if row.upcaster.is_some() { "yes" } else { "-" }.to_owned(),
        time::format(row.registered_at),
        row.registered_by.as_deref().unwrap_or("-").to_owned(),
        if row.is_deleted { "deleted" } else { "active" }.to_owned(),
    ]
}

/// A version as JSON, without its texts.
pub(super) fn told(row: &RegisteredSchema) -> serde_json::Value {
    json!({
        "type": row.event_type.as_str(),
        "version": row.version,
        "semver": row.semver.to_string(),
        "format": row.format.word(),
        "id": row.id,
        "has_upcaster": row.upcaster.is_some(),
        "registered_at": time::format(row.registered_at),
        "registered_by": row.registered_by,
        "deleted": row.is_deleted,
    })
}
