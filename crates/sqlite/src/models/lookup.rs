//! Point reads: rows of one table by the values of columns, without SQL.

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use pacioli_projection::answer::Answer;
use pacioli_projection::engine::{Lookup, QueryError};

use super::builds::Builds;
use super::query::{self, Bounds};
use super::readers::{Readers, Sources};
use super::text::quoted;
use super::window;

/// Answers a point read.
pub(super) fn lookup(
    builds: &Builds,
    readers: &Readers,
    lookup: &Lookup,
    bounds: &Bounds,
) -> Result<Answer, QueryError> {
    let window = builds.window().map_err(query::store_error)?;
    let at = window.owner(&lookup.table).ok_or_else(|| window.no_table(&lookup.table))?;
    let columns = window.columns(&lookup.table)?;
    let known = |column: &str| {
        let found = columns.iter().find(|known| known.name == column);
        found.ok_or_else(|| {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let (table, names) = (&lookup.table, names.join(", "));
            QueryError::Invalid(format!("the table `{table}` has no column `{column}`; it has {names}"))
        })
    };
    let mut sql = format!("SELECT * FROM {}", quoted(&lookup.table));
    let mut bind: Vec<Value> = Vec::new();
    for (number, (column, value)) in lookup.equals.iter().enumerate() {
        let column = known(column)?;
        sql.push_str(if number == 0 { " WHERE " } else { " AND " });
        bind.push(Value::Text(value.clone()));
        let name = quoted(&column.name);
        match value.parse::<i64>() {
            // A column without a type of its own converts nothing, and may hold the number as well as the text.
            Ok(whole) if column.is_untyped => {
                sql.push_str(&format!("{name} IN (?{}, ?{})", bind.len(), bind.len() + 1));
                bind.push(Value::Integer(whole));
            }
            // SQLite converts the text as it would on INSERT.
            _ => sql.push_str(&format!("{name} = ?{}", bind.len())),
        }
    }
    if let Some((column, greatest_first)) = &lookup.order {
        let direction = if *greatest_first { "DESC" } else { "ASC" };
        sql.push_str(&format!(" ORDER BY {} {direction}", quoted(&known(column)?.name)));
    }
    bind.push(Value::Integer(i64::try_from(lookup.limit.min(bounds.limits.rows_max)).unwrap_or(i64::MAX)));
    sql.push_str(&format!(" LIMIT ?{}", bind.len()));
    let sources = Sources { files: vec![window::source(builds, at)], events: None };
    query::run(readers, &sources, &sql, &[], params_from_iter(bind), bounds)
}
