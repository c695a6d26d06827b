//! The schema registry of a server.

use pacioli_api::generated::v1;
use pacioli_api::problem::{Kind, Problem};
use pacioli_api::schemas::{Compared, Comparison, Deleted, Impact, ImpactOf, ReaderStatus, Registered, Registration};
use pacioli_api::wire::{Malformed, given_checkpoint, problem, schemas as wire, status};
use pacioli_core::schemas::{Generation, RegisteredSchema, Registry, Setting};
use pacioli_core::{Checkpoint, EventType, ReadError, StoreError};
use tonic::{Response, Status};

use crate::connections::{SchemasConnection, never_sent};
use crate::retry::{Backoff, Deadline};
use crate::store::{Client, Shared};

/// Asks a server's schema registry. Made by [`Client::schemas`].
///
/// Every failure is the [`Problem`] that the server would have told over HTTP. What only reads is asked again where its
/// answer is lost; a change is sent again only where it was never sent. One whose answer was lost may have been made: made
/// again it changes nothing.
#[derive(Clone, Debug)]
pub struct SchemasClient(Client);

impl Client {
    /// The server's schema registry.
    pub fn schemas(&self) -> SchemasClient {
        SchemasClient(self.clone())
    }
}

impl SchemasClient {
    /// Registers a schema, or says what would become of it.
    ///
    /// # Errors
    /// Why it is refused, or that nobody answered.
    pub async fn register(&self, registration: &Registration) -> Result<Registered, Problem> {
        let request = wire::registration_to_wire(registration);
        let answer = self.change(|mut connection| {
            let request = request.clone();
            async move { connection.register(request).await.map(Response::into_inner) }
        });
        wire::registered_from_wire(answer.await?).map_err(malformed)
    }

    /// One registered version of a type; `None` is the newest that events may be stored under.
    ///
    /// # Errors
    /// There is no such schema, or nobody answered.
    pub async fn schema(&self, event_type: &EventType, version: Option<u32>) -> Result<RegisteredSchema, Problem> {
        let request = v1::GetSchemaRequest { r#type: event_type.to_string(), version: version.unwrap_or(0) };
        let answer = self.ask(|mut connection| {
            let request = request.clone();
            async move { connection.get_schema(request).await.map(Response::into_inner) }
        });
        let schema = answer.await?.schema.ok_or_else(|| malformed_answer("a schema without a schema"))?;
        wire::schema_from_wire(schema).map_err(malformed)
    }

    /// What is registered, of all types or of one, also what was deleted; and the settings.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn registry(&self, event_type: Option<&EventType>) -> Result<Registry, Problem> {
        let request = v1::ListSchemasRequest { r#type: event_type.map(ToString::to_string), deleted: true };
        let answer = self.ask(|mut connection| {
            let request = request.clone();
            async move { connection.list_schemas(request).await.map(Response::into_inner) }
        });
        let listed = answer.await?;
        let schemas = listed.schemas.into_iter().map(wire::schema_from_wire);
        let schemas = schemas.collect::<Result<_, Malformed>>().map_err(malformed)?;
        let (settings, _) = self.settings().await?;
        Ok(Registry { generation: Generation(listed.generation), schemas, settings })
    }

    /// The settings, and how often the registry was changed.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn settings(&self) -> Result<(Vec<Setting>, Generation), Problem> {
        let answer = self.ask(|mut connection| async move {
            connection.get_settings(v1::GetSettingsRequest {}).await.map(Response::into_inner)
        });
        let answer = answer.await?;
        let settings = answer.settings.into_iter().map(|setting| wire::setting(Some(setting)));
        let settings = settings.collect::<Result<_, _>>().map_err(|error| malformed_answer(&error.to_string()))?;
        Ok((settings, Generation(answer.generation)))
    }

