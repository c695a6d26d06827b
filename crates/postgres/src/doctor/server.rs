//! The server behind the store: its version, its settings, its clock.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Report, Thresholds, seconds};
use crate::connect::Session;
use crate::error::Result;

const OLDEST: i32 = 15;
const NEWEST: i32 = 18;
/// Sessions of one server: up to 4 writers and 16 readers, one for upkeep, and two in passing.
const SESSIONS_A_SERVER: i32 = 23;

/// The settings that are looked at, which is more than one query may ask for by name.
const NAMES: &[&str] = &[
    "autovacuum",
    "data_checksums",
    "data_sync_retry",
    "fsync",
    "full_page_writes",
    "idle_in_transaction_session_timeout",
    "max_slot_wal_keep_size",
    "synchronous_commit",
    "transaction_timeout",
    "wal_level",
];

/// What the connection itself told. It cannot fail, but is called like those that can.
pub(super) fn server(session: &Session, report: &mut Report) -> Result<()> {
    let here = &session.surroundings;
    let major = here.version / 10_000;
    let version = format!("PostgreSQL {major}.{}", here.version % 10_000);
    match major {
        OLDEST..=NEWEST => report.ok("version", version),
        older if older < OLDEST => {
            report.failure("version", format!("{version} is too old"), format!("upgrade to {OLDEST} or newer"));
        }
        _ => report.warning(
            "version",
            format!("{version} is newer than what this build was tested with"),
            format!("use {OLDEST} to {NEWEST}, or a newer build"),
        ),
    }
    match here.encoding.as_str() {
        "UTF8" => report.ok("encoding", "UTF8"),
        other => report.failure(
            "encoding",
            format!("the database's encoding is {other}: names and data would be changed on their way"),
            "make a database with CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'",
        ),
    }
    match is_standby(session) {
        false => report.ok("recovery", "a primary: it takes writes"),
        true => report.failure(
            "recovery",
            "a standby, or still in recovery: it takes no writes",
            "name the primary in the URL, or several hosts; where the primary is lost, promote this one",
        ),
    }
    Ok(())
}

pub(super) fn is_standby(session: &Session) -> bool {
    session.surroundings.identity.timeline == 0
}

/// Settings as they are, and as a session of this role begins with them.
pub(super) async fn read_settings(session: &Session, names: &[&str]) -> Result<HashMap<String, (String, String)>> {
    let rows = session.query(sql!("doctor/read_settings"), &[&names]).await?;
    let setting = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
    rows.iter().map(setting).collect()
}

pub(super) async fn settings(session: &Session, report: &mut Report) -> Result<()> {
    let settings = read_settings(session, NAMES).await?;
    let get = |name: &str| settings.get(name).map_or("unknown", |(now, _)| now.as_str());
    let at_first = |name: &str| settings.get(name).map(|(_, at_first)| at_first.as_str());

    for (name, harm) in [
        ("fsync", "what was acknowledged is lost when that machine stops, and the database may be damaged"),
        ("full_page_writes", "a page that was half written when that machine stopped stays torn"),
    ] {
        match get(name) {
            "on" => report.ok(name, "on"),
            other => report.failure(
                name,
                format!("{other}: {harm}"),
                format!("set {name} = on; a server refuses to start until then"),
            ),
        }
    }
    match get("data_checksums") {
        "on" => report.ok("data_checksums", "on"),
        other => report.warning(
            "data_checksums",
            format!("{other}: a page that the disk has changed is not noticed"),
            "stop the database and run pg_checksums --enable; initdb --data-checksums for a new one",
        ),
    }
    match get("data_sync_retry") {
        "off" => report.ok("data_sync_retry", "off"),
        other => report.warning(
            "data_sync_retry",
            format!("{other}: after a failed sync the database goes on as if the data were on disk"),
            "set data_sync_retry = off",
        ),
    }
    // Our sessions set it for themselves; it is of those who append by SQL.
    match at_first("synchronous_commit").unwrap_or("unknown") {
        strict @ ("on" | "remote_apply") => report.ok("synchronous_commit", strict),
        loose => report.warning(
            "synchronous_commit",
            format!("sessions of this role begin with {loose}: the server itself uses `on`, but who appends by SQL is told `done` too early"),
            "set synchronous_commit = on, for the database and its roles",
        ),
    }
    match get("autovacuum") {
        "on" => report.ok("autovacuum", "on"),
        other => report.warning(
            "autovacuum",
            format!("{other}: chunks are not frozen and statistics grow old"),
            "set autovacuum = on",
        ),
    }
    match get("wal_level") {
        "logical" => report.ok("wal_level", "logical"),
        other => report.warning(
            "wal_level",
            format!("{other}: there can be no slot, so servers look for each other's events every 20 ms"),
            "set wal_level = logical and restart the database",
        ),
    }
    match get("max_slot_wal_keep_size") {
        "-1" => report.warning(
            "max_slot_wal_keep_size",
            "unbounded: a forgotten slot keeps write-ahead log until the disk is full",
            "set max_slot_wal_keep_size, to 20GB for example; a server that loses its slot makes another and misses nothing",
        ),
        bound => report.ok("max_slot_wal_keep_size", format!("{bound} MB")),
    }
    let bounds: Vec<String> = ["idle_in_transaction_session_timeout", "transaction_timeout"]
        .iter()
        .filter_map(|name| at_first(name).map(|value| (name, value)))
        .map(|(name, value)| if value == "0" { format!("{name} has no bound") } else { format!("{name} = {value} ms") })
        .collect();
    if bounds.iter().any(|bound| bound.ends_with("no bound")) {
        report.hint(
            "timeouts",
            bounds.join(", "),
            "what appends bounds itself; set both for other logins, ALTER ROLE name SET idle_in_transaction_session_timeout = '1min'",
        );
    } else {
        report.ok("timeouts", bounds.join(", "));
    }
    Ok(())
}

