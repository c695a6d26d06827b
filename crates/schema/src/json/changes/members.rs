//! Changes of the fields of an object.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Breaks, Comparison, subject};
use crate::json::document::{Document, escape};
use crate::json::facts::{Facts, Together, Types};

/// What a schema says of one member.
struct Member<'a> {
    together: Together<'a>,
    /// Whether it is named, and may be there.
    is_known: bool,
    /// Whether nothing may be there.
    is_forbidden: bool,
    is_required: bool,
    types: Types,
}

impl<'a> Comparison<'a> {
    /// Compares the fields of objects.
    pub(super) fn members(&mut self, path: &str, was: &Facts<'a>, is: &Facts<'a>) {
        let names: BTreeSet<&str> = was.names().union(&is.names()).copied().collect();
        let (mut gone, mut added) = (Vec::new(), Vec::new());
        for name in names {
            let (older, newer) = (self.member(self.older, was, name), self.member(self.newer, is, name));
            let path = format!("{path}/{}", escape(name));
            match (older.is_known, newer.is_known) {
                (true, true) => {
                    self.required(&path, &older, &newer);
                    self.schemas(&path, &older.together, &newer.together);
                }
                (true, false) => gone.push((name, path, older, newer)),
                (false, true) => added.push((name, path, older, newer)),
                (false, false) => self.unknown(&path, &older, &newer),
            }
        }
        let mut renamed: Vec<(&str, &str)> = Vec::new();
        for (from, _, older, _) in gone.iter().filter(|(_, _, older, _)| older.is_required) {
            let to = added.iter().find(|(to, _, _, newer)| {
                newer.is_required && newer.types == older.types && renamed.iter().all(|(_, taken)| taken != to)
            });
            renamed.extend(to.map(|(to, ..)| (*from, *to)));
        }
        for (name, at, older, newer) in &gone {
            let to = renamed.iter().find(|(from, _)| from == name).map(|(_, to)| format!("{path}/{}", escape(to)));
            self.gone(at, older, newer, to.as_deref());
        }
        for (name, at, older, newer) in &added {
            let from = renamed.iter().find(|(_, to)| to == name).map(|(from, _)| format!("{path}/{}", escape(from)));
            self.added(at, older, newer, from.as_deref());
        }
        self.others(path, was, is);
    }

