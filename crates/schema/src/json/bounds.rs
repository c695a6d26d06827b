//! What a schema may cost, counted before it is compiled.
//!
//! A few lines can describe a schema that validates for ever: alternatives that lead back to themselves double the work
//! with every level of the data, and references go round in a circle or nest deeper than a stack. The work that one path
//! through the data can cause is counted exactly; how much data there is, the store bounds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pacioli_core::json::DEPTH_MAX;
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Value};

use super::document::{Document, escape, shortened};
use crate::format::SchemaError;

/// How many schemas may apply to the values along one path through the data.
const WORK_MAX: u64 = 4096;
/// How many of them may be inside of each other: what the stack has to hold.
const NESTING_MAX: u64 = 400;
/// How many may apply to one value, one inside of another, without a step into the data.
const IN_PLACE_MAX: usize = 32;
/// How many pairs of schemas the count may look at.
const STEPS_MAX: usize = 50_000;
/// How many schemas may lead from one to the next, each compiled inside of the one before.
const CHAIN_MAX: usize = 1024;
/// How long a regular expression may be, in bytes.
const PATTERN_MAX: usize = 1024;
/// How often a part of one may repeat.
const REPEAT_MAX: u32 = 1000;
/// How much one may weigh: about as much as it has states.
const PATTERN_WEIGHT_MAX: u64 = 10_000;
/// How much all of a schema may weigh together.
const PATTERNS_WEIGHT_MAX: u64 = 40_000;
/// How many values other than texts an `enum` may list: they are compared one by one.
const ENUM_MAX: usize = 1024;

/// What a schema costs, where it is not too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// How many schemas may apply to the values along one path through the data.
    pub(crate) work: u64,
    /// How many schemas may lead from one to the next.
    pub(crate) chain: usize,
    /// How much the heaviest of its patterns weighs.
    pub(crate) pattern_weight: u64,
    /// Whether there are alternatives, each of which has a reason of its own not to accept something.
    pub(crate) has_alternatives: bool,
}

/// Refuses what costs too much.
pub(crate) fn check(document: &Document) -> Result<Cost, SchemaError> {
    let graph = Graph::new(document)?;
    let pattern_weight = graph.check_values()?;
    graph.check_in_place()?;
    let chain = graph.chain();
    if chain > CHAIN_MAX {
        let problem = format!("more than {CHAIN_MAX} schemas lead from one to the next; describe less of the data");
        return Err(SchemaError::at("", problem));
    }
    Ok(Cost { work: graph.work()?, chain, pattern_weight, has_alternatives: graph.has_alternatives() })
}

/// The schemas of a document and what leads from one to another.
struct Graph<'a> {
    schemas: Vec<Node<'a>>,
}

struct Node<'a> {
    schema: Option<&'a Map<String, Value>>,
    place: String,
    /// Those that apply to the same value.
    in_place: Vec<usize>,
    properties: BTreeMap<&'a str, usize>,
    /// `patternProperties`, `propertyNames` and `unevaluatedProperties`: any member may meet each of them.
    any_member: Vec<usize>,
    other_members: Option<usize>,
    first_items: Vec<usize>,
    other_items: Option<usize>,
    /// `contains` and `unevaluatedItems`.
    any_item: Vec<usize>,
    /// Whether what applies in place is walked a second time, for what it left.
    is_walked_twice: bool,
}

