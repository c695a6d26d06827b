//! `pacioli query`: a question in SQL.

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};
use pacioli_client::http::Ask;
use pacioli_core::Checkpoint;
use serde_json::json;

use super::rows;
use crate::failure::Failure;
use crate::read_models::{ReadModelsDoor, duration};
use crate::target::StoreArgs;

/// The deadline where nobody says otherwise.
const DEADLINE_DEFAULT: &str = "10s";
/// How much longer than its deadline an answer may take until the server counts as gone.
const GRACE: Duration = Duration::from_secs(10);

/// Ask a question in SQL, over read models and the log
///
/// One statement that reads, in the dialect of the store's database. The tables are those of the projections that run, and
/// the relation `events` is the log: one row an event, `data` as JSON. SQL may come from a file (@FILE) or from standard
/// input (-).
#[derive(Args, Debug)]
// tidy: not sql
#[command(after_long_help = r#"Examples:
  pacioli query "SELECT type, count(*) AS n FROM events GROUP BY type ORDER BY n DESC"
  pacioli query "SELECT * FROM balances WHERE account = 'account-1'" --at-least 0:1234
  pacioli query "SELECT sum(cents) FROM balances" --as-of 2026-11-17T15:00:00Z
  pacioli query @funnel.sql --output csv > funnel.csv
  pacioli query "SELECT * FROM balances" --output arrow > balances.arrow"#)]
pub(crate) struct Query {
    /// The statement, or @FILE, or - for standard input
    sql: String,
    /// Wait until the read models have come to this checkpoint, as `append` prints it: then you see your own write
    #[arg(long, value_name = "CHECKPOINT")]
    at_least: Option<Checkpoint>,
    /// How long to wait for that and for the answer, like 500ms, 10s or 2m
    #[arg(long, value_name = "DURATION", default_value = DEADLINE_DEFAULT, value_parser = duration)]
    deadline: Duration,
    /// As it was known at this time, like 2026-11-17T15:00:00Z, or at this checkpoint
    #[arg(long, value_name = "TIME|CHECKPOINT", conflicts_with = "as_of_occurred")]
    as_of: Option<String>,
    /// As it was in business at this time: of the events that occurred by then, whenever they were recorded
    #[arg(long, value_name = "TIME")]
    as_of_occurred: Option<String>,
    /// So many rows at most; more are an error [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_rows: Option<u32>,
    /// The form of the rows: `table` by default on a terminal, else `json`, one object a line
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<RowsForm>,
    #[command(flatten)]
    store: StoreArgs,
}

/// The form of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RowsForm {
    /// Aligned columns for a person; long values are cut
    Table,
    /// One JSON object a line
    Json,
    /// CSV with a header
    Csv,
    /// An Arrow IPC stream, for data frames
    Arrow,
}

impl Query {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let is_terminal = std::io::stdout().is_terminal();
        let form = self.output.unwrap_or(if is_terminal { RowsForm::Table } else { RowsForm::Json });
        if form == RowsForm::Arrow && is_terminal {
            return Err(Failure::usage("--output arrow is not for a terminal; send it to a file or a program"));
        }
        let sql = given_sql(&self.sql)?;
        let format = match form {
            RowsForm::Table | RowsForm::Json => "ndjson",
            RowsForm::Csv => "csv",
            RowsForm::Arrow => "arrow",
        };
        let body = json!({
            "sql": sql,
            "at_least": self.at_least.as_ref().map(Checkpoint::to_string),
            "deadline": self.deadline.as_secs_f64(),
            "as_of": self.as_of,
            "as_of_occurred": self.as_of_occurred,
            "max_rows": self.max_rows,
            "format": format,
        });
        let ask = Ask::post("/v1/sql").json(body.to_string()).patience(self.deadline + GRACE);
        ReadModelsDoor::with(&self.store, true, async |door| match form {
            RowsForm::Table => rows::table(door, ask).await,
            RowsForm::Json | RowsForm::Csv | RowsForm::Arrow => rows::copy(door, ask).await,
        })
        .await
    }
}

/// The statement of an argument that is one, or `@FILE`, or `-`.
fn given_sql(given: &str) -> Result<String, Failure> {
    match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(Failure::io(format!("could not read {path}"))),
        None if given == "-" => {
            std::io::read_to_string(std::io::stdin().lock()).map_err(Failure::io("could not read standard input"))
        }
        None => Ok(given.to_owned()),
    }
}
