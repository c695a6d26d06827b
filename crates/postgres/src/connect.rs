//! Connections: which host takes writes, and how a session is set up for what it is to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use futures::future::poll_fn;
use pacioli_core::StoreError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres::error::Severity;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result, describe};
use crate::location::Location;
use crate::metered::{Meter, Metered, host_name};
use crate::tls;

/// How long a host may take to give a connection, where its configuration does not say.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How long what is asked on a connection may take: a page of a log, on a database that is busy with other things.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long the heads may take, which are a row a partition: all that is new waits for them.
const HEADS_PATIENCE: Duration = Duration::from_secs(5);

/// What a session is for, and so how it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It appends. Its statements are few and each has one right plan, whatever the statistics said when it was made.
    Append,
    /// It reads. Bounds must be known to the planner, which then leaves out the chunks they exclude; and what it reads lies
    /// in the order of an index, which it must not sort again where it has no statistics yet.
    Read,
    /// It makes tables, takes leases, looks around.
    Maintain,
    /// It folds events into tables and makes those.
    Project,
    /// It runs queries that people wrote: without rights to write, with bounds, and with names that lead where they may.
    Query,
}

impl Purpose {
    /// Settings of the session, as the server's command line takes them.
    fn options(self, schema: &str) -> String {
        // synchronous_commit is looked at once the session is there: a stricter one than `on` must stay.
        let common = format!("-c search_path={schema} -c TimeZone=UTC -c statement_timeout=0 -c DateStyle=ISO");
        let own = match self {
            // PostgreSQL's own functions come before whatever else has their name.
            Purpose::Query => {
                return format!(
                    "-c search_path=pg_catalog,{schema}_read,pg_temp -c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres \
                     -c standard_conforming_strings=on -c bytea_output=hex -c row_security=on \
                     -c default_transaction_read_only=on -c default_transaction_isolation=read\\ committed \
                     -c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s \
                     -c client_connection_check_interval=1s -c work_mem=32MB -c max_parallel_workers_per_gather=2 -c jit=off"
                );
            }
            Purpose::Append => {
                "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off -c jit=off \
                 -c lock_timeout=2s -c idle_in_transaction_session_timeout=5s -c client_connection_check_interval=1s \
                 -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"
            }
            Purpose::Read => {
                "-c plan_cache_mode=force_custom_plan -c enable_seqscan=off -c enable_bitmapscan=off -c jit=off \
                 -c default_transaction_read_only=on \
                 -c idle_in_transaction_session_timeout=60s"
            }
            Purpose::Maintain => "-c lock_timeout=5s -c default_transaction_read_only=off",
            Purpose::Project => {
                "-c jit=off -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s \
                 -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"
            }
        };
        format!("{common} {own}")
    }
}

/// The database behind a connection: the cluster, and the timeline that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) system_id: i64,
    pub(crate) timeline: i32,
}

/// What a new connection finds.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) identity: Identity,
    /// As `server_version_num`: 150018 is 15.18.
    pub(crate) version: i32,
    pub(crate) encoding: String,
    pub(crate) fsync: bool,
    pub(crate) full_page_writes: bool,
}

/// One connection, its prepared statements, and where it leads.
pub(crate) struct Session {
    client: ClientWrapper,
    warned: Arc<AtomicBool>,
    /// Whether an answer did not come in time.
    stalled: AtomicBool,
    /// What may come in, where that is bounded.
    pub(crate) meter: Option<Arc<Meter>>,
    /// The newest primary that was met by anybody.
    newest: watch::Receiver<Option<Identity>>,
    /// Which of the location's hosts.
    pub(crate) host: usize,
    pub(crate) surroundings: Surroundings,
}

impl std::ops::Deref for Session {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl Session {
    /// Whether the server warned since this was last asked. A warning at COMMIT says that the wait for a synchronous
    /// standby was given up.
    pub(crate) fn was_warned(&self) -> bool {
        self.warned.swap(false, Ordering::AcqRel)
    }

    /// Waits for what is done on this connection, but not for ever: a socket whose other end has stalled never ends a wait,
    /// and what the primary of yesterday would answer is of no use once another one was met.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.within_at_most(ANSWER_PATIENCE, work).await
    }

