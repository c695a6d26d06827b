//! The whole structure against plain sorted maps, and what must happen when something breaks.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;

use super::kind::joined;
use super::*;

type Model = [BTreeMap<u128, u64>; IndexKind::COUNT];

fn database() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    CREATE_TABLES.iter().for_each(|statement| conn.execute_batch(statement).unwrap());
    conn
}

/// A splitmix64 step: cheap numbers that repeat from a seed.
fn mix(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A log and its indexes, as the owner of both would drive them. The watermark is the number of log entries.
struct Store {
    conn: Connection,
    indexes: Indexes,
    log: Vec<(IndexKind, u128, u64)>,
    versions: BTreeMap<u64, u64>,
}

impl Store {
    fn new() -> Self {
        let conn = database();
        let (indexes, watermark) = Indexes::open(&conn).unwrap();
        assert_eq!(watermark, None);
        Self { conn, indexes, log: Vec::new(), versions: BTreeMap::new() }
    }

    fn apply(&mut self, entries: Vec<(IndexKind, u128, u64)>) {
        self.indexes.apply(entries.iter().copied());
        self.log.extend(entries);
    }

    /// Entries of about `count` events, of all kinds.
    fn append(&mut self, count: u64, seed: u64) {
        let mut entries = Vec::new();
        for n in 0..count {
            let random = mix(seed ^ mix(n));
            let stream = random % 40;
            let rowid = (stream % 3) << 48 | (self.log.len() + entries.len()) as u64;
            let version = self.versions.entry(stream).or_default();
            *version += 1;
            entries.push((IndexKind::Id, joined(mix(random), mix(random + 1)), rowid));
            entries.push((IndexKind::Stream, joined(stream, *version), rowid));
            entries.push((IndexKind::Type, joined(mix(random % 3), rowid), 0));
            entries.push((IndexKind::Tag, joined(mix(random % 500), rowid), 0));
            entries.push((IndexKind::CategoryStreams, joined(7, stream), 0));
            // Names repeat, with another value each time: the newest must win.
            entries.push((IndexKind::Name, joined(mix(stream), 1), rowid));
        }
        self.apply(entries);
    }

    fn freeze(&mut self) -> bool {
        self.indexes.freeze(self.log.len().to_string())
    }

    fn work(&mut self, max_blocks: usize, commit: bool) -> bool {
        let transaction = self.conn.unchecked_transaction().unwrap();
        let worked = self.indexes.work(&transaction, max_blocks).unwrap();
        assert!(worked.blocks_written <= max_blocks);
        if commit {
            transaction.commit().unwrap();
            self.indexes.committed();
        } else {
            transaction.rollback().unwrap();
            self.indexes.rolled_back();
        }
        worked.idle
    }

    fn drain(&mut self) {
        while !self.work(64, true) {}
    }

    /// Forgets memory and begins again from the file and the log.
    fn crash(&mut self) {
        let (indexes, watermark) = Indexes::open(&self.conn).unwrap();
        self.indexes = indexes;
        let covered = watermark.map_or(0, |watermark| watermark.parse::<usize>().unwrap());
        self.indexes.apply(self.log[covered..].iter().copied());
    }

    fn model(&self) -> Model {
        let mut model = Model::default();
        for (kind, key, value) in &self.log {
            model[kind.slot()].insert(*key, *value);
        }
        model
    }

    fn levels(&self, kind: IndexKind) -> Vec<u32> {
        self.indexes.state.runs[kind.slot()].iter().map(|run| run.level).collect()
    }

    fn check(&self, seed: u64) {
        check(&self.conn, &self.indexes.view(), &self.model(), seed);
    }
}

fn check(conn: &Connection, view: &IndexView, model: &Model, seed: u64) {
    for kind in IndexKind::ALL {
        let map = &model[kind.slot()];
        let all: Vec<Entry> = map.iter().map(|(key, value)| (*key, *value)).collect();
        let scanned = view.scan(conn, kind, 0, u128::MAX, usize::MAX, Direction::Forward).unwrap();
        assert!(scanned == all, "{kind:?} forward");
        let mut scanned = view.scan(conn, kind, 0, u128::MAX, usize::MAX, Direction::Backward).unwrap();
        scanned.reverse();
        assert!(scanned == all, "{kind:?} backward");
        assert_eq!(view.get(conn, kind, joined(mix(seed), 3)).unwrap(), None);
        if all.is_empty() {
            assert_eq!(view.estimate(kind, 0, u128::MAX), 0);
            continue;
        }
        assert!(view.estimate(kind, 0, u128::MAX) > 0);
        for probe in 0..12 {
            let random = mix(seed ^ probe);
            let (key, value) = all[random as usize % all.len()];
            assert_eq!(view.get(conn, kind, key).unwrap(), Some(value), "{kind:?}");

            // A range over one upper half from some key on, and one between any two keys.
            let (other, _) = all[mix(random) as usize % all.len()];
            let one_half = (key, joined(kind::upper(key), u64::MAX - (random & 1)));
            let one_partition = (key, key | ((1 << 48) - 1));
            for (low, high) in [one_half, one_partition, (key.min(other), key.max(other)), (key + 1, key), (key, key)] {
                let limit = random as usize % 40;
                let inside = || all.iter().filter(|(key, _)| (low..=high).contains(key)).copied();
                let forward: Vec<Entry> = inside().take(limit).collect();
                assert_eq!(view.scan(conn, kind, low, high, limit, Direction::Forward).unwrap(), forward);
                let mut backward: Vec<Entry> = inside().collect();
                backward.reverse();
                let last = backward.first().copied();
                backward.truncate(limit);
                assert_eq!(view.scan(conn, kind, low, high, limit, Direction::Backward).unwrap(), backward);
                let grows_with_time = !matches!(kind, IndexKind::CategoryStreams);
                if low >= high || (grows_with_time && low >> 48 == high >> 48) {
                    assert_eq!(view.last_in(conn, kind, low, high).unwrap(), last, "{kind:?}");
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Freeze,
    Work { slices: u8, max_blocks: usize, commit: bool },
    Drain,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let work = (1..6_u8, 1..9_usize, prop::bool::weighted(0.7));
    let step = prop_oneof![
        4 => (1..400_u64).prop_map(Step::Append),
        4 => Just(Step::Freeze),
        6 => work.prop_map(|(slices, max_blocks, commit)| Step::Work { slices, max_blocks, commit }),
        2 => Just(Step::Drain),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn indexes_answer_like_sorted_maps(steps in steps(), seed in any::<u64>(), runs_before in 0..18_u64) {
        let mut store = Store::new();
        // Enough runs that the steps meet merges.
        for n in 0..runs_before {
            store.append(1 + mix(seed ^ n) % 60, mix(n) ^ seed);
            store.freeze();
            store.drain();
        }
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(count) => store.append(count, mix(seed + n as u64)),
                Step::Freeze => drop(store.freeze()),
                Step::Work { slices, max_blocks, commit } => {
                    for _ in 0..slices {
                        store.work(max_blocks, commit);
                    }
                }
                Step::Drain => store.drain(),
                Step::Crash => store.crash(),
            }
            if n % 8 == 7 {
                store.check(seed ^ n as u64);
            }
        }
        store.check(seed);
        store.crash();
        store.check(seed);
        store.drain();
        store.check(seed);
    }
}

#[test]
fn a_crash_in_a_flush_or_merge_loses_nothing() {
    let mut store = Store::new();
    for n in 0..15 {
        store.append(150, n);
        store.freeze();
        store.drain();
    }
    store.append(900, 77);
    store.freeze();
    // The flush is under way, and then each of the merges it makes due.
    for slices in 1..40 {
        for _ in 0..slices {
            store.work(1, true);
        }
        store.crash();
        store.check(slices);
        store.freeze();
    }
    store.drain();
    store.check(1);
    assert!(store.levels(IndexKind::Id).contains(&1));
    let count = |sql| store.conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM index_runs WHERE complete = 0"), 0);
    let of_no_run = "SELECT count(*) FROM index_blocks WHERE id >> 24 NOT IN (SELECT run FROM index_runs)";
    assert_eq!(count(of_no_run), 0);
}

#[test]
fn rolled_back_slices_are_done_again() {
    let mut store = Store::new();
    for n in 0..16 {
        store.append(300, n);
        store.freeze();
        let mut slice = 0;
        while !store.work(3, slice % 3 == 2) || slice % 3 != 2 {
            slice += 1;
        }
    }
    assert_eq!(store.levels(IndexKind::Id), [1]);
    store.check(5);
    store.crash();
    assert_eq!(store.indexes.active_entries(), 0, "the watermark covers everything");
    store.check(6);
}

#[test]
fn tiered_merges_reach_level_two() {
    let mut store = Store::new();
    for n in 0..FAN_IN as u64 * FAN_IN as u64 + 3 {
        store.append(4, n);
        store.freeze();
        store.drain();
    }
    assert_eq!(store.levels(IndexKind::Stream), [2, 0, 0, 0]);
    store.check(9);
    store.crash();
    store.check(9);
}

#[test]
fn a_merge_of_small_runs_goes_before_one_of_large_runs() {
    let mut store = Store::new();
    let mut runs = 0;
    let mut run = |store: &mut Store, count| {
        runs += 1;
        store.append(count, runs);
        store.freeze();
    };
    for _ in 0..FAN_IN * FAN_IN - 1 {
        run(&mut store, 30);
        store.drain();
    }
    run(&mut store, 30);
    while store.indexes.merges.first().is_none_or(|merge| merge.level() == 0) {
        store.work(1, true);
    }
    for _ in 0..FAN_IN {
        run(&mut store, 300);
        while store.indexes.flush.is_some() {
            store.work(1, true);
        }
    }
    while store.indexes.merges.len() < 2 {
        store.work(1, true);
    }
    store.work(1, false);
    assert_eq!(store.indexes.merges.iter().map(MergeJob::level).collect::<Vec<_>>(), [1, 0]);
    store.check(3);
    store.drain();
    assert_eq!(store.levels(IndexKind::Id), [2, 1]);
    store.check(4);
}

#[test]
fn a_view_stays_valid_while_a_merge_retires_its_runs() {
    let mut store = Store::new();
    for n in 0..FAN_IN as u64 {
        store.append(100, n);
        store.freeze();
        if n + 1 < FAN_IN as u64 {
            store.drain();
        }
    }
    while store.indexes.flush.is_some() {
        store.work(4, true);
    }
    let (view, model) = (store.indexes.view(), store.model());
    store.append(50, 99);
    store.drain();
    assert_eq!(store.levels(IndexKind::Id), [1]);
    let runs = |store: &Store| {
        store.conn.query_row("SELECT count(*) FROM index_runs", [], |row| row.get::<_, i64>(0)).unwrap() as usize
    };
    assert!(runs(&store) > IndexKind::COUNT, "the retired runs are still there");
    // The view's active tail has grown since; what it knew is all still found.
    for kind in IndexKind::ALL.into_iter().filter(|kind| *kind != IndexKind::Name) {
        for (key, value) in &model[kind.slot()] {
            assert_eq!(view.get(&store.conn, kind, *key).unwrap(), Some(*value), "{kind:?}");
        }
    }
    drop(view);
    store.drain();
    assert!(runs(&store) <= IndexKind::COUNT, "nobody needs the retired runs any more");
    store.check(2);
}

#[test]
fn damage_is_an_error_that_names_the_place() {
    let mut store = Store::new();
    store.append(2_000, 1);
    store.freeze();
    store.drain();
    let run = store.indexes.state.runs[IndexKind::Id.slot()][0].id;
    let id = run << 24 | 3;

    let damage = |sql: &str, id: i64| assert_eq!(store.conn.execute(sql, [id]).unwrap(), 1);
    let scan = || store.indexes.view().scan(&store.conn, IndexKind::Id, 0, u128::MAX, usize::MAX, Direction::Forward);
    let (kept,): (Vec<u8>,) =
        store.conn.query_row("SELECT entries FROM index_blocks WHERE id = ?1", [id], |row| Ok((row.get(0)?,))).unwrap();
    for place in [0, 8, 9, 10, 11, 500, kept.len() - 1] {
        let mut bytes = kept.clone();
        bytes[place] ^= 0x10;
        store.conn.execute("UPDATE index_blocks SET entries = ?2 WHERE id = ?1", (id, bytes)).unwrap();
        assert_eq!(scan().unwrap_err().to_string(), format!("index run {run}, block 3 is corrupt: checksum mismatch"));
    }
    damage("UPDATE index_blocks SET entries = x'' WHERE id = ?1", id);
    assert_eq!(scan().unwrap_err().to_string(), format!("index run {run}, block 3 is corrupt: too short"));
    damage("DELETE FROM index_blocks WHERE id = ?1", id);
    assert_eq!(scan().unwrap_err().to_string(), format!("index run {run}, block 3 is corrupt: it is missing"));

    let opened = || Indexes::open(&store.conn).map(drop).unwrap_err().to_string();
    let segment = run << 24;
    damage("UPDATE index_segments SET fences_and_filters = zeroblob(90) WHERE id = ?1", segment);
    assert_eq!(opened(), format!("index run {run}, segment 0 is corrupt: checksum mismatch"));
    damage("DELETE FROM index_segments WHERE id = ?1", segment);
    assert!(opened().starts_with(&format!("index run {run}, segment ")), "{}", opened());
}

#[test]
fn a_scan_reads_no_block_that_the_answer_does_not_need() {
    let mut store = Store::new();
    let tag = 99_u64;
    for n in 0..10_u64 {
        let rowids = n * 10_000..n * 10_000 + 2_000;
        let others = rowids.clone().map(|rowid| (IndexKind::Tag, joined(rowid % 7, rowid), 0));
        let tagged = rowids.map(|rowid| (IndexKind::Tag, joined(tag, rowid), 0));
        store.apply(others.chain(tagged).collect());
        store.freeze();
        store.drain();
    }
    let view = store.indexes.view();
    let wanted = &store.indexes.state.runs[IndexKind::Tag.slot()][4];
    let (low, high) = (joined(tag, 40_300), joined(tag, u64::MAX));
    let blocks = wanted.blocks_of(low, joined(tag, 40_309));
    assert!((1..=2).contains(&blocks.len()));
    let kept = (wanted.row_id(blocks.start), wanted.row_id(blocks.end - 1));
    store.conn.execute("DELETE FROM index_blocks WHERE id NOT BETWEEN ?1 AND ?2", kept).unwrap();
    let found = view.scan(&store.conn, IndexKind::Tag, low, high, 10, Direction::Forward).unwrap();
    assert_eq!(found, (40_300..40_310).map(|rowid| (joined(tag, rowid), 0)).collect::<Vec<_>>());
    let found = view.scan(&store.conn, IndexKind::Tag, joined(tag, 0), joined(tag, 40_309), 10, Direction::Backward);
    assert_eq!(found.unwrap().last(), Some(&(joined(tag, 40_300), 0)));

    let all = view.estimate(IndexKind::Tag, joined(tag, 0), high);
    assert!((10_000..=30_000).contains(&all), "{all} of 20000");
    assert_eq!(view.estimate(IndexKind::Tag, joined(98, 0), joined(98, u64::MAX)), 0);
}

#[test]
fn a_tail_freezes_when_it_is_full_and_only_one_is_frozen() {
    let conn = database();
    let (mut indexes, _) = Indexes::open_with(&conn, IndexOptions { freeze_at_entries: 100 }).unwrap();
    indexes.apply((0..99).map(|n| (IndexKind::Id, n, 0)));
    assert!(!indexes.should_freeze());
    indexes.apply([(IndexKind::Id, 99, 0)]);
    assert!(indexes.should_freeze());
    assert!(indexes.freeze("100".into()));
    indexes.apply((100..300).map(|n| (IndexKind::Id, n, 0)));
    assert!(!indexes.should_freeze() && indexes.is_late());
    assert!(!indexes.freeze("300".into()));
    assert_eq!((indexes.active_entries(), indexes.watermark()), (200, None));
    assert!(indexes.memory_bytes() >= 300 * 24);
    indexes.work(&conn, 16).unwrap();
    assert!(!indexes.freeze("300".into()), "a slice's outcome is not known");
    indexes.committed();
    assert_eq!(indexes.watermark(), Some("100"));
    assert!(indexes.freeze("300".into()));
    fn shareable<T: Send + Sync + Clone>(_: &T) {}
    shareable(&indexes.view());
    shareable(&indexes.views());
}
