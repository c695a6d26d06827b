//! `pacioli append`: one event to one stream.

use std::io::{Read, Write};

use bytes::Bytes;
use clap::Args;
use pacioli_api::json::{self, AppendBody};
use pacioli_api::{import, time};
use pacioli_core::{
    Append, AppendError, AppendOutcome, Checkpoint, EventId, EventType, ExpectedVersion, InvalidAppend, Metadata,
    NewEvent, Payload, Query, QueryItem, StreamName, Tag, Tags, Timestamp,
};
use uuid::Uuid;

use crate::failure::Failure;
use crate::output::{Form, OutputArgs};
use crate::target::StoreArgs;

/// Append one event to a stream
///
/// It prints where the event went, as the HTTP interface does. A conflict exits 3 and stores nothing; so does a
/// condition that an event of the log matches. To send the same thing again safely, give it an --id or a --key: then
/// the second time gives the first answer, with "duplicate": true.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli append account-1 --type AccountOpened --data '{"owner":"Luca"}' --expect none
  pacioli append account-1 --type MoneyDeposited --data '{"amount":100}' --expect 0
  pacioli append account-1 --type ReportFiled --data @report.json --tag year:1494
  pacioli append course-1 --type SeatTaken --data '{}' --tag seat:7 --unless-tag seat:7"#)]
pub(crate) struct AppendCommand {
    /// The stream, like account-1: its category, a `-`, its key
    stream: StreamName,
    /// What happened, in the past tense, like MoneyDeposited
    #[arg(long = "type", value_name = "TYPE")]
    event_type: EventType,
    /// What the event says: JSON, @FILE with JSON in it, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: String,
    /// What the stream's version must be: any, none (no such stream yet), exists, or the version of its last event
    #[arg(long, value_name = "any|none|exists|N", default_value = "any", value_parser = expected,
          allow_negative_numbers = true)]
    expect: ExpectedVersion,
    /// Idempotency key: the same key and content again gives the first answer and stores nothing
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    key: Option<Uuid>,
    /// The event's id; by default a new UUIDv7
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    id: Option<Uuid>,
    /// A tag of the event, like seat:7. Given again: another one
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// Metadata: a JSON object; actor, correlation_id, causation_id and traceparent are fields of their own
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<String>,
    /// When it happened, like 2024-05-01T12:00:00Z, where that is not now
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    occurred_at: Option<Timestamp>,
    /// The version of the type's schema that the data follows
    #[arg(long, value_name = "N")]
    schema_version: Option<u32>,
    /// Only if no event has this type. Given again: or this one
    #[arg(long, value_name = "TYPE")]
    unless_type: Vec<EventType>,
    /// Only if no event has this tag (and one of the --unless-type). Given again: and this one
    #[arg(long, value_name = "TAG")]
    unless_tag: Vec<Tag>,
    /// Look for such events after this checkpoint only
    #[arg(long, value_name = "CHECKPOINT")]
    unless_after: Option<Checkpoint>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl AppendCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.data == "-" && self.metadata.as_deref() == Some("-") {
            return Err(Failure::usage("--data and --metadata cannot both come from standard input"));
        }
        let metadata = match &self.metadata {
            Some(given) => import::plain_metadata(&given_bytes("--metadata", given)?)
                .map_err(|error| Failure::usage(format!("--metadata: {error}")))?,
            None => Metadata::default(),
        };
        let id = self.id.unwrap_or_else(Uuid::now_v7);
        let event = NewEvent {
            id: EventId(id),
            event_type: self.event_type,
            schema_version: self.schema_version,
            data: Payload::Json(Bytes::from(given_bytes("--data", &self.data)?.trim_ascii().to_vec())),
            metadata,
            tags: Tags::new(self.tags).map_err(|error| Failure::usage(format!("--tag: {error}")))?,
            occurred_at: self.occurred_at,
        };
        let mut request = Append::to(self.stream, self.expect, vec![event]);
        request.key = self.key;
        let item = QueryItem { types: self.unless_type, tags: self.unless_tag };
        if item.types.is_empty() && item.tags.is_empty() {
            if self.unless_after.is_some() {
                return Err(Failure::usage("--unless-after needs an --unless-type or an --unless-tag to look for"));
            }
        } else {
            request = request.unless(Query { items: vec![item] }, self.unless_after);
        }

        let store = self.store.open().await?;
        let outcome = store.append(request).await.map_err(|error| match error {
            // The id was made here, and nobody else knows it.
            AppendError::Unknown { .. } if self.key.is_none() => Failure::from(error).hint(format!(
                "Send it again with --id {id}: if it was stored, that is recognised, and it is not stored twice."
            )),
            error => error.into(),
        })?;
        let appended = match outcome {
            AppendOutcome::Appended(appended) => appended,
            AppendOutcome::Conflict(conflict) => return Err(conflict.into()),
            AppendOutcome::Refused(refusal) => return Err(refusal.into()),
        };
        let body = AppendBody::from(&appended);
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(&body))?,
            Form::Table => {
                let what = if body.duplicate { "was there already:" } else { "appended" };
                let AppendBody { stream, last_version, checkpoint, .. } = body;
                writeln!(out, "{what} version {last_version} of {stream}, checkpoint {checkpoint}")?;
            }
        }
        Ok(out.flush()?)
    }
}

fn expected(text: &str) -> Result<ExpectedVersion, String> {
    text.parse().map_err(|error: InvalidAppend| error.problem)
}

fn uuid(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| format!("`{text}` is no UUID"))
}

/// The bytes of an option that takes JSON, `@FILE` or `-`.
fn given_bytes(option: &str, given: &str) -> Result<Vec<u8>, Failure> {
    match given.strip_prefix('@') {
        Some(path) => std::fs::read(path).map_err(Failure::io(format!("{option}: could not read {path}"))),
        None if given == "-" => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(Failure::io(format!("{option}: could not read standard input")))?;
            Ok(bytes)
        }
        None => Ok(given.as_bytes().to_vec()),
    }
}
