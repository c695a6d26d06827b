//! Verifying a build: its tables against a fresh fold up to the same checkpoint, row by row.
//!
//! Both sides are read in one order and merged, so nothing is held but the sort. Sums of floating-point numbers depend on the
//! order in which they were added, and batches of other sizes add in another order: numbers of columns that may hold them are
//! equal where they differ by less than one part in a thousand million.

use std::cmp::Ordering;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, Rows};

use pacioli_projection::engine::{BuildNumber, EngineError, Sample, Verified};
use pacioli_projection::file::{Makes, Name};

use super::Models;
use super::build;
use super::fold::{self, Fold, FoldError};
use super::lifecycle::engine_error;
use super::query::Bounds;
use super::text::quoted;
use crate::error::Result;

/// Differences that are told in words.
const DIFFERENCES_TOLD: usize = 20;
/// Characters of a value in words.
const VALUE_CHARACTERS_MAX: usize = 60;
/// The part by which two floating-point numbers may differ.
const TOLERANCE: f64 = 1e-9;
/// How much of the work is the fold; the rest is the comparison.
const SHARE_OF_FOLD: f64 = 0.9;
/// Rows between two looks at whether anybody still waits.
const ROWS_A_LOOK: u64 = 10_000;

impl Models {
    pub(super) fn verify(
        &self,
        name: &Name,
        number: BuildNumber,
        sample: Sample,
        bounds: &Bounds,
        progress: &dyn Fn(f64),
    ) -> std::result::Result<Verified, EngineError> {
        let known = self.known(name, number)?;
        let projection = &known.listed.projection;
        let part = match sample {
            Sample::All => None,
            Sample::Streams { of, part } if projection.parallel_by_stream && part < of => Some((of, part)),
            Sample::Streams { of, part } if part >= of => {
                return Err(EngineError::Refused(format!("there is no part {part} of {of}; parts count from 0")));
            }
            Sample::Streams { .. } => {
                return Err(EngineError::Refused(format!(
                    "`{name}` may mix streams in one row, so there is no sample of it: verify all of it, or write \
                     `-- parallel-by: stream` into the file where rows of different streams never meet"
                )));
            }
        };
        // The transaction keeps the tables and the progress of one moment until the comparison is done.
        let built = build::open_reader(&known.file.path).map_err(|error| engine_error(error.into()))?;
        let snapshot = || -> Result<_> {
            built.execute_batch(sql!("begin_read"))?;
            let stands = build::read_checkpoint(&built, self.shared().partitions)?;
            Ok((stands, fold::read_skipped(&built)?))
        };
        let (checkpoint, skipped) = snapshot().map_err(engine_error)?;
        let fold = Fold {
            projection,
            handlers: &known.file.handlers,
            up_to: checkpoint.clone(),
            occurred_by: None,
            part,
            skipped,
        };
        let path = self.files.new_scratch();
        let folded = fold.run(self.shared(), path, bounds, &|share| progress(share * SHARE_OF_FOLD));
        let scratch = folded.map_err(|error| match error {
            FoldError::Over => gone(),
            FoldError::Statement(error) => EngineError::Refused(format!(
                "`{name}` cannot be folded again up to {checkpoint}, though its tables are there: {error}"
            )),
            FoldError::Store(error) => engine_error(error),
        })?;
        let fresh = build::open_reader(&scratch.path).map_err(|error| engine_error(error.into()))?;
        let mut comparison = Comparison { is_sample: part.is_some(), rows: 0, different: 0, told: Vec::new() };
        let tables: Vec<Table> = projection
            .definitions
            .iter()
            .filter_map(|definition| match &definition.makes {
                Makes::Table(table) => Some((table, false)),
                Makes::VirtualTable(table) => Some((table, true)),
                _ => None,
            })
            .map(|(table, is_full_text)| Table::read(&built, table, is_full_text))
            .collect::<Result<_>>()
            .map_err(engine_error)?;
        for (at, table) in tables.iter().enumerate() {
            comparison.compare(table, &built, &fresh, bounds)?;
            progress(SHARE_OF_FOLD + (1.0 - SHARE_OF_FOLD) * (at + 1) as f64 / tables.len() as f64);
        }
        let Comparison { rows, different, told, .. } = comparison;
        Ok(Verified { checkpoint, rows, differences: told, different })
    }
}

fn gone() -> EngineError {
    EngineError::Refused("the verification was given up".to_owned())
}

/// A table and the order in which its rows are compared.
struct Table {
    name: String,
    columns: Vec<Column>,
    /// How many columns at the beginning are the primary key.
    keys: usize,
}

struct Column {
    name: String,
    /// Whether it may hold floating-point numbers.
    is_soft: bool,
}

