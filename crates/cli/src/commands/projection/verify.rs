//! `pacioli projection verify`

use std::io::Write;

use clap::Args;
use pacioli_client::http::Ask;
use serde::Deserialize;
use serde_json::{Value, json};

use super::told::path;
use crate::failure::{Code, Failure};
use crate::output::{Form, OutputArgs, count_of, grouped, plain};
use crate::progress::Progress;
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// Steps of the bar.
const BAR_STEPS: f64 = 10_000.0;

/// Fold the log again and compare it with what a projection serves
///
/// A read model that drifted is found, not assumed. It works in scratch tables, and what serves goes on. Exit 1 where rows
/// differ.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection verify balances
  pacioli projection verify balances --sample 1/16     # one of sixteen parts of the streams"#)]
pub(super) struct Verify {
    /// The projection
    name: String,
    /// Only one of so many parts of the streams, like 1/16, where the file says `parallel-by: stream`
    #[arg(long, value_name = "1/N")]
    sample: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// One line of the answer.
#[derive(Deserialize)]
struct Line {
    progress: Option<f64>,
    error: Option<Value>,
    checkpoint: Option<String>,
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    different: u64,
    #[serde(default)]
    differences: Vec<String>,
}

impl Verify {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let bar = Progress::new(Some(BAR_STEPS as u64));
        let mut last: Option<(Vec<u8>, Line)> = None;
        ReadModelsDoor::with(&self.store, false, async |door| {
            let ask = Ask::post(path(&self.name, "/verify")).json(json!({ "sample": self.sample }).to_string());
            door.lines(ask, |text| {
                let line: Line = serde_json::from_slice(text)
                    .map_err(|error| Failure::failed(format!("the server's answer is not understood: {error}")))?;
                if let Some(progress) = line.progress {
                    bar.update((progress * BAR_STEPS) as u64, format!("verifying {}", self.name));
                }
                last = Some((text.to_vec(), line));
                Ok(())
            })
            .await
        })
        .await?;
        bar.finish();
        let (text, line) = last.ok_or_else(|| Failure::failed("the server's answer is empty"))?;
        if let Some(error) = line.error {
            let detail = error["detail"].as_str().unwrap_or("the check failed; the server's log says more");
            return Err(Failure::failed(detail));
        }
        let checkpoint = line.checkpoint.ok_or_else(|| Failure::failed("the check broke off; start it again"))?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => {
                out.write_all(&text)?;
                writeln!(out)?;
            }
            Form::Table => {
                for difference in &line.differences {
                    writeln!(out, "{}", plain(difference))?;
                }
                let (name, checkpoint) = (plain(&self.name), plain(&checkpoint));
                let rows = count_of(line.rows, "row");
                match line.different {
                    0 => writeln!(out, "{name} is what the log says: {rows} compared at {checkpoint}")?,
                    _ => writeln!(out, "{rows} compared at {checkpoint}, {} differ", grouped(line.different))?,
                }
            }
        }
        out.flush()?;
        if line.different > 0 {
            let message = format!("`{}` differs from a fresh fold of the log in {} rows", self.name, line.different);
            let hint =
                format!("`pacioli projection rebuild {}` fills it anew; find out who wrote to its tables.", self.name);
            return Err(Failure::new(Code::Failed, message).hint(hint));
        }
        Ok(())
    }
}
