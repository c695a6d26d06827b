//! Where a command's events are: behind a server's port, or in a store that is opened in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pacioli_client::{Client, ClientConfig};
use pacioli_core::{Clock, EventStore, SystemClock};
use pacioli_server::{OpenError, OpenOptions, Opened};

use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::output::say;

/// How long a server may take until it accepts the first connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Where a server is when nobody says otherwise.
pub(crate) const SERVER_DEFAULT: &str = "http://127.0.0.1:1494";

/// Which store a command works on.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The server [env: PACIOLI_SERVER] [default: http://127.0.0.1:1494]
    #[arg(long, value_name = "URL", conflicts_with = "store")]
    server: Option<String>,
    /// Open this store in process instead: sqlite:DIR, postgres://USER@HOST/DATABASE?schema=S, or memory:
    /// [env: PACIOLI_STORE]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The bearer token for the server
    #[arg(long, value_name = "TOKEN", env = "PACIOLI_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Trust this certificate authority for https (PEM), instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
}

/// Which store a command works on that needs the store itself and no server.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreUrl {
    /// The store: postgres://USER@HOST/DATABASE?schema=S, or sqlite:DIR [env: PACIOLI_STORE]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl StoreUrl {
    /// The URL that the option names, or else the environment.
    pub(crate) fn url(&self) -> Result<String, Failure> {
        let by_environment = || std::env::var("PACIOLI_STORE").ok().filter(|url| !url.is_empty());
        let url = self.store.clone().or_else(by_environment);
        url.ok_or_else(|| Failure::usage("no store is named; say which with --store URL or PACIOLI_STORE"))
    }
}

/// Where the events are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A server's URL.
    Server(String),
    /// A store's URL.
    Store(String),
}

/// An opened store.
pub(crate) enum Target {
    /// In this process.
    InProcess(Box<Opened>),
    /// Behind a server's port.
    Server(Client),
}

/// An opened store, with what keeps its read models.
pub(crate) enum OpenedEngine {
    /// In this process.
    InProcess(Box<Opened>),
    /// Behind a server's port.
    Server(Client),
}

impl Target {
    /// The store, whatever it is.
    pub(crate) fn store(&self) -> Arc<dyn EventStore> {
        match self {
            Target::InProcess(opened) => Arc::clone(&opened.store),
            Target::Server(client) => Arc::new(client.clone()),
        }
    }
}

impl StoreArgs {
    /// What the options and the environment name. An option wins over the environment.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        place(self.server.clone(), self.store.clone(), variable("PACIOLI_SERVER"), variable("PACIOLI_STORE"))
    }

    /// The store that the option names, whatever the environment says.
    pub(crate) fn store_option(&self) -> Option<&str> {
        self.store.as_deref()
    }

    /// Whether an option or the environment names a store at all.
    pub(crate) fn is_named(&self) -> bool {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        self.server.is_some() || self.store.is_some() || is_set("PACIOLI_SERVER") || is_set("PACIOLI_STORE")
    }

    /// Opens a store that must be there: whoever only reads has nothing to look for in one that would be made for it.
    pub(crate) async fn open_existing(&self) -> Result<Arc<dyn EventStore>, Failure> {
        Ok(self.open_existing_target().await?.store())
    }

    /// The same, and tells what it is.
    pub(crate) async fn open_existing_target(&self) -> Result<Target, Failure> {
        // Whoever appends nothing loses nothing.
        let options = OpenOptions { must_exist: true, accept_data_loss: self.is_postgres(), ..OpenOptions::default() };
        self.open_with(options).await
    }

    /// Opens it.
    pub(crate) async fn open(&self) -> Result<Arc<dyn EventStore>, Failure> {
        Ok(self.open_target().await?.store())
    }

    /// Opens it and tells what it is.
    pub(crate) async fn open_target(&self) -> Result<Target, Failure> {
        self.open_with(OpenOptions::default()).await
    }

    /// Opens it for read models: a server, or a store with its engine, which may have to be there. `reads` says that the
    /// command appends nothing.
    pub(crate) async fn open_engine(&self, reads: bool, must_exist: bool) -> Result<OpenedEngine, Failure> {
        match self.place()? {
            Place::Server(url) => match self.connect(&url).await? {
                Target::Server(client) => Ok(OpenedEngine::Server(client)),
                Target::InProcess(_) => unreachable!("a server is no store"),
            },
            Place::Store(url) => {
                let is_postgres = is_postgres(&url);
                let options = OpenOptions {
                    must_exist,
                    poll_only: is_postgres,
                    accept_data_loss: is_postgres && reads,
                    ..OpenOptions::default()
                };
                let opened = open_store(&url, options).await?;
                opened.made.iter().for_each(|line| say(line));
                Ok(OpenedEngine::InProcess(Box::new(opened)))
            }
        }
    }

    fn is_postgres(&self) -> bool {
        self.place().is_ok_and(|place| matches!(place, Place::Store(url) if is_postgres(&url)))
    }

    async fn open_with(&self, options: OpenOptions) -> Result<Target, Failure> {
        match self.place()? {
            Place::Server(url) => self.connect(&url).await,
            Place::Store(url) => {
                // A command is short: a slot would cost the database more than a look now and then.
                let poll_only = is_postgres(&url);
                let opened = open_store(&url, OpenOptions { poll_only, ..options }).await?;
                // A schema that was mistyped would else be another ledger, and nobody would know.
                opened.made.iter().for_each(|line| say(line));
                Ok(Target::InProcess(Box::new(opened)))
            }
        }
    }

    /// Connects to the server at `url` with these options' token and certificate authority.
    ///
    /// A client is patient with a server that goes away, so whether one is there at all is asked first.
    pub(crate) async fn connect(&self, url: &str) -> Result<Target, Failure> {
        let mut config = ClientConfig::new(url);
        config.token = self.token.clone();
        if let Some(path) = &self.ca_cert {
            let pem =
                std::fs::read(path).map_err(Failure::io(format!("--ca-cert: could not read {}", path.display())))?;
            config.ca_pem = Some(pem);
        }
        let client = Client::connect(config).map_err(|error| match (error.field, &self.ca_cert) {
            ("ca_pem", Some(path)) => Failure::usage(format!("--ca-cert {}: {}", path.display(), error.problem)),
            _ => Failure::usage(error.to_string()),
        })?;
        if let Some(address) = address(url) {
            let problem = match tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(&address)).await {
                Ok(Ok(_)) => return Ok(Target::Server(client)),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("nothing came within {} s", CONNECT_PATIENCE.as_secs()),
            };
            return Err(Failure::failed(format!("no server answers at {url}: {problem}"))
                .hint("Start one with `pacioli serve`, or open a store in process with --store sqlite:DIR."));
        }
        Ok(Target::Server(client))
    }
}

