//! What a request brings: a schema with its references, and the parameters of its query.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::Request;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use pacioli_api::problem::{Kind, Problem};
use pacioli_api::schemas::{Proposed, Reference};
use pacioli_core::schemas::SchemaFormat;
use pacioli_schema::Catalogue;
#[cfg(feature = "protobuf")]
use pacioli_schema::{ProtobufSchema, catalogue::ReferenceTo};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{MEDIA_TYPE, Refused};
#[cfg(feature = "protobuf")]
use super::known::reference_to;
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
            None | Some("") => Ok(false),
            Some(given) if given.eq_ignore_ascii_case("false") => Ok(false),
            Some(given) if given.eq_ignore_ascii_case("true") => Ok(true),
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

    /// A part of a list: as many as `limit` says behind the first `offset`; a limit below 1 is none, an offset below 0 is 0.
    pub(super) fn page<T>(&self, all: impl Iterator<Item = T>) -> Result<Vec<T>, Refused> {
        let offset: i64 = self.number("offset")?.unwrap_or(0);
        let offset = usize::try_from(offset).unwrap_or(0);
        let limit: i64 = self.number("limit")?.unwrap_or(-1);
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        Ok(all.skip(offset).take(limit).collect())
    }

    /// The form of a schema's text.
    pub(super) fn form(&self) -> Result<Form, Refused> {
        match self.text("format")? {
            None | Some("default") => Ok(Form::AsRegistered),
            Some("serialized") => Ok(Form::Serialized),
            Some(other) => Err(Refused::bad_request(format!(
                "format: `{}` is not made here; a schema is given as it was registered, and one of Protobuf as `serialized`, too",
                pacioli_api::text::shown(other)
            ))),
        }
    }
}

/// In which form a schema's text is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The text, as it is kept.
    AsRegistered,
    /// Of Protobuf, the descriptor of the file, in base64.
    Serialized,
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

    /// Ids are given here and not by clients, who may only say the one that the schema has already.
    pub(super) fn check_id(&self, subject: &Subject, known: Option<u32>) -> Result<(), Refused> {
        match self.id.filter(|id| *id > 0 && known.map(i64::from) != Some(*id)) {
            None => Ok(()),
            Some(_) => Err(Refused::not_permitted(format!(
                "Subject '{}' is not in import mode: this registry gives the ids itself",
                subject.name
            ))),
        }
    }

    /// The schema as one of a subject's, in a text that can be kept: `catalogue` has what it refers to.
    pub(super) async fn proposed(&self, subject: &Subject, catalogue: &Arc<Catalogue>) -> Result<Proposed, Refused> {
        let format = self.format()?;
        let text = self.schema.as_ref().filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| Refused::invalid_schema("Empty schema"))?;
        let references = self.references.iter().flatten().map(|given| given.read(catalogue));
        let references = references.collect::<Result<Vec<Reference>, Refused>>()?;
        let proposed = Proposed { references, ..Proposed::new(subject.event_type.clone(), format, text.clone()) };
        readable(proposed, catalogue).await
    }

    fn format(&self) -> Result<SchemaFormat, Refused> {
        match self.schema_type.as_deref() {
            None | Some("" | "AVRO") => Ok(SchemaFormat::Avro),
            Some("JSON") => Ok(SchemaFormat::Json),
            Some("PROTOBUF") => Ok(SchemaFormat::Protobuf),
            Some(other) => Err(Refused::invalid_schema(format!(
                "Invalid schema type '{}'; there are AVRO, JSON and PROTOBUF",
                pacioli_api::text::shown(other)
            ))),
        }
    }
}

impl ReferenceBody {
    fn read(&self, catalogue: &Catalogue) -> Result<Reference, Refused> {
        let Subject { event_type, .. } = Subject::new(&self.subject)?;
        let version = match self.version {
            // The newest by now: which one that was is what is kept.
            -1 => catalogue.newest(event_type.as_str()).map(|entry| entry.row.version).ok_or_else(|| {
                let subject = pacioli_api::text::shown(&self.subject);
                Refused::invalid_schema(format!("the subject '{subject}' that it refers to has no version"))
            })?,
            given => u32::try_from(given).map_err(|_| Refused::invalid_version(&given.to_string()))?,
        };
        Ok(Reference { name: self.name.clone(), event_type, version })
    }
}

