//! What requests about read models share: the service, how long they wait, what goes wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use pacioli_api::problem::{Kind, Problem};
use pacioli_core::Checkpoint;
use pacioli_projection::ReadModels;
use pacioli_projection::engine::{Moment, QueryError};
use pacioli_projection::file::{Finding, Name, Severity};
use pacioli_projection::service::{AskError, CommandError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::Failure;
use super::append::unsupported;
use super::{App, body};
use crate::metrics::QueryLabel;
use crate::models::Models;

/// How long a read waits where nobody says otherwise.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
/// The longest deadline.
const DEADLINE_MAX: Duration = Duration::from_secs(600);
/// How long the storage may take beyond a deadline until the caller is told without it.
const GRACE: Duration = Duration::from_secs(2);

/// Who sent a request, by the name of the token; `None` on a server without tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actor(pub(super) Option<String>);

impl Actor {
    pub(super) fn of(request: &Request) -> Actor {
        request.extensions().get::<Actor>().cloned().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// The read models, or why there are none.
pub(super) fn models(app: &App) -> Result<&ReadModels, Problem> {
    match &app.models {
        Models::On(models) => Ok(models),
        Models::Off { why } => Err(Problem::new(Kind::Unsupported, format!("this server has no read models: {why}"))),
    }
}

/// The projection that the path names.
pub(super) fn projection_name(name: Result<Path<String>, PathRejection>) -> Result<Name, Problem> {
    let Path(name) = name.map_err(|_| Problem::invalid("name", "is not UTF-8 once its percent signs are resolved"))?;
    Name::new(name).map_err(|problem| Problem::invalid("name", problem))
}

/// A body of JSON; none at all stands for an object without members.
pub(super) async fn json_body<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Failure> {
    let media_type = body::media_type(&request)?;
    let read = tokio::time::timeout(app.limits.request_timeout, body::read(app, request));
    let late = |_| Problem::new(Kind::RequestTimeout, "body: did not arrive in time");
    let bytes = read.await.map_err(late)??;
    if bytes.is_empty() {
        return Ok(serde_json::from_str("{}").map_err(|error| Problem::invalid("body", error))?);
    }
    if media_type != "application/json" {
        return Err(unsupported(&media_type, &[]));
    }
    Ok(serde_json::from_slice(&bytes).map_err(|error| Problem::invalid("body", error))?)
}

/// How long a read may wait: `"10s"`, `"500ms"`, `"2m"`, or a number of seconds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Deadline {
    Text(String),
    Seconds(f64),
}

impl Deadline {
    pub(super) fn duration(given: Option<&Deadline>) -> Result<Duration, Problem> {
        let read = match given {
            None => return Ok(DEADLINE_DEFAULT),
            Some(Deadline::Text(text)) => seconds(text),
            Some(Deadline::Seconds(seconds)) => Some(*seconds),
        };
        let duration = read.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.filter(|duration| *duration <= DEADLINE_MAX).ok_or_else(|| {
            let max = DEADLINE_MAX.as_secs();
            Problem::invalid("deadline", format!("must be like `10s`, `500ms` or a number of seconds, at most {max} s"))
        })
    }

    pub(super) fn of_text(text: Option<&str>) -> Result<Duration, Problem> {
        Deadline::duration(text.map(|text| Deadline::Text(text.to_owned())).as_ref())
    }
}

fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// `at_least` as text.
pub(super) fn at_least(text: Option<&str>) -> Result<Option<Checkpoint>, Problem> {
    text.map(|text| text.parse().map_err(|error| Problem::invalid("at_least", error))).transpose()
}

/// The moment that `as_of` or `as_of_occurred` says.
pub(super) fn moment(as_of: Option<&str>, as_of_occurred: Option<&str>) -> Result<Option<Moment>, Problem> {
    match (as_of, as_of_occurred) {
        (None, None) => Ok(None),
        (Some(text), None) => Moment::parse(text).map(Some).map_err(|problem| Problem::invalid("as_of", problem)),
        (None, Some(text)) => {
            Moment::parse_occurred(text).map(Some).map_err(|problem| Problem::invalid("as_of_occurred", problem))
        }
        (Some(_), Some(_)) => Err(Problem::invalid("as_of_occurred", "and as_of exclude each other")),
    }
}

/// Waits for an answer of a read model, within its deadline, and counts what came of it. A server that stops lets what was
/// begun end for a while and then says so.
pub(super) async fn answered<T>(
    app: &Arc<App>,
    kind: &'static str,
    deadline: Duration,
    asking: impl Future<Output = Result<T, AskError>>,
) -> Result<T, Failure> {
    let began = Instant::now();
    let stopping = async {
        app.store.closed().await;
        tokio::time::sleep(GRACE).await;
    };
    let answer = tokio::select! {
        answer = asking => answer.map_err(problem),
        () = tokio::time::sleep(deadline + GRACE) => Err(problem(AskError::Query(QueryError::Late(deadline)))),
        () = stopping => Err(Problem::retry(Kind::ShuttingDown, "the server is stopping; ask another one, or again later")),
    };
    let outcome = match &answer {
        Ok(_) => "answered",
        Err(problem) => match problem.kind() {
            Kind::Behind => "behind",
            Kind::QueryLate => "late",
            Kind::ProjectionNotFound => "not_found",
            Kind::QueryRefused => "refused",
            _ => "failed",
        },
    };
    let label = QueryLabel { kind, outcome };
    app.metrics.queries.get_or_create(&label).inc();
    app.metrics.query_seconds.get_or_create(&label).observe(began.elapsed().as_secs_f64());
    Ok(answer?)
}

fn problem(error: AskError) -> Problem {
    let detail = error.to_string();
    match error {
        AskError::Behind { projection, checkpoint, at_least, why } => {
            let behind = match why {
                // It goes on by itself.
                None => Problem::retry(Kind::Behind, detail),
                Some(_) => Problem::new(Kind::Behind, detail),
            };
            behind
                .with("projection", projection.as_str())
                .with("checkpoint", checkpoint.to_string())
                .with("at_least", at_least.to_string())
        }
        AskError::NotFound(_) => Problem::new(Kind::ProjectionNotFound, detail),
        AskError::Query(QueryError::Refused(_) | QueryError::Invalid(_) | QueryError::TooMuch(_)) => {
            Problem::new(Kind::QueryRefused, detail)
        }
        AskError::Query(QueryError::Late(_)) => Problem::new(Kind::QueryLate, detail),
        AskError::Query(QueryError::Store(error)) => {
            tracing::error!(%error, "the storage failed a query");
            Problem::new(Kind::Storage, detail)
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Failure {
        let detail = error.to_string();
        match error {
            CommandError::NotFound(_) => Problem::new(Kind::ProjectionNotFound, detail),
            CommandError::State(_) => Problem::new(Kind::ProjectionState, detail),
            CommandError::File(findings) => Problem::new(Kind::FileRefused, detail).with("findings", told(&findings)),
            CommandError::Store(error) => {
                tracing::error!(%error, "the storage failed a command on a projection");
                Problem::new(Kind::Storage, detail)
            }
        }
        .into()
    }
}

/// Findings as JSON.
pub(super) fn told(findings: &[Finding]) -> Vec<Value> {
    let told = |finding: &Finding| {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        json!({
            "file": finding.file, "line": finding.line, "severity": severity, "problem": finding.problem
        })
    };
    findings.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_a_unit_or_is_in_seconds() {
        let millis = |text| Deadline::of_text(Some(text)).map(|deadline| deadline.as_millis());
        for (text, expected) in [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1.5", 1_500), ("0", 0)] {
            assert_eq!(millis(text).ok(), Some(expected), "{text}");
        }
        for text in ["", "s", "-1s", "1h", "601s", "11m", "ten", "NaN"] {
            assert!(millis(text).is_err(), "{text}");
        }
        assert_eq!(Deadline::of_text(None).ok(), Some(DEADLINE_DEFAULT));
    }
}
