//! Leases: one holder at a time, and a token that tells a stale one it was replaced.

use std::time::{Duration, Instant};

use super::trial::{Trial, join};
use crate::lease::{Lease, LeaseOutcome};
use crate::store::ReadError;

/// Long enough that nothing expires while a check looks.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(150);

async fn acquire(trial: &Trial<'_>, name: &str, owner: &str, time_to_live: Duration) -> LeaseOutcome {
    let outcome = trial.store.acquire_lease(name, owner, time_to_live).await;
    outcome.unwrap_or_else(|error| panic!("expected the lease or its holder, got the error: {error}"))
}

async fn release(trial: &Trial<'_>, lease: &Lease) -> bool {
    let released = trial.store.release_lease(lease).await;
    released.unwrap_or_else(|error| panic!("expected to give the lease back, got the error: {error}"))
}

async fn held(trial: &Trial<'_>, name: &str, owner: &str, time_to_live: Duration) -> Lease {
    match acquire(trial, name, owner, time_to_live).await {
        LeaseOutcome::Held(lease) => {
            assert_eq!((lease.name.as_str(), lease.owner.as_str()), (name, owner), "expected the lease asked for");
            lease
        }
        LeaseOutcome::Taken(lease) => panic!("expected {owner} to hold `{name}`, {} does: {lease:?}", lease.owner),
    }
}

async fn taken(trial: &Trial<'_>, name: &str, owner: &str) -> Lease {
    match acquire(trial, name, owner, LONG).await {
        LeaseOutcome::Taken(lease) => lease,
        LeaseOutcome::Held(lease) => panic!("expected {owner} not to get `{name}`, which another holds: {lease:?}"),
    }
}

/// Asks again until the lease is free, which it must be soon.
async fn held_at_last(trial: &Trial<'_>, name: &str, owner: &str, time_to_live: Duration) -> Lease {
    let began = Instant::now();
    loop {
        match acquire(trial, name, owner, time_to_live).await {
            LeaseOutcome::Held(lease) => return lease,
            LeaseOutcome::Taken(lease) => {
                assert!(began.elapsed() < trial.patience, "expected the lease to expire: {lease:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

pub(super) async fn a_lease_is_held_renewed_and_given_back(trial: &Trial<'_>) {
    let first = held(trial, "projector", "anna", LONG).await;
    assert_eq!(first, taken(trial, "projector", "bert").await, "expected another to be told who holds it");
    let renewed = held(trial, "projector", "anna", LONG + LONG).await;
    assert_eq!(renewed.token, first.token, "expected a holder to renew under the same token");
    assert!(renewed.expires_at > first.expires_at, "expected a renewal to last longer");
    // Other leases are others' business.
    held(trial, "projector-2", "bert", LONG).await;
    let stranger = Lease { owner: "bert".to_owned(), ..renewed.clone() };
    assert!(!release(trial, &stranger).await, "expected only the holder to give it back");
    let stale = Lease { token: renewed.token + 1, ..renewed.clone() };
    assert!(!release(trial, &stale).await, "expected only the holder's token to give it back");
    taken(trial, "projector", "bert").await;
    assert!(release(trial, &renewed).await, "expected the holder to give it back");
    assert!(!release(trial, &renewed).await, "expected nothing to be given back twice");
    let unknown = Lease { name: "nothing".to_owned(), ..renewed.clone() };
    assert!(!release(trial, &unknown).await, "expected nothing to be given back that nobody held");
    let next = held(trial, "projector", "bert", LONG).await;
    assert!(next.token > first.token, "expected the token to grow with a new holder: {next:?} after {first:?}");
    assert!(!release(trial, &renewed).await, "expected the old holder to give back nothing of the new one's");
    taken(trial, "projector", "anna").await;
}

pub(super) async fn an_expired_lease_goes_to_another(trial: &Trial<'_>) {
    let first = held(trial, "projector", "anna", SHORT).await;
    let second = held_at_last(trial, "projector", "bert", LONG).await;
    assert!(second.token > first.token, "expected the token to grow: {second:?} after {first:?}");
    assert!(!release(trial, &first).await, "expected the first holder to be out");
    assert_eq!(taken(trial, "projector", "anna").await, second, "expected the second to hold it still");
    // Its own expired lease is a new one, too: somebody may have held it in between.
    let first = held(trial, "mailer", "anna", Duration::from_millis(20)).await;
    tokio::time::sleep(SHORT).await;
    let again = held(trial, "mailer", "anna", LONG).await;
    assert!(again.token > first.token, "expected an expired lease to come back under a new token");
}

pub(super) async fn of_concurrent_owners_one_holds_a_lease(trial: &Trial<'_>) {
    let mut token = 0;
    for round in 0..trial.scaled(4) {
        let tasks = (0..8).map(|owner| {
            let client = trial.client();
            tokio::spawn(async move { client.store.acquire_lease("leader", &format!("owner {owner}"), LONG).await })
        });
        let mut won = Vec::new();
        for outcome in join(tasks.collect()).await {
            if let LeaseOutcome::Held(lease) = outcome.unwrap_or_else(|error| panic!("expected an outcome: {error}")) {
                won.push(lease);
            }
        }
        assert_eq!(won.len(), 1, "round {round}: expected one of 8 owners to hold the lease: {won:?}");
        assert!(won[0].token > token, "round {round}: expected the token to grow past {token}: {won:?}");
        token = won[0].token;
        assert!(release(trial, &won[0]).await, "round {round}: expected the holder to give it back");
    }
}

pub(super) async fn a_lease_needs_names(trial: &Trial<'_>) {
    let long = "n".repeat(257);
    for (name, owner, wrong) in
        [("", "anna", "name"), ("projector", "", "owner"), (&long, "anna", "name"), ("p", "a\nb", "owner")]
    {
        match trial.store.acquire_lease(name, owner, LONG).await {
            Err(ReadError::Invalid { field, .. }) => assert_eq!(field, wrong, "expected the wrong field named"),
            other => panic!("expected a lease `{name}` of `{owner}` to be refused, got {other:?}"),
        }
    }
}
