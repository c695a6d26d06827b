//! `pacioli schema impact`

use std::io::Write;

use clap::Args;
use pacioli_api::schemas::{Impact, ImpactOf, ImpactedReader};
use pacioli_api::{json, time};

use super::told::{TypeAt, no_schema, print_changes};
use crate::failure::Failure;
use crate::output::{Column, Form, OutputArgs, Table, plain, say};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

const COLUMNS: &[Column] = &[
    Column::text("READER", 40),
    Column::text("KIND", 12),
    Column::text("FIELDS", 60),
    Column::text("UNDERSTANDS", 20),
    Column::text("LAST READ", 24),
    Column::text("CHECKPOINT", 24),
    Column::text("STATUS", 12),
];

/// See who reads an event type, which fields, and when they last did
///
/// Projections are known by their files, subscriptions and consumers by the name they gave (--reader, ?reader=), and
/// consumers whose appends carry their checkpoint by that. With a version it also tells what changed with it, and who said to understand it.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema impact MoneyDeposited
  pacioli schema impact MoneyDeposited@3
  pacioli schema impact MoneyDeposited --output json | jq '.readers[].name'"#)]
pub(super) struct ImpactCommand {
    /// The type, and which version of it
    #[arg(value_name = "TYPE[@VERSION]")]
    at: TypeAt,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl ImpactCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let TypeAt { event_type, version } = self.at;
        let of = match version {
            Some(version) => ImpactOf::Version(event_type.clone(), version),
            None => ImpactOf::Type(event_type.clone()),
        };
        let asked = ReadModelsDoor::with(&self.store, true, async |door| {
            if door.schemas().registry(Some(&event_type)).await?.schemas.is_empty() {
                return Err(no_schema(&event_type));
            }
            Ok(door.schemas().impact(&of).await?)
        });
        let impact: Impact = asked.await?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(&impact))?,
            Form::Table => {
                if let (Some(version), Some(semver), Some(size)) = (impact.version, impact.semver, impact.size) {
                    let name = plain(impact.event_type.as_str());
                    writeln!(out, "{name} version {version} ({semver}) is a {} change", size.word())?;
                    print_changes(&mut out, &impact.changes)?;
                }
                let rows: Vec<Vec<String>> = impact.readers.iter().map(cells).collect();
                Table::new(COLUMNS).print(&mut out, &rows)?;
                if rows.is_empty() {
                    say(
                        "nobody is known to read it: no projection does, no reader gave its name, and no consumer tracks",
                    );
                }
            }
        }
        Ok(out.flush()?)
    }
}

fn cells(reader: &ImpactedReader) -> Vec<String> {
    let fields = if reader.fields.is_empty() { "(any)".to_owned() } else { reader.fields.join(", ") };
    vec![
        reader.name.clone(),
        reader.kind.word().to_owned(),
        fields,
        reader.understands.clone().unwrap_or_else(|| "(any)".to_owned()),
        reader.last_read_at.map_or_else(|| "-".to_owned(), time::format),
        reader.checkpoint.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        reader.status.word().to_owned(),
    ]
}
