//! What changed between two schemas, and for whom that is a break: one row a change.

use super::*;

const BACKWARD: (bool, bool) = (true, false);
const FORWARD: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);
const NOBODY: (bool, bool) = (false, false);

fn changes(older: &str, newer: &str) -> Vec<Change> {
    schema(newer).changes_since(&schema(older))
}

/// One row: both schemas, the path of the only change, whom it breaks, and words of its sentence.
type Row<'a> = (&'a str, &'a str, &'a str, (bool, bool), &'a [&'a str]);

fn table(rows: &[Row<'_>]) {
    for (older, newer, path, breaks, words) in rows {
        let changes = changes(older, newer);
        let [change] = &changes[..] else { panic!("{older} -> {newer}: {changes:#?}") };
        assert_eq!(change.path, *path, "{older} -> {newer}: {change:#?}");
        assert_eq!((change.breaks_backward, change.breaks_forward), *breaks, "{older} -> {newer}: {change:#?}");
        assert!(change.is_visible, "{change:#?}");
        for word in *words {
            assert!(change.sentence.contains(word), "{word}: {change:#?}");
        }
        let breaks_somebody = change.breaks_backward || change.breaks_forward;
        assert_eq!(
            change.sentence.contains("; "),
            breaks_somebody && change.sentence.contains("whoever"),
            "{change:#?}"
        );
        assert!(!change.sentence.ends_with(['.', ' ', ';', ':']), "{change:#?}");
    }
}

#[test]
fn fields_come_and_go() {
    let with_a = r#"{"properties":{"a":{"type":"string"}}}"#;
    let a_required = r#"{"properties":{"a":{"type":"string"}},"required":["a"]}"#;
    table(&[
        ("{}", with_a, "/a", NOBODY, &["new and optional"]),
        (
            "{}",
            a_required,
            "/a",
            BACKWARD,
            &[
                "`/a` is new and required",
                "stored before finds none there",
                "make it optional",
                "an upcaster that sets `/a`",
            ],
        ),
        // A default is not put where nothing is, so what is required would not be there.
        (
            "{}",
            r#"{"properties":{"a":{"type":"string","default":"x"}},"required":["a"]}"#,
            "/a",
            BACKWARD,
            &["required"],
        ),
        ("{}", r#"{"properties":{"a":{"type":"string","default":"x"}}}"#, "/a", NOBODY, &["new and optional"]),
        ("{}", r#"{"required":["a"]}"#, "/a", BACKWARD, &["required"]),
        (with_a, "{}", "/a", NOBODY, &["gone and was optional"]),
        (a_required, "{}", "/a", BOTH, &["gone and was required", "no longer sees", "finds none there", "upcaster"]),
        (with_a, a_required, "/a", BACKWARD, &["required now and was optional", "leave it optional"]),
        (a_required, with_a, "/a", FORWARD, &["optional now and was required"]),
        (
            r#"{"properties":{"a":{}},"additionalProperties":false}"#,
            r#"{"properties":{"a":{},"b":{}},"additionalProperties":false}"#,
            "/b",
            FORWARD,
            &["allows no other fields"],
        ),
        (
            r#"{"properties":{"a":{},"b":{}},"additionalProperties":false}"#,
            r#"{"properties":{"a":{}},"additionalProperties":false}"#,
            "/b",
            BACKWARD,
            &["no other fields are allowed", "drops `/b`"],
        ),
        (
            r#"{"properties":{"a":{}},"allOf":[{"properties":{"b":{}}}],"unevaluatedProperties":false}"#,
            r#"{"properties":{"a":{}},"unevaluatedProperties":false}"#,
            "/b",
            BACKWARD,
            &["no other fields are allowed"],
        ),
        (r#"{"properties":{"a":{}}}"#, r#"{"properties":{"a":false}}"#, "/a", BACKWARD, &["no other fields"]),
        ("{}", r#"{"additionalProperties":false}"#, "", BACKWARD, &["may have no other fields"]),
        (r#"{"additionalProperties":false}"#, r#"{"additionalProperties":true}"#, "", FORWARD, &["could not"]),
        (
            r#"{"additionalProperties":{"type":"integer"}}"#,
            r#"{"additionalProperties":{"type":"number"}}"#,
            "/*",
            FORWARD,
            &["a number now"],
        ),
        (
            r#"{"patternProperties":{"^x":{"type":"integer"}}}"#,
            r#"{"patternProperties":{"^x":{"type":"string"}}}"#,
            "/*",
            BOTH,
            &["is a text now and was an integer"],
        ),
        (
            r#"{"patternProperties":{"^x":{}}}"#,
            r#"{"patternProperties":{"^y":{}}}"#,
            "",
            BOTH,
            &["patternProperties", "not understood"],
        ),
    ]);
}

#[test]
fn a_rename_is_guessed() {
    let changes = changes(
        r#"{"properties":{"amount":{"type":"integer"},"note":{"type":"string"}},"required":["amount","note"]}"#,
        r#"{"properties":{"amount_cents":{"type":"integer"},"when":{"type":"boolean"}},"required":["amount_cents","when"]}"#,
    );
    let told = |path: &str| changes.iter().find(|change| change.path == path).unwrap();
    assert_eq!(changes.len(), 4, "{changes:#?}");
    let gone = &told("/amount").sentence;
    assert!(
        gone.contains("(renamed to `/amount_cents`?)") && gone.contains("moves `/amount` to `/amount_cents`"),
        "{gone}"
    );
    let new = &told("/amount_cents").sentence;
    assert!(new.contains("(renamed from `/amount`?)") && new.contains("moves `/amount` to `/amount_cents`"), "{new}");
    assert!(!told("/note").sentence.contains("renamed") && !told("/when").sentence.contains("renamed"));
}

fn of(schema: &str) -> String {
    format!(r#"{{"properties":{{"a":{schema}}}}}"#)
}

#[test]
fn types_and_values_widen_and_narrow() {
    let rows: &[(&str, &str, (bool, bool), &str)] = &[
        (r#"{"type":"integer"}"#, r#"{"type":"number"}"#, FORWARD, "may be a number now and was an integer"),
        (r#"{"type":"number"}"#, r#"{"type":"integer"}"#, BACKWARD, "is an integer now and may have been a number"),
        (r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, FORWARD, "a text or null now"),
        (r#"{"type":["string","null"]}"#, r#"{"type":"string"}"#, BACKWARD, "casts or maps `/a`"),
        (r#"{"type":"string"}"#, r#"{"type":"integer"}"#, BOTH, "finds a text there"),
        (r#"{}"#, r#"{"type":"string"}"#, BACKWARD, "anything"),
        (r#"{"type":"string"}"#, r#"true"#, FORWARD, "anything"),
        (r#"{"enum":["x","y"]}"#, r#"{"enum":["x"]}"#, BACKWARD, r#"may no longer be "y""#),
        (r#"{"enum":["x"]}"#, r#"{"enum":["y","x"]}"#, FORWARD, r#"may also be "y" now"#),
        (r#"{"const":"x"}"#, r#"{"enum":["x","z"]}"#, FORWARD, r#""z""#),
        (r#"{"const":1}"#, r#"{"const":2}"#, BOTH, ""),
        (r#"{"type":"string"}"#, r#"{"type":"string","enum":["x"]}"#, BACKWARD, "listed values only"),
        (r#"{"type":"string","enum":["xx"]}"#, r#"{"type":"string","minLength":2}"#, FORWARD, "any value now"),
        (r#"{"minimum":1}"#, r#"{"minimum":2}"#, BACKWARD, "tighter `minimum`, 2 where it was 1"),
        (r#"{"minimum":2}"#, r#"{"minimum":1}"#, FORWARD, "looser `minimum`, 1 where it was 2"),
        (r#"{"minimum":1}"#, r#"{"exclusiveMinimum":1}"#, BACKWARD, "1 (excluded)"),
        (r#"{"maximum":9}"#, r#"{}"#, FORWARD, "none where it was 9"),
        (r#"{}"#, r#"{"exclusiveMaximum":9}"#, BACKWARD, "9 (excluded) where it was none"),
        (r#"{"multipleOf":10}"#, r#"{"multipleOf":5}"#, FORWARD, "multipleOf"),
        (r#"{"multipleOf":5}"#, r#"{"multipleOf":10}"#, BACKWARD, "multipleOf"),
        (r#"{"multipleOf":5}"#, r#"{"multipleOf":7}"#, BOTH, "multipleOf"),
        (r#"{"maxLength":5}"#, r#"{"maxLength":6}"#, FORWARD, "maxLength"),
        (r#"{"minLength":5}"#, r#"{"minLength":6}"#, BACKWARD, "brings old values of `/a` within it"),
        (r#"{"pattern":"^a"}"#, r#"{"pattern":"^b"}"#, BOTH, "`^b` where it was `^a`"),
        (r#"{}"#, r#"{"pattern":"^b"}"#, BACKWARD, "tighter `pattern`"),
        (r#"{"pattern":"^b"}"#, r#"{}"#, FORWARD, "looser `pattern`"),
        (r#"{}"#, r#"{"uniqueItems":true}"#, BACKWARD, "uniqueItems"),
        (r#"{"maxItems":3}"#, r#"{"maxItems":2}"#, BACKWARD, "maxItems"),
        (r#"{"minProperties":3}"#, r#"{}"#, FORWARD, "minProperties"),
        (r#"{"not":{"type":"null"}}"#, r#"{}"#, FORWARD, "looser `not`"),
        (r#"{}"#, r#"{"if":{"type":"string"},"then":{"minLength":1}}"#, BACKWARD, "tighter `if`"),
        (r#"{"not":{"const":1}}"#, r#"{"not":{"const":2}}"#, BOTH, "not understood"),
        (r#"{"contains":{"const":1}}"#, r#"{"contains":{"const":1},"minContains":2}"#, BOTH, "not understood"),
        (r#"{"format":"date"}"#, r#"{"format":"date-time"}"#, NOBODY, "not enforced"),
        (r#"{"default":1}"#, r#"{"default":2}"#, NOBODY, "the default 2 where it had 1"),
    ];
    for (older, newer, breaks, words) in rows {
        let (older, newer) = (of(older), of(newer));
        if words.is_empty() {
            let changes = changes(&older, &newer);
            let breaks_of = (changes.iter().any(|c| c.breaks_backward), changes.iter().any(|c| c.breaks_forward));
            assert_eq!(breaks_of, *breaks, "{older} -> {newer}: {changes:#?}");
            continue;
        }
        table(&[(&older, &newer, "/a", *breaks, &[words])]);
    }
}

#[test]
fn what_says_the_same_is_no_change() {
    for (older, newer) in [
        (r#"{"const":1}"#, r#"{"enum":[1.0]}"#),
        (r#"{"type":"integer","exclusiveMinimum":0}"#, r#"{"type":"integer","minimum":1}"#),
        (r#"{"type":["string","null"]}"#, r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#),
        (r#"{"type":["string","null"]}"#, r#"{"oneOf":[{"type":"null"},{"type":"string"}],"default":null}"#),
        (r#"{"type":"string","maxLength":3}"#, r#"{"allOf":[{"type":"string"},{"maxLength":3}]}"#),
        (r##"{"type":"integer"}"##, r##"{"$ref":"#/$defs/n"}"##),
        (r#"{"minItems":0}"#, "{}"),
        (r#"{"additionalProperties":true}"#, "{}"),
        (r#"{"items":{}}"#, "{}"),
    ] {
        let with = |schema: &str| format!(r#"{{"properties":{{"a":{schema}}},"$defs":{{"n":{{"type":"integer"}}}}}}"#);
        let changes = changes(&with(older), &with(newer));
        assert!(changes.len() == 1 && !changes[0].is_visible, "{older} -> {newer}: {changes:#?}");
    }
    let changes = changes(r#"{"title":"a","x-owner":1}"#, r#"{"description":"b","examples":[1]}"#);
    assert!(
        changes.len() == 1 && !changes[0].is_visible && changes[0].sentence.contains("what data may be did not change")
    );
    assert_eq!(super::schema(ORDER).changes_since(&super::schema(ORDER)), []);
    let spelled = ORDER.replace(' ', "  ");
    assert_eq!(super::schema(&spelled).changes_since(&super::schema(ORDER)), []);
}

#[test]
fn changes_are_found_in_depth() {
    let address = |zip: &str| {
        format!(
            r##"{{"properties":{{"bill":{{"$ref":"#/$defs/a"}},"ship":{{"$ref":"#/$defs/a"}}}},"$defs":{{"a":{{"properties":{{"zip":{zip}}}}}}}}}"##
        )
    };
    let found = changes(&address(r#"{"type":"integer"}"#), &address(r#"{"type":"string"}"#));
    let paths: Vec<_> = found.iter().map(|change| &*change.path).collect();
    assert_eq!(paths, ["/bill/zip", "/ship/zip"]);
    table(&[
        (
            r#"{"properties":{"lines":{"items":{"properties":{"price":{"type":"number"}}}}}}"#,
            r#"{"properties":{"lines":{"items":{"properties":{"price":{"type":"integer"}}}}}}"#,
            "/lines/*/price",
            BACKWARD,
            &["`/lines/*/price` is an integer now"],
        ),
        (
            r#"{"prefixItems":[{"type":"string"},{"type":"string"}]}"#,
            r#"{"prefixItems":[{"type":"string"},{"type":"integer"}]}"#,
            "/1",
            BOTH,
            &[],
        ),
        (r#"{"items":{"type":"string"}}"#, r#"{"items":false}"#, "/*", BACKWARD, &["no longer allowed"]),
        // What leads back to itself is compared once.
        (
            r##"{"properties":{"next":{"$ref":"#"},"v":{"type":"integer"}}}"##,
            r##"{"properties":{"next":{"$ref":"#"},"v":{"type":"number"}}}"##,
            "/v",
            FORWARD,
            &[],
        ),
        // An older draft is compared by what it means.
        (
            r#"{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}],"additionalItems":{"type":"integer"}}"#,
            r#"{"prefixItems":[{"type":"string"}],"items":{"type":"number"}}"#,
            "/*",
            FORWARD,
            &[],
        ),
    ]);
}

#[test]
fn alternatives_are_compared_one_by_one() {
    let card = r#"{"type":"object","properties":{"by":{"const":"card"},"last4":{"type":"string"}},"required":["by"]}"#;
    let cash = r#"{"type":"object","properties":{"by":{"const":"cash"}},"required":["by"]}"#;
    let bank =
        r#"{"type":"object","properties":{"by":{"const":"bank"},"iban":{"type":"string"}},"required":["by","iban"]}"#;
    let card_without =
        r#"{"type":"object","properties":{"by":{"const":"card"},"last4":{"type":"integer"}},"required":["by"]}"#;
    let one_of = |list: &[&str]| format!(r#"{{"properties":{{"pay":{{"oneOf":[{}]}}}}}}"#, list.join(","));
    let any_of = |list: &[&str]| format!(r#"{{"properties":{{"pay":{{"anyOf":[{}]}}}}}}"#, list.join(","));
    table(&[
        (
            &one_of(&[card, cash]),
            &one_of(&[card, cash, bank]),
            "/pay",
            FORWARD,
            &[r#"also be an object whose `by` is "bank" now"#],
        ),
        (
            &one_of(&[card, cash]),
            &one_of(&[cash]),
            "/pay",
            BACKWARD,
            &[r#"no longer be an object whose `by` is "card""#],
        ),
        (
            &one_of(&[cash, card]),
            &any_of(&[card_without, cash]),
            "/pay/last4",
            BOTH,
            &["is an integer now and was a text"],
        ),
        (
            r#"{"properties":{"pay":{"type":"string"}}}"#,
            r#"{"properties":{"pay":{"anyOf":[{"type":"string"},{"type":"null"}],"default":null}}}"#,
            "/pay",
            FORWARD,
            &["may also be null now"],
        ),
        // Two of these may hold at once, so that another one can forbid what was allowed.
        (
            r#"{"oneOf":[{"minimum":5},{"maximum":2}]}"#,
            r#"{"oneOf":[{"minimum":5},{"maximum":2},{"type":"integer"}]}"#,
            "",
            BOTH,
            &["another `oneOf`", "not understood"],
        ),
        (
            r#"{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}]}"#,
            r#"{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]},{"required":["c"]}]}"#,
            "",
            FORWARD,
            &["may also be"],
        ),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}]}"#,
            "",
            BACKWARD,
            &["tighter `anyOf`"],
        ),
    ]);
    let reordered = changes(&one_of(&[card, cash]), &one_of(&[cash, card]));
    assert!(reordered.len() == 1 && !reordered[0].is_visible, "{reordered:#?}");
    let left_over = changes(
        r#"{"anyOf":[{"properties":{"a":{}}}],"unevaluatedProperties":false}"#,
        r#"{"anyOf":[{"properties":{"b":{}}}],"unevaluatedProperties":false}"#,
    );
    assert!(left_over.iter().any(|change| change.breaks_backward && change.breaks_forward), "{left_over:#?}");
}

#[test]
fn endless_differences_end() {
    let many = |kind: &str| {
        let fields: Vec<_> = (0..2500).map(|number| format!(r#""f{number}":{{"type":"{kind}"}}"#)).collect();
        format!(r#"{{"properties":{{{}}}}}"#, fields.join(","))
    };
    let changes = changes(&many("string"), &many("integer"));
    assert_eq!(changes.len(), 201);
    assert!(changes[200].sentence.contains("more than can be told"));
    assert!(changes.iter().all(|change| change.breaks_backward && change.breaks_forward));
}

#[test]
fn a_field_may_have_the_name_of_a_keyword() {
    for name in ["format", "default", "definitions", "$defs", "title", "enum", "properties", "$ref"] {
        let field = |of: &str| format!(r#"{{"type":"object","properties":{{"{name}":{{"type":"{of}"}}}}}}"#);
        let around: [&dyn Fn(&str) -> String; 5] = [
            &|field| format!(r#"{{"properties":{{"doc":{{"oneOf":[{{"type":"null"}},{field}]}}}}}}"#),
            &|field| format!(r#"{{"properties":{{"doc":{{"oneOf":[{field},{{"minProperties":3}}]}}}}}}"#),
            &|field| format!(r#"{{"not":{field}}}"#),
            &|field| format!(r#"{{"dependentSchemas":{{"{name}":{field}}}}}"#),
            &|field| format!(r##"{{"not":{{"$ref":"#/$defs/{name}"}},"$defs":{{"{name}":{field}}}}}"##),
        ];
        for around in around {
            let (older, newer) = (around(&field("string")), around(&field("integer")));
            let changes = changes(&older, &newer);
            assert!(changes.iter().any(|change| change.breaks_backward), "{older} -> {newer}: {changes:#?}");
        }
    }
    let keywords = |format: &str| {
        format!(r#"{{"not":{{"properties":{{"a":{{"type":"string","format":"{format}","default":"{format}"}}}}}}}}"#)
    };
    assert!(changes(&keywords("date"), &keywords("time")).iter().all(|change| !change.is_visible));
}

#[test]
fn a_name_is_forbidden_and_allowed_again() {
    let rest = r#"{"additionalProperties":{"type":"string"}}"#;
    let forbidden = r#"{"properties":{"x":false},"additionalProperties":{"type":"string"}}"#;
    let by_pattern = r#"{"patternProperties":{"^x":{}},"additionalProperties":false}"#;
    let but_one = r#"{"properties":{"x":false},"patternProperties":{"^x":{}},"additionalProperties":false}"#;
    table(&[
        (rest, forbidden, "/x", BACKWARD, &["may not be there any more", "drops `/x`"]),
        (forbidden, rest, "/x", FORWARD, &["may be there"]),
        ("{}", r#"{"properties":{"x":false}}"#, "/x", BACKWARD, &["may not be there any more"]),
        (by_pattern, but_one, "/x", BACKWARD, &["may not be there any more"]),
        (but_one, by_pattern, "/x", FORWARD, &["may be there"]),
    ]);
}
