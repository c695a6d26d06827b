//! Reads NDJSON of CloudEvents on a thread of its own: opens, unpacks, splits and parses ahead of the appends.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use pacioli_api::import;
use pacioli_core::{InvalidAppend, NewEvent, StreamName};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// The most bytes of a line. Far above what an event may have, so that the store tells the limit; it bounds memory.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Lines that travel together, and how many such groups wait at most.
const GROUP_LINES: usize = 256;
const GROUP_BYTES: usize = 1 << 20;
const GROUPS_AHEAD: usize = 4;

/// A line that is not blank.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    pub(crate) parsed: Parsed,
}

/// What a line holds.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// An event for a stream.
    Event(StreamName, Box<NewEvent>),
    /// Something else, and why.
    Invalid(String),
    /// Nothing more can be read, and why. The last line.
    Unreadable(String),
}

/// Starts to read `path` (`-` is standard input). Gives the lines in groups and, of a regular file, its bytes; `read`
/// counts the bytes taken from it.
pub(crate) fn read(path: &Path, read: Arc<AtomicU64>) -> Result<(mpsc::Receiver<Vec<Line>>, Option<u64>), Failure> {
    let (source, size): (Box<dyn Read + Send>, _) = if path.as_os_str() == "-" {
        (Box::new(std::io::stdin()), None)
    } else {
        let failed = || Failure::io(format!("could not read {}", path.display()));
        let file = File::open(path).map_err(failed())?;
        let metadata = file.metadata().map_err(failed())?;
        if metadata.is_dir() {
            return Err(Failure::usage(format!("{} is a directory; name a file of NDJSON", path.display())));
        }
        (Box::new(file), metadata.is_file().then_some(metadata.len()))
    };
    let (sender, receiver) = mpsc::channel(GROUPS_AHEAD);
    let source = BufReader::with_capacity(1 << 16, Counted { source, read });
    std::thread::spawn(move || send_lines(source, &sender));
    Ok((receiver, size))
}

fn send_lines(mut source: BufReader<impl Read>, sender: &mpsc::Sender<Vec<Line>>) {
    // Gzip begins with these two bytes, and JSON never does.
    let result = match source.fill_buf() {
        Ok([0x1f, 0x8b, ..]) => Lines::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(source))).send(sender),
        Ok(_) => Lines::new(source).send(sender),
        Err(error) => Err((1, error)),
    };
    if let Err((number, error)) = result {
        let parsed = Parsed::Unreadable(format!("could not be read: {error}"));
        // Nobody receives any more where the import has stopped.
        let _ = sender.blocking_send(vec![Line { number, parsed }]);
    }
}

