//! What is taken into the registry, what is not, and what is said then.

use pacioli_core::schemas::{Gate, Generation, Setting, SettingScope};
use pacioli_core::{EventType, Payload};
use serde_json::{Value, json};

use super::*;
use crate::catalogue::Mode;
use crate::testing::{Desk, TYPE, deposits, desk, id, lifting_deposit, proposal, stored, tagged};

fn event_type() -> EventType {
    EventType::new(TYPE).unwrap()
}

#[test]
fn a_deposit_evolves_as_its_numbers_say() {
    let mut desk = Desk::default();
    let [first, second, third] = deposits();
    let registered = desk.register(&tagged(&first, "1.0.0", None)).unwrap();
    assert_eq!((registered.schema.version, registered.schema.id, registered.changes.len()), (1, 1, 0));
    let error = desk.draft(&tagged(&second, "1.0.1", None)).unwrap_err();
    assert!(matches!(error, RegisterError::Semver { least, .. } if least == "1.1.0".parse().unwrap()), "{error}");
    assert!(error.to_string().contains("1.1.0") && error.to_string().contains("/note"), "{error}");
    let error = desk.draft(&tagged(&second, "1.0.0", None)).unwrap_err();
    assert!(error.to_string().contains("does not follow"), "{error}");
    let registered = desk.register(&tagged(&second, "1.1.0", None)).unwrap();
    assert_eq!((registered.schema.version, registered.schema.id, registered.size), (2, 2, Size::Minor));
    let error = desk.draft(&tagged(&third, "1.2.0", None)).unwrap_err();
    assert!(error.to_string().contains("/amount") && error.to_string().contains("2.0.0"), "{error}");
    let error = desk.draft(&tagged(&third, "2.0.0", None)).unwrap_err();
    let RegisterError::Incompatible { problem, changes } = &error else { panic!("{error}") };
    assert!(
        changes.iter().any(|change| change.path == "/amount") && problem.contains("from version 2 to 3"),
        "{error}"
    );
    let registered = desk.register(&tagged(&third, "2.0.0", Some(lifting_deposit()))).unwrap();
    assert_eq!((registered.schema.version, registered.size), (3, Size::Major));
    assert_eq!(desk.gate.generation(), Generation(3));
}

#[test]
fn the_semantic_version_is_found_where_none_is_said() {
    let mut desk = Desk::default();
    let [first, second, third] = deposits();
    assert_eq!(desk.register(&tagged(&first, "0.3.0", None)).unwrap().schema.semver.to_string(), "0.3.0");
    let mut described = first.clone();
    described["description"] = json!("money");
    assert_eq!(desk.register(&proposal(&described, None)).unwrap().schema.semver.to_string(), "0.3.1");
    assert_eq!(desk.register(&tagged(&second, "0.9.4", None)).unwrap().schema.semver.to_string(), "0.9.4");
    let lifting = json!({"from":3,"to":4,"steps":lifting_deposit()["steps"]});
    assert_eq!(desk.register(&proposal(&third, Some(lifting))).unwrap().schema.semver.to_string(), "1.0.0");
    // The same again with steps of its own: data changes, though the schema does not.
    let mending = json!({"from":4,"to":5,"steps":[{"op":"default","path":"/bank","value":"ours"}]});
    assert_eq!(desk.register(&proposal(&third, Some(mending))).unwrap().schema.semver.to_string(), "1.1.0");
}

#[test]
fn the_same_schema_is_known_however_it_is_spelled() {
    let desk = desk();
    let third = deposits()[2].clone();
    let spelled = format!("  {}\n", serde_json::to_string_pretty(&third).unwrap());
    let again = Proposal { text: spelled, ..tagged(&third, "1.0.0", None) };
    let known = desk.draft(&again).unwrap();
    assert!(known.is_known && known.schema.version == 3);
    let catalogue = desk.gate.catalogue();
    assert_eq!(known.try_on(&catalogue, [&stored(TYPE, 1, &json!({"amount":1}))]), Ok(Tried::default()));
    assert!(desk.draft(&proposal(&third, Some(lifting_deposit()))).unwrap().is_known);
    // Another document for it is a change of what is registered, which there is none of.
    let other = json!({"from":2,"to":3,"steps":[]});
    let error = desk.draft(&proposal(&third, Some(other))).unwrap_err().to_string();
    assert!(error.contains("\"from\": 3") && error.contains("\"to\": 4"), "{error}");
    let schema = known.compiled();
    assert_eq!(catalogue.same(TYPE, schema, &[]).unwrap().row.version, 3);
}

