//! Rows as they are printed: a table for a person, or what the server sent.

use std::fmt;
use std::io::{BufWriter, Write};

use futures::TryStreamExt;
use pacioli_client::http::Ask;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output::{Column, Table, say};
use crate::read_models::ReadModelsDoor;

/// Characters of a cell at most.
const WIDTH_MAX: usize = 60;

/// Copies an answer to standard output as it comes.
pub(super) async fn copy(door: &ReadModelsDoor, ask: Ask) -> Result<(), Failure> {
    let mut chunks = door.ask(ask).await?.chunks();
    let mut out = std::io::stdout().lock();
    while let Some(chunk) = chunks.try_next().await? {
        out.write_all(&chunk)?;
    }
    Ok(out.flush()?)
}

/// Prints an answer of lines of JSON as a table.
pub(super) async fn table(door: &ReadModelsDoor, ask: Ask) -> Result<(), Failure> {
    let mut rows: Vec<Row> = Vec::new();
    door.lines(ask, |line| {
        rows.push(serde_json::from_slice(line).map_err(|error| Failure::failed(format!("a row is no JSON: {error}")))?);
        Ok(())
    })
    .await?;
    if let Some(first) = rows.first() {
        let columns = first.0.iter().enumerate().map(|(index, (name, _))| {
            let is_number = rows.iter().all(|row| row.0.get(index).is_none_or(|(_, value)| value.is_number));
            Column::named(name.clone(), is_number, WIDTH_MAX)
        });
        let mut table = Table::new(&columns.collect::<Vec<_>>());
        let cells = |row: &Row| row.0.iter().map(|(_, cell)| cell.text.clone()).collect();
        let mut out = BufWriter::new(std::io::stdout().lock());
        table.print(&mut out, &rows.iter().map(cells).collect::<Vec<Vec<String>>>())?;
        out.flush()?;
    }
    if rows.is_empty() {
        say("no rows");
    }
    Ok(())
}

/// The members of an object in their order.
struct Row(Vec<(String, Cell)>);

struct Cell {
    text: String,
    /// Or null, which stands where a number could.
    is_number: bool,
}

impl Cell {
    /// Numbers keep their digits: nothing is computed from them here.
    fn of(value: &RawValue) -> Cell {
        let raw = value.get();
        let is_number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        match raw {
            "null" => Cell { text: String::new(), is_number: true },
            raw if raw.starts_with('"') => {
                Cell { text: serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()), is_number: false }
            }
            raw => Cell { text: raw.to_owned(), is_number },
        }
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((name, Cell::of(&value)));
                }
                Ok(Row(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_its_order_and_its_digits() {
        let row: Row =
            serde_json::from_str(r#"{"b":12.50,"a":"x\ny","n":null,"j":{"k":1},"big":12345678901234567890}"#)
                .expect("it is an object");
        let cells: Vec<(&str, &str, bool)> =
            row.0.iter().map(|(name, cell)| (name.as_str(), cell.text.as_str(), cell.is_number)).collect();
        let expected = [
            ("b", "12.50", true),
            ("a", "x\ny", false),
            ("n", "", true),
            ("j", "{\"k\":1}", false),
            ("big", "12345678901234567890", true),
        ];
        assert_eq!(cells, expected);
    }
}