    /// The same for the heads.
    pub(crate) async fn soon<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.within_at_most(HEADS_PATIENCE, work).await
    }

    async fn within_at_most<T>(&self, patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(patience, self.while_primary(work)).await {
            Ok(done) => done,
            Err(_) => {
                self.stalled.store(true, Ordering::Release);
                Err(Error::Unreachable(format!(
                    "the database did not answer for {} s; look at its load and at the network, then try again",
                    patience.as_secs()
                )))
            }
        }
    }

    /// Waits for what may take long on this connection, until another primary was met.
    pub(crate) async fn while_primary<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.is_left() => {
                self.stalled.store(true, Ordering::Release);
                Err(Error::Unreachable("another database took over from the one that was asked".to_owned()))
            }
        }
    }

    /// Returns once another primary was met than the one that this leads to.
    async fn is_left(&self) {
        let mut newest = self.newest.clone();
        let mine = self.surroundings.identity;
        if newest.wait_for(|newest| newest.is_some_and(|newest| newest != mine)).await.is_err() {
            std::future::pending().await
        }
    }

    /// Does work that must come to its end: one that is given up in the middle takes the connection with it, and so its
    /// transaction.
    pub(crate) async fn whole<T>(&self, work: impl Future<Output = T>) -> T {
        struct Unfinished<'a>(&'a AtomicBool, bool);
        impl Drop for Unfinished<'_> {
            fn drop(&mut self) {
                if self.1 {
                    self.0.store(true, Ordering::Release);
                }
            }
        }
        let mut unfinished = Unfinished(&self.stalled, true);
        let done = work.await;
        unfinished.1 = false;
        done
    }

    /// Whether nothing can be asked on it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closed() || self.stalled.load(Ordering::Acquire)
    }
}

/// Makes connections to the primary among a location's hosts.
#[derive(Clone)]
pub(crate) struct Connector {
    location: Arc<Location>,
    tls: MakeRustlsConnect,
    /// Whether a standby will do: there is nothing but one to look at.
    standby_will_do: bool,
    /// The newest timeline that was met. An old primary that comes back on its own is told by it.
    newest: Arc<watch::Sender<Option<Identity>>>,
    /// The host to ask first.
    first: Arc<AtomicUsize>,
    /// Whether a database will do that may lose what it acknowledges.
    loss_is_accepted: bool,
}

impl Connector {
    /// # Errors
    /// The certificate authorities cannot be read.
    pub(crate) fn new(location: Location) -> std::result::Result<Connector, StoreError> {
        let tls = tls::connector(location.root_cert().map(std::path::PathBuf::as_path))?;
        Ok(Connector {
            location: Arc::new(location),
            tls,
            standby_will_do: false,
            newest: Arc::default(),
            first: Arc::default(),
            loss_is_accepted: true,
        })
    }

    /// The same, refusing databases that do not keep what they acknowledge: each one, since a standby may be set up
    /// otherwise than the primary it takes over from.
    pub(crate) fn that_keeps(mut self) -> Connector {
        self.loss_is_accepted = false;
        self
    }

    /// The same, content with a standby.
    pub(crate) fn or_standby(mut self) -> Connector {
        self.standby_will_do = true;
        self
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    pub(crate) fn tls(&self) -> &MakeRustlsConnect {
        &self.tls
    }

    /// Connects to a host that takes writes; the one that did last is asked first.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with what each host said.
    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<Session> {
        let (mut problems, mut answered) = (Vec::new(), false);
        let hosts = self.location.hosts();
        let first = self.first.load(Ordering::Relaxed);
        for step in 0..hosts.len() {
            let index = (first + step) % hosts.len();
            let host = &hosts[index];
            // Who gives up waiting for a host that hangs begins with the next one.
            self.first.store((index + 1) % hosts.len(), Ordering::Relaxed);
            // The driver bounds how long the socket takes, and not what a stalled server does with it.
            let patience = host.get_connect_timeout().copied().unwrap_or(CONNECT_PATIENCE);
            let connected = tokio::time::timeout(patience, self.connect_to(index, host, purpose));
            match connected.await.unwrap_or_else(|_| Err(Error::Unreachable(format!("no answer in {patience:?}")))) {
                Ok(session) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(session);
                }
                Err(error) => {
                    answered |= matches!(error, Error::Store(_));
                    problems.push(format!("{}: {}", Location::describe(host), explain(&error)));
                }
            }
        }
        let cannot = if answered { "the database cannot be used" } else { "the database cannot be reached" };
        Err(Error::Unreachable(format!("{cannot}: {}", problems.join("; "))))
    }

