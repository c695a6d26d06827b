//! Looks at everything that the promises rest on, and says what to do where they do not hold.
//!
//! Each line has a name, which the table in `docs/reference/doctor.md` explains. A check that cannot be made is a line too:
//! what is not seen is not vouched for. It only reads.

mod access;
mod bus;
mod log;
mod reader;
mod server;
mod sessions;
mod standby;

use std::time::Duration;

use pacioli_core::store::{Bus, StoreError};
use tokio_postgres::error::SqlState;

use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;

pub use standby::{examine_standby, examine_standby_with};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// The promises hold, but something is slower, weaker or nearer to its end than it need be.
    Warning,
    /// A promise does not hold, or soon will not.
    Failure,
}

impl Severity {
    /// One word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Failure => "failure",
        }
    }
}

/// One line of what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub says: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// From when on something is worth a warning.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// A transaction that is open for longer.
    pub transaction: Duration,
    /// A session that holds the lock of a head, or waits for it, for longer.
    pub head: Duration,
    /// The clocks of this machine and of the database differ by more.
    pub skew: Duration,
    /// A slot keeps more bytes of write-ahead log.
    pub retained: u64,
    /// A standby has received less than all but so many bytes.
    pub behind: u64,
    /// How long a standby is waited for that has not replayed yet what it received.
    pub replay: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            transaction: Duration::from_secs(60),
            head: Duration::from_secs(1),
            skew: Duration::from_millis(500),
            retained: 1 << 30,
            behind: 16 << 20,
            replay: Duration::from_secs(5),
        }
    }
}

/// Looks at the store at `location`, at its database and its server. Whatever is wrong is a finding.
pub async fn examine(location: &Location) -> Vec<Finding> {
    examine_with(location, &Thresholds::default()).await
}

/// The same, with other thresholds.
pub async fn examine_with(location: &Location, thresholds: &Thresholds) -> Vec<Finding> {
    let mut report = Report::default();
    let session = match connect(location).await {
        Ok(session) => session,
        Err(error) => {
            report.failure("connection", error.to_string(), "look at the server, at the URL, and at what is between");
            return report.findings;
        }
    };
    let session = &session;
    report.ok("connection", format!("reached {}", Location::describe(&location.hosts()[session.host])));
    let seen = server::server(session, &mut report);
    report.blind_unless("version", seen);
    let seen = server::settings(session, &mut report).await;
    report.blind_unless("settings", seen);
    let seen = server::clock(session, thresholds, &mut report).await;
    report.blind_unless("clock", seen);
    let seen = server::connections(session, &mut report).await;
    report.blind_unless("connections", seen);
    let seen = bus::slots(session, thresholds, &mut report).await;
    report.blind_unless("slots", seen);
    let seen = bus::way(session, location.schema(), &mut report).await;
    report.blind_unless("bus", seen);
    let seen = access::login(session, &mut report).await;
    report.blind_unless("login", seen);
    let seen = access::trust(session, &mut report).await;
    report.blind_unless("pg_hba", seen);
    let seen = sessions::transactions(session, thresholds, &mut report).await;
    report.blind_unless("transactions", seen);
    let seen = sessions::prepared(session, &mut report).await;
    report.blind_unless("prepared", seen);
    match log::schema(session, location.schema(), &mut report).await {
        Ok(true) => store(session, location, thresholds, &mut report).await,
        Ok(false) => {}
        Err(error) => report.blind("schema", &error),
    }
    report.findings
}

/// What there is to see once there is a store.
async fn store(session: &Session, location: &Location, thresholds: &Thresholds, report: &mut Report) {
    let schema = location.schema();
    let seen = log::epoch(session, report).await;
    report.blind_unless("epoch", seen);
    let seen = log::chunks(session, report).await;
    report.blind_unless("chunks", seen);
    let seen = log::periods(session, report).await;
    report.blind_unless("periods", seen);
    let seen = access::roles(session, schema, report).await;
    report.blind_unless("roles", seen);
    let seen = access::guards(session, schema, report).await;
    report.blind_unless("guards", seen);
    let seen = access::grants(session, schema, report).await;
    report.blind_unless("grants", seen);
    let seen = Box::pin(reader::reader(session, location, report)).await;
    report.blind_unless("reader", seen);
    let seen = sessions::heads(session, thresholds, report).await;
    report.blind_unless("heads", seen);
}

/// Which way the events of other writers would come to a server that opens this location now, and why. A running server says
/// it of itself: see [`pacioli_core::EventStore::bus`].
///
/// # Errors
/// The database cannot be reached.
pub async fn bus(location: &Location) -> std::result::Result<Bus, StoreError> {
    let work = async { bus::find(&connect(location).await?, location.schema()).await };
    work.await.map_err(Error::into_store_error)
}

/// A session that only looks, for a bounded time; the primary's where there is one.
async fn connect(location: &Location) -> Result<Session> {
    let connector = Connector::new(location.clone()).map_err(|error| Error::Store(error.reason))?;
    let session = match connector.connect(Purpose::Maintain).await {
        Ok(session) => session,
        Err(error) => connector.or_standby().connect(Purpose::Maintain).await.map_err(|_| error)?,
    };
    session.batch_execute("SET default_transaction_read_only = on; SET statement_timeout = '15s'").await?;
    Ok(session)
}

/// Collects findings.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, name: &'static str, severity: Severity, says: String, advice: Option<String>) {
        self.findings.push(Finding { name, severity, says, advice });
    }

    fn ok(&mut self, name: &'static str, says: impl Into<String>) {
        self.add(name, Severity::Ok, says.into(), None);
    }

    /// As it should be, and could be better.
    fn hint(&mut self, name: &'static str, says: impl Into<String>, advice: impl Into<String>) {
        self.add(name, Severity::Ok, says.into(), Some(advice.into()));
    }

    fn warning(&mut self, name: &'static str, says: impl Into<String>, advice: impl Into<String>) {
        self.add(name, Severity::Warning, says.into(), Some(advice.into()));
    }

    fn failure(&mut self, name: &'static str, says: impl Into<String>, advice: impl Into<String>) {
        self.add(name, Severity::Failure, says.into(), Some(advice.into()));
    }

    /// A check that could not be made.
    fn blind(&mut self, name: &'static str, error: &Error) {
        let advice = match error.state() {
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => "ask again as a role that may look",
            _ => "ask again, and look at the server's log",
        };
        self.warning(name, format!("could not be looked at: {error}"), advice);
    }

    fn blind_unless(&mut self, name: &'static str, seen: Result<()>) {
        if let Err(error) = seen {
            self.blind(name, &error);
        }
    }
}

/// Bytes as people say them.
fn bytes(count: f64) -> String {
    const UNITS: [(&str, f64); 3] = [("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1_024.0)];
    match UNITS.iter().find(|(_, size)| count.abs() >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count / size),
        None => format!("{count:.0} bytes"),
    }
}

/// Seconds as people say them.
fn seconds(count: f64) -> String {
    match count {
        count if count >= 7_200.0 => format!("{:.1} h", count / 3_600.0),
        count if count >= 120.0 => format!("{:.0} min", count / 60.0),
        count if count >= 10.0 => format!("{count:.0} s"),
        count if count >= 1.0 => format!("{count:.1} s"),
        count => format!("{:.0} ms", count * 1_000.0),
    }
}
