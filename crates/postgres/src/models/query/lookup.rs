//! Point reads: rows of one table where columns have these values. The statement is ours, so it is prepared once and needs
//! no transaction; names come from the catalogue, values are parameters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pacioli_projection::answer::Answer;
use pacioli_projection::engine::{Lookup, QueryError};

use super::decode::Reading;
use super::plain::quote_name;
use super::run::{Bounds, Failure, collect, relations, there_are, told};
use super::sessions::{Prepared, Seat};

/// How long the columns of a table are believed. They change when another version of a projection takes over, which another
/// server may have done.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// Tables whose columns are kept.
const TABLES_MAX: usize = 1_000;

/// Column and type, in order.
type Columns = Arc<Vec<(String, String)>>;

/// The columns of tables, as they were a moment ago.
#[derive(Default)]
pub(super) struct Catalogue(Mutex<HashMap<String, (Instant, Columns)>>);

impl Catalogue {
    fn known(&self, table: &str) -> Option<Columns> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.get(table).filter(|(at, _)| at.elapsed() < BELIEVED_FOR).map(|(_, columns)| Arc::clone(columns))
    }

    fn learn(&self, table: &str, columns: &Columns) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= TABLES_MAX {
            tables.clear();
        }
        tables.insert(table.to_owned(), (Instant::now(), Arc::clone(columns)));
    }

    fn forget(&self, table: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(table);
    }
}

/// A point read, and where columns are known from.
pub(super) struct Point {
    pub(super) lookup: Lookup,
    pub(super) catalogue: Arc<Catalogue>,
}

impl Point {
    pub(super) async fn ask(&self, seat: &mut Seat, bounds: Bounds) -> Result<Answer, Failure> {
        match self.once(seat, bounds).await {
            // Another build serves than a moment ago.
            Err(failure) if failure.is_outdated => {
                self.catalogue.forget(&self.lookup.table);
                seat.forget();
                self.once(seat, bounds).await
            }
            answer => answer,
        }
    }

    async fn once(&self, seat: &mut Seat, bounds: Bounds) -> Result<Answer, Failure> {
        let columns = self.columns(seat, bounds).await?;
        let text = self.text(seat.reads(), &columns)?;
        // A column that has another type now is read in another way.
        let types: String = columns.iter().map(|(_, data_type)| format!(" {data_type}")).collect();
        let key = format!("{text}\n{types}");
        let prepared = match seat.prepared(&key) {
            Some(prepared) => prepared,
            None => {
                let mut statement = seat.prepare(&text).await.map_err(|error| told(error, seat, bounds))?;
                let reading = Reading::of(&statement);
                if let Some(around) = reading.around(&text) {
                    statement = seat.prepare(&around).await.map_err(|error| told(error, seat, bounds))?;
                }
                let prepared = Arc::new(Prepared { statement, reading });
                seat.keep(key, &prepared);
                prepared
            }
        };
        let values: Vec<&str> = self.lookup.equals.iter().map(|(_, value)| value.as_str()).collect();
        collect(seat, &prepared.statement, &prepared.reading, &values, bounds).await
    }

    async fn columns(&self, seat: &Seat, bounds: Bounds) -> Result<Columns, Failure> {
        let table = &self.lookup.table;
        if let Some(columns) = self.catalogue.known(table) {
            return Ok(columns);
        }
        let rows = seat.query(sql!("models/list_columns"), &[&seat.reads(), table]).await;
        let rows = rows.map_err(|error| told(error, seat, bounds))?;
        if rows.is_empty() {
            let there_are = there_are(&relations(seat).await);
            return Err(
                QueryError::Invalid(format!("there is no table `{}`; {there_are}", table.escape_debug())).into()
            );
        }
        let columns = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, _>>();
        let columns: Columns = Arc::new(columns.map_err(|error| told(error, seat, bounds))?);
        self.catalogue.learn(table, &columns);
        Ok(columns)
    }

    /// The statement: a bind for each value, in order.
    fn text(&self, schema: &str, columns: &Columns) -> Result<String, QueryError> {
        let Lookup { table, equals, order, limit } = &self.lookup;
        let of_type = |name: &str| {
            let found = columns.iter().find(|(column, _)| column == name).map(|(_, data_type)| data_type);
            found.ok_or_else(|| {
                let names: Vec<String> = columns.iter().map(|(column, _)| column.clone()).collect();
                QueryError::Invalid(format!("`{table}` has no column `{}`; {}", name.escape_debug(), there_are(&names)))
            })
        };
        let names: Vec<String> = columns.iter().map(|(column, _)| quote_name(column)).collect();
        let mut text = format!("SELECT {} FROM {}.{}", names.join(", "), quote_name(schema), quote_name(table));
        for (index, (column, _)) in equals.iter().enumerate() {
            let (word, data_type) = (if index == 0 { "WHERE" } else { "AND" }, of_type(column)?);
            text.push_str(&format!(" {word} {} = ${}::pg_catalog.text::{data_type}", quote_name(column), index + 1));
        }
        if let Some((column, is_descending)) = order {
            of_type(column)?;
            let direction = if *is_descending { "DESC" } else { "ASC" };
            text.push_str(&format!(" ORDER BY {} {direction}", quote_name(column)));
        }
        text.push_str(&format!(" LIMIT {limit}"));
        Ok(text)
    }
}
