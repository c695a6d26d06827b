//! The one spelling of an Avro schema that all texts of the same meaning share.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::compile::DEPTH_MAX;
use super::node::{Id, Kind, Logical, Named, Nodes};
use crate::format::SchemaError;

/// A schema without blanks, with sorted members; a named type is written out where it first comes up.
pub(super) fn canonical(nodes: &Nodes) -> Result<String, SchemaError> {
    let mut json = String::new();
    let mut writer = Writer { nodes, written: HashSet::new(), json: &mut json, depth: 0, is_too_deep: false };
    writer.node(nodes.root);
    match writer.is_too_deep {
        true => Err(SchemaError {
            path: String::new(),
            problem: format!("the schemas that it refers to nest deeper than {DEPTH_MAX}, each in the next; nest less"),
        }),
        false => Ok(json),
    }
}

struct Writer<'a> {
    nodes: &'a Nodes,
    written: HashSet<Id>,
    json: &'a mut String,
    /// Schemas that are referred to are not nested as texts, but are here.
    depth: usize,
    is_too_deep: bool,
}

impl Writer<'_> {
    fn node(&mut self, id: Id) {
        self.is_too_deep |= self.depth > DEPTH_MAX;
        if !self.is_too_deep {
            self.depth += 1;
            self.part(id);
            self.depth -= 1;
        }
    }

    fn part(&mut self, id: Id) {
        let (kind, logical) = (self.nodes.kind(id), self.nodes.all[id].logical.as_ref());
        if let Some(named) = kind.named()
            && !self.written.insert(id)
        {
            return self.text(&named.full);
        }
        match kind {
            Kind::Union(branches) => {
                self.list('[', branches, ']', |writer, branch| writer.node(branch.id));
            }
            Kind::Array(item) => {
                self.json.push_str("{\"items\":");
                self.node(*item);
                self.json.push_str(",\"type\":\"array\"}");
            }
            Kind::Map(value) => {
                self.json.push_str("{\"type\":\"map\",\"values\":");
                self.node(*value);
                self.json.push('}');
            }
            Kind::Record { named, fields } => {
                self.aliases(&named.aliases);
                self.json.push_str("\"fields\":");
                self.list('[', fields, ']', |writer, field| {
                    writer.aliases(&field.aliases);
                    if let Some(preset) = &field.preset {
                        writer.json.push_str("\"default\":");
                        push_sorted(writer.json, &preset.json);
                        writer.json.push(',');
                    }
                    writer.json.push_str("\"name\":");
                    writer.text(&field.name);
                    writer.json.push_str(",\"type\":");
                    writer.node(field.id);
                    writer.json.push('}');
                });
                self.json.push(',');
                self.end(named, "record");
            }
            Kind::Enum { named, symbols, default, .. } => {
                self.aliases(&named.aliases);
                if let Some(default) = default {
                    self.json.push_str("\"default\":");
                    self.text(&symbols[*default]);
                    self.json.push(',');
                }
                self.json.push_str("\"name\":");
                self.text(&named.full);
                self.json.push_str(",\"symbols\":");
                self.list('[', symbols, ']', |writer, symbol| writer.text(symbol));
                self.json.push_str(",\"type\":\"enum\"}");
            }
            Kind::Fixed { named, size } => {
                self.aliases(&named.aliases);
                self.logical(logical);
                self.json.push_str("\"name\":");
                self.text(&named.full);
                self.precision(logical);
                self.json.push_str(&format!(",\"size\":{size},\"type\":\"fixed\"}}"));
            }
            primitive if logical.is_none() => self.text(primitive.word()),
            primitive => {
                self.json.push('{');
                self.logical(logical);
                // The comma of what is written before it stands there already.
                if let Some(Logical::Decimal { precision, scale }) = logical {
                    self.json.push_str(&format!("\"precision\":{precision},\"scale\":{scale},"));
                }
                self.json.push_str(&format!("\"type\":\"{}\"}}", primitive.word()));
            }
        }
    }

    fn end(&mut self, named: &Named, word: &str) {
        self.json.push_str("\"name\":");
        self.text(&named.full);
        self.json.push_str(&format!(",\"type\":\"{word}\"}}"));
    }

    /// Opens an object whose first member its aliases would be.
    fn aliases(&mut self, aliases: &[Box<str>]) {
        self.json.push('{');
        if !aliases.is_empty() {
            self.json.push_str("\"aliases\":");
            self.list('[', aliases, ']', |writer, alias| writer.text(alias));
            self.json.push(',');
        }
    }

    fn logical(&mut self, logical: Option<&Logical>) {
        if let Some(logical) = logical {
            self.json.push_str(&format!("\"logicalType\":\"{}\",", logical.word()));
        }
    }

    fn precision(&mut self, logical: Option<&Logical>) {
        if let Some(Logical::Decimal { precision, scale }) = logical {
            self.json.push_str(&format!(",\"precision\":{precision},\"scale\":{scale}"));
        }
    }

    fn text(&mut self, text: &str) {
        push_sorted(self.json, &json!(text));
    }

    fn list<T>(&mut self, open: char, items: &[T], close: char, mut write: impl FnMut(&mut Self, &T)) {
        self.json.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.json.push(',');
            }
            write(self, item);
        }
        self.json.push(close);
    }
}

fn push_sorted(json: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            json.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                push_sorted(json, item);
            }
            json.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            json.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                push_sorted(json, &json!(name));
                json.push(':');
                push_sorted(json, value);
            }
            json.push('}');
        }
        scalar => json.push_str(&scalar.to_string()),
    }
}
