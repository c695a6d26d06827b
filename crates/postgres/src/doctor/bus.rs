//! Which way the events of other writers come, and what slots cost.

use pacioli_core::store::Bus;

use super::server::read_settings;
use super::{Report, Thresholds, bytes};
use crate::connect::Session;
use crate::error::Result;

/// How many slots and senders there may be, and are.
struct Room {
    slots_max: i32,
    slots: i32,
    senders_max: i32,
    senders: i32,
}

async fn room(session: &Session) -> Result<Room> {
    let row = session.query_one(sql!("doctor/read_slots"), &[]).await?;
    Ok(Room {
        slots_max: row.try_get(0)?,
        slots: row.try_get(1)?,
        senders_max: row.try_get(2)?,
        senders: row.try_get(3)?,
    })
}

pub(super) async fn slots(session: &Session, thresholds: &Thresholds, report: &mut Report) -> Result<()> {
    let Room { slots_max, slots, senders_max, senders } = room(session).await?;
    let says = format!("{slots} of {slots_max} slots and {senders} of {senders_max} senders are taken");
    if slots_max - slots < 2 || senders_max - senders < 2 {
        report.warning(
            "slots",
            says,
            "each server takes one of each, and so does each standby: raise max_replication_slots and max_wal_senders",
        );
    } else {
        report.ok("slots", says);
    }
    for row in session.query(sql!("doctor/list_slots"), &[]).await? {
        let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (temporary, active): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
        let (status, retained): (String, Option<f64>) = (row.try_get(4)?, row.try_get(5)?);
        let retained = retained.unwrap_or_default().max(0.0);
        let life = if temporary { "temporary" } else { "lasting" };
        let says = format!(
            "{name}: {life}, {kind}, {}, keeps {} of write-ahead log",
            if active { "in use" } else { "not in use" },
            bytes(retained)
        );
        let drop_it = format!("SELECT pg_drop_replication_slot('{name}') if nobody needs it");
        if status == "lost" {
            report.warning("slot", format!("{says}; it is lost: what it needs was removed"), drop_it);
        } else if retained > thresholds.retained as f64 {
            let advice = format!("see why its reader is slow, or {drop_it}");
            report.warning("slot", says, if active { advice } else { drop_it });
        } else {
            report.ok("slot", says);
        }
    }
    Ok(())
}

/// Finds which way events would come to a server that logs in like this session.
pub(super) async fn find(session: &Session) -> Result<Bus> {
    let settings = read_settings(session, &["wal_level"]).await?;
    let wal_level = settings.get("wal_level").map_or("unknown", |(now, _)| now.as_str());
    let login = super::access::read_login(session).await?;
    Ok(way_of(wal_level, &login.name, login.is_superuser || login.may_replicate, &room(session).await?))
}

fn way_of(wal_level: &str, login: &str, may_replicate: bool, room: &Room) -> Bus {
    let why = if wal_level != "logical" {
        format!("wal_level is {wal_level} and not logical")
    } else if !may_replicate {
        format!("the role {login} may not replicate: ALTER ROLE {login} REPLICATION")
    } else if room.slots >= room.slots_max {
        format!("all {} replication slots are taken", room.slots_max)
    } else if room.senders >= room.senders_max {
        format!("all {} senders are taken", room.senders_max)
    } else {
        return Bus::Slot;
    };
    Bus::Polling { why }
}

pub(super) async fn way(session: &Session, report: &mut Report) -> Result<()> {
    let login = super::access::read_login(session).await?;
    if login.is_superuser || login.may_replicate {
        report.ok("replicate", format!("{} may replicate", login.name));
    } else {
        report.warning(
            "replicate",
            format!("{} may not replicate, and the right is not inherited from another role", login.name),
            format!("ALTER ROLE {} REPLICATION, as a superuser", login.name),
        );
    }
    match find(session).await? {
        Bus::Polling { why } => report.warning(
            "bus",
            format!("events of other writers are polled for: {why}"),
            "nothing is missed; they only come some 20 ms later and cost a query each time",
        ),
        _ => report.ok("bus", "events of other writers come through a slot"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_events_is_a_slot_or_says_why_not() {
        let room = |slots, senders| Room { slots_max: 2, slots, senders_max: 3, senders };
        let why = |bus| match bus {
            Bus::Polling { why } => why,
            other => other.word().to_owned(),
        };
        assert_eq!(why(way_of("logical", "app", true, &room(1, 2))), "slot");
        assert!(why(way_of("replica", "app", true, &room(0, 0))).contains("wal_level is replica"));
        assert!(why(way_of("logical", "app", false, &room(0, 0))).contains("ALTER ROLE app REPLICATION"));
        assert!(why(way_of("logical", "app", true, &room(2, 0))).contains("all 2 replication slots"));
        assert!(why(way_of("logical", "app", true, &room(0, 3))).contains("all 3 senders"));
    }
}
