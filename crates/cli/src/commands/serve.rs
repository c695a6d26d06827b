//! `pacioli serve`: the server.

mod models;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use models::ReadModelsArgs;
use pacioli_core::EventStore;
use pacioli_core::store::Bus;
use pacioli_server::{DEFAULT_LISTEN, OpenOptions, Opened, Server, ServerConfig, TlsFiles, data_directory, shown_url};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::host::stdin_closed;
use crate::output::{Paint, say};
use crate::target::{self, SERVER_DEFAULT};

/// The most partitions a store can have.
pub(super) const PARTITIONS_MAX: i64 = pacioli_core::Partition::MAX_COUNT as i64;

/// Serve the events of a store over gRPC and HTTP, on one port
///
/// The first line on standard error says where it listens, the second what to type next. SIGTERM or Ctrl-C stops it:
/// appends are finished, live streams end, exit 0 within 10 seconds; a second signal ends it at once.
///
/// Any address but loopback needs --tls-cert, --tls-key and --tokens, or the word --insecure.
///
/// On PostgreSQL it makes what is missing in the database, where its role may, and says what it made. Any number of
/// servers may serve one store; each says which way the events of the others reach its subscribers.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli serve
  pacioli serve --data /var/lib/pacioli --log-format json
  pacioli serve --store 'postgres://app@db1,db2/shop?schema=pacioli'
  pacioli serve --projections ./projections
  pacioli serve --store memory: --listen 127.0.0.1:0
  pacioli serve --listen 0.0.0.0:1494 --tls-cert cert.pem --tls-key key.pem --tokens tokens"#)]
pub(crate) struct Serve {
    /// Keep the events in this directory; short for --store sqlite:DIR [default: ./pacioli-data]
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    data: Option<PathBuf>,
    /// Keep the events in this store: sqlite:DIR, postgres://USER@HOST/DATABASE?schema=S, or memory:
    /// [env: PACIOLI_STORE]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Partitions of a new store; a store that exists must have as many [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=PARTITIONS_MAX))]
    partitions: Option<u16>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_LISTEN)]
    listen: String,
    /// The certificate chain for TLS (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Ask for bearer tokens; this file lists their hashes and roles, see `pacioli token new`
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Listen beyond loopback without TLS and tokens, because something else guards the port
    #[arg(long)]
    insecure: bool,
    /// PostgreSQL: serve from a database with fsync or full_page_writes off. What is lost: when the database's machine
    /// crashes or loses power, appends that were acknowledged may be gone, or the log may be torn beyond repair
    #[arg(long)]
    accept_data_loss: bool,
    /// PostgreSQL: hand this server's own appends to subscribers by the bus too, as those of others, and not from memory;
    /// slower, to compare the two ways
    #[arg(long)]
    own_events_by_bus: bool,
    /// PostgreSQL: take no replication slot, and look for the events of others 50 times a second
    #[arg(long)]
    poll: bool,
    #[command(flatten)]
    read_models: ReadModelsArgs,
    /// The form of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What to log: off, error, warn, info, debug or trace, or directives like `info,pacioli_server=debug`. A bare debug
    /// or trace is for what is Pacioli's own, and the libraries beneath stay at info
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// Stop when standard input closes, so that a server started for a test goes with its starter
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.start_log()?;
        let mut signals = Signals::new()?;
        let url = self.store_url();
        let files = self.read_models.files()?;
        // First what may be wrong with the port, so that a server that cannot be leaves no store behind.
        let listening = Server::listen(self.config(&url)).await?;
        let options = OpenOptions {
            partitions: self.partitions,
            accept_data_loss: self.accept_data_loss,
            own_by_bus: self.own_events_by_bus,
            poll_only: self.poll,
            ..OpenOptions::default()
        };
        let Opened { store, made, engine, schemas } = target::open_store(&url, options).await?;
        made.iter().for_each(|line| self.say(line, serde_json::json!({ "made": line })));
        let models = self.read_models.open(&engine, self.log_format).await?;
        let server = listening.serve(Arc::clone(&store), models.clone(), Some(schemas)).await;
        self.say_where(&server, &url)?;
        // Before the first request, so that who asks for a read model at once does not find it missing.
        self.read_models.register(&models, &engine, files, self.log_format).await?;
        drop((models, engine));
        if target::is_postgres(&url) {
            let log_format = self.log_format;
            tokio::spawn(async move {
                let (text, members) = told_bus(&*store).await;
                say_in(log_format, Level::Info, &text, members);
            });
        }

        let until_stdin_closes = self.until_stdin_closes;
        server
            .run(async move {
                let orphaned = async {
                    match until_stdin_closes {
                        true => stdin_closed().await,
                        false => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = signals.next() => {}
                    () = orphaned => {}
                }
                tokio::spawn(async move {
                    signals.next().await;
                    // Whoever asks twice does not want to wait; what was acknowledged is on disk.
                    std::process::exit(1);
                });
            })
            .await?;
        Ok(())
    }

    fn store_url(&self) -> String {
        let by_environment = || std::env::var("PACIOLI_STORE").ok().filter(|url| !url.is_empty());
        match (&self.store, &self.data) {
            (Some(url), _) => url.clone(),
            (None, Some(data)) => format!("sqlite:{}", data.display()),
            (None, None) => by_environment().unwrap_or_else(|| "sqlite:./pacioli-data".to_owned()),
        }
    }

    fn config(&self, store: &str) -> ServerConfig {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        ServerConfig {
            listen: self.listen.clone(),
            tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
            tokens: self.tokens.clone(),
            insecure: self.insecure,
            // A directory for temporary files is often small, and a backup is as large as the store.
            backup_dir: data_directory(store).map(PathBuf::from),
            ..ServerConfig::default()
        }
    }

    fn start_log(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(directives(&self.log_level))
            .map_err(|error| Failure::usage(format!("--log-level: {error}")))?;
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
        let started = match self.log_format {
            LogFormat::Text => log.with_ansi(Paint::stderr().is_on()).try_init(),
            LogFormat::Json => log.json().flatten_event(true).try_init(),
        };
        started.map_err(|error| Failure::failed(format!("could not start the log: {error}")))
    }

    /// Says it whatever the log's level, in the log's form.
    fn say(&self, text: &str, members: serde_json::Value) {
        say_in(self.log_format, Level::Info, text, members);
    }

    /// Said whatever the log's level: a port that was chosen by the system must be told.
    fn say_where(&self, server: &Server, store: &str) -> Result<(), Failure> {
        let address = server.address();
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        // A password in a store's URL stays out of the log.
        let store = shown_url(store);
        if self.log_format == LogFormat::Json {
            let members = serde_json::json!({ "url": url, "store": store, "version": env!("CARGO_PKG_VERSION") });
            self.say("listening", members);
            return Ok(());
        }
        say(&format!("pacioli {} listens on {url} and keeps its events in {store}", env!("CARGO_PKG_VERSION")));
        // From this machine an unspecified address is reached through the loopback.
        let reachable = match address.ip().is_unspecified() {
            true => format!("{scheme}://localhost:{}", address.port()),
            false => url,
        };
        let mut next = r#"pacioli append account-1 --type AccountOpened --data '{"owner":"Luca"}'"#.to_owned();
        if reachable != SERVER_DEFAULT {
            next.push_str(&format!(" --server {reachable}"));
        }
        if self.tokens.is_some() {
            next.push_str(" --token TOKEN");
        }
        say(&format!("next, in another terminal: {next}"));
        Ok(())
    }
}

