//! What a server is told before it starts, and why it may refuse to.

use std::path::PathBuf;
use std::time::Duration;

use pacioli_core::Limits;

/// The address a server listens on where nobody says otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:1494";

/// How a server is to run.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen, `HOST:PORT`; port 0 takes a free one.
    pub listen: String,
    /// The certificate and key to speak TLS with.
    pub tls: Option<TlsFiles>,
    /// The file of tokens; without it everybody may do everything.
    pub tokens: Option<PathBuf>,
    /// Listen beyond loopback even without TLS and tokens, and answer to any host's name without tokens.
    pub insecure: bool,
    /// Where a backup is put together before it is sent; it needs room for the whole store. The directory of the data is
    /// best: it must be this server's alone, since what torn backups left there is removed at start. `None` is the
    /// system's directory for temporary files, which is often too small.
    pub backup_dir: Option<PathBuf>,
    /// What is too much.
    pub limits: ServerLimits,
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, and behind it those that vouch for it.
    pub cert: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            listen: DEFAULT_LISTEN.to_owned(),
            tls: None,
            tokens: None,
            insecure: false,
            backup_dir: None,
            limits: ServerLimits::default(),
        }
    }
}

/// What is too much for a server. The sizes of events and appends are the store's, see [`Limits`].
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// The store's limits; they bound the bodies of requests too.
    pub store: Limits,
    /// Connections at once; one more is closed as soon as it is accepted.
    pub connections_max: usize,
    /// Connections at once from one address that is not loopback.
    pub connections_per_ip_max: usize,
    /// How long an append may take before its outcome is called unknown.
    pub append_timeout: Duration,
    /// How long any other request may take until its answer begins. Streams have no end.
    pub request_timeout: Duration,
    /// How long a request's body may stay silent.
    pub body_idle_timeout: Duration,
    /// How long a connection may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a TLS handshake may take.
    pub tls_handshake_timeout: Duration,
    /// How long a live stream stays silent at most.
    pub heartbeat: Duration,
    /// How long requests may go on after the server was told to stop.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            store: Limits::default(),
            connections_max: 10_000,
            connections_per_ip_max: 200,
            append_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(15),
            header_timeout: Duration::from_secs(10),
            tls_handshake_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(8),
        }
    }
}

impl ServerLimits {
    /// Bytes of an HTTP body at most: the largest append in base64 and 1 MiB for all around it, so that the store's own
    /// limit is the one that answers, with the field that is too large.
    pub fn body_bytes_max(&self) -> usize {
        self.store.append_bytes_max.div_ceil(3) * 4 + (1 << 20)
    }
}

/// Why a server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It would listen where anybody can reach it, without a wall.
    #[error(
        "{address} can be reached from other machines: give --tls-cert, --tls-key and --tokens, or say --insecure if \
         something else guards it"
    )]
    Unguarded {
        /// Where it was to listen.
        address: String,
    },
    /// It cannot listen there.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Where it was to listen.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the TLS certificate or key: {0}")]
    Tls(String),
    /// The file of tokens cannot be used.
    #[error("cannot use the file of tokens: {0}")]
    Tokens(String),
}