#[test]
fn an_upcaster_has_the_numbers_of_its_place() {
    let desk = desk();
    let [first, ..] = deposits();
    let steps = json!([{"op":"move","from":"/amount_cents","path":"/amount"}]);
    let lifting = |from: u32| Some(json!({"from":from,"to":from + 1,"steps":steps}));
    let other = |upcaster| Proposal { event_type: EventType::new("Other").unwrap(), ..proposal(&first, upcaster) };
    let error = desk.draft(&other(lifting(1))).unwrap_err().to_string();
    assert!(error.contains("first version"), "{error}");
    for wrong in [1, 2, 4] {
        let error = desk.draft(&proposal(&first, lifting(wrong))).unwrap_err().to_string();
        assert!(error.contains("`\"from\": 3, \"to\": 4`"), "{error}");
    }
    assert!(desk.draft(&proposal(&first, lifting(3))).is_ok());
    let error = desk.draft(&proposal(&first, Some(json!({"from":3})))).unwrap_err().to_string();
    assert!(error.starts_with("the upcaster is refused"), "{error}");
}

#[test]
fn a_text_has_one_number_in_the_whole_store_and_none_twice() {
    let mut desk = desk();
    let [first, _, third] = deposits();
    let other = |schema: &Value| Proposal { event_type: EventType::new("Other").unwrap(), ..proposal(schema, None) };
    let registered = desk.register(&other(&first)).unwrap();
    assert_eq!((registered.schema.version, registered.schema.id), (1, 1));
    assert_eq!(desk.gate.catalogue().with_id(1).len(), 2);
    // The third goes for good, and its number with it.
    let change = delete(&desk.gate.catalogue(), &event_type(), &[3], None, id(1)).unwrap();
    desk.apply(&change);
    let change = remove(&desk.gate.catalogue(), &event_type(), &[3], &[1, 2], None, id(1)).unwrap();
    desk.apply(&change);
    assert!(desk.gate.catalogue().with_id(3).is_empty());
    // Nor is its version given again: another server may know the old one, and events may say it.
    let error = desk.draft(&proposal(&third, Some(lifting_deposit()))).unwrap_err().to_string();
    assert!(error.contains("`\"from\": 2, \"to\": 4`"), "{error}");
    let lifting = json!({"from":2,"to":4,"steps":lifting_deposit()["steps"]});
    let again = desk.register(&proposal(&third, Some(lifting))).unwrap();
    assert_eq!((again.schema.version, again.schema.id), (4, 4));
}

#[test]
fn a_level_says_whom_a_schema_may_break() {
    let first = json!({"type":"object","properties":{"n":{"type":"integer"},"o":{"type":"string"}},"required":["n"]});
    let widened = json!({"type":"object","properties":{"n":{"type":"number"},"o":{"type":"string"}},"required":["n"]});
    let narrowed =
        json!({"type":"object","properties":{"n":{"type":"integer"},"o":{"type":"string"}},"required":["n","o"]});
    for (level, may_widen, may_narrow) in
        [("backward", true, false), ("forward", false, false), ("full", false, false), ("none", true, true)]
    {
        let mut desk = Desk::default();
        desk.register(&proposal(&first, None)).unwrap();
        desk.set(SettingScope::Type(TYPE.into()), "level", Some(level));
        assert_eq!(desk.draft(&proposal(&widened, None)).is_ok(), may_widen, "{level}");
        assert_eq!(desk.draft(&proposal(&narrowed, None)).is_ok(), may_narrow, "{level}");
        let lifting = Some(json!({"from":1,"to":2,"steps":[{"op":"default","path":"/o","value":""}]}));
        assert!(desk.draft(&proposal(&narrowed, lifting)).is_ok(), "{level}: with an upcaster everything may");
        // By Confluent's rules a level forbids what it names, and nothing more.
        desk.set(SettingScope::Type(TYPE.into()), "rules", Some("confluent"));
        assert_eq!(desk.draft(&proposal(&narrowed, None)).is_ok(), matches!(level, "forward" | "none"), "{level}");
    }
}

