//! Reads the document of an upcaster, and refuses what it does not know.

use serde_json::{Map, Value};

use super::{CastTo, DOCUMENT_BYTES_MAX, Pointer, STEPS_MAX, Step, Upcaster, UpcasterError, value};

/// What steps there are, each with its members.
const OPS: [(&str, &[&str]); 8] = [
    ("move", &["op", "from", "path"]),
    ("copy", &["op", "from", "path"]),
    ("default", &["op", "path", "value"]),
    ("constant", &["op", "path", "value"]),
    ("split", &["op", "from", "separator", "paths"]),
    ("map", &["op", "path", "values", "otherwise"]),
    ("cast", &["op", "path", "to"]),
    ("drop", &["op", "path"]),
];

type Object = Map<String, Value>;

pub(super) fn parse(text: &str) -> Result<Upcaster, UpcasterError> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return refuse("", format!("the document has {} bytes; at most {DOCUMENT_BYTES_MAX} are allowed", text.len()));
    }
    pacioli_core::json::check(text.as_bytes()).or_else(|error| refuse("", error.to_string()))?;
    if let Some(number) = value::inexact_number(text.as_bytes()) {
        return refuse("", format!("the number {number} has more digits than are kept; write fewer, or a text"));
    }
    let document: Value = serde_json::from_str(text).or_else(|error| refuse("", error.to_string()))?;
    let document = object(&document, "", "the document", &["from", "to", "steps"])?;
    let from = version(document, "from")?;
    let to = version(document, "to")?;
    if to <= from {
        let next = u64::from(from) + 1;
        let problem =
            format!("it lifts from version {from} to {to}; an upcaster lifts to the next version, mostly {next}");
        return refuse("/to", problem);
    }
    let Some(steps) = document.get("steps").and_then(Value::as_array) else {
        return refuse("/steps", "`steps` is missing or no list; give the steps in their order".to_owned());
    };
    if steps.len() > STEPS_MAX {
        return refuse("/steps", format!("there are {} steps; at most {STEPS_MAX} are allowed", steps.len()));
    }
    let steps = steps.iter().enumerate().map(|(index, one)| step(one, &format!("/steps/{index}")));
    Ok(Upcaster { from, to, steps: steps.collect::<Result<_, _>>()? })
}

fn refuse<T>(path: impl Into<String>, problem: String) -> Result<T, UpcasterError> {
    let path = path.into();
    let problem = if path.is_empty() { problem } else { format!("{path}: {problem}") };
    Err(UpcasterError { path, problem })
}

fn words(all: &[&str]) -> String {
    all.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// An object that has no other members than these.
fn object<'a>(value: &'a Value, path: &str, what: &str, members: &[&str]) -> Result<&'a Object, UpcasterError> {
    let Some(object) = value.as_object() else {
        return refuse(path, format!("{what} is no object; it has {}", words(members)));
    };
    match object.keys().find(|key| !members.contains(&key.as_str())) {
        Some(key) => refuse(format!("{path}/{key}"), format!("{what} has no `{key}`; it has {}", words(members))),
        None => Ok(object),
    }
}

fn version(document: &Object, name: &str) -> Result<u32, UpcasterError> {
    let version = document.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    match version.filter(|version| *version > 0) {
        Some(version) => Ok(version),
        None => refuse(format!("/{name}"), format!("`{name}` is missing or no version; it is a number from 1 on")),
    }
}

fn step(value: &Value, path: &str) -> Result<Step, UpcasterError> {
    let op = value.get("op").and_then(Value::as_str);
    let Some((op, members)) = OPS.iter().find(|(name, _)| Some(*name) == op) else {
        let all = words(&OPS.map(|(name, _)| name));
        let problem = match op {
            Some(op) => format!("there is no step `{op}`; there are {all}"),
            None => format!("`op` is missing; it is one of {all}"),
        };
        return refuse(format!("{path}/op"), problem);
    };
    let fields = Fields { step: object(value, path, &format!("a `{op}` step"), members)?, path };
    Ok(match *op {
        "move" => {
            let (from, path) = fields.both_pointers()?;
            Step::Move { from, path }
        }
        "copy" => {
            let (from, path) = fields.both_pointers()?;
            Step::Copy { from, path }
        }
        "default" => Step::Default { path: fields.pointer("path")?, value: fields.value("value")?.clone() },
        "constant" => Step::Constant { path: fields.pointer("path")?, value: fields.value("value")?.clone() },
        "split" => fields.split()?,
        "map" => fields.map()?,
        "cast" => {
            let word = fields.value("to")?.as_str();
            let Some(to) = CastTo::ALL.into_iter().find(|to| Some(to.word()) == word) else {
                return fields.refuse("to", format!("it is one of {}", words(&CastTo::ALL.map(CastTo::word))));
            };
            Step::Cast { path: fields.pointer("path")?, to }
        }
        _ => Step::Drop { path: fields.pointer("path")? },
    })
}

