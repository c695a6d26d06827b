//! From JSON in the shape of an Avro schema to a datum in Avro's binary encoding.

use serde_json::{Map, Value};

use super::decode::{BYTES_MAX, DEPTH_MAX, STEPS_MAX};
use super::node::{Branch, Form, Id, Kind, Nodes, RecordField};
use crate::format::Broken;
use crate::trail::Trail;

/// The rule of what ends every attempt: it took too long.
const COST: &str = "cost";

/// How JSON is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As an event that is stored has to be.
    Exact,
    /// As data of an older schema, by the rules of Avro's schema resolution.
    Resolving,
}

/// Encodes a document.
pub(super) fn encode(nodes: &Nodes, json: &[u8], reading: Reading) -> Result<Vec<u8>, Broken> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| broken(&Trail::Root, "type", format!("is no JSON that can be read ({error})")))?;
    let mut encoder = Encoder { reading, ..Encoder::for_data(nodes, json.len()) };
    encoder.value(nodes.root, &value, &Trail::Root, 0)?;
    Ok(encoder.out)
}

pub(super) struct Encoder<'a> {
    nodes: &'a Nodes,
    out: Vec<u8>,
    bytes_max: usize,
    /// How many values it may still look at: a union's branches may be tried again and again.
    steps: usize,
    reading: Reading,
    /// A default writes a union's value plain, always.
    is_preset: bool,
    /// The defaults that are being worked out, to see one that contains itself.
    open: Vec<(Id, usize)>,
    /// In how many unions one branch after the other is being tried.
    tries: usize,
}

