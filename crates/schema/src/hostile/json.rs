//! JSON Schema.

use super::*;

/// The most bytes a schema may have, less a bit for what stands around.
const BYTES: usize = 250_000;
const DATA: usize = DATA_BYTES - 100;

/// Events as large as they come, of every form.
fn events() -> Vec<(String, Payload)> {
    let deep = |open: &str, close: &str, inner: String| format!("{}{inner}{}", open.repeat(60), close.repeat(60));
    [
        ("numbers", format!("[{}]", many(DATA, |at| (at % 10).to_string()))),
        ("other numbers", format!("[{}]", many(DATA, |at| at.to_string()))),
        ("fractions", format!("[{}]", many(DATA, |at| format!("{at}.5e-3")))),
        ("one number", format!("{{\"a\":{}}}", "9".repeat(DATA - 10))),
        ("empty lists", format!("[{}]", many(DATA, |_| "[]".into()))),
        ("empty objects", format!("[{}]", many(DATA, |_| "{}".into()))),
        ("objects", format!("[{}]", many(DATA, |at| format!("{{\"a\":{at},\"b\":\"x\"}}")))),
        (
            "objects whose last is other",
            format!("[{}]", many(DATA, |at| format!("{{\"a\":{{\"a\":{{\"a\":{at}}}}}}}"))),
        ),
        ("texts", format!("[{}]", many(DATA, |at| format!("\"{at}\"")))),
        ("members", format!("{{{}}}", many(DATA, |at| format!("\"p{at}\":1")))),
        ("members inside", format!("{{\"a\":{{{}}}}}", many(DATA, |at| format!("\"p{at}\":{{}}")))),
        ("a text of a", format!("{{\"a\":\"{}\"}}", "a".repeat(DATA - 10))),
        ("a text of ab", format!("{{\"a\":\"{}\"}}", "ab".repeat((DATA - 10) / 2))),
        ("a text beyond ASCII", format!("{{\"a\":\"{}\"}}", "é€".repeat((DATA - 10) / 5))),
        ("deep", deep("{\"a\":", "}", "1".into())),
        ("deep lists", deep("[", "]", many(DATA - 200, |_| "1".into()))),
        ("deep members", deep("{\"a\":", "}", format!("[{}]", many(DATA - 1_000, |_| "{\"a\":1}".into())))),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), json(text)))
    .collect()
}