/// `HOST:PORT` of a URL that the client accepted.
fn address(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    if has_port {
        return Some(authority.to_owned());
    }
    Some(format!("{authority}:{}", if scheme == "https" { 443 } else { 80 }))
}

fn place(
    server: Option<String>,
    store: Option<String>,
    server_variable: Option<String>,
    store_variable: Option<String>,
) -> Result<Place, Failure> {
    match (server, store, server_variable, store_variable) {
        (Some(url), _, _, _) => Ok(Place::Server(url)),
        (None, Some(url), _, _) => Ok(Place::Store(url)),
        (None, None, Some(_), Some(_)) => Err(Failure::usage("PACIOLI_SERVER and PACIOLI_STORE are both set")
            .hint("Unset one of them, or say which store you mean with --server or --store.")),
        (None, None, _, Some(url)) => Ok(Place::Store(url)),
        (None, None, url, None) => Ok(Place::Server(url.unwrap_or_else(|| SERVER_DEFAULT.to_owned()))),
    }
}

/// The system's clock with this runtime's timer.
pub(crate) fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))))
}

/// Whether a URL is that of a store on PostgreSQL.
pub(crate) fn is_postgres(url: &str) -> bool {
    ["postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme))
}

/// Opens the store that a URL names, in this process.
pub(crate) async fn open_store(url: &str, options: OpenOptions) -> Result<Opened, Failure> {
    let opened = pacioli_server::open_store_with(url, options).await;
    opened.map_err(|error| match error {
        OpenError::Store(error) if error.reason.contains("--accept-data-loss") => Failure::failed(error.reason)
            .hint("`pacioli serve --accept-data-loss` serves it all the same, and takes appends for it."),
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_url_is_found() {
        for (url, expected) in [
            ("http://127.0.0.1:1494", "127.0.0.1:1494"),
            ("https://events.example.com/", "events.example.com:443"),
            ("http://[::1]:80/x", "[::1]:80"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(address(url).as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_option_wins_over_the_environment() {
        let some = |text: &str| Some(text.to_owned());
        let server = |url: &str| Place::Server(url.to_owned());
        let store = |url: &str| Place::Store(url.to_owned());
        let cases = [
            ((None, None, None, None), server(SERVER_DEFAULT)),
            ((some("s"), None, some("t"), some("u")), server("s")),
            ((None, some("s"), some("t"), some("u")), store("s")),
            ((None, None, some("t"), None), server("t")),
            ((None, None, None, some("u")), store("u")),
        ];
        for ((a, b, c, d), expected) in cases {
            assert_eq!(place(a, b, c, d).unwrap(), expected);
        }
        assert!(place(None, None, some("t"), some("u")).is_err());
    }
}
