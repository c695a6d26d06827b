//! Rows as an Arrow IPC stream, for data frames and DuckDB.
//!
//! A column's type is that of its kind: Boolean, Int64, Float64, Decimal128 with as many decimals as the longest value,
//! Utf8 (JSON marked as `arrow.json`), Binary, Timestamp in microseconds and UTC. A column of no one kind, as SQLite's are,
//! takes the type that all its values have, and Utf8 where there is none; so does a decimal beyond 38 digits.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::form::Unwritable;
use super::{Answer, Kind, Value, text};

/// Digits of a Decimal128 at most.
const DIGITS_MAX: u8 = 38;
/// Whole numbers up to here are the same as floating-point numbers.
const EXACT_IN_FLOAT: u64 = 1 << 53;

/// Writes rows as batches of one schema.
pub(super) struct Batches {
    schema: SchemaRef,
    kinds: Vec<Stored>,
    writer: StreamWriter<Vec<u8>>,
}

/// How a column's values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Bool,
    Int,
    Float,
    /// With so many digits behind the point.
    Decimal(u8),
    Text,
    Json,
    Bytes,
    Time,
}

impl From<ArrowError> for Unwritable {
    fn from(error: ArrowError) -> Unwritable {
        Unwritable(format!("the answer does not fit into Arrow's columns: {error}; ask for json instead"))
    }
}

impl Batches {
    /// Chooses the columns' types by all rows, and begins with the schema.
    pub(super) fn of(answer: &Answer) -> Result<Batches, Unwritable> {
        let values = |index: usize| answer.rows.iter().filter_map(move |row| row.get(index));
        let columns = answer.columns.iter().enumerate();
        let kinds: Vec<Stored> = columns.map(|(index, column)| stored(column.kind, || values(index))).collect();
        let fields = answer.names().into_iter().zip(&kinds).map(|(name, kind)| kind.field(name));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let writer = StreamWriter::try_new(Vec::new(), &schema)?;
        Ok(Batches { schema, kinds, writer })
    }

    /// Writes some rows as one batch.
    pub(super) fn rows(&mut self, rows: &[Vec<Value>]) -> Result<(), Unwritable> {
        let columns = self.kinds.iter().enumerate().map(|(index, kind)| {
            let values = rows.iter().map(|row| row.get(index).unwrap_or(&Value::Null));
            kind.array(values)
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, Unwritable>>()?;
        // An answer may have rows and no column.
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(self.writer.write(&batch)?)
    }

    /// Writes the end of the stream.
    pub(super) fn end(&mut self) -> Result<(), Unwritable> {
        Ok(self.writer.finish()?)
    }

    /// Takes what was written since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }
}

/// How a column is stored: by its kind where all values have it, else by what the values have in common.
fn stored<'a, I: Iterator<Item = &'a Value>>(kind: Kind, values: impl Fn() -> I) -> Stored {
    let all = |fits: fn(&Value) -> bool| values().all(|value| *value == Value::Null || fits(value));
    let known = match kind {
        Kind::Any => first_kind(values()),
        kind => kind,
    };
    match known {
        Kind::Bool if all(|value| matches!(value, Value::Bool(_))) => Stored::Bool,
        Kind::Int if all(|value| matches!(value, Value::Int(_))) => Stored::Int,
        Kind::Int | Kind::Float if all(is_float) => Stored::Float,
        Kind::Int | Kind::Decimal if all(|value| digits(value).is_some()) => decimal(values()),
        Kind::Json if all(|value| matches!(value, Value::Json(_))) => Stored::Json,
        Kind::Bytes if all(|value| matches!(value, Value::Bytes(_))) => Stored::Bytes,
        Kind::Time if all(|value| matches!(value, Value::Time(_))) => Stored::Time,
        _ => Stored::Text,
    }
}

fn first_kind<'a>(mut values: impl Iterator<Item = &'a Value>) -> Kind {
    match values.find(|value| **value != Value::Null) {
        None | Some(Value::Null | Value::Text(_)) => Kind::Text,
        Some(Value::Bool(_)) => Kind::Bool,
        Some(Value::Int(_)) => Kind::Int,
        Some(Value::Float(_)) => Kind::Float,
        Some(Value::Decimal(_)) => Kind::Decimal,
        Some(Value::Json(_)) => Kind::Json,
        Some(Value::Bytes(_)) => Kind::Bytes,
        Some(Value::Time(_)) => Kind::Time,
    }
}

fn is_float(value: &Value) -> bool {
    match value {
        Value::Float(_) => true,
        Value::Int(number) => number.unsigned_abs() <= EXACT_IN_FLOAT,
        _ => false,
    }
}

/// The type that holds all of these with all their digits; text where none does.
fn decimal<'a>(values: impl Iterator<Item = &'a Value>) -> Stored {
    let (mut whole, mut behind) = (1, 0);
    for digits in values.filter_map(digits) {
        whole = whole.max(digits.whole.len());
        behind = behind.max(digits.behind.len());
    }
    match u8::try_from(behind) {
        Ok(scale) if whole + behind <= usize::from(DIGITS_MAX) => Stored::Decimal(scale),
        _ => Stored::Text,
    }
}

