//! What a relation of a read model had at one moment and not at another.

use std::cmp::Ordering;

use tokio::time::Instant;

use crate::answer::{Answer, Column, Kind, Value};
use crate::engine::{Moment, QueryError, QueryLimits};

use super::asking::ask_error;
use super::{AskError, ReadModels, no_such_table};

impl ReadModels {
    /// What a table or view had at one moment and not at another: the rows of both that differ, behind a column `change`
    /// that says `-` (only `from` has it) or `+` (only `to`), in the order of their columns. A row that is there several
    /// times counts as often.
    ///
    /// Both sides are held in memory at once, each within the limit of bytes; the limit of rows is the answer's.
    ///
    /// # Errors
    /// There is no such table; as the engine says.
    pub async fn diff(&self, table: &str, from: Moment, to: Moment, limits: QueryLimits) -> Result<Answer, AskError> {
        let shared = self.shared();
        if shared.catalogue.latest().owner(table).is_none() {
            let builds = shared.catalogue.reload().await.map_err(ask_error)?;
            if builds.owner(table).is_none() {
                return Err(no_such_table(table));
            }
        }
        let deadline = Instant::now() + limits.time_max;
        let from = self.resolve_moment("from", from, deadline).await?;
        let to = self.resolve_moment("to", to, deadline).await?;
        let side = || QueryLimits {
            rows_max: usize::MAX,
            time_max: deadline.saturating_duration_since(Instant::now()),
            ..limits
        };
        let before = shared.engine.rows_as_of(table, &from, side()).await?;
        if side().time_max.is_zero() {
            return Err(AskError::Query(QueryError::Late(limits.time_max)));
        }
        let after = shared.engine.rows_as_of(table, &to, side()).await?;
        let answer = difference(before, after);
        if answer.rows.len() > limits.rows_max {
            return Err(AskError::Query(QueryError::TooMuch(format!(
                "{} rows of `{table}` differ, and an answer has at most {}; choose moments that lie closer together",
                answer.rows.len(),
                limits.rows_max
            ))));
        }
        Ok(answer)
    }
}

/// The rows of both that are not in the other, as often as they are not.
fn difference(before: Answer, after: Answer) -> Answer {
    let mut columns = vec![Column { name: "change".to_owned(), kind: Kind::Text }];
    columns.extend(before.columns.into_iter().zip(after.columns).map(|(before, after)| Column {
        kind: if before.kind == after.kind { before.kind } else { Kind::Any },
        name: after.name,
    }));
    let sorted = |mut rows: Vec<Vec<Value>>| {
        rows.sort_by(|one, other| compare_rows(one, other));
        rows.into_iter().peekable()
    };
    let (mut before, mut after) = (sorted(before.rows), sorted(after.rows));
    let mut rows = Vec::new();
    let mut tell = |change: &str, row: Option<Vec<Value>>| {
        rows.extend(row.map(|row| std::iter::once(Value::Text(change.to_owned())).chain(row).collect()));
    };
    loop {
        let order = match (before.peek(), after.peek()) {
            (Some(one), Some(other)) => compare_rows(one, other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        match order {
            Ordering::Less => tell("-", before.next()),
            Ordering::Greater => tell("+", after.next()),
            Ordering::Equal => drop((before.next(), after.next())),
        }
    }
    // Of rows that begin alike, those that went before those that came: mostly it is one row that changed.
    rows.sort_by(|one: &Vec<Value>, other| {
        let went = |row: &[Value]| row.first() == Some(&Value::Text("-".to_owned()));
        compare_rows(one.get(1..2).unwrap_or_default(), other.get(1..2).unwrap_or_default())
            .then_with(|| went(other).cmp(&went(one)))
    });
    Answer { columns, rows }
}

fn compare_rows(one: &[Value], other: &[Value]) -> Ordering {
    let unequal = one.iter().zip(other).map(|(one, other)| compare(one, other)).find(|order| order.is_ne());
    unequal.unwrap_or_else(|| one.len().cmp(&other.len()))
}

/// A total order in which values are equal that are the same: of one kind, and bit for bit.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Int(one), Value::Int(other)) | (Value::Time(one), Value::Time(other)) => one.cmp(other),
        (Value::Float(one), Value::Float(other)) => one.total_cmp(other),
        (Value::Decimal(one), Value::Decimal(other))
        | (Value::Text(one), Value::Text(other))
        | (Value::Json(one), Value::Json(other)) => one.cmp(other),
        (Value::Bytes(one), Value::Bytes(other)) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::Float(_) => 3,
        Value::Decimal(_) => 4,
        Value::Time(_) => 5,
        Value::Text(_) => 6,
        Value::Json(_) => 7,
        Value::Bytes(_) => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[(&str, i64)]) -> Answer {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let row = |(account, cents): &(&str, i64)| vec![Value::Text((*account).to_owned()), Value::Int(*cents)];
        Answer {
            columns: vec![column("account", Kind::Text), column("cents", Kind::Int)],
            rows: rows.iter().map(row).collect(),
        }
    }

    fn told(before: &[(&str, i64)], after: &[(&str, i64)]) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        let answer = difference(answer(before), answer(after));
        assert_eq!(answer.columns[0].name, "change");
        answer.rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_changed_row_is_told_as_it_was_and_as_it_is() {
        let told = told(&[("a", 1), ("b", 2), ("c", 3)], &[("c", 3), ("b", 5), ("d", 4)]);
        assert_eq!(told, ["- a 1", "- b 2", "+ b 5", "+ d 4"]);
    }

    #[test]
    fn what_went_stands_before_what_came() {
        assert_eq!(told(&[("a", 5)], &[("a", 3)]), ["- a 5", "+ a 3"]);
    }

    #[test]
    fn rows_count_as_often_as_they_are_there() {
        assert_eq!(told(&[("a", 1), ("a", 1), ("b", 1)], &[("a", 1), ("b", 1), ("b", 1)]), ["- a 1", "+ b 1"]);
        assert_eq!(told(&[("a", 1), ("a", 1)], &[("a", 1), ("a", 1)]), [""; 0]);
    }

    #[test]
    fn values_of_two_kinds_are_never_the_same() {
        assert_ne!(compare(&Value::Text("1".into()), &Value::Int(1)), Ordering::Equal);
        assert_ne!(compare(&Value::Float(0.0), &Value::Float(-0.0)), Ordering::Equal);
        assert_eq!(compare(&Value::Float(f64::NAN), &Value::Float(f64::NAN)), Ordering::Equal);
    }
}
