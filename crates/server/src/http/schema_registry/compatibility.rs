//! Whether a schema could be registered under a subject, as far as compatibility goes.

use std::sync::Arc;

use axum::extract::{Request, State};
use pacioli_api::problem::{Kind, Problem};
use pacioli_schema::catalogue::ReferenceTo;
use pacioli_schema::register::{self, Comparison};
use serde_json::json;

use super::answer::{self, Answered, Refused};
use super::given::{Named, Parameters, SchemaBody, Wanted};
use super::known::{self, registry};
use super::names::Subject;
use crate::http::App;
use crate::schemas::RegistryError;

/// `POST /compatibility/subjects/{subject}/versions/{version}`
pub(super) async fn with_one(
    State(app): State<Arc<App>>,
    Named((subject, version)): Named<(String, String)>,
    request: Request,
) -> Answered {
    answered(&app, &subject, Some(Wanted::new(&version)?), request).await
}

/// `POST /compatibility/subjects/{subject}/versions`
pub(super) async fn with_all(State(app): State<Arc<App>>, Named(subject): Named<String>, request: Request) -> Answered {
    answered(&app, &subject, None, request).await
}

async fn answered(app: &App, subject: &str, wanted: Option<Wanted>, request: Request) -> Answered {
    let subject = Subject::new(subject)?;
    let parameters = Parameters::of(&request)?;
    let verbose = parameters.is("verbose")?;
    parameters.is("normalize")?;
    let body = SchemaBody::read(app, request).await?;
    let registry = registry(app)?;
    let catalogue = registry.refresh().await?;
    let proposed = body.proposed(&subject, &catalogue).await?;
    let event_type = subject.event_type.as_str();
    let older: Vec<u32> = match wanted {
        // Theirs says of a subject that is not there what it says of a version that is not.
        Some(Wanted::Number(number)) => match catalogue.version(event_type, number) {
            Some(entry) if !entry.row.is_deleted => vec![number],
            _ => return Err(Refused::version_not_found(number)),
        },
        Some(Wanted::Latest) => catalogue.newest(event_type).map(|entry| entry.row.version).into_iter().collect(),
        None if catalogue.level(event_type).transitive => {
            let versions = catalogue.versions(event_type).iter().filter(|entry| !entry.row.is_deleted);
            versions.map(|entry| entry.row.version).collect()
        }
        None => catalogue.newest(event_type).map(|entry| entry.row.version).into_iter().collect(),
    };
    let (level, rules) = (catalogue.level(event_type), catalogue.rules_of(event_type));
    let older: Vec<u32> = older.into_iter().rev().collect();
    // Schemas may take some time to compile.
    let comparing = tokio::task::spawn_blocking(move || {
        let references: Vec<ReferenceTo> = proposed.references.iter().map(known::reference_to).collect();
        let schema = (proposed.format, proposed.text.as_str());
        register::compare(&catalogue, proposed.event_type.as_str(), schema, &references, &older, rules)
    });
    let compared = comparing.await.map_err(|error| {
        Problem::new(Kind::Internal, format!("comparing schemas failed: {error}; the server's log says more"))
    })?;
    let compared = compared.map_err(RegistryError::from)?;
    let mut messages = Vec::new();
    for Comparison { version, changes } in &compared {
        let forbidden = changes.iter().filter(|change| rules.forbid(level, change));
        messages.extend(forbidden.map(|change| format!("since version {version}: {change}")));
    }
    let is_compatible = messages.is_empty();
    if !is_compatible {
        messages.push(format!("the level of compatibility is {}", level.word().to_ascii_uppercase()));
    }
    answer::json(&told(is_compatible, verbose, messages))
}

fn told(is_compatible: bool, verbose: bool, messages: Vec<String>) -> serde_json::Value {
    match verbose {
        true => json!({ "is_compatible": is_compatible, "messages": messages }),
        false => json!({ "is_compatible": is_compatible }),
    }
}
