//! The gRPC services. Thin: each call becomes core's types, goes to the store, and its answer goes back.
//!
//! Names, ids and checkpoints are checked at the door, by `pacioli_api::wire`; every rule of the domain is the store's.

mod admin;
mod ahead;
mod append;
mod event_store;
mod pages;
mod schemas;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pacioli_api::generated::DESCRIPTORS;
use pacioli_api::generated::v1::event_store_server::EventStoreServer;
use pacioli_api::generated::v1::schemas_server::SchemasServer;
use pacioli_api::generated::v1::{self, admin_server::AdminServer};
use pacioli_api::wire::status;
use pacioli_core::{EventStore, InvalidAppend, Limits};
use tokio::sync::watch;
use tonic::Status;
use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use crate::schemas::Registry;
use crate::shapes::{Reading, View};
use admin::AdminService;
pub(crate) use admin::sweep_backups;
use event_store::EventStoreService;
use schemas::SchemasService;

/// What a request may have beyond the bytes of its append, so that the store's limit fires and not the transport's.
const REQUEST_MARGIN: usize = 1 << 20;

/// What the services need.
#[derive(Clone)]
pub struct Services {
    /// The store they serve.
    pub store: Arc<dyn EventStore>,
    /// The store's schema registry; without one, events are sent as they are stored.
    pub schemas: Option<Registry>,
    /// The store's limits.
    pub limits: Limits,
    /// After how long an append is answered "unknown". It is not given up: it may still commit.
    pub append_timeout: Duration,
    /// Where a backup is put together before it is sent.
    pub backup_dir: PathBuf,
    /// Turns true when the server goes away: live streams end, and what is in flight is answered.
    pub shutdown: watch::Receiver<bool>,
}

impl Services {
    /// The store as somebody reads it.
    fn view(&self, shape: Option<v1::Shape>, reader: String) -> Result<Arc<View>, Status> {
        let invalid = |error: InvalidAppend| status::invalid(&error);
        let shape = pacioli_api::wire::shape::shape(shape, self.limits.query_terms_max).map_err(invalid)?;
        let reader = Some(reader).filter(|name| !name.is_empty());
        if let Some(name) = &reader {
            Reading::check_reader(name).map_err(|problem| invalid(InvalidAppend::new("reader", problem)))?;
        }
        match &self.schemas {
            Some(schemas) => {
                let reading = Reading { shape, reader: reader.map(Into::into), only: None };
                Ok(schemas.view(Arc::clone(&self.store), reading))
            }
            None if shape.understands.is_empty() && reader.is_none() => Ok(View::as_stored(Arc::clone(&self.store))),
            None => {
                let field = if reader.is_some() { "reader" } else { "shape" };
                let problem = "is not known here: this server was started without a schema registry";
                Err(invalid(InvalidAppend::new(field, problem)))
            }
        }
    }

    /// Resolves when the server goes away.
    async fn shut_down(&self) {
        shut_down(self.shutdown.clone()).await;
    }
}

/// The services as routes without a fallback, to be merged into the server's: `EventStore`, `Schemas`, `Admin`, health and
/// reflection.
///
/// Has to be called within a runtime: a task tells health when the server goes away.
pub fn services(services: Services) -> axum::Router {
    pacioli_api::wire::bounds::allow(&services.limits);
    let request_max = services.limits.append_bytes_max.saturating_add(REQUEST_MARGIN);
    let reporter = HealthReporter::new();
    tokio::spawn(report_health(reporter.clone(), services.shutdown.clone()));
    let services = Arc::new(services);
    let event_store = EventStoreServer::new(EventStoreService::new(Arc::clone(&services)))
        .max_decoding_message_size(request_max)
        .max_encoding_message_size(usize::MAX);
    let schemas = SchemasServer::new(SchemasService::new(Arc::clone(&services)))
        .max_decoding_message_size(request_max)
        .max_encoding_message_size(usize::MAX);
    let admin = AdminServer::new(AdminService::new(services))
        .max_decoding_message_size(request_max)
        .max_encoding_message_size(usize::MAX);
    let mut routes = RoutesBuilder::from(axum::Router::new());
    routes.add_service(event_store).add_service(schemas).add_service(admin);
    routes
        .add_service(tonic_health::pb::health_server::HealthServer::new(HealthService::from_health_reporter(reporter)));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let readable = "the descriptors are generated with the code";
    routes.add_service(reflection().build_v1().expect(readable));
    routes.add_service(reflection().build_v1alpha().expect(readable));
    routes.routes().into_axum_router()
}

/// The services that health speaks of; the empty name is the whole server.
const HEALTH_NAMES: [&str; 4] = ["", "pacioli.v1.EventStore", "pacioli.v1.Schemas", "pacioli.v1.Admin"];

async fn shut_down(mut shutdown: watch::Receiver<bool>) {
    if shutdown.wait_for(|down| *down).await.is_err() {
        // Whoever could say so is gone, so nobody ever will.
        std::future::pending::<()>().await;
    }
}

/// Holds nothing of the store, which is closed while this ends.
async fn report_health(mut reporter: HealthReporter, shutdown: watch::Receiver<bool>) {
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }
    shut_down(shutdown).await;
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
        // Ends the calls that watch, which would hold up the shutdown.
        reporter.clear_service_status(name).await;
    }
}

/// The error that ends the requests of a call whose caller is not known any more.
pub(crate) fn unauthenticated(detail: &str) -> Box<dyn std::error::Error + Send + Sync> {
    tonic::Status::unauthenticated(detail).into()
}
