//! [`Client`]: the contract, call by call.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use pacioli_api::generated::v1;
use pacioli_api::wire::{self, BUS, Malformed, append, read, shape, status};
use pacioli_core::schemas::Shape;
use pacioli_core::{
    AppendError, AppendOutcome, AppendRequest, Bus, Checkpoint, Deliveries, EventStore, Lease, LeaseOutcome,
    ListStreams, LogPage, ReadError, ReadLog, ReadStream, StoreError, StreamInfo, StreamName, StreamPage, StreamsPage,
    Subscribe,
};
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use crate::appender::Appender;
use crate::config::{ClientConfig, InvalidConfig};
use crate::connections::{Connections, StoreConnection, never_sent};
use crate::retry::{Backoff, Deadline};
use crate::{backup, hopeless, pages, subscription};

/// An event store at the other end of a network. Cloning it gives another handle on the same connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    manner: Arc<Manner>,
}

/// How this handle reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// In which shape.
    pub(crate) shape: Shape,
    /// Under which name; empty is none.
    pub(crate) reader: String,
}

/// What the handles share.
pub(crate) struct Shared {
    pub(crate) config: ClientConfig,
    pub(crate) connections: Connections,
    /// Whether the server ever spoke: one that did is worth waiting for, whatever comes in between.
    answered: AtomicBool,
    /// Which way events come to the server's subscribers, as the last subscription was told.
    bus: RwLock<Bus>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.shared.config).finish()
    }
}

impl Client {
    /// A client of the server at the URL. It connects when it is first used, so an error here is one of the configuration.
    ///
    /// Has to be called within a tokio runtime, which the connections live in.
    pub fn connect(config: ClientConfig) -> Result<Client, InvalidConfig> {
        let connections = Connections::new(&config)?;
        Ok(Client {
            shared: Arc::new(Shared {
                config,
                connections,
                answered: AtomicBool::new(false),
                bus: RwLock::new(Bus::Memory),
            }),
            manner: Arc::default(),
        })
    }

    /// A handle on the same connections whose reads and subscriptions come in this shape. Without it they come in the newest
    /// shape of each type; whoever copies a log wants it `raw`.
    #[must_use]
    pub fn with_shape(&self, shape: Shape) -> Client {
        let manner = Manner { shape, ..Manner::clone(&self.manner) };
        Client { shared: Arc::clone(&self.shared), manner: Arc::new(manner) }
    }

    /// A handle on the same connections that reads under a name, so that the server can tell who reads what, and who waits
    /// for which version of a schema: 1 to 256 bytes, no control character.
    #[must_use]
    pub fn with_reader(&self, name: impl Into<String>) -> Client {
        let manner = Manner { reader: name.into(), ..Manner::clone(&self.manner) };
        Client { shared: Arc::clone(&self.shared), manner: Arc::new(manner) }
    }

    /// Many appends in flight on one call, answered in the order in which they were submitted.
    ///
    /// `in_flight` is how many may wait for their answers. The server takes at most 1,024 of a call at once.
    pub fn appender(&self, in_flight: usize) -> Appender {
        Appender::start(Arc::clone(&self.shared), in_flight)
    }

    /// Reads the log until the head as it was when the read began, or until `read.limit` events (0 is no limit), page
    /// after page, the next one being on its way while one is taken. Goes on after a lost connection.
    pub fn read_log_pages(&self, read: ReadLog) -> BoxStream<'static, Result<LogPage, ReadError>> {
        pages::log(Arc::clone(&self.shared), Arc::clone(&self.manner), read)
    }
}

impl Client {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Shared {
    /// Remembers which way the server says that events come.
    pub(crate) fn learn_bus(&self, metadata: &MetadataMap) {
        let word = metadata.get(BUS).and_then(|word| word.to_str().ok());
        if let Some(bus) = word.and_then(Bus::from_word) {
            *self.bus.write().unwrap_or_else(PoisonError::into_inner) = bus;
        }
    }

    /// Asks until there is an answer, or until the deadline. For calls that can be made twice without harm.
    pub(crate) async fn ask<T, F>(&self, call: impl Fn(StoreConnection) -> F) -> Result<T, ReadError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let deadline = Deadline::after(self.config.deadline);
        let mut backoff = Backoff::new(self.config.backoff_max);
        loop {
            let patience = self.config.try_timeout.min(deadline.left());
            let status = match tokio::time::timeout(patience, call(self.connections.store())).await {
                Ok(Ok(answer)) => {
                    self.heard();
                    return Ok(answer);
                }
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable(format!("no answer came within {} ms", patience.as_millis())),
            };
            if !status::is_transient(&status)
                || self.is_hopeless(&status).is_some()
                || !deadline.wait(backoff.next()).await
            {
                return Err(self.read_error(&status));
            }
            tracing::debug!(url = %self.config.url, error = %status.message(), "a call failed and is made again");
        }
    }

