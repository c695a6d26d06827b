//! What is wrong with data, in a short sentence.

use std::fmt::Display;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::json::{Array, Node, Object};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::document::{escape, shortened};
use super::tape::TapeNode;
use crate::format::Broken;

/// Says what a validation found in the document that begins at `root`.
pub(crate) fn reason(error: &ValidationError<'_>, root: TapeNode<'_>) -> Broken {
    let kind = error.kind();
    let mut path = error.instance_path().as_str().to_owned();
    let found = root.pointer(&path).map_or_else(|| "is".to_owned(), |node| describe(&node));
    let problem = match kind {
        ValidationErrorKind::Required { property } => {
            path = format!("{path}/{}", escape(property.as_str().unwrap_or_default()));
            "is missing, and the schema requires it".to_owned()
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            if let Some(first) = unexpected.first() {
                path = format!("{path}/{}", escape(&shortened(first)));
            }
            "is no field of the schema, which allows no others".to_owned()
        }
        ValidationErrorKind::AdditionalItems { limit } => format!("{found}, and {limit} items are the most"),
        ValidationErrorKind::UnevaluatedItems { .. } => format!("{found} with items that the schema does not describe"),
        ValidationErrorKind::Type { kind } => format!("{found}, and {} is wanted", types(kind)),
        ValidationErrorKind::Enum { options } => format!("{found}, and only {} are allowed", values(options)),
        ValidationErrorKind::Constant { expected_value } => {
            format!("{found}, and only {} is allowed", value(expected_value))
        }
        ValidationErrorKind::Minimum { limit } => format!("{found}, and {limit} is the least"),
        ValidationErrorKind::Maximum { limit } => format!("{found}, and {limit} is the most"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("{found}, and more than {limit} is wanted"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("{found}, and less than {limit} is wanted"),
        ValidationErrorKind::MultipleOf { multiple_of } => {
            format!("{found}, and a multiple of {multiple_of} is wanted")
        }
        ValidationErrorKind::MinLength { limit } => format!("{found}, and {limit} characters are the least"),
        ValidationErrorKind::MaxLength { limit } => format!("{found}, and {limit} characters are the most"),
        ValidationErrorKind::MinItems { limit } => format!("{found}, and {limit} items are the least"),
        ValidationErrorKind::MaxItems { limit } => format!("{found}, and {limit} items are the most"),
        ValidationErrorKind::MinProperties { limit } => format!("{found}, and {limit} fields are the least"),
        ValidationErrorKind::MaxProperties { limit } => format!("{found}, and {limit} fields are the most"),
        ValidationErrorKind::Pattern { pattern } => format!("{found}, which does not match `{}`", shortened(pattern)),
        ValidationErrorKind::UniqueItems => format!("{found} in which an item occurs twice"),
        ValidationErrorKind::Contains => {
            format!("{found} without enough, or with too many, of the items it has to contain")
        }
        ValidationErrorKind::PropertyNames { error } => {
            format!("{found} with a name that breaks the rule `{}` for names", error.kind().keyword())
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            alternatives(context, &found, &path)
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            format!("{found} that more than one of the schema's alternatives describes, and one only may")
        }
        ValidationErrorKind::Not { .. } => format!("{found}, and what the schema excludes"),
        ValidationErrorKind::FalseSchema => "is not allowed by the schema".to_owned(),
        _ => format!("{found}, which breaks the rule `{}`", kind.keyword()),
    };
    let rule = match kind {
        ValidationErrorKind::FalseSchema => "false",
        _ => kind.keyword(),
    };
    // Names that the schema leaves open can be of any length.
    const PATH_CHARACTERS: usize = 200;
    if let Some((end, _)) = path.char_indices().nth(PATH_CHARACTERS) {
        path.truncate(end);
        path.push('…');
    }
    Broken { path, rule: rule.to_owned(), problem }
}

/// What each alternative would want, if that is told in a few words.
fn alternatives(context: &[Vec<ValidationError<'static>>], found: &str, path: &str) -> String {
    const TOLD: usize = 3;
    // Of an alternative that wants another type nobody needs to hear, where one wants the same.
    let same_type = |errors: &&Vec<ValidationError<'static>>| {
        let first = errors.first();
        first.is_some_and(|error| {
            error.instance_path().as_str() != path || !matches!(error.kind(), ValidationErrorKind::Type { .. })
        })
    };
    let near: Vec<_> = context.iter().filter(same_type).collect();
    if let [one] = &near[..]
        && let Some(error) = one.first()
    {
        let place = error.instance_path().as_str();
        let place = if place == path { "it".to_owned() } else { format!("`{}`", shortened(place)) };
        let rule = error.kind().keyword();
        return format!("{found} that none of the alternatives describes: {place} breaks the rule `{rule}`");
    }
    let wanted = context.iter().filter_map(|errors| match errors.first()?.kind() {
        ValidationErrorKind::Type { kind } => Some(types(kind)),
        _ => None,
    });
    let wanted: Vec<_> = wanted.take(TOLD).collect();
    if !wanted.is_empty() && wanted.len() == context.len() {
        return format!("{found}, and {} is wanted", wanted.join(" or "));
    }
    format!("{found} that none of the schema's {} alternatives describes", context.len())
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => type_name(*one).to_owned(),
        TypeKind::Multiple(set) => set.iter().map(type_name).collect::<Vec<_>>().join(" or "),
    }
}

fn type_name(json_type: JsonType) -> &'static str {
    match json_type {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a text",
    }
}

/// The verb and the data, with no more of it than fits a message.
fn describe(node: &TapeNode<'_>) -> String {
    if let Some(object) = node.as_object() {
        return counted("an object of", Object::len(&object), "field", "fields");
    }
    if let Some(array) = node.as_array() {
        return counted("a list of", Array::len(&array), "item", "items");
    }
    if let Some(text) = node.long() {
        return format!("is {}", shortened(text));
    }
    match node.as_string() {
        Some(text) => format!("is the text `{}`", shortened(&text)),
        None => format!("is {}", node.to_value()),
    }
}

fn counted(what: &str, count: usize, one: &str, many: &str) -> String {
    format!("is {what} {count} {}", if count == 1 { one } else { many })
}

fn value(value: &Value) -> impl Display {
    shortened(&match value {
        Value::String(text) => format!("`{}`", shortened(text)),
        Value::Array(_) | Value::Object(_) => "one certain value".to_owned(),
        scalar => scalar.to_string(),
    })
}

/// The first values of an `enum`.
fn values(options: &Value) -> String {
    const TOLD: usize = 6;
    let options = options.as_array().map_or(&[][..], |options| options);
    let mut told = options.iter().take(TOLD).map(|option| value(option).to_string()).collect::<Vec<_>>().join(", ");
    if options.len() > TOLD {
        told.push_str(&format!(" and {} others", options.len() - TOLD));
    }
    told
}
