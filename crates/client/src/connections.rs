//! The connections of a client: made when first used, made again when lost, used in turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use pacioli_api::generated::v1::admin_client::AdminClient;
use pacioli_api::generated::v1::event_store_client::EventStoreClient;
use pacioli_api::generated::v1::schemas_client::SchemasClient;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{ConnectError, Request, Status};

use crate::config::{ClientConfig, InvalidConfig};

/// HTTP/2 windows: the bytes a server may send before it hears that they were read. A page on the way and the next one.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Large frames: a page of 512 KiB in two of them instead of 32.
const FRAME_BYTES_MAX: u32 = 256 << 10;

/// One connection to the service `EventStore`.
pub(crate) type StoreConnection = EventStoreClient<InterceptedService<Channel, Bearer>>;

/// One connection to the service `Schemas`.
pub(crate) type SchemasConnection = SchemasClient<InterceptedService<Channel, Bearer>>;

/// The connections of a client.
pub(crate) struct Connections {
    channels: Vec<Channel>,
    bearer: Bearer,
    turn: AtomicUsize,
}

impl Connections {
    /// Connections as configured; nothing is connected yet.
    pub(crate) fn new(config: &ClientConfig) -> Result<Connections, InvalidConfig> {
        let endpoint = endpoint(config)?;
        let channels = (0..config.connections.max(1)).map(|_| endpoint.connect_lazy()).collect();
        Ok(Connections { channels, bearer: Bearer::new(config.token.as_deref())?, turn: AtomicUsize::new(0) })
    }

    /// The channel whose turn it is, for plain HTTP, and the token.
    pub(crate) fn http(&self) -> (Channel, Option<HeaderValue>) {
        (self.channel(), self.bearer.0.clone())
    }

    fn next(&self) -> InterceptedService<Channel, Bearer> {
        InterceptedService::new(self.channel(), self.bearer.clone())
    }

    fn channel(&self) -> Channel {
        let turn = match self.channels.len() {
            1 => 0,
            connections => self.turn.fetch_add(1, Ordering::Relaxed) % connections,
        };
        self.channels[turn].clone()
    }

    /// The connection whose turn it is. What the server sends is bounded by the server, not here.
    pub(crate) fn store(&self) -> StoreConnection {
        EventStoreClient::new(self.next()).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX)
    }

    /// The same for the service `Schemas`.
    pub(crate) fn schemas(&self) -> SchemasConnection {
        SchemasClient::new(self.next()).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX)
    }

    /// The same for the service `Admin`.
    pub(crate) fn admin(&self) -> AdminClient<InterceptedService<Channel, Bearer>> {
        AdminClient::new(self.next()).max_decoding_message_size(usize::MAX)
    }
}

fn endpoint(config: &ClientConfig) -> Result<Endpoint, InvalidConfig> {
    let invalid = |problem: &dyn std::fmt::Display| {
        InvalidConfig::new(
            "url",
            format!("`{}`: {problem}; expected `http://HOST:PORT` or `https://HOST:PORT`", config.url),
        )
    };
    let endpoint = Endpoint::from_shared(config.url.clone()).map_err(|error| invalid(&error))?;
    let endpoint = endpoint
        .user_agent(concat!("pacioli/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| invalid(&error))?
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_keep_alive_interval(config.keep_alive)
        .keep_alive_timeout(config.keep_alive)
        .keep_alive_while_idle(true);
    match (endpoint.uri().scheme_str(), &config.ca_pem) {
        (Some("http"), None) => Ok(endpoint),
        (Some("http"), Some(_)) => Err(invalid(&"a certificate authority was given for a connection without TLS")),
        (Some("https"), ca_pem) => {
            let tls = match ca_pem {
                // Without any to trust, every server would be refused later, and nobody would know why.
                Some(pem) if !has_certificate(pem) => {
                    return Err(InvalidConfig::new("ca_pem", "has no certificate in PEM form"));
                }
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            endpoint.tls_config(tls).map_err(|error| InvalidConfig::new("ca_pem", deepest(&error)))
        }
        _ => Err(invalid(&"the scheme is neither http nor https")),
    }
}

fn has_certificate(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem).next().is_some_and(|first| first.is_ok())
}

/// The last cause of an error, which is the one that says something.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Puts the token on each request.
#[derive(Clone)]
pub(crate) struct Bearer(Option<HeaderValue>);

impl Bearer {
    fn new(token: Option<&str>) -> Result<Bearer, InvalidConfig> {
        let Some(token) = token else { return Ok(Bearer(None)) };
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| InvalidConfig::new("token", "has a character that no HTTP header may have"))?;
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            let mut headers = std::mem::take(request.metadata_mut()).into_headers();
            headers.insert(http::header::AUTHORIZATION, value.clone());
            *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        }
        Ok(request)
    }
}

/// Whether a call failed before anything of it was sent: no connection could be made.
pub(crate) fn never_sent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}
