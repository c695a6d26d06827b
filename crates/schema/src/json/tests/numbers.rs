//! Numbers are compared as they are written, whatever a double makes of them.

use super::*;

fn takes(schema: &str, data: &str) -> bool {
    let schema = JsonSchema::parse(schema, &[]).unwrap_or_else(|error| panic!("{schema}: {}", error.problem));
    schema.check(&Payload::Json(data.to_owned().into())).is_ok()
}

#[test]
fn no_number_is_rounded() {
    let cases: [(&str, &[&str], &[&str]); 9] = [
        (
            r#"{"type":"integer"}"#,
            &["9007199254740993.0", "123456789012345678901234567890", "1e400", "12.5e1", "1e3"],
            &["9007199254740993.5", "123456789012345678901234567890.5", "1e-400", "0.30000000000000004"],
        ),
        (r#"{"minimum":1}"#, &["1.0000000000000000001", "1", "1e400"], &["0.9999999999999999999", "-1e400", "1e-400"]),
        (
            r#"{"maximum":100000000000000000000}"#,
            &["100000000000000000000", "1e20", "99999999999999999999.99", "-1e400"],
            &["100000000000000000001", "100000000000000000000.00001", "1e400"],
        ),
        (
            r#"{"exclusiveMaximum":2}"#,
            &["1.999999999999999999999", "-1e400"],
            &["2", "2.0", "2.00000000000000000000001"],
        ),
        (r#"{"exclusiveMinimum":0}"#, &["1e-400", "5e-324"], &["0", "-0.0", "0e400", "-1e-400"]),
        (
            r#"{"maximum":9007199254740993}"#,
            &["9007199254740993", "9007199254740993.0", "9007199254740992.99999"],
            &["9007199254740993.00001", "9007199254740994"],
        ),
        (
            r#"{"const":0.1}"#,
            &["0.1", "0.10", "1e-1"],
            &["0.1000000000000000055511151231257827", "0.10000000000000001"],
        ),
        (r#"{"enum":[1,[2.5]]}"#, &["1.0", "[2.50]"], &["1.00000000000000000000001", "[2.5000000000000000000001]"]),
        (
            r#"{"uniqueItems":true}"#,
            &["[0.1000000000000000000001,0.1000000000000000000002,0.1]"],
            &["[0.1000000000000000000001,1.000000000000000000001e-1]", "[1e400,10e399]"],
        ),
    ];
    for (schema, taken, refused) in cases {
        for data in taken {
            assert!(takes(schema, data), "{schema} takes {data}");
        }
        for data in refused {
            assert!(!takes(schema, data), "{schema} refuses {data}");
        }
    }
}

#[test]
fn what_cannot_be_compared_is_refused_with_a_reason() {
    let schema = JsonSchema::parse(r#"{"properties":{"price":{"multipleOf":0.01}}}"#, &[]).unwrap();
    let check = |data: &str| schema.check(&Payload::Json(data.to_owned().into()));
    assert_eq!(check(r#"{"price":0.07,"at":0.30000000000000004}"#), Ok(()));
    assert!(check(r#"{"price":0.075}"#).is_err());
    let refused = check(r#"{"price":0.070000000000000000001}"#).unwrap_err();
    assert!(
        refused.problem.contains("0.070000000000000000001") && refused.problem.contains("multipleOf"),
        "{refused:?}"
    );
    let refused = JsonSchema::parse(r#"{"properties":{"a":{"minimum":0.100000000000000000001}}}"#, &[]).unwrap_err();
    assert!(refused.path == "/properties/a/minimum" && refused.problem.contains("more digits"), "{refused:?}");
    // What validates nothing may be what it likes.
    assert!(JsonSchema::parse(r#"{"default":0.100000000000000000001}"#, &[]).is_ok());
    let told = JsonSchema::parse(r#"{"maximum":1}"#, &[]).unwrap();
    let told = told.check(&Payload::Json("1.000000000000000000001".into())).unwrap_err();
    assert!(told.problem.contains("is 1.000000000000000000001"), "{told:?}");
}
