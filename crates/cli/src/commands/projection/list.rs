//! `pacioli projection list`

use std::io::Write;

use clap::Args;

use super::told;
use crate::failure::Failure;
use crate::output::{Column, Form, OutputArgs, Table, grouped, say};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

const COLUMNS: &[Column] = &[
    Column::text("PROJECTION", 40),
    Column::text("VERSION", 12),
    Column::text("MODE", 8),
    Column::text("STATE", 12),
    Column::text("CHECKPOINT", 24),
    Column::number("PASSED OVER"),
    Column::text("TABLES", 60),
];

/// List the projections and their tables
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection list
  pacioli projection list --output json"#)]
pub(super) struct List {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let all = ReadModelsDoor::with(&self.store, true, async |door| told::ask(door, None).await).await?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => {
                for told in &all {
                    writeln!(out, "{}", told.json)?;
                }
            }
            Form::Table => {
                let rows: Vec<Vec<String>> = all
                    .into_iter()
                    .map(|told| {
                        let status = told.status;
                        let version = status.version.map_or("-".to_owned(), |version| version.to_string());
                        let tables = status.tables.join(", ");
                        let passed_over = grouped(status.passed_over.values().sum());
                        vec![status.name, version, status.mode, status.state, status.checkpoint, passed_over, tables]
                    })
                    .collect();
                Table::new(COLUMNS).print(&mut out, &rows)?;
                if rows.is_empty() {
                    say("there is no projection yet; `pacioli projection add FILE` adds one");
                }
            }
        }
        Ok(out.flush()?)
    }
}
