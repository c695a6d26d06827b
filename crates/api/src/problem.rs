//! The one error table: what an outcome or an error is as an HTTP problem (RFC 9457) and as an exit code of the CLI.
//!
//! | slug | status | exit | when |
//! | --- | --- | --- | --- |
//! | `invalid` | 400 | 2 | a part of the request is malformed; `field` names it |
//! | `over-limit` | 413 | 2 | a part of the request is too large; `field` names it |
//! | `schema-violated` | 400 | 2 | an event is not what its schema says; `event_type`, `schema_version`, `path`, `rule`, `accepted_by` |
//! | `unauthenticated` | 401 | 1 | no token, or one that is not known |
//! | `forbidden` | 403 | 1 | the token's role does not allow it |
//! | `stream-not-found` | 404 | 4 | there is no such stream |
//! | `projection-not-found` | 404 | 4 | there is no such projection, build or table of a read model |
//! | `schema-not-found` | 404 | 4 | no schema is registered for that type, or not that version, or no reader has that name |
//! | `query-refused` | 400 | 2 | a query that is not one statement that reads, that the database does not understand, or whose answer is too large |
//! | `route-not-found` | 404 | 1 | there is no such path |
//! | `method-not-allowed` | 405 | 1 | the path knows other methods |
//! | `not-acceptable` | 406 | 1 | none of the asked media types can be sent |
//! | `request-timeout` | 408 | 1 | the body did not arrive |
//! | `newer-schema` | 409 | 1 | the next event has a shape that the reader does not understand; `place`, `event_type`, `schema_version`, `understands` |
//! | `ids-known` | 409 | 3 | some events are in the log already; `known_ids` |
//! | `consumer-ahead` | 409 | 3 | tracking would not advance; `consumer`, `current_checkpoint` |
//! | `condition-matched` | 409 | 3 | an event matches the condition; `matched` |
//! | `schema-incompatible` | 409 | 1 | a new schema breaks somebody; `changes`, or `readers` that nobody checked |
//! | `projection-state` | 409 | 1 | a command on a projection does not fit how it is |
//! | `wrong-version` | 412 by a precondition header, else 409 | 3 | `stream`, `expected`, `current_version` |
//! | `rewound` | 410 | 1 | the log was rewound; `rewound_to` |
//! | `unsupported-media-type` | 415 | 1 | the body is of a type or encoding that is not read |
//! | `misdirected` | 421 | 1 | a server without tokens was called by another name than this machine's |
//! | `key-reused`, `id-reused` | 422 | 1 | the key or id stands for other content |
//! | `projection-refused` | 422 | 1 | a `sync` projection failed on an event; nothing was stored; `projection`, `reason` |
//! | `schema-refused` | 422 | 2 | a schema or an upcaster is not taken; `path`, and `least` where its version is too low |
//! | `file-refused` | 422 | 2 | a projection's file cannot run; `findings`, each with file, line and what to do |
//! | `internal` | 500 | 1 | a bug |
//! | `damaged` | 500 | 1 | a stored event does not match its hash; `place` |
//! | `storage` | 500 | 1 | the storage failed a read |
//! | `unsupported` | 501 | 1 | this engine cannot do that |
//! | `overloaded` | 503 | 1 | too much waits; `retry_after_ms` |
//! | `shutting-down` | 503 | 1 | the store is going away; `retry_after_ms` |
//! | `unknown-outcome` | 503 | 1 | nobody knows whether it was stored: send the same request again; `retry_after_ms` |
//! | `timeout` | 503 | 1 | the answer took too long; `retry_after_ms` |
//! | `behind` | 504 | 1 | a projection has not come to `at_least` in time; `projection`, `checkpoint` |
//! | `query-late` | 504 | 1 | a query took longer than its time |
//! | `storage-full` | 507 | 1 | the storage refused the write, as a full disk does; nothing was stored |

use std::fmt;
use std::time::Duration;

