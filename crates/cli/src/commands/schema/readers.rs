//! `pacioli schema readers`

use std::io::Write;

use clap::Args;
use pacioli_api::schemas::ReaderStatus;
use pacioli_api::{json, time};

use crate::failure::Failure;
use crate::output::{Column, Form, OutputArgs, Table, grouped, say};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

const COLUMNS: &[Column] = &[
    Column::text("READER", 40),
    Column::text("LIVE", 4),
    Column::text("UNDERSTANDS", 40),
    Column::text("WAITS FOR", 60),
    Column::number("SKIPPED"),
    Column::text("LAST READ", 24),
    Column::text("CHECKPOINT", 24),
];

/// List the readers that gave their names: what they understand, wait for and skipped
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema readers
  pacioli schema readers --output json"#)]
pub(super) struct Readers {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Readers {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let readers: Vec<ReaderStatus> =
            ReadModelsDoor::with(&self.store, true, async |door| Ok(door.schemas().readers().await?)).await?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => {
                for reader in &readers {
                    writeln!(out, "{}", json::to_string(reader))?;
                }
            }
            Form::Table => {
                let rows: Vec<Vec<String>> = readers.iter().map(cells).collect();
                Table::new(COLUMNS).print(&mut out, &rows)?;
                if rows.is_empty() {
                    say("no reader gave its name yet; `pacioli log --reader NAME`, or ?reader=NAME, gives one");
                }
            }
        }
        Ok(out.flush()?)
    }
}

fn cells(reader: &ReaderStatus) -> Vec<String> {
    let stated = if reader.schemas.is_empty() { "(any)".to_owned() } else { reader.schemas.join(", ") };
    vec![
        reader.name.clone(),
        if reader.live { "yes" } else { "no" }.to_owned(),
        stated,
        reader.waits_for.clone().unwrap_or_else(|| "-".to_owned()),
        grouped(reader.skipped),
        time::format(reader.read_at),
        reader.checkpoint.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}
