//! What a request brings: a schema with its references, and the parameters of its query.

use std::str::FromStr;

use axum::extract::Request;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use pacioli_api::problem::Problem;
use pacioli_api::schemas::{Proposed, Reference};
use pacioli_core::schemas::SchemaFormat;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{MEDIA_TYPE, Refused};
use super::names::Subject;
use crate::http::query::Query;
use crate::http::{App, body};

/// Media types of a request's body, beside none at all.
const MEDIA_TYPES: [&str; 5] =
    ["", MEDIA_TYPE, "application/vnd.schemaregistry+json", "application/json", "application/octet-stream"];

/// A parameter of the path that is a `T`, or Confluent's answer for one that is none.
pub(super) struct Named<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Named<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named<T>, Refused> {
        let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        let problem = "a part of the path is not UTF-8 once its percent signs are resolved";
        path.map(|Path(named)| Named(named)).map_err(|_| Refused::bad_request(problem))
    }
}

/// A version as a path names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The newest.
    Latest,
    /// This one.
    Number(u32),
}

impl Wanted {
    pub(super) fn new(given: &str) -> Result<Wanted, Refused> {
        match given {
            // What some clients send for the newest.
            "latest" | "-1" => Ok(Wanted::Latest),
            number => number
                .parse()
                .ok()
                .filter(|number| (1..=i32::MAX as u32).contains(number) && !given.starts_with('+'))
                .map(Wanted::Number)
                .ok_or_else(|| Refused::invalid_version(given)),
        }
    }
}

/// The parameters of a query, of which those that are not known are passed over, as newer clients send more.
pub(super) struct Parameters<'a>(Query<'a>);

