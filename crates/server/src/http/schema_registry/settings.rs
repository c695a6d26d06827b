//! Levels of compatibility and modes, of all subjects or of one.

use std::sync::Arc;

use axum::extract::{Request, State};
use pacioli_core::EventType;
use pacioli_core::schemas::{Setting, SettingScope};
use pacioli_schema::catalogue::{RegistryMode, Rules, setting_name};
use pacioli_schema::{Catalogue, Level};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answered, Refused};
use super::given::{Named, Parameters, read};
use super::known::registry;
use super::names::Subject;
use crate::http::App;
use crate::http::models::Actor;

/// What else a level may be set with at Confluent's, and is not known here.
const OTHER_MEMBERS: [&str; 9] = [
    "alias",
    "compatibilityGroup",
    "compatibilityPolicy",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
    "validateFields",
    "validateRules",
];

/// `GET /config`
pub(super) async fn global_level(State(app): State<Arc<App>>) -> Answered {
    answer::json(&level_told(global_level_of(&*registry(&app)?.refresh().await?)))
}

/// `PUT /config`
pub(super) async fn set_global_level(State(app): State<Arc<App>>, request: Request) -> Answered {
    set_level_of(&app, SettingScope::Global, request).await
}

/// `DELETE /config`
pub(super) async fn unset_global_level(State(app): State<Arc<App>>, request: Request) -> Answered {
    let by = Actor::of(&request);
    let catalogue = registry(&app)?.refresh().await?;
    check_writable_scope(&catalogue, &SettingScope::Global)?;
    let before = global_level_of(&catalogue);
    unset(&app, SettingScope::Global, &[setting_name::LEVEL, setting_name::RULES], by).await?;
    answer::json(&level_told(before))
}

/// `GET /config/{subject}`
pub(super) async fn level(State(app): State<Arc<App>>, Named(subject): Named<String>, request: Request) -> Answered {
    let subject = Subject::new(&subject)?;
    let default_to_global = Parameters::of(&request)?.is("defaultToGlobal")?;
    let catalogue = registry(&app)?.refresh().await?;
    match (level_of(&catalogue, &scope(&subject)), default_to_global) {
        (Some(level), _) => answer::json(&level_told(level)),
        (None, true) => answer::json(&level_told(global_level_of(&catalogue))),
        (None, false) => Err(Refused::level_not_set(&subject.name)),
    }
}

/// `PUT /config/{subject}`
pub(super) async fn set_level(
    State(app): State<Arc<App>>,
    Named(subject): Named<String>,
    request: Request,
) -> Answered {
    let subject = Subject::new(&subject)?;
    set_level_of(&app, scope(&subject), request).await
}

/// `DELETE /config/{subject}`
pub(super) async fn unset_level(
    State(app): State<Arc<App>>,
    Named(subject): Named<String>,
    request: Request,
) -> Answered {
    let by = Actor::of(&request);
    let subject = Subject::new(&subject)?;
    let catalogue = registry(&app)?.refresh().await?;
    let before = level_of(&catalogue, &scope(&subject)).ok_or_else(|| Refused::subject_not_found(&subject.name))?;
    check_writable(&catalogue, &subject)?;
    unset(&app, scope(&subject), &[setting_name::LEVEL, setting_name::RULES], by).await?;
    answer::json(&level_told(before))
}

