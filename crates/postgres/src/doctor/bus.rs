//! Which way the events of other writers come, and what slots cost.

use pacioli_core::store::Bus;

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

/// What a follower of the log needs, as the bus asks for it.
struct Means {
    wal_level: String,
    may_replicate: bool,
    /// Where there is a store.
    has_publication: Option<bool>,
    login: String,
}

async fn means(session: &Session, schema: &str) -> Result<Means> {
    let there = session.query_one(sql!("find_relation"), &[&format!("{schema}.commits")]).await?;
    let has_store = there.try_get::<_, Option<String>>(0)?.is_some();
    let row = session.query_one(sql!("look_for_bus"), &[&format!("{schema}_bus"), &schema]).await?;
    let has_publication: bool = row.try_get(2)?;
    Ok(Means {
        wal_level: row.try_get(0)?,
        may_replicate: row.try_get(1)?,
        has_publication: has_store.then_some(has_publication),
        login: row.try_get(3)?,
    })
}

/// Finds which way events would come to a server that logs in like this session.
pub(super) async fn find(session: &Session, schema: &str) -> Result<Bus> {
    Ok(way_of(&means(session, schema).await?, &room(session).await?))
}

fn way_of(means: &Means, room: &Room) -> Bus {
    let why = if means.wal_level != "logical" {
        format!("wal_level is {} and not logical", means.wal_level)
    } else if !means.may_replicate {
        format!("the role {} may not replicate", means.login)
    } else if means.has_publication == Some(false) {
        "there is no publication of the commits: let the owner run `pacioli init`".to_owned()
    } else if room.slots >= room.slots_max {
        format!("all {} replication slots are taken", room.slots_max)
    } else if room.senders >= room.senders_max {
        format!("all {} senders are taken", room.senders_max)
    } else {
        return Bus::Slot;
    };
    Bus::Polling { why }
}

pub(super) async fn way(session: &Session, schema: &str, report: &mut Report) -> Result<()> {
    let means = means(session, schema).await?;
    if means.may_replicate {
        report.ok("replicate", format!("{} may replicate", means.login));
    } else {
        report.warning(
            "replicate",
            format!("{} may not replicate, and the right is not inherited from another role", means.login),
            format!("ALTER ROLE \"{}\" REPLICATION, as a superuser", means.login),
        );
    }
    match way_of(&means, &room(session).await?) {
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
        let way = |wal_level: &str, may_replicate, has_publication, slots, senders| {
            let means =
                Means { wal_level: wal_level.to_owned(), may_replicate, has_publication, login: "app".to_owned() };
            match way_of(&means, &Room { slots_max: 2, slots, senders_max: 3, senders }) {
                Bus::Polling { why } => why,
                other => other.word().to_owned(),
            }
        };
        assert_eq!(way("logical", true, Some(true), 1, 2), "slot");
        assert_eq!(way("logical", true, None, 1, 2), "slot", "a store that is made has one");
        assert!(way("replica", true, Some(true), 0, 0).contains("wal_level is replica"));
        assert!(way("logical", false, Some(true), 0, 0).contains("app may not replicate"));
        assert!(way("logical", true, Some(false), 0, 0).contains("no publication"));
        assert!(way("logical", true, Some(true), 2, 0).contains("all 2 replication slots"));
        assert!(way("logical", true, Some(true), 0, 3).contains("all 3 senders"));
    }
}
