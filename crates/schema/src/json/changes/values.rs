//! Changes of what a single value may be: its type, its bounds, the values that are listed.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{Breaks, Comparison, subject, word};
use crate::json::document::shortened;
use crate::json::facts::{Amount, Facts, LIMITS, Types};

impl<'a> Comparison<'a> {
    /// Compares types. Returns whether they have one in common.
    pub(super) fn types(&mut self, path: &str, was: Types, is: Types) -> bool {
        let (gone, added) = (was.without(is), is.without(was));
        let name = subject(path);
        let has_common = was.meets(is);
        let found = format!("finds {} there", was.words());
        let cast = format!(
            "keep {}, describe the new values in a field of their own, or register an upcaster that casts or maps {name}",
            was.words()
        );
        match (gone.is_none(), added.is_none()) {
            (true, true) => {}
            // Nothing was allowed, or nothing is.
            _ if was.is_none() => {
                let what = format!("{name} was not allowed and may be {} now", is.words());
                let breaks = Breaks { backward: None, forward: Some("does not allow it") };
                self.tell(path, what, breaks, "leave it out, or let those readers take the new schema first");
            }
            _ if is.is_none() => {
                let what = format!("{name} is no longer allowed, and may have been {}", was.words());
                let breaks = Breaks { backward: Some("may find it there"), forward: None };
                self.tell(path, what, breaks, &format!("allow it, or register an upcaster that drops {name}"));
            }
            (true, false) => {
                let what = format!("{name} may be {} now and was {}", is.words(), was.words());
                let breaks =
                    Breaks { backward: None, forward: Some("may find values of a type that it does not know") };
                self.tell(
                    path,
                    what,
                    breaks,
                    "use a new field for the new values, or let those readers take the new schema first",
                );
            }
            (false, true) => {
                let what = format!("{name} is {} now and may have been {}", is.words(), was.words());
                let breaks = Breaks { backward: Some("may find the others there"), forward: None };
                self.tell(path, what, breaks, &cast);
            }
            (false, false) => {
                let what = format!("{name} is {} now and was {}", is.words(), was.words());
                let breaks = Breaks { backward: Some(&found), forward: Some("finds another type there") };
                self.tell(path, what, breaks, &cast);
            }
        }
        has_common
    }

