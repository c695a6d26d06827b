//! What the plugin `pgoutput` says, in version 1 of its protocol: as much of it as tells rows that were inserted.

use std::collections::HashMap;

/// Bytes that are not of this protocol.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the replication stream makes no sense: {0}")]
pub(super) struct Malformed(String);

type Result<T> = std::result::Result<T, Malformed>;

fn malformed<T>(problem: impl Into<String>) -> Result<T> {
    Err(Malformed(problem.into()))
}

/// A table, as the stream describes it before its first row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    /// A large value that an update left as it was.
    Unchanged,
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

impl Value<'_> {
    /// The integer that it holds.
    pub(super) fn integer(self) -> Result<i64> {
        match self {
            Value::Text(text) => match std::str::from_utf8(text).map(str::parse) {
                Ok(Ok(number)) => Ok(number),
                _ => malformed("a number that is none"),
            },
            Value::Binary(bytes) => match *bytes {
                [a, b] => Ok(i16::from_be_bytes([a, b]).into()),
                [a, b, c, d] => Ok(i32::from_be_bytes([a, b, c, d]).into()),
                [a, b, c, d, e, f, g, h] => Ok(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
                _ => malformed(format!("a number of {} bytes", bytes.len())),
            },
            Value::Null | Value::Unchanged => malformed("a number that is not there"),
        }
    }
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// The rows of a transaction follow, which committed at `lsn`.
    Begin { lsn: u64 },
    /// They are over; the log goes on at `end`.
    Commit { end: u64 },
    /// A table was described.
    Relation(u32),
    /// A row of the table with this number.
    Insert { relation: u32, row: Vec<Value<'a>> },
    /// Nothing that the bus asks for.
    Other,
}

/// Reads messages, and remembers the tables that they describe.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    relations: HashMap<u32, Relation>,
}

impl Decoder {
    /// Reads one message.
    ///
    /// # Errors
    /// The bytes are cut off, go on beyond the message's end, or name a table that was not described.
    pub(super) fn decode<'a>(&mut self, message: &'a [u8]) -> Result<Change<'a>> {
        let mut bytes = Bytes(message);
        let change = match bytes.byte()? {
            b'B' => {
                let lsn = bytes.u64()?;
                let (_time, _transaction) = (bytes.u64()?, bytes.u32()?);
                Change::Begin { lsn }
            }
            b'C' => {
                let (_flags, _lsn) = (bytes.byte()?, bytes.u64()?);
                let end = bytes.u64()?;
                let _time = bytes.u64()?;
                Change::Commit { end }
            }
            b'R' => {
                let number = bytes.u32()?;
                let (schema, name) = (bytes.text()?, bytes.text()?);
                let _replica_identity = bytes.byte()?;
                let columns = (0..bytes.u16()?).map(|_| bytes.column()).collect::<Result<_>>()?;
                self.relations.insert(number, Relation { schema, name, columns });
                Change::Relation(number)
            }
            b'I' => {
                let number = bytes.u32()?;
                let columns = self.relation(number)?.columns.len();
                let kind = bytes.byte()?;
                if kind != b'N' {
                    return malformed(format!("an insert of kind {kind:#04x}"));
                }
                let count = usize::from(bytes.u16()?);
                if count != columns {
                    return malformed(format!("a row of {count} values for {columns} columns"));
                }
                let row = (0..count).map(|_| bytes.value()).collect::<Result<_>>()?;
                Change::Insert { relation: number, row }
            }
            // Updates, deletes, truncations, types, origins, messages: the publication asks for none of them, and what
            // another publication of the same name adds is not ours to read.
            b'U' | b'D' | b'T' | b'Y' | b'O' | b'M' => return Ok(Change::Other),
            other => return malformed(format!("a message of kind {other:#04x}")),
        };
        if !bytes.0.is_empty() {
            return malformed(format!("{} bytes behind a message", bytes.0.len()));
        }
        Ok(change)
    }

    /// A table that was described.
    ///
    /// # Errors
    /// It was not.
    pub(super) fn relation(&self, number: u32) -> Result<&Relation> {
        self.relations.get(&number).map_or_else(|| malformed(format!("no table has the number {number}")), Ok)
    }
}