use pacioli_core::schemas::SchemaViolation;
use pacioli_core::{AppendError, Conflict, ExpectedVersion, InvalidAppend, ReadError, Refusal};
use serde_json::{Value, json};

use crate::text::push_string;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// What every problem's `type` begins with; its slug follows.
pub const TYPE_PREFIX: &str = "urn:pacioli:problem:";

/// What to do after an outcome that nobody knows, where nothing would recognise the request.
const NO_IDS: &str = "nobody knows whether it was stored, and this request had no ids and no key: read the stream before \
                      sending it again, and send an `Idempotency-Key` with the next";

/// How long to wait where the store cannot say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $slug:literal, $status:literal, $exit:literal, $title:literal;)+) => {
        /// A row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $name),+ }

        impl Kind {
            /// Every row.
            pub const ALL: &[Kind] = &[$(Kind::$name),+];

            /// The row with this slug.
            pub fn from_slug(slug: &str) -> Option<Kind> {
                Kind::ALL.iter().find(|kind| kind.slug() == slug).copied()
            }

            /// The end of the problem's `type`.
            pub fn slug(self) -> &'static str {
                match self { $(Kind::$name => $slug),+ }
            }

            /// The HTTP status, but for a precondition header that failed, see [`Problem::by_precondition_header`].
            pub fn status(self) -> u16 {
                match self { $(Kind::$name => $status),+ }
            }

            /// The exit code of the CLI.
            pub fn exit_code(self) -> u8 {
                match self { $(Kind::$name => $exit),+ }
            }

            /// The problem's title, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Kind::$name => $title),+ }
            }
        }
    };
}

