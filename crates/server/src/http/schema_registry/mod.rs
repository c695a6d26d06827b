//! The schema registry in the REST form of Confluent's, so that serializers, SDKs and build plugins work as they are.
//!
//! `subjects`, `schemas`, `compatibility` and `settings` answer below `/schema-registry`; `answer` has the errors and bodies
//! that they share, `names` what a subject is called here, `given` the schema that a request brings, and `known` looks for
//! what is registered.

mod answer;
mod compatibility;
mod given;
mod known;
mod names;
mod schemas;
mod settings;
mod subjects;

use std::sync::Arc;

use axum::routing::{MethodRouter, delete, get, post, put};
use base64::Engine;

use super::App;
use super::routes::{Lasts, Row, lasting, row};
use crate::tokens::Role;

pub(super) use answer::translated;

/// Where it begins.
const ROOT: &str = "/schema-registry";

const SUBJECT: &str = "/schema-registry/subjects/{subject}";
const VERSIONS: &str = "/schema-registry/subjects/{subject}/versions";
const VERSION: &str = "/schema-registry/subjects/{subject}/versions/{version}";
const COMPATIBLE_WITH_ALL: &str = "/schema-registry/compatibility/subjects/{subject}/versions";
const COMPATIBLE_WITH: &str = "/schema-registry/compatibility/subjects/{subject}/versions/{version}";
const CONFIG: &str = "/schema-registry/config";
const CONFIG_OF: &str = "/schema-registry/config/{subject}";
const MODE: &str = "/schema-registry/mode";
const MODE_OF: &str = "/schema-registry/mode/{subject}";

/// What there is. Whoever may read may look up and compare; what changes the registry takes the right to administer.
pub(super) const TABLE: &[Row] = &[
    row("GET", ROOT, Some(Role::Read)),
    row("GET", "/schema-registry/", Some(Role::Read)),
    row("GET", "/schema-registry/contexts", Some(Role::Read)),
    row("GET", "/schema-registry/v1/metadata/id", Some(Role::Read)),
    row("GET", "/schema-registry/v1/metadata/version", Some(Role::Read)),
    row("GET", "/schema-registry/subjects", Some(Role::Read)),
    row("GET", "/schema-registry/subjects/", Some(Role::Read)),
    row("POST", SUBJECT, Some(Role::Read)),
    lasting("DELETE", SUBJECT, Role::Admin, Lasts::AsLongAsItTakes),
    row("GET", VERSIONS, Some(Role::Read)),
    lasting("POST", VERSIONS, Role::Admin, Lasts::AsLongAsItTakes),
    row("GET", VERSION, Some(Role::Read)),
    lasting("DELETE", VERSION, Role::Admin, Lasts::AsLongAsItTakes),
    row("GET", "/schema-registry/subjects/{subject}/versions/{version}/schema", Some(Role::Read)),
    row("GET", "/schema-registry/subjects/{subject}/versions/{version}/referencedby", Some(Role::Read)),
    row("GET", "/schema-registry/schemas", Some(Role::Read)),
    row("GET", "/schema-registry/schemas/types", Some(Role::Read)),
    row("GET", "/schema-registry/schemas/guids/{guid}", Some(Role::Read)),
    row("GET", "/schema-registry/schemas/guids/{guid}/ids", Some(Role::Read)),
    row("GET", "/schema-registry/schemas/ids/{id}", Some(Role::Read)),
    row("GET", "/schema-registry/schemas/ids/{id}/schema", Some(Role::Read)),
    row("GET", "/schema-registry/schemas/ids/{id}/subjects", Some(Role::Read)),
    row("GET", "/schema-registry/schemas/ids/{id}/versions", Some(Role::Read)),
    row("POST", COMPATIBLE_WITH_ALL, Some(Role::Read)),
    row("POST", COMPATIBLE_WITH, Some(Role::Read)),
    row("GET", CONFIG, Some(Role::Read)),
    row("PUT", CONFIG, Some(Role::Admin)),
    row("DELETE", CONFIG, Some(Role::Admin)),
    row("GET", CONFIG_OF, Some(Role::Read)),
    row("PUT", CONFIG_OF, Some(Role::Admin)),
    row("DELETE", CONFIG_OF, Some(Role::Admin)),
    row("GET", MODE, Some(Role::Read)),
    row("PUT", MODE, Some(Role::Admin)),
    row("DELETE", MODE, Some(Role::Admin)),
    row("GET", MODE_OF, Some(Role::Read)),
    row("PUT", MODE_OF, Some(Role::Admin)),
    row("DELETE", MODE_OF, Some(Role::Admin)),
];

