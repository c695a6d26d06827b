//! What schemas refer to: as their rows keep it, and as texts.

use pacioli_core::EventType;
use pacioli_core::schemas::RegisteredSchema;
use serde_json::{Value, json};

use crate::format::{Reference, SchemaError};

/// How many schemas one may refer to, directly and through others.
const REFERENCES_MAX: usize = 200;

/// A registered schema that another one refers to, by the name that it calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceTo {
    /// The name under which it is referred to.
    pub name: String,
    /// The type whose schema it is.
    pub event_type: EventType,
    /// Which version of it.
    pub version: u32,
}

impl ReferenceTo {
    /// What a row refers to.
    pub fn of(row: &RegisteredSchema) -> Result<Vec<ReferenceTo>, SchemaError> {
        match &row.references {
            Some(references) => ReferenceTo::parse(references),
            None => Ok(Vec::new()),
        }
    }

    /// Reads `[{"name":"money.json","subject":"Money","version":1}]`; `type` may stand for `subject`.
    pub fn parse(text: &str) -> Result<Vec<ReferenceTo>, SchemaError> {
        let problem = "references are a list like `[{\"name\":\"money.json\",\"subject\":\"Money\",\"version\":1}]`";
        let wrong = |path: String| SchemaError { path, problem: problem.to_owned() };
        let list: Vec<Value> = serde_json::from_str(text).map_err(|_| wrong(String::new()))?;
        let read = |(index, one)| reference(one).ok_or_else(|| wrong(format!("/{index}")));
        list.iter().enumerate().map(read).collect()
    }

    /// What [`ReferenceTo::parse`] reads; `None` where there is none.
    pub fn written(references: &[ReferenceTo]) -> Option<String> {
        let one = |reference: &ReferenceTo| {
            let ReferenceTo { name, event_type, version } = reference;
            json!({ "name": name, "subject": event_type.as_str(), "version": version })
        };
        (!references.is_empty()).then(|| references.iter().map(one).collect::<Value>().to_string())
    }
}

fn reference(one: &Value) -> Option<ReferenceTo> {
    let event_type = one.get("subject").or_else(|| one.get("type"))?.as_str()?;
    Some(ReferenceTo {
        name: one.get("name")?.as_str()?.to_owned(),
        event_type: EventType::new(event_type).ok()?,
        version: u32::try_from(one.get("version")?.as_u64()?).ok()?,
    })
}

/// The texts of what is referred to, what those refer to in front of them, each name once.
pub(super) fn resolve<'r>(
    references: &[ReferenceTo],
    row_of: &dyn Fn(&str, u32) -> Option<&'r RegisteredSchema>,
) -> Result<Vec<Reference>, SchemaError> {
    let mut texts: Vec<Reference> = Vec::new();
    // What is still to do, the next one last; behind its own references each comes once more, to be added.
    let mut waiting: Vec<(ReferenceTo, bool)> = references.iter().rev().map(|one| (one.clone(), false)).collect();
    let mut begun: Vec<(EventType, u32)> = Vec::new();
    while let Some((reference, is_ready)) = waiting.pop() {
        let ReferenceTo { name, event_type, version } = &reference;
        let Some(row) = row_of(event_type.as_str(), *version) else {
            let problem = format!(
                "the reference `{name}` is to {event_type} version {version}, which is not registered; register that first"
            );
            return Err(SchemaError { path: String::new(), problem });
        };
        if is_ready {
            if !texts.iter().any(|known| known.name == *name) {
                texts.push(Reference { name: name.clone(), text: row.text.to_string() });
            }
            continue;
        }
        if begun.len() >= REFERENCES_MAX {
            let problem = format!("more than {REFERENCES_MAX} schemas are referred to; put some of them into one");
            return Err(SchemaError { path: String::new(), problem });
        }
        let key = (event_type.clone(), *version);
        let further = if begun.contains(&key) { Vec::new() } else { ReferenceTo::of(row)? };
        begun.push(key);
        waiting.push((reference, true));
        waiting.extend(further.into_iter().rev().map(|one| (one, false)));
    }
    Ok(texts)
}