/// A decimal number taken apart.
struct Digits {
    is_negative: bool,
    whole: String,
    behind: String,
}

fn digits(value: &Value) -> Option<Digits> {
    let text = match value {
        Value::Int(number) => number.to_string(),
        Value::Decimal(text) => text.clone(),
        _ => return None,
    };
    let (is_negative, unsigned) = text.strip_prefix('-').map_or((false, text.as_str()), |unsigned| (true, unsigned));
    let (whole, behind) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = !whole.is_empty() && is_plain(whole) && is_plain(behind);
    is_number.then(|| Digits { is_negative, whole: whole.to_owned(), behind: behind.to_owned() })
}

impl Digits {
    /// The number times ten to the power of `scale`, which is at least the digits it has behind the point.
    fn scaled(&self, scale: u8) -> Option<i128> {
        let zeros = usize::from(scale).checked_sub(self.behind.len())?;
        let number: i128 = format!("{}{}{}", self.whole, self.behind, "0".repeat(zeros)).parse().ok()?;
        Some(if self.is_negative { -number } else { number })
    }
}

impl Stored {
    fn field(self, name: String) -> Field {
        let data_type = match self {
            Stored::Bool => DataType::Boolean,
            Stored::Int => DataType::Int64,
            Stored::Float => DataType::Float64,
            Stored::Decimal(scale) => DataType::Decimal128(DIGITS_MAX, scale as i8),
            Stored::Text | Stored::Json => DataType::Utf8,
            Stored::Bytes => DataType::Binary,
            Stored::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        };
        let field = Field::new(name, data_type, true);
        match self {
            Stored::Json => {
                let extension = [("ARROW:extension:name", "arrow.json"), ("ARROW:extension:metadata", "")];
                let own = |text: &str| text.to_owned();
                field.with_metadata(HashMap::from(extension.map(|(name, value)| (own(name), own(value)))))
            }
            _ => field,
        }
    }

