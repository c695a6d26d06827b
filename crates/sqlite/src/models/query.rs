//! Queries: one statement that reads, over the builds that serve and the log, within its bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Params;
use rusqlite::types::ValueRef;

use pacioli_projection::answer::{Answer, Column, Kind, Value};
use pacioli_projection::engine::{QueryError, QueryLimits};

use super::advance::of_read_model;
use super::handlers::{is_of_storage, locate};
use super::readers::{Reader, Readers, Sources};
use crate::error::Error;

/// When a query has to be done, and what it may bring.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) limits: QueryLimits,
    ends_at: Instant,
    is_given_up: Arc<AtomicBool>,
}

impl Bounds {
    /// These limits, from now on.
    pub(super) fn from_now(limits: QueryLimits) -> Bounds {
        Bounds { limits, ends_at: Instant::now() + limits.time_max, is_given_up: Arc::default() }
    }

    /// Ends the query when this goes: its asker has gone.
    pub(super) fn guard(&self) -> GivesUp {
        GivesUp(Arc::clone(&self.is_given_up))
    }

    /// How long it still may take.
    pub(super) fn left(&self) -> Duration {
        self.ends_at.saturating_duration_since(Instant::now())
    }

    /// Whether it has to end.
    pub(super) fn are_over(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire) || Instant::now() >= self.ends_at
    }

    /// What is said of a query that took longer.
    pub(super) fn late(&self) -> QueryError {
        QueryError::Late(self.limits.time_max)
    }
}

/// Gives a query up when it goes.
pub(super) struct GivesUp(Arc<AtomicBool>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs a statement that the window let pass. `is_json` says which of its columns are JSON of the log; those it does not have
/// are not.
pub(super) fn run(
    readers: &Readers,
    sources: &Sources,
    sql: &str,
    is_json: &[bool],
    bind: impl Params,
    bounds: &Bounds,
) -> Result<Answer, QueryError> {
    let taken = readers.take(sources).map_err(store_error)?;
    let answer = run_on(&taken.reader, sql, is_json, bind, bounds);
    readers.give(taken);
    answer
}

/// Runs a statement on a reader of one's own.
pub(super) fn run_on(
    reader: &Reader,
    sql: &str,
    is_json: &[bool],
    bind: impl Params,
    bounds: &Bounds,
) -> Result<Answer, QueryError> {
    reader.pace.set(Some(bounds.clone()));
    let answer = collect(reader, sql, is_json, bind, bounds);
    reader.pace.set(None);
    answer
}

fn collect(
    reader: &Reader,
    sql: &str,
    is_json: &[bool],
    bind: impl Params,
    bounds: &Bounds,
) -> Result<Answer, QueryError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => bounds.late(),
        Some(rusqlite::ErrorCode::TooBig) => {
            QueryError::TooMuch("a value of the query is too large; ask for a smaller part of it".to_owned())
        }
        _ if is_of_storage(&error) => store_error(error.into()),
        _ => match reader.wall.take_refusal() {
            Some(refusal) => QueryError::Refused(refusal),
            None => QueryError::Invalid(locate(1, &error).1),
        },
    };
    let limits = &bounds.limits;
    let mut statement = reader.conn.prepare_cached(sql).map_err(failed)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut kinds = vec![None; names.len()];
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut found = statement.query(bind).map_err(failed)?;
    while let Some(row) = found.next().map_err(failed)? {
        if rows.len() == limits.rows_max {
            return Err(QueryError::TooMuch(format!(
                "the answer has more than {} rows; add LIMIT, or aggregate in the query",
                limits.rows_max
            )));
        }
        let mut values = Vec::with_capacity(names.len());
        for (at, kind) in kinds.iter_mut().enumerate() {
            let is_json = is_json.get(at).copied().unwrap_or(false);
            let value = value(row.get_ref(at).map_err(failed)?, is_json);
            bytes += value.size();
            note_kind(kind, &value);
            values.push(value);
        }
        if bytes > limits.bytes_max {
            return Err(QueryError::TooMuch(format!(
                "the answer is larger than {} bytes; ask for fewer columns or rows",
                limits.bytes_max
            )));
        }
        rows.push(values);
    }
    let column = |(name, kind): (String, Option<Kind>)| Column { name, kind: kind.unwrap_or(Kind::Any) };
    Ok(Answer { columns: names.into_iter().zip(kinds).map(column).collect(), rows })
}

fn value(value: ValueRef<'_>, is_json: bool) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(bytes) if is_json => Value::Json(text(bytes)),
        ValueRef::Text(bytes) => Value::Text(text(bytes)),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// What all values of a column are so far. NULL is of every kind.
fn note_kind(kind: &mut Option<Kind>, value: &Value) {
    let its = match value {
        Value::Null => return,
        Value::Int(_) => Kind::Int,
        Value::Float(_) => Kind::Float,
        Value::Text(_) => Kind::Text,
        Value::Json(_) => Kind::Json,
        Value::Bytes(_) => Kind::Bytes,
        _ => Kind::Any,
    };
    *kind = match *kind {
        None => Some(its),
        Some(known) if known == its => Some(its),
        Some(_) => Some(Kind::Any),
    };
}

/// An error of the files behind a query.
pub(super) fn store_error(error: Error) -> QueryError {
    QueryError::Store(of_read_model(error))
}
