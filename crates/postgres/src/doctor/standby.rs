//! The verdict before a switch: is it a standby of that primary, and what would be lost.

use std::time::Duration;

use pacioli_core::Checkpoint;
use pacioli_core::place::Epoch;

use super::server::read_settings;
use super::{Finding, Report, Thresholds, bytes, connect, seconds};
use crate::connect::{Identity, Session};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::shared::read_heads;

/// Between two looks at how far a standby has replayed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

const MAKE_ONE: &str = "make one with pg_basebackup -R from this primary, or pg_rewind a former one";

/// Says whether `standby` could take over from `primary` now, and what would be lost.
pub async fn examine_standby(primary: &Location, standby: &Location) -> Vec<Finding> {
    examine_standby_with(primary, standby, &Thresholds::default()).await
}

/// The same, with other thresholds.
pub async fn examine_standby_with(primary: &Location, standby: &Location, thresholds: &Thresholds) -> Vec<Finding> {
    let mut report = Report::default();
    let primary_session = reach(primary, "primary", &mut report).await;
    let standby_session = reach(standby, "standby", &mut report).await;
    let (Some(primary), Some(standby)) = (primary_session, standby_session) else { return report.findings };
    if !is_of(&primary, &standby, &mut report) {
        return report.findings;
    }
    let seen = streaming(&primary, &standby, &mut report).await;
    report.blind_unless("streaming", seen);
    let seen = loss(&primary, &standby, thresholds, &mut report).await;
    report.blind_unless("loss", seen);
    let seen = settings(&primary, &standby, &mut report).await;
    report.blind_unless("settings", seen);
    report.findings
}

async fn reach(location: &Location, name: &'static str, report: &mut Report) -> Option<Session> {
    match connect(location).await {
        Ok(session) => {
            report.ok(name, format!("reached {}", Location::describe(&location.hosts()[session.host])));
            Some(session)
        }
        Err(error) => {
            report.failure(name, error.to_string(), "look at the server and the URL; a standby needs hot_standby = on");
            None
        }
    }
}

fn is_of(primary: &Session, standby: &Session, report: &mut Report) -> bool {
    match problem(primary.surroundings.identity, standby.surroundings.identity) {
        None => {
            let id = primary.surroundings.identity.system_id;
            report.ok("identity", format!("a standby of that primary, system identifier {id}"));
            true
        }
        Some(problem) => {
            report.failure("identity", problem, MAKE_ONE);
            false
        }
    }
}

/// Why one cannot be a standby of the other. A standby has no timeline of its own.
fn problem(primary: Identity, standby: Identity) -> Option<String> {
    if primary.timeline == 0 {
        Some("what was given as the primary is a standby itself".to_owned())
    } else if standby.timeline != 0 {
        Some("it is no standby: it takes writes of its own".to_owned())
    } else if primary.system_id != standby.system_id {
        let (ours, theirs) = (primary.system_id, standby.system_id);
        Some(format!("it is a standby of another cluster: its system identifier is {theirs}, the primary's {ours}"))
    } else {
        None
    }
}

async fn streaming(primary: &Session, standby: &Session, report: &mut Report) -> Result<()> {
    let receiver = standby.query_opt(sql!("doctor/read_receiver"), &[]).await?;
    let Some(receiver) = receiver else {
        report.failure(
            "streaming",
            "the standby receives nothing: no receiver runs there",
            "see the standby's log, its primary_conninfo and the primary's pg_hba.conf",
        );
        return Ok(());
    };
    let (status, name): (String, String) = (receiver.try_get(0)?, receiver.try_get(1)?);
    let senders = primary.query(sql!("doctor/list_senders"), &[]).await?;
    let mut ours = Vec::new();
    for row in &senders {
        if row.try_get::<_, Option<&str>>(0)? == Some(&name) {
            ours.push(row);
        }
    }
    let [sender] = ours[..] else {
        report.warning(
            "streaming",
            format!("the receiver is {status}, but the primary has {} senders of the name {name}", ours.len()),
            "give each standby an application_name of its own in primary_conninfo, and ask as a role with pg_read_all_stats",
        );
        return Ok(());
    };
    let (state, sync): (String, String) = (sender.try_get(1)?, sender.try_get(2)?);
    let (flush, replay): (f64, f64) = (sender.try_get(3)?, sender.try_get(4)?);
    let says = format!(
        "{name} is {state}; the last commits were on its disk after {} and readable after {}",
        seconds(flush),
        seconds(replay)
    );
    match state.as_str() {
        "streaming" => report.ok("streaming", says),
        _ => report.warning("streaming", says, "wait until it is streaming"),
    }
    match sync.as_str() {
        "sync" | "quorum" => report.ok("synchronous", format!("{name} is {sync}: what is acknowledged is on its disk")),
        other => report.warning(
            "synchronous",
            format!("{name} is {other}: appends are acknowledged before it has them, and a primary that dies takes those along"),
            format!("for a ledger set synchronous_standby_names = 'ANY 1 ({name}, another)', with two standbys or more"),
        ),
    }
    Ok(())
}

