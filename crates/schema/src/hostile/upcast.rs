//! Upcasters.

use super::*;

const DATA: usize = DATA_BYTES - 100;

#[test]
fn whatever_an_upcaster_does_is_done_in_time() {
    let mut report = Report::new();
    let steps = |step: &dyn Fn(usize) -> String| format!(r#"{{"from":1,"to":2,"steps":[{}]}}"#, parts(64, step));
    let stars = "/*".repeat(30);
    let documents = [
        (
            "moves around",
            steps(&|at| {
                format!(r#"{{"op":"move","from":"/{}","path":"/{}"}}"#, ["a", "b"][at % 2], ["b", "a"][at % 2])
            }),
        ),
        ("moves members", steps(&|at| format!(r#"{{"op":"move","from":"/p{at}","path":"/x/p{at}"}}"#))),
        ("copies inside itself", steps(&|_| r#"{"op":"copy","from":"/a","path":"/a/x"}"#.into())),
        ("copies", steps(&|at| format!(r#"{{"op":"copy","from":"/a","path":"/c{at}"}}"#))),
        ("defaults for each item", steps(&|at| format!(r#"{{"op":"default","path":"/a/*/d{at}","value":1}}"#))),
        ("constants for each item", steps(&|at| format!(r#"{{"op":"constant","path":"/a/*/d","value":{at}}}"#))),
        (
            "casts for each item",
            steps(&|at| format!(r#"{{"op":"cast","path":"/a/*/a","to":"{}"}}"#, ["string", "integer"][at % 2])),
        ),
        (
            "maps for each item",
            format!(
                r#"{{"from":1,"to":2,"steps":[{}]}}"#,
                parts(60, |at| format!(
                    r#"{{"op":"map","path":"/a/*","values":[{}]}}"#,
                    parts(70, |of| format!("[{},{}]", of + at, of + at + 1))
                ))
            ),
        ),
        ("drops for each item", steps(&|at| format!(r#"{{"op":"drop","path":"/a/*/d{at}"}}"#))),
        (
            "moves for each item",
            steps(&|at| {
                format!(r#"{{"op":"move","from":"/a/*/{}","path":"/a/*/{}"}}"#, ["a", "b"][at % 2], ["b", "a"][at % 2])
            }),
        ),
        ("drops each item", steps(&|_| r#"{"op":"drop","path":"/a/*"}"#.into())),
        ("drops the first item", steps(&|_| r#"{"op":"drop","path":"/a/0"}"#.into())),
        ("drops all deep inside", steps(&|_| format!(r#"{{"op":"drop","path":"{stars}"}}"#))),
        (
            "splits a text",
            steps(&|at| {
                format!(
                    r#"{{"op":"split","from":"/a","separator":"a","paths":[{}]}}"#,
                    parts(20, |of| format!(r#""/s{at}x{of}""#))
                )
            }),
        ),
        (
            "splits a text at what is not there",
            steps(&|at| {
                format!(
                    r#"{{"op":"split","from":"/a","separator":"{}","paths":["/s{at}","/t{at}"]}}"#,
                    "a".repeat(400) + "b"
                )
            }),
        ),
        (
            "maps a large value",
            format!(
                r#"{{"from":1,"to":2,"steps":[{{"op":"map","path":"/a","values":[{}]}}]}}"#,
                parts(3_000, |at| format!("[[{at}],{at}]"))
            ),
        ),
        ("finds the last member", steps(&|at| format!(r#"{{"op":"copy","from":"/p70000","path":"/z{at}"}}"#))),
    ];
    let events = [
        ("numbers", format!("{{\"a\":[{}]}}", many(DATA, |at| (at % 100).to_string()))),
        ("objects", format!("{{\"a\":[{}]}}", many(DATA, |at| format!("{{\"a\":{at}}}")))),
        ("empty objects", format!("{{\"a\":[{}]}}", many(DATA, |_| "{}".into()))),
        ("members", format!("{{{}}}", many(DATA, |at| format!("\"p{at}\":1")))),
        ("a text", format!("{{\"a\":\"{}\"}}", "a".repeat(DATA - 10))),
        ("a number", format!("{{\"a\":{}}}", "9".repeat(DATA - 10))),
        ("deep lists", format!("{{\"a\":{}{}{}}}", "[".repeat(60), many(DATA - 200, |_| "1".into()), "]".repeat(60))),
    ];
    for (name, text) in &documents {
        let upcaster = report.time(format!("{name}: read ({} bytes)", text.len()), || Upcaster::parse(text));
        let Ok(upcaster) = upcaster.map_err(|error| eprintln!("{name}: refused: {error}")) else { continue };
        for versions in [1, 20] {
            let chain =
                report.time(format!("{name}: a chain"), || Chain::new(std::iter::repeat_n(&upcaster, versions)));
            for (of, event) in &events {
                let event = bytes::Bytes::from(event.clone());
                report.time(format!("{name}: {versions} times on {of}"), || drop(chain.lift(&event)));
            }
        }
    }
    report.end("upcasters");
}