pub(super) async fn clock(session: &Session, thresholds: &Thresholds, report: &mut Report) -> Result<()> {
    // The first run of a statement is slower, and takes longer to be sent than to be answered.
    let statement = session.prepare(sql!("doctor/read_clock")).await?;
    session.query_one(&statement, &[]).await?;
    let before = SystemTime::now();
    let there: f64 = session.query_one(&statement, &[]).await?.try_get(0)?;
    let after = SystemTime::now();
    tell_clock(before, Duration::from_secs_f64(there.max(0.0) / 1_000.0), after, thresholds, report);
    Ok(())
}

/// The database's clock was read at some moment between two of ours.
fn tell_clock(before: SystemTime, there: Duration, after: SystemTime, thresholds: &Thresholds, report: &mut Report) {
    let since = |moment: SystemTime| moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let skew = there.as_secs_f64() - (since(before) + since(after)) / 2.0;
    let uncertain = (since(after) - since(before)).abs() / 2.0;
    let which = if skew < 0.0 { "behind" } else { "ahead of" };
    let says = format!(
        "the database's clock is {} {which} this machine's, give or take {}",
        seconds(skew.abs()),
        seconds(uncertain)
    );
    if skew.abs() - uncertain > thresholds.skew.as_secs_f64() {
        report.warning(
            "clock",
            says,
            "keep both with NTP: events are recorded by the database's clock, and `occurred_at` is checked against this machine's",
        );
    } else {
        report.ok("clock", says);
    }
}

pub(super) async fn connections(session: &Session, report: &mut Report) -> Result<()> {
    let row = session.query_one(sql!("doctor/read_connections"), &[]).await?;
    let (allowed, taken): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
    let says = format!("{taken} of {allowed} are taken, all databases together");
    if allowed - taken < SESSIONS_A_SERVER {
        report.warning(
            "connections",
            says,
            format!(
                "a server takes up to {SESSIONS_A_SERVER}: raise max_connections, or lower the number of its readers"
            ),
        );
    } else {
        report.ok("connections", says);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn tell(before: u64, there: u64, after: u64) -> (Severity, String) {
        let mut report = Report::default();
        let at = |millis| UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + millis);
        let there = Duration::from_millis(1_700_000_000_000 + there);
        tell_clock(at(before), there, at(after), &Thresholds::default(), &mut report);
        let finding = report.findings.remove(0);
        (finding.severity, finding.says)
    }

    #[test]
    fn clocks_that_differ_are_told_by_how_much() {
        let (severity, says) = tell(1_000, 1_001, 1_002);
        assert_eq!(severity, Severity::Ok, "{says}");
        let (severity, says) = tell(10_000, 9_201, 10_002);
        assert_eq!(severity, Severity::Warning);
        assert!(says.contains("800 ms behind") && says.contains("1 ms"), "{says}");
        let (severity, says) = tell(1_000, 4_001, 1_002);
        assert!(severity == Severity::Warning && says.contains("3.0 s ahead"), "{says}");
        // A slow answer says little about the clock.
        let (severity, says) = tell(1_000, 2_600, 3_000);
        assert_eq!(severity, Severity::Ok, "{says}");
    }
}
