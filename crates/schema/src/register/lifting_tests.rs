//! What an upcaster does for readers, to them, and later than its schema.

use pacioli_core::EventType;
use pacioli_core::schemas::SettingScope;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Desk, Shown, TYPE, deposits, desk, id, proposal, shape, stored, tagged};

fn object(properties: Value, required: Value) -> Value {
    json!({"type":"object","properties":properties,"required":required})
}

fn lifting(from: u32, steps: Value) -> Option<Value> {
    Some(json!({"from":from,"to":from + 1,"steps":steps}))
}

/// A desk with one version.
fn desk_with(first: &Value) -> Desk {
    let mut desk = Desk::default();
    desk.register(&proposal(first, None)).unwrap();
    desk
}

#[test]
fn an_upcaster_that_takes_from_readers_is_a_break() {
    let text = json!({"type":"string"});
    let first = object(
        json!({"cents":{"type":"integer"},"note":text,"lines":{"type":"array","items":{"type":"object","properties":{"sku":text}}},"rest":{"type":"object"}}),
        json!([]),
    );
    let mut second = first.clone();
    second["properties"]["euro_cents"] = json!({"type":"integer"});
    let size = |steps: Value| desk_with(&first).draft(&proposal(&second, lifting(1, json!([steps])))).unwrap().size;
    for takes in [
        json!({"op":"move","from":"/cents","path":"/euro_cents"}),
        json!({"op":"drop","path":"/note"}),
        json!({"op":"drop","path":"/lines"}),
        json!({"op":"drop","path":"/lines/*/sku"}),
        json!({"op":"drop","path":"/lines/0/sku"}),
        // Nothing more is said of what lies in it.
        json!({"op":"drop","path":"/rest/any"}),
        json!({"op":"cast","path":"/cents","to":"string"}),
        json!({"op":"map","path":"/note","values":{"a":"b"}}),
        json!({"op":"constant","path":"/note","value":"x"}),
        json!({"op":"copy","from":"/unknown","path":"/note"}),
        json!({"op":"move","from":"/unknown","path":"/note"}),
        json!({"op":"split","from":"/note","separator":" ","paths":["/cents","/b"]}),
    ] {
        assert_eq!(size(takes.clone()), Size::Major, "{takes}");
    }
    for adds in [
        json!({"op":"default","path":"/euro_cents","value":1}),
        json!({"op":"default","path":"/note","value":""}),
        json!({"op":"constant","path":"/euro_cents","value":1}),
        json!({"op":"copy","from":"/cents","path":"/euro_cents"}),
        json!({"op":"copy","from":"/note","path":"/rest/note"}),
        json!({"op":"split","from":"/note","separator":" ","paths":["/a","/b"]}),
        // Readers ignore what is not described.
        json!({"op":"move","from":"/unknown","path":"/euro_cents"}),
        json!({"op":"drop","path":"/lines/*/unknown"}),
    ] {
        assert_eq!(size(adds.clone()), Size::Minor, "{adds}");
    }
    let renaming = lifting(1, json!([{"op":"move","from":"/cents","path":"/euro_cents"}]));
    let error = desk_with(&first).draft(&tagged(&second, "1.1.0", renaming.clone())).unwrap_err().to_string();
    assert!(error.contains("2.0.0") && error.contains("moves `/cents` to `/euro_cents`"), "{error}");
    // A reader that understands the first goes on to read what it knows.
    let mut desk = desk_with(&first);
    desk.register(&proposal(&second, renaming)).unwrap();
    let event = stored(TYPE, 1, &json!({"cents":5}));
    assert!(matches!(desk.see(&shape(false, &[&format!("{TYPE}:^1")]), &event), Shown::AsStored));
    // Nothing at all is said of what may be looked at.
    let draft =
        desk_with(&json!({})).draft(&proposal(&second, lifting(1, json!([{"op":"drop","path":"/x"}])))).unwrap();
    assert_eq!(draft.size, Size::Major);
}

