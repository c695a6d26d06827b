//! Schemas that would cost too much: refused, or done, within the time that a registration may take.

use std::time::{Duration, Instant};

use super::*;

/// Far more than the 100 ms that are allowed, since tests are built without optimization and share the machine; what is not
/// bounded takes minutes. The benchmark `validate` prints what it takes in a release.
const SLACK: Duration = Duration::from_secs(5);

/// Parses within the time. The text of the error, if there is one.
fn within(name: &str, text: &str) -> Result<JsonSchema, SchemaError> {
    // Compiles the dialects' own schemas, which is done once in a process.
    for draft in ["2020-12", "2019-09"] {
        schema(&format!(r#"{{"$schema":"https://json-schema.org/draft/{draft}/schema"}}"#));
    }
    let started = Instant::now();
    let parsed = JsonSchema::parse(text, &[]);
    let took = started.elapsed();
    assert!(took < SLACK, "{name} took {took:?}");
    parsed
}

fn refused_with(name: &str, text: &str, words: &str) {
    let error = within(name, text).expect_err(name);
    assert!(error.problem.contains(words), "{name}: {error}");
    assert!(error.problem.len() < 400, "{name}: {error}");
}

/// A text of `count` definitions, each made of the number of the next.
fn definitions(count: usize, body: impl Fn(usize) -> String) -> String {
    let all: Vec<_> = (0..count).map(|number| format!(r#""d{number}":{}"#, body(number + 1))).collect();
    format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{count}":{{"type":"integer"}}}}}}"##, all.join(","))
}

#[test]
fn what_is_too_large_is_refused() {
    refused_with("1 MB", &format!(r#"{{"title":"{}"}}"#, "x".repeat(1 << 20)), "262144 is the most");
    let nested = |depth: usize| format!("{}{{}}{}", r#"{"items":"#.repeat(depth), "}".repeat(depth));
    assert!(within("nested", &nested(62)).is_ok());
    refused_with("nested too deep", &nested(100_000 / 10), "deeper than 64");
    let many = |count: usize| format!(r#"{{"anyOf":[{}]}}"#, vec!["{}"; count].join(","));
    assert!(within("many", &many(2000)).is_ok());
    refused_with("too many", &many(5000), "more than 4096");
    let properties: Vec<_> =
        (0..3000).map(|number| format!(r#""field{number}":{{"type":"string","maxLength":9}}"#)).collect();
    assert!(within("many fields", &format!(r#"{{"properties":{{{}}}}}"#, properties.join(","))).is_ok());
    let name = "n".repeat(600);
    refused_with("long name", &format!(r#"{{"properties":{{"{name}":{{}}}}}}"#), "longer than 512");
    let values: Vec<_> = (0..30_000).map(|number| number.to_string()).collect();
    refused_with("values", &format!(r#"{{"enum":[{}]}}"#, values.join(",")), "more than 1024 values");
    let texts: Vec<_> = (0..20_000).map(|number| format!(r#""v{number}""#)).collect();
    assert!(within("texts", &format!(r#"{{"enum":[{}]}}"#, texts.join(","))).is_ok());
}

#[test]
fn what_points_outside_is_refused() {
    for place in [
        "https://example.org/schema.json",
        "http://127.0.0.1:1/",
        "file:///etc/passwd",
        "/etc/passwd",
        "other.json",
        "urn:uuid:1",
        "//host/x",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        for schema in [
            format!(r#"{{"$ref":"{place}"}}"#),
            format!(r#"{{"$id":"https://example.org/","properties":{{"a":{{"$ref":"{place}"}}}}}}"#),
            format!(r#"{{"$schema":"http://json-schema.org/draft-07/schema#","items":{{"$ref":"{place}"}}}}"#),
        ] {
            refused_with(place, &schema, "put that definition under `$defs`");
        }
    }
    refused_with("dialect", r#"{"$schema":"https://example.org/meta"}"#, "2020-12");
    refused_with("dialect inside", r#"{"items":{"$schema":"http://json-schema.org/draft-07/schema"}}"#, "two dialects");
    refused_with("dynamic", r##"{"$dynamicRef":"#x"}"##, "write `$ref`");
    for nowhere in ["#/$defs/x", "#x", "#/properties", "#/title", "#/enum/0"] {
        refused_with(
            nowhere,
            &format!(r#"{{"title":"x","enum":[{{}}],"properties":{{}},"not":{{"$ref":"{nowhere}"}}}}"#),
            "there is no schema",
        );
    }
}

#[test]
fn circles_that_take_no_step_are_refused_and_others_are_not() {
    for circle in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"not":{"$ref":"#/$defs/a"}}}}"##,
        r##"{"properties":{"x":{"if":{"$ref":"#/properties/x"}}}}"##,
        r##"{"$defs":{"unused":{"$ref":"#/$defs/unused"}},"not":{"$ref":"#/$defs/unused"}}"##,
    ] {
        refused_with(circle, circle, "round in a circle");
    }
    let tree = r##"{"type":"object","properties":{"left":{"$ref":"#"},"right":{"$ref":"#"},"all":{"items":{"$ref":"#"}}},"additionalProperties":false}"##;
    let tree = within("tree", tree).unwrap();
    assert_eq!(checked(&tree, r#"{"left":{"right":{}},"all":[{"left":{}}]}"#), Ok(()));
    assert_eq!(checked(&tree, r#"{"left":{"right":{"x":1}}}"#).unwrap_err().path, "/left/right/x");
}

#[test]
fn what_doubles_with_every_level_is_refused() {
    let both = |next: usize| format!(r##"{{"allOf":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}}"##);
    refused_with("doubled in place", &definitions(11, both), "more than 4096 steps");
    refused_with("doubled too often", &definitions(15, both), "too many ways");
    let deep = |next: usize| {
        format!(
            r##"{{"allOf":[{{"properties":{{"x":{{"$ref":"#/$defs/d{next}"}}}}}},{{"properties":{{"x":{{"$ref":"#/$defs/d{next}"}}}}}}]}}"##
        )
    };
    refused_with("doubled at each level", &definitions(40, deep), "more than 4096 steps");
    let itself = r##"{"anyOf":[{"properties":{"x":{"$ref":"#"}}},{"properties":{"x":{"$ref":"#"}}}]}"##;
    refused_with("leads back twice", itself, "more than 4096 steps");
    let left_over = r##"{"properties":{"a":{"$ref":"#"}},"allOf":[{"unevaluatedProperties":{"$ref":"#"}}],"unevaluatedProperties":{"$ref":"#"}}"##;
    refused_with("leads back by what is left over", left_over, "more than 4096 steps");
    // The same in another field each is no more than the data itself.
    let spread = |next: usize| {
        format!(r##"{{"properties":{{"a":{{"$ref":"#/$defs/d{next}"}},"b":{{"$ref":"#/$defs/d{next}"}}}}}}"##)
    };
    assert!(within("spread", &definitions(40, spread)).is_ok());
}

#[test]
fn what_nests_deeper_than_a_stack_is_refused() {
    let chain = |next: usize| format!(r##"{{"$ref":"#/$defs/d{next}"}}"##);
    refused_with("a chain in place", &definitions(2000, chain), "describe the same value");
    assert!(within("a short chain in place", &definitions(20, chain)).is_ok());
    let steps = |next: usize| format!(r##"{{"properties":{{"x":{{"$ref":"#/$defs/d{next}"}}}}}}"##);
    refused_with("a chain by fields", &definitions(2000, steps), "lead from one to the next");
    let long = within("a chain that is just taken", &definitions(340, steps)).unwrap();
    assert_eq!(checked(&long, r#"{"x":{"x":{"x":{}}}}"#), Ok(()));
    // The deepest that is taken, on the stack that a server's threads have.
    let layers =
        |number: usize| format!("{}{{\"$ref\":\"#/$defs/n\"}}{}", r#"{"allOf":["#.repeat(number), "]}".repeat(number));
    let recursive = |number: usize| {
        format!(
            r##"{{"$ref":"#/$defs/n","$defs":{{"n":{{"type":["object","integer"],"properties":{{"x":{}}}}}}}}}"##,
            layers(number)
        )
    };
    let deepest = (1..30).rev().find_map(|number| JsonSchema::parse(&recursive(number), &[]).ok()).unwrap();
    let data = |leaf: &str| format!("{}{leaf}{}", r#"{"x":"#.repeat(64), "}".repeat(64));
    let joined = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            assert_eq!(checked(&deepest, &data("1")), Ok(()));
            assert_eq!(checked(&deepest, &data("\"\"")).unwrap_err().rule, "type");
        })
        .unwrap()
        .join();
    joined.unwrap();
    refused_with("nests beside the data", &recursive(25), "one inside of another");
}

#[test]
fn regular_expressions_are_bounded() {
    let pattern = |pattern: &str| json!({"pattern": pattern}).to_string();
    for (exploding, words) in [
        ("((a{0,900}){0,900}){0,900}", "costs too much"),
        ("a{100000}", "more than 1000 times"),
        (r"(\p{L}{50}){50}", "costs too much"),
        ("^(?=a)b", "looks around"),
        (r"(a)\1", "looks around"),
        ("(?<!a)b", "looks around"),
    ] {
        refused_with(exploding, &pattern(exploding), words);
        let named = json!({"patternProperties": {exploding: true}}).to_string();
        refused_with(exploding, &named, words);
    }
    refused_with("long", &pattern(&"a".repeat(5000)), "longer than 1024");
    refused_with("unbalanced", &pattern("(a"), "not");
    let nested = format!("{}a{}", "(".repeat(400), ")".repeat(400));
    refused_with("nested", &pattern(&nested), "is not taken");
    let many: Vec<_> = (0..1500).map(|number| format!(r#"{{"pattern":"[a-z]{{1,90}}x{number}"}}"#)).collect();
    refused_with("many", &format!(r#"{{"anyOf":[{}]}}"#, many.join(",")), "too much together");
    for fine in [
        r"^[\p{L} '-]{1,100}$",
        r"^\d{4}-\d{2}-\d{2}$",
        r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        r"^\w+@\w+\.\w+$",
        r"\p{Lu}+",
    ] {
        assert!(within(fine, &pattern(fine)).is_ok(), "{fine}");
    }
    // What takes a backtracking engine years takes this one no time.
    let linear = within("linear", &pattern("^(a+)+$")).unwrap();
    let started = Instant::now();
    assert!(checked(&linear, &json!("a".repeat(50_000) + "b").to_string()).is_err());
    assert!(started.elapsed() < SLACK);
}

#[test]
fn huge_quantifiers_cost_nothing() {
    let huge = within(
        "huge",
        r#"{"minItems":1000000000,"maxItems":9007199254740992,"uniqueItems":true,"minLength":1e15,"minProperties":18446744073709551615,
            "multipleOf":1e-300,"maximum":1e308,"contains":{},"minContains":1000000000}"#,
    )
    .unwrap();
    let started = Instant::now();
    assert_eq!(checked(&huge, "[1,2]").unwrap_err().rule, "minItems");
    assert_eq!(checked(&huge, "{}").unwrap_err().rule, "minProperties");
    let _ = checked(&huge, "1.7e308");
    let many: Vec<_> = (0..100_000).map(|number| number.to_string()).collect();
    assert_eq!(checked(&huge, &format!("[{}]", many.join(","))).unwrap_err().rule, "minItems");
    let unique = within("unique", r#"{"uniqueItems":true}"#).unwrap();
    assert_eq!(checked(&unique, &format!("[{}]", many.join(","))), Ok(()));
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
}

#[test]
fn a_reason_among_many_alternatives_is_bounded() {
    let many: Vec<_> =
        (0..1000).map(|number| format!(r#"{{"items":{{"type":"string","maxLength":{number}}}}}"#)).collect();
    let schema = within("alternatives", &format!(r#"{{"anyOf":[{}]}}"#, many.join(","))).unwrap();
    let long = format!("[{}1]", "1,".repeat(100_000));
    let started = Instant::now();
    let broken = checked(&schema, &long).unwrap_err();
    assert!(broken.problem.contains("too long to say"), "{broken:?}");
    assert!(checked(&schema, "[1]").unwrap_err().problem.contains("alternatives"));
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
}

#[test]
fn the_validation_of_one_event_is_bounded() {
    let alternatives: Vec<_> = (0..4_000).map(|number| format!(r#"{{"const":"v{number}"}}"#)).collect();
    let patterns: Vec<_> = (0..3).map(|number| format!(r#"{{"pattern":"[ab]*a[ab]{{90{number}}}c"}}"#)).collect();
    let texts = format!("[{}]", vec![r#""v3999""#; 100_000].join(","));
    let text = format!("[\"{}\"]", "ab".repeat(500_000));
    for (name, of, data, is_taken) in [
        ("alternatives", format!(r#"{{"anyOf":[{}]}}"#, alternatives.join(",")), &texts, false),
        ("one alternative", format!(r#"{{"anyOf":[{}]}}"#, alternatives[3_999]), &texts, true),
        ("patterns", format!(r#"{{"allOf":[{}]}}"#, patterns.join(",")), &text, false),
        ("a simple pattern", r#"{"pattern":"^[ab]+$"}"#.to_owned(), &text, true),
    ] {
        let schema = within(name, &format!(r#"{{"items":{of}}}"#)).unwrap();
        // What is counted is the work, so that a slow machine gives the same verdict.
        match is_taken {
            true => assert_eq!(checked(&schema, data), Ok(()), "{name}"),
            false => assert_eq!(checked(&schema, data).unwrap_err().rule, "cost", "{name}"),
        }
    }
}
