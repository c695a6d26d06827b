//! Compares two schemas: whether what the one allows, the other allows too.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::view::View;
use crate::trail;

/// How many parts are compared, at most, whatever refers to what.
const STEPS_MAX: usize = 10_000;
/// As how many parts a pattern counts that is tried.
const PATTERN_STEPS: usize = 100;
/// How deep the comparison goes.
const DEPTH_MAX: usize = 64;

/// One difference.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Its name.
    pub(super) name: &'static str,
    /// Where in the data.
    pub(super) path: String,
    /// Where in the schemas.
    pub(super) location: String,
    /// Whether everything that was allowed still is.
    pub(super) is_allowed: bool,
}

/// Where a comparison is, in the data and in the schemas.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) path: String,
    pub(super) location: String,
}

impl At {
    /// The same value, in another place of the schema.
    pub(super) fn rule(&self, rule: &str) -> At {
        At { path: self.path.clone(), location: format!("{}/{rule}", self.location) }
    }

    pub(super) fn property(&self, name: &str) -> At {
        let location = trail::member(&format!("{}/properties", self.location), name);
        At { path: trail::member(&self.path, name), location }
    }
}

/// Two schemas that are compared.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    original: View<'a>,
    update: View<'a>,
    findings: Vec<Finding>,
    /// The pairs that are being compared, so that a schema which refers to itself comes to an end.
    open: Vec<(*const Value, *const Value)>,
    /// How often such a pair was met again, and taken to be allowed.
    assumed: usize,
    /// Of pairs that were compared before, whether the one allows the other.
    known: HashMap<(*const Value, *const Value), bool>,
    steps: usize,
}

