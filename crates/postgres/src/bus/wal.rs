//! A source of write-ahead log: a session of PostgreSQL's replication protocol with a temporary slot of its own.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use pgwire_replication::{Lsn, PgWireError, ReplicationClient, ReplicationConfig, ReplicationEvent};
use tokio_postgres::config::{Config, Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

#[cfg(unix)]
use super::tunnel::Tunnel;
use crate::connect::Identity;

/// How long a replication session may take to be there; to a far host a connection has no other bound.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How often PostgreSQL hears at most how far the log was taken.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// `client_connection_check_interval` lets PostgreSQL notice that we left while it waits for transactions to make the
/// slot, so that no slot stays behind; of the others none may end a session that waits.
const SETTINGS: &str = "-c client_connection_check_interval=1s -c statement_timeout=0 -c lock_timeout=0 \
                        -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0";

/// Why there is no replication session, or no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// It stays so until somebody changes something.
    #[error("{0}")]
    Standing(String),
    /// The database ended it.
    #[error("the database ended the replication session: {0}")]
    Taken(String),
    /// Another try may do.
    #[error("{0}")]
    Passing(String),
}

/// Where to connect, and what to follow.
pub(super) struct Target<'a> {
    /// One host, with its credentials.
    pub(super) host: &'a Config,
    pub(super) tls: &'a MakeRustlsConnect,
    /// As whom a session on that host runs, and in which database: the driver has defaults for both.
    pub(super) user: String,
    pub(super) database: String,
    pub(super) publication: String,
    /// How the slot's name begins.
    pub(super) prefix: &'a str,
    /// The database that this has to be.
    pub(super) identity: Identity,
}

/// What a source says.
#[derive(Debug)]
pub(super) enum Message {
    /// A message of the plugin.
    Data(Bytes),
    /// A transaction is over; the log goes on here.
    Committed(u64),
    /// Nothing but a sign of life: the log has come to here.
    Alive(u64),
}

/// Follows the log from the moment its slot is made.
pub(super) trait WalSource: Sized + Send {
    /// Connects; nothing is followed yet.
    async fn connect(target: &Target<'_>) -> Result<Self, Lost>;

    /// Makes the temporary slot. That waits for every transaction that writes just now.
    async fn create_slot(&mut self) -> Result<(), Lost>;

    /// Begins to follow what is committed after the slot was made.
    async fn start(&mut self) -> Result<(), Lost>;

    /// The next message. Nothing is lost when it is not waited for to the end.
    async fn next(&mut self) -> Result<Message, Lost>;

    /// The next message, if it is there already.
    fn waiting(&mut self) -> Option<Result<Message, Lost>>;

    /// The log up to here need not be kept for us.
    fn ack(&self, up_to: u64);
}

/// A replication session. Dropping it closes the socket, and with that its slot is gone.
pub(super) struct Walsender {
    client: ReplicationClient,
    slot: String,
    /// What it goes through, where it is not to be read on its way.
    #[cfg(unix)]
    _tunnel: Option<Tunnel>,
}

impl Drop for Walsender {
    fn drop(&mut self) {
        // The client alone would ask its task to stop, which one that is still connecting does not hear.
        self.client.abort();
    }
}

impl WalSource for Walsender {
    async fn connect(target: &Target<'_>) -> Result<Walsender, Lost> {
        // Names of slots belong to the whole cluster, so also to other databases and to other processes of this store.
        let slot = format!("{}_{:016x}", target.prefix, Uuid::new_v4().as_u64_pair().1);
        #[allow(unused_mut, reason = "without unix sockets there is no tunnel")]
        let mut config = config(target, &slot)?;
        #[cfg(unix)]
        let tunnel = match target.host.get_ssl_mode() {
            SslMode::Disable => None,
            _ => {
                let open = Tunnel::open(target.tls, &config.host, config.port);
                let opened = tokio::time::timeout(CONNECT_MAX, open).await.map_err(|_| not_there())?;
                let tunnel = opened
                    .map_err(|error| Lost::Passing(format!("a replication session cannot be had by TLS: {error}")))?;
                (config.host, config.port) = (tunnel.directory(), Tunnel::PORT);
                Some(tunnel)
            }
        };
        #[cfg(not(unix))]
        if target.host.get_ssl_mode() != SslMode::Disable {
            return Err(Lost::Standing("replication by TLS needs unix sockets, which this system has not".to_owned()));
        }
        let client = ReplicationClient::connect_gated(config).await.map_err(lost)?;
        let mut walsender = Walsender {
            client,
            slot,
            #[cfg(unix)]
            _tunnel: tunnel,
        };
        let identify = tokio::time::timeout(CONNECT_MAX, walsender.client.identify_system());
        let found = identify.await.map_err(|_| not_there())?;
        let found = found.map_err(lost)?;
        let Identity { system_id, timeline } = target.identity;
        if found.system_id != (system_id as u64).to_string() || found.timeline != timeline as u32 {
            return Err(Lost::Passing("the replication session reached another database".to_owned()));
        }
        // Only what SQL runs begins to check that the client is there; the check then goes on by itself.
        let check = tokio::time::timeout(CONNECT_MAX, walsender.client.simple_query("SELECT 1"));
        match check.await {
            Ok(answer) => answer.map_err(lost)?,
            Err(_) => return Err(Lost::Passing("the replication session does not answer".to_owned())),
        };
        Ok(walsender)
    }

    async fn create_slot(&mut self) -> Result<(), Lost> {
        let create = format!("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')", self.slot);
        self.client.simple_query(&create).await.map_err(lost).map(|_| ())
    }

    async fn start(&mut self) -> Result<(), Lost> {
        self.client.start().await.map_err(lost)?;
        match tokio::time::timeout(CONNECT_MAX, self.client.wait_started()).await {
            Ok(started) => started.map_err(lost),
            Err(_) => Err(Lost::Passing("the replication session did not start".to_owned())),
        }
    }

