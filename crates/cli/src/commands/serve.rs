//! `pacioli serve`: the server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pacioli_server::{DEFAULT_LISTEN, Server, ServerConfig, TlsFiles, data_directory};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::host::stdin_closed;
use crate::output::{Paint, say};
use crate::target::{self, SERVER_DEFAULT};

/// The most partitions a store can have.
const PARTITIONS_MAX: i64 = pacioli_core::Partition::MAX_COUNT as i64;

/// Serve the events of a store over gRPC and HTTP, on one port
///
/// The first line on standard error says where it listens, the second what to type next. SIGTERM or Ctrl-C stops it:
/// appends are finished, live streams end, exit 0 within 10 seconds; a second signal ends it at once.
///
/// Any address but loopback needs --tls-cert, --tls-key and --tokens, or the word --insecure.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli serve
  pacioli serve --data /var/lib/pacioli --log-format json
  pacioli serve --store memory: --listen 127.0.0.1:0
  pacioli serve --listen 0.0.0.0:1494 --tls-cert cert.pem --tls-key key.pem --tokens tokens"#)]
pub(crate) struct Serve {
    /// Keep the events in this directory; short for --store sqlite:DIR [default: ./pacioli-data]
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    data: Option<PathBuf>,
    /// Keep the events in this store: sqlite:DIR, or memory: [env: PACIOLI_STORE]
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
        // First what may be wrong with the port, so that a server that cannot be leaves no store behind.
        let listening = Server::listen(self.config(&url)).await?;
        let opening = {
            let (url, partitions) = (url.clone(), self.partitions);
            // Recovery may take seconds, and it uses the file system.
            tokio::task::spawn_blocking(move || target::open_store_with(&url, partitions))
        };
        let store = opening.await.map_err(|error| Failure::failed(format!("opening the store failed: {error}")))??;
        let server = listening.serve(store).await;
        self.say_where(&server, &url)?;

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

    /// Said whatever the log's level: a port that was chosen by the system must be told.
    fn say_where(&self, server: &Server, store: &str) -> Result<(), Failure> {
        let address = server.address();
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        // A password in a store's URL stays out of the log.
        let store = if store.contains('@') { store.split(':').next().unwrap_or_default() } else { store };
        if self.log_format == LogFormat::Json {
            let line = serde_json::json!({
                "level": "INFO", "message": "listening", "url": url, "store": store, "version": env!("CARGO_PKG_VERSION"),
            });
            say(&line.to_string());
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

/// The directives that `--log-level` stands for. One word that is louder than info is about our crates only: what the
/// libraries say of each frame would bury it.
fn directives(level: &str) -> String {
    match level.trim().to_ascii_lowercase().as_str() {
        word @ ("debug" | "trace") => format!("info,pacioli={word}"),
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
        assert_eq!(directives("debug"), "info,pacioli=debug");
        assert_eq!(directives("TRACE"), "info,pacioli=trace");
        for as_given in ["warn", "info", "off", "debug,h2=warn", "info,pacioli_server=debug"] {
            assert_eq!(directives(as_given), as_given);
            assert!(EnvFilter::try_new(directives(as_given)).is_ok());
        }
    }
}
