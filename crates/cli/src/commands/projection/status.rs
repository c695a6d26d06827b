//! `pacioli projection status`

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::told::Told;
use super::{picture, told};
use crate::failure::Failure;
use crate::output::{Form, OutputArgs, Paint, say};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Show how projections are: version, state, how far behind, how fast, how long to go
///
/// With --watch it looks again every second, until Ctrl-C.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection status
  pacioli projection status balances
  pacioli projection status --watch"#)]
pub(super) struct StatusCommand {
    /// Only this one, with all that is known of it
    name: Option<String>,
    /// Look again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl StatusCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        ReadModelsDoor::with(&self.store, true, async |door| {
            let name = self.name.as_deref();
            if !self.watch {
                return self.print(&told::ask(door, name).await?, 0).map(|_| ());
            }
            tokio::select! {
                watched = self.watch(door, name) => watched,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        })
        .await
    }

    async fn watch(&self, door: &ReadModelsDoor, name: Option<&str>) -> Result<(), Failure> {
        let mut printed = 0;
        loop {
            printed = self.print(&told::ask(door, name).await?, printed)?;
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    /// Prints them in the place of so many lines before, and says how many lines that were.
    fn print(&self, all: &[Told], over: usize) -> Result<usize, Failure> {
        let mut out = std::io::stdout().lock();
        let lines = match self.output.form() {
            Form::Json => {
                for told in all {
                    writeln!(out, "{}", told.json)?;
                }
                0
            }
            Form::Table => {
                let mut lines = picture::lines(all);
                if let (Some(_), [told]) = (&self.name, all) {
                    lines.extend(picture::details(&told.status));
                }
                if over > 0 && Paint::stdout().is_on() {
                    write!(out, "\x1b[{over}A\x1b[J")?;
                }
                for line in &lines {
                    writeln!(out, "{line}")?;
                }
                if all.is_empty() && over == 0 {
                    say("there is no projection yet; `pacioli projection add FILE` adds one");
                }
                lines.len()
            }
        };
        out.flush()?;
        Ok(lines)
    }
}
