//! The newest shape of events in SQL: functions made of the registered upcasters, which do in `jsonb` what
//! [`pacioli_schema::upcast`] lays down.
//!
//! Each document becomes one function, named after what it does, so that one that is there already is the same. They are
//! pure; what one has to look up it has in its text.

use std::collections::BTreeMap;
use std::fmt::Write;

use pacioli_core::EventType;
use pacioli_schema::Catalogue;
use pacioli_schema::catalogue::Entry;
use pacioli_schema::upcast::{CastTo, GROWTH_BYTES_MAX, Pointer, Step, Upcaster};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::connect::Session;
use crate::error::Result;
use crate::models::{fill, literal, quote};

/// How the name of each step's function begins.
const STEP_PREFIX: &str = "shape_step_";

/// The functions of a registry.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// By name, each with the statement that makes it.
    steps: BTreeMap<String, String>,
    /// For each registered version the function that leads to it: empty for the identity, `None` where nothing does, or
    /// nothing in SQL: JSON of an Avro schema in which something goes by another name now.
    lifts: Vec<(EventType, i32, Option<String>)>,
    /// What makes the three that readers call, and the one that leads to the steps.
    entrances: String,
}

impl Shapes {
    pub(super) fn of(schema: &str, catalogue: &Catalogue) -> Shapes {
        let mut shapes = Shapes::default();
        let (mut reached, mut types, mut lifted) = (serde_json::Map::new(), String::new(), Vec::new());
        for event_type in catalogue.types() {
            let (mut newest, mut steps) = (serde_json::Map::new(), String::new());
            let versions = catalogue.versions(event_type.as_str());
            let first = shapes.lifts.len();
            for (place, entry) in versions.iter().enumerate() {
                let version = entry.row.version;
                let upcaster = entry.upcaster().map(|upcaster| upcaster.filter(|upcaster| !upcaster.steps.is_empty()));
                let lift = match upcaster {
                    _ if place == 0 => None,
                    Err(_) => None,
                    Ok(None) => takes_json(entry, &versions[place - 1]).then(String::new),
                    Ok(Some(upcaster)) => {
                        let (name, statement) = step(schema, upcaster);
                        let _ = writeln!(
                            steps,
                            "        IF version < {version} AND up_to >= {version} THEN lifted := {schema}.{name}(lifted); END IF;"
                        );
                        shapes.steps.insert(name.clone(), statement);
                        Some(name)
                    }
                };
                shapes.lifts.push((event_type.clone(), version as i32, lift));
            }
            let lifts = &shapes.lifts[first..];
            for (place, entry) in versions.iter().enumerate() {
                let behind = versions.iter().zip(lifts).skip(place + 1).take_while(|(_, (.., lift))| lift.is_some());
                if let Some((end, _)) = behind.last() {
                    newest.insert(entry.row.version.to_string(), end.row.version.into());
                }
            }
            if !steps.is_empty() {
                let _ = write!(types, "    WHEN {} THEN\n{steps}", literal(event_type.as_str()));
                lifted.push(literal(event_type.as_str()));
            }
            if !newest.is_empty() {
                reached.insert(event_type.as_str().to_owned(), newest.into());
            }
        }
        shapes.entrances = entrances(schema, &reached, &types, &lifted);
        shapes
    }

    /// Makes them in the session's transaction, in the place of those that are there.
    pub(super) async fn make(&self, session: &Session, schema: &str) -> Result<()> {
        let there = session.query(sql!("registry/list_steps"), &[&schema]).await?;
        let there: Vec<String> = there.iter().map(|row| row.get(0)).collect();
        let mut statements = String::new();
        for (_, statement) in self.steps.iter().filter(|(name, _)| !there.contains(name)) {
            let _ = writeln!(statements, "{statement};");
        }
        statements += &self.entrances;
        for name in there.iter().filter(|name| !self.steps.contains_key(*name)) {
            let _ = write!(statements, ";\nDROP FUNCTION {schema}.{name}(jsonb)");
        }
        session.batch_execute(&statements).await?;
        let types: Vec<&str> = self.lifts.iter().map(|(event_type, ..)| event_type.as_str()).collect();
        let versions: Vec<i32> = self.lifts.iter().map(|(_, version, _)| *version).collect();
        let lifts: Vec<Option<&str>> = self.lifts.iter().map(|(.., lift)| lift.as_deref()).collect();
        session.execute(sql!("registry/write_lifts"), &[&types, &versions, &lifts]).await?;
        Ok(())
    }
}

