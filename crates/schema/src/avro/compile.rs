//! Reads the text of an Avro schema, within bounds, and compiles it.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::encode::Encoder;
use super::node::{Branch, Id, Kind, Logical, Named, Node, Nodes, Preset, RecordField};
use super::peer;
use crate::format::{Reference, SchemaError};
use crate::trail::Trail;

/// How long a schema may be, with what it refers to.
const BYTES_MAX: usize = 256 * 1024;
/// How deep it may nest.
pub(super) const DEPTH_MAX: usize = 64;
/// How many named types it may have.
const NAMED_MAX: usize = 1_000;
/// How many types it may have, named or not.
const NODES_MAX: usize = 4_000;
/// How long a name may be, with its namespace.
const NAME_BYTES_MAX: usize = 256;
/// How many bytes all defaults may amount to, in the binary encoding.
const PRESET_BYTES_MAX: usize = 1024 * 1024;

/// Compiles a schema, and says how it was read.
pub(super) fn compile(text: &str, references: &[Reference]) -> Result<(Nodes, Value), SchemaError> {
    let bytes = references.iter().fold(text.len(), |sum, reference| sum.saturating_add(reference.text.len()));
    if bytes > BYTES_MAX {
        return Err(at(
            &Trail::Root,
            format!(
                "the schema and what it refers to have {bytes} bytes; {BYTES_MAX} are allowed: describe less in one event"
            ),
        ));
    }
    let value = json(text)?;
    let referred: Vec<Referred<'_>> =
        references.iter().map(|reference| Referred { reference, is_used: false }).collect();
    let mut compiler = Compiler { referred, ..Compiler::default() };
    let root = compiler.node(&value, "", &Trail::Root, 0)?;
    compiler.nodes.root = root;
    peer::check(&value, &compiler.read)?;
    set_presets(&compiler.nodes, &compiler.preset_paths)?;
    if is_nested_deeper(&compiler.nodes, root, 0, &mut HashSet::new()) {
        let problem =
            format!("the schemas that it refers to nest deeper than {DEPTH_MAX}, each in the next; nest less");
        return Err(at(&Trail::Root, problem));
    }
    Ok((compiler.nodes, value))
}

/// Whether types stand deep in one another: what is referred to is not nested as a text, but is as a type.
fn is_nested_deeper(nodes: &Nodes, id: Id, depth: usize, seen: &mut HashSet<Id>) -> bool {
    let kind = nodes.kind(id);
    if depth > DEPTH_MAX {
        return true;
    }
    if kind.named().is_some() && !seen.insert(id) {
        return false;
    }
    let mut is_deeper = |id: Id| is_nested_deeper(nodes, id, depth + 1, seen);
    match kind {
        Kind::Union(branches) => branches.iter().any(|branch| is_deeper(branch.id)),
        Kind::Array(inner) | Kind::Map(inner) => is_deeper(*inner),
        Kind::Record { fields, .. } => fields.iter().any(|field| is_deeper(field.id)),
        _ => false,
    }
}

fn json(text: &str) -> Result<Value, SchemaError> {
    let value: Value = serde_json::from_str(text).map_err(|error| SchemaError {
        path: format!("{}:{}", error.line(), error.column()),
        problem: format!(
            "the schema is no JSON ({error}); an Avro schema is a JSON object like {{\"type\":\"record\", …}}"
        ),
    })?;
    match is_deeper(&value, DEPTH_MAX) {
        true => {
            Err(at(&Trail::Root, format!("the schema nests deeper than {DEPTH_MAX}; refer to types by their names")))
        }
        false => Ok(value),
    }
}

fn is_deeper(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth == 0 || items.iter().any(|item| is_deeper(item, depth - 1)),
        Value::Object(members) => depth == 0 || members.values().any(|value| is_deeper(value, depth - 1)),
        _ => false,
    }
}