#[derive(Deserialize)]
struct LevelBody {
    compatibility: Option<String>,
    #[serde(rename = "compatibilityLevel")]
    compatibility_level: Option<String>,
    normalize: Option<bool>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

async fn set_level_of(app: &App, scope: SettingScope, request: Request) -> Answered {
    let by = Actor::of(&request);
    let body: LevelBody = read(app, request).await?;
    if let Some(name) = OTHER_MEMBERS.iter().find(|name| body.others.get(**name).is_some_and(|value| !value.is_null()))
    {
        return Err(Refused::not_permitted(format!(
            "`{name}` is not known here; set the level of compatibility alone"
        )));
    }
    if body.normalize == Some(false) {
        return Err(Refused::not_permitted(
            "`normalize` is always true here: schemas are compared by what they say and not by how they are spelled",
        ));
    }
    check_writable_scope(&*registry(app)?.refresh().await?, &scope)?;
    let given = body.compatibility.or(body.compatibility_level);
    if let (None, Some(true)) = (&given, body.normalize) {
        // It is so already.
        return answer::json(&json!({ "normalize": true }));
    }
    let given = given.unwrap_or_default();
    let level: Level = given.parse().map_err(|_| Refused::invalid_level(&given))?;
    // Both at once: a level of theirs is never held by our rules.
    let settings = [(setting_name::RULES, Rules::Confluent.word()), (setting_name::LEVEL, level.word())];
    let settings =
        settings.map(|(name, value)| Setting { scope: scope.clone(), name: name.into(), value: Some(value.into()) });
    registry(app)?.set_all(settings.into(), by.name()).await?;
    answer::json(&json!({ "compatibility": word(level) }))
}

/// `GET /mode`
pub(super) async fn global_mode(State(app): State<Arc<App>>) -> Answered {
    answer::json(&mode_told(global_mode_of(&*registry(&app)?.refresh().await?)))
}

/// `PUT /mode`
pub(super) async fn set_global_mode(State(app): State<Arc<App>>, request: Request) -> Answered {
    set_mode_of(&app, SettingScope::Global, request).await
}

/// `DELETE /mode`
pub(super) async fn unset_global_mode(State(app): State<Arc<App>>, request: Request) -> Answered {
    let by = Actor::of(&request);
    let catalogue = registry(&app)?.refresh().await?;
    unset(&app, SettingScope::Global, &[setting_name::REGISTRY_MODE], by).await?;
    answer::json(&mode_told(global_mode_of(&catalogue)))
}

/// `GET /mode/{subject}`
pub(super) async fn mode(State(app): State<Arc<App>>, Named(subject): Named<String>, request: Request) -> Answered {
    let subject = Subject::new(&subject)?;
    let default_to_global = Parameters::of(&request)?.is("defaultToGlobal")?;
    let catalogue = registry(&app)?.refresh().await?;
    match (catalogue.setting(&scope(&subject), setting_name::REGISTRY_MODE), default_to_global) {
        (Some(mode), _) => answer::json(&mode_told(mode)),
        (None, true) => answer::json(&mode_told(global_mode_of(&catalogue))),
        (None, false) => Err(Refused::mode_not_set(&subject.name)),
    }
}

/// `PUT /mode/{subject}`
pub(super) async fn set_mode(State(app): State<Arc<App>>, Named(subject): Named<String>, request: Request) -> Answered {
    let subject = Subject::new(&subject)?;
    set_mode_of(&app, scope(&subject), request).await
}

/// `DELETE /mode/{subject}`
pub(super) async fn unset_mode(
    State(app): State<Arc<App>>,
    Named(subject): Named<String>,
    request: Request,
) -> Answered {
    let by = Actor::of(&request);
    let subject = Subject::new(&subject)?;
    let catalogue = registry(&app)?.refresh().await?;
    let scope = scope(&subject);
    let before = catalogue
        .setting(&scope, setting_name::REGISTRY_MODE)
        .ok_or_else(|| Refused::subject_not_found(&subject.name))?;
    unset(&app, scope, &[setting_name::REGISTRY_MODE], by).await?;
    answer::json(&mode_told(before))
}

#[derive(Deserialize)]
struct ModeBody {
    mode: Option<String>,
}

async fn set_mode_of(app: &App, scope: SettingScope, request: Request) -> Answered {
    let by = Actor::of(&request);
    let given = read::<ModeBody>(app, request).await?.mode.unwrap_or_default().to_ascii_uppercase();
    match (RegistryMode::from_word(&given), &*given) {
        (Some(RegistryMode::ReadWrite | RegistryMode::ReadOnly), _) => {}
        (Some(RegistryMode::Import | RegistryMode::ReadOnlyOverride), _) | (None, "FORWARD") => {
            return Err(Refused::invalid_mode(format!(
                "the mode {given} is not known here: this registry gives the ids of schemas itself and forwards to nobody; \
                 there are READWRITE and READONLY"
            )));
        }
        (None, other) => {
            let shown = pacioli_api::text::shown(other);
            return Err(Refused::invalid_mode(format!("Invalid mode '{shown}'. Valid values are READWRITE, READONLY")));
        }
    }
    let setting = Setting { scope, name: setting_name::REGISTRY_MODE.into(), value: Some(given.as_str().into()) };
    registry(app)?.set(setting, by.name()).await?;
    answer::json(&mode_told(&given))
}

async fn unset(app: &App, scope: SettingScope, names: &[&str], by: Actor) -> Result<(), Refused> {
    let settings = names.iter().map(|name| Setting { scope: scope.clone(), name: (*name).into(), value: None });
    registry(app)?.set_all(settings.collect(), by.name()).await?;
    Ok(())
}

/// Refuses where the level of a scope may not be changed through this door.
fn check_writable_scope(catalogue: &Catalogue, scope: &SettingScope) -> Result<(), Refused> {
    match scope {
        SettingScope::Type(name) => check_writable(catalogue, &Subject::of(&EventType::from_storage(&**name))),
        _ if global_mode_of(catalogue) != RegistryMode::ReadOnly.word() => Ok(()),
        _ => Err(Refused::not_permitted("The registry is in read-only mode; set its mode to READWRITE to change it")),
    }
}

/// Refuses where nothing may be changed through this door.
pub(super) fn check_writable(catalogue: &Catalogue, subject: &Subject) -> Result<(), Refused> {
    if catalogue.registry_mode(subject.event_type.as_str()) != RegistryMode::ReadOnly {
        return Ok(());
    }
    let name = &subject.name;
    Err(Refused::not_permitted(format!("Subject {name} is in read-only mode; set its mode to READWRITE to change it")))
}

fn scope(subject: &Subject) -> SettingScope {
    SettingScope::Type(subject.event_type.as_str().into())
}

fn level_of(catalogue: &Catalogue, scope: &SettingScope) -> Option<Level> {
    catalogue.setting(scope, setting_name::LEVEL)?.parse().ok()
}

fn global_level_of(catalogue: &Catalogue) -> Level {
    level_of(catalogue, &SettingScope::Global).unwrap_or(Level::DEFAULT)
}

fn global_mode_of(catalogue: &Catalogue) -> &str {
    catalogue.setting(&SettingScope::Global, setting_name::REGISTRY_MODE).unwrap_or(RegistryMode::ReadWrite.word())
}

fn word(level: Level) -> String {
    level.word().to_ascii_uppercase()
}

fn level_told(level: Level) -> Value {
    json!({ "compatibilityLevel": word(level) })
}

fn mode_told(mode: &str) -> Value {
    json!({ "mode": mode })
}
