//! Subjects and their versions: listed, registered, looked up, deleted.

use std::sync::Arc;

use axum::extract::{Request, State};
use pacioli_api::schemas::Registration;
use pacioli_core::schemas::RegisteredSchema;
use pacioli_schema::Catalogue;
use pacioli_schema::catalogue::Entry;
use serde_json::json;

use super::answer::{self, Answered, Refused};
use super::given::{Form, Named, Parameters, SchemaBody, Wanted};
use super::known::{self, Told, look, registry};
use super::names::{self, Subject};
use super::settings;
use crate::http::App;
use crate::http::models::Actor;

/// `GET /subjects`
pub(super) async fn list(State(app): State<Arc<App>>, request: Request) -> Answered {
    let parameters = Parameters::of(&request)?;
    let (deleted, deleted_only) = (parameters.is("deleted")?, parameters.is("deletedOnly")?);
    let prefix = names::prefix(parameters.text("subjectPrefix")?.unwrap_or(""));
    let catalogue = registry(&app)?.refresh().await?;
    let subjects = catalogue.types().into_iter().filter_map(|event_type| {
        let is_deleted = catalogue.versions(event_type.as_str()).iter().all(|entry| entry.row.is_deleted);
        let is_shown = if deleted_only { is_deleted } else { deleted || !is_deleted };
        let name = Subject::of(event_type).name;
        (is_shown && name.starts_with(prefix)).then_some(name)
    });
    answer::json(&parameters.page(subjects)?)
}

/// `GET /subjects/{subject}/versions`
pub(super) async fn versions(State(app): State<Arc<App>>, Named(subject): Named<String>, request: Request) -> Answered {
    let subject = Subject::new(&subject)?;
    let parameters = Parameters::of(&request)?;
    let (deleted, deleted_only) = (parameters.is("deleted")?, parameters.is("deletedOnly")?);
    let numbers = look(registry(&app)?, |catalogue| {
        let entries = known::versions(catalogue, &subject, deleted || deleted_only)?;
        let shown = entries.into_iter().filter(|entry| !deleted_only || entry.row.is_deleted);
        let numbers: Vec<u32> = shown.map(|entry| entry.row.version).collect();
        if numbers.is_empty() { Err(Refused::subject_not_found(&subject.name)) } else { Ok(numbers) }
    })
    .await?;
    answer::json(&parameters.page(numbers.into_iter())?)
}

/// `GET /subjects/{subject}/versions/{version}`
pub(super) async fn version(
    State(app): State<Arc<App>>,
    Named((subject, version)): Named<(String, String)>,
    request: Request,
) -> Answered {
    let (with_deleted, form) = asked(&request)?;
    let (subject, entry) = one(&app, &subject, &version, with_deleted).await?;
    answer::json(&Told::version(&subject.name, &entry.row).with_schema(known::text(&entry, form).await?))
}

/// `GET /subjects/{subject}/versions/{version}/schema`
pub(super) async fn text(
    State(app): State<Arc<App>>,
    Named((subject, version)): Named<(String, String)>,
    request: Request,
) -> Answered {
    let (with_deleted, form) = asked(&request)?;
    let (_, entry) = one(&app, &subject, &version, with_deleted).await?;
    answer::text(known::text(&entry, form).await?)
}

async fn one(app: &App, subject: &str, version: &str, with_deleted: bool) -> Result<(Subject, Arc<Entry>), Refused> {
    let (subject, wanted) = (Subject::new(subject)?, Wanted::new(version)?);
    let entry = look(registry(app)?, |catalogue| known::version(catalogue, &subject, wanted, with_deleted)).await?;
    Ok((subject, entry))
}

/// What a request for one version says beside that: whether it may be deleted, and the form of its text.
fn asked(request: &Request) -> Result<(bool, Form), Refused> {
    let parameters = Parameters::of(request)?;
    Ok((parameters.is("deleted")?, parameters.form()?))
}

/// `GET /subjects/{subject}/versions/{version}/referencedby`
pub(super) async fn referenced_by(
    State(app): State<Arc<App>>,
    Named((subject, version)): Named<(String, String)>,
    request: Request,
) -> Answered {
    let (subject, wanted) = (Subject::new(&subject)?, Wanted::new(&version)?);
    let deleted = Parameters::of(&request)?.is("deleted")?;
    let ids = look(registry(&app)?, |catalogue| {
        let entry = known::version(catalogue, &subject, wanted, true)?;
        Ok(referrers(catalogue, &entry.row, deleted))
    });
    answer::json(&ids.await?)
}

