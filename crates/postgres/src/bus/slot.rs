//! Following the log through a replication slot, for as long as there is one, and having one again when it is lost.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use pacioli_core::Partition;
use pacioli_core::place::{Checkpoint, Epoch, Place, Position};
use pacioli_core::store::Bus;
use tokio::time::Instant;
use uuid::Uuid;

use super::pgoutput::{Change, Decoder};
use super::polling;
use super::wal::{Lost, Message, Target, WalSource, Walsender};
use super::{OWN_COME_FIRST, hand_on};
use crate::connect::{Identity, Purpose};
use crate::error::{Error, Result};
use crate::shared::{Counters, ReadPool, Shared};

/// What stands in the way is looked at again so often: a grant is noticed without a restart.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The first pause before another session is tried, and the longest. They vary, so that the servers that one restart
/// threw out do not all come back at once.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A session that lasted so long was a good one: the next pause is the first again.
const GOOD_SESSION: Duration = Duration::from_secs(10);
/// So many sessions may be taken away within so long, before that is said and the bus polls for a while.
const TAKEN_MAX: (usize, Duration) = (5, Duration::from_secs(600));
/// A session that does not come so far is given up; what hangs there is a dead connection.
const OPEN_MAX: Duration = Duration::from_secs(15);
/// For a slot that is longer in the making, the transactions that it waits for are named as the reason to poll.
const SLOT_SOON: Duration = Duration::from_secs(1);
/// Then it is begun anew: the transactions of now may be shorter ones.
const SLOT_MAX: Duration = Duration::from_secs(120);
/// Silence proves nothing, so the table is compared with what the slot said.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// The slot may be so late.
const LATE_MAX: Duration = Duration::from_secs(2);
/// Pauses before a commit is looked for again that was announced and is not visible yet.
const AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// Follows for ever: through a slot where there can be one, and by polling while there is none.
pub(super) async fn follow(shared: &Shared, pool: &ReadPool) -> Infallible {
    let mut tries = Tries::default();
    loop {
        let session = tokio::select! {
            session = open(shared) => session,
            never = polling::for_ever(shared, pool) => match never {},
        };
        let pause = match session {
            Ok(mut session) => {
                Counters::add(&shared.counters.bus_reconnects);
                let began = Instant::now();
                let Err(lost) = stream(shared, pool, &mut session).await;
                tries.ended(began.elapsed(), &lost);
                tries.after(shared, lost)
            }
            Err(lost) => tries.after(shared, lost),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            never = polling::for_ever(shared, pool) => match never {},
        }
    }
}

/// How it went so far.
#[derive(Default)]
struct Tries {
    failed: u32,
    taken: VecDeque<Instant>,
    /// The reason to poll that was last said. It is said once.
    said: Option<String>,
}

impl Tries {
    /// A session that had begun is over.
    fn ended(&mut self, lasted: Duration, lost: &Lost) {
        self.said = None;
        if lasted >= GOOD_SESSION {
            self.failed = 0;
        }
        if matches!(lost, Lost::Taken(_)) {
            self.taken.push_back(Instant::now());
        }
        self.taken.retain(|at| at.elapsed() < TAKEN_MAX.1);
    }

    /// Says why there is no slot, and how long to wait before another try.
    fn after(&mut self, shared: &Shared, lost: Lost) -> Duration {
        let lost = if matches!(lost, Lost::Taken(_)) && self.taken.len() > TAKEN_MAX.0 {
            // A temporary slot goes with its session, so PostgreSQL does not say which of the two it is.
            Lost::Standing(format!(
                "the database ended more than {} replication sessions within {} minutes: `max_slot_wal_keep_size` may \
                 be too small for its longest transactions, or somebody ends them",
                TAKEN_MAX.0,
                TAKEN_MAX.1.as_secs() / 60
            ))
        } else {
            lost
        };
        match lost {
            Lost::Standing(why) => {
                if self.said.as_ref() != Some(&why) {
                    tracing::warn!(why, "events of other writers are polled for");
                    self.said = Some(why.clone());
                }
                shared.set_bus(Bus::Polling { why });
                vary(LOOK_AGAIN)
            }
            lost => {
                // Said once for an outage; the next session says that it is there.
                if matches!(shared.bus(), Bus::Slot) {
                    tracing::info!(reason = %lost, "the replication session is lost; events of other writers are polled for");
                } else {
                    tracing::debug!(reason = %lost, "no replication session for now");
                }
                shared.set_bus(Bus::Polling { why: format!("{lost}; another is begun") });
                let pause = PAUSES.0.saturating_mul(2_u32.saturating_pow(self.failed)).min(PAUSES.1);
                self.failed = self.failed.saturating_add(1);
                vary(pause)
            }
        }
    }
}

/// Between three quarters of it and all.
fn vary(pause: Duration) -> Duration {
    let chance = u32::from(Uuid::new_v4().as_bytes()[0]);
    pause.mul_f64(0.75) + pause.mul_f64(0.25) * chance / 255
}