    /// Hides a version of a type, or all of them; or takes away what was hidden.
    ///
    /// # Errors
    /// Why that cannot be, or that nobody answered.
    pub async fn delete(
        &self,
        event_type: &EventType,
        version: Option<u32>,
        permanent: bool,
    ) -> Result<Deleted, Problem> {
        let version = version.unwrap_or(0);
        let request = v1::DeleteSchemaRequest { r#type: event_type.to_string(), version, permanent, all: version == 0 };
        let answer = self.change(|mut connection| {
            let request = request.clone();
            async move { connection.delete_schema(request).await.map(Response::into_inner) }
        });
        wire::deleted_from_wire(answer.await?).map_err(malformed)
    }

    /// Says what changed between two schemas.
    ///
    /// # Errors
    /// One of them is none, or nobody answered.
    pub async fn compare(&self, comparison: &Comparison) -> Result<Compared, Problem> {
        let request = wire::comparison_to_wire(comparison);
        let answer = self.ask(|mut connection| {
            let request = request.clone();
            async move { connection.compare(request).await.map(Response::into_inner) }
        });
        wire::compared_from_wire(answer.await?).map_err(malformed)
    }

    /// Makes a setting, or takes it away where its value is `None`.
    ///
    /// # Errors
    /// There is no such setting, or nobody answered.
    pub async fn set(&self, setting: &Setting) -> Result<Checkpoint, Problem> {
        let request = v1::SetSettingRequest { setting: Some(wire::setting_to_wire(setting)) };
        let answer = self.change(|mut connection| {
            let request = request.clone();
            async move { connection.set_setting(request).await.map(Response::into_inner) }
        });
        given_checkpoint(&answer.await?.checkpoint).map_err(malformed)
    }

    /// Says who reads a type, and what a version of it means for them.
    ///
    /// # Errors
    /// There is no such version, or nobody answered.
    pub async fn impact(&self, of: &ImpactOf) -> Result<Impact, Problem> {
        let request = wire::impact_of_to_wire(of);
        let answer = self.ask(|mut connection| {
            let request = request.clone();
            async move { connection.impact(request).await.map(Response::into_inner) }
        });
        wire::impact_from_wire(answer.await?).map_err(malformed)
    }

    /// The readers that gave their names.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn readers(&self) -> Result<Vec<ReaderStatus>, Problem> {
        let answer = self.ask(|mut connection| async move {
            connection.list_readers(v1::ListReadersRequest {}).await.map(Response::into_inner)
        });
        let readers = answer.await?.readers.into_iter().map(wire::reader_from_wire);
        readers.collect::<Result<_, _>>().map_err(malformed)
    }

    /// Forgets a reader that reads no more.
    ///
    /// # Errors
    /// No reader has that name, or it follows the log now; or nobody answered.
    pub async fn forget_reader(&self, name: &str) -> Result<(), Problem> {
        let answer = self.change(|mut connection| {
            let request = v1::ForgetReaderRequest { name: name.to_owned() };
            async move { connection.forget_reader(request).await.map(Response::into_inner) }
        });
        answer.await.map(|_| ())
    }

    async fn ask<T, F>(&self, call: impl Fn(SchemasConnection) -> F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.call(self.shared().config.try_timeout, false, call).await
    }

    /// Without a bound of its own beside the deadline: a registration is tried on stored events first.
    async fn change<T, F>(&self, call: impl Fn(SchemasConnection) -> F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.call(CHANGE_PATIENCE, true, call).await
    }

    async fn call<T, F>(
        &self,
        patience: std::time::Duration,
        is_change: bool,
        call: impl Fn(SchemasConnection) -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let shared = self.shared();
        let deadline = Deadline::after(shared.config.deadline);
        let mut backoff = Backoff::new(shared.config.backoff_max);
        loop {
            let status = match tokio::time::timeout(patience, call(shared.connections.schemas())).await {
                Ok(Ok(answer)) => {
                    shared.heard();
                    return Ok(answer);
                }
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable(format!("no answer came within {} ms", patience.as_millis())),
            };
            if let Some(error) = shared.is_hopeless(&status) {
                return Err(Problem::from(&ReadError::Store(error)));
            }
            let may_repeat = if is_change { never_sent(&status) } else { status::is_transient(&status) };
            if !may_repeat || !deadline.wait(backoff.next()).await {
                return Err(match status::Reason::of(&status) {
                    Some(_) => problem::from_status(&status),
                    None if is_change && !never_sent(&status) && status::is_transient(&status) => Problem::retry(
                        Kind::UnknownOutcome,
                        format!(
                            "nobody knows whether it was done, since the answer was lost ({}); do it again: what is done \
                             already is not done twice",
                            status.message()
                        ),
                    ),
                    None => Problem::from(&shared.read_error(&status)),
                });
            }
            tracing::debug!(url = %shared.config.url, error = %status.message(), "a call failed and is made again");
        }
    }

    fn shared(&self) -> &Shared {
        self.0.shared()
    }
}

/// How long a change may take: stored events are looked through, and readers are asked for.
const CHANGE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

fn malformed(error: Malformed) -> Problem {
    Problem::from(&ReadError::Store(StoreError::new(error.to_string())))
}

fn malformed_answer(problem: &str) -> Problem {
    let reason = format!("the server's answer makes no sense: {problem}; are client and server of one release?");
    Problem::from(&ReadError::Store(StoreError::new(reason)))
}