    /// Compares everything else that is said of a value itself.
    pub(super) fn values(&mut self, path: &str, was: &Facts<'a>, is: &Facts<'a>) {
        let both = was.types().and(is.types());
        let has_lists = self.listed(path, was, is);
        // Lists have taken over the bounds that stand beside them.
        if both.meets(Types::NUMBER) && !has_lists {
            let word = |end: Option<crate::json::facts::End>| end.map_or("none".to_owned(), |end| end.word());
            let (older, newer) = (was.lower, is.lower);
            self.ordered(path, "minimum", compare(older, newer, |a, b| a.cmp_lower(*b)), word(older), word(newer));
            let (older, newer) = (was.upper, is.upper);
            self.ordered(path, "maximum", compare(older, newer, |a, b| a.cmp_upper(*b)), word(older), word(newer));
        }
        if both.meets(Types::NUMBER) {
            self.multiples(path, &was.multiples, &is.multiples);
        }
        for (keyword, is_minimum, types) in LIMITS {
            if !both.meets(types) || has_lists && types == Types::STRING {
                continue;
            }
            let (older, newer) = (was.limits.get(keyword).copied(), is.limits.get(keyword).copied());
            let (older, newer) = if is_minimum {
                // None at all is a minimum of zero.
                (older.filter(|least| *least > 0), newer.filter(|least| *least > 0))
            } else {
                (older, newer)
            };
            let word = |limit: Option<u64>| limit.map_or("none".to_owned(), |limit| limit.to_string());
            let order = compare(older, newer, |a, b| if is_minimum { a.cmp(b) } else { b.cmp(a) });
            self.ordered(path, keyword, order, word(older), word(newer));
        }
        if both.meets(Types::STRING) && was.patterns != is.patterns {
            let told = |facts: &Facts<'_>| {
                let patterns: Vec<_> =
                    facts.patterns.iter().map(|pattern| format!("`{}`", shortened(pattern))).collect();
                if patterns.is_empty() { "none".to_owned() } else { patterns.join(" and ") }
            };
            let change = format!("{} where it was {}", told(is), told(was));
            match (was.patterns.is_subset(&is.patterns), is.patterns.is_subset(&was.patterns)) {
                (true, _) => self.tightened(path, "pattern", &change),
                (_, true) => self.loosened(path, "pattern", &change),
                _ => self.other(path, "pattern", &change),
            }
        }
        if both.meets(Types::ARRAY) && was.is_unique != is.is_unique {
            match is.is_unique {
                true => self.tightened(path, "uniqueItems", "it is new"),
                false => self.loosened(path, "uniqueItems", "it is gone"),
            }
        }
        if was.formats != is.formats {
            let told =
                |facts: &Facts<'_>| facts.formats.iter().map(|one| shortened(one)).collect::<Vec<_>>().join(" and ");
            let (older, newer) = (told(was), told(is));
            let or_none = |format: String| if format.is_empty() { "none".to_owned() } else { format!("`{format}`") };
            let what = format!(
                "{} has the format {} where it had {}, which says what it means and is not enforced",
                subject(path),
                or_none(newer),
                or_none(older)
            );
            self.tell(path, what, Breaks::default(), "");
        }
        if was.default.is_some() && is.default.is_some() && was.default != is.default {
            let told = |facts: &Facts<'_>| facts.default.map(word).unwrap_or_default();
            let what = format!("{} has the default {} where it had {}", subject(path), told(is), told(was));
            self.tell(path, what, Breaks::default(), "");
        }
    }

    /// Compares lists of values. Returns whether both have one.
    fn listed(&mut self, path: &str, was: &Facts<'a>, is: &Facts<'a>) -> bool {
        const TOLD: usize = 5;
        let name = subject(path);
        let told = |values: &[&&'a Value]| {
            let mut told = values.iter().take(TOLD).map(|value| word(value)).collect::<Vec<_>>().join(", ");
            if values.len() > TOLD {
                told.push_str(&format!(" and {} others", values.len() - TOLD));
            }
            told
        };
        let missing = |from: &BTreeMap<String, &'a Value>, of: &BTreeMap<String, &'a Value>| {
            of.iter().filter(|(key, _)| !from.contains_key(*key)).map(|(_, value)| *value).collect::<Vec<&'a Value>>()
        };
        let ways = format!("keep the old values, or register an upcaster that maps {name}");
        match (&was.values, &is.values) {
            (None, None) => return false,
            (None, Some(values)) => {
                let values: Vec<_> = values.values().collect();
                // The types tell it where they leave nothing else.
                let what = format!("{name} is one of the listed values only now: {}", told(&values));
                let breaks = Breaks { backward: Some("may find others there"), forward: None };
                self.tell(path, what, breaks, &ways);
                return true;
            }
            (Some(_), None) => {
                let what = format!("{name} may be any value now, where only listed ones were allowed");
                let breaks = Breaks { backward: None, forward: Some("may find one that is not in its list") };
                self.tell(path, what, breaks, "list them still, or let those readers take the new schema first");
                // What was listed has to be within the new bounds.
                let left: Vec<_> =
                    was.values.iter().flat_map(BTreeMap::values).filter(|value| !is.allows(value)).collect();
                let left: Vec<_> = left.into_iter().filter(|value| is.types().meets(Types::of(value))).collect();
                if !left.is_empty() {
                    let what = format!("{name} has bounds now that exclude {}", told(&left));
                    let breaks = Breaks { backward: Some("may find that there"), forward: None };
                    self.tell(path, what, breaks, &ways);
                }
            }
            (Some(older), Some(newer)) => {
                let gone = missing(newer, older);
                if !gone.is_empty() {
                    let what = format!("{name} may no longer be {}", told(&gone.iter().collect::<Vec<_>>()));
                    let breaks = Breaks { backward: Some("may find that there"), forward: None };
                    self.tell(path, what, breaks, &ways);
                }
                let added = missing(older, newer);
                if !added.is_empty() {
                    let what = format!("{name} may also be {} now", told(&added.iter().collect::<Vec<_>>()));
                    let breaks = Breaks { backward: None, forward: Some("does not know that") };
                    self.tell(path, what, breaks, "let those readers take the new schema first");
                }
            }
        }
        true
    }

    fn multiples(&mut self, path: &str, was: &[Amount], is: &[Amount]) {
        let told = |multiples: &[Amount]| {
            let words: Vec<_> = multiples.iter().map(|one| one.word()).collect();
            if words.is_empty() { "none".to_owned() } else { words.join(" and ") }
        };
        // Everything that the one list wants follows from the other.
        let follows = |wanted: &[Amount], from: &[Amount]| {
            wanted.iter().all(|wanted| from.iter().any(|from| from.is_multiple_of(*wanted)))
        };
        let change = format!("{} where it was {}", told(is), told(was));
        match (follows(is, was), follows(was, is)) {
            (true, true) => {}
            (true, false) => self.loosened(path, "multipleOf", &change),
            (false, true) => self.tightened(path, "multipleOf", &change),
            (false, false) => self.other(path, "multipleOf", &change),
        }
    }

    fn ordered(&mut self, path: &str, keyword: &str, order: Ordering, was: String, is: String) {
        let change = format!("{is} where it was {was}");
        match order {
            Ordering::Equal => {}
            Ordering::Less => self.tightened(path, keyword, &change),
            Ordering::Greater => self.loosened(path, keyword, &change),
        }
    }

    /// A rule allows less than it did.
    pub(super) fn tightened(&mut self, path: &str, keyword: &str, change: &str) {
        let name = subject(path);
        let what = format!("{name} has a tighter `{keyword}`, {change}");
        let breaks = Breaks { backward: Some("may find values that it does not allow"), forward: None };
        let ways =
            format!("leave the rule as it was, or register an upcaster that brings old values of {name} within it");
        self.tell(path, what, breaks, &ways);
    }

    /// A rule allows more than it did.
    pub(super) fn loosened(&mut self, path: &str, keyword: &str, change: &str) {
        let what = format!("{} has a looser `{keyword}`, {change}", subject(path));
        let breaks = Breaks { backward: None, forward: Some("may find values that it does not allow") };
        self.tell(path, what, breaks, "leave the rule as it was, or let those readers take the new schema first");
    }

    fn other(&mut self, path: &str, keyword: &str, change: &str) {
        let name = subject(path);
        let what = format!("{name} has another `{keyword}`, {change}");
        let breaks = Breaks { backward: Some("may find values that it does not allow"), forward: Some("may too") };
        let ways =
            format!("leave the rule as it was, or register an upcaster that brings old values of {name} within it");
        self.tell(path, what, breaks, &ways);
    }
}

/// How an older bound stands to a newer one: less where the newer allows less. `order` is greater the tighter a bound is.
fn compare<T>(older: Option<T>, newer: Option<T>, order: impl Fn(&T, &T) -> Ordering) -> Ordering {
    match (older, newer) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(older), Some(newer)) => order(&older, &newer),
    }
}