fn definitions(count: usize, body: impl Fn(usize) -> String) -> String {
    format!(
        r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{count}":{{"type":"integer"}}}}}}"##,
        parts(count, |at| format!(r#""d{at}":{}"#, body(at + 1)))
    )
}

/// Each with its name; what stands twice is compared with what it becomes.
fn schemas() -> Vec<(&'static str, Vec<String>)> {
    let items = |inner: String| format!(r#"{{"items":{inner}}}"#);
    let two = |of: &dyn Fn(&str) -> String| vec![of("p"), of("q")];
    let both = |next: usize| format!(r##"{{"allOf":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}}"##);
    vec![
        ("many fields", two(&|p| format!(r#"{{"properties":{{{}}}}}"#, many(BYTES, |at| format!(r#""{p}{at}":{{"type":"integer"}}"#))))),
        ("many required", two(&|p| format!(r#"{{"required":[{}]}}"#, many(BYTES, |at| format!(r#""{p}{at}""#))))),
        ("many texts", two(&|p| format!(r#"{{"enum":[{}]}}"#, many(BYTES, |at| format!(r#""{p}{at}""#))))),
        ("many texts for each item", two(&|p| items(format!(r#"{{"enum":[{}]}}"#, many(BYTES, |at| format!(r#""{p}{at}""#)))))),
        ("a thousand values", two(&|p| items(format!(r#"{{"enum":[{}]}}"#, parts(1_000, |at| format!(r#"{{"{p}":[{at},{{"x":{at}}}]}}"#)))))),
        ("a thousand numbers", two(&|p| items(format!(r#"{{"enum":[{}]}}"#, parts(1_000, |at| format!("{at}{}", if p == "p" { ".5" } else { "e3" })))))),
        ("long texts to compare", two(&|p| items(format!(r#"{{"enum":[{},1]}}"#, parts(1_000, |at| format!(r#""{}{at}""#, p.repeat(200))))))),
        ("any of many", two(&|p| items(format!(r#"{{"anyOf":[{}]}}"#, parts(4_000, |at| format!(r#"{{"const":"{p}{at}"}}"#)))))),
        ("one of many", two(&|p| items(format!(r#"{{"oneOf":[{}]}}"#, parts(4_000, |at| format!(r#"{{"required":["{p}{at}"]}}"#)))))),
        ("one of many that all are it", two(&|p| items(format!(r#"{{"oneOf":[{}]}}"#, parts(4_000, |at| format!(r#"{{"minimum":-{at}{}}}"#, p.len())))))),
        ("all of many", two(&|p| items(format!(r#"{{"allOf":[{}]}}"#, parts(4_000, |at| format!(r#"{{"not":{{"const":"{p}{at}"}}}}"#)))))),
        ("any of many objects", two(&|p| format!(r#"{{"anyOf":[{}]}}"#, parts(1_500, |at| format!(r#"{{"properties":{{"{p}{at}":{{"type":"integer"}},"a":{{"type":"string"}}}},"required":["{p}{at}"]}}"#))))),
        ("any of many objects for each item", two(&|p| items(format!(r#"{{"anyOf":[{}]}}"#, parts(900, |at| format!(r#"{{"properties":{{"a":{{"type":"string"}},"{p}{at}":{{"type":"integer"}}}},"required":["a","{p}{at}"]}}"#)))))),
        ("patterns for each member", two(&|p| format!(r#"{{"patternProperties":{{{}}}}}"#, parts(500, |at| format!(r#""^({p}|x){at}.*[0-9]$":{{"type":"integer"}}"#))))),
        ("patterns for each item", two(&|p| items(format!(r#"{{"allOf":[{}]}}"#, parts(300, |at| format!(r#"{{"pattern":"(a|{p}{at})*b{at}$"}}"#)))))),
        ("nasty patterns", vec![
            r#"{"properties":{"a":{"pattern":"(a*)*(a*)*(a*)*b"}}}"#.into(),
            r#"{"properties":{"a":{"pattern":"(.*a){20}$"}}}"#.into(),
            r#"{"properties":{"a":{"pattern":"a.{900}b"}}}"#.into(),
            r#"{"properties":{"a":{"pattern":"[ab]*a[ab]{500}$"}}}"#.into(),
            r#"{"properties":{"a":{"pattern":"(x+x+)+y|(a|aa)+$|([a-z]+)*é"}}}"#.into(),
            r#"{"properties":{"a":{"pattern":"\\p{L}{200}\\p{N}"}}}"#.into(),
            r#"{"properties":{"a":{"allOf":[{"pattern":"[ab]*a[ab]{900}b"},{"pattern":"[ab]*b[ab]{901}c"},{"pattern":"[ab]*a[ab]{903}d"}]}}}"#.into(),
        ]),
        ("huge quantifiers", vec![r#"{"pattern":"((a{1000}){1000}){1000}"}"#.into(), r#"{"pattern":"(a|b){0,1000000}"}"#.into(), r#"{"pattern":"(\\w{100}){100}"}"#.into()]),
        ("diamonds", vec![definitions(9, both), definitions(30, both)]),
        ("a tower of all of", vec![definitions(31, |next| format!(r##"{{"allOf":[{{"$ref":"#/$defs/d{next}"}}]}}"##)), definitions(200, |next| format!(r##"{{"allOf":[{{"$ref":"#/$defs/d{next}"}}]}}"##))]),
        ("a chain through items", vec![definitions(300, |next| format!(r##"{{"items":{{"$ref":"#/$defs/d{next}"}}}}"##)), definitions(1_000, |next| format!(r##"{{"items":{{"$ref":"#/$defs/d{next}"}},"minItems":1}}"##))]),
        ("definitions that all lead to all", two(&|p| format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{}}}}}"##, parts(60, |at| format!(r##""d{at}":{{"properties":{{{}}}}}"##, parts(60, |to| format!(r##""{p}{to}":{{"$ref":"#/$defs/d{to}"}}"##))))))),
        ("a tree of itself", two(&|p| format!(r##"{{"type":["object","array","integer"],"properties":{{"a":{{"$ref":"#"}},"{p}":{{"$ref":"#"}}}},"items":{{"$ref":"#"}},"additionalProperties":{{"$ref":"#"}}}}"##))),
        ("dependent schemas", two(&|p| format!(r#"{{"dependentSchemas":{{{}}}}}"#, parts(2_000, |at| format!(r#""{p}{at}":{{"required":["{p}{}"]}}"#, at + 1))))),
        ("dependent required", two(&|p| format!(r#"{{"dependentRequired":{{{}}}}}"#, many(BYTES, |at| format!(r#""{p}{at}":["{p}{}"]"#, at + 1))))),
        ("what is left over", two(&|p| format!(r#"{{"allOf":[{}],"unevaluatedProperties":{{"type":"integer"}}}}"#, parts(900, |at| format!(r#"{{"properties":{{"{p}{at}":true}}}}"#))))),
        ("what is left over of patterns", two(&|p| format!(r#"{{"anyOf":[{}],"unevaluatedProperties":false}}"#, parts(300, |at| format!(r#"{{"patternProperties":{{"^{p}{at}.*7$":true}}}}"#))))),
        ("what is left over inside", vec![definitions(8, |next| format!(r##"{{"allOf":[{{"$ref":"#/$defs/d{next}"}}],"properties":{{"a":true}},"unevaluatedProperties":true}}"##))]),
        ("items left over", two(&|p| format!(r#"{{"allOf":[{}],"unevaluatedItems":{{"type":"integer"}}}}"#, parts(900, |at| format!(r#"{{"prefixItems":[true],"title":"{p}{at}"}}"#))))),
        ("items left over of contains", two(&|p| format!(r#"{{"anyOf":[{}],"unevaluatedItems":false}}"#, parts(300, |at| format!(r#"{{"contains":{{"const":"{p}{at}"}}}}"#))))),
        ("unique items", vec![r#"{"uniqueItems":true}"#.into(), items(r#"{"uniqueItems":true}"#.into())]),
        ("contains", two(&|p| format!(r#"{{"allOf":[{}]}}"#, parts(1_000, |at| format!(r#"{{"contains":{{"const":"{p}{at}"}},"minContains":0,"maxContains":{at}}}"#))))),
        ("first items", two(&|p| format!(r#"{{"prefixItems":[{}]}}"#, many(BYTES, |at| format!(r#"{{"title":"{p}{at}"}}"#))))),
        ("names of members", two(&|p| format!(r#"{{"propertyNames":{{"anyOf":[{}]}}}}"#, parts(2_000, |at| format!(r#"{{"const":"{p}{at}"}}"#))))),
        ("alternatives in a chain", vec![definitions(30, |next| format!(r##"{{"if":{{"minimum":{next}}},"then":{{"$ref":"#/$defs/d{next}"}},"else":{{"not":{{"const":{next}}}}}}}"##))]),
        ("nots in a tower", vec![format!("{}{{}}{}", r#"{"not":"#.repeat(31), "}".repeat(31)), format!("{}{{}}{}", r#"{"not":"#.repeat(5_000), "}".repeat(5_000))]),
        ("huge numbers", vec![
            format!(r#"{{"properties":{{"a":{{"maximum":{}}}}}}}"#, "9".repeat(BYTES)),
            format!(r#"{{"properties":{{"a":{{"multipleOf":0.{}1}}}}}}"#, "0".repeat(BYTES)),
            r#"{"properties":{"a":{"multipleOf":1e-300}},"items":{"multipleOf":1e-300,"maximum":1e308}}"#.into(),
            r#"{"properties":{"a":{"multipleOf":1e-400}},"items":{"minimum":-1e400}}"#.into(),
            format!(r#"{{"minItems":{0},"maxLength":{0},"properties":{{"a":{{"multipleOf":{0}}}}}}}"#, "7".repeat(1_000)),
        ]),
        ("a number to divide by for each item", vec![items(r#"{"multipleOf":0.0001}"#.into()), items(format!(r#"{{"allOf":[{}]}}"#, parts(2_000, |at| format!(r#"{{"multipleOf":0.{at:04}1}}"#))))]),
        ("a large constant", two(&|p| items(format!(r#"{{"const":[{}]}}"#, many(BYTES, |at| format!(r#""{p}{at}""#)))))),
        ("large defaults and examples", two(&|p| format!(r#"{{"default":[{}],"examples":[[{}]]}}"#, many(BYTES / 2, |at| format!(r#""{p}{at}""#)), many(BYTES / 2, |at| at.to_string())))),
        ("long names", two(&|p| format!(r#"{{"properties":{{{}}}}}"#, many(BYTES, |at| format!(r#""{}{at}":{{"type":"string"}}"#, p.repeat(500)))))),
        ("deep objects", two(&|p| format!("{}{{\"type\":\"integer\"}}{}", format!(r#"{{"properties":{{"{p}":"#).repeat(30), "}}".repeat(30)))),
        ("ids and anchors", two(&|p| format!(r##"{{"$defs":{{{}}},"allOf":[{}]}}"##, parts(1_000, |at| format!(r#""{p}{at}":{{"$anchor":"{p}x{at}","$id":"https://example.org/{p}{at}"}}"#)), parts(1_000, |at| format!(r#"{{"$ref":"https://example.org/{p}{at}"}}"#))))),
        ("text of a megabyte", vec![format!(r#"{{"title":"{}"}}"#, "x".repeat(1 << 20))]),
    ]
}

#[test]
fn whatever_is_asked_about_a_json_schema_is_answered_in_time() {
    let (mut report, events) = (Report::new(), events());
    for (name, texts) in schemas() {
        report.schema(SchemaFormat::Json, name, &texts, &events);
    }
    report.end("JSON Schema");
}
