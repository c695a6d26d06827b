//! The primary is lost and a standby takes over: what is kept, what is lost, and that everybody is told.

/// They need `pg_rewind` and `pg_basebackup`, which only the system's installation is sure to have.
mod system_only {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use pacioli_core::conformance::history::{self, LoggedEvent, Operation, Outcome};
    use pacioli_core::{
        AppendError, AppendOutcome, Checkpoint, Epoch, EventStore, EventType, Filter, Partition, PayloadChoice,
        Position, Query, QueryItem, ReadError, ReadLog, Subscribe,
    };
    use pacioli_pgtest::{Cluster, ClusterOptions, Shutdown, StandbyOptions};
    use pacioli_postgres::{PostgresModels, PostgresOptions, PostgresStore};
    use pacioli_projection::engine::{Advance, AdvanceError};
    use pacioli_projection::{Engine, Projection};

    use crate::faults::world::{Follower, Load, STALL_MAX, blocking, eventually, measure, one, say, seed, whole_log};
    use crate::support::{open, options};

    /// A server that only follows finds out by itself that the primary hangs: its bus compares the table with the slot every
    /// 5 s (`COMPARE_EVERY`), waits 5 s for the heads (`HEADS_PATIENCE`) and 3 s for a connection to a host that does not
    /// answer (`CONNECT_PATIENCE`). The rest is for a busy machine.
    const HANGS_MAX: Duration = Duration::from_secs(18);

    /// A primary, its standby, and a store that knows both, opened twice.
    struct Twins {
        primary: Cluster,
        standby: Cluster,
        database: String,
        url: String,
    }

    impl Twins {
        fn start(standby: StandbyOptions) -> Twins {
            // pg_rewind asks for full_page_writes, and for the log from before the two parted.
            let settings = vec![("wal_keep_size".to_owned(), "256MB".to_owned())];
            let durable = ClusterOptions { fsync: true, settings, ..ClusterOptions::default() };
            let primary = blocking(|| Cluster::start(durable));
            let database = blocking(|| primary.create_database("failover"));
            let standby = blocking(|| primary.standby(standby));
            let hosts = [&primary, &standby].map(|cluster| cluster.socket_directory().display().to_string()).join(",");
            let ports = [&primary, &standby].map(|cluster| cluster.port().to_string()).join(",");
            let url = format!("postgres:///{database}?user=postgres&host={hosts}&port={ports}");
            Twins { primary, standby, database, url }
        }

        async fn open(&self) -> PostgresStore {
            let patient = PostgresOptions { answer_within: Duration::from_secs(6), ..options() };
            open(&self.url, patient).await.expect("the store opens")
        }

        /// The epoch on the promoted standby, and the head at which it began.
        fn fork(&self) -> (u32, u64) {
            let epochs = blocking(|| {
                self.standby.sql(&self.database, "SELECT epoch, heads[1] FROM pacioli.epochs ORDER BY epoch")
            });
            let last: Vec<u64> =
                epochs.last().expect("an epoch").iter().flatten().map(|v| v.parse().expect("a number")).collect();
            (last[0] as u32, last[1])
        }
    }

    /// What was acknowledged above the fork before it is lost, as was said: it must not be there.
    fn lose(operations: &mut BTreeMap<u64, Operation>, lost: impl Fn(&Operation) -> bool) -> usize {
        let mut count = 0;
        for operation in operations.values_mut() {
            if matches!(operation.outcome, Outcome::Acknowledged { .. }) && lost(operation) {
                operation.outcome = Outcome::Refused;
                count += 1;
            }
        }
        count
    }

    fn position(answer: Result<AppendOutcome, AppendError>) -> (u64, Checkpoint) {
        match answer {
            Ok(AppendOutcome::Appended(appended)) => (appended.last_position.0, appended.checkpoint),
            other => panic!("appended, and not {other:?}"),
        }
    }