    async fn connect_to(&self, index: usize, host: &Config, purpose: Purpose) -> Result<Session> {
        let mut config = host.clone();
        let given = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
        config.options(given + &purpose.options(self.location.schema()));
        let warned = Arc::new(AtomicBool::new(false));
        let meter = (purpose == Purpose::Query).then(Meter::new);
        let (client, driver) = if let Some(meter) = &meter {
            self.connect_metered(&config, Arc::clone(meter), Arc::clone(&warned)).await?
        } else if config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await?;
            (client, drive(connection, Arc::clone(&warned)))
        } else {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            (client, drive(connection, Arc::clone(&warned)))
        };
        let client = ClientWrapper::new(client, driver);
        let surroundings = look_around(&client, self.standby_will_do).await?;
        if !self.loss_is_accepted {
            refuse_loss(&surroundings)?;
        }
        if !self.standby_will_do {
            self.refuse_outdated(surroundings.identity)?;
        }
        let newest = self.newest.subscribe();
        Ok(Session { client, warned, stalled: AtomicBool::new(false), meter, newest, host: index, surroundings })
    }

    async fn connect_metered(
        &self,
        config: &Config,
        meter: Arc<Meter>,
        warned: Arc<AtomicBool>,
    ) -> Result<(Client, JoinHandle<()>)> {
        let socket = Metered::dial(config, meter).await.map_err(|error| Error::Unreachable(error.to_string()))?;
        if config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = config.connect_raw(socket, NoTls).await?;
            return Ok((client, drive(connection, warned)));
        }
        let tls = self.tls_for(config)?;
        let (client, connection) = config.connect_raw(socket, tls).await?;
        Ok((client, drive(connection, warned)))
    }

    fn tls_for(&self, config: &Config) -> Result<<MakeRustlsConnect as MakeTlsConnect<Metered>>::TlsConnect> {
        let mut tls = self.tls.clone();
        MakeTlsConnect::<Metered>::make_tls_connect(&mut tls, host_name(config))
            .map_err(|error| Error::Unreachable(error.to_string()))
    }

    /// Asks the server to stop what a connection is doing. Whether it did shows on the connection itself.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) async fn cancel(&self, host: usize, token: &CancelToken) -> Result<()> {
        let config = &self.location.hosts()[host];
        let socket =
            Metered::dial(config, Meter::new()).await.map_err(|error| Error::Unreachable(error.to_string()))?;
        if config.get_ssl_mode() == SslMode::Disable {
            token.cancel_query_raw(socket, NoTls).await?;
        } else {
            token.cancel_query_raw(socket, self.tls_for(config)?).await?;
        }
        Ok(())
    }

    /// Refuses the primary of before a failover, which may have come back and take writes that nobody will keep.
    fn refuse_outdated(&self, met: Identity) -> Result<()> {
        let mut outdated = None;
        self.newest.send_if_modified(|newest| match *newest {
            Some(newest) if newest.system_id == met.system_id && met.timeline < newest.timeline => {
                outdated = Some(newest);
                false
            }
            _ => newest.replace(met) != Some(met),
        });
        match outdated {
            Some(newest) => Err(Error::Store(format!(
                "this is the primary of timeline {}, and timeline {} was seen already: stop it and make it a standby of \
                 the new primary; if it was restored on purpose, restart this process",
                met.timeline, newest.timeline
            ))),
            None => Ok(()),
        }
    }
}

/// What a host said, and what to do where its own words leave that open.
fn explain(error: &Error) -> String {
    let said = error.to_string();
    if said.contains("password missing") {
        return "it asks for a password, and there is none: write postgres://USER:PASSWORD@HOST/DATABASE, or set PGPASSWORD"
            .to_owned();
    }
    if error.state() == Some(&SqlState::INVALID_CATALOG_NAME) {
        return format!("{said}; make it with CREATE DATABASE");
    }
    said
}

/// Refuses a database that may lose what it has acknowledged.
fn refuse_loss(surroundings: &Surroundings) -> Result<()> {
    let off = [("fsync", surroundings.fsync), ("full_page_writes", surroundings.full_page_writes)];
    let Some((setting, _)) = off.iter().find(|(_, on)| !on) else { return Ok(()) };
    Err(Error::Store(format!(
        "{setting} is off: after a crash of that machine, acknowledged appends are lost or the log is torn; set {setting} = \
         on, or say --accept-data-loss"
    )))
}

/// Runs a connection until it ends, and notes what the server warns of.
fn drive<S, T>(mut connection: Connection<S, T>, warned: Arc<AtomicBool>) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                // The plain severity is in the server's language.
                // A rollback behind a COMMIT that failed finds nothing to roll back.
                Ok(AsyncMessage::Notice(notice)) if *notice.code() == SqlState::NO_ACTIVE_SQL_TRANSACTION => {}
                Ok(AsyncMessage::Notice(notice)) if notice.parsed_severity() == Some(Severity::Warning) => {
                    tracing::warn!(message = notice.message(), "PostgreSQL warns");
                    warned.store(true, Ordering::Release);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(error = describe(&error), "a connection to PostgreSQL ended");
                    return;
                }
            }
        }
    })
}

async fn look_around(client: &Client, standby_will_do: bool) -> Result<Surroundings> {
    let row = client.query_one(sql!("look_around"), &[]).await?;
    let timeline: Option<i32> = row.get(2);
    if timeline.is_none() && !standby_will_do {
        return Err(Error::Store("this is a standby, which takes no writes".to_owned()));
    }
    let commit_waits_for: String = row.get(7);
    if matches!(commit_waits_for.as_str(), "off" | "local" | "remote_write") {
        // Whatever the role or the database prefers, an acknowledged append is on disk.
        client.batch_execute("SET synchronous_commit = on").await?;
    }
    Ok(Surroundings {
        identity: Identity { system_id: row.get(1), timeline: timeline.unwrap_or_default() },
        version: row.get(3),
        encoding: row.get(4),
        fsync: row.get(5),
        full_page_writes: row.get(6),
    })
}
