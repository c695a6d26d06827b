//! A schema's texts as one document in one dialect: everything that validates, in draft 2020-12, with every `$ref` a
//! pointer into the document itself.
//!
//! What validates, what compares two schemas and what lists fields all read this document, and so need not know of drafts,
//! of ids and anchors, or of other texts. What a schema points to outside of itself and of what is given along is refused
//! here, and nothing is fetched.

use std::collections::HashMap;

use jsonschema::Draft;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use super::address::joined;
use super::{limits, older};
use crate::format::{Reference, SchemaError};

/// How long a schema's text may be, together with those that it refers to.
pub(crate) const TEXT_MAX: usize = 256 * 1024;
/// How many other texts a schema may refer to.
const REFERENCES_MAX: usize = 64;
/// How many schemas one may consist of.
const SCHEMAS_MAX: usize = 4096;
/// How long the name of a field may be: places are told by the names on the way to them.
const NAME_MAX: usize = 512;

/// A schema in one dialect.
pub(crate) struct Document {
    /// The schema: an object, or true or false.
    pub(crate) schema: Value,
    /// The text as it came, with sorted members and without blanks.
    pub(crate) canonical: String,
}

impl Document {
    /// Reads a schema and what it refers to.
    pub(crate) fn read(text: &str, references: &[Reference]) -> Result<Document, SchemaError> {
        let length = text.len() + references.iter().map(|reference| reference.text.len()).sum::<usize>();
        if length > TEXT_MAX {
            return Err(SchemaError::at(
                "",
                format!(
                    "the schema has {length} bytes, and {TEXT_MAX} is the most; describe less of the data, or split the event"
                ),
            ));
        }
        if references.len() > REFERENCES_MAX {
            return Err(SchemaError::at(
                "",
                format!("the schema refers to more than {REFERENCES_MAX} others; write them as one"),
            ));
        }
        let root = Source::read(text, String::new())?;
        let canonical = root.canonical.clone();
        let mut sources = vec![root];
        for (number, reference) in references.iter().enumerate() {
            // No definition of the schema's own begins with a blank, or it would have to be quoted everywhere.
            let place = format!("/$defs/{}", escape(&format!(" {number} {}", reference.name)));
            let source = Source::read(&reference.text, place).map_err(|error| SchemaError {
                problem: format!("the schema `{}` that it refers to is refused: {}", reference.name, error.problem),
                ..error
            })?;
            sources.push(source);
        }
        let mut index = Index::default();
        for (source, reference) in sources.iter().zip(std::iter::once(None).chain(references.iter().map(Some))) {
            index.add(source, reference.map(|reference| &*reference.name))?;
        }
        let mut schema = Value::Null;
        for source in &sources {
            let own = Writer { index: &index, draft: source.draft }.schema(
                &source.value,
                "",
                &source.place,
                &source.place,
            )?;
            if source.place.is_empty() {
                schema = own;
            } else if let Some(root) = schema.as_object_mut() {
                let name = source.place.trim_start_matches("/$defs/").replace("~1", "/").replace("~0", "~");
                if let Some(definitions) = root.entry("$defs").or_insert_with(|| Map::new().into()).as_object_mut() {
                    definitions.insert(name, own);
                }
            }
        }
        Ok(Document { schema, canonical })
    }

    /// What a `$ref` of this document points to.
    pub(crate) fn resolve(&self, reference: &str) -> Option<&Value> {
        let pointer = percent_decode_str(reference.strip_prefix('#')?).decode_utf8().ok()?;
        self.schema.pointer(&pointer)
    }
}

/// JSON with sorted members and without blanks.
pub(crate) fn canonical(value: &Value) -> String {
    fn write(value: &Value, text: &mut String) {
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                text.push('{');
                for (number, (name, member)) in members.into_iter().enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    text.push_str(&Value::from(name.as_str()).to_string());
                    text.push(':');
                    write(member, text);
                }
                text.push('}');
            }
            Value::Array(items) => {
                text.push('[');
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    write(item, text);
                }
                text.push(']');
            }
            scalar => text.push_str(&scalar.to_string()),
        }
    }
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// One token of a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// One text.
struct Source {
    /// In draft-07 or a later one.
    value: Value,
    /// As it came.
    canonical: String,
    draft: Draft,
    /// Where it stands in the document.
    place: String,
}