/// Works out every default once, so that one that is wrong, or has no end, is seen now.
fn set_presets(nodes: &Nodes, paths: &[(Id, usize, String)]) -> Result<(), SchemaError> {
    let mut encoder = Encoder::for_presets(nodes, PRESET_BYTES_MAX);
    for (record, index, path) in paths {
        encoder.preset(*record, *index, &Trail::Root, 0).map_err(|broken| SchemaError {
            path: path.clone(),
            problem: format!(
                "the default {} {}; give one that is of the field's type, or none",
                if broken.path.is_empty() { String::new() } else { format!("at {}", broken.path) },
                broken.problem
            )
            .replace("  ", " "),
        })?;
    }
    Ok(())
}

fn at(trail: &Trail<'_>, problem: impl Into<String>) -> SchemaError {
    SchemaError { path: trail.to_string(), problem: problem.into() }
}

struct Referred<'a> {
    reference: &'a Reference,
    is_used: bool,
}

#[derive(Default)]
struct Compiler<'a> {
    nodes: Nodes,
    names: HashMap<Box<str>, Id>,
    referred: Vec<Referred<'a>>,
    /// Those that were needed, each behind what it needs itself.
    read: Vec<Value>,
    /// The defaults: of which record and field, and where they stand.
    preset_paths: Vec<(Id, usize, String)>,
}