kinds! {
    /// A part of the request is malformed.
    Invalid = "invalid", 400, 2, "The request is malformed";
    /// No token, or one that is not known.
    Unauthenticated = "unauthenticated", 401, 1, "A known token is needed";
    /// The token's role does not allow it.
    Forbidden = "forbidden", 403, 1, "The token does not allow this";
    /// There is no such stream.
    StreamNotFound = "stream-not-found", 404, 4, "There is no such stream";
    /// There is no such projection, build or table of a read model.
    ProjectionNotFound = "projection-not-found", 404, 4, "There is no such projection or read model";
    /// No schema is registered for that type, or not that version; or no reader has that name.
    SchemaNotFound = "schema-not-found", 404, 4, "There is no such schema or reader";
    /// A query is not one statement that reads, the database does not understand it, or its answer is too large.
    QueryRefused = "query-refused", 400, 2, "The query is refused";
    /// There is no such path.
    RouteNotFound = "route-not-found", 404, 1, "There is no such path";
    /// The path knows other methods.
    MethodNotAllowed = "method-not-allowed", 405, 1, "The path does not know this method";
    /// None of the asked media types can be sent.
    NotAcceptable = "not-acceptable", 406, 1, "None of the accepted media types can be sent";
    /// The body did not arrive.
    RequestTimeout = "request-timeout", 408, 1, "The request did not arrive in time";
    /// An event is not what its schema says, or says a version that is not registered.
    SchemaViolated = "schema-violated", 400, 2, "An event is not what its schema says";
    /// The next event has a shape that the reader does not understand.
    NewerSchema = "newer-schema", 409, 1, "The next event has a shape that the reader does not understand";
    /// A new schema breaks somebody.
    SchemaIncompatible = "schema-incompatible", 409, 1, "The schema breaks who reads or writes by another version";
    /// A command on a projection does not fit how it is.
    ProjectionState = "projection-state", 409, 1, "The projection is not in a state for that";
    /// Some events are in the log already, others are not.
    IdsKnown = "ids-known", 409, 3, "Some of the events are in the log already";
    /// Tracking would not advance.
    ConsumerAhead = "consumer-ahead", 409, 3, "The consumer is further on already";
    /// An event matches the condition.
    ConditionMatched = "condition-matched", 409, 3, "An event matches the condition";
    /// The stream is not at the expected version.
    WrongVersion = "wrong-version", 409, 3, "The stream is not at the expected version";
    /// The log was rewound to before the reader's checkpoint.
    Rewound = "rewound", 410, 1, "The log was rewound";
    /// A part of the request is too large.
    OverLimit = "over-limit", 413, 2, "A part of the request is too large";
    /// The body is of a type or encoding that is not read.
    UnsupportedMediaType = "unsupported-media-type", 415, 1, "The body is of a type that is not read here";
    /// The server does not answer to this host's name.
    Misdirected = "misdirected", 421, 1, "The server does not answer to this name";
    /// The idempotency key stands for other content.
    KeyReused = "key-reused", 422, 1, "The idempotency key was used for other content";
    /// The event id stands for other content.
    IdReused = "id-reused", 422, 1, "The event id was used for another event";
    /// A `sync` projection failed on an event of the append.
    ProjectionRefused = "projection-refused", 422, 1, "A sync projection refuses the append";
    /// A schema or an upcaster is not taken.
    SchemaRefused = "schema-refused", 422, 2, "The schema is refused";
    /// A projection's file cannot run.
    FileRefused = "file-refused", 422, 2, "The projection's file cannot run";
    /// A bug.
    Internal = "internal", 500, 1, "The server failed";
    /// A stored event does not match its hash.
    Damaged = "damaged", 500, 1, "A stored event is damaged";
    /// The storage failed a read.
    Storage = "storage", 500, 1, "The storage failed";
    /// This engine cannot do that.
    Unsupported = "unsupported", 501, 1, "This engine cannot do that";
    /// Too much waits already.
    Overloaded = "overloaded", 503, 1, "The store is overloaded";
    /// The store is going away.
    ShuttingDown = "shutting-down", 503, 1, "The store is shutting down";
    /// Nobody knows whether it was stored.
    UnknownOutcome = "unknown-outcome", 503, 1, "The outcome is unknown";
    /// The answer took too long.
    Timeout = "timeout", 503, 1, "The answer took too long";
    /// A projection has not come to the checkpoint that was asked for.
    Behind = "behind", 504, 1, "The read model is not there yet";
    /// A query took longer than its time.
    QueryLate = "query-late", 504, 1, "The query took too long";
    /// The storage refused the write.
    StorageFull = "storage-full", 507, 1, "The storage refused the write";
}

/// What went wrong, for a person and for a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    kind: Kind,
    status: u16,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
    members: Vec<(String, Value)>,
}

