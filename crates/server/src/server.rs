//! The server: one port, one accept loop, and an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use pacioli_core::EventStore;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::{ServerConfig, ServerError, ServerLimits};
use crate::connections::{Admission, Connections, Counted};
use crate::door::Door;
use crate::grpc;
use crate::http::{self, App};
use crate::metrics::Metrics;
use crate::models::Models;
use crate::schemas::Registry;
use crate::tls;
use crate::tokens::Tokens;

/// Headers of one HTTP/1 request at most.
const HEADERS_MAX: usize = 100;
/// Bytes of the buffer that holds the head of an HTTP/1 request, which bounds the head.
const HTTP1_BUFFER_BYTES: usize = 64 << 10;
/// Bytes of the headers of one HTTP/2 request at most.
const HTTP2_HEADER_BYTES_MAX: u32 = 16 << 10;
/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 128;
/// Streams a peer may reset before they are even looked at, and errors of ours that it may provoke (rapid reset).
const HTTP2_RESETS_MAX: usize = 64;
const HTTP2_STREAM_WINDOW: u32 = 2 << 20;
const HTTP2_CONNECTION_WINDOW: u32 = 8 << 20;
const HTTP2_FRAME_BYTES_MAX: u32 = 64 << 10;
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The first bytes tell HTTP/2 from HTTP/1; until they are there, no other deadline runs.
const PREFACE_BYTES: usize = 24;
/// How often the file of tokens is looked at.
const TOKENS_LOOK: Duration = Duration::from_secs(5);

/// A port that is held, with all that [`Server::listen`] checked, before there is a store to serve.
pub struct Listening {
    config: ServerConfig,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    tokens: Option<Arc<Tokens>>,
}

/// A server that listens, and serves once it [runs](Server::run).
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    limits: ServerLimits,
    door: Arc<Door>,
    tokens: Option<Arc<Tokens>>,
    connections: Arc<Connections>,
    router: Router,
    models: Models,
    schemas: Option<Registry>,
}

impl Listening {
    /// Makes the server of `store`, its read models, which are stopped with it, and its schema registry; without one, events
    /// are sent as they are stored. The directory for backups must be held by then: what torn ones left there is removed.
    pub async fn serve(self, store: Arc<dyn EventStore>, models: Models, schemas: Option<Registry>) -> Server {
        let Listening { config, listener, address, tls, tokens } = self;
        if let Some(dir) = config.backup_dir.clone() {
            // Large files take their time to go.
            tokio::task::spawn_blocking(move || grpc::sweep_backups(&dir)).await.ok();
        }
        let limits = config.limits;
        if let (Some(schemas), Models::On(models)) = (&schemas, &models) {
            schemas.know_read_models(models);
        }
        let metrics = Arc::new(Metrics::new(schemas.as_ref()));
        let door = Arc::new(Door::new(store, Arc::clone(&metrics), limits));
        let services = grpc::services(grpc::Services {
            store: Arc::clone(&door) as Arc<dyn EventStore>,
            schemas: schemas.clone(),
            limits: limits.store,
            append_timeout: limits.append_timeout,
            backup_dir: config.backup_dir.unwrap_or_else(std::env::temp_dir),
            shutdown: door.closing(),
        });
        let app = Arc::new(App {
            store: Arc::clone(&door),
            models: models.clone(),
            schemas: schemas.clone(),
            metrics: Arc::clone(&metrics),
            limits,
            tokens: tokens.clone(),
            local_names_only: tokens.is_none() && !config.insecure,
        });
        let connections = Connections::new(limits, metrics);
        let router = http::router(app, services);
        Server { listener, address, tls, limits, door, tokens, connections, router, models, schemas }
    }
}

impl Server {
    /// Listens as `config` says and is ready to serve `store` without read models and schemas: [`Server::listen`] and
    /// [`Listening::serve`] in one.
    ///
    /// # Errors
    /// Those of [`Server::listen`].
    pub async fn bind(config: ServerConfig, store: Arc<dyn EventStore>) -> Result<Server, ServerError> {
        let models = Models::Off { why: "it was started without them".to_owned() };
        Ok(Server::listen(config).await?.serve(store, models, None).await)
    }

