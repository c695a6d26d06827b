//! `pacioli read`: one stream.

use clap::Args;
use pacioli_api::fields::Fields;
use pacioli_core::{Direction, ReadStream, StreamName, Version};

use super::log::EventPrinter;
use crate::failure::Failure;
use crate::output::OutputArgs;
use crate::target::StoreArgs;

/// Events of one page.
const PAGE_EVENTS: u64 = 1_000;

/// Read the events of one stream
///
/// Without --limit it reads to the stream's end (backward: to its start).
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli read account-1
  pacioli read account-1 --from 10 --limit 5
  pacioli read account-1 --backward --limit 1     # the last event
  pacioli read account-1 --fields /amount         # of the data, the amount only"#)]
pub(crate) struct Read {
    /// The stream, like account-1
    stream: StreamName,
    /// The version to begin with; by default the stream's start, or its end with --backward
    #[arg(long, value_name = "VERSION", value_parser = version, allow_negative_numbers = true)]
    from: Option<Version>,
    /// Newest first
    #[arg(long)]
    backward: bool,
    /// So many events at most; all of them by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// How much of the data to show: none, all, or what JSON pointers name, like /owner/name,/amount
    #[arg(long, value_name = "FIELDS", default_value = "all")]
    fields: Fields,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Read {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.store.open_existing().await?;
        let mut printer = EventPrinter::new(self.output.form(), self.fields.clone());
        let direction = if self.backward { Direction::Backward } else { Direction::Forward };
        let mut from = self.from;
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let limit = left.min(PAGE_EVENTS) as usize;
            let payload = self.fields.payload();
            let read = ReadStream { stream: self.stream.clone(), from, direction, limit, payload };
            let page = store.read_stream(read).await?;
            left -= (page.events.len() as u64).min(left);
            printer.print(&page.events)?;
            let Some(next) = page.next else { break };
            from = Some(next);
        }
        Ok(())
    }
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().map(Version).map_err(|_| format!("`{text}` is no version"))
}