impl<'a> Encoder<'a> {
    /// An encoder that works out defaults.
    pub(super) fn for_presets(nodes: &'a Nodes, bytes_max: usize) -> Encoder<'a> {
        let (reading, open) = (Reading::Exact, Vec::new());
        Encoder { nodes, out: Vec::new(), bytes_max, steps: STEPS_MAX, reading, is_preset: true, open, tries: 0 }
    }

    /// An encoder of a datum that is made of so many bytes.
    pub(super) fn for_data(nodes: &'a Nodes, bytes: usize) -> Encoder<'a> {
        let steps = bytes.saturating_mul(4).saturating_add(STEPS_MAX);
        Encoder {
            out: Vec::with_capacity(bytes / 2),
            steps,
            is_preset: false,
            ..Encoder::for_presets(nodes, BYTES_MAX)
        }
    }

    /// What was written.
    pub(super) fn into_datum(self) -> Vec<u8> {
        self.out
    }

    /// How much is written.
    pub(super) fn written(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written behind a place.
    pub(super) fn take_since(&mut self, start: usize) -> Vec<u8> {
        self.out.split_off(start)
    }

    /// Writes bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes the default of a field, and works it out if nobody has yet.
    pub(super) fn preset(&mut self, record: Id, index: usize, trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
        let Kind::Record { fields, .. } = self.nodes.kind(record) else { return Ok(()) };
        let Some(preset) = &fields[index].preset else { return Ok(()) };
        if let Some(binary) = preset.binary.get() {
            self.out.extend_from_slice(binary);
            return self.step(trail, depth);
        }
        if self.open.contains(&(record, index)) {
            return Err(self.fail(trail, "default", || "contains itself, without an end"));
        }
        self.open.push((record, index));
        let start = self.out.len();
        let worked_out = self.value(fields[index].id, &preset.json, trail, depth + 1);
        self.open.pop();
        worked_out?;
        preset.binary.get_or_init(|| self.out[start..].into());
        Ok(())
    }

    fn fail<P: Into<String>>(&self, trail: &Trail<'_>, rule: &str, problem: impl FnOnce() -> P) -> Broken {
        match self.tries {
            0 => broken(trail, rule, problem()),
            _ => Broken { path: String::new(), rule: String::new(), problem: String::new() },
        }
    }

    pub(super) fn step(&mut self, trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
        if depth > DEPTH_MAX {
            return Err(self.fail(trail, "depth", || format!("nests deeper than {DEPTH_MAX}")));
        }
        if self.out.len() > self.bytes_max {
            return Err(self.fail(trail, "size", || format!("amounts to more than {} bytes", self.bytes_max)));
        }
        match self.steps.checked_sub(1) {
            Some(steps) => self.steps = steps,
            None => return Err(broken(trail, COST, "takes too long to match with the branches of its unions")),
        }
        Ok(())
    }

    /// Counts what is only looked at: eight of it like one value.
    pub(super) fn charge(&mut self, count: usize) {
        self.steps = self.steps.saturating_sub(count / 8);
    }

    fn value(&mut self, id: Id, value: &Value, trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
        self.step(trail, depth)?;
        match (self.nodes.kind(id), value) {
            (Kind::Null, Value::Null) => {}
            (Kind::Boolean, Value::Bool(is_true)) => self.out.push(u8::from(*is_true)),
            (Kind::Int, Value::Number(number)) => match number.as_i64() {
                Some(number) if i32::try_from(number).is_ok() => self.long(number),
                _ => {
                    return Err(
                        self.fail(trail, "type", || format!("is {number}, and no whole number of 32 bits (int)"))
                    );
                }
            },
            (Kind::Long, Value::Number(number)) => match number.as_i64() {
                Some(number) => self.long(number),
                None => {
                    return Err(
                        self.fail(trail, "type", || format!("is {number}, and no whole number of 64 bits (long)"))
                    );
                }
            },
            (kind @ (Kind::Float | Kind::Double), value @ (Value::Number(_) | Value::String(_))) => {
                match float(value) {
                    Some(number) if matches!(kind, Kind::Double) => self.out.extend(number.to_le_bytes()),
                    Some(number) if !number.is_finite() || (number as f32).is_finite() => {
                        self.out.extend((number as f32).to_le_bytes());
                    }
                    _ => return Err(self.fail(trail, "type", || format!("is {}, and no {}", told(value), kind.word()))),
                }
            }
            (Kind::String, Value::String(text)) => self.bytes(text.as_bytes()),
            (Kind::Bytes, Value::String(text)) => {
                let bytes = self.latin(text, trail)?;
                self.bytes(&bytes);
            }
            (Kind::Fixed { named, size }, Value::String(text)) => {
                let bytes = self.latin(text, trail)?;
                if bytes.len() != *size {
                    let problem = || format!("has {} bytes, and `{}` has {size}", bytes.len(), named.full);
                    return Err(self.fail(trail, "size", problem));
                }
                self.out.extend(bytes);
            }
            (Kind::Enum { named, indexes, default, .. }, Value::String(text)) => {
                let known = indexes.get(text.as_str()).copied();
                let other = if self.reading == Reading::Resolving { *default } else { None };
                match known.or(other) {
                    Some(index) => self.length(index),
                    None => {
                        let problem = || format!("is {}, which is no symbol of `{}`", told(value), named.full);
                        return Err(self.fail(trail, "symbols", problem));
                    }
                }
            }
            (Kind::Array(item), Value::Array(items)) => {
                if !items.is_empty() {
                    self.length(items.len());
                }
                for (index, value) in items.iter().enumerate() {
                    self.value(*item, value, &Trail::Item(trail, index), depth + 1)?;
                }
                self.out.push(0);
            }
            (Kind::Map(each), Value::Object(members)) => {
                if !members.is_empty() {
                    self.length(members.len());
                }
                for (name, value) in members {
                    self.bytes(name.as_bytes());
                    self.value(*each, value, &Trail::Member(trail, name), depth + 1)?;
                }
                self.out.push(0);
            }
            (Kind::Record { fields, .. }, Value::Object(members)) => {
                for (index, field) in fields.iter().enumerate() {
                    match self.member(field, members) {
                        Some((name, value)) => {
                            self.value(field.id, value, &Trail::Member(trail, name), depth + 1)?;
                        }
                        None if field.preset.is_some() => {
                            self.preset(id, index, &Trail::Member(trail, &field.name), depth)?;
                        }
                        None => {
                            let trail = Trail::Member(trail, &field.name);
                            return Err(self.fail(&trail, "required", || "is not there, and has no default"));
                        }
                    }
                }
            }
            (Kind::Union(branches), value) => self.union(branches, value, trail, depth)?,
            (kind, value) => {
                let problem = || format!("is {}, and its type is {}", Form::of(value).called(), kind.branch_name());
                return Err(self.fail(trail, "type", problem));
            }
        }
        Ok(())
    }

    /// The member that is a field's value: by the field's name, else by an alias where data of an older schema is read.
    fn member<'v>(&self, field: &'v RecordField, members: &'v Map<String, Value>) -> Option<(&'v str, &'v Value)> {
        let aliases = if self.reading == Reading::Resolving { &field.aliases[..] } else { &[] };
        let names = std::iter::once(&field.name).chain(aliases);
        names.map(|name| &**name).find_map(|name| Some((name, members.get(name)?)))
    }

    fn union(&mut self, branches: &[Branch], value: &Value, trail: &Trail<'_>, depth: usize) -> Result<(), Broken> {
        self.charge(branches.len());
        let form = Form::of(value);
        let mut plain: Vec<usize> =
            (0..branches.len()).filter(|index| self.nodes.kind(branches[*index].id).form() == Some(form)).collect();
        let wrapped = self.wrapped(branches, value);
        let mut tries =
            Tries { start: self.out.len(), count: plain.len() + usize::from(wrapped.is_some()), first: None };
        let (mut inside, is_ambiguous) = (wrapped, plain.len() > 1);
        // Where several branches are objects, data that was written here stands wrapped; so that is looked at first.
        if is_ambiguous && let Some((index, name, value)) = inside.take() {
            let trail = Trail::Member(trail, name);
            if self.branch((index, branches[index].id), value, &trail, depth + 1, &mut tries)? {
                return Ok(());
            }
        }
        if form == Form::Object && is_ambiguous {
            // The record that leaves the fewest members over is the likeliest. Each field is looked for twice.
            let fields = |index: &usize| match self.nodes.kind(branches[*index].id) {
                Kind::Record { fields, .. } => 1 + fields.len(),
                _ => 1,
            };
            let looked_for: usize = plain.iter().map(fields).sum();
            self.charge(looked_for.saturating_mul(16));
            self.step(trail, depth)?;
            plain.sort_by_cached_key(|index| self.strangers(branches[*index].id, value));
        }
        for index in plain {
            if self.branch((index, branches[index].id), value, trail, depth, &mut tries)? {
                return Ok(());
            }
        }
        if let Some((index, name, value)) = inside {
            let trail = Trail::Member(trail, name);
            if self.branch((index, branches[index].id), value, &trail, depth + 1, &mut tries)? {
                return Ok(());
            }
        }
        match tries.first {
            // With one branch to be tried, what is wrong there is what is wrong.
            Some(error) if tries.count == 1 => Err(error),
            _ => {
                let names: Vec<&str> =
                    branches.iter().map(|one| self.nodes.kind(one.id).branch_name()).take(20).collect();
                let problem =
                    || format!("is {} that no branch of the union takes ({})", form.called(), names.join(", "));
                Err(self.fail(trail, "union", problem))
            }
        }
    }

    /// Tries one branch of a union, and says whether it was that.
    fn branch(
        &mut self,
        (index, id): (usize, Id),
        value: &Value,
        trail: &Trail<'_>,
        depth: usize,
        tries: &mut Tries,
    ) -> Result<bool, Broken> {
        self.length(index);
        // With several branches, nobody is told what is wrong with one of them.
        let is_one_of_many = usize::from(tries.count > 1);
        self.tries += is_one_of_many;
        let tried = self.value(id, value, trail, depth);
        self.tries -= is_one_of_many;
        match tried {
            Ok(()) => return Ok(true),
            Err(error) if error.rule == COST => return Err(error),
            Err(error) => tries.first = tries.first.take().or(Some(error)),
        }
        self.out.truncate(tries.start);
        Ok(false)
    }

    /// How many members of an object a branch does not know; a field that is not there counts for more than all of them.
    fn strangers(&self, id: Id, value: &Value) -> usize {
        match (self.nodes.kind(id), value) {
            (Kind::Record { fields, .. }, Value::Object(members)) => {
                let known = fields.iter().filter(|field| self.member(field, members).is_some()).count();
                let is_missing = |field: &RecordField| field.preset.is_none() && self.member(field, members).is_none();
                let missing = fields.iter().filter(|field| is_missing(field)).count();
                (members.len() - known.min(members.len())).saturating_add(missing.saturating_mul(members.len() + 1))
            }
            _ => 0,
        }
    }

    /// The value that stands as `{"branch": value}`, as in Avro's JSON encoding.
    fn wrapped<'v>(&self, branches: &[Branch], value: &'v Value) -> Option<(usize, &'v str, &'v Value)> {
        let members = value.as_object().filter(|members| members.len() == 1 && !self.is_preset)?;
        let (name, value) = members.iter().next()?;
        let kind = |branch: &Branch| self.nodes.kind(branch.id);
        let by_name = branches.iter().position(|branch| kind(branch).branch_name() == name);
        let by_short = || branches.iter().position(|one| kind(one).named().is_some_and(|named| named.short() == name));
        let index = by_name.or_else(by_short).filter(|index| !matches!(kind(&branches[*index]), Kind::Null))?;
        Some((index, name, value))
    }

    /// The bytes that a text of the characters U+0000 to U+00FF stands for.
    fn latin(&self, text: &str, trail: &Trail<'_>) -> Result<Vec<u8>, Broken> {
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>();
        let problem = "has a character beyond U+00FF; bytes are written as the characters U+0000 to U+00FF";
        bytes.ok_or_else(|| self.fail(trail, "type", || problem))
    }

    pub(super) fn length(&mut self, length: usize) {
        self.long(i64::try_from(length).unwrap_or(i64::MAX));
    }

    pub(super) fn long(&mut self, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest > 0x7f {
            self.out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.out.extend_from_slice(bytes);
    }
}

/// The branches of a union that are tried for one value.
struct Tries {
    /// Where in what is written the value begins.
    start: usize,
    count: usize,
    /// What is wrong with the first.
    first: Option<Broken>,
}

pub(super) fn broken(trail: &Trail<'_>, rule: &str, problem: impl Into<String>) -> Broken {
    Broken { path: trail.to_string(), rule: rule.to_owned(), problem: problem.into() }
}

/// A number, or one of those that JSON has no number for.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        number => number.as_f64().filter(|number| number.is_finite()),
    }
}

/// A value as a sentence tells it, not too long.
fn told(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