impl<'a> Parameters<'a> {
    pub(super) fn of(request: &'a Request) -> Result<Parameters<'a>, Refused> {
        Ok(Parameters(Query::read_any(request)?))
    }

    /// Whether a switch is on.
    pub(super) fn is(&self, name: &str) -> Result<bool, Refused> {
        match self.0.one(name)? {
            None | Some("" | "false" | "False") => Ok(false),
            Some("true" | "True") => Ok(true),
            Some(other) => Err(Refused::bad_request(format!(
                "{name}: `{}` is neither true nor false",
                pacioli_api::text::shown(other)
            ))),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        Ok(self.0.one(name)?.filter(|text| !text.is_empty()))
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refused> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let no_number =
            || Refused::bad_request(format!("{name}: `{}` is no whole number", pacioli_api::text::shown(text)));
        text.parse().map(Some).map_err(|_| no_number())
    }

    /// A part of a list: as many as `limit` says behind the first `offset`; a limit below 1 is none.
    pub(super) fn page<T>(&self, all: impl Iterator<Item = T>) -> Result<Vec<T>, Refused> {
        let offset: usize = self.number("offset")?.unwrap_or(0);
        let limit: i64 = self.number("limit")?.unwrap_or(-1);
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        Ok(all.skip(offset).take(limit).collect())
    }

    /// The form of a schema's text: only as it was registered.
    pub(super) fn check_format(&self) -> Result<(), Refused> {
        match self.text("format")? {
            None | Some("default") => Ok(()),
            Some(other) => Err(Refused::bad_request(format!(
                "format: `{}` is not made here; a schema is given as it was registered",
                pacioli_api::text::shown(other)
            ))),
        }
    }
}

/// A schema that a request brings.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaBody {
    schema: Option<String>,
    schema_type: Option<String>,
    references: Option<Vec<ReferenceBody>>,
    id: Option<i64>,
    version: Option<i64>,
    rule_set: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ReferenceBody {
    name: String,
    subject: String,
    version: i64,
}

impl SchemaBody {
    pub(super) async fn read(app: &App, request: Request) -> Result<SchemaBody, Refused> {
        let body: SchemaBody = read(app, request).await?;
        let rules = |value: &Value| match value {
            Value::Object(members) => members.values().any(|value| match value {
                Value::Null => false,
                Value::Array(rules) => !rules.is_empty(),
                _ => true,
            }),
            other => !other.is_null(),
        };
        if body.rule_set.as_ref().is_some_and(rules) {
            return Err(Refused::rules_unknown());
        }
        Ok(body)
    }

    /// What number the schema is to have, where the client says so.
    pub(super) fn version(&self) -> Option<i64> {
        self.version.filter(|version| *version > 0)
    }

    /// Ids are given here and not by clients.
    pub(super) fn check_id(&self, subject: &Subject) -> Result<(), Refused> {
        match self.id.filter(|id| *id > 0) {
            None => Ok(()),
            Some(_) => Err(Refused::not_permitted(format!(
                "Subject '{}' is not in import mode: this registry gives the ids itself",
                subject.name
            ))),
        }
    }

    /// The schema as one of a subject's.
    pub(super) fn proposed(self, subject: &Subject) -> Result<Proposed, Refused> {
        let format = match self.schema_type.as_deref() {
            None | Some("" | "AVRO") => SchemaFormat::Avro,
            Some("JSON") => SchemaFormat::Json,
            Some("PROTOBUF") => SchemaFormat::Protobuf,
            Some(other) => {
                return Err(Refused::invalid_schema(format!(
                    "Invalid schema type '{}'; there are AVRO, JSON and PROTOBUF",
                    pacioli_api::text::shown(other)
                )));
            }
        };
        let text = self.schema.filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| Refused::invalid_schema("Empty schema"))?;
        let reference = |given: ReferenceBody| {
            let Subject { event_type, .. } = Subject::new(&given.subject)?;
            let version =
                u32::try_from(given.version).map_err(|_| Refused::invalid_version(&given.version.to_string()))?;
            Ok(Reference { name: given.name, event_type, version })
        };
        let references = self.references.unwrap_or_default().into_iter().map(reference);
        let references = references.collect::<Result<Vec<Reference>, Refused>>()?;
        Ok(Proposed { references, ..Proposed::new(subject.event_type.clone(), format, text) })
    }
}

/// The body of a request, as JSON. Members that are not known are passed over, as newer clients send more.
pub(super) async fn read<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Refused> {
    let media_type = body::media_type(&request)?;
    if !MEDIA_TYPES.contains(&&*media_type) {
        let shown = pacioli_api::text::shown(&media_type);
        let problem = format!("a body of `{shown}` is not read here; send it as {MEDIA_TYPE} or application/json");
        return Err(Problem::new(pacioli_api::problem::Kind::UnsupportedMediaType, problem).into());
    }
    let read = tokio::time::timeout(app.limits.request_timeout, body::read(app, request));
    let late = |_| Problem::new(pacioli_api::problem::Kind::RequestTimeout, "body: did not arrive in time");
    let bytes = read.await.map_err(late)??;
    serde_json::from_slice(&bytes).map_err(|error| Refused::bad_request(format!("the body is not understood: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_or_the_latest() {
        for (given, wanted) in
            [("latest", Wanted::Latest), ("-1", Wanted::Latest), ("1", Wanted::Number(1)), ("42", Wanted::Number(42))]
        {
            assert_eq!(Wanted::new(given).unwrap(), wanted);
        }
        for given in ["", "0", "-2", "+1", "newest", "1.0", "4294967295", "2147483648"] {
            assert!(Wanted::new(given).is_err(), "{given}");
        }
    }

    #[test]
    fn a_schema_is_avro_unless_it_says_otherwise() {
        let subject = Subject::new("Order").unwrap();
        let proposed = |json: &str| serde_json::from_str::<SchemaBody>(json).unwrap().proposed(&subject);
        assert_eq!(proposed(r#"{"schema":"\"int\""}"#).unwrap().format, SchemaFormat::Avro);
        let json = proposed(
            r#"{"schema":"{}","schemaType":"JSON","metadata":{"tags":{}},"schemaTagsToAdd":[],
                "references":[{"name":"m.json","subject":"Money-value","version":2}]}"#,
        )
        .unwrap();
        assert_eq!(json.format, SchemaFormat::Json);
        assert_eq!((json.references[0].event_type.as_str(), json.references[0].version), ("Money", 2));
        for wrong in [
            r#"{}"#,
            r#"{"schema":""}"#,
            r#"{"schema":"{}","schemaType":"XML"}"#,
            r#"{"schema":"{}","references":[{"name":"a","subject":"b","version":-1}]}"#,
            r#"{"schema":"{}","references":[{"name":"a","subject":"b-key","version":1}]}"#,
        ] {
            assert!(proposed(wrong).is_err(), "{wrong}");
        }
    }
}
