//! One projection on one server: waits for its lease, leads while it has it, gives it back.

use std::sync::Arc;
use std::time::Duration;

use pacioli_core::lease::{Lease, LeaseOutcome};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::file::Name;

use super::advancing::told;
use super::lead::Lead;
use super::trouble::Trouble;
use super::{Shared, Track};

/// The longest that a lease is waited for when it is given back.
const GIVE_BACK_MAX: Duration = Duration::from_secs(1);

/// Drives one projection until it is told to stop.
pub(super) async fn drive(shared: Arc<Shared>, name: Name, mut stop: watch::Receiver<bool>) {
    let track = shared.track(&name);
    let mut trouble = Trouble::new(format!("take the lease of projection `{name}`"));
    loop {
        let asked = Instant::now();
        let options = &shared.options;
        let lease_name = lease_name(&name);
        let outcome = tokio::select! {
            outcome = shared.store.acquire_lease(&lease_name, &options.owner, options.lease_for) => outcome,
            () = told(&mut stop) => return,
        };
        let wait = match outcome {
            Ok(LeaseOutcome::Held(lease)) => {
                trouble.over();
                track.leads(&options.owner, asked + options.lease_for);
                let is_told = lead(&shared, &name, &track, &lease, &mut stop).await;
                track.lost();
                if is_told {
                    let given_back = shared.store.release_lease(&lease);
                    if let Ok(Err(error)) = tokio::time::timeout(GIVE_BACK_MAX, given_back).await {
                        tracing::warn!(
                            "cannot give the lease of projection `{name}` back: {error}; it expires by itself"
                        );
                    }
                    return;
                }
                Duration::ZERO
            }
            Ok(LeaseOutcome::Taken(other)) => {
                trouble.over();
                track.follows(&other.owner);
                options.lease_for / 3
            }
            Err(error) => {
                track.store_failed();
                trouble.failed(&error)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = told(&mut stop) => return,
        }
    }
}

/// The lease of a projection.
pub(super) fn lease_name(name: &Name) -> String {
    format!("projection/{name}")
}

/// Leads until the lease is lost (false) or somebody says stop (true).
async fn lead(
    shared: &Arc<Shared>,
    name: &Name,
    track: &Arc<Track>,
    lease: &Lease,
    stop: &mut watch::Receiver<bool>,
) -> bool {
    tracing::debug!("this server runs projection `{name}`");
    let mut lead = Lead::new(Arc::clone(shared), name.clone(), Arc::clone(track));
    let is_told = tokio::select! {
        () = told(stop) => true,
        () = keep(shared, track, lease) => false,
        () = lead.run() => false,
    };
    if is_told {
        lead.finish().await;
    }
    is_told
}

/// Renews the lease until it is lost.
async fn keep(shared: &Shared, track: &Track, lease: &Lease) {
    let options = &shared.options;
    let mut until = Instant::now() + options.lease_for;
    let mut trouble = Trouble::new(format!("renew the lease `{}`", lease.name));
    let mut wait = options.lease_for / 3;
    loop {
        tokio::time::sleep(wait).await;
        let asked = Instant::now();
        let renewed = shared.store.acquire_lease(&lease.name, &options.owner, options.lease_for);
        match tokio::time::timeout_at(until, renewed).await {
            // Another token: it had run out, and somebody may have had it in between.
            Ok(Ok(LeaseOutcome::Held(now))) if now.token == lease.token => {
                trouble.over();
                until = asked + options.lease_for;
                track.leads(&options.owner, until);
                wait = options.lease_for / 3;
            }
            Ok(Ok(LeaseOutcome::Held(_))) => return,
            Ok(Ok(LeaseOutcome::Taken(other))) => {
                tracing::warn!("`{}` took the lease `{}` over; this server only watches now", other.owner, lease.name);
                return;
            }
            Ok(Err(error)) => {
                track.store_failed();
                wait = trouble.failed(&error).min(options.lease_for / 3);
            }
            Err(_) => {}
        }
        if Instant::now() >= until {
            tracing::warn!(
                "the lease `{}` ran out before it could be renewed; this server only watches now",
                lease.name
            );
            return;
        }
    }
}