impl<'a> Graph<'a> {
    fn new(document: &'a Document) -> Result<Graph<'a>, SchemaError> {
        let mut graph = Graph { schemas: Vec::new() };
        let mut known: HashMap<*const Value, usize> = HashMap::new();
        graph.add(&document.schema, String::new(), &mut known);
        let mut at = 0;
        while at < graph.schemas.len() {
            let Some(members) = graph.schemas[at].schema else {
                at += 1;
                continue;
            };
            let place = graph.schemas[at].place.clone();
            for (keyword, value) in members {
                let inner = format!("{place}/{}", escape(keyword));
                match &**keyword {
                    "$ref" => {
                        let target = value.as_str().and_then(|reference| document.resolve(reference));
                        let target = target.ok_or_else(|| SchemaError::at(&inner, "`$ref` points to nothing"))?;
                        let target = graph.add(target, inner, &mut known);
                        graph.schemas[at].in_place.push(target);
                    }
                    "allOf" | "anyOf" | "oneOf" => {
                        for (number, schema) in value.as_array().into_iter().flatten().enumerate() {
                            let target = graph.add(schema, format!("{inner}/{number}"), &mut known);
                            graph.schemas[at].in_place.push(target);
                        }
                    }
                    "if" | "then" | "else" | "not" => {
                        let target = graph.add(value, inner, &mut known);
                        graph.schemas[at].in_place.push(target);
                    }
                    "dependentSchemas" => {
                        for (name, schema) in value.as_object().into_iter().flatten() {
                            let target = graph.add(schema, format!("{inner}/{}", escape(name)), &mut known);
                            graph.schemas[at].in_place.push(target);
                        }
                    }
                    "properties" => {
                        for (name, schema) in value.as_object().into_iter().flatten() {
                            let target = graph.add(schema, format!("{inner}/{}", escape(name)), &mut known);
                            graph.schemas[at].properties.insert(name, target);
                        }
                    }
                    "patternProperties" => {
                        for (name, schema) in value.as_object().into_iter().flatten() {
                            let target = graph.add(schema, format!("{inner}/{}", escape(name)), &mut known);
                            graph.schemas[at].any_member.push(target);
                        }
                    }
                    "propertyNames" | "unevaluatedProperties" => {
                        let target = graph.add(value, inner, &mut known);
                        graph.schemas[at].any_member.push(target);
                        graph.schemas[at].is_walked_twice |= keyword == "unevaluatedProperties";
                    }
                    "additionalProperties" => {
                        let target = graph.add(value, inner, &mut known);
                        graph.schemas[at].other_members = Some(target);
                    }
                    "prefixItems" => {
                        for (number, schema) in value.as_array().into_iter().flatten().enumerate() {
                            let target = graph.add(schema, format!("{inner}/{number}"), &mut known);
                            graph.schemas[at].first_items.push(target);
                        }
                    }
                    "items" => {
                        let target = graph.add(value, inner, &mut known);
                        graph.schemas[at].other_items = Some(target);
                    }
                    "contains" | "unevaluatedItems" => {
                        let target = graph.add(value, inner, &mut known);
                        graph.schemas[at].any_item.push(target);
                        graph.schemas[at].is_walked_twice |= keyword == "unevaluatedItems";
                    }
                    _ => {}
                }
            }
            at += 1;
        }
        Ok(graph)
    }

    fn add(&mut self, schema: &'a Value, place: String, known: &mut HashMap<*const Value, usize>) -> usize {
        *known.entry(std::ptr::from_ref(schema)).or_insert_with(|| {
            self.schemas.push(Node {
                schema: schema.as_object(),
                place,
                in_place: Vec::new(),
                properties: BTreeMap::new(),
                any_member: Vec::new(),
                other_members: None,
                first_items: Vec::new(),
                other_items: None,
                any_item: Vec::new(),
                is_walked_twice: false,
            });
            self.schemas.len() - 1
        })
    }

    fn has_alternatives(&self) -> bool {
        let keywords = self.schemas.iter().filter_map(|node| node.schema).flat_map(Map::keys);
        keywords.into_iter().any(|keyword| matches!(&**keyword, "anyOf" | "oneOf"))
    }

    /// Bounds what single keywords cost, and says how much the heaviest pattern weighs.
    fn check_values(&self) -> Result<u64, SchemaError> {
        let mut patterns = BTreeSet::new();
        let (mut weight, mut heaviest) = (0, 0);
        for node in &self.schemas {
            let Some(members) = node.schema else { continue };
            let values = members.get("enum").and_then(Value::as_array);
            if values.is_some_and(|values| values.len() > ENUM_MAX && !values.iter().all(Value::is_string)) {
                let problem = format!("`enum` lists more than {ENUM_MAX} values, not all of them texts; describe them");
                return Err(SchemaError::at(format!("{}/enum", node.place), problem));
            }
            let named = members.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
            let own = members.get("pattern").and_then(Value::as_str).map(|pattern| ("pattern", pattern));
            let all = named.map(|(pattern, _)| ("patternProperties", &**pattern)).chain(own);
            for (keyword, pattern) in all.filter(|(_, pattern)| patterns.insert(*pattern)) {
                let at = |problem: String| SchemaError::at(format!("{}/{keyword}", node.place), problem);
                let own = weigh(pattern)
                    .map_err(|problem| at(format!("the regular expression `{}` {problem}", shortened(pattern))))?;
                weight += own;
                heaviest = own.max(heaviest);
                if weight > PATTERNS_WEIGHT_MAX {
                    return Err(at(
                        "the regular expressions of the schema cost too much together; write simpler ones".into()
                    ));
                }
            }
        }
        Ok(heaviest)
    }

    /// Refuses what goes in a circle, or nests, without a step into the data.
    fn check_in_place(&self) -> Result<(), SchemaError> {
        /// How deep it nests from here, once that is known.
        fn depth(
            graph: &Graph<'_>,
            at: usize,
            known: &mut [Option<usize>],
            way: &mut Vec<usize>,
        ) -> Result<usize, SchemaError> {
            if let Some(depth) = known[at] {
                return Ok(depth);
            }
            let place = &graph.schemas[at].place;
            if way.contains(&at) {
                let problem = "`$ref`s go round in a circle here and never take a step into the data; let one of them describe \
                               a field or an item";
                return Err(SchemaError::at(place, problem));
            }
            if way.len() > IN_PLACE_MAX {
                let problem = format!(
                    "more than {IN_PLACE_MAX} schemas lie one inside of another and all describe the same value; write them \
                     flatter"
                );
                return Err(SchemaError::at(place, problem));
            }
            way.push(at);
            let mut deepest = 0;
            for inner in &graph.schemas[at].in_place {
                deepest = deepest.max(depth(graph, *inner, known, way)?);
            }
            way.pop();
            known[at] = Some(deepest + 1);
            Ok(deepest + 1)
        }
        let mut known = vec![None; self.schemas.len()];
        for at in 0..self.schemas.len() {
            depth(self, at, &mut known, &mut Vec::new())?;
        }
        Ok(())
    }

    fn all_from(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let node = &self.schemas[at];
        let lists = [&node.in_place, &node.any_member, &node.first_items, &node.any_item];
        let single = [node.other_members, node.other_items].into_iter().flatten();
        lists.into_iter().flatten().copied().chain(node.properties.values().copied()).chain(single)
    }

    /// At least as many as ever lead from one to the next without coming back: circles count with all that is in them.
    fn chain(&self) -> usize {
        // Tarjan's algorithm, with a stack of its own. Circles come out behind all that they lead to.
        let count = self.schemas.len();
        let (mut order, mut low) = (vec![usize::MAX; count], vec![0; count]);
        let mut longest = vec![0; count];
        let (mut open, mut is_open) = (Vec::new(), vec![false; count]);
        let mut next = 0;
        let mut calls: Vec<(usize, Vec<usize>)> = vec![(0, self.all_from(0).collect())];
        (order[0], low[0], is_open[0]) = (0, 0, true);
        open.push(0);
        while let Some((at, left)) = calls.last_mut() {
            let at = *at;
            if let Some(to) = left.pop() {
                if order[to] == usize::MAX {
                    next += 1;
                    (order[to], low[to], is_open[to]) = (next, next, true);
                    open.push(to);
                    calls.push((to, self.all_from(to).collect()));
                } else if is_open[to] {
                    low[at] = low[at].min(order[to]);
                }
                continue;
            }
            calls.pop();
            if let Some((from, _)) = calls.last() {
                low[*from] = low[*from].min(low[at]);
            }
            if low[at] == order[at] {
                let start = open.iter().rposition(|one| *one == at).unwrap_or_default();
                let circle = open.split_off(start);
                let behind = circle.iter().flat_map(|one| self.all_from(*one)).map(|to| longest[to]).max();
                for one in &circle {
                    is_open[*one] = false;
                    longest[*one] = circle.len() + behind.unwrap_or_default();
                }
            }
        }
        longest[0]
    }

    /// How many schemas apply to the values along one path through the data, at most.
    fn work(&self) -> Result<u64, SchemaError> {
        let mut locations = Locations { graph: self, known: HashMap::new(), all: Vec::new(), steps: 0 };
        locations.find(0)?;
        let mut at = 0;
        while at < locations.all.len() {
            locations.explore(at)?;
            at += 1;
        }
        let all = locations.all;
        let mut work: Vec<u64> = all.iter().map(|location| location.own).collect();
        let mut nesting: Vec<u64> = all.iter().map(|location| location.depth).collect();
        for _ in 0..DEPTH_MAX {
            let sum = |choice: &Vec<(usize, u64)>| {
                choice.iter().fold(0_u64, |sum, (to, times)| sum.saturating_add(work[*to].saturating_mul(*times)))
            };
            let deepest =
                |choice: &Vec<(usize, u64)>| choice.iter().map(|(to, _)| nesting[*to]).max().unwrap_or_default();
            let one = |location: &Location| {
                let worst = location.choices.iter().map(sum).max().unwrap_or_default();
                location.own.saturating_add(worst)
            };
            let new: Vec<u64> = all.iter().map(one).collect();
            let inner = |location: &Location| location.choices.iter().map(deepest).max().unwrap_or_default();
            nesting = all.iter().map(|location| location.depth + inner(location)).collect();
            let is_settled = new == work;
            work = new;
            if let Some((location, _)) = all.iter().zip(&work).find(|(_, work)| **work > WORK_MAX) {
                return Err(SchemaError::at(
                    &self.schemas[location.schema].place,
                    format!(
                        "to validate what is described here may take more than {WORK_MAX} steps for one value; let fewer \
                         alternatives describe the same field, above all where they lead back to themselves"
                    ),
                ));
            }
            if is_settled {
                break;
            }
        }
        if nesting.first().is_some_and(|nesting| *nesting > NESTING_MAX) {
            let problem =
                format!("more than {NESTING_MAX} schemas can come to lie one inside of another; write them flatter");
            return Err(SchemaError::at("", problem));
        }
        Ok(work.first().copied().unwrap_or(1))
    }
}

/// A schema that describes a value of its own, and all that describe the same value with it.
struct Location {
    schema: usize,
    /// How many describe the value.
    own: u64,
    /// How many of them lie one inside of another.
    depth: u64,
    /// For each member or item that data can have there: the schemas that describe it, and how often.
    choices: Vec<Vec<(usize, u64)>>,
}

struct Locations<'a> {
    graph: &'a Graph<'a>,
    known: HashMap<usize, usize>,
    all: Vec<Location>,
    steps: usize,
}

