//! Closing a store and opening it again: an acknowledged append is durable, and so is everything that rests on it.

use std::time::Duration;

use super::client::{conflict, duplicate, item, query, stream, tagged};
use super::trial::Trial;
use crate::append::{Append, AppendOutcome, Conflict, ExpectedVersion, Refusal};
use crate::event::EventId;
use crate::lease::LeaseOutcome;
use crate::subscription::Subscribe;

pub(super) async fn what_was_stored_is_there_after_reopening(trial: &Trial<'_>) {
    // A store of its own, because the trial holds a handle on the other one.
    let mut client = trial.client_of(trial.subject.fresh(trial.partitions).await);
    let ttl = Duration::from_secs(600);
    for round in 0..3 {
        for number in 0..6 {
            client.write(&format!("account-{number}"), 1 + number % 3).await;
        }
        let events = vec![tagged(client.event("Held"), &[&format!("seat:{round}")]), client.event("Noted")];
        let key = client.id();
        let request = Append::to(stream("account-7"), ExpectedVersion::Any, events)
            .and(stream("order-7"), ExpectedVersion::Any, client.events(1))
            .tracking("billing", client.head().await)
            .key(key);
        let answer = client.accepted(request.clone()).await;
        let lease = match client.store.acquire_lease("leader", &format!("owner {round}"), ttl).await {
            Ok(LeaseOutcome::Held(lease)) => lease,
            other => panic!("round {round}: expected the lease, got {other:?}"),
        };
        let (head, log, list) = (client.head().await, client.log().await, client.list(None, None, 100).await);
        let tracked = client.tracked("billing").await;
        // Closed while a subscription is open: that must not keep it.
        let mut follow = client.follow(Subscribe { after: Some(head.clone()), ..Subscribe::default() }).await;
        follow.until_caught_up().await;
        drop(follow);

        let Some(store) = trial.subject.reopen(client.store).await else { return };
        client = trial.client_of(store);

        assert_eq!(client.head().await, head, "round {round}: expected the head after reopening");
        assert_eq!(client.log().await, log, "round {round}: expected the log after reopening");
        assert_eq!(client.list(None, None, 100).await, list, "round {round}: expected the streams after reopening");
        assert_eq!(client.tracked("billing").await, tracked, "round {round}: expected the consumer after reopening");
        let again = duplicate(client.append(request.clone()).await);
        assert_eq!(
            crate::Appended { duplicate: false, ..again },
            answer,
            "round {round}: expected the original answer"
        );
        let mut new_ids = request.clone();
        for event in new_ids.writes.iter_mut().flat_map(|write| &mut write.events) {
            event.id = EventId(client.id());
        }
        duplicate(client.append(new_ids).await);
        let other = client.append(client.request("account-7", ExpectedVersion::Any, 1).key(key)).await;
        assert_eq!(other, AppendOutcome::Refused(Refusal::KeyReused { key }), "round {round}: expected the key known");
        let unless = query([item(&["Held"], &[&format!("seat:{round}")])]);
        let condition = client.append(client.request("account-7", ExpectedVersion::Any, 1).unless(unless, None)).await;
        assert!(
            matches!(conflict(condition), Conflict::Condition { .. }),
            "round {round}: expected the seat to be held"
        );
        let stale = client.append(client.request("order-7", ExpectedVersion::None, 1)).await;
        conflict(stale);
        match client.store.acquire_lease("leader", "stranger", ttl).await {
            Ok(LeaseOutcome::Taken(holder)) => assert_eq!(holder, lease, "round {round}: expected the lease to stay"),
            other => panic!("round {round}: expected the lease to be taken, got {other:?}"),
        }
        let released = client.store.release_lease(&lease).await;
        assert!(matches!(released, Ok(true)), "round {round}: expected to give the lease back, got {released:?}");
        assert_eq!(client.head().await, head, "round {round}: expected none of it to store anything");
        let events: Vec<_> = client.stream_events("account-7").await.iter().map(|event| event.id).collect();
        let of_log = log.iter().filter(|event| event.stream.as_str() == "account-7").map(|event| event.id);
        assert_eq!(events, of_log.collect::<Vec<_>>(), "round {round}: expected the stream to read as before");
    }
}
