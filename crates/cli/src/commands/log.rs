//! `pacioli log`: the whole log or a part of it, and what comes after.

use std::io::{BufWriter, Stdout, Write};
use std::sync::Arc;

use clap::Args;
use futures::StreamExt;
use pacioli_api::cloudevents::{self, Layout};
use pacioli_api::{fields::Fields, time};
use pacioli_core::{
    Category, Checkpoint, Delivery, EventStore, EventType, Filter, PayloadChoice, ReadError, ReadLog, RecordedEvent,
    Subscribe, Tag,
};

use crate::failure::Failure;
use crate::output::{Column, Form, OutputArgs, Table};
use crate::shape::ShapeArgs;
use crate::target::StoreArgs;

const COLUMNS: &[Column] = &[
    Column::number("POSITION"),
    Column::text("STREAM", 40),
    Column::number("VERSION"),
    Column::text("TYPE", 40),
    Column::text("TIME", 24),
    Column::text("DATA", 80),
];
/// Events of one page.
const PAGE_EVENTS: u64 = 2_000;

/// Read the log, all streams together, in the order in which it was written
///
/// Without --limit it reads to the head. With --follow it goes on with each event as it is committed, until Ctrl-C.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli log
  pacioli log --category account --type MoneyDeposited --limit 10
  pacioli log --after 0:1234 --follow
  pacioli log --accept OrderPlaced:^1 --on-newer skip --reader billing"#)]
pub(crate) struct Log {
    #[command(flatten)]
    filter: FilterArgs,
    /// How much of the data to show: none, all, or what JSON pointers name, like /owner/name,/amount
    #[arg(long, value_name = "FIELDS", default_value = "all")]
    fields: Fields,
    /// So many events at most; all of them by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Go on with new events as they come, until Ctrl-C
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which events of the log.
#[derive(Args, Clone, Debug)]
pub(crate) struct FilterArgs {
    /// After this checkpoint only, like 0:1234
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) after: Option<Checkpoint>,
    /// Of this category only: what stands before the first `-` of the stream's name. Given again: or this one
    #[arg(long, value_name = "CATEGORY")]
    category: Vec<Category>,
    /// Of streams whose name begins with this only
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Of this type only. Given again: or this one
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<EventType>,
    /// With this tag only. Given again: and this one
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
}

impl FilterArgs {
    /// The filter as the store takes it.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            categories: self.category.clone(),
            stream_prefix: self.prefix.clone(),
            types: self.types.clone(),
            tags: self.tags.clone(),
        }
    }
}

impl Log {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.shape.see(self.store.open_existing_target().await?).await?;
        let mut printer = EventPrinter::new(self.output.form(), self.fields.clone());
        if !self.follow {
            let limit = self.limit.unwrap_or(u64::MAX);
            let payload = self.fields.payload();
            return read_pages(&*store, &self.filter, payload, limit, |events| printer.print(events)).await;
        }
        tokio::select! {
            followed = follow(&*store, &self.filter, self.limit, &mut printer) => followed,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }
}

/// Reads the log page by page up to the head, or to the limit, and gives each page away.
pub(crate) async fn read_pages(
    store: &dyn EventStore,
    filter: &FilterArgs,
    payload: PayloadChoice,
    limit: u64,
    mut take: impl FnMut(&[Arc<RecordedEvent>]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = filter.after.clone();
    let mut left = limit;
    // Where writers never rest there is always more; the head of the first page is where this listing ends.
    let mut end: Option<Checkpoint> = None;
    while left > 0 {
        let limit = left.min(PAGE_EVENTS) as usize;
        let read = ReadLog { after: after.clone(), filter: filter.filter(), limit, payload };
        let page = store.read_log(read).await.map_err(|error| stopped(error, after.as_ref()))?;
        left -= (page.events.len() as u64).min(left);
        take(&page.events)?;
        let at_head = page.at_head();
        let end = end.get_or_insert(page.head);
        if at_head || page.checkpoint.covers(end) {
            break;
        }
        after = Some(page.checkpoint);
    }
    Ok(())
}

async fn follow(
    store: &dyn EventStore,
    filter: &FilterArgs,
    limit: Option<u64>,
    printer: &mut EventPrinter,
) -> Result<(), Failure> {
    let subscribe = Subscribe { after: filter.after.clone(), filter: filter.filter(), ..Subscribe::default() };
    let mut deliveries = store.subscribe(subscribe).await?;
    let mut left = limit.unwrap_or(u64::MAX);
    let mut after = filter.after.clone();
    while left > 0
        && let Some(delivery) = deliveries.next().await
    {
        let delivery = delivery.map_err(|error| stopped(error, after.as_ref()))?;
        after = Some(delivery.checkpoint().clone());
        if let Delivery::Events { events, .. } = delivery {
            let count = (events.len() as u64).min(left) as usize;
            printer.print(&events[..count])?;
            left -= count as u64;
        }
    }
    Ok(())
}

/// Why the log cannot be read on; of a reader that has to stop, with where it goes on.
fn stopped(error: ReadError, after: Option<&Checkpoint>) -> Failure {
    match (&error, after) {
        (ReadError::Withheld(_), Some(after)) => {
            let on = format!(
                "Go on with `--after {after}` and an --accept that takes it in, or pass over it with --on-newer skip"
            );
            Failure::from(error).hint(format!("{on}; `pacioli schema show TYPE` shows the newer shape."))
        }
        _ => error.into(),
    }
}

/// Prints events as CloudEvents, one a line, or as rows of a table.
pub(crate) struct EventPrinter {
    form: Form,
    fields: Fields,
    table: Table,
    out: BufWriter<Stdout>,
    line: Vec<u8>,
}

impl EventPrinter {
    pub(crate) fn new(form: Form, fields: Fields) -> EventPrinter {
        let out = BufWriter::with_capacity(1 << 16, std::io::stdout());
        EventPrinter { form, fields, table: Table::new(COLUMNS), out, line: Vec::new() }
    }

    /// Prints some events and hands them to whoever reads.
    pub(crate) fn print(&mut self, events: &[Arc<RecordedEvent>]) -> Result<(), Failure> {
        match self.form {
            Form::Json => {
                for event in events {
                    self.line.clear();
                    cloudevents::write(&mut self.line, event, &self.fields, Layout::Line);
                    self.line.push(b'\n');
                    self.out.write_all(&self.line)?;
                }
            }
            Form::Table => {
                let rows: Vec<_> = events.iter().map(|event| row(event, &self.fields)).collect();
                self.table.print(&mut self.out, &rows)?;
            }
        }
        Ok(self.out.flush()?)
    }
}

fn row(event: &RecordedEvent, fields: &Fields) -> Vec<String> {
    let data = match fields {
        Fields::None => String::new(),
        _ if !event.data.is_json() => format!("({} bytes)", event.data.len()),
        fields => {
            let mut chosen = Vec::new();
            fields.select(event.data.bytes(), &mut chosen);
            String::from_utf8_lossy(&chosen).into_owned()
        }
    };
    vec![
        event.place().to_string(),
        event.stream.to_string(),
        event.version.to_string(),
        event.event_type.to_string(),
        time::format(event.occurred_at.unwrap_or(event.recorded_at)),
        data,
    ]
}
