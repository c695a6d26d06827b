//! Avro.

use super::*;

const BYTES: usize = 250_000;
const DATA: usize = DATA_BYTES - 100;

fn record(fields: impl AsRef<str>) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.as_ref())
}

fn of(kind: impl AsRef<str>) -> String {
    record(format!(r#"{{"name":"a","type":{}}}"#, kind.as_ref()))
}

fn list(kind: impl AsRef<str>) -> String {
    of(format!(r#"{{"type":"array","items":{}}}"#, kind.as_ref()))
}

fn events() -> Vec<(String, Payload)> {
    let bytes = |part: &[u8], around: (&[u8], &[u8])| {
        let inner = part.repeat((DATA - 20) / part.len());
        Payload::Binary([around.0, &inner, around.1].concat().into())
    };
    let objects = |object: &str| format!("{{\"a\":[{}]}}", many(DATA, |_| object.to_owned()));
    vec![
        ("objects".into(), json(objects("{\"x\":1}"))),
        ("empty objects".into(), json(objects("{}"))),
        ("other objects".into(), json(objects("{\"next\":{\"next\":{\"next\":true}}}"))),
        ("texts".into(), json(objects("\"S7\""))),
        ("nulls".into(), json(objects("null"))),
        ("members".into(), json(format!("{{{}}}", many(DATA, |at| format!("\"p{at}\":1"))))),
        ("members inside".into(), json(format!("{{\"a\":{{{}}}}}", many(DATA, |at| format!("\"p{at}\":1"))))),
        ("a list of bytes".into(), bytes(&[2], (&[0x80, 0x80, 0x7c], &[0]))),
        ("zeros".into(), bytes(&[0], (&[], &[]))),
        ("a list of zeros".into(), bytes(&[0], (&[0xfe, 0xff, 0x7f], &[0]))),
        ("a billion items".into(), Payload::Binary(vec![0x80, 0xa8, 0xd6, 0xb9, 0x07, 0].into())),
        ("many blocks".into(), bytes(&[2, 2], (&[], &[0]))),
    ]
}

fn schemas() -> Vec<(&'static str, Vec<String>)> {
    let two = |of: &dyn Fn(&str) -> String| vec![of("p"), of("q")];
    let doubling = |levels: usize, default: &str| {
        let first = r#"{"type":"record","name":"R0","fields":[{"name":"a","type":"long","default":0}]}"#.to_owned();
        let level = |level: usize| {
            let field = |name: &str| format!(r#"{{"name":"{name}","type":"R{}","default":{default}}}"#, level - 1);
            format!(r#"{{"type":"record","name":"R{level}","fields":[{},{}]}}"#, field("a"), field("b"))
        };
        format!("[{}]", parts(levels, |at| if at == 0 { first.clone() } else { level(at) }))
    };
    let union = |p: &str, count: usize| {
        parts(count, |at| {
            format!(r#"{{"type":"record","name":"{p}{at}","fields":[{{"name":"x{at}","type":"int","default":1}}]}}"#)
        })
    };
    vec![
        ("many fields", two(&|p| record(parts(3_900, |at| format!(r#"{{"name":"{p}{at}","type":"int"}}"#))))),
        ("many fields with defaults", two(&|p| record(parts(3_900, |at| format!(r#"{{"name":"{p}{at}","type":"string","default":"{p}"}}"#))))),
        ("a list of many fields with defaults", vec![list(r#"{"type":"record","name":"I","fields":[]}"#), list(format!(r#"{{"type":"record","name":"I","fields":[{}]}}"#, parts(3_900, |at| format!(r#"{{"name":"p{at}","type":"string","default":"some text"}}"#))))]),
        ("a list of a long default", vec![list(r#"{"type":"record","name":"I","fields":[]}"#), list(format!(r#"{{"type":"record","name":"I","fields":[{{"name":"x","type":"string","default":"{}"}}]}}"#, "x".repeat(200_000)))]),
        ("many symbols", two(&|p| list(format!(r#"{{"type":"enum","name":"E","symbols":[{}]}}"#, many(BYTES, |at| format!(r#""{p}{at}""#)))))),
        ("many aliases", two(&|p| record(parts(200, |at| format!(r#"{{"name":"{p}{at}","aliases":[{}],"type":"int"}}"#, parts(100, |of| format!(r#""x{at}x{of}""#))))))),
        ("a union of many", two(&|p| list(format!("[{}]", union(p, 900))))),
        ("a union of two thousand", two(&|p| list(format!("[{}]", union(p, 2_000))))),
        ("many unions of many", two(&|p| format!("[{},{}]", union(p, 900), record(parts(60, |at| format!(r#"{{"name":"f{at}","type":[{}]}}"#, parts(40, |of| format!(r#""{p}{}""#, of * 20)))))))),
        ("doubling defaults", vec![doubling(14, "{}"), doubling(40, "{}")]),
        ("doubling types", vec![doubling(40, "7")]),
        ("branches that lead back", vec![r#"{"type":"record","name":"A","fields":[{"name":"a","type":["null",{"type":"array","items":"A"}],"default":null},{"name":"next","type":["null","A",
            {"type":"record","name":"B","fields":[{"name":"next","type":["null","A","B"]}]},
            {"type":"record","name":"C","fields":[{"name":"next","type":["null","A","B","C"]}]}],"default":null}]}"#.into()]),
        ("a web of a thousand", two(&|p| format!("[{}]", parts(700, |at| format!(r#"{{"type":"record","name":"{p}{at}","aliases":["x{at}"],"fields":[{}]}}"#, parts(2, |way| format!(r#"{{"name":"f{way}","type":["null","{p}{}"]}}"#, at * (way + 1) / 2))))))),
        ("long names", two(&|p| record(many(BYTES, |at| format!(r#"{{"name":"{}{at}","type":"int"}}"#, p.repeat(240)))))),
        ("a name of 100 kB", vec![of("\"int\"").replace("\"a\"", &format!("\"{}\"", "a".repeat(100_000)))]),
        ("a list of nulls", vec![list("\"null\""), list(r#"["null","int"]"#)]),
        ("fixed", vec![of(r#"{"type":"fixed","name":"F","size":1000000}"#)]),
        ("one int", vec![list("\"int\""), list("\"double\""), list("\"string\"")]),
        ("deep", vec![(0..31).fold("\"int\"".to_owned(), |text, level| format!(r#"{{"type":"record","name":"N{level}","fields":[{{"name":"a","type":{text}}}]}}"#))]),
    ]
}

#[test]
fn whatever_is_asked_about_an_avro_schema_is_answered_in_time() {
    let (mut report, events) = (Report::new(), events());
    for (name, texts) in schemas() {
        report.schema(SchemaFormat::Avro, name, &texts, &events);
    }
    // As many references as there may be, each leading to the next.
    let text = |at: usize| match at {
        0 => r#"{"type":"record","name":"C0","fields":[]}"#.to_owned(),
        at => format!(
            r#"{{"type":"record","name":"C{at}","fields":[{{"name":"a","type":"C{0}"}},{{"name":"b","type":"C{0}"}}]}}"#,
            at - 1
        ),
    };
    let references: Vec<Reference> = (0..200).map(|at| Reference { name: format!("C{at}"), text: text(at) }).collect();
    report.referring(SchemaFormat::Avro, "references", &["\"C25\"".into(), "\"C199\"".into()], &references, &events);
    report.end("Avro");
}
