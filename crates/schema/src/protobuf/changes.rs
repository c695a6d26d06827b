//! What changed between two Protobuf schemas, and whom it breaks: on the wire by the numbers of fields, in JSON by their
//! names.

use std::collections::{HashMap, HashSet, VecDeque};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::data::word;
use crate::compat::Change;
use crate::difference::{DIFFERENCES_MAX, Difference};
use crate::trail;

/// How many pairs of messages and enums are compared, at most.
const PAIRS_MAX: usize = 10_000;

/// What changed.
pub(super) fn changes(older: &MessageDescriptor, newer: &MessageDescriptor) -> Vec<Change> {
    let mut comparison = Comparison { queue: VecDeque::new(), changes: Vec::new() };
    if older.full_name() != newer.full_name() {
        let what = format!("was of the message `{}` and is of `{}`", older.full_name(), newer.full_name());
        comparison.push(Difference::new("", what).invisible());
    }
    comparison.queue.push_back((String::new(), Pair::Messages(older.clone(), newer.clone())));
    let mut compared = HashSet::new();
    while let Some((path, pair)) = comparison.queue.pop_front() {
        // Types that were compared once break nobody anew at another place, and may contain themselves.
        if !compared.insert(pair.names()) {
            continue;
        }
        if compared.len() > PAIRS_MAX || comparison.changes.len() >= DIFFERENCES_MAX {
            comparison.changes.push(Difference::more().into());
            break;
        }
        match pair {
            Pair::Messages(old, new) => comparison.messages(&path, &old, &new),
            Pair::Enums(old, new) => comparison.enums(&path, &old, &new),
        }
    }
    comparison.changes
}

enum Pair {
    Messages(MessageDescriptor, MessageDescriptor),
    Enums(EnumDescriptor, EnumDescriptor),
}

impl Pair {
    fn names(&self) -> (String, String) {
        match self {
            Pair::Messages(old, new) => (old.full_name().to_owned(), new.full_name().to_owned()),
            Pair::Enums(old, new) => (old.full_name().to_owned(), new.full_name().to_owned()),
        }
    }
}

struct Comparison {
    queue: VecDeque<(String, Pair)>,
    changes: Vec<Change>,
}

impl Comparison {
    fn push(&mut self, difference: Difference<'_>) {
        self.changes.push(difference.into());
    }

    fn messages(&mut self, path: &str, old: &MessageDescriptor, new: &MessageDescriptor) {
        let mut moved = HashSet::new();
        let oneofs = Oneofs::new(old, new);
        for field in in_order(old) {
            let number = field.number();
            if let Some(now) = new.get_field(number) {
                self.fields(&trail::member(path, now.json_name()), &field, &now, &oneofs);
                continue;
            }
            let path = trail::member(path, field.json_name());
            if let Some(now) = new.get_field_by_name(field.name())
                && old.get_field(now.number()).is_none()
            {
                moved.insert(now.number());
                let what = format!("moved from the number {number} to {}", now.number());
                let way = format!("keep the number {number}");
                self.push(Difference::new(&path, what).both("do not find it under the number they look for").way(way));
                continue;
            }
            let is_reserved = new.reserved_ranges().any(|range| range.contains(&number));
            let what = match is_reserved {
                true => "is gone".to_owned(),
                false => format!(
                    "is gone, and nothing keeps its number {number} from being taken again (`reserved {number};`)"
                ),
            };
            let difference = Difference::new(&path, what);
            self.push(match field.is_required() {
                true => difference.both("miss a field that is required").way("keep it, and make it optional first"),
                false => difference,
            });
        }
        for field in in_order(new) {
            let number = field.number();
            if old.get_field(number).is_some() || moved.contains(&number) {
                continue;
            }
            let path = trail::member(path, field.json_name());
            let difference = Difference::new(&path, "is new");
            self.push(if old.reserved_ranges().any(|range| range.contains(&number)) {
                let what = format!("takes the number {number}, which was reserved for what it had been");
                let way = "take a number that was never used";
                Difference::new(&path, what).backward("may find something else under it").way(way)
            } else if field.is_required() {
                difference.backward("do not find it in them, and it is required").way("make it optional")
            } else {
                difference
            });
        }
    }

