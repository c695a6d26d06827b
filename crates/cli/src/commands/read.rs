//! `pacioli read`: one stream.

use clap::Args;
use pacioli_api::fields::Fields;
use pacioli_core::{Direction, EventStore, ReadError, ReadStream, StreamName, Version};
use pacioli_projection::engine::Moment;
use pacioli_projection::past::version_as_of;

use super::log::EventPrinter;
use crate::failure::{Code, Failure};
use crate::output::OutputArgs;
use crate::shape::ShapeArgs;
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
  pacioli read account-1 --raw                    # as it was stored, and not in the newest shape
  pacioli read account-1 --as-of 2026-11-17T15:00:00Z
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
    /// Only what was recorded by this time, like 2026-11-17T15:00:00Z, or up to this checkpoint
    #[arg(long, value_name = "TIME|CHECKPOINT", value_parser = Moment::parse)]
    as_of: Option<Moment>,
    /// How much of the data to show: none, all, or what JSON pointers name, like /owner/name,/amount
    #[arg(long, value_name = "FIELDS", default_value = "all")]
    fields: Fields,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Read {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.shape.see(self.store.open_existing_target().await?).await?;
        let mut printer = EventPrinter::new(self.output.form(), self.fields.clone());
        let direction = if self.backward { Direction::Backward } else { Direction::Forward };
        let mut from = self.from;
        let mut left = self.limit.unwrap_or(u64::MAX);
        if let Some(moment) = &self.as_of {
            let last = self.last_version(&*store, moment).await?;
            match direction {
                Direction::Backward => from = Some(from.unwrap_or(last).min(last)),
                Direction::Forward => left = left.min((last.0 + 1).saturating_sub(from.unwrap_or(Version::FIRST).0)),
            }
        }
        while left > 0 {
            let limit = left.min(PAGE_EVENTS) as usize;
            let payload = self.fields.payload();
            let read = ReadStream { stream: self.stream.clone(), from, direction, limit, payload };
            let page = store.read_stream(read).await.map_err(|error| match (&error, from) {
                (ReadError::Withheld(_), Some(from)) => {
                    let on = format!("Go on with `--from {from}` and an --accept that takes it in");
                    Failure::from(error).hint(format!(
                        "{on}, or pass over it with --on-newer skip; `pacioli schema show TYPE` shows the newer shape."
                    ))
                }
                _ => error.into(),
            })?;
            left -= (page.events.len() as u64).min(left);
            printer.print(&page.events)?;
            let Some(next) = page.next else { break };
            from = Some(next);
        }
        Ok(())
    }

    /// The last version there was at a moment.
    async fn last_version(&self, store: &dyn EventStore, moment: &Moment) -> Result<Version, Failure> {
        let version = version_as_of(store, &self.stream, moment).await?;
        version.ok_or_else(|| Failure::new(Code::NotFound, format!("stream `{}` had no event then", self.stream)))
    }
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().map(Version).map_err(|_| format!("`{text}` is no version"))
}
