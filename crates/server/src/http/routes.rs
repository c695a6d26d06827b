//! The one table: every path and gRPC method there is, and the role it needs.

use std::sync::Arc;

use axum::routing::{MethodRouter, delete, get, post};

use super::{App, append, ask, operations, pages, projections, read, readers, schema_registry};
use crate::tokens::Role;

/// One path and method, or one gRPC method.
#[derive(Debug)]
pub(crate) struct Row {
    /// `GET`, `POST`, `DELETE`, or `gRPC`.
    pub(crate) method: &'static str,
    /// The path as the router matches it.
    pub(crate) path: &'static str,
    /// What a token must allow; `None` is open to everybody.
    pub(crate) needs: Option<Role>,
    /// How long it goes on.
    pub(crate) lasts: Lasts,
}

/// How long a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// Until its answer, which has its time. A GET that follows the log goes on all the same; its media type tells.
    Shortly,
    /// As long as there is something to answer; the answer begins in time.
    WhileAnswering,
    /// As long as requests come.
    WhileAsked,
    /// Until its answer, which has the time that the request gives it.
    UntilItsDeadline,
    /// As long as it takes, also until the answer begins: a copy of the store comes first, or tables are filled.
    AsLongAsItTakes,
}

pub(super) const fn row(method: &'static str, path: &'static str, needs: Option<Role>) -> Row {
    Row { method, path, needs, lasts: Lasts::Shortly }
}

pub(super) const fn lasting(method: &'static str, path: &'static str, needs: Role, lasts: Lasts) -> Row {
    Row { method, path, needs: Some(needs), lasts }
}

const fn grpc(path: &'static str, needs: Option<Role>, lasts: Lasts) -> Row {
    Row { method: GRPC, path, needs, lasts }
}

/// What a method that is missing here is called in [`Row::method`].
pub(crate) const GRPC: &str = "gRPC";

const STREAM_EVENTS: &str = "/v1/streams/{stream}/events";
const PROJECTIONS: &str = "/v1/projections";
const PROJECTION: &str = "/v1/projections/{name}";

