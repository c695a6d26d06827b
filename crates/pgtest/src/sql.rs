//! A statement sent to a cluster, without a driver: PostgreSQL's protocol, as far as `trust` and plain text need it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};

/// A row of a result: each value as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// A server that says nothing for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Version 3.0 of the protocol.
const PROTOCOL: u32 = 3 << 16;
/// More than any answer a test asks for; a length beyond it is not of this protocol.
const MESSAGE_BYTES_MAX: usize = 1 << 28;

/// Runs the statements in one session as `postgres`, and returns the rows of all of them.
pub(crate) fn run(socket: &Path, database: &str, statements: &str) -> Result<Vec<Row>> {
    let mut session = UnixStream::connect(socket)
        .and_then(|stream| {
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            stream.set_write_timeout(Some(SILENCE_MAX))?;
            Ok(stream)
        })
        .map_err(Error::cannot(format_args!("connect to {}", socket.display())))?;
    let doing = format!("{statements:?} on {database}");
    let broken = || Error::cannot(format!("send {doing}"));

    // 1. Who we are; the message that opens a session has no letter.
    let mut opening = PROTOCOL.to_be_bytes().to_vec();
    for word in ["user", "postgres", "database", database, "application_name", "pacioli-pgtest", ""] {
        opening.extend_from_slice(word.as_bytes());
        opening.push(0);
    }
    send(&mut session, None, &opening).map_err(broken())?;
    rows(&mut session, &format!("a session on {database}"))?;

    // 2. The statements, and what comes of them.
    send(&mut session, Some(b'Q'), &[statements.as_bytes(), b"\0"].concat()).map_err(broken())?;
    let rows = rows(&mut session, &doing)?;

    // 3. Good manners: the server's log tells a client that left from one that was lost.
    let _ = send(&mut session, Some(b'X'), &[]);
    Ok(rows)
}

/// Reads until the server is ready for more. The first error ends it, and the session with it.
fn rows(session: &mut UnixStream, doing: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    loop {
        let (letter, body) = receive(session).map_err(Error::cannot(format_args!("read what came of {doing}")))?;
        match letter {
            b'D' => rows.push(row(&body).ok_or_else(|| Error::new("the server sent a row that is none"))?),
            b'E' => return Err(Error::new(format!("{doing} failed: {}", failed(&body)))),
            b'R' if body != [0; 4] => {
                return Err(Error::new("the server asks for a password; only `trust` is understood here"));
            }
            b'Z' => return Ok(rows),
            // Names of columns, notices, settings: nothing a test asked for.
            _ => {}
        }
    }
}

fn send(session: &mut UnixStream, letter: Option<u8>, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    let mut message: Vec<u8> = letter.into_iter().collect();
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(body);
    session.write_all(&message)
}

fn receive(session: &mut UnixStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    session.read_exact(&mut head)?;
    let [letter, length @ ..] = head;
    let length = u32::from_be_bytes(length) as usize;
    if !(4..MESSAGE_BYTES_MAX).contains(&length) {
        return Err(io::Error::other("this is not PostgreSQL's protocol"));
    }
    let mut body = vec![0; length - 4];
    session.read_exact(&mut body)?;
    Ok((letter, body))
}

/// Two bytes of count, then for each value four bytes of length, -1 for NULL, and its text.
fn row(body: &[u8]) -> Option<Row> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Row::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            row.push(None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length)?;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Some(row)
}

/// Severity, SQLSTATE, message and detail of an error: each field is a letter and a text that ends in a zero byte.
fn failed(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
    let shown = fields.filter(|(letter, _)| b"SCMD".contains(letter));
    shown.map(|(_, text)| String::from_utf8_lossy(text)).collect::<Vec<_>>().join(": ")
}
