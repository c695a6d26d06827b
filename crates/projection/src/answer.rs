//! The answer to a query: columns and rows, whatever the engine.

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