struct Fields<'a> {
    step: &'a Object,
    path: &'a str,
}

impl Fields<'_> {
    fn refuse<T>(&self, name: &str, problem: String) -> Result<T, UpcasterError> {
        refuse(format!("{}/{name}", self.path), problem)
    }

    fn value(&self, name: &str) -> Result<&Value, UpcasterError> {
        match self.step.get(name) {
            Some(value) => Ok(value),
            None => self.refuse(name, format!("`{name}` is missing")),
        }
    }

    fn pointer(&self, name: &str) -> Result<Pointer, UpcasterError> {
        self.pointer_of(self.value(name)?, name)
    }

    fn pointer_of(&self, value: &Value, name: &str) -> Result<Pointer, UpcasterError> {
        let Some(text) = value.as_str() else {
            return self.refuse(name, "it is a JSON pointer, a text like `/amount`".to_owned());
        };
        text.parse().or_else(|problem| self.refuse(name, problem))
    }

    /// Two pointers that have to be the same up to the last `*`, so that both are within one item.
    fn share_lists(&self, name: &str, from: &Pointer, path: &Pointer) -> Result<(), UpcasterError> {
        let lists = from.list_segments().max(path.list_segments());
        if from.list_segments() != path.list_segments() || from.0[..lists] != path.0[..lists] {
            let problem =
                format!("`{from}` and `{path}` differ before their last `*`; a step stays within one item of a list");
            return self.refuse(name, problem);
        }
        if from.contains(path) {
            return self
                .refuse(name, format!("`{path}` is within `{from}`; take a value elsewhere, or use another step"));
        }
        Ok(())
    }

    fn both_pointers(&self) -> Result<(Pointer, Pointer), UpcasterError> {
        let (from, path) = (self.pointer("from")?, self.pointer("path")?);
        if from == path {
            return self.refuse("path", format!("`from` and `path` are both `{path}`; leave the step out"));
        }
        self.share_lists("path", &from, &path)?;
        Ok((from, path))
    }

    fn split(&self) -> Result<Step, UpcasterError> {
        let from = self.pointer("from")?;
        let Some(separator) = self.value("separator")?.as_str().filter(|text| !text.is_empty()) else {
            return self.refuse("separator", "it is a text of at least one character".to_owned());
        };
        let Some(values) = self.value("paths")?.as_array().filter(|paths| !paths.is_empty()) else {
            return self.refuse("paths", "it is a list of at least one JSON pointer".to_owned());
        };
        let mut paths = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let name = format!("paths/{index}");
            let path = self.pointer_of(value, &name)?;
            self.share_lists(&name, &from, &path)?;
            paths.push(path);
        }
        Ok(Step::Split { from, separator: separator.to_owned(), paths })
    }

    fn map(&self) -> Result<Step, UpcasterError> {
        let pairs = || {
            "it is a list of pairs, like `[[\"A\",\"active\"]]`, or for texts an object, like `{\"A\":\"active\"}`"
                .to_owned()
        };
        let values: Vec<(Value, Value)> = match self.value("values")? {
            Value::Object(texts) => texts.iter().map(|(from, to)| (Value::from(from.as_str()), to.clone())).collect(),
            Value::Array(list) => {
                let pair = |(index, one): (usize, &Value)| match one.as_array().map(Vec::as_slice) {
                    Some([from, to]) => Ok((from.clone(), to.clone())),
                    _ => self.refuse(&format!("values/{index}"), pairs()),
                };
                list.iter().enumerate().map(pair).collect::<Result<_, _>>()?
            }
            _ => return self.refuse("values", pairs()),
        };
        if let Some(twice) = value::Table::twice(&values) {
            return self.refuse("values", format!("{twice} is mapped twice; leave one of the pairs out"));
        }
        Ok(Step::Map { path: self.pointer("path")?, values, otherwise: self.step.get("otherwise").cloned() })
    }
}
