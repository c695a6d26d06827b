//! `pacioli.v1.Schemas`.

use std::sync::Arc;

use pacioli_api::generated::v1;
use pacioli_api::generated::v1::schemas_server::Schemas;
use pacioli_api::problem::{Kind, Problem};
use pacioli_api::wire::{problem, schemas as wire, status};
use pacioli_core::InvalidAppend;
use tonic::{Request, Response, Status};

use super::Services;
use crate::http::models::Actor;
use crate::schemas::{Registry, RegistryError};
use crate::tokens::Role;

/// The registry behind the service.
pub(super) struct SchemasService {
    services: Arc<Services>,
}

impl SchemasService {
    pub(super) fn new(services: Arc<Services>) -> SchemasService {
        SchemasService { services }
    }

    fn registry(&self) -> Result<&Registry, Status> {
        self.services.schemas.as_ref().ok_or_else(|| {
            let why = "this server has no schema registry: it was started without one";
            problem::to_status(&Problem::new(Kind::Unsupported, why))
        })
    }
}

fn invalid(error: InvalidAppend) -> Status {
    status::invalid(&error)
}

fn failed(error: RegistryError) -> Status {
    match &error {
        RegistryError::Read(error) => status::read_status(error),
        RegistryError::Change(error) => status::append_status(error),
        error => problem::to_status(&Problem::from(error)),
    }
}

/// Who asks, by the name of the token.
fn actor<T>(request: &Request<T>) -> Option<String> {
    request.extensions().get::<Actor>()?.name().map(str::to_owned)
}

#[tonic::async_trait]
impl Schemas for SchemasService {
    async fn register(&self, request: Request<v1::RegisterRequest>) -> Result<Response<v1::RegisterResponse>, Status> {
        let by = actor(&request);
        let role = request.extensions().get::<Role>().copied();
        let request = request.into_inner();
        if let (Some(role), false) = (role, request.dry_run)
            && role < Role::Admin
        {
            let name = by.unwrap_or_default();
            let detail = format!(
                "to register a schema needs the role `admin`; the token of `{name}` has `{role}`, which may ask with `dry_run` \
                 what would become of it"
            );
            return Err(problem::to_status(&Problem::new(Kind::Forbidden, detail)));
        }
        let registration = wire::registration(request).map_err(invalid)?;
        let registered = self.registry()?.register(registration, by.as_deref()).await.map_err(failed)?;
        Ok(Response::new(wire::registered_to_wire(&registered)))
    }

    async fn get_schema(
        &self,
        request: Request<v1::GetSchemaRequest>,
    ) -> Result<Response<v1::GetSchemaResponse>, Status> {
        let v1::GetSchemaRequest { r#type, version } = request.into_inner();
        let event_type = wire::event_type("type", r#type).map_err(invalid)?;
        let schema = self.registry()?.schema(&event_type, (version > 0).then_some(version)).await.map_err(failed)?;
        Ok(Response::new(v1::GetSchemaResponse { schema: Some(wire::schema_to_wire(&schema)) }))
    }

    async fn list_schemas(
        &self,
        request: Request<v1::ListSchemasRequest>,
    ) -> Result<Response<v1::ListSchemasResponse>, Status> {
        let v1::ListSchemasRequest { r#type, deleted } = request.into_inner();
        let catalogue = self.registry()?.refresh().await.map_err(|error| failed(error.into()))?;
        let is_asked_for = |schema: &&pacioli_core::schemas::RegisteredSchema| {
            (deleted || !schema.is_deleted) && r#type.as_deref().is_none_or(|name| name == schema.event_type.as_str())
        };
        let schemas = catalogue.registry().schemas.iter().filter(is_asked_for).map(wire::schema_to_wire).collect();
        Ok(Response::new(v1::ListSchemasResponse { schemas, generation: catalogue.generation().0 }))
    }

    async fn delete_schema(
        &self,
        request: Request<v1::DeleteSchemaRequest>,
    ) -> Result<Response<v1::DeleteSchemaResponse>, Status> {
        let by = actor(&request);
        let v1::DeleteSchemaRequest { r#type, version, permanent, all } = request.into_inner();
        let event_type = wire::event_type("type", r#type).map_err(invalid)?;
        let version = match (version, all) {
            (0, true) => None,
            (1.., false) => Some(version),
            (0, false) => {
                let problem = "is missing; say which version, or `all` for every one, which retires the type";
                return Err(invalid(InvalidAppend::new("version", problem)));
            }
            (_, true) => return Err(invalid(InvalidAppend::new("all", "excludes a version; say one of them"))),
        };
        let deleted = self.registry()?.delete(&event_type, version, permanent, by.as_deref()).await.map_err(failed)?;
        Ok(Response::new(wire::deleted_to_wire(&deleted)))
    }

    async fn compare(&self, request: Request<v1::CompareRequest>) -> Result<Response<v1::CompareResponse>, Status> {
        let comparison = wire::comparison(request.into_inner()).map_err(invalid)?;
        let compared = self.registry()?.compare(comparison).await.map_err(failed)?;
        Ok(Response::new(wire::compared_to_wire(&compared)))
    }

    async fn set_setting(
        &self,
        request: Request<v1::SetSettingRequest>,
    ) -> Result<Response<v1::SetSettingResponse>, Status> {
        let by = actor(&request);
        let setting = wire::setting(request.into_inner().setting).map_err(invalid)?;
        let checkpoint = self.registry()?.set(setting, by.as_deref()).await.map_err(failed)?;
        Ok(Response::new(v1::SetSettingResponse { checkpoint: checkpoint.to_string() }))
    }

    async fn get_settings(
        &self,
        _request: Request<v1::GetSettingsRequest>,
    ) -> Result<Response<v1::GetSettingsResponse>, Status> {
        let catalogue = self.registry()?.refresh().await.map_err(|error| failed(error.into()))?;
        let settings = catalogue.registry().settings.iter().map(wire::setting_to_wire).collect();
        Ok(Response::new(v1::GetSettingsResponse { settings, generation: catalogue.generation().0 }))
    }

    async fn impact(&self, request: Request<v1::ImpactRequest>) -> Result<Response<v1::ImpactResponse>, Status> {
        let of = wire::impact_of(request.into_inner()).map_err(invalid)?;
        let impact = self.registry()?.impact(of).await.map_err(failed)?;
        Ok(Response::new(wire::impact_to_wire(&impact)))
    }

    async fn list_readers(
        &self,
        _request: Request<v1::ListReadersRequest>,
    ) -> Result<Response<v1::ListReadersResponse>, Status> {
        let readers = self.registry()?.readers().await.map_err(failed)?;
        Ok(Response::new(v1::ListReadersResponse { readers: readers.iter().map(wire::reader_to_wire).collect() }))
    }

    async fn forget_reader(
        &self,
        request: Request<v1::ForgetReaderRequest>,
    ) -> Result<Response<v1::ForgetReaderResponse>, Status> {
        self.registry()?.forget_reader(&request.into_inner().name).await.map_err(failed)?;
        Ok(Response::new(v1::ForgetReaderResponse {}))
    }
}
