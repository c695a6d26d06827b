//! Schemas by their ids, and what the registry says of itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use pacioli_core::schemas::RegisteredSchema;
use pacioli_schema::Catalogue;
use pacioli_schema::catalogue::Entry;
use serde_json::json;

use super::answer::{self, Answered, Refused};
use super::given::{Named, Parameters};
use super::known::{self, Told, look, registry, word};
use super::names::{self, Subject};
use crate::http::App;

/// The name of this registry among others.
const CLUSTER: &str = "pacioli";

/// `GET /`
pub(super) async fn root() -> Answered {
    answer::json(&json!({}))
}

/// `GET /contexts`
pub(super) async fn contexts() -> Answered {
    answer::json(&["."])
}

/// `GET /v1/metadata/id`
pub(super) async fn cluster() -> Answered {
    let clusters = json!({ "schema-registry-cluster": CLUSTER });
    answer::json(&json!({ "id": CLUSTER, "scope": { "path": [], "clusters": clusters } }))
}

/// `GET /v1/metadata/version`
pub(super) async fn release() -> Answered {
    answer::json(&json!({ "version": env!("CARGO_PKG_VERSION"), "commitId": "" }))
}

/// `GET /schemas/types`
pub(super) async fn types() -> Answered {
    answer::json(&known::formats().map(word).collect::<Vec<_>>())
}

/// `GET /schemas`
pub(super) async fn list(State(app): State<Arc<App>>, request: Request) -> Answered {
    let parameters = Parameters::of(&request)?;
    let (deleted, latest_only) = (parameters.is("deleted")?, parameters.is("latestOnly")?);
    let prefix = names::prefix(parameters.text("subjectPrefix")?.unwrap_or(""));
    let catalogue = registry(&app)?.refresh().await?;
    let mut told = Vec::new();
    for event_type in catalogue.types() {
        let name = Subject::of(event_type).name;
        if !name.starts_with(prefix) {
            continue;
        }
        let versions = catalogue.versions(event_type.as_str()).iter();
        let mut shown: Vec<_> = versions.filter(|entry| deleted || !entry.row.is_deleted).collect();
        if latest_only {
            shown = shown.pop().into_iter().collect();
        }
        told.extend(shown.into_iter().map(|entry| (name.clone(), entry)));
    }
    let page = parameters.page(told.iter())?;
    answer::json(&page.into_iter().map(|(name, entry)| Told::version(name, &entry.row)).collect::<Vec<_>>())
}

/// `GET /schemas/ids/{id}`
pub(super) async fn one(State(app): State<Arc<App>>, Named(id): Named<String>, request: Request) -> Answered {
    let parameters = Parameters::of(&request)?;
    let (form, with_max) = (parameters.form()?, parameters.is("fetchMaxId")?);
    let subject = parameters.text("subject")?.map(Subject::new).transpose()?;
    let found = with_id(&app, &id, |entries, catalogue| {
        let max_id = || catalogue.registry().schemas.iter().map(|row| row.id).max();
        (of_subject(entries, subject.as_ref()), with_max.then(max_id).flatten())
    });
    let (entry, max_id) = found.await?;
    answer::json(&Told::text(&entry.row, max_id).with_schema(known::text(&entry, form).await?))
}

/// `GET /schemas/ids/{id}/schema`
pub(super) async fn text(State(app): State<Arc<App>>, Named(id): Named<String>, request: Request) -> Answered {
    let parameters = Parameters::of(&request)?;
    let form = parameters.form()?;
    let subject = parameters.text("subject")?.map(Subject::new).transpose()?;
    let entry = with_id(&app, &id, |entries, _| of_subject(entries, subject.as_ref())).await?;
    answer::text(known::text(&entry, form).await?)
}

/// The version whose text an id stands for: the first that was registered, as its text may be spelled otherwise later. An older
/// build gave one id to texts that differed in words, too, so that of the subject counts where one is named.
fn of_subject(entries: &[Arc<Entry>], subject: Option<&Subject>) -> Arc<Entry> {
    let is_of_it = |entry: &&Arc<Entry>| subject.is_some_and(|subject| subject.event_type == entry.row.event_type);
    let first = || entries.iter().min_by_key(|entry| entry.row.registered_at);
    Arc::clone(entries.iter().find(is_of_it).or_else(first).unwrap_or(&entries[0]))
}

/// `GET /schemas/guids/{guid}`
pub(super) async fn with_guid() -> Answered {
    // None is given out, so there is none to be found by.
    Err(Refused::schema_not_found())
}

/// `GET /schemas/ids/{id}/subjects`
pub(super) async fn subjects(State(app): State<Arc<App>>, Named(id): Named<String>, request: Request) -> Answered {
    let deleted = Parameters::of(&request)?.is("deleted")?;
    let subjects = with_id(&app, &id, |entries, _| {
        let shown = entries.iter().filter(|entry| deleted || !entry.row.is_deleted);
        // A type may have the same text twice, with another one between.
        shown.map(|entry| Subject::of(&entry.row.event_type).name).collect::<BTreeSet<String>>()
    });
    answer::json(&subjects.await?)
}

/// `GET /schemas/ids/{id}/versions`
pub(super) async fn versions(State(app): State<Arc<App>>, Named(id): Named<String>, request: Request) -> Answered {
    let deleted = Parameters::of(&request)?.is("deleted")?;
    let versions = with_id(&app, &id, |entries, _| {
        let shown = entries.iter().map(|entry| &entry.row).filter(|row| deleted || !row.is_deleted);
        let told =
            |row: &RegisteredSchema| json!({ "subject": Subject::of(&row.event_type).name, "version": row.version });
        shown.map(told).collect::<Vec<_>>()
    });
    answer::json(&versions.await?)
}

/// Something of the versions whose text has an id, of which there is at least one.
async fn with_id<T>(app: &App, id: &str, of: impl FnOnce(&[Arc<Entry>], &Catalogue) -> T) -> Result<T, Refused> {
    let id: u32 = id.parse().map_err(|_| Refused::schema_not_found())?;
    look(registry(app)?, |catalogue| match catalogue.with_id(id) {
        [] => Err(Refused::schema_not_found()),
        entries => Ok(of(entries, catalogue)),
    })
    .await
}