/// A session that follows, and the database that it was begun in.
struct Session<S> {
    source: S,
    identity: Identity,
    epoch: Epoch,
}

/// Begins a session, or says what is in the way.
async fn open(shared: &Shared) -> std::result::Result<Session<Walsender>, Lost> {
    let too_slow = || Lost::Passing("the database did not answer in time".to_owned());
    let location = shared.connector.location();
    let session = tokio::time::timeout(OPEN_MAX, look_for_bus(shared)).await.map_err(|_| too_slow())?;
    let (host, identity, user, database) = session?;
    let target = Target {
        host: &location.hosts()[host],
        tls: shared.connector.tls(),
        user,
        database,
        publication: format!("{}_bus", location.schema()),
        prefix: location.schema(),
        identity,
    };
    let epoch = shared.recent.epoch();
    let mut source = Walsender::connect(&target).await?;
    {
        let create = source.create_slot();
        tokio::pin!(create);
        match tokio::time::timeout(SLOT_SOON, &mut create).await {
            Ok(created) => created?,
            Err(_) => {
                let why = "a replication slot is in the making, and waits for the transactions that write now";
                if shared.set_bus(Bus::Polling { why: why.to_owned() }) {
                    tracing::info!("{why}");
                }
                tokio::time::timeout(SLOT_MAX, create).await.map_err(|_| {
                    Lost::Passing(format!(
                        "a replication slot was not made in {} s: some transaction writes for longer",
                        SLOT_MAX.as_secs()
                    ))
                })??;
            }
        }
    }
    source.start().await?;
    Ok(Session { source, identity, epoch })
}

/// Where the primary is and as whom we are there; or what keeps us from a slot, and what to do about it.
async fn look_for_bus(shared: &Shared) -> std::result::Result<(usize, Identity, String, String), Lost> {
    let passing = |error: Error| Lost::Passing(error.to_string());
    let schema = shared.connector.location().schema();
    let publication = format!("{schema}_bus");
    let session = Box::pin(shared.connect(Purpose::Maintain)).await.map_err(passing)?;
    let look = async || session.query_one(sql!("look_for_bus"), &[&publication, &schema]).await;
    let mut found = look().await.map_err(|error| passing(error.into()))?;
    let wal_level: String = found.get(0);
    let user: String = found.get(3);
    if wal_level != "logical" {
        return Err(Lost::Standing(format!(
            "wal_level is {wal_level}: ALTER SYSTEM SET wal_level = logical, and restart the database"
        )));
    }
    if !found.get::<_, bool>(1) {
        return Err(Lost::Standing(format!("the role `{user}` may not replicate: ALTER ROLE \"{user}\" REPLICATION")));
    }
    if !found.get::<_, bool>(2) {
        let make = sql!("make_publication").replace("{schema}", schema);
        session.batch_execute(&make).await.map_err(|error| passing(error.into()))?;
        found = look().await.map_err(|error| passing(error.into()))?;
        if !found.get::<_, bool>(2) {
            return Err(Lost::Standing(format!(
                "there is no publication `{publication}` of the inserts into `commits`: let the owner run CREATE \
                 PUBLICATION {publication} FOR TABLE {schema}.commits WITH (publish = 'insert')"
            )));
        }
        tracing::info!(publication, "made the publication of the bus");
    }
    Ok((session.host, session.surroundings.identity, user, found.get(4)))
}

/// Follows until the session is lost.
async fn stream<S: WalSource>(
    shared: &Shared,
    pool: &ReadPool,
    session: &mut Session<S>,
) -> std::result::Result<Infallible, Lost> {
    // What was committed before the slot was there is in the table, and nobody will announce it.
    let heads = polling::look(shared, pool).await.map_err(|error| Lost::Passing(error.to_string()))?;
    tracing::info!("events of other writers come through a replication slot");
    shared.set_bus(Bus::Slot);
    let mut doorbells = Doorbells::new(&heads);
    let mut compare_at = Instant::now() + COMPARE_EVERY;
    let mut suspected: Option<Checkpoint> = None;
    loop {
        let hand_on_at = doorbells.due;
        tokio::select! {
            message = session.source.next() => {
                doorbells.take(shared, message?)?;
                // Where many wait, only the last of each partition matters.
                while let Some(message) = session.source.waiting() {
                    doorbells.take(shared, message?)?;
                }
                doorbells.ack(&session.source);
            }
            () = tokio::time::sleep_until(hand_on_at.unwrap_or(compare_at)), if hand_on_at.is_some() => {
                doorbells.hand_on(shared, pool).await;
            }
            () = tokio::time::sleep_until(compare_at) => {
                if shared.identity() != session.identity || shared.recent.epoch() != session.epoch {
                    return Err(Lost::Passing("the database is another one than the slot's".to_owned()));
                }
                compare_at = Instant::now() + COMPARE_EVERY;
                match suspected.take() {
                    Some(heads) if !doorbells.announced(&heads) => {
                        return Err(Lost::Passing(format!(
                            "the slot did not say within {} s that the log has come to {heads}",
                            LATE_MAX.as_secs()
                        )));
                    }
                    Some(_) => {}
                    // This also hands on what the slot is late with. Whether the database can be reached is found out by
                    // whoever wants something of it.
                    None => if let Ok(heads) = polling::look(shared, pool).await && !doorbells.announced(&heads) {
                        suspected = Some(heads);
                        compare_at = Instant::now() + LATE_MAX;
                    }
                }
            }
        }
    }
}

