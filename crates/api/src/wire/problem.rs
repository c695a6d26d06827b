//! Problems of the schema registry's service as statuses, and back.

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use super::status::{self, Reason};
use crate::problem::{Kind, Problem};

/// Under which key of the details the problem lies, without its detail, which is the status's message.
const KEY: &str = "problem";
/// Bytes of a message at most: a status travels in headers, which are bounded.
const MESSAGE_BYTES_MAX: usize = 2_500;
/// Bytes of the problem's members at most; of one that has more, lists are cut short, and where that is not enough all are left
/// out.
const MEMBERS_BYTES_MAX: usize = 4_000;
/// How long a list is then.
const CUT_TO: [usize; 3] = [8, 2, 0];

/// The status of a problem of the registry.
pub fn to_status(problem: &Problem) -> Status {
    let reason = match problem.kind() {
        Kind::SchemaRefused => Reason::SchemaRefused,
        Kind::SchemaIncompatible => Reason::SchemaIncompatible,
        Kind::SchemaNotFound => Reason::SchemaNotFound,
        Kind::Overloaded => Reason::Overloaded,
        Kind::Unsupported => Reason::Unsupported,
        Kind::Invalid => Reason::Invalid,
        Kind::Forbidden => Reason::Denied,
        _ => Reason::StoreFailed,
    };
    let details = match (problem.retry_after(), problem.field()) {
        (Some(wait), _) => ErrorDetails::with_retry_info(Some(wait)),
        (None, Some(field)) => ErrorDetails::with_bad_request_violation(field, problem.detail()),
        (None, None) => ErrorDetails::new(),
    };
    let message = shortened(problem.detail());
    let bare = problem.clone().with_detail("");
    let fits = |members: &String| members.len() <= MEMBERS_BYTES_MAX;
    let whole = Some(bare.to_json()).filter(fits);
    // Which lists there are tells what is wrong, also where they are not whole.
    let cut = || CUT_TO.into_iter().map(|length| bare.clone().with_lists_cut(length).to_json()).find(fits);
    let members = whole.or_else(cut).unwrap_or_else(|| Problem::new(problem.kind(), "").to_json());
    reason.status(message, &[(KEY, members)], details)
}

fn shortened(text: &str) -> String {
    if text.len() <= MESSAGE_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}…", &text[..end])
}

/// The problem that a status of the registry's service stands for.
pub fn from_status(status: &Status) -> Problem {
    let told = status.get_details_error_info().and_then(|mut info| info.metadata.remove(KEY));
    if let Some(problem) = told.and_then(|told| Problem::read(told.as_bytes())) {
        return problem.with_detail(status.message());
    }
    match Reason::of(status) {
        Some(Reason::OutcomeUnknown | Reason::Overloaded | Reason::ShuttingDown) => {
            Problem::from(&status::append_error(status))
        }
        _ => Problem::from(&status::read_error(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_problem_comes_back_from_its_status() {
        for kind in [Kind::SchemaRefused, Kind::SchemaIncompatible, Kind::SchemaNotFound] {
            let problem = Problem::new(kind, "a sentence").with("readers", json!([{ "name": "r" }]));
            assert_eq!(from_status(&to_status(&problem)), problem);
        }
        let busy = Problem::retry(Kind::Overloaded, "others were faster");
        assert_eq!(from_status(&to_status(&busy)), busy);
        let invalid = Problem::invalid("value", "is none");
        assert_eq!(from_status(&to_status(&invalid)), invalid);
    }

    #[test]
    fn a_long_problem_fits_the_headers() {
        let changes: Vec<String> = (0..2_000).map(|n| format!("/field{n}")).collect();
        let problem = Problem::new(Kind::SchemaIncompatible, "é".repeat(20_000)).with("changes", changes);
        let status = to_status(&problem);
        assert!(status.message().len() + status.details().len() * 4 / 3 < 14_000);
        assert_eq!(from_status(&status).kind(), Kind::SchemaIncompatible);
        // That it is about readers is seen however many they are.
        for length in [60, 3_000] {
            let readers: Vec<_> = (0..60).map(|n| json!({ "name": format!("{n}").repeat(length / 2) })).collect();
            let told = from_status(&to_status(&problem.clone().with("readers", readers)));
            let readers = told.member("readers").and_then(Value::as_array).unwrap();
            assert!(readers.len() < 60, "{}", readers.len());
        }
    }
}
