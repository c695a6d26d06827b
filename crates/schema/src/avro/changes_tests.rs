//! What changes break whom: a table, and what the library of Avro says of each of its rows.

use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

use super::tests::{parse, peer, record};
use crate::compat::Change;
use crate::testing::within_bounds;

/// Old, new, and whether the change breaks those who read by the newer and by the older one; and a word of the sentence.
fn table() -> Vec<(String, String, bool, bool, &'static str)> {
    let of = |kind: &str| record(&format!(r#"{{"name":"a","type":{kind}}}"#));
    let state =
        |symbols: &str, default: &str| of(&format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]{default}}}"#));
    let (a, b) = (r#"{"name":"a","type":"int"}"#, r#"{"name":"b","type":"int"}"#);
    let b_or_7 = r#"{"name":"b","type":"int","default":7}"#;
    let both = |b: &str| record(&format!("{a},{b}"));
    let fixed = |name: &str, size: u8| of(&format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#));
    let decimal = |precision: u8, scale: u8| {
        of(&format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":{scale}}}"#))
    };
    let inner = |name: &str, fields: &str| format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#);
    let mut table = vec![
        (record(a), both(b), true, false, "`/b` is new"),
        (record(a), both(b_or_7), false, false, "`/b` is new"),
        (both(b), record(a), false, true, "`/b` is gone"),
        (both(b_or_7), record(a), false, false, "`/b` is gone"),
        (both(b), both(b_or_7), false, false, "has a default"),
        (both(b_or_7), both(b), false, false, "no default any more"),
        (record(a), record(b), true, true, "is new"),
        (record(a), record(r#"{"name":"b","type":"int","aliases":["a"]}"#), false, true, "is called `b` now"),
        (of("\"int\""), of(r#"["null","int"]"#), false, true, "may be null"),
        (of(r#"["null","int"]"#), of("\"int\""), true, false, "no longer null"),
        (of(r#"["null","int"]"#), of(r#"["int","null"]"#), false, false, ""),
        (of(r#"["null","int"]"#), of(r#"["null","long"]"#), false, true, "was an int and is a long"),
        (of(r#"["null","long"]"#), of(r#"["null","int"]"#), true, false, "no longer a long"),
        (of(r#"["null","int"]"#), of(r#"["null","int","string"]"#), false, true, "may be a string"),
        (of(r#"["int","string"]"#), of(r#"["int","bytes"]"#), false, false, "was a string and is bytes"),
        (of(r#"["int","string"]"#), of("\"string\""), true, false, "no longer an int"),
        (state("\"A\"", ""), state("\"A\",\"B\"", ""), false, true, "may be `B`"),
        (state("\"A\",\"B\"", ""), state("\"A\"", ""), true, false, "no longer `B`"),
        (state("\"A\",\"B\"", ""), state("\"A\"", ",\"default\":\"A\""), false, false, "no longer `B`"),
        (state("\"A\"", ",\"default\":\"A\""), state("\"A\",\"B\"", ",\"default\":\"A\""), false, false, "may be `B`"),
        (state("\"A\",\"B\"", ""), state("\"B\",\"A\"", ""), false, false, "another order"),
        (fixed("F", 2), fixed("F", 3), true, true, "had 2 bytes and has 3"),
        (fixed("F", 2), fixed("G", 2), true, true, "of the fixed `F` and is of `G`"),
        (decimal(6, 2), decimal(8, 2), true, true, "was a decimal of 6 digits"),
        (decimal(6, 2), of("\"bytes\""), false, false, "had decimal and has no logical type"),
        (
            of(r#"{"type":"array","items":"int"}"#),
            of(r#"{"type":"array","items":"long"}"#),
            false,
            true,
            "`/a/*` was an int",
        ),
        (
            of(r#"{"type":"map","values":"int"}"#),
            of(r#"{"type":"map","values":"string"}"#),
            true,
            true,
            "`/a/*` was an int",
        ),
        (
            of(r#"{"type":"map","values":"int"}"#),
            of(r#"{"type":"array","items":"int"}"#),
            true,
            true,
            "a map and is an array",
        ),
        (of(&inner("I", a)), of(&inner("I", &format!("{a},{b}"))), true, false, "`/a/b` is new"),
        (of(&inner("I", a)), of(&inner("J", a)), true, true, "of the record `I` and is of `J`"),
        (of(&inner("x.I", a)), of(&inner("y.I", a)), false, false, ""),
        (
            of(&format!("[\"null\",{}]", inner("I", a))),
            of(&format!("[{},\"null\"]", inner("I", b_or_7))),
            false,
            true,
            "`/a/a` is gone",
        ),
        (
            of(&format!("[\"null\",{}]", inner("I", a))),
            of(&format!("[\"null\",{}]", inner("J", a))),
            true,
            true,
            "may be of the record `J`",
        ),
    ];
    let ladder = ["int", "long", "float", "double"];
    for (low, from) in ladder.iter().enumerate() {
        for (high, to) in ladder.iter().enumerate() {
            let word = if low == high { "" } else { "was a" };
            table.push((of(&format!("\"{from}\"")), of(&format!("\"{to}\"")), low > high, low < high, word));
        }
    }
    for (from, to, breaks) in
        [("string", "bytes", false), ("bytes", "string", false), ("string", "int", true), ("null", "boolean", true)]
    {
        table.push((of(&format!("\"{from}\"")), of(&format!("\"{to}\"")), breaks, breaks, "and is"));
    }
    table
}

#[test]
fn changes_break_whom_avros_resolution_says() {
    for (old, new, backward, forward, word) in table() {
        let changes = parse(&new).changes_since(&parse(&old));
        // That what is gone is missed is no matter of resolution.
        let is_missed = |one: &Change| one.sentence.contains("no longer see what it says there");
        let breaks_backward = changes.iter().any(|one| one.breaks_backward && !is_missed(one));
        let breaks = (breaks_backward, changes.iter().any(|one| one.breaks_forward));
        assert_eq!(breaks, (backward, forward), "{old} -> {new}: {changes:#?}");
        assert!(changes.iter().any(|one| one.sentence.contains(word)) || word.is_empty(), "{changes:#?}");
        assert_eq!(changes.is_empty(), word.is_empty(), "{old} -> {new}: {changes:#?}");
        // What Avro's own library says of the same pair.
        let reads = |writer: &str, reader: &str| SchemaCompatibility::can_read(&peer(writer), &peer(reader));
        let breaks = |result| !matches!(result, Ok(Compatibility::Full));
        assert_eq!((breaks(reads(&old, &new)), breaks(reads(&new, &old))), (backward, forward), "{old} -> {new}");
    }
}

#[test]
fn what_events_always_said_is_missed_when_it_is_gone() {
    let (a, b) = (r#"{"name":"a","type":"long"}"#, r#"{"name":"b","type":"string"}"#);
    let both = record(&format!("{a},{b}"));
    let changes = parse(&record(b)).changes_since(&parse(&both));
    let [gone] = &changes[..] else { panic!("{changes:#?}") };
    assert_eq!((&*gone.path, gone.breaks_backward, gone.breaks_forward), ("/a", true, true));
    assert!(gone.sentence.contains("no longer see what it says") && gone.sentence.contains("upcaster"), "{gone}");
    let with_default = record(&format!(r#"{{"name":"a","type":"long","default":0}},{b}"#));
    let changes = parse(&record(b)).changes_since(&parse(&with_default));
    assert!(changes.iter().all(|change| !change.breaks_backward && !change.breaks_forward), "{changes:#?}");
}

#[test]
fn some_changes_are_seen_sharper_than_by_the_library() {
    let time = |word: &str| record(&format!(r#"{{"name":"a","type":{{"type":"long","logicalType":"{word}"}}}}"#));
    let changes = parse(&time("timestamp-micros")).changes_since(&parse(&time("timestamp-millis")));
    assert!(changes[0].breaks_backward && changes[0].breaks_forward && changes[0].path == "/a", "{changes:?}");
    let changes = parse(&time("timestamp-micros")).changes_since(&parse(&time("none")));
    assert!(!changes[0].breaks_backward && !changes[0].breaks_forward && changes[0].is_visible);
    let named = |name: &str, aliases: &str| format!(r#"{{"type":"record","name":"{name}"{aliases},"fields":[]}}"#);
    let changes = parse(&named("S", r#","aliases":["R"]"#)).changes_since(&parse(&named("R", "")));
    assert!(!changes[0].breaks_backward && changes[0].breaks_forward, "{changes:?}");
    // Types that contain themselves are compared once.
    let tree = |more: &str| {
        format!(
            r#"{{"type":"record","name":"T","fields":[{{"name":"kids","type":{{"type":"array","items":"T"}}}}{more}]}}"#
        )
    };
    let changes = parse(&tree(r#",{"name":"a","type":"int"}"#)).changes_since(&parse(&tree("")));
    assert_eq!(changes.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["/a"]);
    // A thousand named types that may all meet one another do not make a million comparisons.
    let web = |prefix: &str| {
        let fields = |at: usize| {
            (0..2)
                .map(|way| format!(r#"{{"name":"f{way}","type":["null","{prefix}{}"]}}"#, at * (way + 1) / 2))
                .collect::<Vec<_>>()
                .join(",")
        };
        let types = (0..700).map(|at| {
            format!(r#"{{"type":"record","name":"{prefix}{at}","aliases":["x{at}"],"fields":[{}]}}"#, fields(at))
        });
        format!("[{}]", types.collect::<Vec<_>>().join(","))
    };
    let changes = within_bounds(|| parse(&web("x")).changes_since(&parse(&web("y"))));
    assert!(
        changes.len() <= crate::difference::DIFFERENCES_MAX + 3_000 && changes.iter().any(|one| one.breaks_backward)
    );
    let wide = |prefix: &str| {
        record(&(0..3_500).map(|at| format!(r#"{{"name":"{prefix}{at}","type":"int"}}"#)).collect::<Vec<_>>().join(","))
    };
    let changes = within_bounds(|| parse(&wide("a")).changes_since(&parse(&wide("b"))));
    assert_eq!(changes.len(), 7_000);
}

#[test]
fn by_confluents_rules_it_counts_what_can_be_decoded() {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let of = |kind: &str| record(&format!(r#"{{"name":"a","type":{kind}}}"#));
    let time = |unit: &str| of(&format!(r#"{{"type":"long","logicalType":"timestamp-{unit}"}}"#));
    let decimal =
        |scale: u8| of(&format!(r#"{{"type":"bytes","logicalType":"decimal","precision":4,"scale":{scale}}}"#));
    let nested = |name: &str| of(&format!(r#"{{"type":"record","name":"{name}","fields":[]}}"#));
    for (older, newer, breaks) in [
        (time("millis"), time("micros"), (false, false)),
        (time("millis"), of("\"long\""), (false, false)),
        (decimal(2), decimal(3), (false, false)),
        (of("\"string\""), of("\"bytes\""), (false, false)),
        (of("\"int\""), of("\"long\""), (false, true)),
        (nested("a.N"), nested("b.N"), (false, false)),
        (nested("a.N"), nested("a.M"), (true, true)),
        (record(""), of("\"int\""), (true, false)),
    ] {
        let changes = parse(&newer).changes_by_confluent(&parse(&older));
        let of = |breaks: fn(&Change) -> bool| changes.iter().any(breaks);
        let found = (of(|change| change.breaks_backward), of(|change| change.breaks_forward));
        assert_eq!(found, breaks, "{older} {newer} {changes:?}");
    }
}
