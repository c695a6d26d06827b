//! Protobuf.

use super::*;

const DATA: usize = DATA_BYTES - 100;

fn file(body: impl AsRef<str>) -> String {
    format!("syntax = \"proto3\"; {}", body.as_ref())
}

/// So many lines, made of a number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().join(" ")
}

fn events() -> Vec<(String, Payload)> {
    let binary = |part: &[u8]| Payload::Binary(part.repeat(DATA / part.len()).into());
    let objects = |object: &str| format!("{{\"a\":[{}]}}", many(DATA, |_| object.to_owned()));
    // One message in another, each with its length in front.
    let mut nested = Vec::new();
    for _ in 0..60 {
        let mut outer = vec![0x0a];
        let mut length = nested.len();
        while length > 0x7f {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(&nested);
        nested = outer;
    }
    vec![
        ("one field again and again".into(), binary(&[0x08, 0x01])),
        ("empty messages".into(), binary(&[0x0a, 0x00])),
        ("messages".into(), binary(&[0x0a, 0x02, 0x08, 0x01])),
        ("members of a map".into(), binary(&[0x0a, 0x04, 0x08, 0x01, 0x10, 0x01])),
        ("unknown fields".into(), binary(&[0xf8, 0x7f, 0x01])),
        ("nested".into(), Payload::Binary(nested.into())),
        ("objects".into(), json(objects("{\"a\":1}"))),
        ("empty objects".into(), json(objects("{}"))),
        ("numbers".into(), json(objects("1"))),
        ("wrong at the end".into(), json(format!("{{\"a\":[{},\"x\"]}}", many(DATA - 10, |_| "1".into())))),
        ("members".into(), json(format!("{{{}}}", many(DATA, |at| format!("\"p{at}\":1"))))),
        ("a map".into(), json(format!("{{\"a\":{{{}}}}}", many(DATA, |at| format!("\"{at}\":1"))))),
        (
            "a map wrong at the end".into(),
            json(format!("{{\"a\":{{{},\"7\":\"x\"}}}}", many(DATA - 20, |at| format!("\"{}\":1", at + 10)))),
        ),
        ("deep".into(), json(format!("{}1{}", "{\"a\":".repeat(60), "}".repeat(60)))),
    ]
}

fn schemas() -> Vec<(&'static str, Vec<String>)> {
    let two = |of: &dyn Fn(&str) -> String| vec![of("p"), of("q")];
    vec![
        (
            "many fields",
            two(&|p| file(format!("message M {{ {} }}", lines(2_900, |at| format!("int32 {p}{at} = {};", at + 1))))),
        ),
        (
            "too many fields",
            two(&|p| file(format!("message M {{ {} }}", lines(9_000, |at| format!("int32 {p}{at} = {};", at + 1))))),
        ),
        (
            "many messages",
            two(&|p| {
                file(format!(
                    "message M {{ {} }} {}",
                    lines(900, |at| format!("X{at} {p}{at} = {};", at + 1)),
                    lines(900, |at| format!("message X{at} {{ X{} {p} = 1; M m = 2; }}", (at + 1) % 900))
                ))
            }),
        ),
        (
            "many values",
            two(&|p| {
                file(format!(
                    "message M {{ repeated E a = 1; }} enum E {{ {} }}",
                    lines(2_900, |at| format!("{p}{at} = {at};"))
                ))
            }),
        ),
        (
            "reserved",
            two(&|p| {
                file(format!(
                    "message M {{ int32 {p} = 1; {} }}",
                    lines(2_900, |at| format!("reserved {};", at * 2 + 2))
                ))
            }),
        ),
        (
            "oneofs",
            two(&|p| {
                file(format!(
                    "message M {{ {} }}",
                    lines(900, |at| format!(
                        "oneof {p}{at} {{ int32 x{at} = {}; int32 y{at} = {}; }}",
                        at * 3 + 1,
                        at * 3 + 2
                    ))
                ))
            }),
        ),
        (
            "one oneof",
            two(&|p| {
                file(format!(
                    "message M {{ oneof {p} {{ {} }} }}",
                    lines(2_900, |at| format!("int32 x{at} = {};", at + 1))
                ))
            }),
        ),
        ("a tree of itself", two(&|p| file(format!("message M {{ repeated M a = 1; M {p} = 2; }}")))),
        ("a chain of itself", two(&|p| file(format!("message M {{ M a = 1; map<string, M> {p} = 2; }}")))),
        ("a list", vec![file("message M { repeated int32 a = 1; }"), file("message M { repeated int64 a = 1; }")]),
        (
            "a list of messages",
            vec![
                file("message M { repeated N a = 1; } message N { int32 a = 1; }"),
                file("message M { repeated N a = 1; } message N { int64 a = 1; string b = 2; }"),
            ],
        ),
        ("a map", vec![file("message M { map<int32, int32> a = 1; }"), file("message M { map<int32, int64> a = 1; }")]),
        (
            "nested",
            vec![
                file(format!(
                    "{}int32 a = 1;{}",
                    lines(15, |at| format!("message M{at} {{ M{} a = 1; ", at + 1)),
                    "}".repeat(15)
                )),
                file(format!("{}{}", "message M { ".repeat(5_000), "}".repeat(5_000))),
            ],
        ),
        (
            "options",
            vec![
                file(format!("message M {{ int32 a = 1 [{}]; }}", parts(5_000, |at| format!("(x{at}) = 1")))),
                file(format!("option (x) = {}{}; message M {{}}", "{ a ".repeat(40), "}".repeat(40))),
                file(format!("option java_package = \"{}\"; message M {{}}", "x".repeat(200_000))),
                format!(
                    "syntax = \"proto2\"; message M {{ {} }}",
                    lines(2_000, |at| format!(
                        "optional string f{at} = {} [default = \"{}\"];",
                        at + 1,
                        "x".repeat(80)
                    ))
                ),
            ],
        ),
        (
            "parentheses",
            vec![
                file(format!("message M {{ int32 a = {}1{}; }}", "(".repeat(100_000), ")".repeat(100_000))),
                file("message M { ".to_owned() + &"[".repeat(100_000)),
                file("/*".repeat(100_000)),
                file("//x\n".repeat(60_000) + "message M {}"),
            ],
        ),
        (
            "long names",
            two(&|p| {
                file(format!(
                    "message M {{ {} }}",
                    lines(1_800, |at| format!("int32 {}{at} = {};", p.repeat(120), at + 1))
                ))
            }),
        ),
        ("a name of 100 kB", vec![file(format!("message {} {{}}", "M".repeat(100_000)))]),
        (
            "required",
            vec![format!(
                "syntax = \"proto2\"; message M {{ repeated group A = 1 {{ {} }} }}",
                lines(500, |at| format!("required int32 r{at} = {};", at + 1))
            )],
        ),
        (
            "all that google has",
            vec![
                file(
                    "import \"google/protobuf/descriptor.proto\"; message M { repeated google.protobuf.FileDescriptorProto a = 1; }",
                ),
                file("import \"google/protobuf/struct.proto\"; message M { repeated google.protobuf.Value a = 1; }"),
                file("import \"google/protobuf/any.proto\"; message M { repeated google.protobuf.Any a = 1; }"),
            ],
        ),
    ]
}

#[test]
fn whatever_is_asked_about_a_protobuf_schema_is_answered_in_time() {
    let (mut report, events) = (Report::new(), events());
    for (name, texts) in schemas() {
        report.schema(SchemaFormat::Protobuf, name, &texts, &events);
    }
    let name = |at: usize| format!("f{at}.proto");
    let import = |at: usize| {
        (at.saturating_sub(3)..at).map(|to| format!("import public \"{}\"; ", name(to))).collect::<String>()
    };
    let text = |at: usize| {
        file(format!(
            "{}message X{at} {{ {} }}",
            import(at),
            lines(20, |field| format!("int32 f{field} = {};", field + 1))
        ))
    };
    let references: Vec<Reference> = (0..99).map(|at| Reference { name: name(at), text: text(at) }).collect();
    let of = |field: &str| file(format!("{} message M {{ repeated X98 {field} = 1; X0 b = 2; }}", import(99)));
    report.referring(SchemaFormat::Protobuf, "imports", &[of("a"), of("x")], &references, &events);
    report.end("Protobuf");
}