impl Compiler<'_> {
    fn push(&mut self, kind: Kind, trail: &Trail<'_>) -> Result<Id, SchemaError> {
        if self.nodes.all.len() == NODES_MAX {
            return Err(at(trail, format!("the schema has more than {NODES_MAX} types; describe less in one event")));
        }
        self.nodes.all.push(Node { kind, logical: None });
        Ok(self.nodes.all.len() - 1)
    }

    fn node(&mut self, value: &Value, space: &str, trail: &Trail<'_>, depth: usize) -> Result<Id, SchemaError> {
        if depth > DEPTH_MAX {
            return Err(at(trail, format!("types nest deeper than {DEPTH_MAX} here; nest less")));
        }
        match value {
            Value::String(word) => self.called(word, space, trail, depth),
            Value::Array(branches) => self.union(branches, space, trail, depth),
            Value::Object(members) => self.complex(members, space, trail, depth),
            _ => Err(at(trail, "a type is a name, an object, or a list of branches; write one of them")),
        }
    }

    /// A primitive type, or a named one that is known or referred to.
    fn called(&mut self, word: &str, space: &str, trail: &Trail<'_>, depth: usize) -> Result<Id, SchemaError> {
        if let Some(kind) = primitive(word) {
            return self.push(kind, trail);
        }
        let name = full_name(word, space, trail)?;
        if let Some(id) = self.find(&name, depth)? {
            return Ok(id);
        }
        let hint = match word {
            "bool" => "; write `boolean`",
            "integer" => "; write `int` or `long`",
            "number" => "; write `double`",
            "text" | "str" => "; write `string`",
            _ => "; define it where it is first used, or register the schema that does and refer to it",
        };
        Err(at(trail, format!("there is no type `{name}`{hint}")))
    }

    /// A named type that was defined before, or that one of the references defines: the one of that name first.
    fn find(&mut self, name: &str, depth: usize) -> Result<Option<Id>, SchemaError> {
        while !self.names.contains_key(name) {
            let is_named = |referred: &Referred<'_>| !referred.is_used && referred.reference.name == name;
            let next = self.referred.iter().position(is_named);
            let Some(next) = next.or_else(|| self.referred.iter().position(|referred| !referred.is_used)) else {
                break;
            };
            let Reference { name, text } = self.referred[next].reference;
            let within = |error: SchemaError| SchemaError {
                path: error.path,
                problem: format!("in the schema that is referred to as `{name}`: {}", error.problem),
            };
            let value = json(text).map_err(within)?;
            // Taken before it is read, so that references in a circle come to an end.
            self.referred[next].is_used = true;
            let id = self.node(&value, "", &Trail::Root, depth + 1).map_err(within)?;
            if self.nodes.kind(id).named().is_none() {
                return Err(within(at(
                    &Trail::Root,
                    "it defines no named type; refer to a record, an enum or a fixed",
                )));
            }
            self.read.push(value);
        }
        Ok(self.names.get(name).copied())
    }

    fn union(&mut self, list: &[Value], space: &str, trail: &Trail<'_>, depth: usize) -> Result<Id, SchemaError> {
        if list.is_empty() {
            return Err(at(trail, "the union has no branch, so no value can be of it; give it one"));
        }
        let mut ids = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let trail = Trail::Item(trail, index);
            let id = self.node(value, space, &trail, depth + 1)?;
            if matches!(self.nodes.kind(id), Kind::Union(_)) {
                return Err(at(&trail, "a union stands directly in a union; put its branches into the outer one"));
            }
            ids.push(id);
        }
        let mut names = HashMap::new();
        let mut of_form = HashMap::new();
        for (index, id) in ids.iter().enumerate() {
            let kind = self.nodes.kind(*id);
            if names.insert(kind.branch_name(), ()).is_some() {
                let problem = format!("the union has the branch `{}` twice; keep one", kind.branch_name());
                return Err(at(&Trail::Item(trail, index), problem));
            }
            *of_form.entry(kind.form()).or_insert(0) += 1;
        }
        let is_plain = |id: Id| of_form.get(&self.nodes.kind(id).form()) == Some(&1);
        let branches = ids.iter().map(|id| Branch { id: *id, is_plain: is_plain(*id) }).collect();
        self.push(Kind::Union(branches), trail)
    }

    fn complex(
        &mut self,
        members: &Map<String, Value>,
        space: &str,
        trail: &Trail<'_>,
        depth: usize,
    ) -> Result<Id, SchemaError> {
        let id = match members.get("type") {
            Some(Value::String(word)) => match word.as_str() {
                "record" => self.record(members, space, trail, depth)?,
                "enum" => self.symbols(members, space, trail)?,
                "fixed" => self.fixed(members, space, trail)?,
                "array" => {
                    let item = self.part(members, "items", space, trail, depth)?;
                    self.push(Kind::Array(item), trail)?
                }
                "map" => {
                    let value = self.part(members, "values", space, trail, depth)?;
                    self.push(Kind::Map(value), trail)?
                }
                word => self.called(word, space, &Trail::Member(trail, "type"), depth + 1)?,
            },
            Some(inner) => return self.node(inner, space, &Trail::Member(trail, "type"), depth + 1),
            None => return Err(at(trail, "the type does not say which it is; add the member `type`")),
        };
        // A name that was defined elsewhere keeps what it stands for.
        if members.get("type").and_then(Value::as_str).is_some_and(is_definition) {
            self.nodes.all[id].logical = logical(members, self.nodes.kind(id));
        }
        Ok(id)
    }

    fn part(
        &mut self,
        members: &Map<String, Value>,
        name: &'static str,
        space: &str,
        trail: &Trail<'_>,
        depth: usize,
    ) -> Result<Id, SchemaError> {
        match members.get(name) {
            Some(value) => self.node(value, space, &Trail::Member(trail, name), depth + 1),
            None => Err(at(trail, format!("the type does not say what its {name} are; add the member `{name}`"))),
        }
    }

    /// Takes the name of a new type, so that what stands inside may refer to it, and gives it its place.
    fn define(
        &mut self,
        members: &Map<String, Value>,
        space: &str,
        trail: &Trail<'_>,
    ) -> Result<(Id, Named, String), SchemaError> {
        let Some(name) = members.get("name").and_then(Value::as_str) else {
            return Err(at(trail, "a record, an enum and a fixed have a name; add the member `name`"));
        };
        let own = members.get("namespace").and_then(Value::as_str).unwrap_or(space);
        let full = full_name(name, own, &Trail::Member(trail, "name"))?;
        if primitive(&full).is_some() {
            return Err(at(trail, format!("`{full}` is the name of a primitive type; take another")));
        }
        let space = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let mut aliases = Vec::new();
        for alias in aliases_of(members, trail)? {
            aliases.push(full_name(alias, &space, &Trail::Member(trail, "aliases"))?.into());
        }
        aliases.sort();
        if self.names.len() == NAMED_MAX {
            return Err(at(
                trail,
                format!("the schema has more than {NAMED_MAX} named types; describe less in one event"),
            ));
        }
        // What stands here until the type is read is only ever asked whether it is a union.
        let id = self.push(Kind::Null, trail)?;
        if self.names.insert(full.as_str().into(), id).is_some() {
            return Err(at(trail, format!("the type `{full}` is defined twice; name it the second time, and no more")));
        }
        Ok((id, Named { full: full.into(), aliases }, space))
    }

    fn record(
        &mut self,
        members: &Map<String, Value>,
        space: &str,
        trail: &Trail<'_>,
        depth: usize,
    ) -> Result<Id, SchemaError> {
        let (id, named, space) = self.define(members, space, trail)?;
        self.nodes.all[id].kind =
            Kind::Record { named: Named { full: named.full.clone(), aliases: vec![] }, fields: vec![] };
        let Some(list) = members.get("fields").and_then(Value::as_array) else {
            return Err(at(trail, "the record does not say what its fields are; add the member `fields`, a list"));
        };
        let list_trail = Trail::Member(trail, "fields");
        let mut fields: Vec<RecordField> = Vec::with_capacity(list.len());
        let mut known = HashMap::new();
        for (index, field) in list.iter().enumerate() {
            let trail = Trail::Item(&list_trail, index);
            let Some(members) = field.as_object() else {
                return Err(at(&trail, "a field is an object with `name` and `type`; write one"));
            };
            let Some(name) = members.get("name").and_then(Value::as_str) else {
                return Err(at(&trail, "the field has no name; add the member `name`"));
            };
            check_word(name, &trail)?;
            if known.insert(name, ()).is_some() {
                return Err(at(&trail, format!("the record has the field `{name}` twice; keep one")));
            }
            let mut aliases: Vec<Box<str>> = aliases_of(members, &trail)?.into_iter().map(Box::from).collect();
            aliases.sort();
            let id_of_type = match members.get("type") {
                Some(value) => self.node(value, &space, &Trail::Member(&trail, "type"), depth + 1)?,
                None => return Err(at(&trail, "the field does not say what it is; add the member `type`")),
            };
            let preset = members.get("default").map(|json| Preset { json: json.clone(), binary: OnceLock::new() });
            if preset.is_some() {
                self.preset_paths.push((id, index, Trail::Member(&trail, "default").to_string()));
            }
            fields.push(RecordField { name: name.into(), aliases, id: id_of_type, preset });
        }
        self.nodes.all[id].kind = Kind::Record { named, fields };
        Ok(id)
    }

    fn symbols(&mut self, members: &Map<String, Value>, space: &str, trail: &Trail<'_>) -> Result<Id, SchemaError> {
        let (id, named, _) = self.define(members, space, trail)?;
        let Some(list) = members.get("symbols").and_then(Value::as_array) else {
            return Err(at(trail, "the enum does not say what its symbols are; add the member `symbols`, a list"));
        };
        let list_trail = Trail::Member(trail, "symbols");
        let mut symbols: Vec<Box<str>> = Vec::with_capacity(list.len());
        let mut indexes: HashMap<Box<str>, usize> = HashMap::new();
        for (index, symbol) in list.iter().enumerate() {
            let trail = Trail::Item(&list_trail, index);
            let Some(symbol) = symbol.as_str() else {
                return Err(at(&trail, "a symbol is a text; write one"));
            };
            check_word(symbol, &trail)?;
            if indexes.insert(symbol.into(), index).is_some() {
                return Err(at(&trail, format!("the enum has the symbol `{symbol}` twice; keep one")));
            }
            symbols.push(symbol.into());
        }
        let default = match members.get("default") {
            None => None,
            Some(default) => {
                let index = default.as_str().and_then(|default| indexes.get(default).copied());
                let problem = "the enum's default is none of its symbols; take one of them, or none";
                Some(index.ok_or_else(|| at(&Trail::Member(trail, "default"), problem))?)
            }
        };
        self.nodes.all[id].kind = Kind::Enum { named, symbols, indexes, default };
        Ok(id)
    }

    fn fixed(&mut self, members: &Map<String, Value>, space: &str, trail: &Trail<'_>) -> Result<Id, SchemaError> {
        let (id, named, _) = self.define(members, space, trail)?;
        let size = members.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let Some(size) = size else {
            return Err(at(trail, "the fixed does not say how many bytes it has; add the member `size`, a number"));
        };
        self.nodes.all[id].kind = Kind::Fixed { named, size };
        Ok(id)
    }
}

