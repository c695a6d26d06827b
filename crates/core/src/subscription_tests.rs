//! The loop over a storage that another process may write to, a ring of three events, and a clock that stands still.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::*;
use crate::event::{EventId, NewEvent, Timestamp};
use crate::names::{EventType, StreamName};
use crate::place::{Epoch, Place, Version};
use crate::recent::RecentLimits;
use crate::store::StoreError;

/// Time stands still until a test says that a beat is over.
#[derive(Default)]
struct Stopped {
    beat: Arc<Notify>,
    sleeps: AtomicUsize,
}

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        self.sleeps.fetch_add(1, Ordering::Relaxed);
        let beat = Arc::clone(&self.beat);
        async move { beat.notified().await }.boxed()
    }
}

/// A storage, and a ring of three events before it.
struct Source {
    recent: Recent,
    clock: Stopped,
    storage: Mutex<Vec<Arc<RecordedEvent>>>,
    began: Mutex<Vec<(Epoch, Checkpoint)>>,
    scans: AtomicUsize,
    /// How many positions one scan looks at.
    scan_max: usize,
    /// A position whose event is damaged.
    damaged: Option<u64>,
    /// Where an epoch begins while the next scan runs.
    rewind_in_scan: Mutex<Option<u64>>,
    /// The storage answers nobody who asks for the heads.
    hangs: AtomicBool,
}

impl Source {
    fn new(partitions: u16) -> Source {
        let heads = Checkpoint::start(partitions, Epoch::FIRST);
        Source {
            recent: Recent::new(&heads, RecentLimits { events_max: 3, bytes_max: 1 << 20 }),
            clock: Stopped::default(),
            storage: Mutex::default(),
            began: Mutex::default(),
            scans: AtomicUsize::new(0),
            scan_max: 1_000,
            damaged: None,
            rewind_in_scan: Mutex::default(),
            hangs: AtomicBool::new(false),
        }
    }

    /// Commits events without a word to anybody, as another process does.
    fn commit(&self, partition: u16, count: usize) -> Vec<Arc<RecordedEvent>> {
        let mut storage = self.storage.lock().unwrap();
        let before = storage.iter().filter(|event| event.partition.0 == partition).count();
        let new = (before + 1..=before + count).map(|position| {
            let id = EventId(uuid::Uuid::from_u128(position as u128));
            let place = Place { partition: Partition(partition), position: Position(position as u64) };
            let event = NewEvent::json(id, EventType::new("Noted").unwrap(), "{}");
            let stream = StreamName::new("a-1").unwrap();
            Arc::new(event.recorded(stream, Version(position as u64), place, Timestamp::default()))
        });
        let new: Vec<_> = new.collect();
        storage.extend(new.iter().cloned());
        new
    }

    fn publish(&self, partition: u16, count: usize) {
        self.recent.publish(&self.commit(partition, count));
    }

    /// Begins an epoch that has lost what lies after a position of partition 0.
    fn rewind(&self, epoch: u32, position: u64) {
        self.storage.lock().unwrap().retain(|event| event.position.0 <= position);
        let before = Checkpoint::new([Position(position)], self.recent.epoch());
        self.began.lock().unwrap().push((Epoch(epoch), before.clone()));
        self.recent.rewind(&before.in_epoch(Epoch(epoch)));
    }