#[test]
fn an_upcaster_heals_those_who_read_by_the_new_schema_and_only_them() {
    let first = object(json!({"a":{"type":"string"}}), json!(["a"]));
    let second = object(json!({"a":{"type":"integer"}}), json!(["a"]));
    let cast = || lifting(1, json!([{"op":"cast","path":"/a","to":"integer"}]));
    for (level, is_taken) in [("backward", true), ("none", true), ("forward", false), ("full", false)] {
        let mut desk = desk_with(&first);
        desk.set(SettingScope::Type(TYPE.into()), "level", Some(level));
        let drafted = desk.draft(&proposal(&second, cast()));
        assert_eq!(drafted.is_ok(), is_taken, "{level}: {drafted:?}");
        if let Err(error) = drafted {
            assert!(error.to_string().contains("no help for who still reads"), "{error}");
        }
        // What does nothing heals nothing.
        for steps in [json!([]), json!([{"op":"drop","path":"/zzz"}])] {
            let error = desk.draft(&proposal(&second, lifting(1, steps))).unwrap_err();
            let RegisterError::Incompatible { problem, changes } = &error else { panic!("{error}") };
            assert!(changes.iter().any(|change| change.path == "/a"), "{level}: {problem}");
        }
    }
    // Forward is kept by Confluent's rules as well.
    let mut desk = desk_with(&first);
    desk.set(SettingScope::Type(TYPE.into()), "level", Some("full"));
    desk.set(SettingScope::Type(TYPE.into()), "rules", Some("confluent"));
    assert!(desk.draft(&proposal(&second, cast())).is_err());
}

