//! `pacioli schema readers`

use std::io::Write;

use clap::Args;
use pacioli_api::schemas::ReaderStatus;
use pacioli_api::{json, time};

use crate::failure::Failure;
use crate::output::{Column, Form, OutputArgs, Table, grouped, plain, say};
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
///
/// One that does not follow the log and has not read for 30 days is gone: no break asks for it any more.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema readers
  pacioli schema readers --forget night-batch
  pacioli schema readers --output json"#)]
pub(super) struct Readers {
    /// Forget the reader of this name, so that no break waits for it; it must not follow the log
    #[arg(long, value_name = "NAME")]
    forget: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Readers {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if let Some(name) = &self.forget {
            return self.forget(name).await;
        }
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

    async fn forget(&self, name: &str) -> Result<(), Failure> {
        ReadModelsDoor::with(&self.store, false, async |door| Ok(door.schemas().forget_reader(name).await?)).await?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => writeln!(out, "{}", serde_json::json!({ "forgotten": name }))?,
            Form::Table => writeln!(out, "forgotten: {}", plain(name))?,
        }
        Ok(out.flush()?)
    }
}

fn cells(reader: &ReaderStatus) -> Vec<String> {
    let stated = if reader.schemas.is_empty() { "(any)".to_owned() } else { reader.schemas.join(", ") };
    vec![
        reader.name.clone(),
        match reader {
            ReaderStatus { live: true, .. } => "yes",
            ReaderStatus { gone: true, .. } => "gone",
            ReaderStatus { .. } => "no",
        }
        .to_owned(),
        stated,
        reader.waits_for.clone().unwrap_or_else(|| "-".to_owned()),
        grouped(reader.skipped),
        time::format(reader.read_at),
        reader.checkpoint.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}