impl Locations<'_> {
    fn find(&mut self, schema: usize) -> Result<usize, SchemaError> {
        if let Some(location) = self.known.get(&schema) {
            return Ok(*location);
        }
        self.known.insert(schema, self.all.len());
        self.all.push(Location { schema, own: 0, depth: 0, choices: Vec::new() });
        self.steps(1, schema)?;
        Ok(self.all.len() - 1)
    }

    fn steps(&mut self, steps: usize, schema: usize) -> Result<(), SchemaError> {
        self.steps += steps;
        if self.steps > STEPS_MAX {
            let problem = "the schemas here refer to each other in too many ways; write them flatter";
            return Err(SchemaError::at(&self.graph.schemas[schema].place, problem));
        }
        Ok(())
    }

    fn explore(&mut self, at: usize) -> Result<(), SchemaError> {
        let root = self.all[at].schema;
        // All that describe the same value, with how often.
        let mut together: BTreeMap<usize, u64> = BTreeMap::new();
        let (mut own, mut depth) = (0_u64, 0);
        let mut left = vec![(root, 1_u64, 1_u64)];
        while let Some((schema, times, deep)) = left.pop() {
            self.steps(1, schema)?;
            *together.entry(schema).or_default() += times;
            own = own.saturating_add(times);
            depth = depth.max(deep);
            let node = &self.graph.schemas[schema];
            let inner = if node.is_walked_twice { times.saturating_mul(2) } else { times };
            left.extend(node.in_place.iter().map(|schema| (*schema, inner, deep + 1)));
        }
        let nodes: Vec<(&Node<'_>, u64)> =
            together.iter().map(|(schema, times)| (&self.graph.schemas[*schema], *times)).collect();
        let mut choices = Vec::new();
        let any: Vec<(usize, u64)> =
            nodes.iter().flat_map(|(node, times)| node.any_member.iter().map(|to| (*to, *times))).collect();
        let other = nodes.iter().filter_map(|(node, times)| Some((node.other_members?, *times)));
        choices.push(any.iter().copied().chain(other).collect());
        let names: BTreeSet<&str> = nodes.iter().flat_map(|(node, _)| node.properties.keys().copied()).collect();
        for name in names {
            self.steps(nodes.len(), root)?;
            let named = nodes
                .iter()
                .filter_map(|(node, times)| Some((node.properties.get(name).copied().or(node.other_members)?, *times)));
            choices.push(any.iter().copied().chain(named).collect());
        }
        let any: Vec<(usize, u64)> =
            nodes.iter().flat_map(|(node, times)| node.any_item.iter().map(|to| (*to, *times))).collect();
        let first = nodes.iter().map(|(node, _)| node.first_items.len()).max().unwrap_or_default();
        for number in 0..=first {
            self.steps(nodes.len(), root)?;
            let item = nodes.iter().filter_map(|(node, times)| {
                Some((node.first_items.get(number).copied().or(node.other_items)?, *times))
            });
            choices.push(any.iter().copied().chain(item).collect::<Vec<_>>());
        }
        for choice in &mut choices {
            for (to, _) in choice {
                self.steps(1, root)?;
                *to = self.find(*to)?;
            }
        }
        choices.retain(|choice| !choice.is_empty());
        self.all[at] = Location { schema: root, own, depth, choices };
        Ok(())
    }
}

