//! What changes break whom: a table.

use super::tests::parse;
use crate::testing::within_bounds;

fn proto3(body: &str) -> String {
    format!("syntax = \"proto3\"; message M {{ {body} }} message N {{ int32 a = 1; }} enum E {{ A = 0; B = 1; }}")
}

#[test]
fn changes_break_whom_the_wire_and_json_say() {
    let field = |kind: &str| proto3(&format!("{kind} a = 1;"));
    let proto2 = |body: &str| format!("syntax = \"proto2\"; message M {{ {body} }}");
    let values = |values: &str| format!("syntax = \"proto3\"; message M {{ E a = 1; }} enum E {{ {values} }}");
    let mut table = vec![
        (proto3("int32 a = 1;"), proto3("int32 a = 1; string b = 2;"), false, false, "`/b` is new"),
        (proto3("int32 a = 1; string b = 2;"), proto3("int32 a = 1;"), false, false, "`reserved 2;`"),
        (proto3("int32 a = 1; string b = 2;"), proto3("int32 a = 1; reserved 2;"), false, false, "`/b` is gone"),
        (proto3("int32 a = 1; reserved 2;"), proto3("int32 a = 1; string b = 2;"), true, false, "the number 2"),
        (proto3("int32 a = 1;"), proto3("int32 a = 2;"), true, true, "from the number 1 to 2"),
        (proto3("int32 a = 1;"), proto3("int32 b = 1;"), true, true, "was called `a`"),
        (proto3("int32 a = 1;"), proto3("int32 b = 1 [json_name = \"a\"];"), false, false, ""),
        (proto3("int32 a_b = 1;"), proto3("int32 a_b = 1 [json_name = \"x\"];"), true, true, "was called `aB`"),
        (proto3("int32 a = 1;"), proto3("repeated int32 a = 1;"), true, true, "was single and is repeated"),
        (proto3("map<string, int32> a = 1;"), proto3("map<string, int64> a = 1;"), false, true, "`/a/*` was of the type int32"),
        (proto3("map<string, int32> a = 1;"), proto3("map<int32, int32> a = 1;"), true, true, "`/a/*` was of the type string"),
        (proto3("map<string, int32> a = 1;"), proto3("repeated N a = 1;"), true, true, "was a map"),
        (proto3("int32 a = 1;"), proto3("optional int32 a = 1;"), false, false, "is told from its default"),
        (proto3("int32 a = 1; int32 b = 2;"), proto3("oneof o { int32 a = 1; int32 b = 2; }"), true, false, "the oneof `o` now"),
        (proto3("int32 a = 1;"), proto3("oneof o { int32 a = 1; int32 b = 2; }"), false, false, "the oneof `o` now"),
        (proto3("oneof o { int32 a = 1; int32 b = 2; }"), proto3("int32 a = 1; int32 b = 2;"), false, true, "no longer"),
        (proto3("oneof o { int32 a = 1; }"), proto3("int32 a = 1;"), false, false, "no longer"),
        (proto3("oneof o { int32 a = 1; int32 b = 2; }"), proto3("oneof p { int32 a = 1; int32 b = 2; }"), false, false, "the oneof `o`"),
        (proto3("oneof o { int32 a = 1; int32 b = 2; }"), proto3("oneof o { int32 a = 1; } oneof p { int32 b = 2; }"), true, true, "in `p`"),
        (proto2("optional int32 a = 1;"), proto2("required int32 a = 1;"), true, false, "is required now"),
        (proto2("required int32 a = 1;"), proto2("optional int32 a = 1;"), false, true, "no longer required"),
        (proto2(""), proto2("required int32 a = 1;"), true, false, "`/a` is new"),
        (proto2("required int32 a = 1;"), proto2("reserved 1;"), true, true, "`/a` is gone"),
        (proto2("optional int32 a = 1;"), proto2("optional int32 a = 1 [default = 7];"), false, false, "had the default none"),
        (proto2("optional group A = 1 {}"), proto2("optional A a = 1; message A {}"), true, true, "encoded"),
        (values("A = 0;"), values("A = 0; B = 1;"), false, true, "may be `B`"),
        (values("A = 0; B = 1;"), values("A = 0;"), true, false, "no longer `B`"),
        (values("A = 0; B = 1;"), values("A = 0; B = 2;"), true, true, "the number 2 instead of 1"),
        (values("A = 0; B = 1;"), values("A = 0; C = 1;"), true, true, "calls `C` what was called `B`"),
        (values("A = 0; B = 1;"), values("option allow_alias = true; A = 0; B = 1; C = 1;"), false, false, ""),
        (field("N"), field("P") + "message P { int32 a = 1; string b = 2; }", false, false, "`/a/b` is new"),
        (field("int32"), field("int32").replace("message M", "message Q"), false, false, "of the message `M`"),
        (field("repeated N"), field("repeated N").replace("int32 a = 1; } enum", "string a = 1; } enum"), true, true, "`/a/*/a` was"),
        (
            "syntax = \"proto3\"; import \"google/protobuf/duration.proto\"; message M { google.protobuf.Duration a = 1; }".to_owned(),
            "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; message M { google.protobuf.Timestamp a = 1; }".to_owned(),
            true,
            true,
            "was of the type google.protobuf.Duration",
        ),
    ];
    for (from, to, backward, forward) in [
        ("int32", "int64", false, true),
        ("int64", "int32", true, false),
        ("uint32", "int64", false, true),
        ("uint32", "uint64", false, true),
        ("int32", "uint32", true, true),
        ("int64", "uint64", true, true),
        ("sint32", "sint64", false, true),
        ("int32", "sint32", true, true),
        ("fixed32", "sfixed32", true, true),
        ("fixed32", "fixed64", true, true),
        ("float", "double", true, true),
        ("bool", "int32", true, true),
        ("E", "int32", true, true),
        ("string", "bytes", true, true),
        ("string", "N", true, true),
    ] {
        table.push((field(from), field(to), backward, forward, "`/a` was of the type"));
    }
    table.extend(
        ["int32", "N", "E", "repeated string", "map<string, N>"]
            .map(|kind| (field(kind), field(kind), false, false, "")),
    );
    for (old, new, backward, forward, word) in table {
        let changes = parse(&new).changes_since(&parse(&old));
        let breaks = (changes.iter().any(|one| one.breaks_backward), changes.iter().any(|one| one.breaks_forward));
        assert_eq!(breaks, (backward, forward), "{old} -> {new}: {changes:#?}");
        assert!(changes.iter().any(|one| one.sentence.contains(word)) || word.is_empty(), "{word}: {changes:#?}");
        assert_eq!(changes.is_empty(), word.is_empty(), "{old} -> {new}: {changes:#?}");
    }
}