    /// The server gave an answer.
    pub(crate) fn heard(&self) {
        // Asked first, because a flag that is written on every call would travel between the cores.
        if !self.answered.load(Ordering::Relaxed) {
            self.answered.store(true, Ordering::Relaxed);
        }
    }

    /// Why trying again is of no use and nothing was done, where that is so: there never was a connection, and none can be.
    pub(crate) fn is_hopeless(&self, status: &Status) -> Option<StoreError> {
        if self.answered.load(Ordering::Relaxed) {
            return None;
        }
        hopeless::why(&self.config.url, status).map(StoreError::new)
    }

    /// The error a status stands for, with the server's address where the server itself did not speak.
    pub(crate) fn read_error(&self, status: &Status) -> ReadError {
        if let Some(error) = self.is_hopeless(status) {
            return ReadError::Store(error);
        }
        match status::read_error(status) {
            ReadError::Store(error) if status::Reason::of(status).is_none() => {
                ReadError::Store(StoreError::new(format!("no answer from {}: {error}", self.config.url)))
            }
            error => error,
        }
    }

    async fn append(&self, request: AppendRequest) -> Result<AppendOutcome, AppendError> {
        let message = append::request_to_wire(&request);
        let deadline = Deadline::after(self.config.deadline);
        let mut backoff = Backoff::new(self.config.backoff_max);
        let mut trail = Trail::default();
        loop {
            let patience = self.config.try_timeout.min(deadline.left());
            let mut connection = self.connections.store();
            let error = match tokio::time::timeout(patience, connection.append(message.clone())).await {
                Ok(Ok(response)) => {
                    self.heard();
                    return append::outcome_from_wire(response.into_inner()).map_err(unknown);
                }
                Ok(Err(status)) => {
                    if let Some(error) = self.is_hopeless(&status) {
                        return Err(trail.last_word(AppendError::Store(error)));
                    }
                    trail.failed(&status)
                }
                Err(_) => trail.silent(patience),
            };
            let wait = match &error {
                AppendError::Overloaded { retry_after } => backoff.next().max(*retry_after),
                AppendError::ShuttingDown | AppendError::Unknown { .. } => backoff.next(),
                _ => return Err(trail.last_word(error)),
            };
            if !deadline.wait(wait).await {
                return Err(trail.last_word(error));
            }
            tracing::debug!(url = %self.config.url, %error, "an append is sent again");
        }
    }
}

fn unknown(malformed: Malformed) -> AppendError {
    AppendError::Unknown { reason: malformed.to_string() }
}

/// What the attempts at one append have come to. "Nothing was stored" is said only if no attempt leaves a doubt.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// An attempt may have stored it.
    doubt: bool,
    /// Why the last attempt reached nobody, if it did not.
    unreached: Option<String>,
}

impl Trail {
    /// An attempt ended with this status.
    pub(crate) fn failed(&mut self, status: &Status) -> AppendError {
        let error = status::append_error(status);
        self.unreached = None;
        if let AppendError::Unknown { reason } = &error {
            match never_sent(status) {
                true => self.unreached = Some(reason.clone()),
                false => self.doubt = true,
            }
        }
        error
    }

    /// An attempt was not answered.
    pub(crate) fn silent(&mut self, patience: Duration) -> AppendError {
        self.doubt = true;
        self.unreached = None;
        AppendError::Unknown { reason: format!("no answer came within {} ms", patience.as_millis()) }
    }

    /// A call that carried it among others ended with this status, which need not be about this one.
    pub(crate) fn lost(&mut self, status: &Status) {
        self.failed(status);
        self.doubt |= self.unreached.is_none();
    }

    /// The error to give up with, after one that is not tried again or when time is up.
    pub(crate) fn last_word(&self, error: AppendError) -> AppendError {
        match (error, &self.unreached) {
            (AppendError::Unknown { .. }, Some(why)) if !self.doubt => {
                AppendError::Store(StoreError::new(format!("the server could not be reached ({why})")))
            }
            (error @ AppendError::Unknown { .. }, _) => error,
            (error, _) if self.doubt => {
                AppendError::Unknown { reason: format!("an earlier try was not answered; the last one: {error}") }
            }
            (error, _) => error,
        }
    }
}