/// What answers a row of [`TABLE`]; `None` where it is none of them.
pub(super) fn handler(row: &Row) -> Option<MethodRouter<Arc<App>>> {
    let below = row.path.strip_prefix(ROOT)?;
    Some(match (row.method, below) {
        ("GET", "" | "/") => get(schemas::root),
        ("GET", "/contexts") => get(schemas::contexts),
        ("GET", "/v1/metadata/id") => get(schemas::cluster),
        ("GET", "/v1/metadata/version") => get(schemas::release),
        ("GET", "/subjects" | "/subjects/") => get(subjects::list),
        ("POST", "/subjects/{subject}") => post(subjects::look_up),
        ("DELETE", "/subjects/{subject}") => delete(subjects::delete),
        ("GET", "/subjects/{subject}/versions") => get(subjects::versions),
        ("POST", "/subjects/{subject}/versions") => post(subjects::register),
        ("GET", "/subjects/{subject}/versions/{version}") => get(subjects::version),
        ("DELETE", "/subjects/{subject}/versions/{version}") => delete(subjects::delete_version),
        ("GET", "/subjects/{subject}/versions/{version}/schema") => get(subjects::text),
        ("GET", "/subjects/{subject}/versions/{version}/referencedby") => get(subjects::referenced_by),
        ("GET", "/schemas") => get(schemas::list),
        ("GET", "/schemas/types") => get(schemas::types),
        ("GET", "/schemas/guids/{guid}" | "/schemas/guids/{guid}/ids") => get(schemas::with_guid),
        ("GET", "/schemas/ids/{id}") => get(schemas::one),
        ("GET", "/schemas/ids/{id}/schema") => get(schemas::text),
        ("GET", "/schemas/ids/{id}/subjects") => get(schemas::subjects),
        ("GET", "/schemas/ids/{id}/versions") => get(schemas::versions),
        ("POST", "/compatibility/subjects/{subject}/versions") => post(compatibility::with_all),
        ("POST", "/compatibility/subjects/{subject}/versions/{version}") => post(compatibility::with_one),
        ("GET", "/config") => get(settings::global_level),
        ("PUT", "/config") => put(settings::set_global_level),
        ("DELETE", "/config") => delete(settings::unset_global_level),
        ("GET", "/config/{subject}") => get(settings::level),
        ("PUT", "/config/{subject}") => put(settings::set_level),
        ("DELETE", "/config/{subject}") => delete(settings::unset_level),
        ("GET", "/mode") => get(settings::global_mode),
        ("PUT", "/mode") => put(settings::set_global_mode),
        ("DELETE", "/mode") => delete(settings::unset_global_mode),
        ("GET", "/mode/{subject}") => get(settings::mode),
        ("PUT", "/mode/{subject}") => put(settings::set_mode),
        ("DELETE", "/mode/{subject}") => delete(settings::unset_mode),
        _ => return None,
    })
}

/// The password of basic authentication, which is what most clients of a schema registry know: here it is a token, whatever
/// the user is called.
pub(super) fn password(credentials: &str) -> Option<String> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(credentials.trim()).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// Whether a path is answered in Confluent's form, errors too.
pub(super) fn is_below(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_handler() {
        for row in TABLE {
            assert!(handler(row).is_some(), "{row:?}");
        }
        assert!(is_below("/schema-registry") && is_below("/schema-registry/subjects"));
        assert_eq!(password("YTpiOmM=").as_deref(), Some("b:c"));
        assert_eq!((password("YWJj"), password("?")), (None, None));
        assert!(!is_below("/schema-registry-2") && !is_below("/v1/events"));
    }
}