/// Whether JSON of the version before is JSON of this one as it is, so that SQL, which knows upcasters alone, may show it so.
fn takes_json(entry: &Entry, before: &Entry) -> bool {
    matches!((entry.schema(), before.schema()), (Ok(newer), Ok(older)) if newer.takes_json_of(older))
}

fn entrances(schema: &str, reached: &serde_json::Map<String, Value>, types: &str, lifted: &[String]) -> String {
    let version = if reached.is_empty() {
        "version".to_owned()
    } else {
        let reached = literal(&Value::Object(reached.clone()).to_string());
        format!("coalesce(({reached}::jsonb -> type ->> version::text)::int, version)")
    };
    if lifted.is_empty() {
        // As they are where nothing is registered: nobody pays for a look.
        let made = sql!("functions/20_shapes");
        let begin = made.find("-- Lifts data from").unwrap_or_default();
        // What was registered last: nothing is looked for in it.
        return made[begin..].replace("{schema}", schema).replace("RETURN version;", &format!("RETURN {version};"));
    }
    let schema = ("schema", schema);
    let lift = fill(sql!("registry/template/lift"), &[schema, ("quote", &quote(types)), ("types", types)]);
    let lifted = format!("ARRAY[{}]::text[]", lifted.join(", "));
    let shapes = fill(sql!("registry/template/shapes"), &[schema, ("version", &version), ("types", &lifted)]);
    format!("{};\n{}", lift.trim_end(), shapes.trim_end())
}

/// The function of one document, by its name.
fn step(schema: &str, upcaster: &Upcaster) -> (String, String) {
    let mut code = Code { schema, text: String::new(), depth_max: 0 };
    upcaster.steps.iter().for_each(|step| code.step(step));
    let mut declared = String::new();
    for depth in 1..=code.depth_max {
        let _ = writeln!(declared, "    d{depth} jsonb; l{depth} jsonb; o{depth} jsonb[];");
    }
    let values = [("schema", schema), ("quote", &*quote(&code.text)), ("declared", &*declared), ("steps", &*code.text)];
    let filled = fill(sql!("registry/template/step"), &values);
    let statement = filled.trim();
    let hash = Sha256::digest(statement.as_bytes());
    let name = hash.iter().take(8).fold(STEP_PREFIX.to_owned(), |name, byte| format!("{name}{byte:02x}"));
    // The first is the template's, whatever else an upcaster says.
    (name.clone(), statement.replacen("{name}", &name, 1))
}

/// The statements of one function: `d0` is the document, `d1` an item of a list in it, and so on.
struct Code<'a> {
    schema: &'a str,
    text: String,
    depth_max: usize,
}

type Path<'a> = &'a [Box<str>];

