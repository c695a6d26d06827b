//! A compiled Avro schema: nodes that point at one another, so that named types may contain themselves.

use std::collections::{HashMap, VecDeque};
use std::sync::OnceLock;

use serde_json::Value;

use crate::format::Field;
use crate::trail;

/// How many fields of a schema are named, at most.
const FIELDS_MAX: usize = 1_000;
/// How many nodes are looked at for them, at most.
const STEPS_MAX: usize = 20_000;

/// Where a node lies.
pub(super) type Id = usize;

/// All nodes of a schema.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    pub(super) root: Id,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) logical: Option<Logical>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed { named: Named, size: usize },
    Enum { named: Named, symbols: Vec<Box<str>>, indexes: HashMap<Box<str>, usize>, default: Option<usize> },
    Array(Id),
    Map(Id),
    Record { named: Named, fields: Vec<RecordField> },
    Union(Vec<Branch>),
}

/// What a named type is called: with its namespace, also under its aliases.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) full: Box<str>,
    pub(super) aliases: Vec<Box<str>>,
}

impl Named {
    /// The name without the namespace.
    pub(super) fn short(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or_default()
    }
}

#[derive(Debug)]
pub(super) struct RecordField {
    pub(super) name: Box<str>,
    pub(super) aliases: Vec<Box<str>>,
    pub(super) id: Id,
    pub(super) preset: Option<Preset>,
}

/// A field's default.
#[derive(Debug)]
pub(super) struct Preset {
    pub(super) json: Value,
    /// Set for every default before the schema is handed out.
    pub(super) binary: OnceLock<Box<[u8]>>,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) id: Id,
    /// No other branch has its kind of JSON, so that its values can stand plain.
    pub(super) is_plain: bool,
}

/// What the numbers, bytes and texts of a node stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Logical {
    Decimal { precision: u64, scale: u64 },
    Other(&'static str),
}

impl Logical {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Logical::Decimal { .. } => "decimal",
            Logical::Other(word) => word,
        }
    }
}

/// The kinds of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Null,
    Boolean,
    Number,
    Text,
    List,
    Object,
}

impl Form {
    pub(super) fn of(value: &Value) -> Form {
        match value {
            Value::Null => Form::Null,
            Value::Bool(_) => Form::Boolean,
            Value::Number(_) => Form::Number,
            Value::String(_) => Form::Text,
            Value::Array(_) => Form::List,
            Value::Object(_) => Form::Object,
        }
    }

    /// As a sentence calls it.
    pub(super) fn called(self) -> &'static str {
        match self {
            Form::Null => "null",
            Form::Boolean => "true or false",
            Form::Number => "a number",
            Form::Text => "a text",
            Form::List => "a list",
            Form::Object => "an object",
        }
    }
}

impl Kind {
    /// Which JSON stands for it; `None` for a union.
    pub(super) fn form(&self) -> Option<Form> {
        Some(match self {
            Kind::Null => Form::Null,
            Kind::Boolean => Form::Boolean,
            Kind::Int | Kind::Long | Kind::Float | Kind::Double => Form::Number,
            Kind::Bytes | Kind::String | Kind::Fixed { .. } | Kind::Enum { .. } => Form::Text,
            Kind::Array(_) => Form::List,
            Kind::Map(_) | Kind::Record { .. } => Form::Object,
            Kind::Union(_) => return None,
        })
    }

    /// Avro's word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::String => "string",
            Kind::Fixed { .. } => "fixed",
            Kind::Enum { .. } => "enum",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Record { .. } => "record",
            Kind::Union(_) => "union",
        }
    }

    /// What it is called, if it is a named type.
    pub(super) fn named(&self) -> Option<&Named> {
        match self {
            Kind::Fixed { named, .. } | Kind::Enum { named, .. } | Kind::Record { named, .. } => Some(named),
            _ => None,
        }
    }

    /// By which name a union knows this branch.
    pub(super) fn branch_name(&self) -> &str {
        self.named().map_or(self.word(), |named| &named.full)
    }
}

impl Nodes {
    pub(super) fn kind(&self, id: Id) -> &Kind {
        &self.all[id].kind
    }

    /// The branches of a union; of any other node, itself.
    pub(super) fn branches(&self, id: Id) -> Vec<Id> {
        match self.kind(id) {
            Kind::Union(branches) => branches.iter().map(|branch| branch.id).collect(),
            _ => vec![id],
        }
    }

    /// The fields by their paths, those of the outermost record first. Inside itself a type is not walked again.
    pub(super) fn fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut queue = VecDeque::from([(String::new(), self.root, true, Vec::new())]);
        let mut steps = 0;
        while let Some((path, id, is_required, around)) = queue.pop_front() {
            steps += 1;
            if steps == STEPS_MAX {
                break;
            }
            match self.kind(id) {
                Kind::Array(item) | Kind::Map(item) => {
                    queue.push_back((trail::items(&path), *item, is_required, around));
                }
                Kind::Union(branches) => {
                    // Beside null there is one branch only whose values can be here, so that its fields are there with any value.
                    let values = branches.iter().filter(|branch| !matches!(self.kind(branch.id), Kind::Null));
                    let is_alone = values.clone().count() == 1;
                    let ways = values.map(|one| (path.clone(), one.id, is_required && is_alone, around.clone()));
                    queue.extend(ways.take(STEPS_MAX - queue.len().min(STEPS_MAX)));
                }
                Kind::Record { fields: own, .. } if !around.contains(&id) => {
                    let mut around = around;
                    around.push(id);
                    for field in own {
                        if fields.len() == FIELDS_MAX {
                            return fields;
                        }
                        let path = trail::member(&path, &field.name);
                        let can_be_null = self.branches(field.id).iter().any(|id| matches!(self.kind(*id), Kind::Null));
                        let is_required = is_required && field.preset.is_none() && !can_be_null;
                        fields.push(Field { path: path.clone(), is_required });
                        queue.push_back((path, field.id, is_required, around.clone()));
                    }
                }
                _ => {}
            }
        }
        fields
    }
}

/// Among some types the one that is of the same kind, and of the same name if it has one: of the full name first.
pub(super) fn find(ids: &[Id], nodes: &Nodes, kind: &Kind, answers: impl Fn(&Named, &Named) -> bool) -> Option<Id> {
    let same = |id: &&Id| nodes.kind(**id).word() == kind.word();
    let by_full = |id: &&Id| nodes.kind(**id).named().map(|one| &one.full) == kind.named().map(|named| &named.full);
    let by_name = |id: &&Id| match (nodes.kind(**id).named(), kind.named()) {
        (Some(one), Some(named)) => answers(one, named),
        _ => false,
    };
    ids.iter().filter(same).find(by_full).or_else(|| ids.iter().filter(same).find(by_name)).copied()
}

/// Whether a reader's named type takes what was written as another: by the name without its namespace, or by an alias.
pub(super) fn answers_to(reader: &Named, writer: &Named) -> bool {
    reader.short() == writer.short() || reader.aliases.contains(&writer.full)
}

/// Whether what was written as one primitive type can be read as another one.
pub(super) fn promotes(writer: &Kind, reader: &Kind) -> bool {
    matches!(
        (writer, reader),
        (Kind::Int, Kind::Long | Kind::Float | Kind::Double)
            | (Kind::Long, Kind::Float | Kind::Double)
            | (Kind::Float, Kind::Double)
            | (Kind::String, Kind::Bytes)
            | (Kind::Bytes, Kind::String)
    )
}