struct Lines<R> {
    source: BufReader<R>,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Lines<R> {
    fn new(source: BufReader<R>) -> Lines<R> {
        Lines { source, number: 0, buffer: Vec::new() }
    }

    /// Sends all lines, or as many as are received; an error comes with the number of the line it happened at.
    fn send(mut self, sender: &mpsc::Sender<Vec<Line>>) -> Result<(), (u64, std::io::Error)> {
        let mut group = Vec::new();
        let mut bytes = 0;
        loop {
            // Whoever writes into a pipe slowly does not wait for a group to fill.
            if !group.is_empty() && !self.source.buffer().contains(&b'\n') {
                bytes = 0;
                if sender.blocking_send(std::mem::take(&mut group)).is_err() {
                    return Ok(());
                }
            }
            let more = match self.next() {
                Ok(more) => more,
                Err(error) => {
                    // What was read before counts.
                    let _ = sender.blocking_send(group);
                    return Err((self.number, error));
                }
            };
            let ended = more.is_none();
            if let Some(parsed) = more.flatten() {
                bytes += self.buffer.len();
                group.push(Line { number: self.number, parsed });
            }
            if group.len() >= GROUP_LINES || bytes >= GROUP_BYTES || (ended && !group.is_empty()) {
                bytes = 0;
                if sender.blocking_send(std::mem::take(&mut group)).is_err() {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// The next line: `None` at the end, `Some(None)` where it is blank.
    fn next(&mut self) -> std::io::Result<Option<Option<Parsed>>> {
        self.number += 1;
        self.buffer.clear();
        let read = self.source.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == LINE_BYTES_MAX && self.buffer.last() != Some(&b'\n') {
            self.skip_rest()?;
            return Ok(Some(Some(Parsed::Invalid(format!("has more than {} MiB", LINE_BYTES_MAX >> 20)))));
        }
        // Some editors put a byte order mark before the first line.
        let line = if self.number == 1 { self.buffer.strip_prefix(b"\xef\xbb\xbf") } else { None };
        let line = line.unwrap_or(&self.buffer).trim_ascii();
        Ok(Some((!line.is_empty()).then(|| parse(line))))
    }

    fn skip_rest(&mut self) -> std::io::Result<()> {
        loop {
            self.buffer.clear();
            let read = self.source.by_ref().take(1 << 16).read_until(b'\n', &mut self.buffer)?;
            if read == 0 || self.buffer.last() == Some(&b'\n') {
                return Ok(());
            }
        }
    }
}

fn parse(line: &[u8]) -> Parsed {
    let event = match import::cloud_event(line) {
        Ok(event) => event,
        Err(error) => return Parsed::Invalid(in_line(&error)),
    };
    match event.subject.as_deref().map(StreamName::new) {
        None => Parsed::Invalid("subject: is missing; it names the stream, like `account-1`".to_owned()),
        Some(Err(error)) => Parsed::Invalid(format!("subject: {error}")),
        Some(Ok(stream)) => Parsed::Event(stream, Box::new(event.event)),
    }
}

/// What is wrong with a line. A line is one body, so of the place only the column says something.
fn in_line(error: &InvalidAppend) -> String {
    let whole = || match error.field.as_str() {
        "body" => error.problem.clone(),
        _ => error.to_string(),
    };
    let Some((problem, column)) = error.problem.rsplit_once(" at line 1 column ") else { return whole() };
    if error.field != "body" || column.parse::<u64>().is_err() {
        return whole();
    }
    format!("column {column}: {}", problem.strip_prefix("is not as expected: ").unwrap_or(problem))
}

struct Counted<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","subject":"a-1","data":{}}"#;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let (mut receiver, size) = read(file.path(), Arc::default()).unwrap();
        assert_eq!(size, Some(bytes.len() as u64));
        std::iter::from_fn(move || receiver.blocking_recv()).flatten().collect()
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_are_none() {
        let text = format!("\u{feff}{EVENT}\n\n{EVENT}\r\nbanana\n{EVENT}");
        let found = lines(text.as_bytes());
        let numbers: Vec<u64> = found.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 3, 4, 5]);
        assert!(matches!(found[2].parsed, Parsed::Invalid(_)));
        assert!(matches!(&found[3].parsed, Parsed::Event(stream, _) if stream.as_str() == "a-1"));
    }

    #[test]
    fn gzip_is_recognised_and_a_broken_end_is_told() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        for _ in 0..1_000 {
            writeln!(gzip, "{EVENT}").unwrap();
        }
        let packed = gzip.finish().unwrap();
        assert_eq!(lines(&packed).len(), 1_000);
        let found = lines(&packed[..packed.len() - 10]);
        assert!(matches!(found.last().unwrap().parsed, Parsed::Unreadable(_)));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_column() {
        let found = lines(b"{\"id\":\n");
        assert!(matches!(&found[0].parsed, Parsed::Invalid(why) if why.starts_with("column 6: ")), "{found:?}");
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX as usize + 100_000];
        bytes.extend_from_slice(format!("\n{EVENT}\n").as_bytes());
        let found = lines(&bytes);
        assert_eq!(found.len(), 2);
        assert!(matches!(found[0].parsed, Parsed::Invalid(_)));
        assert_eq!(found[1].number, 2);
    }
}