impl Code<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str("    ");
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn step(&mut self, step: &Step) {
        let first = step.first();
        let mut lists = first.list_segments();
        // To drop every item is to empty the list that holds them.
        let emptied = matches!(step, Step::Drop { .. }) && lists == first.0.len() && lists > 0;
        let emptied = emptied.then(|| Pointer(first.0[..lists - 1].to_vec()));
        if let Some(list) = &emptied {
            lists = list.list_segments();
        }
        self.each(&first.0[..lists], 0, &mut |code, depth| {
            let rest = |pointer: &'_ Pointer| pointer.0[lists..].to_vec();
            match step {
                Step::Move { from, path } => code.take(depth, &rest(from), &rest(path)),
                Step::Copy { from, path } => {
                    code.find(depth, &rest(from));
                    code.put(depth, &rest(path), "value", true);
                }
                Step::Default { path, value } => {
                    let found = code.at(depth, &rest(path));
                    code.line(&format!("value := CASE WHEN {found} IS NULL THEN {} END;", json(value)));
                    code.put(depth, &rest(path), "value", depth > 0);
                }
                Step::Constant { path, value } => {
                    code.line(&format!("value := {};", json(value)));
                    code.put(depth, &rest(path), "value", depth > 0);
                }
                Step::Split { from, separator, paths } => {
                    code.find(depth, &rest(from));
                    let schema = code.schema;
                    code.line(&format!(
                        "parts := CASE WHEN jsonb_typeof(value) = 'string' THEN {schema}.shape_split(value #>> '{{}}', {}, {}) END;",
                        literal(separator),
                        paths.len()
                    ));
                    for (place, path) in paths.iter().enumerate() {
                        code.line(&format!("value := to_jsonb(parts[{}]);", place + 1));
                        code.put(depth, &rest(path), "value", true);
                    }
                }
                Step::Map { path, values, otherwise } => {
                    code.find(depth, &rest(path));
                    let mut made = "CASE".to_owned();
                    for (from, to) in values {
                        let _ = write!(made, " WHEN value = {} THEN {}", json(from), json(to));
                    }
                    // Where nothing is, nothing is made.
                    if let Some(otherwise) = otherwise {
                        let _ = write!(made, " WHEN value IS NOT NULL THEN {}", json(otherwise));
                    }
                    made.push_str(" WHEN false THEN NULL END");
                    code.line(&format!("value := {made};"));
                    code.put(depth, &rest(path), "value", depth > 0);
                }
                Step::Cast { path, to } => {
                    code.find(depth, &rest(path));
                    let word = match to {
                        CastTo::String => "string",
                        CastTo::Integer => "integer",
                        CastTo::Number => "number",
                        CastTo::Boolean => "boolean",
                    };
                    let schema = code.schema;
                    code.line(&format!("value := {schema}.shape_cast(value, '{word}');"));
                    code.put(depth, &rest(path), "value", depth > 0);
                }
                Step::Drop { path } => {
                    if let Some(list) = &emptied {
                        let (list, found) = (rest(list), code.at(depth, &rest(list)));
                        code.line(&format!("value := CASE WHEN jsonb_typeof({found}) = 'array' THEN '[]'::jsonb END;"));
                        return code.put(depth, &list, "value", false);
                    }
                    let (path, found) = (rest(path), code.at(depth, &rest(path)));
                    code.line(&format!("IF {found} IS NOT NULL THEN d{depth} := d{depth} #- {}; END IF;", array(&path)));
                }
            }
        });
    }

    /// Runs what is written by `body` for each item of the lists that the segments lead to.
    fn each(&mut self, lists: Path<'_>, depth: usize, body: &mut dyn FnMut(&mut Self, usize)) {
        let Some(star) = lists.iter().position(|segment| **segment == *"*") else {
            return body(self, depth);
        };
        let (inner, path) = (depth + 1, &lists[..star]);
        self.depth_max = self.depth_max.max(inner);
        let found = self.at(depth, path);
        self.line(&format!("l{inner} := {found};"));
        self.line(&format!("IF jsonb_typeof(l{inner}) = 'array' AND l{inner} <> '[]' THEN"));
        self.line(&format!("o{inner} := ARRAY(SELECT jsonb_array_elements(l{inner}));"));
        self.line(&format!("FOR n IN 1 .. cardinality(o{inner}) LOOP"));
        self.line(&format!("d{inner} := o{inner}[n];"));
        self.each(&lists[star + 1..], inner, body);
        self.line(&format!("o{inner}[n] := d{inner};"));
        self.line("END LOOP;");
        let all = format!("to_jsonb(o{inner})");
        match path.is_empty() {
            true => self.line(&format!("d{depth} := {all};")),
            false => self.line(&format!("d{depth} := jsonb_set(d{depth}, {}, {all}, false);", array(path))),
        }
        self.line("END IF;");
    }

    /// What is at a path of a document; NULL where nothing is.
    fn at(&self, depth: usize, path: Path<'_>) -> String {
        match path {
            [] => format!("d{depth}"),
            // What the operator takes for a number, and pointers do not.
            path if path.iter().any(|segment| is_odd_number(segment)) => {
                format!("{}.shape_find(d{depth}, {})", self.schema, array(path))
            }
            [one] if depth == 0 => format!("(d0 -> {})", literal(one)),
            path => format!("(d{depth} #> {})", array(path)),
        }
    }

    fn find(&mut self, depth: usize, path: Path<'_>) {
        let found = self.at(depth, path);
        self.line(&format!("value := {found};"));
    }

    /// Sets a value, where there is one and it can be set.
    fn put(&mut self, depth: usize, path: Path<'_>, value: &str, may_grow: bool) {
        self.line(&format!("IF {value} IS NOT NULL THEN"));
        if may_grow {
            self.line(&format!("grown := grown + pg_column_size({value});"));
            self.line(&format!("IF grown > {GROWTH_BYTES_MAX} THEN RETURN NULL; END IF;"));
        }
        match path {
            [] => self.line(&format!("d{depth} := {value};")),
            // The document itself is an object.
            [one] if depth == 0 => self.line(&format!("d0 := d0 || jsonb_build_object({}, {value});", literal(one))),
            path => {
                let schema = self.schema;
                let path = array(path);
                self.line(&format!("d{depth} := coalesce({schema}.shape_set(d{depth}, {path}, {value}), d{depth});"));
            }
        }
        self.line("END IF;");
    }

    fn take(&mut self, depth: usize, from: Path<'_>, path: Path<'_>) {
        if from == path {
            return;
        }
        self.find(depth, from);
        self.line("IF value IS NOT NULL THEN");
        if let ([from], [path]) = (from, path)
            && depth == 0
        {
            // A member of the document itself can always be set.
            let (from, path) = (literal(from), literal(path));
            self.line(&format!("d0 := (d0 - {from}::text) || jsonb_build_object({path}, value);"));
            return self.line("END IF;");
        }
        let schema = self.schema;
        self.line(&format!("made := {schema}.shape_set(d{depth} #- {}, {}, value);", array(from), array(path)));
        self.line(&format!("d{depth} := coalesce(made, d{depth});"));
        self.line("END IF;");
    }
}