#[test]
fn an_upcaster_is_tried_on_made_up_data_where_none_is_stored() {
    let [first, _, third] = deposits();
    let tried = |first: &Value, second: &Value, steps: Value, events: &[RecordedEvent]| {
        let mut desk = desk_with(first);
        desk.set(SettingScope::Global, "level", Some("none"));
        let draft = desk.draft(&proposal(second, lifting(1, steps))).unwrap();
        draft.try_on(&desk.gate.catalogue(), events)
    };
    let moves = json!({"op":"move","from":"/amount","path":"/amount_cents"});
    let default = json!({"op":"default","path":"/currency","value":"USD"});
    assert_eq!(tried(&first, &third, json!([moves, default]), &[]), Ok(Tried::default()));
    let wrong = json!({"op":"default","path":"/currency","value":7});
    let error = tried(&first, &third, json!([moves, wrong]), &[]).unwrap_err().to_string();
    assert!(error.contains(r#"{"amount":0}"#) && error.contains("/currency"), "{error}");
    // What is stored counts, where something is.
    let good = stored(TYPE, 1, &json!({"amount":1,"currency":"EUR"}));
    assert_eq!(tried(&first, &third, json!([moves, wrong]), &[good]), Ok(Tried { events: 1, ..Tried::default() }));
    // A value that was made up need not be one that the table knows.
    let (word, number) =
        (object(json!({"a":{"type":"string"}}), json!(["a"])), object(json!({"a":{"type":"integer"}}), json!(["a"])));
    let maps = json!([{"op":"map","path":"/a","values":[["one",1]]}]);
    let warned = tried(&word, &number, maps, &[]).unwrap();
    assert!(matches!(&warned.warnings[..], [one] if one.contains(r#"{"a":"1"}"#)), "{warned:?}");
    let casts = json!([{"op":"cast","path":"/a","to":"integer"}]);
    assert_eq!(tried(&word, &number, casts, &[]), Ok(Tried::default()));
    // Nor need what was optional be missing in those that will be stored.
    let (optional, renamed) =
        (object(json!({"a":{"type":"string"}}), json!([])), object(json!({"b":{"type":"string"}}), json!(["b"])));
    let moves_a = json!([{"op":"move","from":"/a","path":"/b"}]);
    let warned = tried(&optional, &renamed, moves_a, &[]).unwrap();
    assert!(matches!(&warned.warnings[..], [one] if one.contains("/b is missing")), "{warned:?}");
    // Nothing can be made of some.
    let odd = object(json!({"a":{"type":"string","pattern":"^x$"}}), json!(["a"]));
    let warned = tried(&odd, &number, json!([{"op":"constant","path":"/a","value":1}]), &[]).unwrap();
    assert!(matches!(&warned.warnings[..], [one] if one.contains("none could be made")), "{warned:?}");
}

#[test]
fn a_hole_is_told_and_closed_later() {
    let mut desk = Desk::default();
    let [first, second, third] = deposits();
    desk.set(SettingScope::Global, "level", Some("none"));
    desk.register(&proposal(&first, None)).unwrap();
    let holed = desk.register(&proposal(&third, None)).unwrap();
    assert!(holed.warnings.iter().any(|one| one.contains("from version 1 to 2")), "{:?}", holed.warnings);
    desk.set(SettingScope::Global, "level", None);
    let event = stored(TYPE, 1, &json!({"amount":1}));
    let reader = shape(false, &[&format!("{TYPE}:^2")]);
    let Shown::Withheld(withheld) = desk.see(&reader, &event) else { panic!("a hole") };
    let told = withheld.to_string();
    assert!(told.contains("upcaster") && told.contains("understands ^2") && !told.contains("teach"), "{told}");
    // Another version on top, so that it is not the newest that is mended.
    let mut fourth = third.clone();
    fourth["properties"]["by"] = json!({"type":"string"});
    desk.register(&proposal(&fourth, None)).unwrap();
    let steps = |more: bool| {
        let mut steps = vec![json!({"op":"move","from":"/amount","path":"/amount_cents"})];
        steps.extend(more.then(|| json!({"op":"default","path":"/currency","value":"USD"})));
        lifting(1, json!(steps))
    };
    assert!(matches!(
        desk.draft(&proposal(&third, steps(false))),
        Err(RegisterError::Incompatible { changes, .. }) if changes.iter().any(|change| change.path == "/currency")
    ));
    let mended = desk.draft(&proposal(&third, steps(true))).unwrap();
    assert_eq!(
        (mended.is_known, mended.schema.version, mended.schema.semver.to_string().as_str()),
        (false, 2, "2.0.0")
    );
    let catalogue = desk.gate.catalogue();
    assert_eq!(mended.try_on(&catalogue, [&event]).unwrap().events, 1);
    let change = mended.change(&catalogue, &[], id(9));
    assert_eq!(
        (change.record[0].event_type.as_str(), change.record[0].metadata.actor.as_deref(), change.schemas.len()),
        ("SchemaUpcasterAdded", Some("ada"), 1)
    );
    desk.apply(&change);
    assert_eq!(desk.gate.catalogue().version(TYPE, 2).unwrap().row.registered_by, holed.schema.registered_by);
    let Shown::Lifted(seen) = desk.see(&reader, &event) else { panic!("it is closed") };
    assert_eq!(seen.schema_version, 3);
    // It stays, and so does every other one.
    assert!(desk.draft(&proposal(&fourth, None)).unwrap().is_known);
    let other = lifting(
        1,
        json!([{"op":"move","from":"/amount","path":"/amount_cents"},{"op":"constant","path":"/currency","value":"EUR"}]),
    );
    assert!(desk.draft(&proposal(&third, other)).is_err());
    // A version without a hole takes none.
    let mut whole = Desk::default();
    whole.register(&proposal(&first, None)).unwrap();
    whole.register(&proposal(&second, None)).unwrap();
    let late = whole.draft(&proposal(&second, lifting(1, json!([{"op":"drop","path":"/note"}]))));
    assert!(matches!(late, Err(RegisterError::Upcaster(_))), "{late:?}");
}

#[test]
fn no_version_is_given_twice() {
    let mut desk = desk();
    let event_type = EventType::new(TYPE).unwrap();
    for versions in [&[3][..], &[1, 2]] {
        let change = delete(&desk.gate.catalogue(), &event_type, versions, None, id(1)).unwrap();
        desk.apply(&change);
        let change = remove(&desk.gate.catalogue(), &event_type, versions, &[], None, id(1)).unwrap();
        desk.apply(&change);
    }
    assert!(desk.gate.catalogue().versions(TYPE).is_empty());
    assert_eq!(desk.register(&proposal(&deposits()[0], None)).unwrap().schema.version, 4);
    let other = Proposal { event_type: EventType::new("Other").unwrap(), ..proposal(&deposits()[0], None) };
    assert_eq!(desk.register(&other).unwrap().schema.version, 1);
}