impl Source {
    fn read(text: &str, place: String) -> Result<Source, SchemaError> {
        pacioli_core::json::check(text.as_bytes())
            .map_err(|error| SchemaError::at("", format!("the schema is {error}; mend the text")))?;
        limits::check(text)?;
        let value: Value = serde_json::from_str(text)
            .map_err(|error| SchemaError::at("", format!("the schema is no JSON: {error}")))?;
        let draft = draft(&value)?;
        // The dialect's own schema says what each keyword takes.
        let invalid = match draft {
            Draft::Draft4 => jsonschema::draft4::meta::validate(&value).err(),
            Draft::Draft6 => jsonschema::draft6::meta::validate(&value).err(),
            Draft::Draft7 => jsonschema::draft7::meta::validate(&value).err(),
            Draft::Draft201909 => jsonschema::draft201909::meta::validate(&value).err(),
            _ => jsonschema::draft202012::meta::validate(&value).err(),
        };
        if let Some(error) = invalid {
            let path = error.instance_path().as_str().to_owned();
            let place = if path.is_empty() { "the schema".to_owned() } else { format!("`{path}`") };
            let mut problem: String = error.masked().to_string().chars().take(200).collect();
            if path.ends_with("/items") && draft == Draft::Draft202012 && error.instance().is_array() {
                problem.push_str("; in draft 2020-12 a list of schemas for the first items is `prefixItems`");
            }
            return Err(SchemaError::at(path, format!("{place} is not what JSON Schema allows there: {problem}")));
        }
        let canonical = canonical(&value);
        let names_it = |schema: &Value| self::draft(schema).is_ok_and(|named| named == draft);
        let (value, draft) = match draft {
            Draft::Draft4 | Draft::Draft6 => (older::in_draft_7(&value, draft, &names_it), Draft::Draft7),
            draft => (value, draft),
        };
        Ok(Source { value, canonical, draft, place })
    }
}

/// The dialect that `$schema` names.
fn draft(schema: &Value) -> Result<Draft, SchemaError> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(SchemaError::at("", "the schema is no JSON object; write one, like `{\"type\":\"object\"}`"));
    }
    let Some(named) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    let named = named.as_str().unwrap_or_default();
    let plain = named.trim_end_matches('#').trim_start_matches("https://").trim_start_matches("http://");
    match plain {
        "json-schema.org/draft/2020-12/schema" => Ok(Draft::Draft202012),
        "json-schema.org/draft/2019-09/schema" => Ok(Draft::Draft201909),
        "json-schema.org/draft-07/schema" => Ok(Draft::Draft7),
        "json-schema.org/draft-06/schema" => Ok(Draft::Draft6),
        "json-schema.org/draft-04/schema" => Ok(Draft::Draft4),
        _ => Err(SchemaError::at(
            "/$schema",
            "`$schema` names a dialect that is not known here; write `https://json-schema.org/draft/2020-12/schema` (or draft \
             2019-09, draft-07, draft-06 or draft-04), or leave it out, which means draft 2020-12",
        )),
    }
}

/// Keywords whose value is a schema.
const ONE: [&str; 10] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const MANY: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is an object of schemas.
const NAMED: [&str; 5] = ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];
/// Keywords that say something about a value by themselves.
const PLAIN: [&str; 22] = [
    "const",
    "default",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
];
/// Keywords of draft 2020-12 that mean nothing in draft-07.
const NOT_IN_DRAFT_7: [&str; 8] = [
    "dependentRequired",
    "dependentSchemas",
    "maxContains",
    "minContains",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$anchor",
];

/// What stands at a place of a schema's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A schema, or a list of them.
    Schema,
    /// An object of schemas, whose members are named by whoever wrote it.
    Named,
    /// A value that stands for itself.
    Plain,
}