/// Whether PostgreSQL reads a number of an item where a pointer has none.
fn is_odd_number(segment: &str) -> bool {
    let number = segment.trim_start();
    let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (digits.len() != segment.len() || digits.len() > 1 && digits.starts_with('0'))
}

fn array(path: Path<'_>) -> String {
    let segments: Vec<String> = path.iter().map(|segment| literal(segment)).collect();
    format!("ARRAY[{}]::text[]", segments.join(", "))
}

fn json(value: &Value) -> String {
    format!("{}::jsonb", literal(&value.to_string()))
}

#[cfg(test)]
mod tests {
    use pacioli_core::Timestamp;
    use pacioli_core::schemas::{Generation, RegisteredSchema, Registry, SchemaFormat, Semver};

    use super::*;

    #[test]
    fn json_of_avro_is_shown_up_to_where_something_goes_by_another_name() {
        let row = |version: u32, fields: &str| RegisteredSchema {
            event_type: EventType::new("Deposited").unwrap(),
            version,
            semver: Semver { major: 1, minor: version, patch: 0 },
            id: version,
            format: SchemaFormat::Avro,
            text: format!(r#"{{"type":"record","name":"Deposited","fields":[{fields}]}}"#).into(),
            references: None,
            upcaster: None,
            is_deleted: false,
            registered_at: Timestamp::default(),
            registered_by: None,
        };
        let (amount, note) = (r#"{"name":"amount","type":"int"}"#, r#"{"name":"note","type":"string","default":""}"#);
        let cents = r#"{"name":"cents","aliases":["amount"],"type":"int"}"#;
        let versions = [
            row(1, amount),
            row(2, &format!("{amount},{note}")),
            row(3, &format!("{cents},{note}")),
            row(4, &format!("{note},{cents}")),
        ];
        let registry = Registry { generation: Generation(4), schemas: versions.into(), ..Registry::default() };
        let shapes = Shapes::of("pacioli", &Catalogue::new(registry, None));
        let lifts: Vec<_> = shapes.lifts.iter().map(|(_, version, lift)| (*version, lift.as_deref())).collect();
        assert_eq!(lifts, [(1, None), (2, Some("")), (3, None), (4, Some(""))]);
        assert!(shapes.entrances.contains(r#"{"Deposited":{"1":2,"3":4}}"#), "{}", shapes.entrances);
    }

    #[test]
    fn numbers_that_are_none_for_a_pointer_are_found() {
        for (segment, odd) in [
            ("0", false),
            ("10", false),
            ("00", true),
            ("01", true),
            ("-1", true),
            ("+1", true),
            (" 1", true),
            ("a", false),
            ("", false),
            ("-", false),
        ] {
            assert_eq!(is_odd_number(segment), odd, "{segment:?}");
        }
    }
}
