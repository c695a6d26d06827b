//! `pacioli diff`: what changed in a read model between two moments.

use std::time::Duration;

use clap::Args;
use pacioli_client::http::Ask;

use super::rows;
use crate::failure::Failure;
use crate::output::{Form, OutputArgs};
use crate::read_models::{ReadModelsDoor, duration, encoded};
use crate::target::StoreArgs;

/// How much longer than its deadline an answer may take until the server counts as gone.
const GRACE: Duration = Duration::from_secs(10);

/// Show what changed in a read model between two moments
///
/// The rows that only one of the moments has: `-` before those of the first, `+` before those of the second. The
/// projection is folded up to both moments in scratch tables; what serves is not touched.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli diff balances --from 2026-11-16T00:00:00Z --to 2026-11-17T00:00:00Z
  pacioli diff balances --from 0:1200 --to 0:1234 --output json"#)]
pub(crate) struct Diff {
    /// A table of a read model
    table: String,
    /// The first moment: a time by which events were recorded, or a checkpoint
    #[arg(long, value_name = "TIME|CHECKPOINT")]
    from: String,
    /// The second moment
    #[arg(long, value_name = "TIME|CHECKPOINT")]
    to: String,
    /// How long it may take, like 10s or 2m
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    deadline: Duration,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Diff {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (table, from, to) = (encoded(&self.table), encoded(&self.from), encoded(&self.to));
        let deadline = self.deadline.as_secs_f64();
        let ask = Ask::get(format!("/v1/read-models/{table}/diff?from={from}&to={to}&deadline={deadline}"));
        let ask = ask.accept("application/x-ndjson").patience(self.deadline + GRACE);
        ReadModelsDoor::with(&self.store, true, async |door| match self.output.form() {
            Form::Json => rows::copy(door, ask).await,
            Form::Table => rows::table(door, ask).await,
        })
        .await
    }
}
