//! The rules by which Confluent's registry compares JSON Schemas, for subjects whose level was set through its surface.
//!
//! They ask whether every document that the one schema allows is allowed by the other, and not, as [`crate::format`] does,
//! whether a reader that ignores what it does not know still finds what it needs. So the *content model* of an object
//! counts: an open one (which is what JSON Schema has where nothing is said) allows any value under a name that is not
//! described, so that to describe one more property narrows it; a closed one (`additionalProperties: false`) does not
//! allow what is no longer described; a partially open one (`patternProperties`, or a schema as `additionalProperties`)
//! is looked up for what covers the property.
//!
//! Backward is that the newer schema allows what the older one did, forward is the same with the sides swapped. Each
//! difference has one of the names that the registry's users know; [`Change::sentence`] begins with it.

mod compare;
mod object;
#[cfg(feature = "protobuf")]
pub(crate) mod protobuf;
mod view;

use serde_json::Value;

use crate::compat::Change;
use crate::difference::{DIFFERENCES_MAX, Difference};
use compare::{Comparison, Finding};

/// What changed between two JSON Schemas, and whom it breaks by the rules of Confluent's registry.
pub fn changes(older: &Value, newer: &Value) -> Vec<Change> {
    let backward = Comparison::new(older, newer).findings();
    let forward = Comparison::new(newer, older).findings();
    let mut changes: Vec<Change> = backward.iter().map(|finding| told(finding, false)).collect();
    // What is allowed in this direction was told by the other one.
    changes.extend(forward.iter().filter(|finding| !finding.is_allowed).map(|finding| told(finding, true)));
    if changes.len() > DIFFERENCES_MAX {
        changes.truncate(DIFFERENCES_MAX);
        changes.push(Difference::more().into());
    }
    changes
}

/// The differences between two files of Protobuf, of the one direction and of the other.
#[cfg(feature = "protobuf")]
fn told_of(backward: &[protobuf::Finding], forward: &[protobuf::Finding]) -> Vec<Change> {
    let told = |(name, path, location, is_allowed): &protobuf::Finding, is_forward: bool| {
        let finding = Finding { name, path: path.clone(), location: location.clone(), is_allowed: *is_allowed };
        told(&finding, is_forward)
    };
    let backward = backward.iter().map(|finding| told(finding, false));
    let forward = forward.iter().filter(|(.., is_allowed)| !is_allowed).map(|finding| told(finding, true));
    let mut changes: Vec<Change> = backward.chain(forward).collect();
    if changes.len() > DIFFERENCES_MAX {
        changes.truncate(DIFFERENCES_MAX);
        changes.push(Difference::more().into());
    }
    changes
}

fn told(finding: &Finding, is_forward: bool) -> Change {
    // The reader's schema has to allow what the writer's does.
    let (writer, reader) = if is_forward { ("newer", "older") } else { ("older", "newer") };
    let what = format!("{}, at `{}`", words(finding.name, writer, reader), finding.location);
    let difference = Difference::new(&finding.path, what);
    let refuse = "refuse documents that the other schema allows";
    let difference = match (finding.is_allowed, is_forward) {
        (true, _) => difference,
        (false, false) => difference.backward(refuse),
        (false, true) => difference.forward(refuse),
    };
    let is_word = ["ID_CHANGED", "TITLE_CHANGED", "DESCRIPTION_CHANGED", "DEFAULT_CHANGED"].contains(&finding.name);
    let change = Change::from(if is_word { difference.invisible() } else { difference });
    Change { sentence: format!("{}: {}", finding.name, change.sentence), ..change }
}

/// What a name says, as the rest of a sentence.
fn words(name: &str, writer: &str, reader: &str) -> String {
    match name {
        "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL" | "ITEM_ADDED_TO_OPEN_CONTENT_MODEL" => format!(
            "is described by the {reader} schema and not by the {writer} one, whose content model is open and so allows \
             anything there; describe it from the first version on, or close the content model before"
        ),
        "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL" | "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL" => format!(
            "is described by the {writer} schema and not by the {reader} one, whose content model is closed and so does not \
             allow it"
        ),
        "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL" => {
            format!("is required by the {reader} schema, has no default, and is not described by the {writer} one")
        }
        "REQUIRED_ATTRIBUTE_ADDED" => {
            format!("is required by the {reader} schema and not by the {writer} one, and has no default")
        }
        "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
        | "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" => format!(
            "is described by the {writer} schema, and what the {reader} one says of everything that it does not name does \
             not allow all of it"
        ),
        "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
        | "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" => format!(
            "is described by the {reader} schema, and the {writer} one, by what it says of everything that it does not \
             name, allows more there"
        ),
        "COMBINED_TYPE_SUBSCHEMAS_CHANGED" => {
            format!("has alternatives in the {writer} schema that none in the {reader} one allows")
        }
        "FIELD_NAME_CHANGED" => format!("has another name in the {reader} schema than in the {writer} one"),
        "MESSAGE_MOVED" => {
            format!("has a message that stands in another place of the {reader} schema than of the {writer} one")
        }
        "MULTIPLE_FIELDS_MOVED_TO_ONEOF" | "FIELD_MOVED_TO_EXISTING_ONEOF" => {
            format!("has fields in one `oneof` of the {reader} schema that the {writer} one allows side by side")
        }
        "TYPE_CHANGED" => format!("is of other types in the {reader} schema than in the {writer} one"),
        name => {
            let said = [
                ("_ADDED", "has a rule that"),
                ("_REMOVED", "no longer has a rule that"),
                ("_NARROWED", "allows less than"),
                ("_EXTENDED", "has more in it than"),
                ("_INCREASED", "has a higher bound than"),
                ("_DECREASED", "has a lower bound than"),
                ("_REDUCED", "has a finer step than"),
                ("_EXPANDED", "has a coarser step than"),
            ];
            let said = said.iter().find(|(end, _)| name.ends_with(end)).map(|(_, said)| *said);
            let rule = name.rsplit_once('_').map_or(name, |(rule, _)| rule).to_lowercase().replace('_', " ");
            match said {
                Some(said @ ("has a rule that" | "no longer has a rule that")) => {
                    format!(
                        "{said} the {writer} schema {} ({rule})",
                        if said.starts_with("has") { "lacks" } else { "has" }
                    )
                }
                Some(said) => format!("{said} in the {writer} schema ({rule})"),
                None => format!("is not the same in both schemas ({rule})"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
