//! The error table: core's errors as gRPC statuses, and back to the very same errors.
//!
//! | reason in `ErrorInfo` | code | core | what the client does |
//! | --- | --- | --- | --- |
//! | `INVALID` | `INVALID_ARGUMENT` | `Invalid` | mends the field that `BadRequest` names |
//! | `OVER_LIMIT` | `INVALID_ARGUMENT` | `Invalid`, `over_limit` | splits the append or makes the field smaller |
//! | `OVERLOADED` | `RESOURCE_EXHAUSTED` | `Overloaded` | sends it again after `RetryInfo` |
//! | `SHUTTING_DOWN` | `UNAVAILABLE` | `ShuttingDown` | sends it again when the server is back |
//! | `OUTCOME_UNKNOWN` | `UNAVAILABLE` | `Unknown` | sends the very same request again |
//! | `DENIED` | `PERMISSION_DENIED` | `Denied` | asks the operator |
//! | `STORE_FAILED` | `INTERNAL` | `Store` | tells the operator; nothing was stored |
//! | `STREAM_NOT_FOUND` | `NOT_FOUND` | `StreamNotFound` | |
//! | `REWOUND` | `ABORTED` | `Rewound` | undoes what came after `checkpoint` in the metadata, goes on from there |
//! | `NEWER_SCHEMA` | `FAILED_PRECONDITION` | `Withheld` | learns the version in the metadata and says so, or skips those events |
//! | `SCHEMA_REFUSED` | `INVALID_ARGUMENT` | | mends the schema, its version or its upcaster |
//! | `SCHEMA_INCOMPATIBLE` | `FAILED_PRECONDITION` | | gives an upcaster, or looks after the readers that it names |
//! | `SCHEMA_NOT_FOUND` | `NOT_FOUND` | | |
//! | `DAMAGED` | `DATA_LOSS` | `Damaged` | tells the operator |
//! | `UNSUPPORTED` | `UNIMPLEMENTED` | `Unsupported` | |
//!
//! A size over a limit is `INVALID_ARGUMENT` too, because sending it again cannot help, whereas gRPC libraries take
//! `RESOURCE_EXHAUSTED` for something that passes.

use std::collections::HashMap;
use std::time::Duration;

use pacioli_core::schemas::Withheld;
use pacioli_core::{
    AppendError, EventType, InvalidAppend, Partition, Place, Position, ReadError, StoreError, StreamName,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::given_checkpoint;

/// The `domain` of every [`ErrorInfo`](tonic_types::ErrorInfo) of ours.
pub const DOMAIN: &str = "pacioli";

/// How long to wait where an overloaded server, or something before it, does not say.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_millis(100);

/// Why a call failed: the `reason` of its `ErrorInfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A field is malformed.
    Invalid,
    /// A field is over a limit.
    OverLimit,
    /// Too much waits.
    Overloaded,
    /// The server is going away.
    ShuttingDown,
    /// Nobody knows what became of the append.
    OutcomeUnknown,
    /// The caller may not.
    Denied,
    /// The storage failed.
    StoreFailed,
    /// There is no such stream.
    StreamNotFound,
    /// The log was rewound.
    Rewound,
    /// The next event has a shape that the reader does not understand.
    NewerSchema,
    /// A schema or an upcaster is not taken.
    SchemaRefused,
    /// A new schema breaks somebody.
    SchemaIncompatible,
    /// There is no such schema or reader.
    SchemaNotFound,
    /// A stored event is damaged.
    Damaged,
    /// The engine cannot.
    Unsupported,
}

/// The table, both ways.
const TABLE: [(Reason, &str, Code); 15] = [
    (Reason::Invalid, "INVALID", Code::InvalidArgument),
    (Reason::OverLimit, "OVER_LIMIT", Code::InvalidArgument),
    (Reason::Overloaded, "OVERLOADED", Code::ResourceExhausted),
    (Reason::ShuttingDown, "SHUTTING_DOWN", Code::Unavailable),
    (Reason::OutcomeUnknown, "OUTCOME_UNKNOWN", Code::Unavailable),
    (Reason::Denied, "DENIED", Code::PermissionDenied),
    (Reason::StoreFailed, "STORE_FAILED", Code::Internal),
    (Reason::StreamNotFound, "STREAM_NOT_FOUND", Code::NotFound),
    (Reason::Rewound, "REWOUND", Code::Aborted),
    (Reason::NewerSchema, "NEWER_SCHEMA", Code::FailedPrecondition),
    (Reason::SchemaRefused, "SCHEMA_REFUSED", Code::InvalidArgument),
    (Reason::SchemaIncompatible, "SCHEMA_INCOMPATIBLE", Code::FailedPrecondition),
    (Reason::SchemaNotFound, "SCHEMA_NOT_FOUND", Code::NotFound),
    (Reason::Damaged, "DAMAGED", Code::DataLoss),
    (Reason::Unsupported, "UNSUPPORTED", Code::Unimplemented),
];