    fn array<'a>(self, values: impl Iterator<Item = &'a Value>) -> Result<ArrayRef, Unwritable> {
        macro_rules! array {
            ($builder:expr, $($value:pat => $stored:expr),+) => {{
                let mut builder = $builder;
                for value in values {
                    match value {
                        $($value => builder.append_value($stored),)+
                        _ => builder.append_null(),
                    }
                }
                Arc::new(builder.finish())
            }};
        }
        Ok(match self {
            Stored::Bool => array!(BooleanBuilder::new(), Value::Bool(value) => *value),
            Stored::Int => array!(Int64Builder::new(), Value::Int(number) => *number),
            Stored::Float => {
                array!(Float64Builder::new(), Value::Float(number) => *number, Value::Int(number) => *number as f64)
            }
            Stored::Decimal(scale) => {
                let mut builder = Decimal128Builder::new().with_precision_and_scale(DIGITS_MAX, scale as i8)?;
                for value in values {
                    builder.append_option(digits(value).and_then(|digits| digits.scaled(scale)));
                }
                Arc::new(builder.finish())
            }
            Stored::Text | Stored::Json => {
                let mut builder = StringBuilder::new();
                values.for_each(|value| builder.append_option(text::of(value)));
                Arc::new(builder.finish())
            }
            Stored::Bytes => array!(BinaryBuilder::new(), Value::Bytes(bytes) => bytes),
            Stored::Time => {
                array!(TimestampMicrosecondBuilder::new().with_timezone("UTC"), Value::Time(micros) => *micros)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Form};
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
    use arrow_ipc::reader::StreamReader;

    /// Writes an answer, and reads it back as one batch a piece.
    fn read_back(columns: &[(&str, Kind)], rows: Vec<Vec<Value>>) -> (SchemaRef, Vec<RecordBatch>) {
        let columns = columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect();
        let bytes = Arc::new(Answer { columns, rows }).write(Form::Arrow).expect("it can be written");
        let reader = StreamReader::try_new(&bytes[..], None).expect("it is an Arrow stream");
        (reader.schema(), reader.map(|batch| batch.expect("a batch")).collect())
    }

    fn types(schema: &Schema) -> Vec<DataType> {
        schema.fields().iter().map(|field| field.data_type().clone()).collect()
    }

    fn utc() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }

    #[test]
    fn every_kind_comes_back() {
        let columns = [
            ("bool", Kind::Bool),
            ("int", Kind::Int),
            ("float", Kind::Float),
            ("decimal", Kind::Decimal),
            ("text", Kind::Text),
            ("json", Kind::Json),
            ("bytes", Kind::Bytes),
            ("time", Kind::Time),
        ];
        let row = vec![
            Value::Bool(true),
            Value::Int(-7),
            Value::Float(f64::INFINITY),
            Value::Decimal("-12.50".to_owned()),
            Value::Text("ä".to_owned()),
            Value::Json("{\"a\":1}".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Time(-1),
        ];
        let other = Value::Decimal("100000000000000000000000000000000000".to_owned());
        let mut second = vec![Value::Null; 8];
        second[3] = other;
        let (schema, batches) = read_back(&columns, vec![row, second, vec![Value::Null; 8]]);
        let decimal = DataType::Decimal128(38, 2);
        let expected = [
            DataType::Boolean,
            DataType::Int64,
            DataType::Float64,
            decimal,
            DataType::Utf8,
            DataType::Utf8,
            DataType::Binary,
            utc(),
        ];
        assert_eq!(types(&schema), expected);
        assert_eq!(schema.field(5).metadata()["ARROW:extension:name"], "arrow.json");
        let batch = &batches[0];
        assert_eq!(batch.num_rows(), 3);
        assert!(batch.column(0).as_boolean().value(0));
        assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), -7);
        assert_eq!(batch.column(2).as_primitive::<Float64Type>().value(0), f64::INFINITY);
        let decimals = batch.column(3).as_primitive::<Decimal128Type>();
        assert_eq!((decimals.value_as_string(0).as_str(), decimals.value(1)), ("-12.50", 10_i128.pow(37)));
        assert_eq!(batch.column(4).as_string::<i32>().value(0), "ä");
        assert_eq!(batch.column(5).as_string::<i32>().value(0), "{\"a\":1}");
        assert_eq!(batch.column(6).as_binary::<i32>().value(0), [0, 255]);
        assert_eq!(batch.column(7).as_primitive::<TimestampMicrosecondType>().value(0), -1);
        assert!((0..8).all(|index| batch.column(index).is_null(2)));
    }

    #[test]
    fn a_column_of_no_kind_takes_that_of_its_values() {
        let int = |number| Value::Int(number);
        let text = |text: &str| Value::Text(text.to_owned());
        let cases: [(Vec<Value>, DataType); 7] = [
            (vec![Value::Null, int(1)], DataType::Int64),
            (vec![int(1), Value::Float(0.5)], DataType::Float64),
            (vec![Value::Float(0.5), int(i64::MAX)], DataType::Utf8),
            (vec![int(1), text("x")], DataType::Utf8),
            (vec![Value::Null, Value::Null], DataType::Utf8),
            (vec![Value::Bytes(vec![1]), Value::Null], DataType::Binary),
            (vec![int(1), Value::Decimal("0.25".to_owned())], DataType::Decimal128(38, 2)),
        ];
        for (values, expected) in cases {
            let rows = values.iter().map(|value| vec![value.clone()]).collect();
            let (schema, batches) = read_back(&[("a", Kind::Any)], rows);
            assert_eq!(types(&schema), [expected], "{values:?}");
            assert_eq!(batches[0].num_rows(), values.len());
        }
    }

    #[test]
    fn a_decimal_that_does_not_fit_is_text() {
        for number in ["NaN", &"9".repeat(39), &format!("0.{}1", "0".repeat(38))] {
            let rows = vec![vec![Value::Decimal(number.to_owned())], vec![Value::Decimal("1.5".to_owned())]];
            let (schema, batches) = read_back(&[("a", Kind::Decimal)], rows);
            assert_eq!(types(&schema), [DataType::Utf8]);
            assert_eq!(batches[0].column(0).as_string::<i32>().value(0), number);
        }
    }

    #[test]
    fn many_rows_come_in_batches_and_none_come_with_a_schema() {
        let rows: Vec<Vec<Value>> = (0..5_000).map(|number| vec![Value::Int(number), Value::Int(number)]).collect();
        let (schema, batches) = read_back(&[("n", Kind::Int), ("n", Kind::Int)], rows);
        assert_eq!(schema.field(1).name(), "n_2");
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 5_000);
        assert_eq!(batches.len(), 3);
        let (schema, batches) = read_back(&[("n", Kind::Int)], Vec::new());
        assert_eq!(types(&schema), [DataType::Int64]);
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    }
}