/// What there is. A route of the router or a service of gRPC without its row fails a test, and is closed to all but admins.
pub(crate) const TABLE: &[Row] = &[
    row("POST", STREAM_EVENTS, Some(Role::Append)),
    row("POST", "/v1/appends", Some(Role::Append)),
    row("GET", STREAM_EVENTS, Some(Role::Read)),
    row("GET", "/v1/events", Some(Role::Read)),
    row("GET", "/v1/streams", Some(Role::Read)),
    row("GET", "/v1/streams/{stream}", Some(Role::Read)),
    row("GET", "/v1/streams/{stream}/state", Some(Role::Read)),
    row("GET", "/v1/readers", Some(Role::Read)),
    row("DELETE", "/v1/readers/{name}", Some(Role::Admin)),
    lasting("POST", "/v1/sql", Role::Read, Lasts::UntilItsDeadline),
    lasting("GET", "/v1/read-models/{table}", Role::Read, Lasts::UntilItsDeadline),
    lasting("GET", "/v1/read-models/{table}/diff", Role::Read, Lasts::UntilItsDeadline),
    row("GET", PROJECTIONS, Some(Role::Read)),
    lasting("POST", PROJECTIONS, Role::Admin, Lasts::AsLongAsItTakes),
    row("GET", PROJECTION, Some(Role::Read)),
    row("DELETE", PROJECTION, Some(Role::Admin)),
    row("POST", "/v1/projections/{name}/rebuild", Some(Role::Admin)),
    row("POST", "/v1/projections/{name}/cancel", Some(Role::Admin)),
    row("POST", "/v1/projections/{name}/pause", Some(Role::Admin)),
    row("POST", "/v1/projections/{name}/resume", Some(Role::Admin)),
    row("POST", "/v1/projections/{name}/retry", Some(Role::Admin)),
    row("POST", "/v1/projections/{name}/skip", Some(Role::Admin)),
    row("POST", "/v1/projections/{name}/rollback", Some(Role::Admin)),
    lasting("POST", "/v1/projections/{name}/refresh", Role::Admin, Lasts::AsLongAsItTakes),
    lasting("POST", "/v1/projections/{name}/verify", Role::Admin, Lasts::WhileAnswering),
    // Whoever asks these is a load balancer or a browser that has no token yet; they tell nothing of the log.
    row("GET", "/healthz", None),
    row("GET", "/readyz", None),
    row("GET", "/", None),
    row("GET", "/docs", None),
    row("GET", "/openapi.json", None),
    row("GET", "/metrics", Some(Role::Read)),
    grpc("/pacioli.v1.EventStore/Append", Some(Role::Append), Lasts::Shortly),
    grpc("/pacioli.v1.EventStore/AppendStream", Some(Role::Append), Lasts::WhileAsked),
    grpc("/pacioli.v1.EventStore/ReadStream", Some(Role::Read), Lasts::WhileAnswering),
    grpc("/pacioli.v1.EventStore/ReadLog", Some(Role::Read), Lasts::WhileAnswering),
    grpc("/pacioli.v1.EventStore/Subscribe", Some(Role::Read), Lasts::WhileAnswering),
    grpc("/pacioli.v1.EventStore/GetStream", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.EventStore/ListStreams", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.EventStore/GetHead", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.EventStore/GetTracking", Some(Role::Read), Lasts::Shortly),
    // A lease lets its holder keep others from their work, so it takes the right to write.
    grpc("/pacioli.v1.EventStore/AcquireLease", Some(Role::Append), Lasts::Shortly),
    grpc("/pacioli.v1.EventStore/ReleaseLease", Some(Role::Append), Lasts::Shortly),
    // What is registered decides what everybody may append, so the service wants the role `admin` for it; to ask what would
    // become of it decides nothing.
    grpc("/pacioli.v1.Schemas/Register", Some(Role::Read), Lasts::UntilItsDeadline),
    grpc("/pacioli.v1.Schemas/GetSchema", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.Schemas/ListSchemas", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.Schemas/DeleteSchema", Some(Role::Admin), Lasts::UntilItsDeadline),
    grpc("/pacioli.v1.Schemas/Compare", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.Schemas/SetSetting", Some(Role::Admin), Lasts::Shortly),
    grpc("/pacioli.v1.Schemas/GetSettings", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.Schemas/Impact", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.Schemas/ListReaders", Some(Role::Read), Lasts::Shortly),
    grpc("/pacioli.v1.Schemas/ForgetReader", Some(Role::Admin), Lasts::Shortly),
    grpc("/pacioli.v1.Admin/Backup", Some(Role::Admin), Lasts::AsLongAsItTakes),
    grpc("/grpc.health.v1.Health/Check", None, Lasts::Shortly),
    grpc("/grpc.health.v1.Health/Watch", None, Lasts::WhileAnswering),
    grpc("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Some(Role::Read), Lasts::WhileAnswering),
    grpc("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Some(Role::Read), Lasts::WhileAnswering),
];

/// All there is: what is ours, and what has the form of another schema registry.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().chain(schema_registry::TABLE)
}

/// What answers a row; `None` for gRPC, whose services answer themselves.
pub(super) fn handler(row: &Row) -> Option<MethodRouter<Arc<App>>> {
    if let Some(handler) = schema_registry::handler(row) {
        return Some(handler);
    }
    Some(match (row.method, row.path) {
        (GRPC, _) => return None,
        ("POST", STREAM_EVENTS) => post(append::to_one_stream),
        ("POST", "/v1/appends") => post(append::to_several_streams),
        ("GET", STREAM_EVENTS) => get(read::stream_events),
        ("GET", "/v1/events") => get(read::log_events),
        ("GET", "/v1/streams") => get(read::streams),
        ("GET", "/v1/streams/{stream}") => get(read::stream),
        ("GET", "/v1/streams/{stream}/state") => get(read::state),
        ("GET", "/v1/readers") => get(readers::list),
        ("DELETE", "/v1/readers/{name}") => delete(readers::forget),
        ("POST", "/v1/sql") => post(ask::sql),
        ("GET", "/v1/read-models/{table}") => get(ask::lookup),
        ("GET", "/v1/read-models/{table}/diff") => get(ask::diff),
        ("GET", PROJECTIONS) => get(projections::list),
        ("POST", PROJECTIONS) => post(projections::add),
        ("GET", PROJECTION) => get(projections::one),
        ("DELETE", PROJECTION) => delete(projections::delete),
        ("POST", "/v1/projections/{name}/rebuild") => post(projections::rebuild),
        ("POST", "/v1/projections/{name}/cancel") => post(projections::cancel),
        ("POST", "/v1/projections/{name}/pause") => post(projections::pause),
        ("POST", "/v1/projections/{name}/resume") => post(projections::resume),
        ("POST", "/v1/projections/{name}/retry") => post(projections::retry),
        ("POST", "/v1/projections/{name}/skip") => post(projections::skip),
        ("POST", "/v1/projections/{name}/rollback") => post(projections::rollback),
        ("POST", "/v1/projections/{name}/refresh") => post(projections::refresh),
        ("POST", "/v1/projections/{name}/verify") => post(projections::verify),
        ("GET", "/healthz") => get(operations::healthz),
        ("GET", "/readyz") => get(operations::readyz),
        ("GET", "/metrics") => get(operations::metrics),
        ("GET", "/" | "/docs") => get(pages::docs),
        ("GET", "/openapi.json") => get(pages::openapi),
        (method, path) => panic!("{method} {path} is in the table and has no handler"),
    })
}

/// The row of a gRPC method.
pub(super) fn grpc_row(path: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.method == GRPC && row.path == path)
}

/// The rows of a path as the router matched it.
pub(super) fn rows_of(matched: &str) -> impl Iterator<Item = &'static Row> + use<'_> {
    all().filter(move |row| row.method != GRPC && row.path == matched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn every_grpc_method_has_a_row_and_every_row_a_method() {
        let mut methods = Vec::new();
        for descriptors in [
            pacioli_api::generated::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            let set = prost_types::FileDescriptorSet::decode(descriptors).unwrap();
            for file in &set.file {
                for service in &file.service {
                    let method = |method: &prost_types::MethodDescriptorProto| {
                        format!("/{}.{}/{}", file.package(), service.name(), method.name())
                    };
                    methods.extend(service.method.iter().map(method));
                }
            }
        }
        for method in &methods {
            assert!(grpc_row(method).is_some(), "{method} has no row");
        }
        for row in TABLE.iter().filter(|row| row.method == GRPC) {
            assert!(methods.iter().any(|method| method == row.path), "{} is no method", row.path);
        }
    }

    #[test]
    fn every_row_has_its_place_in_the_openapi_document_and_the_other_way_round() {
        let document: serde_json::Value = serde_json::from_str(super::pages::OPENAPI).unwrap();
        let mut documented = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
            documented.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
        }
        let http = || TABLE.iter().filter(|row| row.method != GRPC);
        for row in http() {
            assert!(documented.contains(&(row.method.to_owned(), row.path.to_owned())), "{row:?} is not documented");
            assert!(handler(row).is_some());
        }
        assert_eq!(documented.len(), http().count(), "{documented:?}");
    }
}