/// What the slot announced.
struct Doorbells {
    decoder: Decoder,
    /// The highest head of each partition.
    heads: Vec<Position>,
    /// Those that were not handed on yet.
    pending: BTreeMap<Partition, Position>,
    /// When they are to be.
    due: Option<Instant>,
    pause: Duration,
    /// How far the log was taken.
    end: u64,
}

impl Doorbells {
    fn new(heads: &Checkpoint) -> Doorbells {
        Doorbells {
            decoder: Decoder::default(),
            heads: heads.iter().map(|place| place.position).collect(),
            pending: BTreeMap::new(),
            due: None,
            pause: AGAIN.0,
            end: 0,
        }
    }

    fn take(&mut self, shared: &Shared, message: Message) -> std::result::Result<(), Lost> {
        match message {
            Message::Committed(end) | Message::Alive(end) => self.end = end,
            Message::Data(data) => {
                let rung = self.ring(shared, &data).map_err(|problem| Lost::Passing(problem.to_string()))?;
                let Some(Place { partition, position }) = rung else { return Ok(()) };
                Counters::add(&shared.counters.bus_commits);
                let head = &mut self.heads[partition.index()];
                *head = (*head).max(position);
                let pending = self.pending.entry(partition).or_default();
                *pending = (*pending).max(position);
                let wait = if shared.own_by_bus { Duration::ZERO } else { OWN_COME_FIRST };
                let at = Instant::now() + wait;
                self.due = Some(self.due.map_or(at, |due| due.min(at)));
            }
        }
        Ok(())
    }

    /// Where the log has come to, if that is what a message says.
    fn ring(&mut self, shared: &Shared, data: &[u8]) -> Result<Option<Place>> {
        let wrong = |problem: String| Error::Store(format!("the replication stream makes no sense: {problem}"));
        let malformed = |error: super::pgoutput::Malformed| Error::Store(error.to_string());
        let (relation, row) = match self.decoder.decode(data).map_err(malformed)? {
            Change::Insert { relation, row } => (relation, row),
            Change::Commit { end } => {
                self.end = end;
                return Ok(None);
            }
            Change::Begin { .. } | Change::Relation(_) | Change::Other => return Ok(None),
        };
        let relation = self.decoder.relation(relation).map_err(malformed)?;
        if relation.name != "commits" || relation.schema != shared.connector.location().schema() {
            return Ok(None);
        }
        let integer = |name: &str| {
            let column = relation.columns.iter().position(|column| column == name);
            match column.and_then(|column| row.get(column)) {
                Some(value) => value.integer().map_err(malformed),
                None => Err(wrong(format!("`commits` has no column `{name}`"))),
            }
        };
        let (part, last) = (integer("part")?, integer("last_pos")?);
        match (u16::try_from(part), u64::try_from(last)) {
            (Ok(part), Ok(last)) if part < shared.partitions => {
                Ok(Some(Place { partition: Partition(part), position: Position(last) }))
            }
            _ => Err(wrong(format!("a commit of partition {part} up to {last}"))),
        }
    }

    /// Hands on what was announced. What is not visible yet, or cannot be read just now, is tried again.
    async fn hand_on(&mut self, shared: &Shared, pool: &ReadPool) {
        let places = self.pending.iter().map(|(&partition, &position)| Place { partition, position });
        if let Err(error) = hand_on(shared, pool, places.collect()).await {
            tracing::debug!(%error, "could not read what was announced");
        }
        let before = self.pending.len();
        self.pending.retain(|&partition, head| shared.recent.head(partition) < *head);
        self.due = if self.pending.is_empty() {
            self.pause = AGAIN.0;
            None
        } else {
            self.pause = if self.pending.len() < before { AGAIN.0 } else { (self.pause * 2).min(AGAIN.1) };
            Some(Instant::now() + self.pause)
        };
    }

    /// Lets go of the log that was taken, handed on or not: what is missing is read from the table. And a database that
    /// shuts down waits until all of it is confirmed, while nothing can be read any more.
    fn ack(&self, source: &impl WalSource) {
        source.ack(self.end);
    }

    /// Whether all of these heads were announced.
    fn announced(&self, heads: &Checkpoint) -> bool {
        heads.iter().all(|place| place.position <= self.heads[place.partition.index()])
    }
}
