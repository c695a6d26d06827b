//! The forms an answer is sent in, written in pieces so that a large one is never there twice.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

#[cfg(feature = "arrow")]
use super::arrow;
use super::{Answer, csv, json};

/// Rows of one piece.
const PIECE_ROWS: usize = 2_000;

/// How an answer is written.
///
/// | form | media type | numbers | times | bytes |
/// | --- | --- | --- | --- | --- |
/// | `json` | `application/json`: an array of objects | exact; `"NaN"`, `"Infinity"` as text | RFC 3339 | base64 |
/// | `ndjson` | `application/x-ndjson`: an object a line | the same | the same | the same |
/// | `csv` | `text/csv` with a header; NULL is nothing | as text | RFC 3339 | base64 |
/// | `arrow` | `application/vnd.apache.arrow.stream` | Int64, Float64, Decimal128 | Timestamp(us, UTC) | Binary |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// One JSON array of an object a row.
    Json,
    /// One JSON object a line.
    Lines,
    /// CSV with a header.
    Csv,
    /// An Arrow IPC stream; only where the crate was built with the feature `arrow`.
    Arrow,
}

impl Form {
    /// All of them.
    pub const ALL: [Form; 4] = [Form::Json, Form::Lines, Form::Csv, Form::Arrow];

    /// Its name in requests.
    pub fn word(self) -> &'static str {
        match self {
            Form::Json => "json",
            Form::Lines => "ndjson",
            Form::Csv => "csv",
            Form::Arrow => "arrow",
        }
    }

    /// The media type of what is written.
    pub fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Lines => "application/x-ndjson",
            Form::Csv => "text/csv; charset=utf-8; header=present",
            Form::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Whether this build can write it.
    pub fn is_built(self) -> bool {
        self != Form::Arrow || cfg!(feature = "arrow")
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Form, String> {
        Form::ALL
            .into_iter()
            .find(|form| form.word() == text)
            .ok_or_else(|| format!("`{text}` is no form of an answer; they are json, ndjson, csv and arrow"))
    }
}

/// An answer could not be written in a form: this build lacks it, or a value did not fit its column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unwritable(pub(super) String);

/// The pieces of a written answer, in order; together they are the whole.
pub struct Chunks {
    answer: Arc<Answer>,
    writer: Writer,
    /// The next row; `None` once all is written.
    next: Option<usize>,
}

enum Writer {
    Json(json::Objects),
    Lines(json::Objects),
    Csv,
    #[cfg(feature = "arrow")]
    Arrow(Box<arrow::Batches>),
}

impl Answer {
    /// Writes it piece by piece.
    ///
    /// # Errors
    /// This build cannot write the form.
    pub fn chunks(self: Arc<Answer>, form: Form) -> Result<Chunks, Unwritable> {
        let writer = match form {
            Form::Json => Writer::Json(json::Objects::of(&self)),
            Form::Lines => Writer::Lines(json::Objects::of(&self)),
            Form::Csv => Writer::Csv,
            #[cfg(feature = "arrow")]
            Form::Arrow => Writer::Arrow(Box::new(arrow::Batches::of(&self)?)),
            #[cfg(not(feature = "arrow"))]
            Form::Arrow => {
                let problem = "this build does not write Arrow; ask for json, ndjson or csv, or build it with the feature `arrow`";
                return Err(Unwritable(problem.to_owned()));
            }
        };
        Ok(Chunks { answer: self, writer, next: Some(0) })
    }

    /// Writes it whole.
    ///
    /// # Errors
    /// This build cannot write the form, or a value does not fit its column.
    pub fn write(self: Arc<Answer>, form: Form) -> Result<Vec<u8>, Unwritable> {
        let mut whole = Vec::new();
        for chunk in self.chunks(form)? {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole)
    }
}

impl Iterator for Chunks {
    type Item = Result<Bytes, Unwritable>;

    fn next(&mut self) -> Option<Result<Bytes, Unwritable>> {
        let begins = self.next?;
        let ends = (begins + PIECE_ROWS).min(self.answer.rows.len());
        self.next = (ends < self.answer.rows.len()).then_some(ends);
        Some(self.piece(begins..ends).map(Bytes::from))
    }
}