/// The ids of the schemas that refer to a version.
fn referrers(catalogue: &Catalogue, to: &RegisteredSchema, with_deleted: bool) -> Vec<u32> {
    let refers = |row: &&RegisteredSchema| {
        let mut references = known::references(row).into_iter();
        references.any(|one| one.event_type == to.event_type && one.version == to.version)
    };
    let rows = catalogue.registry().schemas.iter().filter(|row| with_deleted || !row.is_deleted);
    let mut ids: Vec<u32> = rows.filter(refers).map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// `POST /subjects/{subject}`
pub(super) async fn look_up(State(app): State<Arc<App>>, Named(subject): Named<String>, request: Request) -> Answered {
    let subject = Subject::new(&subject)?;
    let parameters = Parameters::of(&request)?;
    let deleted = parameters.is("deleted")?;
    // Schemas are always compared by what they say and not by how they are spelled.
    parameters.is("normalize")?;
    let body = SchemaBody::read(&app, request).await?;
    let registry = registry(&app)?;
    let catalogue = registry.refresh().await?;
    known::versions(&catalogue, &subject, deleted)?;
    let proposed = Arc::new(body.proposed(&subject, &catalogue).await?);
    let row = known::same(&catalogue, &proposed, deleted).await?.ok_or_else(Refused::schema_not_found)?;
    answer::json(&Told::version(&subject.name, &row))
}

/// `POST /subjects/{subject}/versions`
pub(super) async fn register(State(app): State<Arc<App>>, Named(subject): Named<String>, request: Request) -> Answered {
    let subject = Subject::new(&subject)?;
    Parameters::of(&request)?.is("normalize")?;
    let by = Actor::of(&request);
    let body = SchemaBody::read(&app, request).await?;
    let registry = registry(&app)?;
    let catalogue = registry.refresh().await?;
    let version = body.version();
    let proposed = Arc::new(body.proposed(&subject, &catalogue).await?);
    // An application of an older release registers its older schema when it starts, and is given the id of that.
    if let Some(row) = known::same(&catalogue, &proposed, false).await? {
        body.check_id(&subject, Some(row.id))?;
        return match version {
            Some(version) if version != i64::from(row.version) => Err(Refused::invalid_version(&version.to_string())),
            _ => answer::json(&json!({ "id": row.id })),
        };
    }
    settings::check_writable(&catalogue, &subject)?;
    body.check_id(&subject, None)?;
    let next = catalogue.versions(subject.event_type.as_str()).last().map_or(1, |entry| entry.row.version + 1);
    if version.is_some_and(|version| version != i64::from(next)) {
        return Err(Refused::invalid_version(&version.unwrap_or_default().to_string()));
    }
    let registered = registry.register(Registration::of(Arc::unwrap_or_clone(proposed)), by.name()).await?;
    answer::json(&json!({ "id": registered.id }))
}

/// `DELETE /subjects/{subject}`
pub(super) async fn delete(State(app): State<Arc<App>>, Named(subject): Named<String>, request: Request) -> Answered {
    let subject = Subject::new(&subject)?;
    let permanent = Parameters::of(&request)?.is("permanent")?;
    let by = Actor::of(&request);
    let registry = registry(&app)?;
    let catalogue = registry.refresh().await?;
    let entries = known::versions(&catalogue, &subject, true)?;
    let is_deleted = entries.iter().all(|entry| entry.row.is_deleted);
    match (is_deleted, permanent) {
        (true, false) => return Err(Refused::subject_deleted(&subject.name)),
        (false, true) => return Err(Refused::subject_not_deleted(&subject.name)),
        _ => {}
    }
    settings::check_writable(&catalogue, &subject)?;
    for entry in entries.iter().filter(|entry| permanent || !entry.row.is_deleted) {
        check_unreferenced(&catalogue, &subject, &entry.row)?;
    }
    let deleted = registry.delete(&subject.event_type, None, permanent, by.name()).await?;
    answer::json(&deleted.versions)
}

/// `DELETE /subjects/{subject}/versions/{version}`
pub(super) async fn delete_version(
    State(app): State<Arc<App>>,
    Named((subject, version)): Named<(String, String)>,
    request: Request,
) -> Answered {
    let (subject, wanted) = (Subject::new(&subject)?, Wanted::new(&version)?);
    let permanent = Parameters::of(&request)?.is("permanent")?;
    let by = Actor::of(&request);
    let registry = registry(&app)?;
    let catalogue = registry.refresh().await?;
    // The latest is the latest that is there, unless what was deleted is to go for good.
    let entry = known::version(&catalogue, &subject, wanted, permanent || wanted != Wanted::Latest)?;
    let row = &entry.row;
    match (row.is_deleted, permanent) {
        (true, false) => return Err(Refused::version_deleted(&subject.name, row.version)),
        (false, true) => return Err(Refused::version_not_deleted(&subject.name, row.version)),
        _ => {}
    }
    settings::check_writable(&catalogue, &subject)?;
    check_unreferenced(&catalogue, &subject, row)?;
    registry.delete(&subject.event_type, Some(row.version), permanent, by.name()).await?;
    answer::json(&row.version)
}

/// A version that others refer to stays.
fn check_unreferenced(catalogue: &Catalogue, subject: &Subject, row: &RegisteredSchema) -> Result<(), Refused> {
    let by = referrers(catalogue, row, false);
    if by.is_empty() { Ok(()) } else { Err(Refused::referenced(&subject.name, row.version, &by)) }
}