    fn fields(&mut self, path: &str, old: &FieldDescriptor, new: &FieldDescriptor, oneofs: &Oneofs) {
        self.names(path, old, new);
        let shape = |field: &FieldDescriptor| match (field.is_map(), field.is_list()) {
            (true, _) => "a map",
            (_, true) => "repeated",
            _ => "single",
        };
        if shape(old) != shape(new) {
            let what = format!("was {} and is {}", shape(old), shape(new));
            let way = "keep the field, and add one with a new number";
            return self.push(Difference::new(path, what).both("do not take the one for the other").way(way));
        }
        match (old.is_required(), new.is_required()) {
            (false, true) => {
                let difference = Difference::new(path, "is required now");
                self.push(difference.backward("may not find it in them").way("keep it optional"));
            }
            (true, false) => self.push(Difference::new(path, "is no longer required").forward("may not find it")),
            _ if old.supports_presence() != new.supports_presence() && !old.is_list() => {
                let told = |field: &FieldDescriptor| if field.supports_presence() { "is told" } else { "is not told" };
                self.push(Difference::new(path, format!("{} from its default now", told(new))));
            }
            _ => {}
        }
        self.oneofs(path, old, new, oneofs);
        let (old_default, new_default) =
            (&old.field_descriptor_proto().default_value, &new.field_descriptor_proto().default_value);
        if old_default != new_default {
            let told = |default: &Option<String>| default.as_ref().map_or("none".to_owned(), |one| format!("`{one}`"));
            self.push(Difference::new(
                path,
                format!("had the default {} and has {}", told(old_default), told(new_default)),
            ));
        }
        if let (Kind::Message(old), Kind::Message(new)) = (old.kind(), new.kind())
            && old.is_map_entry()
        {
            let path = trail::items(path);
            self.kinds(&path, &old.map_entry_key_field().kind(), &new.map_entry_key_field().kind());
            return self.kinds(&path, &old.map_entry_value_field().kind(), &new.map_entry_value_field().kind());
        }
        if old.is_group() != new.is_group() {
            return self.push(Difference::new(path, "is no longer encoded in the same way").both("cannot read it"));
        }
        let path = if old.is_list() { trail::items(path) } else { path.to_owned() };
        self.kinds(&path, &old.kind(), &new.kind());
    }

    /// In JSON a reader knows a field by its name there, and by its name in the schema.
    fn names(&mut self, path: &str, old: &FieldDescriptor, new: &FieldDescriptor) {
        let is_read = |written: &FieldDescriptor, reader: &FieldDescriptor| {
            [reader.json_name(), reader.name()].contains(&written.json_name())
        };
        let mut difference = Difference::new(path, format!("was called `{}`", old.json_name()));
        if !is_read(old, new) {
            difference = difference.backward("do not find it in JSON");
        }
        if !is_read(new, old) {
            difference = difference.forward("do not find it in JSON");
        }
        if difference.backward.is_some() || difference.forward.is_some() {
            let way = format!("keep its name in JSON: `[json_name = \"{}\"]`", old.json_name());
            self.push(difference.way(way));
        } else if old.json_name() != new.json_name() {
            self.push(difference);
        }
    }

    fn oneofs(&mut self, path: &str, old: &FieldDescriptor, new: &FieldDescriptor, oneofs: &Oneofs) {
        let shared = |key: (Option<String>, Option<String>)| oneofs.shared(&key.0, &key.1) > 1;
        match (oneof(old), oneof(new)) {
            (None, Some(one)) => {
                // With another field that was there before, an event may have both.
                let difference = Difference::new(path, format!("stands in the oneof `{one}` now"));
                self.push(match shared((None, Some(one))) {
                    true => difference.backward("lose it, or another field of the oneof, where both are set"),
                    false => difference,
                });
            }
            (Some(one), None) => {
                let difference = Difference::new(path, format!("stands in the oneof `{one}` no longer"));
                self.push(match shared((Some(one), None)) {
                    true => difference.forward("lose it, or another field of the oneof, where both are set"),
                    false => difference,
                });
            }
            (Some(was), Some(is)) if was != is => {
                let what = format!("stood in the oneof `{was}`, and stands in `{is}`");
                let difference = Difference::new(path, what);
                // All of the one in the other, and nothing else: it has another name.
                let (was, is) = (Some(was), Some(is));
                let moved = oneofs.moved.get(&(was.clone(), is.clone())).copied().unwrap_or_default();
                let is_same = moved == oneofs.shared(&was, &None) && moved == oneofs.shared(&None, &is);
                self.push(if is_same {
                    difference
                } else {
                    difference.both("lose it, or another field, where both are set")
                });
            }
            _ => {}
        }
    }

    fn kinds(&mut self, path: &str, old: &Kind, new: &Kind) {
        match (old, new) {
            (Kind::Message(old), Kind::Message(new)) => {
                let is_well_known = |message: &MessageDescriptor| message.full_name().starts_with("google.protobuf.");
                if !is_well_known(old) && !is_well_known(new) {
                    let pair = Pair::Messages(old.clone(), new.clone());
                    return self.queue.push_back((path.to_owned(), pair));
                }
                if old.full_name() == new.full_name() {
                    return;
                }
            }
            (Kind::Enum(old), Kind::Enum(new)) => {
                let pair = Pair::Enums(old.clone(), new.clone());
                return self.queue.push_back((path.to_owned(), pair));
            }
            (old, new) if old == new => return,
            _ => {}
        }
        let difference = Difference::new(path, format!("was of the type {} and is of {}", word(old), word(new)));
        let way = "keep the field, and add one with a new number";
        self.push(match (range(old), range(new)) {
            (Some((old_wire, old)), Some((new_wire, new))) if old_wire == new_wire => {
                let contains = |outer: (i128, i128), inner: (i128, i128)| outer.0 <= inner.0 && inner.1 <= outer.1;
                match (contains(new, old), contains(old, new)) {
                    (true, true) => difference,
                    (true, false) => difference.forward("cut off numbers that are too large for them").way(way),
                    (false, true) => difference.backward("cut off numbers that are too large for them").way(way),
                    (false, false) => difference.both("take some numbers for others").way(way),
                }
            }
            _ if is_same_on_the_wire(old, new) => {
                difference.both("understand it on the wire, where the values fit, and not in JSON").way(way)
            }
            _ => difference.both("cannot read it").way(way),
        });
    }

