//! Answers in Confluent's form: its media type, and errors as `{"error_code": 40401, "message": "…"}`.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use pacioli_api::problem::{Kind, Problem};
use pacioli_core::ReadError;
use pacioli_schema::register::RegisterError;
use serde::Serialize;
use serde_json::json;

use crate::http::answer::{self, Detail};
use crate::schemas::RegistryError;

/// Confluent's media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// An answer, or why there is none.
pub(super) type Answered = Result<Response, Refused>;

/// An answer of JSON.
pub(super) fn json(shape: &impl Serialize) -> Answered {
    Ok(with_status(StatusCode::OK, shape))
}

/// An answer of one schema's text, as it is.
pub(super) fn text(schema: String) -> Answered {
    Ok(answer::body(StatusCode::OK, MEDIA_TYPE, schema))
}

fn with_status(status: StatusCode, shape: &impl Serialize) -> Response {
    answer::body(status, MEDIA_TYPE, pacioli_api::json::to_string(shape))
}

/// Why a request is not done, by Confluent's code for it.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    status: StatusCode,
    code: u32,
    message: String,
    retry_after_seconds: Option<u64>,
}

impl Refused {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Refused {
        Refused { status, code, message: message.into(), retry_after_seconds: None }
    }

    fn not_found(code: u32, message: String) -> Refused {
        Refused::new(StatusCode::NOT_FOUND, code, message)
    }

    fn unprocessable(code: u32, message: String) -> Refused {
        Refused::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub(super) fn subject_not_found(subject: &str) -> Refused {
        Refused::not_found(40401, format!("Subject '{subject}' not found."))
    }

    pub(super) fn version_not_found(version: impl std::fmt::Display) -> Refused {
        Refused::not_found(40402, format!("Version {version} not found."))
    }

    pub(super) fn schema_not_found() -> Refused {
        Refused::not_found(40403, "Schema not found".to_owned())
    }

    pub(super) fn subject_deleted(subject: &str) -> Refused {
        Refused::not_found(
            40404,
            format!("Subject '{subject}' was soft deleted. Set permanent=true to delete permanently"),
        )
    }

    pub(super) fn subject_not_deleted(subject: &str) -> Refused {
        Refused::not_found(40405, format!("Subject '{subject}' was not deleted first before being permanently deleted"))
    }

    pub(super) fn version_deleted(subject: &str, version: u32) -> Refused {
        Refused::not_found(
            40406,
            format!("Subject '{subject}' Version {version} was soft deleted. Set permanent=true to delete permanently"),
        )
    }

    pub(super) fn version_not_deleted(subject: &str, version: u32) -> Refused {
        Refused::not_found(
            40407,
            format!("Subject '{subject}' Version {version} was not deleted first before being permanently deleted"),
        )
    }

    pub(super) fn level_not_set(subject: &str) -> Refused {
        Refused::not_found(40408, format!("Subject '{subject}' does not have subject-level compatibility configured"))
    }

    pub(super) fn mode_not_set(subject: &str) -> Refused {
        Refused::not_found(40409, format!("Subject '{subject}' does not have subject-level mode configured"))
    }

    pub(super) fn invalid_schema(message: impl Into<String>) -> Refused {
        Refused::unprocessable(42201, message.into())
    }

    pub(super) fn invalid_version(given: &str) -> Refused {
        Refused::unprocessable(
            42202,
            format!(
                "The specified version '{}' is not a valid version id. Allowed values are between [1, 2^31-1] and the \
                 string \"latest\"",
                pacioli_api::text::shown(given)
            ),
        )
    }

    pub(super) fn invalid_level(given: &str) -> Refused {
        Refused::unprocessable(
            42203,
            format!(
                "Invalid compatibility level '{}'. Valid values are none, backward, forward, full, backward_transitive, \
                 forward_transitive, and full_transitive",
                pacioli_api::text::shown(given)
            ),
        )
    }

    pub(super) fn invalid_mode(message: String) -> Refused {
        Refused::unprocessable(42204, message)
    }

    pub(super) fn not_permitted(message: impl Into<String>) -> Refused {
        Refused::unprocessable(42205, message.into())
    }

    pub(super) fn referenced(subject: &str, version: u32, by: &[u32]) -> Refused {
        let ids: Vec<String> = by.iter().map(u32::to_string).collect();
        Refused::unprocessable(
            42206,
            format!(
                "Subject '{subject}' Version {version} is referenced by the schemas with the ids {}; delete those first",
                ids.join(", ")
            ),
        )
    }

    pub(super) fn invalid_subject(subject: &str, problem: &str) -> Refused {
        let shown = pacioli_api::text::shown(subject);
        Refused::unprocessable(42208, format!("The specified subject '{shown}' is not a valid subject: {problem}"))
    }

    pub(super) fn rules_unknown() -> Refused {
        let problem = "ruleSet: this registry runs no rules of data contracts; leave them out, and register an upcaster with \
                       `pacioli schema register` where stored events have to be lifted";
        Refused::unprocessable(42210, problem.to_owned())
    }

    /// The request itself makes no sense.
    pub(super) fn bad_request(message: impl Into<String>) -> Refused {
        Refused::new(StatusCode::BAD_REQUEST, 400, message)
    }

    fn incompatible(message: String) -> Refused {
        Refused::new(StatusCode::CONFLICT, 409, message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = with_status(self.status, &json!({ "error_code": self.code, "message": self.message }));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Refused {
        let message = error.to_string();
        match &error {
            RegistryError::Refused(RegisterError::Incompatible { .. } | RegisterError::Sample { .. })
            | RegistryError::Unchecked { .. } => Refused::incompatible(format!(
                "Schema being registered is incompatible with an earlier schema: {message}"
            )),
            RegistryError::Refused(_) => Refused::invalid_schema(message),
            RegistryError::NotFound(_) => Refused::not_found(40403, message),
            RegistryError::State(_) => Refused::not_permitted(message),
            _ => Problem::from(&error).into(),
        }
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Refused {
        Problem::from(&error).into()
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = match (problem.kind(), status) {
            (Kind::Timeout, _) => 50002,
            (_, status) => code_of(status),
        };
        // The header counts in whole seconds.
        let seconds = |retry: std::time::Duration| u64::try_from(retry.as_millis().div_ceil(1000).max(1)).unwrap_or(1);
        let retry_after_seconds = problem.retry_after().map(seconds);
        Refused { status, code, message: problem.detail().to_owned(), retry_after_seconds }
    }
}

/// Confluent's code where only the status is known.
fn code_of(status: StatusCode) -> u32 {
    match status.as_u16() {
        500 => 50001,
        other => other.into(),
    }
}

/// An answer that was made for any path, in this form: a refusal without a token, a path that is not there.
pub(in crate::http) fn translated(mut response: Response) -> Response {
    let Some(Detail(message)) = response.extensions_mut().remove::<Detail>() else { return response };
    let message = match response.status() {
        // Which other paths there are is nothing that a client of theirs knows what to do with.
        StatusCode::NOT_FOUND => "HTTP 404 Not Found",
        _ => &*message,
    };
    let body = json!({ "error_code": code_of(response.status()), "message": message });
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response.map(|_| pacioli_api::json::to_string(&body).into())
}
