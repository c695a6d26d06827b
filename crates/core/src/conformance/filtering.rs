//! Filters: the store gives what matches and says how far it looked.

use super::client::{Event, category, event_type, ids, stream, tag, tagged};
use super::trial::Trial;
use crate::append::{Append, ExpectedVersion};
use crate::store::{Filter, PayloadChoice, ReadLog};
use crate::subscription::{Delivery, Subscribe};

const CATEGORIES: [&str; 3] = ["account", "accounts", "order"];
const TYPES: [&str; 3] = ["Opened", "OpenedAgain", "Closed"];
const TAGS: [&str; 3] = ["a:1", "a:11", "b:2"];

/// A log with every mixture in it, and all of its events.
async fn mixture(trial: &Trial<'_>, appends: usize) -> Vec<Event> {
    let mut random = trial.random(1);
    for _ in 0..appends {
        let events = (0..=random.below(3)).map(|_| {
            let tags: Vec<&str> = TAGS.into_iter().filter(|_| random.percent(40)).collect();
            tagged(trial.event(random.pick(&TYPES)), &tags)
        });
        let events = events.collect();
        let name = stream(format!("{}-{}", random.pick(&CATEGORIES), random.below(12)));
        trial.accepted(Append::to(name, ExpectedVersion::Any, events)).await;
    }
    trial.log().await
}

fn filters() -> Vec<Filter> {
    let categories: [&[&str]; 4] = [&[], &["account"], &["order", "accounts"], &["none"]];
    let prefixes = [None, Some("account"), Some("account-1"), Some("o")];
    let types: [&[&str]; 3] = [&[], &["Opened"], &["Closed", "OpenedAgain", "Never"]];
    let tags: [&[&str]; 4] = [&[], &["a:1"], &["b:2", "a:11"], &["a:1", "c:3"]];
    let mut filters = Vec::new();
    for of in categories {
        for prefix in prefixes {
            for kinds in types {
                for labels in tags {
                    filters.push(Filter {
                        categories: of.iter().map(|name| category(name)).collect(),
                        stream_prefix: prefix.map(str::to_owned),
                        types: kinds.iter().map(|name| event_type(name)).collect(),
                        tags: labels.iter().map(|text| tag(text)).collect(),
                    });
                }
            }
        }
    }
    filters
}

pub(super) async fn a_filter_gives_what_matches_and_nothing_else(trial: &Trial<'_>) {
    let log = mixture(trial, 50).await;
    let mut random = trial.random(2);
    for filter in filters() {
        let expected: Vec<Event> = log.iter().filter(|event| filter.matches(event)).cloned().collect();
        let limit = random.pick(&[1, 2, 7, 1_000]);
        let mut read = trial.log_after(None, filter.clone(), limit).await;
        read.sort_by_key(|event| event.place());
        assert_eq!(ids(&read), ids(&expected), "{filter:?}: expected what matches, in pages of {limit}");
        let from = &log[random.below(log.len())];
        let mut after = crate::Checkpoint::start(trial.partitions, crate::Epoch::FIRST);
        after.advance(from.partition, from.position);
        let read = trial.log_after(Some(after.clone()), filter.clone(), limit).await.len();
        let rest = expected.iter().filter(|event| event.position > after.position(event.partition)).count();
        assert_eq!(read, rest, "{filter:?}: expected what matches after {after}, in pages of {limit}");
    }
}

pub(super) async fn a_filter_takes_names_literally(trial: &Trial<'_>) {
    for name in ["acc%unt-1", "account-1", "acc_unt-1", "acc\\unt-1", "ACCOUNT-1", "acc*-1", "acc[o]unt-1", "acc"] {
        trial
            .accepted(Append::to(stream(name), ExpectedVersion::None, vec![tagged(trial.event("O%"), &["a_b"])]))
            .await;
    }
    trial
        .accepted(Append::to(stream("account-2"), ExpectedVersion::None, vec![tagged(trial.event("OK"), &["axb"])]))
        .await;
    let only = |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    let prefix = |text: &str| only(&|filter| filter.stream_prefix = Some(text.to_owned()));
    let rows = [
        (prefix("acc%"), 1),
        (prefix("acc_"), 1),
        (prefix("acc\\"), 1),
        (prefix("acc*"), 1),
        (prefix("acc["), 1),
        (prefix("ACC"), 1),
        (prefix("account-"), 2),
        (prefix("acc"), 8),
        (prefix("account-1x"), 0),
        (prefix(""), 9),
        (only(&|filter| filter.categories = vec![category("acc")]), 1),
        (only(&|filter| filter.categories = vec![category("acc_unt")]), 1),
        (only(&|filter| filter.categories = vec![category("Account")]), 0),
        (only(&|filter| filter.types = vec![event_type("O%")]), 8),
        (only(&|filter| filter.types = vec![event_type("O")]), 0),
        (only(&|filter| filter.tags = vec![tag("a_b")]), 8),
        (only(&|filter| filter.tags = vec![tag("a%")]), 0),
        (only(&|filter| filter.tags = vec![tag("a_b"), tag("axb")]), 0),
    ];
    for (filter, count) in rows {
        let read = trial.log_after(None, filter.clone(), 100).await;
        assert_eq!(read.len(), count, "{filter:?}: expected names to be taken as they are, got {:?}", ids(&read));
    }
}

pub(super) async fn a_filter_that_matches_nothing_reaches_the_head(trial: &Trial<'_>) {
    mixture(trial, 30).await;
    let head = trial.head().await;
    for limit in [1, 3, 1_000] {
        let filter = Filter { types: vec![event_type("Never")], tags: vec![tag("a:1")], ..Filter::default() };
        let mut after = None;
        // A page a partition at most, and more only if an engine bounds how much it looks at; never without progress.
        for pages in 0.. {
            assert!(pages < 1_000, "expected pages that match nothing to reach the head");
            let read = ReadLog { after, filter: filter.clone(), limit, payload: PayloadChoice::All };
            let page = trial.store.read_log(read).await.unwrap_or_else(|error| panic!("expected a page: {error}"));
            assert_eq!(page.events, [] as [Event; 0], "expected nothing to match");
            if page.at_head() {
                assert!(page.checkpoint.covers(&head), "expected the head {head}, got {}", page.checkpoint);
                break;
            }
            assert!(page.checkpoint.advances(&page.from), "expected progress after {}", page.from);
            after = Some(page.checkpoint);
        }
        let mut follow = trial.follow(Subscribe { filter, batch_max: limit, ..Subscribe::default() }).await;
        assert_eq!(follow.until_caught_up().await, [] as [Event; 0], "expected nothing to match");
        assert!(follow.at.covers(&head), "expected the caught-up mark at the head {head}, got {}", follow.at);
    }
    // And what comes late is found.
    let filter = Filter { types: vec![event_type("Late")], ..Filter::default() };
    let mut follow = trial.follow(Subscribe { filter: filter.clone(), ..Subscribe::default() }).await;
    follow.until_caught_up().await;
    let late = trial.event("Late");
    trial.write("account-1", 2).await;
    trial.accepted(Append::to(stream("account-1"), ExpectedVersion::Any, vec![late.clone()])).await;
    assert_eq!(ids(&trial.log_after(None, filter, 5).await), [late.id], "expected the only match");
    loop {
        if let Delivery::Events { events, .. } = follow.next().await {
            assert_eq!(ids(&events), [late.id], "expected the only match");
            break;
        }
    }
}