impl Part {
    /// What the value of a keyword is.
    pub(crate) fn of_keyword(keyword: &str) -> Part {
        match keyword {
            _ if NAMED.contains(&keyword) => Part::Named,
            _ if PLAIN.contains(&keyword) => Part::Plain,
            _ => Part::Schema,
        }
    }
}

/// A keyword as draft 2020-12 writes it, and what its value is.
enum Keyword<'a> {
    One(&'a str),
    Many(&'a str),
    Named(&'a str),
    Plain(&'a str),
    /// Part schemas, part lists of names.
    Dependencies,
    Nothing,
}

/// What a keyword of an older draft is in draft 2020-12, beside these siblings.
fn keyword<'a>(name: &'a str, value: &Value, siblings: &Map<String, Value>, draft: Draft) -> Keyword<'a> {
    let is_old = draft != Draft::Draft202012;
    let has_first_items = siblings.get("items").is_some_and(Value::is_array);
    match name {
        // In draft-07 whatever stands beside a `$ref` is ignored, but for what others may point to.
        _ if draft == Draft::Draft7
            && siblings.contains_key("$ref")
            && !matches!(name, "$ref" | "definitions" | "$defs") =>
        {
            Keyword::Nothing
        }
        "items" if is_old && value.is_array() => Keyword::Many("prefixItems"),
        "additionalItems" if is_old && has_first_items => Keyword::One("items"),
        "prefixItems" if is_old => Keyword::Nothing,
        "dependencies" => Keyword::Dependencies,
        _ if draft == Draft::Draft7 && NOT_IN_DRAFT_7.contains(&name) => Keyword::Nothing,
        _ if ONE.contains(&name) => Keyword::One(name),
        _ if MANY.contains(&name) => Keyword::Many(name),
        _ if NAMED.contains(&name) => Keyword::Named(name),
        _ if PLAIN.contains(&name) => Keyword::Plain(name),
        _ => Keyword::Nothing,
    }
}

/// What can be pointed to.
#[derive(Default)]
struct Index {
    /// By a resource's place in the document and a pointer within its own text: the place of the schema there.
    schemas: HashMap<(String, String), String>,
    /// By a resource's place and an anchor.
    anchors: HashMap<(String, String), String>,
    /// By a name or an id: a resource's place.
    resources: HashMap<String, String>,
    /// By a resource's place: its id or name, from which those inside of it are read on.
    addresses: HashMap<String, String>,
    /// How many schemas there are.
    count: usize,
}

impl Index {
    fn add(&mut self, source: &Source, name: Option<&str>) -> Result<(), SchemaError> {
        if let Some(name) = name {
            self.resources.insert(name.to_owned(), source.place.clone());
            self.addresses.insert(source.place.clone(), name.to_owned());
        }
        // Pointers may start at every resource that a schema lies in.
        self.schema(source, &source.value, "", &source.place, &mut vec![(source.place.clone(), String::new())])
    }

    /// `text` and `place` are where the schema stands in its own text and in the document.
    fn schema(
        &mut self,
        source: &Source,
        schema: &Value,
        text: &str,
        place: &str,
        resources: &mut Vec<(String, String)>,
    ) -> Result<(), SchemaError> {
        self.count += 1;
        if self.count > SCHEMAS_MAX {
            let problem = format!("the schema consists of more than {SCHEMAS_MAX} others; describe less of the data");
            return Err(SchemaError::at(text, problem));
        }
        let depth = resources.len();
        if let Some(members) = schema.as_object() {
            let ignores_siblings = source.draft == Draft::Draft7 && members.contains_key("$ref");
            let id = members.get("$id").and_then(Value::as_str).filter(|_| !ignores_siblings);
            match id.map(|id| (id, id.strip_prefix('#').filter(|_| source.draft == Draft::Draft7))) {
                Some((_, Some(anchor))) => self.anchor(anchor, text, place, resources)?,
                Some((id, None)) => {
                    let around = resources.last().and_then(|(resource, _)| self.addresses.get(resource));
                    let id = id.trim_end_matches('#');
                    let address = around.map_or_else(|| id.to_owned(), |around| joined(around, id));
                    if !text.is_empty() {
                        resources.push((place.to_owned(), text.to_owned()));
                    }
                    for name in [id, &address] {
                        self.resources.entry(name.to_owned()).or_insert_with(|| place.to_owned());
                    }
                    self.addresses.insert(place.to_owned(), address);
                }
                None => {}
            }
            if source.draft != Draft::Draft7 {
                for keyword in ["$anchor", "$dynamicAnchor"] {
                    if let Some(anchor) = members.get(keyword).and_then(Value::as_str) {
                        self.anchor(anchor, text, place, resources)?;
                    }
                }
            }
        }
        for (resource, start) in resources.iter() {
            if let Some(pointer) = text.strip_prefix(&**start) {
                self.schemas.insert((resource.clone(), pointer.to_owned()), place.to_owned());
            }
        }
        each_schema(schema, text, place, source.draft, &mut |schema, text, place| {
            self.schema(source, schema, text, place, resources)
        })?;
        resources.truncate(depth);
        Ok(())
    }

    fn anchor(
        &mut self,
        anchor: &str,
        text: &str,
        place: &str,
        resources: &[(String, String)],
    ) -> Result<(), SchemaError> {
        let resource = resources.last().map(|(resource, _)| resource.clone()).unwrap_or_default();
        match self.anchors.insert((resource, anchor.to_owned()), place.to_owned()) {
            Some(_) => Err(SchemaError::at(text, format!("the anchor `{anchor}` is set twice; give one another name"))),
            None => Ok(()),
        }
    }

    /// Where in the document a `$ref` of a resource points to.
    fn find(&self, reference: &str, resource: &str, text: &str) -> Result<&str, SchemaError> {
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let outside = || {
            SchemaError::at(
                text,
                format!(
                    "`$ref` points to `{}`, and nothing outside of the schema is read; put that definition under `$defs` \
                     and point to it by `#/$defs/…`, or give it along as a reference of exactly that name",
                    shortened(reference)
                ),
            )
        };
        let named = |uri: &str| {
            let meant = || self.resources.get(&joined(self.addresses.get(resource)?, uri));
            self.resources.get(uri).or_else(meant)
        };
        let resource = if uri.is_empty() { resource } else { named(uri).ok_or_else(outside)? };
        let fragment = percent_decode_str(fragment).decode_utf8().unwrap_or_default();
        let key = (resource.to_owned(), fragment.clone().into_owned());
        let found = if fragment.is_empty() || fragment.starts_with('/') {
            self.schemas.get(&key)
        } else {
            self.anchors.get(&key)
        };
        found.map(|place| &**place).ok_or_else(|| {
            SchemaError::at(
                text,
                format!(
                    "`$ref` points to `{}`, where there is no schema; put the definition under `$defs` and point to it by \
                     `#/$defs/…`",
                    shortened(reference)
                ),
            )
        })
    }
}

/// Visits the schemas right inside of one, with where they stand in the text and in the document.
fn each_schema(
    schema: &Value,
    text: &str,
    place: &str,
    draft: Draft,
    visit: &mut dyn FnMut(&Value, &str, &str) -> Result<(), SchemaError>,
) -> Result<(), SchemaError> {
    let Some(members) = schema.as_object() else { return Ok(()) };
    for (name, value) in members {
        let named = value.as_object().into_iter().flatten().map(|(name, _)| name);
        if named.chain([name]).any(|name| name.len() > NAME_MAX) {
            return Err(SchemaError::at(
                text,
                format!("a name is longer than {NAME_MAX} bytes; give it a shorter one"),
            ));
        }
        let text = format!("{text}/{}", escape(name));
        match keyword(name, value, members, draft) {
            Keyword::One(keyword) => visit(value, &text, &format!("{place}/{keyword}"))?,
            Keyword::Many(keyword) => {
                for (number, schema) in value.as_array().into_iter().flatten().enumerate() {
                    visit(schema, &format!("{text}/{number}"), &format!("{place}/{keyword}/{number}"))?;
                }
            }
            Keyword::Named(keyword) => {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    let name = escape(name);
                    visit(schema, &format!("{text}/{name}"), &format!("{place}/{keyword}/{name}"))?;
                }
            }
            Keyword::Dependencies => {
                for (name, schema) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_array()) {
                    let name = escape(name);
                    visit(schema, &format!("{text}/{name}"), &format!("{place}/dependentSchemas/{name}"))?;
                }
            }
            Keyword::Plain(_) | Keyword::Nothing => {}
        }
    }
    Ok(())
}

