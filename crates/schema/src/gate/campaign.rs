//! Random registries, random events and readers of every kind: what is delivered is understood, and is what it says.

use pacioli_core::Payload;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Map, Value, json};

use super::*;
use crate::register::delete;
use crate::testing::{Desk, Shown, TYPE, id, proposal, shape, stored};

const FIELDS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A change of the schema, as somebody would make it.
#[derive(Clone, Debug)]
enum Evolve {
    /// Adds a field, or makes it optional or required, of a type. With an upcaster where that is needed.
    Field { name: usize, is_text: bool, is_required: bool },
    /// Renames a field.
    Rename { from: usize, to: usize },
    /// Takes a field away.
    Remove { name: usize },
    /// The same change, but nothing lifts.
    Break { name: usize, is_text: bool },
    /// Hides the newest version.
    Delete,
}

fn evolutions() -> impl Strategy<Value = Vec<Evolve>> {
    let field = || 0..FIELDS.len();
    let one = prop_oneof![
        4 => (field(), any::<bool>(), any::<bool>()).prop_map(|(name, is_text, is_required)| Evolve::Field { name, is_text, is_required }),
        2 => (field(), field()).prop_map(|(from, to)| Evolve::Rename { from, to }),
        1 => field().prop_map(|name| Evolve::Remove { name }),
        1 => (field(), any::<bool>()).prop_map(|(name, is_text)| Evolve::Break { name, is_text }),
        1 => Just(Evolve::Delete),
    ];
    prop::collection::vec(one, 1..10)
}

/// The fields of a schema: whether each is a text, and whether it is required.
type Fields = std::collections::BTreeMap<&'static str, (bool, bool)>;

fn schema(fields: &Fields) -> Value {
    let of = |is_text: bool| if is_text { json!({"type":"string"}) } else { json!({"type":"integer"}) };
    let properties: Map<String, Value> =
        fields.iter().map(|(name, (is_text, _))| ((*name).to_owned(), of(*is_text))).collect();
    let required: Vec<&str> =
        fields.iter().filter(|(_, (_, is_required))| *is_required).map(|(name, _)| *name).collect();
    // Closed, so that no field that is added later was used before for something else.
    json!({"type":"object","properties":properties,"required":required,"additionalProperties":false})
}

/// Data of a schema; `seed` decides which optional fields it has.
fn sample(fields: &Fields, seed: u32) -> Value {
    let has = |at: usize, is_required: bool| is_required || seed >> at & 1 == 1;
    let value = |is_text: bool| if is_text { json!(seed.to_string()) } else { json!(seed) };
    let members = fields.iter().enumerate().filter(|(at, (_, (_, is_required)))| has(*at, *is_required));
    Value::Object(members.map(|(_, (name, (is_text, _)))| ((*name).to_owned(), value(*is_text))).collect())
}

/// Registers what it makes, and returns the fields of each version.
fn evolve(desk: &mut Desk, steps: &[Evolve], seeds: &[u32]) -> Result<Vec<Fields>, TestCaseError> {
    let mut fields: Fields = [("a", (false, true))].into();
    desk.register(&proposal(&schema(&fields), None)).unwrap();
    let mut versions = vec![fields.clone()];
    for step in steps {
        let mut next = fields.clone();
        let from = versions.len() as u32;
        let mut lifting = Vec::new();
        let mut level = "backward";
        match *step {
            Evolve::Field { name, is_text, is_required } => {
                let name = FIELDS[name];
                if let Some((was_text, _)) = next.insert(name, (is_text, is_required))
                    && was_text != is_text
                {
                    let to = if is_text { "string" } else { "integer" };
                    lifting.push(json!({"op":"cast","path":format!("/{name}"),"to":to}));
                }
                let value = if is_text { json!("") } else { json!(0) };
                if is_required {
                    lifting.push(json!({"op":"default","path":format!("/{name}"),"value":value}));
                }
            }
            Evolve::Rename { from, to } => {
                let Some(field) = next.remove(FIELDS[from]) else { continue };
                next.insert(FIELDS[to], field);
                if from != to {
                    lifting.push(json!({"op":"drop","path":format!("/{}", FIELDS[to])}));
                    lifting.push(
                        json!({"op":"move","from":format!("/{}", FIELDS[from]),"path":format!("/{}", FIELDS[to])}),
                    );
                }
            }
            Evolve::Remove { name } => {
                next.remove(FIELDS[name]);
                lifting.push(json!({"op":"drop","path":format!("/{}", FIELDS[name])}));
            }
            Evolve::Break { name, is_text } => {
                next.insert(FIELDS[name], (is_text, true));
                level = "none";
            }
            Evolve::Delete => {
                let catalogue = desk.gate.catalogue();
                if let Some(newest) = catalogue.newest(TYPE) {
                    let change =
                        delete(&catalogue, &newest.row.event_type, &[newest.row.version], None, id(1)).unwrap();
                    desk.apply(&change);
                }
                continue;
            }
        }
        desk.set(pacioli_core::schemas::SettingScope::Global, "level", Some(level));
        let lifting = (!lifting.is_empty()).then(|| json!({"from":from,"to":from + 1,"steps":lifting}));
        let drafted = desk.draft(&proposal(&schema(&next), lifting));
        let Ok(draft) = drafted else { continue };
        let catalogue = desk.gate.catalogue();
        let events: Vec<RecordedEvent> = samples(&versions, seeds).collect();
        // What does not hold on a sample of every version is not registered.
        if draft.is_known || draft.try_on(&catalogue, &events).is_err() {
            continue;
        }
        prop_assert_eq!(draft.schema.version, from + 1);
        desk.apply(&draft.change(&catalogue, &[], id(2)));
        versions.push(next.clone());
        fields = next;
    }
    Ok(versions)
}

