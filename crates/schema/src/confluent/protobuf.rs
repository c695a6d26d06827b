//! The same for Protobuf: what a file says on the wire, by the places of its messages and the numbers of their fields.
//!
//! Names of fields do not count there, as JSON is nobody's concern, and neither do the values of enums.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};

use super::told_of;
use crate::compat::Change;
use crate::trail;

/// What changed between two files, and whom it breaks by the rules of Confluent's registry.
pub(crate) fn changes(older: &FileDescriptor, newer: &FileDescriptor) -> Vec<Change> {
    told_of(&findings(older, newer), &findings(newer, older))
}

/// One difference: its name, where in the data, in the schema, and whether everything that was read still is.
pub(super) type Finding = (&'static str, String, String, bool);

fn findings(original: &FileDescriptor, update: &FileDescriptor) -> Vec<Finding> {
    let mut found = Vec::new();
    if original.package_name() != update.package_name() {
        found.push(("PACKAGE_CHANGED", String::new(), "#/".to_owned(), false));
    }
    let (old, new): (Vec<_>, Vec<_>) = (original.messages().collect(), update.messages().collect());
    messages(&mut found, "#", (&old, &new), true);
    found
}

/// The messages of a file or of another message. Framing says by its place which one data is of.
fn messages(
    found: &mut Vec<Finding>,
    location: &str,
    (old, new): (&[MessageDescriptor], &[MessageDescriptor]),
    is_outermost: bool,
) {
    let plain = |all: &[MessageDescriptor]| all.iter().filter(|one| !one.is_map_entry()).cloned().collect::<Vec<_>>();
    let (old, new) = (plain(old), plain(new));
    for (place, message) in old.iter().enumerate() {
        let location = format!("{location}/{}", message.name());
        let Some(now) = new.iter().position(|one| one.name() == message.name()) else {
            found.push(("MESSAGE_REMOVED", String::new(), location, false));
            continue;
        };
        if now != place {
            found.push(("MESSAGE_MOVED", String::new(), location.clone(), false));
        }
        // The event is of the first message, and of the others' places in data nothing is known.
        fields(found, &location, message, &new[now], is_outermost && place == 0);
        let (old, new): (Vec<_>, Vec<_>) = (message.child_messages().collect(), new[now].child_messages().collect());
        messages(found, &location, (&old, &new), false);
    }
    for message in new.iter().filter(|one| old.iter().all(|other| other.name() != one.name())) {
        found.push(("MESSAGE_ADDED", String::new(), format!("{location}/{}", message.name()), true));
    }
}

fn fields(
    found: &mut Vec<Finding>,
    location: &str,
    original: &MessageDescriptor,
    update: &MessageDescriptor,
    is_event: bool,
) {
    let mut moved: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    for old in original.fields() {
        let path = if is_event { trail::member("", old.json_name()) } else { String::new() };
        let location = format!("{location}/{}", old.number());
        let mut find = |name, is_allowed| found.push((name, path.clone(), location.clone(), is_allowed));
        let Some(new) = update.get_field(old.number()) else {
            match (old.is_required(), oneof(&old)) {
                (true, _) => find("REQUIRED_FIELD_REMOVED", false),
                (false, Some(_)) => find("ONEOF_FIELD_REMOVED", false),
                (false, None) => find("FIELD_REMOVED", true),
            }
            continue;
        };
        if old.name() != new.name() {
            find("FIELD_NAME_CHANGED", true);
        }
        match (oneof(&old), oneof(&new)) {
            (None, Some(one)) => {
                let is_new = !original.oneofs().any(|other| !other.is_synthetic() && other.name() == one);
                let (count, _) = moved.entry(one).or_insert((0, is_new));
                *count += 1;
            }
            (Some(_), None) => find("ONEOF_FIELD_REMOVED", false),
            (Some(was), Some(is)) if was != is => find("ONEOF_FIELD_REMOVED", false),
            _ => {}
        }
        shapes(&mut find, &old, &new);
    }
    for (one, (count, is_new)) in moved {
        let (name, is_allowed) = match (is_new, count) {
            (false, _) => ("FIELD_MOVED_TO_EXISTING_ONEOF", false),
            (true, 1) => ("ONEOF_ADDED", true),
            (true, _) => ("MULTIPLE_FIELDS_MOVED_TO_ONEOF", false),
        };
        found.push((name, String::new(), format!("{location}/{one}"), is_allowed));
    }
    for new in update.fields().filter(|field| original.get_field(field.number()).is_none()) {
        let path = if is_event { trail::member("", new.json_name()) } else { String::new() };
        let (name, is_allowed) = match new.is_required() {
            true => ("REQUIRED_FIELD_ADDED", false),
            false => ("FIELD_ADDED", true),
        };
        found.push((name, path, format!("{location}/{}", new.number()), is_allowed));
    }
}

/// What a field is, and how many of it.
fn shapes(find: &mut impl FnMut(&'static str, bool), old: &FieldDescriptor, new: &FieldDescriptor) {
    if old.is_map() != new.is_map() {
        return find("FIELD_KIND_CHANGED", false);
    }
    if let (true, Kind::Message(old), Kind::Message(new)) = (old.is_map(), old.kind(), new.kind()) {
        kinds(find, &old.map_entry_key_field().kind(), &new.map_entry_key_field().kind());
        return kinds(find, &old.map_entry_value_field().kind(), &new.map_entry_value_field().kind());
    }
    if old.is_list() != new.is_list() {
        // Of several the last one counts, which packed numbers are not.
        match new.kind() {
            Kind::String | Kind::Bytes | Kind::Message(_) => find("FIELD_STRING_OR_BYTES_LABEL_CHANGED", true),
            _ => find("FIELD_NUMERIC_LABEL_CHANGED", false),
        }
    }
    kinds(find, &old.kind(), &new.kind());
}

fn kinds(find: &mut impl FnMut(&'static str, bool), old: &Kind, new: &Kind) {
    match (old, new) {
        // What is in it is compared where it stands.
        (Kind::Message(old), Kind::Message(new)) if below_package(old) == below_package(new) => {}
        (Kind::Message(_), Kind::Message(_)) => find("FIELD_NAMED_TYPE_CHANGED", false),
        (Kind::Message(_), _) | (_, Kind::Message(_)) => find("FIELD_KIND_CHANGED", false),
        (old, new) if group(old) == group(new) => {}
        _ => find("FIELD_SCALAR_KIND_CHANGED", false),
    }
}

/// The name of a message within its package, whose change is told once.
fn below_package(message: &MessageDescriptor) -> &str {
    message.full_name().strip_prefix(message.package_name()).unwrap_or(message.full_name()).trim_start_matches('.')
}

/// Kinds that are read one for the other.
fn group(kind: &Kind) -> u8 {
    match kind {
        Kind::Int32 | Kind::Uint32 | Kind::Int64 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => 0,
        Kind::Sint32 | Kind::Sint64 => 1,
        Kind::String | Kind::Bytes => 2,
        Kind::Fixed32 | Kind::Sfixed32 => 3,
        Kind::Fixed64 | Kind::Sfixed64 => 4,
        Kind::Float => 5,
        Kind::Double => 6,
        Kind::Message(_) => 7,
    }
}

/// The oneof that a field stands in.
fn oneof(field: &FieldDescriptor) -> Option<String> {
    field.containing_oneof().filter(|one| !one.is_synthetic()).map(|one| one.name().to_owned())
}

#[cfg(test)]
mod tests {
    use crate::protobuf::ProtobufSchema;

    #[test]
    fn files_are_compared_by_their_rules() {
        let file = |package: &str, rest: &str| format!("syntax = \"proto3\"; {package} {rest}");
        let three = |rest: &str| file("", rest);
        let two = |rest: &str| format!("syntax = \"proto2\"; {rest}");
        for (older, newer, backward, forward) in [
            (three("message A{int32 a=1;}"), three("message A{int32 a=1;string b=2;}"), "", ""),
            (three("message A{int32 a=1;}"), three("message A{int32 z=1;}"), "", ""),
            (three("message A{int32 a=1;}"), three("message A{int64 a=1;}"), "", ""),
            (three("message A{string a=1;}"), three("message A{bytes a=1;}"), "", ""),
            (
                three("message A{int32 a=1;}"),
                three("message A{string a=1;}"),
                "FIELD_SCALAR_KIND_CHANGED",
                "FIELD_SCALAR_KIND_CHANGED",
            ),
            (
                three("message A{int32 a=1;}"),
                three("message A{sint32 a=1;}"),
                "FIELD_SCALAR_KIND_CHANGED",
                "FIELD_SCALAR_KIND_CHANGED",
            ),
            (three("message A{A a=1;}"), three("message A{string a=1;}"), "FIELD_KIND_CHANGED", "FIELD_KIND_CHANGED"),
            (three("message A{int32 a=1;} message B{}"), three("message A{int32 a=1;}"), "MESSAGE_REMOVED", ""),
            (three("message A{} message B{}"), three("message B{} message A{}"), "MESSAGE_MOVED", "MESSAGE_MOVED"),
            (three("message A{message B{}}"), three("message A{}"), "MESSAGE_REMOVED", ""),
            (
                file("package a;", "message A{A a=1;}"),
                file("package b;", "message A{A a=1;}"),
                "PACKAGE_CHANGED",
                "PACKAGE_CHANGED",
            ),
            (three("message A{int32 a=1;}"), three("message A{oneof o{int32 a=1;}}"), "", "ONEOF_FIELD_REMOVED"),
            (
                three("message A{int32 a=1;int32 b=2;}"),
                three("message A{oneof o{int32 a=1;int32 b=2;}}"),
                "MULTIPLE_FIELDS_MOVED_TO_ONEOF",
                "ONEOF_FIELD_REMOVED",
            ),
            (
                three("message A{int32 a=1;oneof o{int32 b=2;}}"),
                three("message A{oneof o{int32 a=1;int32 b=2;}}"),
                "FIELD_MOVED_TO_EXISTING_ONEOF",
                "ONEOF_FIELD_REMOVED",
            ),
            (
                three("message A{oneof o{int32 a=1;int32 b=2;}}"),
                three("message A{oneof o{int32 a=1;}}"),
                "ONEOF_FIELD_REMOVED",
                "",
            ),
            (
                three("message A{int32 a=1;}"),
                three("message A{repeated int32 a=1;}"),
                "FIELD_NUMERIC_LABEL_CHANGED",
                "FIELD_NUMERIC_LABEL_CHANGED",
            ),
            (three("message A{string a=1;}"), three("message A{repeated string a=1;}"), "", ""),
            (three("message A{E e=1;} enum E{X=0;Y=1;}"), three("message A{E e=1;} enum E{X=0;}"), "", ""),
            (three("message A{int32 a=1;}"), three("message A{reserved 1;}"), "", ""),
            (
                two("message A{optional int32 a=1;}"),
                two("message A{optional int32 a=1;required int32 b=2;}"),
                "REQUIRED_FIELD_ADDED",
                "REQUIRED_FIELD_REMOVED",
            ),
            (
                three("message A{map<string,int32> a=1;}"),
                three("message A{map<string,string> a=1;}"),
                "FIELD_SCALAR_KIND_CHANGED",
                "FIELD_SCALAR_KIND_CHANGED",
            ),
            (
                three("message A{B b=1;} message B{int32 a=1;} message C{}"),
                three("message A{C b=1;} message B{int32 a=1;} message C{}"),
                "FIELD_NAMED_TYPE_CHANGED",
                "FIELD_NAMED_TYPE_CHANGED",
            ),
        ] {
            let parse = |text: &str| ProtobufSchema::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
            let changes = parse(&newer).changes_by_confluent(&parse(&older));
            let name = |of: fn(&crate::Change) -> bool| {
                let first = changes.iter().find(|change| of(change));
                first.map_or("", |change| change.sentence.split(':').next().unwrap_or_default()).to_owned()
            };
            assert_eq!(
                (&*name(|one| one.breaks_backward), &*name(|one| one.breaks_forward)),
                (backward, forward),
                "{older} {newer} {changes:?}"
            );
        }
    }
}
