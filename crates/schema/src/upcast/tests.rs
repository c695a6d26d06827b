//! What documents do, against the table of cases and against a plain interpreter over whole values.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;

#[derive(serde::Deserialize)]
struct Case<'a> {
    what: String,
    #[serde(borrow)]
    steps: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    lifted: &'a RawValue,
}

fn upcaster(steps: &str) -> Upcaster {
    Upcaster::parse(&format!(r#"{{"from":1,"to":2,"steps":{steps}}}"#))
        .unwrap_or_else(|error| panic!("{steps}: {error}"))
}

fn lift(steps: &str, data: &str) -> String {
    let lifted = Chain::new([&upcaster(steps)]).lift(&Bytes::copy_from_slice(data.as_bytes()));
    String::from_utf8(lifted.to_vec()).unwrap()
}

#[test]
fn every_case_of_the_table_holds_to_the_byte() {
    let cases: Vec<Case<'_>> = serde_json::from_str(include_str!("cases.json")).unwrap();
    assert!(cases.len() > 50);
    for case in &cases {
        assert_eq!(lift(case.steps.get(), case.data.get()), case.lifted.get(), "{}", case.what);
    }
}

#[test]
fn bytes_that_no_step_touches_stay_as_they_are() {
    let data = " {\n \"a\" : 1.0e0 , \"b\":{ \"c\" : [ 1 ] , \"d\":2 } } ";
    assert_eq!(lift(r#"[{"op":"drop","path":"/x/y"},{"op":"cast","path":"/b/c/1","to":"string"}]"#, data), data);
    assert_eq!(
        lift(r#"[{"op":"copy","from":"/b","path":"/e"}]"#, data),
        "{\"a\" : 1.0e0 , \"b\":{ \"c\" : [ 1 ] , \"d\":2 },\"e\":{ \"c\" : [ 1 ] , \"d\":2 }}"
    );
    assert_eq!(lift(r#"[{"op":"drop","path":"/b/d"}]"#, data), "{\"a\" : 1.0e0,\"b\":{\"c\" : [ 1 ]}}");
}

#[test]
fn of_members_of_one_name_the_last_one_counts() {
    let renamed = r#"[{"op":"move","from":"/a","path":"/b"}]"#;
    assert_eq!(lift(renamed, r#"{"a":1,"x":0,"a":2,"\u0061":3}"#), r#"{"x":0,"b":3}"#);
    let many: Vec<String> = (0..100).map(|n| format!(r#""k{}":{n}"#, n % 50)).collect();
    let many = format!("{{{},\"a\":1,\"\\u006b0\":7}}", many.join(","));
    let lifted: Value = serde_json::from_str(&lift(renamed, &many)).unwrap();
    assert_eq!(
        (lifted.as_object().unwrap().len(), &lifted["k49"], &lifted["k0"], &lifted["b"]),
        (51, &json!(99), &json!(7), &json!(1))
    );
}

#[test]
fn data_that_is_not_well_formed_stays_as_it_is() {
    let steps = r#"[{"op":"constant","path":"/a/b","value":1},{"op":"drop","path":"/l/*"}]"#;
    for data in [
        "",
        " ",
        "{",
        "{\"",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":{",
        "{\"a\":}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1,",
        "{\"a\\",
        "1",
        "nul",
    ] {
        assert_eq!(lift(steps, data), data);
    }
}

#[test]
fn growth_without_end_leaves_the_data_as_it_is() {
    let copy = |from: &str, path: &str| json!({"op":"copy","from":from,"path":path});
    let steps = [copy("/a", "/b/x"), copy("/a", "/b/y"), copy("/b", "/a/z")];
    let steps: Vec<_> = steps.iter().cycle().take(STEPS_MAX).cloned().collect();
    let data = r#"{"a":{"text":"0123456789"},"b":{}}"#;
    assert_eq!(lift(&json!(steps).to_string(), data), data);
    let deep = format!("/b{}", "/x".repeat(POINTER_SEGMENTS_MAX - 1));
    let back = format!("/a{}", "/x".repeat(POINTER_SEGMENTS_MAX - 1));
    let steps = [json!({"op":"move","from":"/a","path":deep}), json!({"op":"move","from":"/b","path":back})];
    let steps: Vec<_> = steps.iter().cycle().take(STEPS_MAX).cloned().collect();
    assert_eq!(lift(&json!(steps).to_string(), r#"{"a":{}}"#), r#"{"a":{}}"#);
    // Moving an object about many times is no growth.
    let steps = [json!({"op":"move","from":"/a","path":"/b"}), json!({"op":"move","from":"/b","path":"/a"})];
    let steps: Vec<_> = steps.iter().cycle().take(STEPS_MAX).cloned().collect();
    assert_eq!(lift(&json!(steps).to_string(), r#"{"a":{ }, "c":1}"#), r#"{"c":1,"a":{ }}"#);
}

#[test]
fn a_document_that_is_none_is_refused_with_what_there_is() {
    for (document, path, problem) in [
        ("{", "", "invalid JSON"),
        ("[]", "", "`steps`"),
        (r#"{"from":1,"to":2,"steps":[],"version":1}"#, "/version", "has no `version`; it has `from`"),
        (r#"{"from":2,"to":2,"steps":[]}"#, "/to", "to the next version, mostly 3"),
        (r#"{"from":0,"to":1,"steps":[]}"#, "/from", "from 1 on"),
        (r#"{"from":1.5,"to":2,"steps":[]}"#, "/from", "from 1 on"),
        (r#"{"from":1,"to":2}"#, "/steps", "missing"),
        (r#"{"from":1,"to":2,"steps":[{}]}"#, "/steps/0/op", "`move`"),
        (r#"{"from":1,"to":2,"steps":[{"op":"rename"}]}"#, "/steps/0/op", "no step `rename`"),
        (
            r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/a","to":"/b"}]}"#,
            "/steps/0/to",
            "it has `op`, `from`, `path`",
        ),
        (r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/a"}]}"#, "/steps/0/path", "missing"),
        (r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/a","path":"/a"}]}"#, "/steps/0/path", "leave the step out"),
        (r#"{"from":1,"to":2,"steps":[{"op":"copy","from":"/a","path":"/a/b"}]}"#, "/steps/0/path", "within"),
        (r#"{"from":1,"to":2,"steps":[{"op":"drop","path":"a"}]}"#, "/steps/0/path", "JSON pointer"),
        (r#"{"from":1,"to":2,"steps":[{"op":"drop","path":""}]}"#, "/steps/0/path", "JSON pointer"),
        (r#"{"from":1,"to":2,"steps":[{"op":"drop","path":1}]}"#, "/steps/0/path", "JSON pointer"),
        (r#"{"from":1,"to":2,"steps":[{"op":"drop","path":"/a/-"}]}"#, "/steps/0/path", "do not grow"),
        (r#"{"from":1,"to":2,"steps":[{"op":"drop","path":"/a~2"}]}"#, "/steps/0/path", "~0"),
        (r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/a/*/b","path":"/c"}]}"#, "/steps/0/path", "last `*`"),
        (r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/a/*/b","path":"/c/*/b"}]}"#, "/steps/0/path", "last `*`"),
        (r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/a/*","path":"/a/*/b"}]}"#, "/steps/0/path", "within"),
        (r#"{"from":1,"to":2,"steps":[{"op":"cast","path":"/a","to":"float"}]}"#, "/steps/0/to", "`number`"),
        (
            r#"{"from":1,"to":2,"steps":[{"op":"split","from":"/a","separator":"","paths":["/b"]}]}"#,
            "/steps/0/separator",
            "at least one",
        ),
        (
            r#"{"from":1,"to":2,"steps":[{"op":"split","from":"/a","separator":" ","paths":[]}]}"#,
            "/steps/0/paths",
            "at least one",
        ),
        (
            r#"{"from":1,"to":2,"steps":[{"op":"split","from":"/a","separator":" ","paths":["/b","/c/*"]}]}"#,
            "/steps/0/paths/1",
            "last `*`",
        ),
        (r#"{"from":1,"to":2,"steps":[{"op":"map","path":"/a","values":[["A"]]}]}"#, "/steps/0/values/0", "pairs"),
        (
            r#"{"from":1,"to":2,"steps":[{"op":"map","path":"/a","values":[[1,2],[1.0,3]]}]}"#,
            "/steps/0/values",
            "1.0 is mapped twice",
        ),
        (
            r#"{"from":1,"to":2,"steps":[{"op":"constant","path":"/a","value":12345678901234567890.123}]}"#,
            "",
            "more digits",
        ),
    ] {
        let error = Upcaster::parse(document).expect_err(document);
        assert_eq!(error.path, path, "{document}: {error}");
        assert!(error.problem.contains(problem), "{document}: {error}");
    }
    let long = format!(r#"{{"from":1,"to":2,"steps":[{}]}}"#, vec![r#"{"op":"drop","path":"/a"}"#; 65].join(","));
    assert!(Upcaster::parse(&long).unwrap_err().problem.contains("at most 64"));
    let deep = format!(r#"{{"from":1,"to":2,"steps":[{{"op":"drop","path":"{}"}}]}}"#, "/a".repeat(33));
    assert!(Upcaster::parse(&deep).unwrap_err().problem.contains("at most 32"));
    let big = format!(r#"{{"from":1,"to":2,"steps":[{{"op":"drop","path":"/{}"}}]}}"#, "a".repeat(DOCUMENT_BYTES_MAX));
    assert!(Upcaster::parse(&big).unwrap_err().problem.contains("at most 65536"));
}

#[test]
fn a_pointer_is_written_as_it_was_read() {
    for text in ["/a", "/", "/a~1b/~0/*", "/lines/*/0"] {
        assert_eq!(text.parse::<Pointer>().unwrap().to_string(), text);
    }
}

/// The same over whole values, by the letter of the module's documentation.
fn plainly(value: &mut Value, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Move { from, path } => on_each(value, from, &[path], &mut |item, from, paths| {
                let before = item.clone();
                let Some(moved) = get(item, from).cloned() else { return };
                take(item, from);
                if !set(item, paths[0], moved) {
                    *item = before;
                }
            }),
            Step::Copy { from, path } => on_each(value, from, &[path], &mut |item, from, paths| {
                if let Some(copied) = get(item, from).cloned() {
                    set(item, paths[0], copied);
                }
            }),
            Step::Default { path, value: default } => on_each(value, path, &[], &mut |item, path, _| {
                if get(item, path).is_none() {
                    set(item, path, default.clone());
                }
            }),
            Step::Constant { path, value: constant } => on_each(value, path, &[], &mut |item, path, _| {
                set(item, path, constant.clone());
            }),
            Step::Split { from, separator, paths } => {
                let all: Vec<&Pointer> = paths.iter().collect();
                on_each(value, from, &all, &mut |item, from, paths| {
                    let Some(Value::String(text)) = get(item, from).cloned() else { return };
                    for (part, path) in text.splitn(paths.len(), separator.as_str()).zip(paths) {
                        set(item, path, Value::from(part));
                    }
                });
            }
            Step::Map { path, values, otherwise } => on_each(value, path, &[], &mut |item, path, _| {
                let Some(found) = get(item, path) else { return };
                let pair = values.iter().find(|(from, _)| from == found).map(|(_, to)| to);
                if let Some(to) = pair.or(otherwise.as_ref()).cloned() {
                    set(item, path, to);
                }
            }),
            Step::Cast { path, to } => on_each(value, path, &[], &mut |item, path, _| {
                let cast = match (get(item, path), to) {
                    (Some(Value::Number(number)), CastTo::String) => Value::from(number.to_string()),
                    (Some(Value::Bool(word)), CastTo::String) => Value::from(word.to_string()),
                    (Some(Value::String(text)), CastTo::Integer) => match text.parse::<i64>() {
                        Ok(number) => Value::from(number),
                        Err(_) => return,
                    },
                    _ => return,
                };
                set(item, path, cast);
            }),
            Step::Drop { path } => on_each(value, path, &[], &mut |item, path, _| take(item, path)),
        }
    }
}

type OnItem<'f> = dyn FnMut(&mut Value, &[Box<str>], &[&[Box<str>]]) + 'f;

fn on_each(value: &mut Value, first: &Pointer, others: &[&Pointer], run: &mut OnItem<'_>) {
    fn walk(value: &mut Value, lists: &[Box<str>], run: &mut dyn FnMut(&mut Value)) {
        match lists.split_first() {
            None => run(value),
            Some((segment, rest)) if **segment == *"*" => {
                value.as_array_mut().into_iter().flatten().for_each(|item| walk(item, rest, run));
            }
            Some((segment, rest)) => {
                if let Some(child) = child(value, segment) {
                    walk(child, rest, run);
                }
            }
        }
    }
    let lists = first.list_segments();
    let tails: Vec<&[Box<str>]> = others.iter().map(|other| &other.0[lists..]).collect();
    walk(value, &first.0[..lists], &mut |item| run(item, &first.0[lists..], &tails));
}

fn child<'v>(value: &'v mut Value, segment: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(members) => members.get_mut(segment),
        Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
        _ => None,
    }
}

fn get<'v>(value: &'v mut Value, path: &[Box<str>]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| child(value, segment))
}

fn set(value: &mut Value, path: &[Box<str>], new: Value) -> bool {
    let Some((segment, rest)) = path.split_first() else {
        *value = new;
        return true;
    };
    if let Value::Object(members) = value {
        if let Some(member) = members.get_mut(&**segment) {
            return set(member, rest, new);
        }
        let made = rest.iter().rev().fold(new, |made, segment| json!({ &**segment: made }));
        members.insert(segment.to_string(), made);
        return true;
    }
    child(value, segment).is_some_and(|child| set(child, rest, new))
}

fn take(value: &mut Value, path: &[Box<str>]) {
    let Some((last, rest)) = path.split_last() else { return };
    match get(value, rest) {
        Some(Value::Object(members)) => {
            members.remove(&**last);
        }
        Some(Value::Array(items)) => match last.parse::<usize>() {
            Ok(at) if at < items.len() => {
                items.remove(at);
            }
            _ => {}
        },
        _ => {}
    }
}

pub(crate) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "b c", "12", "-7", "\"é\\"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = || prop::sample::select(vec!["a", "b", "c", "0", "é/\""]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn objects() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c", "0"]), values(), 0..4)
        .prop_map(|members| Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let segment = prop::sample::select(vec!["a", "b", "c", "0", "1", "é/\"", "*"]);
    let pointer = prop::collection::vec(segment, 1..4)
        .prop_map(|segments| Pointer(segments.into_iter().map(Box::from).collect()));
    let step = (0..8, pointer.clone(), pointer.clone(), pointer, values(), values(), any::<bool>()).prop_map(
        |(op, one, other, third, value, otherwise, has_otherwise)| match op {
            0 => Step::Move { from: one, path: other },
            1 => Step::Copy { from: one, path: other },
            2 => Step::Default { path: one, value },
            3 => Step::Constant { path: one, value },
            4 => Step::Split { from: one, separator: " ".to_owned(), paths: vec![other, third] },
            5 => Step::Map {
                path: one,
                values: vec![(value, json!("mapped"))],
                otherwise: has_otherwise.then_some(otherwise),
            },
            6 => Step::Cast { path: one, to: if has_otherwise { CastTo::String } else { CastTo::Integer } },
            _ => Step::Drop { path: one },
        },
    );
    let is_legal = |step: &Step| {
        let may = |from: &Pointer, path: &Pointer| {
            let lists = from.list_segments();
            lists == path.list_segments() && from.0[..lists] == path.0[..lists] && !from.contains(path)
        };
        match step {
            Step::Move { from, path } | Step::Copy { from, path } => may(from, path),
            Step::Split { from, paths, .. } => paths.iter().all(|path| may(from, path)),
            // The plain interpreter has no word for all items.
            Step::Drop { path } => path.list_segments() < path.0.len(),
            _ => true,
        }
    };
    prop::collection::vec(step.prop_filter("within one item", is_legal), 0..6)
}

proptest! {
    #[test]
    fn a_chain_does_what_its_steps_say(value in objects(), steps in steps(), is_spaced in any::<bool>()) {
        let text = if is_spaced { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut expected = value;
        plainly(&mut expected, &steps);
        let lifted = Chain::new([&Upcaster { from: 1, to: 2, steps }]).lift(&Bytes::from(text));
        prop_assert_eq!(pacioli_core::json::check(&lifted).is_ok(), true, "{:?}", &lifted);
        prop_assert_eq!(serde_json::from_slice::<Value>(&lifted).unwrap(), expected);
    }

    #[test]
    fn two_chains_are_one_behind_the_other(value in objects(), a in steps(), b in steps(), is_spaced in any::<bool>()) {
        let text = if is_spaced { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let text = Bytes::from(text);
        let a = Upcaster { from: 1, to: 2, steps: a };
        let b = Upcaster { from: 2, to: 3, steps: b };
        let both = Chain::new([&a, &b]).lift(&text);
        prop_assert_eq!(&both, &Chain::new([&b]).lift(&Chain::new([&a]).lift(&text)));
        prop_assert_eq!(&both, &Chain::new([&a, &b]).lift(&text));
    }
}

#[test]
fn a_chain_looks_at_a_bounded_number_of_items() {
    let steps = vec![json!({"op":"drop","path":"/lines/*/seen"}); 10];
    let upcaster = Upcaster::parse(&json!({"from":1,"to":2,"steps":steps}).to_string()).unwrap();
    let data = |items: usize| Bytes::from(json!({"lines": vec![json!({"seen":true}); items]}).to_string());
    let (few, many) = (data(90_000), data(110_000));
    let chain = Chain::new([&upcaster]);
    assert!(chain.lift(&few).starts_with(br#"{"lines":[{},{},"#));
    assert_eq!(chain.lift(&many), many, "it stays as it is");
}