    fn at(position: u64, epoch: u32) -> Checkpoint {
        Checkpoint::new([Position(position)], pacioli_core::Epoch(epoch))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn with_a_synchronous_standby_nothing_acknowledged_is_lost_and_the_old_primary_rejoins() {
        let seed = seed();
        // Once promoted it must wait for nobody.
        let settings = vec![("synchronous_standby_names".to_owned(), String::new())];
        let twins = Twins::start(StandbyOptions { settings, ..StandbyOptions::default() });
        blocking(|| twins.primary.configure(&[("synchronous_standby_names", "standby")]));
        blocking(|| twins.primary.reload());
        let (first, second) = (twins.open().await, twins.open().await);
        let load = Load::start(&[&first, &second], 3, seed);
        load.goes_on().await;
        tokio::time::sleep(Duration::from_millis(500)).await;

        blocking(|| twins.primary.kill());
        blocking(|| twins.standby.promote());
        load.goes_on().await;
        // Who was not ahead just goes on, and speaks of the new epoch.
        eventually(STALL_MAX, "followers are in epoch 2", async || {
            load.followers.iter().all(|f| f.checkpoint().is_some_and(|c| c.epoch().0 == 2))
        })
        .await;
        assert_eq!(twins.fork().0, 2, "two stores that come back at once begin one epoch");
        let epochs = blocking(|| twins.standby.sql_value(&twins.database, "SELECT count(*) FROM pacioli.epochs"));
        assert_eq!(epochs, "2");

        blocking(|| twins.primary.rewind_from(&twins.standby, StandbyOptions::default()));
        load.goes_on().await;
        let counts = load.finish(&first).await;
        blocking(|| twins.primary.catch_up_with(&twins.standby));
        let events = "SELECT count(*) || ' ' || max(position) FROM pacioli.events";
        let there = blocking(|| twins.primary.sql_value(&twins.database, events));
        assert_eq!(there, format!("{0} {0}", counts.events), "the old primary has it all");
        assert_eq!((measure(&first, "postgres_epoch"), measure(&second, "postgres_epoch")), (2.0, 2.0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn with_an_asynchronous_standby_the_loss_is_what_was_reported() {
        let seed = seed();
        let twins = Twins::start(StandbyOptions::default());
        let (first, second) = (twins.open().await, twins.open().await);
        let mut load = Load::start(&[&first, &second], 3, seed);
        load.goes_on().await;
        tokio::time::sleep(Duration::from_millis(300)).await;

        // The standby hears nothing more, and the clients go on for a while.
        blocking(|| twins.standby.configure(&[("primary_conninfo", "")]));
        blocking(|| twins.standby.reload());
        eventually(STALL_MAX, "the standby receives nothing", async || {
            // The stores' own slots are no standbys.
            let question = "SELECT count(*) FROM pg_stat_replication r WHERE NOT EXISTS \
                            (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')";
            blocking(|| twins.primary.sql_value("postgres", question)) == "0"
        })
        .await;
        load.goes_on().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        load.stop().await;
        let head = first.head().await.expect("a head");
        for follower in &load.followers {
            eventually(STALL_MAX, "followers are ahead of the standby", async || {
                follower.checkpoint().as_ref() == Some(&head)
            })
            .await;
        }
        blocking(|| twins.primary.kill());
        blocking(|| twins.standby.promote());

        // The first append finds the new epoch; the loss ends where it began.
        let (position, checkpoint) = position(second.append(one("after-1", "Written")).await);
        let (epoch, fork) = twins.fork();
        assert_eq!((epoch, position), (2, fork + 1));
        assert_eq!(checkpoint, at(fork + 1, 2));
        assert!(fork < head.position(Partition::ZERO).0, "something was lost: {fork} of {head}");
        for follower in &load.followers {
            eventually(STALL_MAX, "followers are told", async || follower.rewinds() == [at(fork, 2)]).await;
        }

        // What lies above the fork is lost; everything below is there.
        let mut operations = load.history.operations();
        let above =
            |o: &Operation| matches!(o.outcome, Outcome::Acknowledged { last_position, .. } if last_position > fork);
        let lost = lose(&mut operations, above);
        assert!(lost > 0, "acknowledged appends were lost");
        let log = whole_log(&first).await;
        let (before, after): (Vec<LoggedEvent>, Vec<LoggedEvent>) =
            log.iter().cloned().partition(|event| event.position <= fork);
        assert_eq!(after.len(), 1, "what was appended after the fork is not what was lost");
        let mut with_after = operations.clone();
        with_after.insert(u64::MAX, sent(&after));
        load.check_operations(&with_after, &log).await;
        say(&format!("lost {lost} appends above {fork} of {head}, {} events kept", before.len()));

        checkpoints_of_before(&first, fork, &head).await;
    }

    /// An operation that sent these events.
    fn sent(events: &[LoggedEvent]) -> Operation {
        let sent = |event: &LoggedEvent| history::SentEvent {
            id: event.id,
            stream: event.stream.clone(),
            data: event.data.clone(),
        };
        let events = events.iter().map(sent).collect();
        Operation { events, invoked_at: 0, outcome: Outcome::Unknown, tries: 1, doubt: false }
    }

    /// Every door says to where a checkpoint beyond the fork was rewound, and takes one before it.
    async fn checkpoints_of_before(store: &PostgresStore, fork: u64, head: &Checkpoint) {
        let read = |after| ReadLog { after, filter: Filter::default(), limit: 1, payload: PayloadChoice::None };
        for beyond in [at(fork + 1, 1), head.clone()] {
            let rewound = store.read_log(read(Some(beyond.clone()))).await;
            assert!(matches!(&rewound, Err(ReadError::Rewound { to }) if *to == at(fork, 2)), "{rewound:?}");
            let subscribed = store.subscribe(Subscribe { after: Some(beyond.clone()), ..Subscribe::default() }).await;
            assert!(matches!(&subscribed.err(), Some(ReadError::Rewound { to }) if *to == at(fork, 2)));
            let item = QueryItem { types: vec![EventType::new("Never").expect("a type")], tags: Vec::new() };
            let query = Query { items: vec![item] };
            let refused = store.append(one("a-1", "Written").unless(query, Some(beyond))).await;
            let Err(AppendError::Invalid(invalid)) = refused else { panic!("it is refused: {refused:?}") };
            assert!(invalid.to_string().contains(&at(fork, 2).to_string()), "{invalid}");
        }
        let page = store.read_log(read(Some(at(fork, 1)))).await.expect("a checkpoint at the fork is good");
        assert_eq!((page.from, page.events.len()), (at(fork, 2), 1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_old_primary_that_comes_back_on_its_own_is_not_used() {
        let twins = Twins::start(StandbyOptions::default());
        let store = twins.open().await;
        position(store.append(one("a-1", "Written")).await);
        blocking(|| twins.standby.catch_up_with(&twins.primary));
        blocking(|| twins.primary.kill());
        blocking(|| twins.standby.promote());
        position(store.append(one("a-1", "Written")).await);

        // Nobody made it a standby: it takes writes, and it is the first host of the URL.
        blocking(|| twins.primary.boot());
        blocking(|| {
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pacioli%' \
                          AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
            twins.standby.sql("postgres", others)
        });
        for expected in 3..6 {
            assert_eq!(position(store.append(one("a-1", "Written")).await), (expected, at(expected, 2)));
        }
        assert_eq!(store.head().await.expect("a head"), at(5, 2));
        let stale = "SELECT max(last_pos) FROM pacioli.commits";
        assert_eq!(blocking(|| twins.primary.sql_value(&twins.database, stale)), "1", "nothing went there");
        blocking(|| twins.primary.stop(Shutdown::Fast));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_primary_that_hangs_is_left_for_the_promoted_standby() {
        let twins = Twins::start(StandbyOptions::default());
        let quick = PostgresOptions { answer_within: Duration::from_secs(2), ..options() };
        let store = open(&twins.url, quick).await.expect("the store opens");
        position(store.append(one("a-1", "Written")).await);
        let follower = Follower::start(store.clone());
        blocking(|| twins.standby.catch_up_with(&twins.primary));
        blocking(|| twins.primary.pause());
        let answer = store.append(one("a-1", "Hung")).await;
        assert!(matches!(answer, Err(AppendError::Store(_) | AppendError::Unknown { .. })), "{answer:?}");
        blocking(|| twins.standby.promote());
        eventually(Duration::from_secs(8), "appends go on there", async || {
            store.append(one("b-1", "Written")).await.is_ok()
        })
        .await;
        let head = store.head().await.expect("a head");
        assert_eq!(head.epoch().0, 2);
        eventually(STALL_MAX, "the follower sees it", async || {
            follower.seen().last().is_some_and(|last| last.0 == head.position(Partition::ZERO).0)
        })
        .await;
        blocking(|| twins.primary.resume());
        blocking(|| twins.primary.stop(Shutdown::Immediate));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_only_follows_leaves_a_primary_that_hangs_too() {
        let twins = Twins::start(StandbyOptions::default());
        let quick = PostgresOptions { answer_within: Duration::from_secs(2), ..options() };
        let writing = open(&twins.url, quick.clone()).await.expect("the store opens");
        let following = open(&twins.url, quick).await.expect("the store opens");
        position(writing.append(one("a-1", "Written")).await);
        let follower = Follower::start(following.clone());
        eventually(STALL_MAX, "the follower is at the head", async || follower.seen().len() == 1).await;
        // Readers leave connections behind that lead to the primary of now.
        for head in futures::future::join_all((0..8).map(|_| following.head())).await {
            head.expect("a head");
        }
        blocking(|| twins.standby.catch_up_with(&twins.primary));
        blocking(|| twins.primary.pause());
        // What asks the hung primary now waits for its answer.
        tokio::time::sleep(Duration::from_secs(6)).await;
        blocking(|| twins.standby.promote());
        eventually(Duration::from_secs(8), "appends go on there", async || {
            writing.append(one("b-1", "Written")).await.is_ok()
        })
        .await;
        let head = writing.head().await.expect("a head").position(Partition::ZERO).0;
        let began = std::time::Instant::now();
        eventually(HANGS_MAX, "the follower sees what another server appended", async || {
            follower.seen().last().is_some_and(|last| last.0 == head)
        })
        .await;
        say(&format!("the follower saw it after {:?}", began.elapsed()));
        blocking(|| twins.primary.resume());
        blocking(|| twins.primary.stop(Shutdown::Immediate));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_read_model_leaves_a_primary_that_hangs_too() {
        let twins = Twins::start(StandbyOptions::default());
        let quick = PostgresOptions { answer_within: Duration::from_secs(2), ..options() };
        let store = open(&twins.url, quick).await.expect("the store opens");
        let models = PostgresModels::open(&store, None, None).await.expect("read models");
        let text = "-- projection: seen\n-- version: 1\n\nCREATE TABLE seen (position BIGINT PRIMARY KEY);\n\n\
                    -- on: *\nINSERT INTO seen (position) VALUES (:position);\n";
        let seen = Projection::parse("seen.sql", text).expect("a file");
        let build = Arc::new(models.begin(&seen, 1).await.expect("it begins"));
        let (last, _) = position(store.append(one("a-1", "Written")).await);
        blocking(|| twins.standby.catch_up_with(&twins.primary));
        blocking(|| twins.primary.pause());
        let advance = Advance {
            build,
            worker: 0,
            partition: Partition::ZERO,
            after: Position(0),
            up_to: Position(last),
            events_max: 10,
            epoch: Epoch(1),
        };
        let advancing = tokio::spawn(async move { models.advance(advance).await });
        blocking(|| twins.standby.promote());
        eventually(Duration::from_secs(8), "appends go on there", async || {
            store.append(one("b-1", "Written")).await.is_ok()
        })
        .await;
        let told = tokio::time::timeout(STALL_MAX, advancing).await.expect("a step is given up that nobody answers");
        assert!(matches!(told, Ok(Err(AdvanceError::Store(_)))), "{told:?}");
        blocking(|| twins.primary.resume());
        blocking(|| twins.primary.stop(Shutdown::Immediate));
    }
}