impl Chunks {
    fn piece(&mut self, rows: Range<usize>) -> Result<Vec<u8>, Unwritable> {
        let (is_first, is_last) = (rows.start == 0, self.next.is_none());
        let mut out = Vec::new();
        match &mut self.writer {
            Writer::Json(objects) => {
                if is_first {
                    out.push(b'[');
                }
                for index in rows {
                    if index > 0 {
                        out.push(b',');
                    }
                    objects.row(&mut out, &self.answer.rows[index]);
                }
                if is_last {
                    out.push(b']');
                }
            }
            Writer::Lines(objects) => {
                for row in &self.answer.rows[rows] {
                    objects.row(&mut out, row);
                    out.push(b'\n');
                }
            }
            Writer::Csv => {
                if is_first {
                    csv::header(&mut out, &self.answer);
                }
                for row in &self.answer.rows[rows] {
                    csv::row(&mut out, row);
                }
            }
            #[cfg(feature = "arrow")]
            Writer::Arrow(batches) => {
                batches.rows(&self.answer.rows[rows])?;
                if is_last {
                    batches.end()?;
                }
                out = batches.take();
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Kind, Value};
    use super::*;

    fn answer(columns: &[(&str, Kind)], rows: Vec<Vec<Value>>) -> Arc<Answer> {
        let columns = columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect();
        Arc::new(Answer { columns, rows })
    }

    fn written(answer: &Arc<Answer>, form: Form) -> String {
        String::from_utf8(Arc::clone(answer).write(form).expect("it can be written")).expect("it is text")
    }

    fn every_kind() -> Arc<Answer> {
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
            Value::Int(i64::MAX),
            Value::Float(0.1),
            Value::Decimal("12345678901234567890.10".to_owned()),
            Value::Text("a \"b\", c\nd".to_owned()),
            Value::Json("{\"a\":\n [1.50]}".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Time(0),
        ];
        answer(&columns, vec![row, vec![Value::Null; 8]])
    }

    #[test]
    fn json_keeps_every_digit() {
        let first = concat!(
            r#"{"bool":true,"int":9223372036854775807,"float":0.1,"decimal":12345678901234567890.10,"#,
            r#""text":"a \"b\", c\nd","json":{"a":  [1.50]},"bytes":"AP8=","time":"1970-01-01T00:00:00.000000Z"}"#
        );
        let second = concat!(
            r#"{"bool":null,"int":null,"float":null,"decimal":null,"#,
            r#""text":null,"json":null,"bytes":null,"time":null}"#
        );
        assert_eq!(written(&every_kind(), Form::Json), format!("[{first},{second}]"));
        assert_eq!(written(&every_kind(), Form::Lines), format!("{first}\n{second}\n"));
    }

    #[test]
    fn what_json_has_no_number_for_is_text() {
        let values = vec![
            Value::Float(f64::NAN),
            Value::Float(f64::NEG_INFINITY),
            Value::Decimal("NaN".to_owned()),
            Value::Decimal("Infinity".to_owned()),
            Value::Decimal("1 ".to_owned()),
            Value::Json("{no".to_owned()),
        ];
        let columns: Vec<(&str, Kind)> = ["a", "b", "c", "d", "e", "f"].map(|name| (name, Kind::Any)).to_vec();
        let line = written(&answer(&columns, vec![values]), Form::Lines);
        assert_eq!(
            line,
            "{\"a\":\"NaN\",\"b\":\"-Infinity\",\"c\":\"NaN\",\"d\":\"Infinity\",\"e\":\"1 \",\"f\":\"{no\"}\n"
        );
    }

    #[test]
    fn csv_tells_null_from_the_empty_text() {
        let some = |text: &str| Value::Text(text.to_owned());
        let rows =
            vec![vec![some(""), Value::Null], vec![Value::Null, some("a,b")], vec![some("say \"x\""), some("\n")]];
        let csv = written(&answer(&[("a", Kind::Text), ("a", Kind::Text)], rows), Form::Csv);
        assert_eq!(csv, "a,a_2\r\n\"\",\r\n,\"a,b\"\r\n\"say \"\"x\"\"\",\"\n\"\r\n");
        let one = answer(&[("a", Kind::Text)], vec![vec![Value::Null]]);
        assert_eq!(written(&one, Form::Csv), "a\r\n\"\"\r\n", "a row of one NULL is still a row");
    }

    #[test]
    fn no_rows_are_an_answer_too() {
        let none = answer(&[("a", Kind::Int)], Vec::new());
        assert_eq!([Form::Json, Form::Lines, Form::Csv].map(|form| written(&none, form)), ["[]", "", "a\r\n"]);
    }

    #[test]
    fn pieces_make_the_whole() {
        let rows: Vec<Vec<Value>> = (0..PIECE_ROWS as i64 * 2 + 1).map(|number| vec![Value::Int(number)]).collect();
        let many = answer(&[("n", Kind::Int)], rows);
        assert_eq!(Arc::clone(&many).chunks(Form::Json).expect("it can be written").count(), 3);
        let read: Vec<serde_json::Value> = serde_json::from_str(&written(&many, Form::Json)).expect("it is JSON");
        assert_eq!(read.len(), many.rows.len());
        assert_eq!(read[PIECE_ROWS]["n"], PIECE_ROWS);
        assert_eq!(written(&many, Form::Lines).lines().count(), many.rows.len());
        assert_eq!(written(&many, Form::Csv).lines().count(), many.rows.len() + 1);
    }

    #[test]
    fn a_form_has_one_name() {
        for form in Form::ALL {
            assert_eq!(form.word().parse::<Form>(), Ok(form));
        }
        assert!("xml".parse::<Form>().is_err());
    }
}