pub(super) fn primitive(word: &str) -> Option<Kind> {
    Some(match word {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

fn is_definition(word: &str) -> bool {
    primitive(word).is_some() || matches!(word, "fixed" | "record" | "enum" | "array" | "map")
}

/// What a type stands for. A logical type that is not known, or stands on the wrong type, is none, as Avro has it.
fn logical(members: &Map<String, Value>, kind: &Kind) -> Option<Logical> {
    let number = |name: &str, otherwise: Option<u64>| members.get(name).map_or(otherwise, Value::as_u64);
    let word = members.get("logicalType")?.as_str()?;
    let is_right = |word: &'static str, is_right: bool| is_right.then_some(Logical::Other(word));
    match word {
        "decimal" => {
            let (precision, scale) = (number("precision", None)?, number("scale", Some(0))?);
            let is_right = matches!(kind, Kind::Bytes | Kind::Fixed { .. }) && precision > 0 && scale <= precision;
            is_right.then_some(Logical::Decimal { precision, scale })
        }
        "big-decimal" => is_right("big-decimal", matches!(kind, Kind::Bytes)),
        "uuid" => is_right("uuid", matches!(kind, Kind::String | Kind::Fixed { size: 16, .. })),
        "date" => is_right("date", matches!(kind, Kind::Int)),
        "time-millis" => is_right("time-millis", matches!(kind, Kind::Int)),
        "time-micros" => is_right("time-micros", matches!(kind, Kind::Long)),
        "timestamp-millis" => is_right("timestamp-millis", matches!(kind, Kind::Long)),
        "timestamp-micros" => is_right("timestamp-micros", matches!(kind, Kind::Long)),
        "timestamp-nanos" => is_right("timestamp-nanos", matches!(kind, Kind::Long)),
        "local-timestamp-millis" => is_right("local-timestamp-millis", matches!(kind, Kind::Long)),
        "local-timestamp-micros" => is_right("local-timestamp-micros", matches!(kind, Kind::Long)),
        "local-timestamp-nanos" => is_right("local-timestamp-nanos", matches!(kind, Kind::Long)),
        "duration" => is_right("duration", matches!(kind, Kind::Fixed { size: 12, .. })),
        _ => None,
    }
}

fn aliases_of<'v>(members: &'v Map<String, Value>, trail: &Trail<'_>) -> Result<Vec<&'v str>, SchemaError> {
    let Some(aliases) = members.get("aliases") else { return Ok(Vec::new()) };
    let list = aliases.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    list.ok_or_else(|| at(&Trail::Member(trail, "aliases"), "aliases are a list of names; write one"))
}

/// The name with its namespace: its own, where it has dots, else the one around it.
fn full_name(name: &str, space: &str, trail: &Trail<'_>) -> Result<String, SchemaError> {
    let full = match name.strip_prefix('.') {
        Some(name) => name.to_owned(),
        None if name.contains('.') || space.is_empty() => name.to_owned(),
        None => format!("{space}.{name}"),
    };
    if full.len() > NAME_BYTES_MAX {
        return Err(at(trail, format!("a name with its namespace has more than {NAME_BYTES_MAX} bytes; shorten it")));
    }
    full.split('.').try_for_each(|part| check_word(part, trail))?;
    Ok(full)
}

fn check_word(word: &str, trail: &Trail<'_>) -> Result<(), SchemaError> {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_word = word.bytes().next().is_some_and(is_first) && word.bytes().all(|b| is_first(b) || b.is_ascii_digit());
    if is_word && word.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let word: String = word.chars().take(NAME_BYTES_MAX).collect();
    let problem = format!("`{word}` is no name; take at most {NAME_BYTES_MAX} letters, digits and `_`, no digit first");
    Err(at(trail, problem))
}
