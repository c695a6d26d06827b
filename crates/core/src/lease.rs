//! Leases: who runs what, for how long, and a fencing token that tells a stale holder it was replaced.

use std::time::Duration;

use crate::append::check_consumer_name;
use crate::event::Timestamp;
use crate::store::ReadError;

/// A right to run something alone until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is held.
    pub name: String,
    /// Who holds it.
    pub owner: String,
    /// Grows with every new holder: whoever writes under a lease writes its token along, and a lower one is stale.
    pub token: u64,
    /// Until when it is held, by the store's clock.
    pub expires_at: Timestamp,
}

/// What became of the wish for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// The caller holds it now, newly or renewed.
    Held(Lease),
    /// Another owner holds it.
    Taken(Lease),
}

/// The rule for every engine: free or expired leases go to the caller under a new token, its own is renewed under the
/// same token, another's is left alone.
pub fn decide(
    current: Option<&Lease>,
    name: &str,
    owner: &str,
    time_to_live: Duration,
    now: Timestamp,
) -> LeaseOutcome {
    let micros = i64::try_from(time_to_live.as_micros()).unwrap_or(i64::MAX);
    let expires_at = Timestamp::from_micros(now.as_micros().saturating_add(micros));
    let token = match current {
        Some(lease) if lease.expires_at > now && lease.owner == owner => lease.token,
        Some(lease) if lease.expires_at > now => return LeaseOutcome::Taken(lease.clone()),
        Some(lease) => lease.token + 1,
        None => 1,
    };
    LeaseOutcome::Held(Lease { name: name.to_owned(), owner: owner.to_owned(), token, expires_at })
}

/// Gives a lease back, if it is still the one that is held: it expires now, and its token stays used.
pub fn release(held: &mut Lease, given_back: &Lease, now: Timestamp) -> bool {
    let is_held = held.owner == given_back.owner && held.token == given_back.token && held.expires_at > now;
    if is_held {
        held.expires_at = now;
    }
    is_held
}

/// Checks the names of a lease and its owner.
pub fn check(name: &str, owner: &str) -> Result<(), ReadError> {
    for (field, text) in [("name", name), ("owner", owner)] {
        check_consumer_name(field, text).map_err(|error| ReadError::Invalid { field, problem: error.problem })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_renewed_refused_and_taken_over() {
        let at = Timestamp::from_micros;
        let ttl = Duration::from_micros(10);
        let held = |outcome| match outcome {
            LeaseOutcome::Held(lease) => lease,
            LeaseOutcome::Taken(lease) => panic!("taken by {}", lease.owner),
        };
        let first = held(decide(None, "p", "a", ttl, at(0)));
        assert_eq!((first.token, first.expires_at), (1, at(10)));
        let renewed = held(decide(Some(&first), "p", "a", ttl, at(5)));
        assert_eq!((renewed.token, renewed.expires_at), (1, at(15)));
        assert_eq!(decide(Some(&renewed), "p", "b", ttl, at(14)), LeaseOutcome::Taken(renewed.clone()));
        assert_eq!(held(decide(Some(&renewed), "p", "b", ttl, at(15))).token, 2);
        // Its own, but expired: somebody may have held it in between, so the token grows.
        assert_eq!(held(decide(Some(&renewed), "p", "a", ttl, at(15))).token, 2);
    }
}