/// A schema as text: serializers send a Protobuf schema as the descriptor of its file, in base64, which no text of one is.
#[cfg(feature = "protobuf")]
async fn readable(proposed: Proposed, catalogue: &Arc<Catalogue>) -> Result<Proposed, Refused> {
    use base64::Engine;

    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text.trim()).ok();
    let descriptor =
        Some(&proposed.text).filter(|_| proposed.format == SchemaFormat::Protobuf).and_then(|one| decode(one));
    let Some(descriptor) = descriptor else { return Ok(proposed) };
    let catalogue = Arc::clone(catalogue);
    // It is compiled to be read.
    let reading = tokio::task::spawn_blocking(move || {
        let references: Vec<ReferenceTo> = proposed.references.iter().map(reference_to).collect();
        let text =
            catalogue.resolve(&references).and_then(|texts| ProtobufSchema::text_of_descriptor(&descriptor, &texts));
        text.map(|text| Proposed { text, ..proposed }).map_err(|error| Refused::invalid_schema(error.to_string()))
    });
    let failed =
        |error| Problem::new(Kind::Internal, format!("reading a schema failed: {error}; the server's log says more"));
    reading.await.map_err(failed)?
}

#[cfg(not(feature = "protobuf"))]
async fn readable(proposed: Proposed, _: &Arc<Catalogue>) -> Result<Proposed, Refused> {
    Ok(proposed)
}

/// The body of a request, as JSON. Members that are not known are passed over, as newer clients send more.
pub(super) async fn read<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Refused> {
    let media_type = body::media_type(&request)?;
    if !MEDIA_TYPES.contains(&&*media_type) {
        let shown = pacioli_api::text::shown(&media_type);
        let problem = format!("a body of `{shown}` is not read here; send it as {MEDIA_TYPE} or application/json");
        return Err(Problem::new(Kind::UnsupportedMediaType, problem).into());
    }
    let read = tokio::time::timeout(app.limits.request_timeout, body::read(app, request));
    let late = |_| Problem::new(Kind::RequestTimeout, "body: did not arrive in time");
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

    // What is no descriptor is told from text by the language itself.
    #[cfg(feature = "protobuf")]
    #[tokio::test]
    async fn a_schema_is_avro_unless_it_says_otherwise() {
        let subject = Subject::new("Order").unwrap();
        let catalogue = Arc::new(Catalogue::default());
        let proposed =
            async |json: &str| serde_json::from_str::<SchemaBody>(json).unwrap().proposed(&subject, &catalogue).await;
        assert_eq!(proposed(r#"{"schema":"\"int\""}"#).await.unwrap().format, SchemaFormat::Avro);
        let json = proposed(
            r#"{"schema":"{}","schemaType":"JSON","metadata":{"tags":{}},"schemaTagsToAdd":[],
                "references":[{"name":"m.json","subject":"Money-value","version":2}]}"#,
        )
        .await
        .unwrap();
        assert_eq!(json.format, SchemaFormat::Json);
        assert_eq!((json.references[0].event_type.as_str(), json.references[0].version), ("Money", 2));
        for wrong in [
            r#"{}"#,
            r#"{"schema":""}"#,
            r#"{"schema":"{}","schemaType":"XML"}"#,
            r#"{"schema":"{}","references":[{"name":"a","subject":"b","version":-1}]}"#,
            r#"{"schema":"{}","references":[{"name":"a","subject":"b","version":-2}]}"#,
            r#"{"schema":"{}","references":[{"name":"a","subject":"b-key","version":1}]}"#,
            r#"{"schema":"AAAA","schemaType":"PROTOBUF"}"#,
        ] {
            assert!(proposed(wrong).await.is_err(), "{wrong}");
        }
    }
}
