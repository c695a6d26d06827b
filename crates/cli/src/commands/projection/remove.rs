//! `pacioli projection drop`

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use pacioli_client::http::Ask;

use super::told::path;
use crate::failure::Failure;
use crate::output::{Form, OutputArgs, plain};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// Drop a projection with its tables, or the version that is kept for a rollback
///
/// The log is not touched: adding the file again fills the tables anew. It asks before it does it.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection drop balances
  pacioli projection drop balances --kept        # only what a rebuild left for a rollback
  pacioli projection drop balances --all --yes   # the same as the first, without asking"#)]
pub(super) struct Remove {
    /// The projection
    name: String,
    /// Only the version that is kept for a rollback
    #[arg(long)]
    kept: bool,
    /// The projection with all its tables; so it is where nothing is said
    #[arg(long, conflicts_with = "kept")]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Remove {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if !self.yes && !confirmed(&self.question())? {
            return Err(Failure::failed("nothing was dropped"));
        }
        let below = if self.kept { "?kept=true" } else { "" };
        ReadModelsDoor::with(&self.store, false, async |door| {
            door.ask(Ask::delete(path(&self.name, below)).patience(crate::read_models::LONG)).await.map(|_| ())
        })
        .await?;
        let mut out = std::io::stdout().lock();
        let what = if self.kept { "kept" } else { "all" };
        match self.output.form() {
            Form::Json => writeln!(out, "{}", serde_json::json!({ "dropped": self.name, "what": what }))?,
            Form::Table if self.kept => writeln!(out, "dropped the version of {} that was kept", plain(&self.name))?,
            Form::Table => writeln!(out, "dropped {} with all its tables", plain(&self.name))?,
        }
        Ok(out.flush()?)
    }

    fn question(&self) -> String {
        match self.kept {
            true => format!("Drop the version of `{}` that is kept for a rollback?", self.name),
            false => format!("Drop `{}` with all its tables?", self.name),
        }
    }
}

/// Asks a person.
fn confirmed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is nobody to ask; say --yes to drop it without asking"));
    }
    let mut err = std::io::stderr();
    let asked = write!(err, "{} [y/N] ", plain(question)).and_then(|()| err.flush());
    asked.map_err(Failure::io("could not ask"))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Failure::io("could not read the answer"))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