fn malformed(error: Malformed) -> ReadError {
    ReadError::Store(StoreError::new(error.to_string()))
}

#[async_trait]
impl EventStore for Client {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        self.shared.append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        let request = v1::ReadStreamRequest {
            stream: read.stream.to_string(),
            from: read.from.map(|version| version.0),
            direction: read::direction_to_wire(read.direction).into(),
            limit: read.limit.max(1) as u64,
            fields: read::payload_to_wire(read.payload),
            pages: 1,
            shape: shape::shape_to_wire(&self.manner.shape),
            reader: self.manner.reader.clone(),
        };
        let messages = self.shared.ask(|mut connection| {
            let request = request.clone();
            async move { connection.read_stream(request).await?.into_inner().try_collect::<Vec<_>>().await }
        });
        let parts = messages.await?.into_iter().map(read::stream_page_from_wire);
        let page = parts.reduce(|mut page, part| {
            page.events.extend(part.events);
            StreamPage { events: page.events, next: part.next, version: part.version }
        });
        page.ok_or_else(no_page)
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        let request = pages::log_request(&self.manner, &read, read.limit.max(1) as u64, 1);
        let messages = self.shared.ask(|mut connection| {
            let request = request.clone();
            async move { connection.read_log(request).await?.into_inner().try_collect::<Vec<_>>().await }
        });
        let mut page: Option<LogPage> = None;
        for message in messages.await? {
            let part = read::log_page_from_wire(message).map_err(malformed)?;
            page = Some(match page {
                None => part,
                Some(mut page) => {
                    page.events.extend(part.events);
                    LogPage { events: page.events, from: page.from, checkpoint: part.checkpoint, head: part.head }
                }
            });
        }
        page.ok_or_else(no_page)
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        subscription::subscribe(Arc::clone(&self.shared), Arc::clone(&self.manner), subscribe).await
    }

    /// As the server told the last subscription; memory before the first.
    fn bus(&self) -> Bus {
        self.shared.bus.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        let answer = self.shared.ask(|mut connection| {
            let request = v1::GetStreamRequest { stream: stream.to_string() };
            async move { connection.get_stream(request).await.map(Response::into_inner) }
        });
        match answer.await {
            Ok(answer) => {
                let info = answer.stream.map(read::stream_info_from_wire).transpose().map_err(malformed)?;
                info.map(Some).ok_or_else(no_page)
            }
            Err(ReadError::StreamNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError> {
        let request = read::list_streams_to_wire(&list);
        let answer = self.shared.ask(|mut connection| {
            let request = request.clone();
            async move { connection.list_streams(request).await.map(Response::into_inner) }
        });
        read::streams_page_from_wire(answer.await?).map_err(malformed)
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        let answer = self.shared.ask(|mut connection| async move {
            connection.get_head(v1::GetHeadRequest {}).await.map(Response::into_inner)
        });
        wire::given_checkpoint(&answer.await?.head).map_err(malformed)
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        let answer = self.shared.ask(|mut connection| {
            let request = v1::GetTrackingRequest { name: name.to_owned() };
            async move { connection.get_tracking(request).await.map(Response::into_inner) }
        });
        let checkpoint = answer.await?.checkpoint;
        checkpoint.map(|text| wire::given_checkpoint(&text)).transpose().map_err(malformed)
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        let answer = self.shared.ask(|mut connection| {
            let request = v1::AcquireLeaseRequest {
                name: name.to_owned(),
                owner: owner.to_owned(),
                time_to_live_micros: u64::try_from(time_to_live.as_micros()).unwrap_or(u64::MAX),
            };
            async move { connection.acquire_lease(request).await.map(Response::into_inner) }
        });
        read::lease_outcome_from_wire(answer.await?).map_err(malformed)
    }

    /// Gives a lease back. Where the answer to a first try was lost, "false" may mean that it was given back just then.
    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        let answer = self.shared.ask(|mut connection| {
            let request = v1::ReleaseLeaseRequest { lease: Some(read::lease_to_wire(lease)) };
            async move { connection.release_lease(request).await.map(Response::into_inner) }
        });
        Ok(answer.await?.released)
    }

    /// Writes the server's backup to a file of this machine that does not exist yet.
    async fn backup(&self, to: &Path) -> Result<u64, ReadError> {
        backup::backup(&self.shared, to).await
    }
}

fn no_page() -> ReadError {
    ReadError::Store(StoreError::new("the server's answer is empty; are client and server of one release?"))
}
