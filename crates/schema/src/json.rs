//! JSON Schema.
//!
//! Draft 2020-12, and the texts of drafts 2019-09, 07, 06 and 04 that say so in `$schema`. Keywords that no draft knows validate
//! nothing, and neither does `format`, which says what a text is meant to be. Read the modules in this order:
//! `document` makes one dialect of all texts, `bounds` refuses what costs too much, `tape` is data as the validator
//! walks it, `decimal` and `limits` compare numbers that no double is, `broken` says what is wrong with it, `fields` lists what is described, `facts` and `changes` compare two
//! schemas.

mod address;
mod bounds;
mod broken;
mod changes;
mod decimal;
mod document;
mod example;
mod facts;
mod fields;
mod limits;
mod older;
mod tape;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use jsonschema::{Draft, PatternOptions, Validator};
use pacioli_core::Payload;
use serde_json::Value;

use self::bounds::Cost;
use self::document::Document;
#[cfg(feature = "avro")]
pub(crate) use self::document::canonical;
use self::limits::Limits;
use self::tape::{OnTape, Tape};
use crate::compat::Change;
use crate::format::{Broken, Field, Reference, SchemaError};

/// How large a compiled regular expression may be, in bytes; see [`bounds`] for what is refused before.
const PATTERN_BYTES_MAX: usize = 4 << 20;
/// From how many schemas in a chain on one is compiled on a stack that is sure to hold it.
const CHAIN_ON_SMALL_STACK: usize = 48;
/// How many steps the finding of a reason may take, where alternatives make it collect one for each of them.
const REASON_STEPS_MAX: u64 = 4 << 20;

/// How often the validation of one event may look at its values: about as much as is done in a tenth of a second.
const LOOKS_MAX: u64 = 12_000_000;

thread_local! {
    /// Memory for the data at hand, used again for the next.
    static TAPE: RefCell<Tape> = RefCell::default();
}

/// A JSON Schema that was read, checked against every bound, and compiled.
pub struct JsonSchema {
    document: Document,
    validator: Validator<OnTape>,
    fields: Vec<Field>,
    limits: Limits,
    cost: Cost,
}

impl JsonSchema {
    /// Reads and compiles a schema. A `$ref` points into the text, or to a reference by exactly its name.
    pub fn parse(text: &str, references: &[Reference]) -> Result<JsonSchema, SchemaError> {
        let document = Document::read(text, references)?;
        let cost = bounds::check(&document)?;
        let validator = compile(&document.schema, cost)?;
        let fields = fields::list(&document);
        let limits = Limits::of(&document.schema);
        Ok(JsonSchema { document, validator, fields, limits, cost })
    }

    /// Its text with sorted members and without blanks.
    pub fn canonical(&self) -> &str {
        &self.document.canonical
    }

    /// What of it validates, in draft 2020-12 and in one document, whatever the drafts and the texts it was written in: every
    /// `$ref` is a pointer into this.
    pub fn in_one_document(&self) -> &Value {
        &self.document.schema
    }

    /// Whether data is what it says. JSON is taken as the log takes it: checked, no name twice.
    pub fn check(&self, data: &Payload) -> Result<(), Broken> {
        let Payload::Json(bytes) = data else {
            let problem =
                "is binary, and the schema describes JSON; send JSON, or register a schema of a binary format";
            return Err(broken("", "type", problem));
        };
        let text = std::str::from_utf8(bytes).map_err(|_| broken("", "type", "is no JSON: it is not UTF-8"))?;
        TAPE.with_borrow_mut(|tape| {
            tape.read(text).map_err(|problem| broken("", "type", problem))?;
            if tape.has_long() {
                let stand_in = |number: &str| self.limits.stand_in(number);
                tape.stand_in(text, stand_in).map_err(|problem| broken("", "digits", problem))?;
            }
            let checked = self.check_root(tape, text);
            tape.shrink();
            checked
        })
    }

    fn check_root(&self, tape: &Tape, text: &str) -> Result<(), Broken> {
        let root = tape.root(text);
        let verdict = tape::with_looks(LOOKS_MAX, self.cost.pattern_weight, || self.validator.is_valid(root));
        let Some(is_valid) = verdict else {
            let problem = "takes too long to hold against the schema; split it into several events, or let fewer \
                           alternatives and simpler patterns describe it";
            return Err(broken("", "cost", problem));
        };
        if is_valid {
            return Ok(());
        }
        // A reason is looked for only where there must be one: it costs more than the verdict.
        if self.cost.has_alternatives && (text.len() as u64).saturating_mul(self.cost.work) > REASON_STEPS_MAX {
            let problem = "is not as the schema says; it is too long to say in which place; validate parts of it";
            return Err(broken("", "anyOf", problem));
        }
        match self.validator.validate(root) {
            Ok(()) => Ok(()),
            Err(error) => Err(broken::reason(&error, root)),
        }
    }

    /// What changed since an older schema of the same type.
    pub fn changes_since(&self, older: &JsonSchema) -> Vec<Change> {
        changes::between(&older.document, &self.document)
    }

    /// Some data that it allows, made up: as little as may be, and all that it names. Nothing where none is found.
    pub fn examples(&self) -> Vec<Payload> {
        let made = example::all(&self.document).into_iter().map(Payload::Json);
        made.filter(|data| self.check(data).is_ok()).collect()
    }

    /// The fields that data may have, as far as they are named.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The data itself, if it is JSON.
    pub fn to_json(&self, data: &Payload) -> Result<Bytes, Broken> {
        match data {
            Payload::Json(json) => Ok(json.clone()),
            Payload::Binary(_) => Err(broken("", "type", "is binary, and the schema describes JSON; read it as bytes")),
        }
    }

    /// The data itself, if it is not to be binary.
    pub fn from_json(&self, json: Bytes, is_binary: bool) -> Result<Payload, Broken> {
        if is_binary {
            let problem =
                "is to be binary, and the schema describes JSON; send JSON, or register a schema of a binary format";
            return Err(broken("", "type", problem));
        }
        Ok(Payload::Json(json))
    }
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonSchema({})", self.canonical())
    }
}

fn broken(path: impl Into<String>, rule: impl Into<String>, problem: impl Into<String>) -> Broken {
    Broken { path: path.into(), rule: rule.into(), problem: problem.into() }
}

fn compile(schema: &Value, cost: Cost) -> Result<Validator<OnTape>, SchemaError> {
    let build = || {
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let options = jsonschema::options_for::<OnTape>()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(patterns);
        options.build(schema).map_err(|error| {
            let problem: String = error.masked().to_string().chars().take(200).collect();
            SchemaError::at(error.instance_path().as_str(), format!("the schema cannot be compiled: {problem}"))
        })
    };
    if cost.chain <= CHAIN_ON_SMALL_STACK {
        return build();
    }
    // The compiler calls itself for each schema that one leads to.
    const STACK_BYTES: usize = 64 << 20;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, build);
        let joined = thread.map(|thread| thread.join());
        match joined {
            Ok(Ok(built)) => built,
            Ok(Err(_)) => Err(SchemaError::at("", "the schema makes its compiler fail; write it more simply")),
            Err(error) => {
                Err(SchemaError::at("", format!("no thread could be started to compile the schema: {error}")))
            }
        }
    })
}