impl Reason {
    /// The reason a status gives; `None` where it is not one of ours (a proxy's, a broken connection's).
    pub fn of(status: &Status) -> Option<Reason> {
        let info = status.get_details_error_info()?;
        if info.domain != DOMAIN {
            return None;
        }
        TABLE.iter().find(|(_, text, _)| *text == info.reason).map(|(reason, _, _)| *reason)
    }

    fn row(self) -> (&'static str, Code) {
        let row = TABLE.iter().find(|(reason, _, _)| *reason == self);
        row.map(|(_, text, code)| (*text, *code)).expect("every reason has a row")
    }

    /// A status with this reason, its code, and what else is known.
    pub(super) fn status(self, message: String, metadata: &[(&str, String)], mut details: ErrorDetails) -> Status {
        let (text, code) = self.row();
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        details.set_error_info(text, DOMAIN, metadata);
        Status::with_error_details(code, message, details)
    }
}

/// The status of a malformed request.
pub fn invalid(error: &InvalidAppend) -> Status {
    let reason = if error.over_limit { Reason::OverLimit } else { Reason::Invalid };
    let details = ErrorDetails::with_bad_request_violation(&error.field, &error.problem);
    reason.status(error.to_string(), &[], details)
}

/// The status of a call that a server ends because it is going away.
pub fn shutting_down() -> Status {
    append_status(&AppendError::ShuttingDown)
}

/// The status of an append without an outcome.
pub fn append_status(error: &AppendError) -> Status {
    let message = error.to_string();
    let none = ErrorDetails::new();
    match error {
        AppendError::Invalid(error) => invalid(error),
        AppendError::Overloaded { retry_after } => {
            Reason::Overloaded.status(message, &[], ErrorDetails::with_retry_info(Some(*retry_after)))
        }
        AppendError::ShuttingDown => Reason::ShuttingDown.status(message, &[], none),
        AppendError::Denied { .. } => Reason::Denied.status(message, &[], none),
        AppendError::Store(error) => store_failed(error, message),
        AppendError::Unknown { reason } => Reason::OutcomeUnknown.status(message, &[("cause", reason.clone())], none),
    }
}

/// The status of a read without an answer.
pub fn read_status(error: &ReadError) -> Status {
    let message = error.to_string();
    let none = ErrorDetails::new();
    match error {
        ReadError::StreamNotFound { stream } => {
            Reason::StreamNotFound.status(message, &[("stream", stream.to_string())], none)
        }
        ReadError::Invalid { field, problem } => invalid(&InvalidAppend::new(*field, problem)),
        ReadError::Rewound { to } => Reason::Rewound.status(message, &[("checkpoint", to.to_string())], none),
        ReadError::Withheld(withheld) => {
            let mut metadata = vec![
                ("partition", withheld.place.partition.to_string()),
                ("position", withheld.place.position.to_string()),
                ("type", withheld.event_type.to_string()),
                ("schema_version", withheld.schema_version.to_string()),
                ("understands", withheld.understands.to_string()),
            ];
            metadata.extend(withheld.semver.map(|semver| ("semver", semver.to_string())));
            Reason::NewerSchema.status(message, &metadata, none)
        }
        ReadError::Damaged { place, problem } => {
            let metadata = [
                ("partition", place.partition.to_string()),
                ("position", place.position.to_string()),
                ("cause", problem.clone()),
            ];
            Reason::Damaged.status(message, &metadata, none)
        }
        ReadError::Denied { .. } => Reason::Denied.status(message, &[], none),
        ReadError::Unsupported { .. } => Reason::Unsupported.status(message, &[], none),
        ReadError::Store(error) => store_failed(error, message),
    }
}

fn store_failed(error: &StoreError, message: String) -> Status {
    let metadata = [("cause", error.reason.clone()), ("full", error.is_full.to_string())];
    Reason::StoreFailed.status(message, &metadata, ErrorDetails::new())
}

fn store_error(status: &Status) -> StoreError {
    StoreError { reason: cause(status), is_full: metadata(status, "full").as_deref() == Some("true") }
}

/// The error that the status of an append stands for. What leaves room for doubt is [`AppendError::Unknown`].
pub fn append_error(status: &Status) -> AppendError {
    match Reason::of(status) {
        Some(Reason::Invalid | Reason::OverLimit) => AppendError::Invalid(violation(status)),
        Some(Reason::Overloaded) => AppendError::Overloaded { retry_after: retry_after(status) },
        Some(Reason::ShuttingDown) => AppendError::ShuttingDown,
        Some(Reason::Denied) => AppendError::Denied { reason: status.message().to_owned() },
        Some(Reason::StoreFailed) => AppendError::Store(store_error(status)),
        Some(_) => AppendError::Unknown { reason: cause(status) },
        None => match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => {
                AppendError::Denied { reason: status.message().to_owned() }
            }
            Code::InvalidArgument => AppendError::Invalid(InvalidAppend::new("request", status.message())),
            // The transport's own limit, which lies above the store's.
            Code::OutOfRange => AppendError::Invalid(InvalidAppend {
                over_limit: true,
                ..InvalidAppend::new("events", format!("the request is too large: {}", status.message()))
            }),
            // RESOURCE_EXHAUSTED is no refusal where it is not ours: a connection that is cut for sending too much says so
            // too, whatever became of the appends on it.
            Code::Unimplemented => AppendError::Store(StoreError::new(no_such_call(status))),
            _ => AppendError::Unknown { reason: plain(status) },
        },
    }
}