/// How far a standby has come, in bytes of write-ahead log.
struct Reached {
    received: f64,
    replayed: f64,
    is_paused: bool,
    age: f64,
}

async fn reached(standby: &Session) -> Result<Reached> {
    let row = standby.query_one(sql!("doctor/read_received"), &[]).await?;
    Ok(Reached {
        received: row.try_get(0)?,
        replayed: row.try_get(1)?,
        is_paused: row.try_get(2)?,
        age: row.try_get(3)?,
    })
}

/// The heads of both, in this order, so that what is committed meanwhile counts neither as there nor as lost.
async fn loss(primary: &Session, standby: &Session, thresholds: &Thresholds, report: &mut Report) -> Result<()> {
    let there = primary.query_one(sql!("find_relation"), &[&"heads"]).await?;
    let has_store = there.try_get::<_, Option<String>>(0)?.is_some();
    let heads = if has_store { Some(read_heads(primary, Epoch::FIRST).await?) } else { None };
    let row = primary.query_one(sql!("doctor/read_written"), &[]).await?;
    let written: f64 = row.try_get(0)?;

    // What it received it will replay before it takes writes, so that is what counts: wait for it.
    let patience = tokio::time::Instant::now() + thresholds.replay;
    let mut far = reached(standby).await?;
    while far.replayed < far.received.min(written) && !far.is_paused && tokio::time::Instant::now() < patience {
        tokio::time::sleep(LOOK_EVERY).await;
        far = reached(standby).await?;
    }
    // Asked again, since it went on writing meanwhile.
    let written_now: f64 = primary.query_one(sql!("doctor/read_written"), &[]).await?.try_get(0)?;
    if far.replayed > written_now {
        let says = "it has replayed more than the primary has written: their logs have parted";
        report.failure("identity", says, MAKE_ONE);
    }
    let behind = (written - far.received).max(0.0);
    let says = format!(
        "{} of write-ahead log are not received, {} received and not replayed; the last transaction replayed is {} old",
        bytes(behind),
        bytes((far.received - far.replayed).max(0.0)),
        seconds(far.age)
    );
    if far.is_paused {
        report.warning("lag", format!("{says}; replay is paused"), "SELECT pg_wal_replay_resume() on the standby");
    } else if behind > thresholds.behind as f64 {
        report.warning("lag", says, "wait until it has caught up, or see what holds it up");
    } else {
        report.ok("lag", says);
    }
    match heads {
        None => report.ok("loss", "there is no store in this schema of the primary"),
        Some(heads) if behind == 0.0 => {
            report.ok("loss", format!("nothing: it has all that was committed up to {heads}"));
        }
        Some(heads) => {
            let theirs = match read_heads(standby, Epoch::FIRST).await {
                Ok(theirs) => theirs,
                Err(Error::Postgres(_)) => Checkpoint::start(heads.partitions(), Epoch::FIRST),
                Err(error) => return Err(error),
            };
            tell_loss(&heads, &theirs, far.replayed >= far.received, report);
        }
    }
    Ok(())
}