    fn scans(&self) -> usize {
        self.scans.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl LogSource for Source {
    fn recent(&self) -> &Recent {
        &self.recent
    }

    fn epochs(&self) -> Epochs {
        Epochs::new(self.began.lock().unwrap().clone())
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    async fn storage_heads(&self) -> Result<Checkpoint, ReadError> {
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let mut heads = Checkpoint::start(self.recent.heads().partitions(), self.epochs().current());
        for event in &*self.storage.lock().unwrap() {
            heads.advance(event.partition, event.position);
        }
        Ok(heads)
    }

    async fn scan(&self, scan: Scan) -> Result<Scanned, ReadError> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        if let Some(at) = self.rewind_in_scan.lock().unwrap().take() {
            self.rewind(2, at);
        }
        if scan.epoch != self.recent.epoch() {
            return Ok(Scanned { events: Vec::new(), up_to: scan.after });
        }
        let storage = self.storage.lock().unwrap();
        let events = storage.iter().filter(|event| event.partition == scan.partition);
        let behind = events.filter(|event| event.position > scan.after && event.position <= scan.up_to);
        let mut scanned = Scanned { events: Vec::new(), up_to: scan.after };
        for event in behind.take(self.scan_max) {
            if self.damaged == Some(event.position.0) {
                return Err(ReadError::Store(StoreError::new("damaged")));
            }
            scanned.up_to = event.position;
            if scan.filter.matches(event) {
                scanned.events.push(Arc::clone(event));
            }
            if scanned.events.len() == scan.limit {
                break;
            }
        }
        Ok(scanned)
    }
}

async fn start(source: &Arc<Source>, with: Subscribe) -> Deliveries {
    subscribe(Arc::clone(source), with).await.unwrap()
}

/// What comes at once, in a word; nothing where the loop waits.
fn now(deliveries: &mut Deliveries) -> String {
    match deliveries.next().now_or_never() {
        None => "waits".to_owned(),
        Some(None) => "ended".to_owned(),
        Some(Some(Err(error))) => format!("error {error}"),
        Some(Some(Ok(Delivery::CaughtUp { checkpoint }))) => format!("caught up at {checkpoint}"),
        Some(Some(Ok(Delivery::Heartbeat { checkpoint, head }))) => format!("beat at {checkpoint} of {head}"),
        Some(Some(Ok(Delivery::Events { events, from, checkpoint }))) => {
            let places: Vec<String> = events.iter().map(|event| event.place().to_string()).collect();
            format!("{} from {from} to {checkpoint}", places.join(" "))
        }
    }
}

fn nothing_matches() -> Subscribe {
    let filter = Filter { types: vec![EventType::new("Never").unwrap()], ..Filter::default() };
    Subscribe { filter, ..Subscribe::default() }
}

#[tokio::test]
async fn catching_up_reads_storage_and_following_reads_the_ring() {
    let source = Arc::new(Source::new(1));
    source.publish(0, 5);
    let mut deliveries = start(&source, Subscribe { batch_max: 2, ..Subscribe::default() }).await;
    assert_eq!(now(&mut deliveries), "0:1 0:2 from 0:0 to 0:2");
    assert_eq!(source.scans(), 1);
    // The ring holds 3 to 5, so the rest of the way needs no storage.
    assert_eq!(now(&mut deliveries), "0:3 0:4 from 0:2 to 0:4");
    assert_eq!(now(&mut deliveries), "0:5 from 0:4 to 0:5");
    assert_eq!(now(&mut deliveries), "caught up at 0:5");
    assert_eq!(now(&mut deliveries), "waits");
    source.publish(0, 1);
    assert_eq!(now(&mut deliveries), "0:6 from 0:5 to 0:6");
    assert_eq!(now(&mut deliveries), "waits");
    assert_eq!(source.scans(), 1);
}

#[tokio::test]
async fn a_reader_whom_the_ring_has_passed_reads_storage() {
    let source = Arc::new(Source::new(1));
    let mut deliveries = start(&source, Subscribe::default()).await;
    assert_eq!(now(&mut deliveries), "caught up at 0:0");
    source.publish(0, 2);
    source.publish(0, 3);
    assert_eq!(now(&mut deliveries), "0:1 0:2 0:3 0:4 0:5 from 0:0 to 0:5");
    assert_eq!(source.scans(), 1);
    assert_eq!(now(&mut deliveries), "caught up at 0:5", "said again, since the reader had fallen behind");
    assert_eq!(now(&mut deliveries), "waits");
}

#[tokio::test]
async fn a_bell_that_nobody_rang_is_made_up_for_by_the_beat() {
    let source = Arc::new(Source::new(1));
    let mut deliveries = start(&source, Subscribe::default()).await;
    assert_eq!(now(&mut deliveries), "caught up at 0:0");
    source.commit(0, 2);
    assert_eq!(now(&mut deliveries), "waits", "nobody said a word");
    source.clock.beat.notify_one();
    assert_eq!(now(&mut deliveries), "0:1 0:2 from 0:0 to 0:2");
    assert_eq!(now(&mut deliveries), "caught up at 0:2");
}

#[tokio::test]
async fn a_storage_that_hangs_keeps_nobody_from_what_the_bell_says() {
    let source = Arc::new(Source::new(1));
    let mut deliveries = start(&source, Subscribe::default()).await;
    assert_eq!(now(&mut deliveries), "caught up at 0:0");
    assert_eq!(now(&mut deliveries), "waits");
    source.hangs.store(true, Ordering::Relaxed);
    source.clock.beat.notify_one();
    assert_eq!(now(&mut deliveries), "waits", "the beat asks a storage that does not answer");
    source.publish(0, 1);
    assert_eq!(now(&mut deliveries), "waits", "it is given a moment");
    source.clock.beat.notify_one();
    assert_eq!(now(&mut deliveries), "0:1 from 0:0 to 0:1");
}

#[tokio::test]
async fn a_beat_without_news_says_that_all_is_well() {
    let source = Arc::new(Source::new(1));
    source.publish(0, 1);
    let mut deliveries =
        start(&source, Subscribe { after: Some("0:1".parse().unwrap()), ..Subscribe::default() }).await;
    assert_eq!(now(&mut deliveries), "caught up at 0:1");
    for _ in 0..2 {
        assert_eq!(now(&mut deliveries), "waits");
        source.clock.beat.notify_one();
        assert_eq!(now(&mut deliveries), "beat at 0:1 of 0:1");
    }
}

#[tokio::test]
async fn what_does_not_match_puts_no_beat_off() {
    let source = Arc::new(Source::new(1));
    let mut deliveries = start(&source, nothing_matches()).await;
    assert_eq!(now(&mut deliveries), "caught up at 0:0");
    let mut next = deliveries.next();
    for _ in 0..5 {
        source.publish(0, 1);
        assert!((&mut next).now_or_never().is_none(), "nothing matches");
    }
    assert_eq!(source.clock.sleeps.load(Ordering::Relaxed), 1, "one beat for the whole silence");
    source.clock.beat.notify_one();
    match next.now_or_never() {
        Some(Some(Ok(Delivery::Heartbeat { checkpoint, head }))) => {
            assert_eq!((checkpoint.to_string(), head.to_string()), ("0:5".to_owned(), "0:5".to_owned()));
        }
        other => panic!("expected a heartbeat with the progress made, got {other:?}"),
    }
}

#[tokio::test]
async fn a_long_way_without_a_match_is_reported_on() {
    let source = Arc::new(Source { scan_max: 2, ..Source::new(1) });
    source.publish(0, 9);
    let mut deliveries = start(&source, nothing_matches()).await;
    for expected in ["beat at 0:2 of 0:9", "beat at 0:4 of 0:9", "beat at 0:6 of 0:9", "caught up at 0:9", "waits"] {
        assert_eq!(now(&mut deliveries), expected);
    }
}

#[tokio::test]
async fn partitions_take_turns() {
    let source = Arc::new(Source::new(2));
    source.publish(0, 3);
    source.publish(1, 2);
    let mut deliveries = start(&source, Subscribe { batch_max: 1, ..Subscribe::default() }).await;
    for expected in [
        "0:1 from 0:0,1:0 to 0:1,1:0",
        "1:1 from 0:1,1:0 to 0:1,1:1",
        "0:2 from 0:1,1:1 to 0:2,1:1",
        "1:2 from 0:2,1:1 to 0:2,1:2",
        "0:3 from 0:2,1:2 to 0:3,1:2",
        "caught up at 0:3,1:2",
    ] {
        assert_eq!(now(&mut deliveries), expected);
    }
}

#[tokio::test]
async fn an_error_is_told_and_ends_it() {
    let source = Arc::new(Source { damaged: Some(2), ..Source::new(1) });
    source.publish(0, 6);
    let mut deliveries = start(&source, Subscribe { batch_max: 1, ..Subscribe::default() }).await;
    assert_eq!(now(&mut deliveries), "0:1 from 0:0 to 0:1");
    assert_eq!(now(&mut deliveries), "error damaged");
    assert_eq!(now(&mut deliveries), "ended");
}

#[tokio::test]
async fn a_checkpoint_ahead_of_this_process_is_asked_of_the_storage() {
    let source = Source::new(1);
    source.commit(0, 4);
    let after = |text: &str| ReadLog {
        after: Some(text.parse().unwrap()),
        filter: Filter::default(),
        limit: 10,
        payload: PayloadChoice::All,
    };
    let page = read_log(&source, after("0:3")).await.unwrap();
    assert_eq!((page.events.len(), page.at_head()), (1, true));
    assert!(matches!(read_log(&source, after("0:5")).await, Err(ReadError::Invalid { field: "after", .. })));
}

#[tokio::test]
async fn a_reader_from_before_a_rewind_is_told() {
    let began = vec![(Epoch(2), "0:3".parse().unwrap())];
    let mut source = Source::new(1);
    source.recent = Recent::new(&"0:0@2".parse().unwrap(), RecentLimits::default());
    let source = Arc::new(Source { began: Mutex::new(began), ..source });
    source.publish(0, 6);
    let from = |text: &str| Subscribe { after: Some(text.parse().unwrap()), ..Subscribe::default() };
    let rewound = subscribe(Arc::clone(&source), from("0:5")).await.err();
    assert!(matches!(rewound, Some(ReadError::Rewound { to }) if to.to_string() == "0:3@2"));
    let mut deliveries = start(&source, from("0:3")).await;
    assert_eq!(now(&mut deliveries), "0:4 0:5 0:6 from 0:3@2 to 0:6@2");
}

#[tokio::test]
async fn an_epoch_that_begins_meanwhile_tells_who_is_ahead_and_carries_the_others_on() {
    let source = Arc::new(Source::new(1));
    source.publish(0, 2);
    let (mut ahead, mut behind) =
        (start(&source, Subscribe::default()).await, start(&source, Subscribe::default()).await);
    for reader in [&mut ahead, &mut behind] {
        assert_eq!(now(reader), "0:1 0:2 from 0:0 to 0:2");
        assert_eq!(now(reader), "caught up at 0:2");
    }
    source.publish(0, 1);
    assert_eq!(now(&mut ahead), "0:3 from 0:2 to 0:3");
    source.rewind(2, 2);
    assert!(now(&mut ahead).contains("was rewound to 0:2@2"), "it holds an event that is lost");
    assert_eq!(now(&mut ahead), "ended");
    assert_eq!(now(&mut behind), "caught up at 0:2@2", "nothing that it took is lost");
    source.publish(0, 1);
    assert_eq!(now(&mut behind), "0:3 from 0:2@2 to 0:3@2");
}

#[tokio::test]
async fn an_epoch_that_begins_while_storage_is_read_lets_nothing_of_before_through() {
    let source = Arc::new(Source::new(1));
    source.publish(0, 10);
    *source.rewind_in_scan.lock().unwrap() = Some(1);
    let mut deliveries = start(&source, Subscribe::default()).await;
    assert_eq!(now(&mut deliveries), "0:1 from 0:0@2 to 0:1@2");
    assert_eq!(now(&mut deliveries), "caught up at 0:1@2");
}

#[tokio::test]
async fn partitions_that_lie_in_storage_are_read_side_by_side() {
    let source = Arc::new(Source::new(6));
    for partition in 0..6 {
        source.commit(partition, 2);
    }
    source.recent.observe(&source.storage_heads().await.unwrap());
    let mut deliveries = start(&source, Subscribe { batch_max: 2, ..Subscribe::default() }).await;
    let mut scans = Vec::new();
    for partition in 0..6 {
        assert!(now(&mut deliveries).starts_with(&format!("{partition}:1 {partition}:2 from")));
        scans.push(source.scans());
    }
    assert_eq!(scans, [4, 4, 4, 4, 6, 6], "four at once, and none of them twice");
    assert!(now(&mut deliveries).starts_with("caught up"));
}
