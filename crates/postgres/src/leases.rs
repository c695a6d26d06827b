//! Leases: decided by core, by the database's clock, one session at a time.

use std::time::Duration;

use pacioli_core::Timestamp;
use pacioli_core::lease::{self, Lease, LeaseOutcome};

use crate::connect::Session;
use crate::error::Result;
use crate::row::Moment;

/// A lease as it is stored, and the time there.
struct Stored {
    lease: Option<Lease>,
    now: Timestamp,
}

async fn begin(session: &Session, schema: &str, name: &str) -> Result<Stored> {
    session.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    session.execute(sql!("lock_lease"), &[&schema, &name]).await?;
    let row = session.query_one(sql!("read_lease"), &[&name]).await?;
    let owner: Option<String> = row.get(1);
    let lease = owner.map(|owner| Lease {
        name: name.to_owned(),
        owner,
        token: row.get::<_, i64>(2) as u64,
        expires_at: row.get::<_, Moment>(3).0,
    });
    Ok(Stored { lease, now: row.get::<_, Moment>(0).0 })
}

async fn end(session: &Session, lease: Option<&Lease>) -> Result<()> {
    if let Some(lease) = lease {
        let token = lease.token as i64;
        session.execute(sql!("write_lease"), &[&lease.name, &lease.owner, &token, &Moment(lease.expires_at)]).await?;
    }
    session.batch_execute("COMMIT").await?;
    Ok(())
}

/// Takes or renews a lease.
pub(crate) async fn acquire(
    session: &Session,
    schema: &str,
    name: &str,
    owner: &str,
    time_to_live: Duration,
) -> Result<LeaseOutcome> {
    let stored = begin(session, schema, name).await?;
    let outcome = lease::decide(stored.lease.as_ref(), name, owner, time_to_live, stored.now);
    let held = match &outcome {
        LeaseOutcome::Held(lease) => Some(lease),
        LeaseOutcome::Taken(_) => None,
    };
    end(session, held).await?;
    Ok(outcome)
}

/// Gives a lease back; false where it was not held any more.
pub(crate) async fn release(session: &Session, schema: &str, given_back: &Lease) -> Result<bool> {
    let mut stored = begin(session, schema, &given_back.name).await?;
    let now = stored.now;
    let released = stored.lease.as_mut().is_some_and(|held| lease::release(held, given_back, now));
    end(session, stored.lease.as_ref().filter(|_| released)).await?;
    Ok(released)
}
