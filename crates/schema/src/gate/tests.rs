//! What passes the gate, under which version, and how readers see it.

use std::sync::Arc;

use pacioli_core::schemas::SettingScope;
use pacioli_core::{EventType, Payload};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Desk, Shown, TYPE, deposits, desk, id, new_event, proposal, shape, stored};

fn data(seen: &Shown) -> (u32, Value) {
    match seen {
        Shown::Lifted(event) => (event.schema_version, serde_json::from_slice(event.data.bytes()).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_registry_everything_passes_as_it_says() {
    let desk = Desk::default();
    assert!(
        desk.judge("account-1", vec![new_event(TYPE, None, &json!({})), new_event(TYPE, Some(7), &json!([]))])
            .unwrap()
            .is_empty()
    );
    assert!(matches!(desk.see(&Shape::default(), &stored(TYPE, 7, &json!({}))), Shown::AsStored));
    assert_eq!(desk.gate.warned(), 0);
}

#[test]
fn an_event_gets_the_version_it_says_or_the_newest() {
    let mut desk = desk();
    let newest = json!({"amount_cents":1,"currency":"EUR"});
    let events = vec![
        new_event("Other", None, &json!(1)),
        new_event(TYPE, Some(1), &json!({"amount":1})),
        new_event(TYPE, None, &newest),
    ];
    assert_eq!(*desk.judge("account-1", events).unwrap(), [1, 1, 3]);
    let ordinary = vec![new_event("Other", Some(1), &json!(1)), new_event(TYPE, Some(1), &json!({"amount":1}))];
    assert!(desk.judge("account-1", ordinary).unwrap().is_empty(), "nothing to be kept");
    let change =
        crate::register::delete(&desk.gate.catalogue(), &EventType::new(TYPE).unwrap(), &[3], None, id(1)).unwrap();
    desk.apply(&change);
    assert_eq!(*desk.judge("account-1", vec![new_event(TYPE, None, &json!({"amount":1}))]).unwrap(), [2]);
}

#[test]
fn a_violation_names_the_place_the_rule_and_a_way_out() {
    let desk = desk();
    let good = new_event(TYPE, Some(1), &json!({"amount":1}));
    let refused =
        desk.judge("account-1", vec![good.clone(), new_event(TYPE, Some(1), &json!({"amount":"five"}))]).unwrap_err();
    assert_eq!((&*refused.field, &*refused.path, &*refused.rule), ("writes[0].events[1].data", "/amount", "type"));
    assert_eq!(
        (refused.schema_version, refused.semver, refused.accepted_by),
        (1, Some("1.0.0".parse().unwrap()), None)
    );
    let refused = desk.judge("account-1", vec![new_event(TYPE, None, &json!({"amount":1}))]).unwrap_err();
    assert_eq!((refused.schema_version, refused.accepted_by), (3, Some(2)), "the nearest");
    let refused = desk.judge("account-1", vec![new_event(TYPE, Some(9), &json!({"amount":1}))]).unwrap_err();
    assert_eq!((&*refused.field, &*refused.rule), ("writes[0].events[0].schema_version", "registered"));
    assert_eq!((refused.semver, refused.accepted_by), (None, Some(2)));
    assert!(refused.to_string().contains("version 2 would accept it"), "{refused}");
}

#[test]
fn the_search_for_another_version_is_bounded_and_goes_outward() {
    let mut desk = Desk::default();
    let schema = |n: u32| json!({"type":"object","properties":{"n":{"const":n}},"required":["n"]});
    desk.set(SettingScope::Global, "level", Some("none"));
    for n in 1..=40 {
        desk.register(&proposal(&schema(n), None)).unwrap();
    }
    let accepted = |wanted: u32, n: u32| {
        desk.judge("a-1", vec![new_event(TYPE, Some(wanted), &json!({"n":n}))]).unwrap_err().accepted_by
    };
    assert_eq!(accepted(20, 28), Some(28));
    assert_eq!(accepted(20, 13), Some(13));
    assert_eq!((accepted(20, 29), accepted(20, 11)), (None, None), "further away than is looked");
    assert_eq!((accepted(1, 16), accepted(40, 25), accepted(99, 30)), (Some(16), Some(25), Some(30)));
}

#[test]
fn a_mode_is_set_for_all_or_for_a_category() {
    let mut desk = desk();
    let wrong = || vec![new_event(TYPE, Some(1), &json!({}))];
    let unknown = || vec![new_event("Other", Some(4), &json!({}))];
    let category = |name: &str| SettingScope::Category(name.into());
    assert!(desk.judge("a-1", wrong()).is_err());
    assert!(desk.judge("$a-1", wrong()).unwrap().is_empty(), "the system's own");
    desk.set(SettingScope::Global, "mode", Some("warn"));
    assert_eq!(*desk.judge("a-1", vec![new_event(TYPE, None, &json!({}))]).unwrap(), [3]);
    assert!(desk.judge("a-1", unknown()).unwrap().is_empty());
    assert_eq!((desk.gate.warned(), desk.gate.without_schema()), (1, 1));
    desk.set(category("a"), "mode", Some("off"));
    assert!(desk.judge("a-1", vec![new_event(TYPE, Some(9), &json!({}))]).unwrap().is_empty());
    assert!(desk.judge("a-1", unknown()).is_ok());
    assert_eq!((desk.gate.warned(), desk.gate.without_schema()), (1, 1), "not looked at");
    desk.set(category("a"), "mode", Some("enforce"));
    let refused = desk.judge("a-1", unknown()).unwrap_err();
    assert_eq!(
        (&*refused.field, &*refused.rule, refused.schema_version),
        ("writes[0].events[0].schema_version", "registered", 4)
    );
    assert!(refused.to_string().contains("category `a`"), "{refused}");
    assert!(desk.judge("b-1", unknown()).is_ok());
    desk.set(SettingScope::Global, "mode", Some("enforce"));
    assert!(desk.judge("b-1", unknown()).is_ok(), "a type without a schema passes unless its category says otherwise");
    assert_eq!((desk.gate.warned(), desk.gate.without_schema()), (1, 3));
    desk.set(category("a"), "mode", None);
    desk.set(SettingScope::Global, "mode", None);
    assert!(desk.judge("a-1", unknown()).is_ok() && desk.judge("a-1", wrong()).is_err());
    assert_eq!(
        (desk.gate.warned(), desk.gate.without_schema()),
        (1, 4),
        "the mode of a type without a schema is `warn`"
    );
    assert_eq!(desk.gate.catalogue().mode("a", "Other"), (Mode::Warn, false));
}

#[test]
fn large_data_and_types_without_a_schema_are_warned_of_where_schemas_are_kept() {
    let large = |event_type: &str| vec![new_event(event_type, None, &json!({"amount":1,"text":"x".repeat(9_000)}))];
    let mut desk = Desk::default();
    desk.judge("a-1", large("Other")).unwrap();
    assert_eq!((desk.gate.large(), desk.gate.without_schema()), (0, 0), "nothing is registered, nothing is looked at");
    desk.register(&proposal(&deposits()[0], None)).unwrap();
    desk.judge("a-1", large("Other")).unwrap();
    desk.judge("a-1", large(TYPE)).unwrap();
    desk.judge("a-1", vec![new_event(TYPE, None, &json!({"amount":1}))]).unwrap();
    assert_eq!((desk.gate.large(), desk.gate.without_schema(), desk.gate.warned()), (2, 1, 0));
    desk.judge("$a-1", large("Other")).unwrap();
    desk.set(SettingScope::Category("a".into()), "mode", Some("off"));
    desk.judge("a-1", large("Other")).unwrap();
    assert_eq!((desk.gate.large(), desk.gate.without_schema()), (2, 1), "the system's, and where the mode is off");
}

#[test]
fn a_type_whose_versions_are_all_deleted_is_retired() {
    let mut desk = desk();
    let event_type = EventType::new(TYPE).unwrap();
    let change = crate::register::delete(&desk.gate.catalogue(), &event_type, &[1, 2, 3], None, id(1)).unwrap();
    desk.apply(&change);
    let refused = desk.judge("a-1", vec![new_event(TYPE, None, &json!({"amount":1}))]).unwrap_err();
    assert_eq!((&*refused.rule, refused.accepted_by), ("registered", None));
}

#[test]
fn what_is_stored_is_seen_the_same_whatever_is_deleted() {
    let event_type = EventType::new(TYPE).unwrap();
    let events = [
        stored(TYPE, 1, &json!({"amount":5})),
        stored(TYPE, 2, &json!({"amount":6,"note":"x"})),
        stored(TYPE, 3, &json!({"amount_cents":7,"currency":"EUR"})),
    ];
    let ranges: [&[&str]; 5] =
        [&[], &["MoneyDeposited:^1"], &["MoneyDeposited:^2"], &["MoneyDeposited:=1.0.0"], &["MoneyDeposited:<3"]];
    let seen = |desk: &Desk| {
        let one = |range: &&[&str], event: &RecordedEvent| format!("{:?}", desk.see(&shape(false, range), event));
        ranges.iter().flat_map(|range| events.iter().map(move |event| one(range, event))).collect::<Vec<_>>()
    };
    for deleted in [&[3][..], &[2], &[1], &[2, 3], &[1, 2, 3]] {
        let mut desk = desk();
        let before = seen(&desk);
        let change = crate::register::delete(&desk.gate.catalogue(), &event_type, deleted, None, id(1)).unwrap();
        desk.apply(&change);
        assert_eq!(seen(&desk), before, "{deleted:?} deleted");
    }
    // Only what is gone for good is no end of a way any more.
    let mut desk = desk();
    let change = crate::register::delete(&desk.gate.catalogue(), &event_type, &[3], None, id(1)).unwrap();
    desk.apply(&change);
    let change = crate::register::remove(&desk.gate.catalogue(), &event_type, &[3], &[1, 2], None, id(2)).unwrap();
    desk.apply(&change);
    assert_eq!(data(&desk.see(&Shape::default(), &events[0])), (2, json!({"amount":5})));
}

#[test]
fn readers_see_the_newest_shape_unless_they_say_what_they_understand() {
    let desk = desk();
    let old = stored(TYPE, 1, &json!({"amount":5}));
    let newest = stored(TYPE, 3, &json!({"amount_cents":7,"currency":"EUR"}));
    assert_eq!(data(&desk.see(&Shape::default(), &old)), (3, json!({"amount_cents":5,"currency":"USD"})));
    assert!(matches!(desk.see(&Shape::default(), &newest), Shown::AsStored));
    assert!(matches!(desk.see(&shape(true, &[]), &old), Shown::AsStored));
    assert_eq!(data(&desk.see(&shape(false, &["MoneyDeposited:^1"]), &old)), (2, json!({"amount":5})));
    assert!(matches!(desk.see(&shape(false, &["MoneyDeposited:=1.0.0"]), &old), Shown::AsStored));
    assert_eq!(data(&desk.see(&shape(false, &["MoneyDeposited:^2"]), &old)).0, 3);
    assert_eq!(data(&desk.see(&shape(false, &["MoneyDeposited:^1", "MoneyDeposited:^2"]), &old)).0, 3);
    assert_eq!(data(&desk.see(&shape(false, &["Other:^1"]), &old)).0, 3);
    for raw in [true, false] {
        let Shown::Withheld(withheld) = desk.see(&shape(raw, &["MoneyDeposited:^1"]), &newest) else { panic!() };
        assert_eq!((withheld.schema_version, withheld.semver), (3, Some("2.0.0".parse().unwrap())));
        assert_eq!(withheld.understands.to_string(), "^1");
    }
    let Shown::Withheld(_) = desk.see(&shape(true, &["MoneyDeposited:^2"]), &old) else { panic!("raw is not lifted") };
    let envelope = RecordedEvent { data: Payload::Json(Default::default()), ..old };
    let Shown::Lifted(seen) = desk.see(&Shape::default(), &envelope) else { panic!() };
    assert_eq!((seen.schema_version, seen.data.len()), (3, 0));
    // Data that is no JSON cannot be lifted by a chain over JSON, and so a reader who wants another version does not get it.
    let binary = RecordedEvent { data: Payload::Binary(b"\x01\x02"[..].into()), ..envelope };
    assert!(matches!(desk.see(&Shape::default(), &binary), Shown::AsStored));
    assert!(matches!(desk.see(&shape(false, &["MoneyDeposited:^2"]), &binary), Shown::Withheld(_)));
    assert!(matches!(desk.see(&shape(false, &["MoneyDeposited:^1"]), &binary), Shown::AsStored));
}

#[test]
fn a_version_that_is_not_known_is_asked_for_once() {
    let desk = desk();
    let lens = |shape: &Shape, event: &RecordedEvent, is_fresh| Shown::by(&*desk.gate.lens(shape), event, is_fresh);
    let bounded = shape(false, &["MoneyDeposited:>=1", "Other:^2"]);
    let unknown = stored(TYPE, 9, &json!({}));
    assert!(matches!(lens(&bounded, &unknown, false), Shown::Unknown));
    let Shown::Withheld(withheld) = lens(&bounded, &unknown, true) else { panic!() };
    assert_eq!(withheld.semver, None);
    assert!(matches!(lens(&Shape::default(), &unknown, false), Shown::AsStored));
    // Nothing at all is registered for this one: version 2 of it counts as 2.0.0.
    let other = stored("Other", 2, &json!({}));
    assert!(matches!(lens(&bounded, &other, false), Shown::Unknown));
    assert!(matches!(lens(&bounded, &other, true), Shown::AsStored));
    assert!(matches!(lens(&bounded, &stored("Other", 1, &json!({})), true), Shown::Withheld(_)));
}

#[test]
fn a_lens_follows_the_registry() {
    let mut desk = Desk::default();
    let lens = desk.gate.lens(&Shape::default());
    let old = stored(TYPE, 1, &json!({"amount":5}));
    let [first, second, third] = deposits();
    desk.register(&proposal(&first, None)).unwrap();
    assert!(matches!(Shown::by(&*lens, &old, false), Shown::AsStored));
    desk.register(&proposal(&second, None)).unwrap();
    assert_eq!(data(&Shown::by(&*lens, &old, false)).0, 2);
    desk.register(&proposal(&third, Some(crate::testing::lifting_deposit()))).unwrap();
    assert_eq!(data(&Shown::by(&*lens, &old, false)).0, 3);
}

#[test]
fn an_older_registry_is_let_go_unless_the_log_was_rewound() {
    let mut desk = Desk::default();
    desk.register(&proposal(&deposits()[0], None)).unwrap();
    let before = desk.registry.clone();
    desk.register(&proposal(&deposits()[1], None)).unwrap();
    desk.gate.take(before.clone(), false);
    assert_eq!((desk.gate.generation(), desk.gate.catalogue().versions(TYPE).len()), (Generation(2), 2));
    desk.gate.take(before, true);
    assert_eq!((desk.gate.generation(), desk.gate.catalogue().versions(TYPE).len()), (Generation(1), 1));
}

#[test]
fn what_did_not_change_is_taken_over() {
    let mut desk = desk();
    let before = desk.gate.catalogue();
    let event_type = EventType::new(TYPE).unwrap();
    let way = before.lift(&event_type, 1, None).unwrap().unwrap();
    desk.set(SettingScope::Global, "level", Some("full"));
    let after = desk.gate.catalogue();
    assert!(Arc::ptr_eq(&way, &after.lift(&event_type, 1, None).unwrap().unwrap()), "found once");
    desk.register(&proposal(&json!({"type":"object","properties":{"amount_cents":{"type":"integer"},"currency":{"type":"string"},"note":{"type":"string"},"by":{"type":"string"}},"required":["amount_cents","currency"]}), None)).unwrap();
    let newest = desk.gate.catalogue();
    assert!(Arc::ptr_eq(&after.versions(TYPE)[1], &newest.versions(TYPE)[1]));
    assert_eq!(newest.lift(&event_type, 1, None).unwrap().unwrap().version, 4);
}

#[test]
fn a_hole_ends_every_way() {
    let mut desk = Desk::default();
    let [first, second, third] = deposits();
    desk.register(&proposal(&first, None)).unwrap();
    desk.register(&proposal(&second, None)).unwrap();
    desk.set(SettingScope::Type(TYPE.into()), "level", Some("none"));
    desk.register(&proposal(&third, None)).unwrap();
    let catalogue = desk.gate.catalogue();
    assert_eq!(catalogue.version(TYPE, 3).unwrap().upcaster(), Err(crate::catalogue::Hole { version: 3 }));
    let old = stored(TYPE, 1, &json!({"amount":5}));
    assert_eq!(data(&desk.see(&Shape::default(), &old)).0, 2);
    assert!(matches!(desk.see(&shape(false, &["MoneyDeposited:^2"]), &old), Shown::Withheld(_)));
}
