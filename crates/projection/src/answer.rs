//! The answer to a query: columns and rows, whatever the engine; and the [forms](form) it is sent in.

#[cfg(feature = "arrow")]
mod arrow;
mod csv;
pub mod form;
mod json;
mod text;

pub use form::{Chunks, Form};

/// Columns and rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The rows; each has a value for each column.
    pub rows: Vec<Vec<Value>>,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name; may be there twice.
    pub name: String,
    /// What its values are, where the engine knows it of all of them.
    pub kind: Kind,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not one kind: SQLite's columns may hold anything.
    Any,
    /// [`Value::Bool`]
    Bool,
    /// [`Value::Int`]
    Int,
    /// [`Value::Float`]
    Float,
    /// [`Value::Decimal`]
    Decimal,
    /// [`Value::Text`]
    Text,
    /// [`Value::Json`]
    Json,
    /// [`Value::Bytes`]
    Bytes,
    /// [`Value::Time`]
    Time,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL's NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A number with all its digits, as text: `12.50`, `NaN`.
    Decimal(String),
    /// Text; also what has no kind of its own (dates, intervals), as the database writes it.
    Text(String),
    /// A JSON document as it is stored, so there may be lines in it; on PostgreSQL arrays and rows too.
    Json(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment in UTC, in microseconds since 1970.
    Time(i64),
}

impl Answer {
    /// The columns' names as the forms write them: a name that was there already gets `_2`, `_3` … behind it, because an
    /// object has no member twice, and a data frame no column.
    pub fn names(&self) -> Vec<String> {
        let own: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let mut names: Vec<String> = Vec::with_capacity(own.len());
        for name in &own {
            let is_taken = |candidate: &str| names.iter().any(|taken| taken == candidate);
            let name = match is_taken(name) {
                false => (*name).to_owned(),
                true => (2..)
                    .map(|count| format!("{name}_{count}"))
                    .find(|candidate| !is_taken(candidate) && !own.contains(&candidate.as_str()))
                    .expect("there are more numbers than columns"),
            };
            names.push(name);
        }
        names
    }
}

impl Value {
    /// Bytes it takes in memory, roughly.
    pub fn size(&self) -> usize {
        16 + match self {
            Value::Decimal(text) | Value::Text(text) | Value::Json(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_is_numbered() {
        let names = |names: &[&str]| {
            let columns = names.iter().map(|name| Column { name: (*name).to_owned(), kind: Kind::Any }).collect();
            Answer { columns, rows: Vec::new() }.names().join(" ")
        };
        assert_eq!(names(&["a", "b"]), "a b");
        assert_eq!(names(&["a", "a", "a"]), "a a_2 a_3");
        assert_eq!(names(&["a", "a", "a_2", "a_2"]), "a a_3 a_2 a_2_2");
    }
}
