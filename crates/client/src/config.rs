//! Where the server is and how patient a client is with it.

use std::fmt;
use std::time::Duration;

/// What a [`Client`](crate::Client) is made of.
#[derive(Clone)]
pub struct ClientConfig {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// The bearer token that says who calls.
    pub token: Option<String>,
    /// Certificates of the authorities to trust, in PEM; without them those of the operating system are trusted.
    pub ca_pem: Option<Vec<u8>>,
    /// Connections, used in turn. One is right for most; more of them help where one would fill a core.
    pub connections: usize,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for one answer.
    pub try_timeout: Duration,
    /// How long to go on trying before an append or a read is given up.
    pub deadline: Duration,
    /// How long to wait between two attempts at most.
    pub backoff_max: Duration,
    /// How often to ask a silent server whether it is still there; it is taken for lost when it does not answer as long.
    pub keep_alive: Duration,
}

impl ClientConfig {
    /// One connection to `url`, without a token; 10 s a try, 30 s in all.
    pub fn new(url: impl Into<String>) -> ClientConfig {
        ClientConfig {
            url: url.into(),
            token: None,
            ca_pem: None,
            connections: 1,
            connect_timeout: Duration::from_secs(5),
            try_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
            backoff_max: Duration::from_secs(2),
            keep_alive: Duration::from_secs(10),
        }
    }

    /// Sets the bearer token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> ClientConfig {
        self.token = Some(token.into());
        self
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("url", &self.url)
            // A secret has no place in a log.
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A client cannot be made of this configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidConfig {
    /// The field of [`ClientConfig`].
    pub field: &'static str,
    /// What is wrong and what to do.
    pub problem: String,
}

impl InvalidConfig {
    pub(crate) fn new(field: &'static str, problem: impl fmt::Display) -> InvalidConfig {
        InvalidConfig { field, problem: problem.to_string() }
    }
}