/// About how many states an automaton for a regular expression has, or why there is to be none.
fn weigh(pattern: &str) -> Result<u64, String> {
    if pattern.len() > PATTERN_MAX {
        return Err(format!("is longer than {PATTERN_MAX} bytes; write a shorter one"));
    }
    let unknown = || {
        "is not taken: it is none, or looks around or back, which takes time without bound; write it without `(?=`, `(?!`, \
         `(?<=` and `\\1`"
            .to_owned()
    };
    let translated = jsonschema_regex::to_rust_regex(pattern).map_err(|()| unknown())?;
    let hir = regex_syntax::ParserBuilder::new().nest_limit(50).build().parse(&translated).map_err(|_| unknown())?;
    let weight = match jsonschema_regex::search_form(pattern, &translated) {
        // That is matched by counting.
        Some(jsonschema_regex::Search::RepeatedClass(_)) => 1,
        _ => weight(&hir)?,
    };
    if weight > PATTERN_WEIGHT_MAX {
        return Err("costs too much; repeat less in it, or use smaller classes of characters".to_owned());
    }
    Ok(weight)
}

fn weight(hir: &Hir) -> Result<u64, String> {
    Ok(match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        // A range of characters beyond ASCII is some ranges of bytes.
        HirKind::Class(Class::Unicode(class)) => 1 + 2 * class.ranges().len() as u64,
        HirKind::Class(Class::Bytes(class)) => 1 + class.ranges().len() as u64,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(repetition.min).max(1);
            if times > REPEAT_MAX {
                return Err(format!("repeats a part of it more than {REPEAT_MAX} times; use `maxLength` for that"));
            }
            weight(&repetition.sub)?.saturating_mul(u64::from(times)).saturating_add(1)
        }
        HirKind::Capture(capture) => weight(&capture.sub)?.saturating_add(1),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            let mut sum = 1_u64;
            for part in parts {
                sum = sum.saturating_add(weight(part)?);
            }
            sum
        }
    })
}