fn tell_loss(heads: &Checkpoint, theirs: &Checkpoint, is_exact: bool, report: &mut Report) {
    let lost: Vec<(u16, u64)> = heads
        .iter()
        .map(|place| (place.partition.0, place.position.0.saturating_sub(theirs.position(place.partition).0)))
        .filter(|(_, events)| *events > 0)
        .collect();
    let total: u64 = lost.iter().map(|(_, events)| events).sum();
    if total == 0 {
        report.ok("loss", format!("no event: it has all up to {heads}, and lacks other changes only"));
        return;
    }
    let each: Vec<String> =
        lost.iter().map(|(partition, events)| format!("{events} in partition {partition}")).collect();
    let up_to = if is_exact { "" } else { "at most " };
    report.warning(
        "loss",
        format!(
            "{up_to}{total} events would be lost: {}; the primary is at {heads}, the standby at {theirs}",
            each.join(", ")
        ),
        "stop the servers, wait until this line says nothing, and switch then",
    );
}

async fn settings(primary: &Session, standby: &Session, report: &mut Report) -> Result<()> {
    let names =
        ["data_checksums", "wal_log_hints", "wal_level", "wal_keep_size", "fsync", "full_page_writes", "hot_standby"];
    let (here, there) = (read_settings(primary, &names).await?, read_settings(standby, &names).await?);
    let on = |name: &str| here.get(name).is_some_and(|(now, _)| now == "on");
    if on("data_checksums") || on("wal_log_hints") {
        let keeps = here.get("wal_keep_size").map_or("0", |(now, _)| now.as_str());
        report.hint(
            "rewind",
            format!("the old primary can be rewound to follow the new one; wal_keep_size is {keeps} MB"),
            "pg_rewind needs the write-ahead log back to the switch: keep an archive, or enough of it",
        );
    } else {
        report.warning(
            "rewind",
            "neither data_checksums nor wal_log_hints is on: pg_rewind cannot make a standby of the old primary",
            "set wal_log_hints = on and restart, or take a new base backup after the switch",
        );
    }
    for name in ["fsync", "full_page_writes"] {
        if there.get(name).is_none_or(|(now, _)| now != "on") {
            report.failure(
                name,
                "off on the standby: a server refuses to work with it after the switch",
                format!("set {name} = on there"),
            );
        }
    }
    let level = |settings: &std::collections::HashMap<String, (String, String)>| {
        settings.get("wal_level").map_or_else(String::new, |(now, _)| now.clone())
    };
    if level(&here) == level(&there) {
        report.ok("wal_level", format!("{} on both", level(&there)));
    } else {
        report.warning(
            "wal_level",
            format!(
                "{} here and {} on the standby: after the switch events may come another way",
                level(&here),
                level(&there)
            ),
            "set the same wal_level on both",
        );
    }
    let (ours, theirs) = (primary.surroundings.version, standby.surroundings.version);
    if ours == theirs {
        report.ok("version", format!("both are {}.{}", ours / 10_000, ours % 10_000));
    } else {
        report.warning("version", format!("{ours} and {theirs}"), "bring both to the same minor version");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;
    use pacioli_core::Position;

    #[test]
    fn a_standby_is_one_of_that_primary_and_takes_no_writes() {
        let at = |system_id, timeline| Identity { system_id, timeline };
        assert_eq!(problem(at(7, 2), at(7, 0)), None);
        let says = |primary, standby| problem(primary, standby).expect("a problem");
        assert!(says(at(7, 0), at(7, 0)).contains("a standby itself"));
        assert!(says(at(7, 1), at(7, 1)).contains("no standby"));
        assert!(says(at(7, 1), at(8, 0)).contains("another cluster: its system identifier is 8, the primary's 7"));
    }

    #[test]
    fn what_would_be_lost_is_told_by_partition() {
        let at = |positions: [u64; 3]| Checkpoint::new(positions.map(Position), Epoch::FIRST);
        let tell = |theirs, exact| {
            let mut report = Report::default();
            tell_loss(&at([10, 20, 30]), &at(theirs), exact, &mut report);
            report.findings.remove(0)
        };
        let lost = tell([10, 15, 28], true);
        assert_eq!(lost.severity, Severity::Warning);
        assert!(lost.says.starts_with("7 events would be lost: 5 in partition 1, 2 in partition 2;"), "{}", lost.says);
        assert!(tell([10, 15, 28], false).says.starts_with("at most 7"));
        let whole = tell([10, 20, 31], true);
        assert_eq!(whole.severity, Severity::Ok, "{}", whole.says);
    }
}