    async fn next(&mut self) -> Result<Message, Lost> {
        loop {
            if let Some(message) = message(self.client.recv().await)? {
                return Ok(message);
            }
        }
    }

    fn waiting(&mut self) -> Option<Result<Message, Lost>> {
        loop {
            match message(self.client.recv().now_or_never()?) {
                Ok(None) => {}
                Ok(Some(message)) => return Some(Ok(message)),
                Err(lost) => return Some(Err(lost)),
            }
        }
    }

    fn ack(&self, up_to: u64) {
        self.client.update_applied_lsn(Lsn::from_u64(up_to));
    }
}

fn not_there() -> Lost {
    Lost::Passing(format!("a replication session was not there after {} s", CONNECT_MAX.as_secs()))
}

fn message(event: Result<Option<ReplicationEvent>, PgWireError>) -> Result<Option<Message>, Lost> {
    match event {
        Ok(Some(ReplicationEvent::XLogData { data, .. })) => Ok(Some(Message::Data(data))),
        Ok(Some(ReplicationEvent::Commit { end_lsn, .. })) => Ok(Some(Message::Committed(end_lsn.as_u64()))),
        Ok(Some(ReplicationEvent::KeepAlive { wal_end, .. })) => Ok(Some(Message::Alive(wal_end.as_u64()))),
        Ok(Some(ReplicationEvent::Begin { .. } | ReplicationEvent::Message { .. })) => Ok(None),
        Ok(Some(ReplicationEvent::StoppedAt { .. }) | None) => {
            Err(Lost::Passing("the replication session is over".to_owned()))
        }
        Err(error) => Err(lost(error)),
    }
}

fn config(target: &Target<'_>, slot: &str) -> Result<ReplicationConfig, Lost> {
    let Target { host, user, database, publication, .. } = target;
    let name = match host.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(directory)) => directory.to_string_lossy().into_owned(),
        None => "localhost".to_owned(),
    };
    let password = String::from_utf8(host.get_password().unwrap_or_default().to_vec())
        .map_err(|_| Lost::Standing("a replication session takes no password that is not UTF-8".to_owned()))?;
    let given = host.get_options().map(|given| format!("{given} ")).unwrap_or_default();
    let application = host.get_application_name().unwrap_or("pacioli");
    Ok(ReplicationConfig::new(name, user, password, database, slot, publication.as_str())
        .with_port(host.get_ports().first().copied().unwrap_or(5432))
        .with_status_interval(STATUS_EVERY)
        .with_wakeup_interval(STATUS_EVERY)
        .with_options(given + SETTINGS)
        .with_application_name(format!("{application}-bus")))
}

fn lost(error: PgWireError) -> Lost {
    let text = error.to_string();
    let has = |code: &str| text.contains(&format!("SQLSTATE {code}"));
    match &error {
        PgWireError::Server(_) if has("53400") => Lost::Standing(
            "all replication slots of the database are in use: raise max_replication_slots, and restart it".to_owned(),
        ),
        PgWireError::Server(_) if has("53300") => Lost::Standing(
            "the database takes no more replication sessions: raise max_wal_senders, and restart it".to_owned(),
        ),
        PgWireError::Server(_) if ["42501", "28000", "28P01"].into_iter().any(has) => {
            Lost::Standing(format!("the database refuses a replication session: {text}"))
        }
        PgWireError::Server(_) if has("57P01") => Lost::Taken(text),
        PgWireError::Auth(_) => Lost::Standing(format!("no replication session can be had: {text}")),
        _ => Lost::Passing(format!("the replication session broke: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::Location;

    #[test]
    fn a_session_goes_where_the_store_goes() {
        let tls = crate::tls::connector(None).unwrap();
        let config = |url: &str| {
            let location: Location = url.parse().unwrap();
            let target = Target {
                host: &location.hosts()[0],
                tls: &tls,
                user: "u".to_owned(),
                database: "d".to_owned(),
                publication: "s_bus".to_owned(),
                prefix: "s",
                identity: Identity { system_id: 1, timeline: 1 },
            };
            config(&target, "s_1").unwrap()
        };
        let far = config("postgres://x:secret@10.0.0.7:5433/d");
        assert_eq!((far.host.as_str(), far.port, far.password.as_str()), ("10.0.0.7", 5433, "secret"));
        assert_eq!((far.user.as_str(), far.database.as_str(), far.slot.as_str()), ("u", "d", "s_1"));
        let socket = config("postgres:///d?host=/tmp/x&port=9&options=-c%20geqo%3Doff");
        assert_eq!(socket.unix_socket_path(), std::path::Path::new("/tmp/x/.s.PGSQL.9"));
        assert_eq!(socket.password, "", "there may be none");
        assert!(socket.options.unwrap().starts_with("-c geqo=off -c client_connection_check_interval=1s"));
    }

    #[test]
    fn what_ended_a_session_says_whether_to_try_again() {
        let server = |code: &str| lost(PgWireError::Server(format!("FATAL: it says so (SQLSTATE {code})")));
        for code in ["53400", "53300", "42501", "28000", "28P01"] {
            assert!(matches!(server(code), Lost::Standing(_)), "{code}");
        }
        assert!(matches!(server("57P01"), Lost::Taken(_)));
        for code in ["55000", "42704", "57P02", "57P03", "XX000"] {
            assert!(matches!(server(code), Lost::Passing(_)), "{code}");
        }
        assert!(matches!(lost(PgWireError::Auth("no".to_owned())), Lost::Standing(_)));
        assert!(matches!(lost(PgWireError::Protocol("what".to_owned())), Lost::Passing(_)));
    }
}