    /// Listens as `config` says, on a port that is free from then on for nobody else. Whoever makes a store for the
    /// server does it after this, so that what cannot be served leaves no store behind.
    ///
    /// # Errors
    /// [`ServerError::Unguarded`] where others could reach it and nothing guards it; else what cannot be read or bound.
    pub async fn listen(config: ServerConfig) -> Result<Listening, ServerError> {
        let failed = |reason: String| ServerError::Listen { address: config.listen.clone(), reason };
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host(&config.listen).await.map_err(|error| failed(error.to_string()))?.collect();
        let is_guarded = config.insecure || (config.tls.is_some() && config.tokens.is_some());
        if !is_guarded && !addresses.iter().all(|address| address.ip().to_canonical().is_loopback()) {
            return Err(ServerError::Unguarded { address: config.listen.clone() });
        }
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let tokens = config.tokens.as_deref().map(Tokens::open).transpose()?.map(Arc::new);
        let listener = TcpListener::bind(&*addresses).await.map_err(|error| failed(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        Ok(Listening { config, listener, address, tls, tokens })
    }

    /// Where it listens, with the port it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves. Then it accepts no more, lets appends and reads end, ends live streams, and
    /// returns after [`ServerLimits::drain_timeout`] at the latest.
    ///
    /// # Errors
    /// None at present: what goes wrong with one connection is logged and harms no other.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Server { listener, tls, limits, door, tokens, connections, router, models, schemas, .. } = self;
        let http = Arc::new(builder(&limits));
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        let following = schemas.map(|schemas| AbortOnDrop(tokio::spawn(schemas.follow())));
        let looking = tokens.map(|tokens| AbortOnDrop(tokio::spawn(look_at_tokens(tokens))));
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                // Ended ones are forgotten as they end, so that the set does not grow.
                Some(_) = tasks.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (tcp, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of files, most likely: others will be closed.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(admission) = connections.admit(peer.ip()) else {
                tracing::debug!(%peer, "closed a connection at once: there are too many");
                continue;
            };
            let connection = Connection {
                http: Arc::clone(&http),
                router: router.clone(),
                watcher: graceful.watcher(),
                limits,
                _admission: admission,
            };
            tasks.spawn(connection.serve(tcp, tls.clone()));
        }
        drop(listener);
        for task in [looking, following].into_iter().flatten() {
            task.end().await;
        }
        tracing::info!("stopping: no new connections, appends are finished, live streams end");
        door.close();
        let drained = async {
            graceful.shutdown().await;
            while tasks.join_next().await.is_some() {}
        };
        // At once, so that another server takes over the projections without waiting for leases to run out.
        let stopped = async {
            if let Models::On(models) = &models {
                models.stop().await;
            }
        };
        let (drained, stopped) = tokio::join!(
            tokio::time::timeout(limits.drain_timeout, drained),
            tokio::time::timeout(limits.drain_timeout, stopped)
        );
        if drained.is_err() {
            tracing::warn!("some connections did not end in time and are cut");
            tasks.shutdown().await;
        }
        if stopped.is_err() {
            tracing::warn!("the projections did not stop in time; their leases run out by themselves");
        }
        Ok(())
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl AbortOnDrop {
    /// Ends it, and returns when what it held is let go.
    async fn end(mut self) {
        self.0.abort();
        // That it was aborted is what it says.
        let _ = (&mut self.0).await;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn look_at_tokens(tokens: Arc<Tokens>) {
    loop {
        tokio::time::sleep(TOKENS_LOOK).await;
        let tokens = Arc::clone(&tokens);
        // A look at a file may block.
        let _ = tokio::task::spawn_blocking(move || tokens.refresh()).await;
    }
}

fn builder(limits: &ServerLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HTTP2_HEADER_BYTES_MAX)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME_BYTES_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESETS_MAX)
        .max_local_error_reset_streams(HTTP2_RESETS_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}

/// One accepted connection and what it needs.
struct Connection {
    http: Arc<Builder<TokioExecutor>>,
    router: Router,
    watcher: Watcher,
    limits: ServerLimits,
    _admission: Admission,
}

impl Connection {
    async fn serve(self, tcp: TcpStream, tls: Option<TlsAcceptor>) {
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off Nagle's algorithm");
        }
        let Some(tls) = tls else { return self.speak(tcp).await };
        match tokio::time::timeout(self.limits.tls_handshake_timeout, tls.accept(tcp)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak<I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, io: I) {
        let (io, read) = Counted::new(io);
        let connection = self.http.serve_connection(TokioIo::new(io), TowerToHyperService::new(self.router));
        let served = self.watcher.watch(connection);
        let silent = async {
            tokio::time::sleep(self.limits.header_timeout).await;
            if read.load(Ordering::Relaxed) >= PREFACE_BYTES {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = served => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended early");
                }
            }
            () = silent => tracing::debug!("closed a connection that said nothing"),
        }
    }
}