#[test]
fn messages_that_contain_themselves_are_compared_once() {
    let tree = |more: &str| {
        format!("syntax = \"proto3\"; message T {{ repeated T kids = 1; map<string, T> named = 2; {more} }}")
    };
    let changes = parse(&tree("int32 a = 3;")).changes_since(&parse(&tree("")));
    assert_eq!(changes.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["/a"]);
    assert_eq!(parse(&tree("")).changes_since(&parse(&tree(""))), []);
    // Each message of the one may meet each of the other.
    let web = |prefix: &str, step: usize| {
        let message = |at: usize| {
            format!(
                "message {prefix}{at} {{ {prefix}{} a = 1; {prefix}{} b = 2; }}",
                (at + 1) % 400,
                (at * step + 7) % 400
            )
        };
        format!("syntax = \"proto3\"; {}", (0..400).map(message).collect::<String>())
    };
    let changes = within_bounds(|| parse(&web("x", 3)).changes_since(&parse(&web("y", 5))));
    assert!(changes.len() <= crate::difference::DIFFERENCES_MAX + 10, "{}", changes.len());
    let fields = (1..=2_500).map(|at| format!("int32 f{at} = {at};")).collect::<String>();
    let proto = |fields: &str| format!("syntax = \"proto3\"; message M {{ {fields} }}");
    let (apart, together) = (proto(&fields), proto(&format!("oneof o {{ {fields} }}")));
    let changes = within_bounds(|| parse(&together).changes_since(&parse(&apart)));
    assert_eq!(changes.iter().filter(|change| change.breaks_backward).count(), 2_500);
}