/// What is left of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        match self.0.split_at_checked(count) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => malformed("a message that is cut off"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text that ends in a zero byte.
    fn text(&mut self) -> Result<String> {
        let Some(length) = self.0.iter().position(|byte| *byte == 0) else { return malformed("a text without an end") };
        let text = std::str::from_utf8(self.take(length)?).map(str::to_owned);
        self.take(1)?;
        text.or_else(|_| malformed("a text that is not UTF-8"))
    }

    fn column(&mut self) -> Result<String> {
        let _flags = self.byte()?;
        let name = self.text()?;
        let (_type, _modifier) = (self.u32()?, self.u32()?);
        Ok(name)
    }

    fn value(&mut self) -> Result<Value<'a>> {
        match self.byte()? {
            b'n' => Ok(Value::Null),
            b'u' => Ok(Value::Unchanged),
            b't' => self.sized().map(Value::Text),
            b'b' => self.sized().map(Value::Binary),
            other => malformed(format!("a value of kind {other:#04x}")),
        }
    }

    fn sized(&mut self) -> Result<&'a [u8]> {
        // A negative length is far beyond any message, once its sign is a digit.
        let length = self.u32()? as usize;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `commits` in schema `s`, with two of its columns, as PostgreSQL 15 describes it.
    const RELATION: &[u8] = b"R\0\0\x40\x01s\0commits\0d\0\x02\
        \x01part\0\0\0\0\x17\xff\xff\xff\xff\
        \x00last_pos\0\0\0\0\x14\xff\xff\xff\xff";
    const INSERT: &[u8] = b"I\0\0\x40\x01N\0\x02t\0\0\0\x017t\0\0\0\x041234";

    fn decoder() -> Decoder {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(RELATION), Ok(Change::Relation(0x4001)));
        decoder
    }

    #[test]
    fn a_transaction_begins_and_commits() {
        let mut decoder = Decoder::default();
        let begin = b"B\0\0\0\0\x01\x02\x03\x04\0\0\0\0\0\0\0\x09\0\0\x02\xd5";
        assert_eq!(decoder.decode(begin), Ok(Change::Begin { lsn: 0x0102_0304 }));
        let commit = b"C\0\0\0\0\0\x01\x02\x03\x04\0\0\0\0\x01\x02\x03\x38\0\0\0\0\0\0\0\x09";
        assert_eq!(decoder.decode(commit), Ok(Change::Commit { end: 0x0102_0338 }));
    }

    #[test]
    fn a_table_is_described_and_then_its_rows_are_read() {
        let mut decoder = decoder();
        let relation = decoder.relation(0x4001).unwrap();
        assert_eq!((&*relation.schema, &*relation.name), ("s", "commits"));
        assert_eq!(relation.columns, ["part", "last_pos"]);
        let row = vec![Value::Text(b"7"), Value::Text(b"1234")];
        assert_eq!(decoder.decode(INSERT), Ok(Change::Insert { relation: 0x4001, row }));
        let others = b"I\0\0\x40\x01N\0\x02nu";
        let row = vec![Value::Null, Value::Unchanged];
        assert_eq!(decoder.decode(others), Ok(Change::Insert { relation: 0x4001, row }));
        let binary = b"I\0\0\x40\x01N\0\x02b\0\0\0\x04\0\0\0\x07b\0\0\0\x08\0\0\0\0\0\0\x04\xd2";
        let Ok(Change::Insert { row, .. }) = decoder.decode(binary) else { panic!("an insert") };
        assert_eq!(row.into_iter().map(Value::integer).collect::<Vec<_>>(), [Ok(7), Ok(1234)]);
    }

    #[test]
    fn a_table_may_be_described_again_with_more_columns() {
        let mut decoder = decoder();
        let wider = b"R\0\0\x40\x01s\0commits\0d\0\x01\x01part\0\0\0\0\x17\xff\xff\xff\xff";
        decoder.decode(wider).unwrap();
        assert_eq!(decoder.relation(0x4001).unwrap().columns, ["part"]);
        assert!(decoder.decode(INSERT).is_err(), "a row of the old shape");
    }

    #[test]
    fn what_nobody_asked_for_is_passed_over() {
        let mut decoder = decoder();
        for message in [&b"U\0\0\x40\x01N"[..], b"D", b"T\0\0", b"Y", b"O\0", b"M\x01"] {
            assert_eq!(decoder.decode(message), Ok(Change::Other), "{message:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_with_a_reason() {
        let mut decoder = decoder();
        let mut problem = |message: &[u8]| decoder.decode(message).unwrap_err().0;
        assert_eq!(problem(b""), "a message that is cut off");
        assert_eq!(problem(b"Z"), "a message of kind 0x5a");
        assert_eq!(problem(b"I\0\0\x40\x02N\0\0"), "no table has the number 16386");
        assert_eq!(problem(b"I\0\0\x40\x01O\0\x02nn"), "an insert of kind 0x4f");
        assert_eq!(problem(b"I\0\0\x40\x01N\0\x01n"), "a row of 1 values for 2 columns");
        assert_eq!(problem(b"I\0\0\x40\x01N\0\x02nx"), "a value of kind 0x78");
        assert_eq!(problem(b"I\0\0\x40\x01N\0\x02nt\xff\xff\xff\xff"), "a message that is cut off");
        assert_eq!(problem(b"I\0\0\x40\x01N\0\x02nnn"), "1 bytes behind a message");
        assert_eq!(problem(b"R\0\0\0\x01s"), "a text without an end");
        assert_eq!(problem(b"R\0\0\0\x01\xff\0"), "a text that is not UTF-8");
        for cut in 0..INSERT.len() {
            assert!(decoder.decode(&INSERT[..cut]).is_err(), "{cut}");
        }
        for value in [Value::Null, Value::Unchanged, Value::Text(b"x"), Value::Text(b"\xff"), Value::Binary(b"abc")] {
            assert!(value.integer().is_err(), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in "[BCRIUDTYOM]", rest in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut decoder = decoder();
            let _ = decoder.decode(&[kind.as_bytes(), &rest].concat());
            let _ = decoder.decode(&rest);
        }

        #[test]
        fn no_damage_to_a_message_makes_it_panic(at in 0..INSERT.len(), byte: u8, cut in 0..=RELATION.len()) {
            let mut decoder = decoder();
            let mut insert = INSERT.to_vec();
            insert[at] = byte;
            if let Ok(Change::Insert { row, .. }) = decoder.decode(&insert) {
                row.into_iter().for_each(|value| { let _ = value.integer(); });
            }
            let mut relation = RELATION[..cut].to_vec();
            if let Some(damaged) = relation.get_mut(at) {
                *damaged = byte;
            }
            let _ = decoder.decode(&relation);
        }
    }
}
