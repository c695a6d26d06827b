//! Compares what objects and lists may hold, by their content models.

use std::collections::{BTreeMap, BTreeSet};

use regex::RegexBuilder;
use serde_json::Value;

use super::compare::{At, Comparison};
use super::view::{Model, View};
use crate::trail;

/// How large the machine of a pattern may become.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

impl<'a> Comparison<'a> {
    pub(super) fn object(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        self.rest(
            at,
            (original, original.get("additionalProperties")),
            (update, update.get("additionalProperties")),
            "additionalProperties",
            [
                "ADDITIONAL_PROPERTIES_ADDED",
                "ADDITIONAL_PROPERTIES_REMOVED",
                "ADDITIONAL_PROPERTIES_EXTENDED",
                "ADDITIONAL_PROPERTIES_NARROWED",
            ],
        );
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (original.members("properties").collect(), update.members("properties").collect());
        let (old_required, new_required) = (original.texts("required"), update.texts("required"));
        for (name, was) in &old {
            let at = at.property(name);
            match new.get(name) {
                Some(is) => self.pair(&at, *was, *is),
                None => self.removed_property(&at, name, *was, update),
            }
        }
        for (name, is) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            self.added_property(&at.property(name), name, *is, original, new_required.contains(name.as_str()));
        }
        let everywhere = |name: &str| old.contains_key(&name.to_owned()) || !new.contains_key(&name.to_owned());
        for name in new_required.difference(&old_required).filter(|name| everywhere(name)) {
            let has_default = new.get(&(*name).to_owned()).is_some_and(View::has_default);
            let kind = if has_default { "REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED" } else { "REQUIRED_ATTRIBUTE_ADDED" };
            let at = At {
                path: trail::member(&at.path, name),
                location: trail::member(&at.rule("required").location, name),
            };
            self.find(&at, kind, has_default);
        }
        for name in old_required.difference(&new_required) {
            let at = At {
                path: trail::member(&at.path, name),
                location: trail::member(&at.rule("required").location, name),
            };
            self.find(&at, "REQUIRED_ATTRIBUTE_REMOVED", true);
        }
        self.dependencies(at, original, update);
    }

    fn removed_property(&mut self, at: &At, name: &str, was: View<'a>, update: View<'a>) {
        match update.object_model() {
            Model::Open => self.find(at, "PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL", true),
            Model::Closed if was.is_nothing() => {
                self.find(at, "PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL", true);
            }
            Model::Closed => self.find(at, "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", false),
            Model::Partial => {
                let covers = self.covering(update, name);
                let is_covered = covers.is_none_or(|covers| self.allows(at, was, covers));
                let kind = match is_covered {
                    true => "PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                    false => "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                };
                self.find(at, kind, is_covered);
            }
        }
    }

    fn added_property(&mut self, at: &At, name: &str, is: View<'a>, original: View<'a>, is_required: bool) {
        let model = original.object_model();
        match model {
            Model::Open if is.is_anything() => {
                self.find(at, "PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL", true)
            }
            Model::Open => return self.find(at, "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", false),
            Model::Partial => {
                let covers = self.covering(original, name);
                let is_covered = match covers {
                    Some(covers) => self.allows(at, covers, is),
                    None => is.is_anything(),
                };
                let kind = match is_covered {
                    true => "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                    false => "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                };
                self.find(at, kind, is_covered);
            }
            Model::Closed => {}
        }
        match (is_required, is.has_default()) {
            (true, true) => self.find(at, "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL", true),
            (true, false) => self.find(at, "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", false),
            (false, _) if model != Model::Open => {
                self.find(at, "OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", true);
            }
            (false, _) => {}
        }
    }

    /// What a partially open content model says of a property that it does not describe; `None` where it allows anything.
    fn covering(&mut self, view: View<'a>, name: &str) -> Option<View<'a>> {
        for (pattern, part) in view.members("patternProperties") {
            if !self.may_try_pattern() {
                break;
            }
            let regex = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
            if regex.is_ok_and(|regex| regex.is_match(name)) {
                return Some(part);
            }
        }
        view.get("additionalProperties").map(|rest| view.part(rest))
    }

    /// What is allowed besides what is described: everything where nothing is said.
    fn rest(
        &mut self,
        at: &At,
        (original, old): (View<'a>, Option<&'a Value>),
        (update, new): (View<'a>, Option<&'a Value>),
        rule: &str,
        [added, removed, extended, narrowed]: [&'static str; 4],
    ) {
        if old.is_none() && new.is_none() {
            return;
        }
        let at = At { path: trail::items(&at.path), location: at.rule(rule).location };
        let seen = |view: View<'a>, value: Option<&'a Value>| {
            let part = value.map(|value| view.part(value));
            match part {
                Some(part) if part.is_nothing() => (Model::Closed, None),
                Some(part) if !part.is_anything() => (Model::Partial, Some(part)),
                _ => (Model::Open, None),
            }
        };
        match (seen(original, old), seen(update, new)) {
            ((Model::Closed, _), (Model::Open, _)) => self.find(&at, added, true),
            ((Model::Open, _), (Model::Closed, _)) | ((Model::Partial, _), (Model::Closed, _)) => {
                self.find(&at, removed, false);
            }
            ((Model::Closed, _), (Model::Partial, _)) | ((Model::Partial, _), (Model::Open, _)) => {
                self.find(&at, extended, true);
            }
            ((Model::Open, _), (Model::Partial, _)) => self.find(&at, narrowed, false),
            ((Model::Partial, Some(old)), (Model::Partial, Some(new))) => self.pair(&at, old, new),
            _ => {}
        }
    }

    pub(super) fn list(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        match (
            original.get("uniqueItems") == Some(&Value::Bool(true)),
            update.get("uniqueItems") == Some(&Value::Bool(true)),
        ) {
            (false, true) => self.find(&at.rule("uniqueItems"), "UNIQUE_ITEMS_ADDED", false),
            (true, false) => self.find(&at.rule("uniqueItems"), "UNIQUE_ITEMS_REMOVED", true),
            _ => {}
        }
        let every = At { path: trail::items(&at.path), location: at.rule("items").location };
        match (original.every_item(), update.every_item()) {
            (Some(old), Some(new)) => return self.pair(&every, old, new),
            (None, Some(new)) if original.first_items().is_empty() => {
                let is_anything = new.is_anything();
                return self.find(&every, "SCHEMA_ADDED", is_anything);
            }
            (Some(_), None) if update.first_items().is_empty() => return self.find(&every, "SCHEMA_REMOVED", true),
            (None, None) => {}
            // One item after the other on the one side, and all alike on the other.
            _ => return self.find(&every, "TYPE_CHANGED", false),
        }
        let (old, new) = (original.first_items(), update.first_items());
        if old.is_empty() && new.is_empty() {
            return;
        }
        self.rest(
            at,
            (original, original.get(original.rest_rule())),
            (update, update.get(update.rest_rule())),
            update.rest_rule(),
            [
                "ADDITIONAL_ITEMS_ADDED",
                "ADDITIONAL_ITEMS_REMOVED",
                "ADDITIONAL_ITEMS_EXTENDED",
                "ADDITIONAL_ITEMS_NARROWED",
            ],
        );
        for index in 0..old.len().max(new.len()) {
            let at = At { path: format!("{}/{index}", at.path), location: format!("{}/{index}", every.location) };
            match (old.get(index), new.get(index)) {
                (Some(old), Some(new)) => self.pair(&at, *old, *new),
                (Some(old), None) => self.removed_item(&at, *old, update),
                (None, Some(new)) => self.added_item(&at, *new, original),
                (None, None) => {}
            }
        }
    }

    fn removed_item(&mut self, at: &At, was: View<'a>, update: View<'a>) {
        match update.list_model() {
            Model::Open => self.find(at, "ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL", true),
            Model::Closed if was.is_nothing() => {
                self.find(at, "ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL", true)
            }
            Model::Closed => self.find(at, "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL", false),
            Model::Partial => {
                let rest = update.get(update.rest_rule()).map(|rest| update.part(rest));
                let is_covered = rest.is_none_or(|rest| self.allows(at, was, rest));
                let kind = match is_covered {
                    true => "ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                    false => "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                };
                self.find(at, kind, is_covered);
            }
        }
    }

    fn added_item(&mut self, at: &At, is: View<'a>, original: View<'a>) {
        match original.list_model() {
            Model::Open if is.is_anything() => {
                self.find(at, "ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL", true)
            }
            Model::Open => self.find(at, "ITEM_ADDED_TO_OPEN_CONTENT_MODEL", false),
            Model::Closed => self.find(at, "ITEM_ADDED_TO_CLOSED_CONTENT_MODEL", true),
            Model::Partial => {
                let rest = original.get(original.rest_rule()).map(|rest| original.part(rest));
                let is_covered = rest.is_some_and(|rest| self.allows(at, rest, is));
                let kind = match is_covered {
                    true => "ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                    false => "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                };
                self.find(at, kind, is_covered);
            }
        }
    }

    fn dependencies(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        // The older spelling has both kinds under one name.
        let (old, new) = (needed(original), needed(update));
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let at = at.rule("dependencies");
            let at = At { path: trail::member(&at.path, name), location: trail::member(&at.location, name) };
            match (old.get(name), new.get(name)) {
                (None, Some(_)) => self.find(&at, "DEPENDENCY_ARRAY_ADDED", false),
                (Some(_), None) => self.find(&at, "DEPENDENCY_ARRAY_REMOVED", true),
                (Some(old), Some(new)) if old == new => {}
                (Some(old), Some(new)) if new.is_superset(old) => self.find(&at, "DEPENDENCY_ARRAY_EXTENDED", false),
                (Some(old), Some(new)) if old.is_superset(new) => self.find(&at, "DEPENDENCY_ARRAY_NARROWED", true),
                _ => self.find(&at, "DEPENDENCY_ARRAY_CHANGED", false),
            }
        }
        let (old, new) = (dependent(original), dependent(update));
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let at = At { path: at.path.clone(), location: trail::member(&at.rule("dependencies").location, name) };
            match (old.get(name), new.get(name)) {
                (None, Some(_)) => self.find(&at, "DEPENDENCY_SCHEMA_ADDED", false),
                (Some(_), None) => self.find(&at, "DEPENDENCY_SCHEMA_REMOVED", true),
                (Some(old), Some(new)) => self.pair(&at, *old, *new),
                (None, None) => {}
            }
        }
    }
}

/// What else has to be there where a property is.
fn needed<'a>(view: View<'a>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let rules = ["dependentRequired", "dependencies"].into_iter().filter_map(|rule| view.get(rule)?.as_object());
    let lists = rules.flatten().filter_map(|(name, list)| Some((name.as_str(), list.as_array()?)));
    lists.map(|(name, list)| (name, list.iter().filter_map(Value::as_str).collect())).collect()
}

/// What else the object has to be where a property is there.
fn dependent<'a>(view: View<'a>) -> BTreeMap<&'a str, View<'a>> {
    let members = view.members("dependentSchemas").chain(view.members("dependencies"));
    members.filter(|(_, part)| !part.value.is_array()).map(|(name, part)| (name.as_str(), part)).collect()
}