fn samples<'s>(versions: &'s [Fields], seeds: &'s [u32]) -> impl Iterator<Item = RecordedEvent> + 's {
    let of = |(at, fields): (usize, &'s Fields)| {
        seeds.iter().map(move |seed| stored(TYPE, at as u32 + 1, &sample(fields, *seed)))
    };
    versions.iter().enumerate().flat_map(of)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_reader_receives_what_it_did_not_say_it_understands(
        steps in evolutions(),
        seeds in prop::collection::vec(0_u32..64, 1..4),
        lowest in 0_u32..4,
        width in 1_u32..3,
        raw in any::<bool>(),
    ) {
        let mut desk = Desk::default();
        let versions = evolve(&mut desk, &steps, &seeds)?;
        let catalogue = desk.gate.catalogue();
        let range = format!("{TYPE}:>={lowest}, <{}", lowest + width);
        let (bounded, latest) = (shape(raw, &[&range]), shape(false, &[]));
        let understood = &bounded.understands[0].versions;
        for event in samples(&versions, &seeds) {
            let stored_schema = catalogue.version(TYPE, event.schema_version).unwrap();
            prop_assert!(stored_schema.schema().unwrap().check(&event.data).is_ok(), "samples are what their version says");
            let is_as_said = |seen: &RecordedEvent| {
                let entry = catalogue.version(TYPE, seen.schema_version).unwrap();
                (entry.row.semver, entry.schema().unwrap().check(&seen.data))
            };
            for shape in [&bounded, &latest] {
                let is_bounded = !shape.understands.is_empty();
                match desk.see(shape, &event) {
                    Shown::AsStored => {
                        let (semver, checked) = is_as_said(&event);
                        prop_assert_eq!(checked, Ok(()));
                        prop_assert!(!is_bounded || understood.contains(semver));
                    }
                    Shown::Lifted(seen) => {
                        let (semver, checked) = is_as_said(&seen);
                        prop_assert!(!shape.raw && seen.schema_version > event.schema_version);
                        prop_assert_eq!(checked, Ok(()), "{:?} of {:?}", seen.data, event.data);
                        prop_assert!(!is_bounded || understood.contains(semver));
                        // Everything else is as it was stored, and so it is every time.
                        let as_it_was = RecordedEvent { data: event.data.clone(), schema_version: event.schema_version, ..(*seen).clone() };
                        prop_assert_eq!(&as_it_was, &event);
                        prop_assert!(matches!(desk.see(shape, &event), Shown::Lifted(again) if again == seen));
                    }
                    Shown::Withheld(withheld) => {
                        prop_assert!(is_bounded);
                        prop_assert_eq!(withheld.schema_version, event.schema_version);
                        // Nothing that can be reached would have been understood.
                        let reachable = catalogue.lift(&event.event_type, event.schema_version, Some(understood));
                        prop_assert!(raw || reachable.is_err());
                    }
                    Shown::Unknown => prop_assert!(false, "the registry was read"),
                }
            }
        }
    }

    #[test]
    fn a_way_is_the_ways_between_one_behind_the_other(
        steps in evolutions(),
        seeds in prop::collection::vec(0_u32..64, 1..4),
    ) {
        let mut desk = Desk::default();
        let versions = evolve(&mut desk, &steps, &seeds)?;
        let catalogue = desk.gate.catalogue();
        for event in samples(&versions, &seeds) {
            let Ok(Some(way)) = catalogue.lift(&event.event_type, event.schema_version, None) else { continue };
            let mut step_by_step = event.data.bytes().clone();
            for version in event.schema_version + 1..=way.version {
                let upcaster = catalogue.version(TYPE, version).unwrap().upcaster().unwrap();
                step_by_step = crate::Chain::new(upcaster).lift(&step_by_step);
            }
            let mut event = Arc::new(event.clone());
            prop_assert!(way.apply(&mut event));
            prop_assert_eq!(&event.data, &Payload::Json(step_by_step));
        }
    }
}