/// How much a line matters.
#[derive(Clone, Copy, Debug)]
enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        }
    }
}

/// A line of text, or a JSON object with these members.
fn say_in(form: LogFormat, level: Level, text: &str, members: serde_json::Value) {
    if form == LogFormat::Text {
        return say(text);
    }
    let mut line = serde_json::json!({ "level": level.word(), "message": text });
    if let (Some(line), serde_json::Value::Object(members)) = (line.as_object_mut(), members) {
        line.extend(members);
    }
    say(&line.to_string());
}

/// How long a slot may take until polling is called the way that events come.
const BUS_PATIENCE: Duration = Duration::from_secs(3);

/// Waits until it is known which way the events of others come, and says so.
async fn told_bus(store: &dyn EventStore) -> (String, serde_json::Value) {
    let settled = async {
        while matches!(store.bus(), Bus::Polling { .. }) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Whoever polls after that time does it for a reason, and says which.
    let _ = tokio::time::timeout(BUS_PATIENCE, settled).await;
    let bus = store.bus();
    match &bus {
        Bus::Memory => {
            ("events come from memory: nobody else appends".to_owned(), serde_json::json!({"bus": "memory"}))
        }
        Bus::Slot => (
            "events of other writers come by a logical replication slot".to_owned(),
            serde_json::json!({"bus": "slot"}),
        ),
        Bus::Polling { why } => (
            format!("events of other writers are polled for: {why}"),
            serde_json::json!({ "bus": "polling", "why": why }),
        ),
    }
}

/// The directives that `--log-level` stands for. One word that is louder than info is about our crates only: what the
/// libraries say of each frame would bury it. A replication session that ends is an error to the library, and to the bus
/// that makes another one a line of its own.
fn directives(level: &str) -> String {
    match level.trim().to_ascii_lowercase().as_str() {
        word @ ("debug" | "trace") => format!("info,pacioli={word},pgwire_replication=off"),
        word @ ("info" | "warn" | "error") => format!("{word},pgwire_replication=off"),
        _ => level.to_owned(),
    }
}

/// The signals that stop a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::io("could not listen for signals"));
        Ok(Signals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_loud_word_is_about_our_crates_only() {
        assert_eq!(directives("debug"), "info,pacioli=debug,pgwire_replication=off");
        assert_eq!(directives("TRACE"), "info,pacioli=trace,pgwire_replication=off");
        assert_eq!(directives("warn"), "warn,pgwire_replication=off");
        for as_given in ["off", "debug,h2=warn", "info,pacioli_server=debug"] {
            assert_eq!(directives(as_given), as_given);
            assert!(EnvFilter::try_new(directives(as_given)).is_ok());
        }
    }
}