#[test]
fn a_transitive_level_looks_further_back_than_the_version_before() {
    let with = |o: Option<Value>| {
        let mut schema = json!({"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]});
        if let Some(o) = o {
            schema["properties"]["o"] = o;
        }
        schema
    };
    let (text, none, number) =
        (with(Some(json!({"type":"string"}))), with(None), with(Some(json!({"type":"integer"}))));
    let mut desk = Desk::default();
    desk.register(&proposal(&text, None)).unwrap();
    desk.register(&proposal(&none, None)).unwrap();
    assert!(desk.draft(&proposal(&number, None)).is_ok());
    desk.set(SettingScope::Global, "level", Some("backward_transitive"));
    let error = desk.draft(&proposal(&number, None)).unwrap_err().to_string();
    assert!(error.contains("version 1 ") && error.contains("/o"), "{error}");
    let dropping = json!({"from":2,"to":3,"steps":[{"op":"drop","path":"/o"}]});
    desk.register(&proposal(&number, Some(dropping))).unwrap();
    // What lies in front of a document is lifted by it, and nothing that follows can break it.
    let mut more = number.clone();
    more["properties"]["p"] = json!({"type":"string"});
    assert!(desk.draft(&proposal(&more, None)).is_ok());
}

#[test]
fn an_upcaster_is_tried_on_what_is_stored() {
    let mut desk = Desk::default();
    let [first, second, third] = deposits();
    desk.register(&proposal(&first, None)).unwrap();
    desk.register(&proposal(&second, None)).unwrap();
    let events = [
        stored(TYPE, 1, &json!({"amount":1})),
        stored(TYPE, 2, &json!({"amount":2,"currency":"EUR","note":"x"})),
        stored(TYPE, 1, &json!({"amount":"not what its version says"})),
        stored(TYPE, 9, &json!({})),
        stored("Other", 1, &json!({})),
        RecordedEvent { data: Payload::Json(Default::default()), ..stored(TYPE, 1, &json!(0)) },
    ];
    let catalogue = desk.gate.catalogue();
    let good = desk.draft(&proposal(&third, Some(lifting_deposit()))).unwrap();
    let tried = good.try_on(&catalogue, &events).unwrap();
    assert_eq!(tried.events, 2);
    assert!(matches!(&tried.warnings[..], [one] if one.starts_with("1 of the stored events")), "{tried:?}");
    let lazy = json!({"from":2,"to":3,"steps":[
        {"op":"move","from":"/amount","path":"/amount_cents"},
        {"op":"copy","from":"/note","path":"/currency"},
    ]});
    let lazy = desk.draft(&proposal(&third, Some(lazy))).unwrap();
    let error = lazy.try_on(&catalogue, &events).unwrap_err().to_string();
    assert!(error.contains("0:12") && error.contains("currency") && error.contains("version 1"), "{error}");
    // Where nothing lifts, a field that turns out to have been used otherwise is found.
    let mut noted = second.clone();
    noted["properties"]["memo"] = json!({"type":"string"});
    let noted = desk.draft(&proposal(&noted, None)).unwrap();
    assert_eq!(noted.try_on(&catalogue, &events).unwrap().events, 2);
    let error = noted.try_on(&catalogue, [&stored(TYPE, 2, &json!({"amount":1,"memo":7}))]).unwrap_err().to_string();
    assert!(error.contains("/memo"), "{error}");
    // A number may have been in use before: what is stored under it is told of, and no reason to refuse.
    let early =
        noted.try_on(&catalogue, [&stored(TYPE, 3, &json!({"amount":"1"})), &stored(TYPE, 3, &json!({"amount":1}))]);
    let early = early.unwrap().warnings;
    assert!(
        early.iter().any(|one| one.starts_with("1 of the stored events") && one.contains("version 3")),
        "{early:?}"
    );
    // Behind a hole nothing is tried.
    desk.set(SettingScope::Global, "level", Some("none"));
    let broken = desk.draft(&proposal(&third, None)).unwrap();
    assert_eq!(broken.try_on(&desk.gate.catalogue(), &events).unwrap().events, 0);
}

#[test]
fn a_registration_is_recorded() {
    let desk = desk();
    let mut schema = deposits()[2].clone();
    schema["properties"]["by"] = json!({"type":"string"});
    let draft = desk.draft(&proposal(&schema, None)).unwrap();
    let change = draft.change(&desk.gate.catalogue(), &["billing".to_owned()], id(5));
    let [record] = &change.record[..] else { panic!() };
    assert_eq!(
        (record.id, record.event_type.as_str(), record.metadata.actor.as_deref()),
        (id(5), "SchemaRegistered", Some("ada"))
    );
    let data: Value = serde_json::from_slice(record.data.bytes()).unwrap();
    assert_eq!(
        (&data["type"], &data["version"], &data["semver"], &data["size"]),
        (&json!(TYPE), &json!(4), &json!("2.1.0"), &json!("minor"))
    );
    assert_eq!(data["schema"], json!(schema.to_string()));
    assert!(data["changes"][0].as_str().unwrap().contains("/by"), "{data}");
    assert_eq!(data["acknowledged"], json!(["billing"]));
    assert_eq!((change.expected, change.schemas.len(), &change.schemas[0]), (Generation(3), 1, &draft.schema));
}

#[test]
fn references_are_to_what_is_registered() {
    let mut desk = Desk::default();
    let money = json!({"type":"object","properties":{"cents":{"type":"integer"}},"required":["cents"]});
    let to =
        |version| ReferenceTo { name: "money.json".to_owned(), event_type: EventType::new("Money").unwrap(), version };
    let schema = json!({"type":"object","properties":{"price":{"$ref":"money.json"}},"required":["price"]});
    let referring = |version| Proposal { references: vec![to(version)], ..proposal(&schema, None) };
    let error = desk.draft(&referring(1)).unwrap_err().to_string();
    assert!(error.contains("Money version 1"), "{error}");
    desk.register(&Proposal { event_type: EventType::new("Money").unwrap(), ..proposal(&money, None) }).unwrap();
    let registered = desk.register(&referring(1)).unwrap();
    assert_eq!(ReferenceTo::parse(registered.schema.references.as_deref().unwrap()).unwrap(), [to(1)]);
    let event = |cents: Value| vec![crate::testing::new_event(TYPE, None, &json!({"price":{"cents":cents}}))];
    assert!(desk.judge("a-1", event(json!(1))).is_ok());
    assert_eq!(desk.judge("a-1", event(json!("x"))).unwrap_err().path, "/price/cents");
    let error = delete(&desk.gate.catalogue(), &EventType::new("Money").unwrap(), &[1], None, id(1)).unwrap_err();
    assert!(matches!(&error, RetireError::Referenced { by, .. } if by.as_str() == TYPE), "{error}");
}

#[test]
fn versions_are_hidden_first_and_go_for_good_only_where_nothing_needs_them() {
    let mut desk = desk();
    let catalogue = desk.gate.catalogue();
    let gone = |versions: &[u32], stored: &[u32], desk: &Desk| {
        remove(&desk.gate.catalogue(), &event_type(), versions, stored, Some("ada"), id(2))
    };
    assert!(matches!(
        delete(&catalogue, &event_type(), &[4], None, id(1)),
        Err(RetireError::NotFound { version: 4, .. })
    ));
    assert!(matches!(gone(&[2], &[], &desk), Err(RetireError::NotDeleted { version: 2, .. })));
    let change = delete(&catalogue, &event_type(), &[2], Some("ada"), id(1)).unwrap();
    assert_eq!(
        (change.record[0].event_type.as_str(), change.record[0].metadata.actor.as_deref()),
        ("SchemaDeleted", Some("ada"))
    );
    desk.apply(&change);
    assert!(matches!(
        delete(&desk.gate.catalogue(), &event_type(), &[2], None, id(1)),
        Err(RetireError::Deleted { .. })
    ));
    assert!(matches!(gone(&[2], &[1, 2], &desk), Err(RetireError::Stored { version: 2, .. })));
    assert!(
        matches!(gone(&[2], &[1], &desk), Err(RetireError::Lifts { version: 2, to: 3, .. })),
        "1 is lifted through 2"
    );
    // Events of version 1 still are lifted through it, and to it.
    let catalogue = desk.gate.catalogue();
    assert_eq!(catalogue.lift(&event_type(), 1, None).unwrap().unwrap().version, 3);
    let understood = "^1".parse().unwrap();
    assert_eq!(catalogue.lift(&event_type(), 1, Some(&understood)).unwrap().unwrap().version, 2);
    let change = delete(&catalogue, &event_type(), &[1], None, id(1)).unwrap();
    desk.apply(&change);
    let change = gone(&[1, 2], &[3], &desk).unwrap();
    assert_eq!(change.record[0].event_type.as_str(), "SchemaRemoved");
    desk.apply(&change);
    assert_eq!(desk.gate.catalogue().versions(TYPE).iter().map(|entry| entry.row.version).collect::<Vec<_>>(), [3]);
}

#[test]
fn settings_are_checked_and_recorded() {
    let desk = Desk::default();
    let setting = |scope, name: &str, value: &str| Setting { scope, name: name.into(), value: Some(value.into()) };
    let category = || SettingScope::Category("order".into());
    let of_type = || SettingScope::Type("E".into());
    for (wrong, problem) in [
        (setting(SettingScope::Global, "colour", "red"), "there are `mode`"),
        (setting(SettingScope::Global, "highest_id", "1"), "there are `mode`"),
        (setting(of_type(), "mode", "off"), "a category"),
        (setting(category(), "level", "full"), "an event type"),
        (setting(category(), "mode", "loud"), "`enforce`"),
        (setting(of_type(), "level", "sideways"), "`backward`"),
        (setting(SettingScope::Category("$schemas".into()), "mode", "off"), "the system's"),
        (setting(SettingScope::Category("a-b".into()), "mode", "off"), "`-`"),
        (setting(SettingScope::Type("".into()), "level", "full"), "empty"),
        (setting(of_type(), "rules", "theirs"), "`confluent`"),
        (setting(of_type(), "registry_mode", "closed"), "`IMPORT`"),
    ] {
        let error = set(&desk.gate.catalogue(), &[wrong], None, id(1)).unwrap_err();
        assert!(error.problem.contains(problem), "{error}");
    }
    let both = [setting(of_type(), "level", "FULL"), setting(of_type(), "rules", "confluent")];
    let change = set(&desk.gate.catalogue(), &both, Some("ada"), id(1)).unwrap();
    assert_eq!((change.record[0].event_type.as_str(), change.settings.len()), ("SchemaSettingChanged", 2));
    let mut desk = desk;
    desk.apply(&change);
    desk.set(SettingScope::Global, "level", Some("forward"));
    desk.set(category(), "mode", Some("warn"));
    let catalogue = desk.gate.catalogue();
    assert_eq!((catalogue.level("E").word(), catalogue.level("F").word()), ("full", "forward"));
    assert_eq!((catalogue.rules_of("E"), catalogue.rules_of("F")), (Rules::Confluent, Rules::Ours));
    assert_eq!((catalogue.mode("order", "E"), catalogue.mode("x", "E")), ((Mode::Warn, true), (Mode::Warn, false)));
}

#[test]
fn a_schema_is_compared_with_the_versions_that_are_named() {
    let desk = desk();
    let catalogue = desk.gate.catalogue();
    let text = deposits()[1].to_string();
    let compared = |against: &[u32]| compare(&catalogue, TYPE, (SchemaFormat::Json, &text), &[], against, Rules::Ours);
    let [one, two, three] = &compared(&[1, 2, 3]).unwrap()[..] else { panic!() };
    assert_eq!((one.version, one.changes.len(), two.changes.len()), (1, 1, 0));
    assert!(!one.changes[0].breaks_backward && three.changes.iter().any(|change| change.breaks_backward));
    assert!(compared(&[7]).unwrap_err().to_string().contains("no version 7"));
}
