//! From PostgreSQL's binary values to those of an answer.
//!
//! What has no kind of its own is asked for as text, and arrays and rows as JSON, by a query around the query: see
//! [`Reading::around`].

use pacioli_projection::answer::{Column, Kind, Value};
use postgres_types::{FromSql, Kind as TypeKind, Type};
use tokio_postgres::{Row, Statement};

use super::numeric;
use super::plain::quote_name;

/// From 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i64 = 10_957;

/// How the columns of a statement are read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) columns: Vec<Column>,
    how: Vec<How>,
}

/// How one column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Byte,
    Uuid,
    Json,
    Jsonb,
    Bytes,
    Time,
    Date,
    /// Cast to text by the server.
    CastToText,
    /// Made JSON by the server.
    MadeJson,
}

impl How {
    fn of(data_type: &Type) -> How {
        match *data_type {
            Type::BOOL => How::Bool,
            Type::INT2 => How::Int2,
            Type::INT4 => How::Int4,
            Type::INT8 => How::Int8,
            Type::OID => How::Oid,
            Type::FLOAT4 => How::Float4,
            Type::FLOAT8 => How::Float8,
            Type::NUMERIC => How::Numeric,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => How::Text,
            Type::CHAR => How::Byte,
            Type::UUID => How::Uuid,
            Type::JSON => How::Json,
            Type::JSONB => How::Jsonb,
            Type::BYTEA => How::Bytes,
            // Without a zone it is taken for UTC, as all times of a store are.
            Type::TIMESTAMPTZ | Type::TIMESTAMP => How::Time,
            Type::DATE => How::Date,
            Type::RECORD | Type::RECORD_ARRAY => How::MadeJson,
            _ => match data_type.kind() {
                TypeKind::Enum(_) => How::Text,
                TypeKind::Array(_) | TypeKind::Composite(_) => How::MadeJson,
                _ => How::CastToText,
            },
        }
    }

    fn kind(self) -> Kind {
        match self {
            How::Bool => Kind::Bool,
            How::Int2 | How::Int4 | How::Int8 | How::Oid => Kind::Int,
            How::Float4 | How::Float8 => Kind::Float,
            How::Numeric => Kind::Decimal,
            How::Text | How::Byte | How::Uuid | How::Date | How::CastToText => Kind::Text,
            How::Json | How::Jsonb | How::MadeJson => Kind::Json,
            How::Bytes => Kind::Bytes,
            How::Time => Kind::Time,
        }
    }
}

impl Reading {
    /// How the columns of a statement are to be read.
    pub(super) fn of(statement: &Statement) -> Reading {
        let columns = statement.columns();
        let how: Vec<How> = columns.iter().map(|column| How::of(column.type_())).collect();
        let columns = columns.iter().zip(&how);
        let columns =
            columns.map(|(column, how)| Column { name: column.name().to_owned(), kind: how.kind() }).collect();
        Reading { columns, how }
    }

    /// The query to send instead of one that has columns which only the server can write; `None` where it has none.
    pub(super) fn around(&self, query: &str) -> Option<String> {
        if !self.how.iter().any(|how| matches!(how, How::CastToText | How::MadeJson)) {
            return None;
        }
        let names = 0..self.how.len();
        let written = |(column, how): (usize, &How)| match how {
            How::CastToText => format!("c{column}::pg_catalog.text"),
            How::MadeJson => format!("pg_catalog.to_json(c{column})"),
            _ => format!("c{column}"),
        };
        let select: Vec<String> = self.how.iter().enumerate().map(written).collect();
        let names: Vec<String> = names.map(|column| format!("c{column}")).collect();
        // The query was read alone before, so its brackets match; and it has no comments.
        Some(format!(
            "SELECT {} FROM (\n{query}\n) AS {}({})",
            select.join(", "),
            quote_name("query"),
            names.join(", ")
        ))
    }

    /// The values of a row.
    ///
    /// # Errors
    /// A value that cannot be told, with its column.
    pub(super) fn row(&self, row: &Row) -> Result<Vec<Value>, String> {
        let value = |(column, how): (usize, &How)| {
            let raw: Option<Raw<'_>> = row.try_get(column).map_err(|error| error.to_string())?;
            let Some(Raw(bytes)) = raw else { return Ok(Value::Null) };
            read(*how, bytes).ok_or_else(|| {
                format!(
                    "the value in column `{}` is beyond what can be told: cast it to text",
                    self.columns[column].name
                )
            })
        };
        self.how.iter().enumerate().map(value).collect()
    }
}

/// The bytes of a value, whatever its type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn read(how: How, bytes: &[u8]) -> Option<Value> {
    let text = |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.to_owned());
    Some(match how {
        How::Bool => Value::Bool(bytes.first()? != &0),
        How::Int2 => Value::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        How::Int4 => Value::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        How::Int8 => Value::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
        How::Oid => Value::Int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        // The shortest decimal that means the same, and not the digits that widening adds.
        How::Float4 => Value::Float(f32::from_be_bytes(bytes.try_into().ok()?).to_string().parse().ok()?),
        How::Float8 => Value::Float(f64::from_be_bytes(bytes.try_into().ok()?)),
        How::Numeric => Value::Decimal(numeric::text(bytes)?),
        How::Text | How::CastToText => Value::Text(text(bytes)?),
        How::Byte => Value::Text(
            bytes.first().filter(|&&byte| byte != 0).map(|&byte| char::from(byte).to_string()).unwrap_or_default(),
        ),
        How::Uuid => Value::Text(uuid::Uuid::from_slice(bytes).ok()?.to_string()),
        How::Json | How::MadeJson => Value::Json(text(bytes)?),
        How::Jsonb => Value::Json(text(bytes.strip_prefix(&[1])?)?),
        How::Bytes => Value::Bytes(bytes.to_owned()),
        How::Time => time(i64::from_be_bytes(bytes.try_into().ok()?))?,
        How::Date => Value::Text(date(i32::from_be_bytes(bytes.try_into().ok()?))),
    })
}

/// Microseconds since 2000. The two ends of time are words, as the server writes them.
fn time(micros: i64) -> Option<Value> {
    match micros {
        i64::MAX => Some(Value::Text("infinity".to_owned())),
        i64::MIN => Some(Value::Text("-infinity".to_owned())),
        _ => Some(Value::Time(micros.checked_add(EPOCH_MICROS)?)),
    }
}

/// Days since 2000, as the server writes the day.
fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => {
            let (year, month, day) = civil(i64::from(days) + EPOCH_DAYS);
            if year > 0 {
                format!("{year:04}-{month:02}-{day:02}")
            } else {
                format!("{:04}-{month:02}-{day:02} BC", 1 - year)
            }
        }
    }
}

/// Year, month and day of a day since 1970, in the calendar of today. The year begins in March, so that the leap day is its
/// last.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_the_server_does() {
        for (days, written) in [
            (0, "2000-01-01"),
            (59, "2000-02-29"),
            (60, "2000-03-01"),
            (-1, "1999-12-31"),
            (8_825, "2024-02-29"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (2_921_940, "10000-01-01"),
            (i32::MAX, "infinity"),
        ] {
            assert_eq!(date(days), written);
        }
    }

    #[test]
    fn a_time_beyond_microseconds_since_1970_is_not_told_wrong() {
        assert_eq!(time(0), Some(Value::Time(EPOCH_MICROS)));
        assert_eq!(time(i64::MAX), Some(Value::Text("infinity".to_owned())));
        assert_eq!(time(i64::MAX - 1), None);
    }
}