impl Problem {
    /// A problem with a `detail` that a person can act on.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            status: kind.status(),
            detail: detail.into(),
            field: None,
            retry_after: None,
            members: Vec::new(),
        }
    }

    /// A malformed `field`.
    pub fn invalid(field: impl Into<String>, problem: impl fmt::Display) -> Problem {
        let field = field.into();
        Problem { detail: format!("{field}: {problem}"), field: Some(field), ..Problem::new(Kind::Invalid, "") }
    }

    /// A problem that goes away by waiting for a second.
    pub fn retry(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem { retry_after: Some(RETRY_AFTER), ..Problem::new(kind, detail) }
    }

    /// An append whose outcome nobody knows for this `reason`, and that must not be sent again blindly: its events had no ids
    /// and it had no key, so nothing would recognise the second as the first. It carries no time to wait, because there are
    /// programs that take one for leave to repeat it.
    pub fn unknown_without_ids(reason: &str) -> Problem {
        Problem::new(Kind::UnknownOutcome, format!("{reason}: {NO_IDS}"))
    }

    /// The problem that a body tells, as [`Problem::to_json`] writes it; `None` where it is none of ours, as that of a proxy.
    pub fn read(body: &[u8]) -> Option<Problem> {
        let Value::Object(mut members) = serde_json::from_slice(body).ok()? else { return None };
        let text = |value: Option<Value>| value?.as_str().map(str::to_owned);
        let kind = Kind::from_slug(text(members.remove("type"))?.strip_prefix(TYPE_PREFIX)?)?;
        members.remove("title");
        let status = members.remove("status").and_then(|status| status.as_u64()?.try_into().ok());
        Some(Problem {
            kind,
            status: status.unwrap_or(kind.status()),
            detail: text(members.remove("detail"))?,
            field: text(members.remove("field")),
            retry_after: members.remove("retry_after_ms").and_then(|wait| Some(Duration::from_millis(wait.as_u64()?))),
            members: members.into_iter().collect(),
        })
    }

    /// Adds a member for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.members.push((name.to_owned(), value.into()));
        self
    }

    /// The same problem with no list longer than this.
    #[must_use]
    pub fn with_lists_cut(mut self, length: usize) -> Problem {
        for (_, value) in &mut self.members {
            if let Value::Array(list) = value {
                list.truncate(length);
            }
        }
        self
    }

    /// The same problem in other words.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Problem {
        Problem { detail: detail.into(), ..self }
    }

    /// Says 412 where a version that was expected by `If-Match` or `If-None-Match` is not there.
    #[must_use]
    pub fn by_precondition_header(mut self) -> Problem {
        if self.kind == Kind::WrongVersion {
            self.status = 412;
        }
        self
    }

    /// Names the fields as the body of an append to one stream has them: `[3].data` and not `writes[0].events[3].data`.
    ///
    /// `is_list` tells a list of events from a body that is one event, where it is `data`.
    #[must_use]
    pub fn in_one_stream(mut self, is_list: bool) -> Problem {
        let Some(field) = self.field.take() else { return self };
        let short = match field.strip_prefix("writes[0].events") {
            Some("") => "events".to_owned(),
            Some(rest) if !is_list => rest.trim_start_matches("[0]").trim_start_matches('.').to_owned(),
            Some(rest) => rest.to_owned(),
            None => field.strip_prefix("writes[0].").unwrap_or(&field).to_owned(),
        };
        if let Some(rest) = self.detail.strip_prefix(&format!("{field}: ")) {
            self.detail = format!("{short}: {rest}");
        }
        self.field = Some(short);
        self
    }

    /// Names the fields as CloudEvents does: `[3].time` and not `[3].occurred_at`.
    #[must_use]
    pub fn in_cloud_events(mut self) -> Problem {
        const NAMES: [(&str, &str); 9] = [
            ("occurred_at", "time"),
            ("schema_version", "schemaversion"),
            ("metadata.actor", "actor"),
            ("metadata.correlation_id", "correlationid"),
            ("metadata.causation_id", "causationid"),
            ("metadata.traceparent", "traceparent"),
            ("metadata.source_id", "id"),
            ("metadata.source", "source"),
            ("metadata.headers", "metadata"),
        ];
        let Some(field) = &self.field else { return self };
        let renamed = NAMES.iter().find_map(|(ours, theirs)| Some(format!("{}{theirs}", field.strip_suffix(ours)?)));
        if let Some(renamed) = renamed {
            if let Some(rest) = self.detail.strip_prefix(&format!("{field}: ")) {
                self.detail = format!("{renamed}: {rest}");
            }
            self.field = Some(renamed);
        }
        self
    }

    /// The row of the table.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What happened and what to do next.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The field that is wrong.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// A member for programs.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// When to try again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The exit code of the CLI.
    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// The body of an `application/problem+json` answer.
    pub fn to_json(&self) -> String {
        let own = [
            ("type", Some(json!(format!("{TYPE_PREFIX}{}", self.kind.slug())))),
            ("title", Some(json!(self.kind.title()))),
            ("status", Some(json!(self.status))),
            ("detail", Some(json!(self.detail))),
            ("field", self.field.as_ref().map(|field| json!(field))),
            ("retry_after_ms", self.retry_after.map(|wait| json!(wait.as_millis() as u64))),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let members = own.chain(self.members.iter().map(|(name, value)| (name.as_str(), value.clone())));
        // By hand, because a map of values would put them in the order of the alphabet.
        let mut body = Vec::new();
        for (name, value) in members {
            body.push(if body.is_empty() { b'{' } else { b',' });
            push_string(&mut body, name);
            body.push(b':');
            body.extend_from_slice(value.to_string().as_bytes());
        }
        body.push(b'}');
        String::from_utf8(body).expect("JSON of text is UTF-8")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<&InvalidAppend> for Problem {
    fn from(error: &InvalidAppend) -> Problem {
        let kind = if error.over_limit { Kind::OverLimit } else { Kind::Invalid };
        Problem { field: Some(error.field.clone()), ..Problem::new(kind, error.to_string()) }
    }
}

impl From<&AppendError> for Problem {
    fn from(error: &AppendError) -> Problem {
        let detail = error.to_string();
        match error {
            AppendError::Invalid(invalid) => Problem::from(invalid),
            AppendError::Overloaded { retry_after } => {
                Problem { retry_after: Some(*retry_after), ..Problem::new(Kind::Overloaded, detail) }
            }
            AppendError::ShuttingDown => Problem::retry(Kind::ShuttingDown, detail),
            AppendError::Denied { .. } => Problem::new(Kind::Forbidden, detail),
            AppendError::Store(error) if error.is_full => Problem::new(Kind::StorageFull, detail),
            AppendError::Store(_) => Problem::new(Kind::Storage, detail),
            AppendError::Unknown { .. } => Problem::retry(Kind::UnknownOutcome, detail),
        }
    }
}

impl From<&Conflict> for Problem {
    fn from(conflict: &Conflict) -> Problem {
        let detail = conflict.to_string();
        match conflict {
            Conflict::Ids { known } => {
                let known: Vec<Value> = known.iter().map(|id| json!(id.to_string())).collect();
                Problem::new(Kind::IdsKnown, detail).with("known_ids", known)
            }
            Conflict::Tracking { name, current } => Problem::new(Kind::ConsumerAhead, detail)
                .with("consumer", name.as_str())
                .with("current_checkpoint", current.to_string()),
            Conflict::ExpectedVersion { stream, expected, current } => Problem::new(Kind::WrongVersion, detail)
                .with("stream", stream.as_str())
                .with("expected", expected_json(*expected))
                .with("current_version", current.map(|version| version.0)),
            Conflict::Condition { matched } => {
                Problem::new(Kind::ConditionMatched, detail).with("matched", matched.to_string())
            }
        }
    }
}

/// What was expected: a number where it was a version, else the word.
fn expected_json(expected: ExpectedVersion) -> Value {
    match expected {
        ExpectedVersion::Exact(version) => json!(version.0),
        word => json!(word.to_string()),
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Problem {
        let detail = refusal.to_string();
        match refusal {
            Refusal::KeyReused { key } => Problem::new(Kind::KeyReused, detail).with("key", key.to_string()),
            Refusal::BySchema(violation) => {
                let SchemaViolation { field, event_type, schema_version, path, rule, accepted_by, .. } = &**violation;
                Problem { field: Some(field.clone()), ..Problem::new(Kind::SchemaViolated, detail) }
                    .with("event_type", event_type.as_str())
                    .with("schema_version", *schema_version)
                    .with("path", path.as_str())
                    .with("rule", rule.as_str())
                    .with("accepted_by", *accepted_by)
            }
            Refusal::ByProjection { projection, reason } => Problem::new(Kind::ProjectionRefused, detail)
                .with("projection", projection.as_str())
                .with("reason", reason.as_str()),
            Refusal::IdReused { id, stream, version } => Problem::new(Kind::IdReused, detail)
                .with("id", id.to_string())
                .with("stream", stream.as_str())
                .with("version", version.0),
        }
    }
}

impl From<&ReadError> for Problem {
    fn from(error: &ReadError) -> Problem {
        let detail = error.to_string();
        match error {
            ReadError::StreamNotFound { stream } => {
                Problem::new(Kind::StreamNotFound, detail).with("stream", stream.as_str())
            }
            ReadError::Invalid { field, problem } => Problem::invalid(*field, problem),
            ReadError::Rewound { to } => Problem::new(Kind::Rewound, detail).with("rewound_to", to.to_string()),
            ReadError::Withheld(withheld) => {
                let problem = Problem::new(Kind::NewerSchema, detail)
                    .with("place", withheld.place.to_string())
                    .with("event_type", withheld.event_type.as_str())
                    .with("schema_version", withheld.schema_version)
                    .with("understands", withheld.understands.to_string());
                match withheld.semver {
                    Some(semver) => problem.with("semver", semver.to_string()),
                    None => problem,
                }
            }
            ReadError::Damaged { place, .. } => Problem::new(Kind::Damaged, detail).with("place", place.to_string()),
            ReadError::Denied { .. } => Problem::new(Kind::Forbidden, detail),
            ReadError::Unsupported { .. } => Problem::new(Kind::Unsupported, detail),
            ReadError::Store(_) => Problem::new(Kind::Storage, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacioli_core::{StreamName, Version};

    #[test]
    fn a_field_is_named_as_the_body_has_it() {
        let named = |field: &str, is_list| {
            let problem = Problem::from(&InvalidAppend::new(field, "is wrong")).in_one_stream(is_list);
            assert_eq!(problem.detail(), format!("{}: is wrong", problem.field().unwrap()));
            problem.field().unwrap().to_owned()
        };
        assert_eq!(named("writes[0].events[3].data", true), "[3].data");
        assert_eq!(named("writes[0].events[0].data", false), "data");
        assert_eq!(named("writes[0].events", true), "events");
        assert_eq!(named("writes[0].stream", true), "stream");
        assert_eq!(named("key", true), "key");
        let renamed = Problem::from(&InvalidAppend::new("[3].occurred_at", "is wrong")).in_cloud_events();
        assert_eq!((renamed.field(), renamed.detail()), (Some("[3].time"), "[3].time: is wrong"));
    }

    #[test]
    fn a_version_conflict_is_412_only_by_a_precondition_header() {
        let stream = StreamName::new("account-1").unwrap();
        let conflict =
            Conflict::ExpectedVersion { stream, expected: ExpectedVersion::Exact(Version(3)), current: None };
        let problem = Problem::from(&conflict);
        assert_eq!((problem.status(), problem.exit_code()), (409, 3));
        assert_eq!(problem.clone().by_precondition_header().status(), 412);
        assert!(problem.to_json().starts_with(r#"{"type":"urn:pacioli:problem:wrong-version","title":"#));
        let body: Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(body["current_version"], Value::Null);
        assert_eq!(body["expected"], json!(3));
        assert_eq!(body["type"], json!("urn:pacioli:problem:wrong-version"));
        assert_eq!(Problem::from(&Conflict::Ids { known: vec![] }).by_precondition_header().status(), 409);
    }

    #[test]
    fn a_problem_is_read_back() {
        let problem = Problem::retry(Kind::Behind, "is behind").with("checkpoint", "0:7").with("more", json!([1]));
        assert_eq!(Problem::read(problem.to_json().as_bytes()), Some(problem.clone()));
        assert_eq!(problem.member("checkpoint"), Some(&json!("0:7")));
        let invalid = Problem::invalid("sql", "is empty");
        assert_eq!(Problem::read(invalid.to_json().as_bytes()), Some(invalid));
        for other in ["", "<html>", "[]", r#"{"type":"about:blank","detail":"x"}"#] {
            assert_eq!(Problem::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_table_above_lists_every_kind() {
        let source = include_str!("problem.rs");
        for kind in Kind::ALL {
            assert!(
                source.lines().any(|line| line.starts_with("//! |") && line.contains(&format!("`{}`", kind.slug())))
            );
        }
    }
}