impl<'a> Comparison<'a> {
    /// Whether `update` allows what `original` does.
    pub(super) fn new(original: &'a Value, update: &'a Value) -> Comparison<'a> {
        let (original, update) = (View::new(original), View::new(update));
        let (findings, open, known) = (Vec::new(), Vec::new(), HashMap::new());
        Comparison { original, update, findings, open, assumed: 0, known, steps: STEPS_MAX }
    }

    /// All differences.
    pub(super) fn findings(mut self) -> Vec<Finding> {
        let at = At { path: String::new(), location: "#".to_owned() };
        self.pair(&at, self.original, self.update);
        self.findings
    }

    pub(super) fn find(&mut self, at: &At, name: &'static str, is_allowed: bool) {
        let At { path, location } = at.clone();
        self.findings.push(Finding { name, path, location, is_allowed });
    }

    /// Whether a part of the update allows what a part of the original does; the differences are not kept.
    pub(super) fn allows(&mut self, at: &At, original: View<'a>, update: View<'a>) -> bool {
        let pair = (std::ptr::from_ref(original.value), std::ptr::from_ref(update.value));
        if let Some(is_allowed) = self.known.get(&pair) {
            return *is_allowed;
        }
        let (kept, assumed) = (self.findings.len(), self.assumed);
        self.pair(at, original, update);
        let is_allowed = self.findings[kept..].iter().all(|finding| finding.is_allowed);
        self.findings.truncate(kept);
        // What was allowed on the assumption that a pair which is still being compared will be, is not known yet.
        if !is_allowed || self.assumed == assumed {
            self.known.insert(pair, is_allowed);
        }
        is_allowed
    }

    /// Whether one more pattern may be tried.
    pub(super) fn may_try_pattern(&mut self) -> bool {
        let may = self.steps >= PATTERN_STEPS;
        self.steps = self.steps.saturating_sub(PATTERN_STEPS);
        may
    }

    /// Compares two parts.
    pub(super) fn pair(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        let pair = (std::ptr::from_ref(original.value), std::ptr::from_ref(update.value));
        if self.open.contains(&pair) {
            self.assumed += 1;
            return;
        }
        if self.steps == 0 || self.open.len() == DEPTH_MAX {
            // What could not be compared to its end is not known to be allowed.
            return self.find(at, "TYPE_CHANGED", false);
        }
        self.steps -= 1;
        self.open.push(pair);
        self.parts(at, original, update);
        self.open.pop();
    }

    fn parts(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        self.words(at, original, update);
        if original.is_nothing() {
            return;
        }
        if update.is_anything() {
            return if !original.is_anything() {
                self.find(at, "TYPE_EXTENDED", true)
            };
        }
        if original.is_anything() || update.is_nothing() {
            return self.find(at, "TYPE_CHANGED", false);
        }
        let is_reference = |view: View<'_>| view.get("$ref").is_some();
        if is_reference(original) || is_reference(update) {
            // What lies outside the documents is the same under the same name.
            if original.get("$ref") != update.get("$ref") {
                self.find(at, "TYPE_CHANGED", false);
            }
            return;
        }
        if !self.types(at, original, update) {
            return;
        }
        self.values(at, original, update);
        self.bounds(at, original, update);
        self.patterns(at, original, update);
        self.object(at, original, update);
        self.list(at, original, update);
        self.combined(at, original, update);
        for rule in ["if", "then", "else", "contains", "unevaluatedProperties", "unevaluatedItems", "propertyNames"] {
            if original.get(rule) != update.get(rule) {
                let is_allowed = update.get(rule).is_none() && !["then", "else"].contains(&rule);
                self.find(
                    &at.rule(rule),
                    if is_allowed { "SCHEMA_REMOVED" } else { "COMBINED_TYPE_CHANGED" },
                    is_allowed,
                );
            }
        }
    }

    fn words(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        for (rule, name) in [
            ("$id", "ID_CHANGED"),
            ("title", "TITLE_CHANGED"),
            ("description", "DESCRIPTION_CHANGED"),
            ("default", "DEFAULT_CHANGED"),
        ] {
            if original.get(rule) != update.get(rule) {
                self.find(&at.rule(rule), name, true);
            }
        }
    }

    /// Whether the types have anything in common that is worth being compared further.
    fn types(&mut self, at: &At, original: View<'a>, update: View<'a>) -> bool {
        let (Some((old, old_whole)), Some((new, new_whole))) = (original.types(), update.types()) else { return true };
        let is_one = old.len() == 1 && new.len() == 1;
        if old == new && (old_whole == new_whole || !old.contains("number")) {
            return true;
        }
        let (grows, shrinks) = (new.is_superset(&old), old.is_superset(&new));
        let (widens, narrows) = (old_whole && !new_whole, new_whole && !old_whole && old.contains("number"));
        if grows && !narrows {
            let name = if is_one { "TYPE_EXTENDED" } else { "SUM_TYPE_EXTENDED" };
            self.find(at, name, true);
            return true;
        }
        if shrinks && !(widens && new.contains("number")) || grows && narrows {
            let name = if is_one { "TYPE_NARROWED" } else { "SUM_TYPE_NARROWED" };
            self.find(at, name, false);
            return true;
        }
        self.find(at, "TYPE_CHANGED", false);
        false
    }

    fn values(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        let (name, is_allowed) = match (original.values(), update.values()) {
            (None, None) => return,
            (Some(_), None) => ("ENUM_ARRAY_EXTENDED", true),
            (None, Some(_)) => ("ENUM_ARRAY_NARROWED", false),
            (Some(old), Some(new)) => {
                let set = |values: Vec<&Value>| values.into_iter().map(Value::to_string).collect::<BTreeSet<String>>();
                let (old, new) = (set(old), set(new));
                match (new.is_superset(&old), old.is_superset(&new)) {
                    (true, true) => return,
                    (true, false) => ("ENUM_ARRAY_EXTENDED", true),
                    (false, true) => ("ENUM_ARRAY_NARROWED", false),
                    (false, false) => ("ENUM_ARRAY_CHANGED", false),
                }
            }
        };
        self.find(&at.rule("enum"), name, is_allowed);
    }

    fn bounds(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        // Of each: the rule, and its names when it comes, goes, grows and shrinks.
        let upper = [
            ("maxLength", ["MAX_LENGTH_ADDED", "MAX_LENGTH_REMOVED", "MAX_LENGTH_INCREASED", "MAX_LENGTH_DECREASED"]),
            ("maximum", ["MAXIMUM_ADDED", "MAXIMUM_REMOVED", "MAXIMUM_INCREASED", "MAXIMUM_DECREASED"]),
            (
                "exclusiveMaximum",
                [
                    "EXCLUSIVE_MAXIMUM_ADDED",
                    "EXCLUSIVE_MAXIMUM_REMOVED",
                    "EXCLUSIVE_MAXIMUM_INCREASED",
                    "EXCLUSIVE_MAXIMUM_DECREASED",
                ],
            ),
            ("maxItems", ["MAX_ITEMS_ADDED", "MAX_ITEMS_REMOVED", "MAX_ITEMS_INCREASED", "MAX_ITEMS_DECREASED"]),
            (
                "maxProperties",
                [
                    "MAX_PROPERTIES_ADDED",
                    "MAX_PROPERTIES_REMOVED",
                    "MAX_PROPERTIES_INCREASED",
                    "MAX_PROPERTIES_DECREASED",
                ],
            ),
        ];
        let lower = [
            ("minLength", ["MIN_LENGTH_ADDED", "MIN_LENGTH_REMOVED", "MIN_LENGTH_INCREASED", "MIN_LENGTH_DECREASED"]),
            ("minimum", ["MINIMUM_ADDED", "MINIMUM_REMOVED", "MINIMUM_INCREASED", "MINIMUM_DECREASED"]),
            (
                "exclusiveMinimum",
                [
                    "EXCLUSIVE_MINIMUM_ADDED",
                    "EXCLUSIVE_MINIMUM_REMOVED",
                    "EXCLUSIVE_MINIMUM_INCREASED",
                    "EXCLUSIVE_MINIMUM_DECREASED",
                ],
            ),
            ("minItems", ["MIN_ITEMS_ADDED", "MIN_ITEMS_REMOVED", "MIN_ITEMS_INCREASED", "MIN_ITEMS_DECREASED"]),
            (
                "minProperties",
                [
                    "MIN_PROPERTIES_ADDED",
                    "MIN_PROPERTIES_REMOVED",
                    "MIN_PROPERTIES_INCREASED",
                    "MIN_PROPERTIES_DECREASED",
                ],
            ),
        ];
        for (is_upper, (rule, [added, removed, increased, decreased])) in
            upper.into_iter().map(|one| (true, one)).chain(lower.into_iter().map(|one| (false, one)))
        {
            let (name, is_allowed) = match (original.number(rule), update.number(rule)) {
                (None, Some(_)) => (added, false),
                (Some(_), None) => (removed, true),
                (Some(old), Some(new)) if new > old => (increased, is_upper),
                (Some(old), Some(new)) if new < old => (decreased, !is_upper),
                _ => continue,
            };
            self.find(&at.rule(rule), name, is_allowed);
        }
        let is_multiple = |of: f64, step: f64| step != 0.0 && (of / step).fract() == 0.0;
        let (name, is_allowed) = match (original.number("multipleOf"), update.number("multipleOf")) {
            (None, None) => return,
            (None, Some(_)) => ("MULTIPLE_OF_ADDED", false),
            (Some(_), None) => ("MULTIPLE_OF_REMOVED", true),
            (Some(old), Some(new)) if old == new => return,
            (Some(old), Some(new)) if is_multiple(old, new) => ("MULTIPLE_OF_REDUCED", true),
            (Some(old), Some(new)) if is_multiple(new, old) => ("MULTIPLE_OF_EXPANDED", false),
            (Some(_), Some(_)) => ("MULTIPLE_OF_CHANGED", false),
        };
        self.find(&at.rule("multipleOf"), name, is_allowed);
    }

    fn patterns(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        match (original.get("pattern"), update.get("pattern")) {
            (None, Some(_)) => self.find(&at.rule("pattern"), "PATTERN_ADDED", false),
            (Some(_), None) => self.find(&at.rule("pattern"), "PATTERN_REMOVED", true),
            (old, new) if old != new => self.find(&at.rule("pattern"), "PATTERN_CHANGED", false),
            _ => {}
        }
    }

    fn combined(&mut self, at: &At, original: View<'a>, update: View<'a>) {
        let (old_all, new_all) = (original.list("allOf"), update.list("allOf"));
        let sum = |view: View<'a>| {
            let rule = ["anyOf", "oneOf"].into_iter().find(|rule| view.get(rule).is_some());
            rule.map(|rule| (rule, view.list(rule)))
        };
        match (old_all.is_empty(), new_all.is_empty(), sum(original), sum(update)) {
            // One kind of combination became another.
            (false, true, None, Some((rule, new))) => {
                let is_allowed = new.iter().any(|part| old_all.iter().any(|old| self.allows(at, *old, *part)));
                let name = if is_allowed { "COMBINED_TYPE_EXTENDED" } else { "COMBINED_TYPE_CHANGED" };
                self.find(&at.rule(rule), name, is_allowed);
            }
            (_, _, old_sum, new_sum) => {
                self.product(&at.rule("allOf"), original, &old_all, &new_all);
                self.sum(at, (original, old_sum), (update, new_sum));
            }
        }
        let at = at.rule("not");
        match (original.get("not"), update.get("not")) {
            (None, Some(_)) => self.find(&at, "NOT_TYPE_EXTENDED", false),
            (Some(_), None) => self.find(&at, "NOT_TYPE_NARROWED", true),
            (Some(old), Some(new)) if old != new => {
                // What is not to be has to become less.
                let is_allowed = self.allows(&at, update.part(new), original.part(old));
                self.find(&at, if is_allowed { "NOT_TYPE_NARROWED" } else { "NOT_TYPE_EXTENDED" }, is_allowed);
            }
            _ => {}
        }
    }

    fn product(&mut self, at: &At, original: View<'a>, old: &[View<'a>], new: &[View<'a>]) {
        if old.is_empty() {
            let is_allowed = new.iter().all(|part| self.allows(at, original, *part));
            return if !new.is_empty() && !is_allowed {
                self.find(at, "PRODUCT_TYPE_EXTENDED", false)
            };
        }
        match old.len().cmp(&new.len()) {
            std::cmp::Ordering::Less => self.find(at, "PRODUCT_TYPE_EXTENDED", false),
            std::cmp::Ordering::Greater => self.find(at, "PRODUCT_TYPE_NARROWED", true),
            std::cmp::Ordering::Equal => {}
        }
        self.matched(at, old, new);
    }

    fn sum(
        &mut self,
        at: &At,
        (original, old): (View<'a>, Option<(&'static str, Vec<View<'a>>)>),
        (update, new): (View<'a>, Option<(&'static str, Vec<View<'a>>)>),
    ) {
        match (old, new) {
            (None, None) => {}
            (None, Some((rule, new))) => {
                let at = at.rule(rule);
                let is_allowed = new.iter().any(|part| self.allows(&at, original, *part));
                self.find(&at, if is_allowed { "SUM_TYPE_EXTENDED" } else { "SUM_TYPE_NARROWED" }, is_allowed);
            }
            (Some((rule, old)), None) => {
                let at = at.rule(rule);
                let is_allowed = old.iter().all(|part| self.allows(&at, *part, update));
                self.find(&at, if is_allowed { "SUM_TYPE_EXTENDED" } else { "SUM_TYPE_NARROWED" }, is_allowed);
            }
            (Some((old_rule, old)), Some((rule, new))) => {
                let at = at.rule(rule);
                if old_rule != rule {
                    let is_allowed = rule == "anyOf";
                    let name = if is_allowed { "COMBINED_TYPE_EXTENDED" } else { "COMBINED_TYPE_CHANGED" };
                    self.find(&at, name, is_allowed);
                }
                match old.len().cmp(&new.len()) {
                    std::cmp::Ordering::Less => self.find(&at, "SUM_TYPE_EXTENDED", true),
                    std::cmp::Ordering::Greater => self.find(&at, "SUM_TYPE_NARROWED", false),
                    std::cmp::Ordering::Equal => {}
                }
                self.matched(&at, &old, &new);
            }
        }
    }

    /// Pairs the parts of two combinations, each with one of the other that allows what it does, as many as there can be.
    fn matched(&mut self, at: &At, old: &[View<'a>], new: &[View<'a>]) {
        let mut allows = Vec::with_capacity(old.len());
        for part in old {
            let row: Vec<bool> = new.iter().map(|other| self.allows(at, *part, *other)).collect();
            allows.push(row);
        }
        let mut taken_by: Vec<Option<usize>> = vec![None; new.len()];
        let mut pairs = 0;
        for part in 0..old.len() {
            let mut seen = vec![false; new.len()];
            pairs += usize::from(augment(part, &allows, &mut seen, &mut taken_by));
        }
        if pairs < old.len().min(new.len()) {
            self.find(at, "COMBINED_TYPE_SUBSCHEMAS_CHANGED", false);
        }
    }
}

/// Finds a partner for a part; those that are taken look for another one.
fn augment(part: usize, allows: &[Vec<bool>], seen: &mut [bool], taken_by: &mut [Option<usize>]) -> bool {
    for other in 0..seen.len() {
        if !allows[part][other] || seen[other] {
            continue;
        }
        seen[other] = true;
        if taken_by[other].is_none_or(|owner| augment(owner, allows, seen, taken_by)) {
            taken_by[other] = Some(part);
            return true;
        }
    }
    false
}