impl Table {
    fn read(conn: &Connection, name: &str, is_full_text: bool) -> Result<Table> {
        let mut statement = conn.prepare(sql!("models/list_columns_to_compare"))?;
        let mut rows = statement.query([name])?;
        let (mut keys, mut exact, mut soft) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let (column, declared, key): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let is_soft = is_soft(&declared) && !is_full_text;
            let column = Column { name: column, is_soft };
            match (key, is_soft) {
                (1.., _) => keys.push((key, column)),
                (_, false) => exact.push(column),
                (_, true) => soft.push(column),
            }
        }
        if is_full_text {
            // What else is found by a row of a full-text table is found by its number.
            keys.push((1, Column { name: "rowid".to_owned(), is_soft: false }));
        }
        keys.sort_by_key(|(key, _)| *key);
        let key_count = keys.len();
        let columns = keys.into_iter().map(|(_, column)| column).chain(exact).chain(soft).collect();
        Ok(Table { name: name.to_owned(), columns, keys: key_count })
    }

    /// The rows in the order of all columns.
    fn statement(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let order: Vec<String> = (1..=names.len()).map(|number| format!("{number} COLLATE BINARY")).collect();
        format!("SELECT {} FROM {} ORDER BY {}", names.join(", "), quoted(&self.name), order.join(", "))
    }

    fn in_words(&self, row: &[Value]) -> String {
        let value = |(column, value): (&Column, &Value)| format!("{}={}", column.name, value_in_words(value));
        self.columns.iter().zip(row).map(value).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a column of this declared type may hold floating-point numbers: by SQLite's rules of affinity it is neither for
/// whole numbers nor for text.
fn is_soft(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    !has(&["INT"]) && !has(&["CHAR", "CLOB", "TEXT"]) && (!has(&["BLOB"]) || declared.is_empty())
}

struct Comparison {
    /// Rows that only the read model has say nothing: they are those of other streams.
    is_sample: bool,
    rows: u64,
    different: u64,
    told: Vec<String>,
}

impl Comparison {
    fn compare(
        &mut self,
        table: &Table,
        built: &Connection,
        fresh: &Connection,
        bounds: &Bounds,
    ) -> std::result::Result<(), EngineError> {
        let failed = |error: rusqlite::Error| engine_error(error.into());
        let sql = table.statement();
        let (mut built, mut fresh) = (built.prepare(&sql).map_err(failed)?, fresh.prepare(&sql).map_err(failed)?);
        let mut built = Side::new(built.query([]).map_err(failed)?);
        let mut fresh = Side::new(fresh.query([]).map_err(failed)?);
        let (mut ours, mut theirs) = (built.next().map_err(failed)?, fresh.next().map_err(failed)?);
        loop {
            if self.rows.is_multiple_of(ROWS_A_LOOK) && bounds.are_over() {
                return Err(gone());
            }
            let (order, same_key) = match (&ours, &theirs) {
                (None, None) => return Ok(()),
                (Some(_), None) => (Ordering::Less, false),
                (None, Some(_)) => (Ordering::Greater, false),
                (Some(ours), Some(theirs)) => compare_rows(table, ours, theirs),
            };
            let only = |row: &Option<Vec<Value>>| table.in_words(row.as_deref().unwrap_or_default());
            match order {
                Ordering::Equal => self.rows += 1,
                _ if same_key => {
                    self.rows += 1;
                    self.tell(|| {
                        format!("{}: the read model has {}; the log gives {}", table.name, only(&ours), only(&theirs))
                    });
                }
                Ordering::Less if self.is_sample => {}
                Ordering::Less => {
                    self.rows += 1;
                    self.tell(|| format!("{}: only the read model has {}", table.name, only(&ours)));
                }
                Ordering::Greater => {
                    self.rows += 1;
                    self.tell(|| format!("{}: only the log gives {}", table.name, only(&theirs)));
                }
            }
            if order != Ordering::Greater || same_key {
                ours = built.next().map_err(failed)?;
            }
            if order != Ordering::Less || same_key {
                theirs = fresh.next().map_err(failed)?;
            }
        }
    }

    fn tell(&mut self, difference: impl FnOnce() -> String) {
        self.different += 1;
        if self.told.len() < DIFFERENCES_TOLD {
            self.told.push(difference());
        }
    }
}

/// The rows of one side.
struct Side<'s> {
    rows: Rows<'s>,
}

impl<'s> Side<'s> {
    fn new(rows: Rows<'s>) -> Side<'s> {
        Side { rows }
    }

    fn next(&mut self) -> rusqlite::Result<Option<Vec<Value>>> {
        let values = |row: &Row<'_>| -> rusqlite::Result<Vec<Value>> {
            (0..row.as_ref().column_count()).map(|at| row.get_ref(at).map(owned)).collect()
        };
        self.rows.next()?.map(values).transpose()
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

/// How two rows are ordered, and whether their primary keys are the same and something else is not.
fn compare_rows(table: &Table, ours: &[Value], theirs: &[Value]) -> (Ordering, bool) {
    for (at, column) in table.columns.iter().enumerate() {
        if column.is_soft && are_close(&ours[at], &theirs[at]) {
            continue;
        }
        let order = compare_values(&ours[at], &theirs[at]);
        if order != Ordering::Equal {
            return (order, table.keys > 0 && at >= table.keys);
        }
    }
    (Ordering::Equal, false)
}

fn are_close(one: &Value, other: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Real(number) => Some(*number),
        _ => None,
    };
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one == other,
        _ => match (number(one), number(other)) {
            (Some(one), Some(other)) => one == other || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()),
            _ => false,
        },
    }
}

/// SQLite's order: NULL, numbers, text, blobs.
fn compare_values(one: &Value, other: &Value) -> Ordering {
    let class = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    };
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Real(one), Value::Real(other)) => one.total_cmp(other),
        (Value::Integer(one), Value::Real(other)) => (*one as f64).total_cmp(other),
        (Value::Real(one), Value::Integer(other)) => one.total_cmp(&(*other as f64)),
        (Value::Text(one), Value::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        (one, other) => class(one).cmp(&class(other)),
    }
}

fn value_in_words(value: &Value) -> String {
    let shortened = |text: &str| match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((at, _)) => format!("'{}…'", &text[..at]),
        None => format!("'{text}'"),
    };
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => shortened(text),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}