    fn member(&mut self, document: &'a Document, facts: &Facts<'a>, name: &'a str) -> Member<'a> {
        let patterns = &mut self.patterns;
        let together = facts.member(name, &mut |pattern, name| {
            let compiled = patterns.entry(pattern).or_insert_with(|| {
                let translated = jsonschema_regex::to_rust_regex(pattern).ok()?;
                regex::Regex::new(&translated).ok()
            });
            // One that is not understood may match anything.
            compiled.as_ref().is_none_or(|pattern| pattern.is_match(name))
        });
        let own = Facts::of(document, &together, Types::ALL, &mut |_| false);
        let is_forbidden = own.types().is_none();
        Member {
            is_known: facts.names().contains(name) && !is_forbidden,
            is_forbidden,
            is_required: facts.required.contains(name),
            types: own.types(),
            together,
        }
    }

    fn required(&mut self, path: &str, older: &Member<'a>, newer: &Member<'a>) {
        let name = subject(path);
        match (older.is_required, newer.is_required) {
            (false, true) => {
                let what = format!("{name} is required now and was optional");
                let breaks = Breaks { backward: Some("may find none there"), forward: None };
                let ways = format!("leave it optional, or register an upcaster that sets {name}");
                self.tell(path, what, breaks, &ways);
            }
            (true, false) => {
                let what = format!("{name} is optional now and was required");
                let breaks = Breaks { backward: None, forward: Some("may find none there") };
                self.tell(path, what, breaks, "leave it required, or let those readers take the new schema first");
            }
            _ => {}
        }
    }

    fn gone(&mut self, path: &str, older: &Member<'a>, newer: &Member<'a>, renamed: Option<&str>) {
        let name = subject(path);
        let hint = renamed.map(|to| format!(" (renamed to `{to}`?)")).unwrap_or_default();
        let way = match renamed {
            Some(to) => format!("register an upcaster that moves {name} to `{to}`"),
            None => format!("register an upcaster that moves {name} to where its value belongs now, or drops it"),
        };
        if older.is_required {
            let what = format!("{name} is gone and was required{hint}");
            let breaks =
                Breaks { backward: Some("no longer sees what it says there"), forward: Some("finds none there") };
            self.tell(path, what, breaks, &format!("keep it, or {way}"));
        } else if newer.is_forbidden {
            let what = format!("{name} is gone and was optional, and no other fields are allowed");
            let breaks = Breaks { backward: Some("may find it there"), forward: None };
            self.tell(path, what, breaks, &format!("allow other fields, or register an upcaster that drops {name}"));
        } else {
            self.tell(path, format!("{name} is gone and was optional"), Breaks::default(), "");
        }
        if !newer.is_forbidden && !is_open(&newer.together) {
            self.schemas(path, &older.together, &newer.together);
        }
    }

    fn added(&mut self, path: &str, older: &Member<'a>, newer: &Member<'a>, renamed: Option<&str>) {
        let name = subject(path);
        let hint = renamed.map(|from| format!(" (renamed from `{from}`?)")).unwrap_or_default();
        let way = match renamed {
            Some(from) => format!("register an upcaster that moves `{from}` to {name}"),
            None => format!("register an upcaster that sets {name}"),
        };
        // A default tells a reader what to take for what is not there; it does not put it there.
        let breaks = Breaks {
            backward: newer.is_required.then_some("finds none there"),
            forward: older.is_forbidden.then_some("allows no other fields than its own"),
        };
        let kind = if newer.is_required { "required" } else { "optional" };
        let what = format!("{name} is new and {kind}{hint}");
        let ways = if newer.is_required {
            format!("make it optional, or {way}")
        } else {
            "leave it out, or let those readers take the new schema first".to_owned()
        };
        self.tell(path, what, breaks, &ways);
        // Data of an older schema that says what unknown fields hold may have one of this name.
        if !older.is_forbidden && !is_open(&older.together) {
            self.schemas(path, &older.together, &newer.together);
        }
    }

    /// Compares a member that one of the schemas forbids by its name, and that the other does not name.
    fn unknown(&mut self, path: &str, older: &Member<'a>, newer: &Member<'a>) {
        let name = subject(path);
        match (older.is_forbidden, newer.is_forbidden) {
            (false, true) => {
                let what = format!("{name} may not be there any more, and could");
                let breaks = Breaks { backward: Some("may find it there"), forward: None };
                self.tell(path, what, breaks, &format!("allow it, or register an upcaster that drops {name}"));
            }
            (true, false) => {
                let what = format!("{name} may be there, and could not");
                let breaks = Breaks { backward: None, forward: Some("does not allow it") };
                self.tell(path, what, breaks, "leave it out, or let those readers take the new schema first");
            }
            _ => {}
        }
    }

    /// Compares what is said of members that are not named.
    fn others(&mut self, path: &str, was: &Facts<'a>, is: &Facts<'a>) {
        let (older, newer) = (was.by_pattern(), is.by_pattern());
        if older.keys().ne(newer.keys()) {
            self.not_understood(path, "patternProperties");
        } else {
            for (pattern, older) in &older {
                if let Some(newer) = newer.get(pattern) {
                    self.schemas(&format!("{path}/*"), older, newer);
                }
            }
        }
        let name = subject(path);
        let (older, newer) = (was.rest(), is.rest());
        match (is_closed(&older), is_closed(&newer)) {
            (true, true) => {}
            (false, true) => {
                let what = format!("{name} may have no other fields than those that are named, and could");
                let breaks = Breaks { backward: Some("may find others there"), forward: None };
                let ways = "allow other fields (`additionalProperties`), or register an upcaster that drops those that were stored";
                self.tell(path, what, breaks, ways);
            }
            (true, false) => {
                let what = format!("{name} may have other fields than those that are named, and could not");
                let breaks = Breaks { backward: None, forward: Some("allows no others") };
                self.tell(path, what, breaks, "name the fields, or let those readers take the new schema first");
            }
            (false, false) => {
                if !is_open(&older) || !is_open(&newer) {
                    self.schemas(&format!("{path}/*"), &older, &newer);
                }
            }
        }
    }
}

/// Whether anything may be there.
fn is_open(together: &[&Value]) -> bool {
    together.iter().all(|schema| match schema {
        Value::Object(members) => members.is_empty(),
        other => **other == Value::Bool(true),
    })
}

/// Whether nothing may be there.
fn is_closed(together: &[&Value]) -> bool {
    together.contains(&&Value::Bool(false))
}