/// The error that the status of a read stands for.
pub fn read_error(status: &Status) -> ReadError {
    let metadata = |key: &str| metadata(status, key);
    let checkpoint = || given_checkpoint(&metadata("checkpoint")?).ok();
    let store = || ReadError::Store(store_error(status));
    match Reason::of(status) {
        Some(Reason::Invalid | Reason::OverLimit) => {
            let InvalidAppend { field, problem, .. } = violation(status);
            match FIELDS.iter().find(|known| **known == field) {
                Some(field) => ReadError::Invalid { field, problem },
                None => ReadError::Invalid { field: "request", problem: format!("{field}: {problem}") },
            }
        }
        Some(Reason::StreamNotFound) => match metadata("stream") {
            Some(stream) => ReadError::StreamNotFound { stream: StreamName::from_storage(stream) },
            None => store(),
        },
        Some(Reason::Rewound) => match checkpoint() {
            Some(to) => ReadError::Rewound { to },
            None => store(),
        },
        Some(Reason::Damaged) => ReadError::Damaged { place: place(status), problem: cause(status) },
        Some(Reason::NewerSchema) => {
            withheld(status).map_or_else(store, |withheld| ReadError::Withheld(Box::new(withheld)))
        }
        Some(Reason::Denied) => ReadError::Denied { reason: status.message().to_owned() },
        Some(Reason::Unsupported) => ReadError::Unsupported { reason: status.message().to_owned() },
        Some(_) => store(),
        None => match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => ReadError::Denied { reason: status.message().to_owned() },
            Code::InvalidArgument => ReadError::Invalid { field: "request", problem: status.message().to_owned() },
            Code::Unimplemented => ReadError::Unsupported { reason: no_such_call(status) },
            _ => ReadError::Store(StoreError::new(plain(status))),
        },
    }
}

/// The fields that core's reads name. A read error names its field for ever, so only these come back as they were.
const FIELDS: [&str; 18] = [
    "after",
    "batch_max",
    "category",
    "checkpoint",
    "direction",
    "expires_at",
    "fields",
    "filter",
    "from",
    "heartbeat",
    "lease",
    "limit",
    "name",
    "owner",
    "prefix",
    "stream",
    "time_to_live",
    "to",
];

/// Whether the same read may have an answer a moment later.
pub fn is_transient(status: &Status) -> bool {
    match Reason::of(status) {
        Some(reason) => matches!(reason, Reason::ShuttingDown | Reason::Overloaded),
        None => matches!(
            status.code(),
            Code::Unavailable
                | Code::Unknown
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::ResourceExhausted
        ),
    }
}

fn place(status: &Status) -> Place {
    let number = |key| metadata(status, key).and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
    Place {
        partition: Partition(u16::try_from(number("partition")).unwrap_or_default()),
        position: Position(number("position")),
    }
}

fn withheld(status: &Status) -> Option<Withheld> {
    let metadata = |key| metadata(status, key);
    Some(Withheld {
        place: place(status),
        event_type: EventType::from_storage(metadata("type")?),
        schema_version: metadata("schema_version")?.parse().ok()?,
        semver: metadata("semver").and_then(|semver| semver.parse().ok()),
        understands: metadata("understands")?.parse().ok()?,
    })
}

fn violation(status: &Status) -> InvalidAppend {
    let over_limit = Reason::of(status) == Some(Reason::OverLimit);
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    match violations.into_iter().next() {
        Some(violation) => InvalidAppend { field: violation.field, problem: violation.description, over_limit },
        None => InvalidAppend { over_limit, ..InvalidAppend::new("request", status.message()) },
    }
}

fn retry_after(status: &Status) -> Duration {
    status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or(RETRY_AFTER_DEFAULT)
}

fn metadata(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info()?.metadata.remove(key)
}

fn cause(status: &Status) -> String {
    metadata(status, "cause").unwrap_or_else(|| status.message().to_owned())
}

fn no_such_call(status: &Status) -> String {
    format!("the server does not know this call; is it older than this client? {}", status.message())
}

/// What a status says that none of our servers made: the transport's words, down to the last cause.
fn plain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = error.source();
    }
    if text.is_empty() { status.code().description().to_owned() } else { text }
}