/// What a `$ref` may hold as it is.
const POINTER: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'$');

struct Writer<'a> {
    index: &'a Index,
    draft: Draft,
}

impl Writer<'_> {
    /// The schema in draft 2020-12. `resource` is the place of the one it lies in.
    fn schema(&self, schema: &Value, text: &str, place: &str, resource: &str) -> Result<Value, SchemaError> {
        let Some(members) = schema.as_object() else { return Ok(schema.clone()) };
        let ignores_siblings = self.draft == Draft::Draft7 && members.contains_key("$ref");
        let is_resource = members.get("$id").and_then(Value::as_str).is_some_and(|id| !id.starts_with('#'));
        let resource = if is_resource && !ignores_siblings { place } else { resource };
        if !text.is_empty() && members.get("$schema").is_some() && draft(schema)? != self.draft {
            return Err(SchemaError::at(
                format!("{text}/$schema"),
                "one schema is of two dialects; write all of it in one",
            ));
        }
        for keyword in ["$dynamicRef", "$recursiveRef"] {
            if members.contains_key(keyword) && !ignores_siblings {
                let path = format!("{text}/{keyword}");
                return Err(SchemaError::at(
                    path,
                    format!("`{keyword}` is not taken; write `$ref`, which says where to"),
                ));
            }
        }
        if self.draft == Draft::Draft201909
            && members.contains_key("contains")
            && members.contains_key("unevaluatedItems")
        {
            let problem =
                "`contains` beside `unevaluatedItems` means another thing in draft 2020-12; write it in that draft";
            return Err(SchemaError::at(text, problem));
        }
        let mut written = Map::new();
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let found = self.index.find(reference, resource, &format!("{text}/$ref"))?;
            written.insert("$ref".to_owned(), format!("#{}", utf8_percent_encode(found, POINTER)).into());
        }
        for (name, value) in members {
            let keyword = keyword(name, value, members, self.draft);
            if let Keyword::Plain(keyword) = keyword {
                written.insert(keyword.to_owned(), value.clone());
            }
            if let Keyword::Dependencies = keyword {
                let lists = value.as_object().into_iter().flatten().filter(|(_, value)| value.is_array());
                let lists: Map<_, _> = lists.map(|(name, list)| (name.clone(), list.clone())).collect();
                put(&mut written, "dependentRequired", lists);
            }
        }
        each_schema(schema, text, place, self.draft, &mut |inner, text, inner_place| {
            let own = self.schema(inner, text, inner_place, resource)?;
            // The place says which keyword it is, and which item or name of it.
            let mut tokens = inner_place[place.len()..].split('/').skip(1);
            let keyword = tokens.next().unwrap_or_default().to_owned();
            match tokens.next() {
                None => drop(written.insert(keyword, own)),
                Some(_) if MANY.contains(&&*keyword) => {
                    if let Some(list) =
                        written.entry(keyword).or_insert_with(|| Value::Array(Vec::new())).as_array_mut()
                    {
                        list.push(own);
                    }
                }
                Some(name) => {
                    let name = name.replace("~1", "/").replace("~0", "~");
                    put(&mut written, &keyword, Map::from_iter([(name, own)]));
                }
            }
            Ok(())
        })?;
        Ok(Value::Object(written))
    }
}

/// Adds members to an object that is a keyword's value.
fn put(written: &mut Map<String, Value>, keyword: &str, members: Map<String, Value>) {
    if let (Some(object), false) =
        (written.entry(keyword).or_insert_with(|| Map::new().into()).as_object_mut(), members.is_empty())
    {
        object.extend(members);
    }
}

/// The beginning of a text, for a message.
pub(crate) fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 60;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