    fn enums(&mut self, path: &str, old: &EnumDescriptor, new: &EnumDescriptor) {
        for value in old.values() {
            let (name, number) = (value.name(), value.number());
            match new.get_value_by_name(name) {
                Some(now) if now.number() == number => {}
                Some(now) => {
                    let what = format!("has `{name}` under the number {} instead of {number}", now.number());
                    self.push(
                        Difference::new(path, what)
                            .both("take one value for another")
                            .way(format!("keep the number {number}")),
                    );
                }
                None => match new.get_value(number) {
                    Some(now) => {
                        let difference =
                            Difference::new(path, format!("calls `{}` what was called `{name}`", now.name()));
                        let way = format!("keep `{name}` beside it, with `allow_alias`, and as the first of the two");
                        self.push(difference.both("do not know the name in JSON").way(way));
                    }
                    None => {
                        let difference =
                            Difference::new(path, format!("is no longer `{name}` of `{}`", new.full_name()));
                        self.push(difference.backward("do not know the stored values").way(format!("keep `{name}`")));
                    }
                },
            }
        }
        for value in new.values() {
            if old.get_value_by_name(value.name()).is_none() && old.get_value(value.number()).is_none() {
                let difference = Difference::new(path, format!("may be `{}` of `{}`", value.name(), new.full_name()));
                self.push(difference.forward("do not know that value"));
            }
        }
    }
}

/// The oneofs of two messages, by the fields that both messages have.
struct Oneofs {
    /// How many such fields stand in one of the older message and in one of the newer one.
    moved: HashMap<(Option<String>, Option<String>), usize>,
}

impl Oneofs {
    fn new(old: &MessageDescriptor, new: &MessageDescriptor) -> Oneofs {
        let mut moved = HashMap::new();
        for (was, is) in old.fields().filter_map(|field| Some((oneof(&field), oneof(&new.get_field(field.number())?))))
        {
            *moved.entry((was, is)).or_insert(0) += 1;
        }
        Oneofs { moved }
    }

    /// How many fields of a oneof both messages have, wherever they stand in the other one.
    fn shared(&self, was: &Option<String>, is: &Option<String>) -> usize {
        let is_it = |key: &(Option<String>, Option<String>)| match (was, is) {
            (Some(_), _) => key.0 == *was,
            (None, _) => key.1 == *is,
        };
        self.moved.iter().filter(|(key, _)| is_it(key)).map(|(_, count)| count).sum()
    }
}

/// The name of the oneof that a field stands in.
fn oneof(field: &FieldDescriptor) -> Option<String> {
    field.containing_oneof().filter(|one| !one.is_synthetic()).map(|one| one.name().to_owned())
}

fn in_order(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let mut fields: Vec<FieldDescriptor> = message.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    fields
}

/// How a whole number lies on the wire, and which numbers it can be.
fn range(kind: &Kind) -> Option<(&'static str, (i128, i128))> {
    let (int32, int64) = ((i128::from(i32::MIN), i128::from(i32::MAX)), (i128::from(i64::MIN), i128::from(i64::MAX)));
    Some(match kind {
        Kind::Int32 => ("varint", int32),
        Kind::Int64 => ("varint", int64),
        Kind::Uint32 => ("varint", (0, i128::from(u32::MAX))),
        Kind::Uint64 => ("varint", (0, i128::from(u64::MAX))),
        Kind::Sint32 => ("zigzag", int32),
        Kind::Sint64 => ("zigzag", int64),
        Kind::Fixed32 => ("32 bits", (0, i128::from(u32::MAX))),
        Kind::Sfixed32 => ("32 bits", int32),
        Kind::Fixed64 => ("64 bits", (0, i128::from(u64::MAX))),
        Kind::Sfixed64 => ("64 bits", int64),
        _ => return None,
    })
}

/// Whether two types that look different in JSON are read one for the other on the wire.
fn is_same_on_the_wire(old: &Kind, new: &Kind) -> bool {
    let group = |kind: &Kind| match kind {
        Kind::Bool | Kind::Enum(_) => Some("varint"),
        Kind::String | Kind::Bytes => Some("bytes"),
        kind => range(kind).map(|(wire, _)| wire).filter(|wire| *wire == "varint"),
    };
    group(old).is_some() && group(old) == group(new)
}
