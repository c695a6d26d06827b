//! Annotations: the comment lines that say what a file is.

use std::time::Duration;

use pacioli_core::schemas::{OnNewer, SemverRange, Understanding};
use pacioli_core::{Category, EventType};

use super::findings::{Findings, nearest};
use super::lex::Token;
use super::{Mode, Name, On};

/// The annotations of the header.
const HEADER: [&str; 10] = [
    "projection",
    "version",
    "mode",
    "category",
    "types",
    "schemas",
    "on-newer",
    "parallel-by",
    "keep-copies",
    "verify",
];
/// Those of handlers and of materialized views.
const BESIDE_STATEMENTS: [&str; 3] = ["on", "on batch", "materialized"];

/// A comment line that reads like an annotation: a word, a colon, a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Annotation<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    pub(super) line: u32,
}

impl<'a> Annotation<'a> {
    /// Reads a comment; `None` where it is a remark.
    pub(super) fn of(token: &Token<'a>) -> Option<Annotation<'a>> {
        let (name, value) = token.text.strip_prefix("--")?.split_once(':')?;
        let name = name.trim();
        let is_word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
        let words = name.split_whitespace().collect::<Vec<_>>().join("-");
        let is_known = name == "on batch" || known(&words.replace('_', "-")).is_some() || words == "on-batch";
        // `https://…` is an address.
        ((is_word || is_known) && !value.starts_with("//")).then(|| Annotation {
            name,
            value: value.trim(),
            line: token.line,
        })
    }

    /// Whether it begins something new, so that a statement before it must have ended.
    pub(super) fn is_beside_statements(&self) -> bool {
        BESIDE_STATEMENTS.contains(&self.name)
    }

    pub(super) fn is_known(&self) -> bool {
        known(self.name).is_some()
    }

    /// Says that there is no such annotation.
    pub(super) fn tell_unknown(&self, findings: &mut Findings) {
        if findings.is_full() {
            return;
        }
        let meant = nearest(&self.name.replace(['_', ' '], "-"), all()).or_else(|| nearest(self.name, all()));
        let problem = match meant {
            Some(meant) => format!("there is no annotation `{}`; did you mean `{meant}`?", self.name),
            None => format!(
                "there is no annotation `{}`. There are {}; a remark must not begin with a word and a colon",
                self.name,
                all().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        findings.error(self.line, problem);
    }
}

fn all() -> impl Iterator<Item = &'static str> {
    HEADER.iter().chain(&BESIDE_STATEMENTS).copied()
}

fn known(name: &str) -> Option<&'static str> {
    all().find(|known| *known == name)
}

/// What the header said so far, each with its line.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) name: Option<Name>,
    pub(super) version: Option<u32>,
    pub(super) mode: Option<Mode>,
    pub(super) categories: Vec<Category>,
    pub(super) types: Vec<EventType>,
    pub(super) understands: Vec<Understanding>,
    pub(super) on_newer: Option<OnNewer>,
    pub(super) parallel_by_stream: bool,
    pub(super) keep_copies: Option<u64>,
    pub(super) verify: Option<Duration>,
    /// Which annotations were there, and where.
    said: Vec<(&'static str, u32)>,
}

impl Header {
    /// The line of an annotation.
    pub(super) fn line_of(&self, name: &str) -> Option<u32> {
        self.said.iter().find(|(said, _)| *said == name).map(|(_, line)| *line)
    }

    /// Takes an annotation of the header. `is_over` where statements or handlers stand before it already.
    pub(super) fn take(&mut self, annotation: Annotation<'_>, is_over: bool, findings: &mut Findings) {
        let Annotation { name, value, line } = annotation;
        let Some(known) = HEADER.into_iter().find(|known| *known == name) else {
            return annotation.tell_unknown(findings);
        };
        if let Some(before) = self.line_of(known) {
            return findings.error(line, format!("`{name}` is said in line {before} already; say it once"));
        }
        self.said.push((known, line));
        if is_over {
            findings.error(line, format!("`{name}` belongs into the header, above the first statement"));
        }
        if let Err(problem) = self.set(known, value) {
            findings.error(line, problem);
        }
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), String> {
        match name {
            "projection" => self.name = Some(Name::new(value)?),
            "version" => {
                let version = value.parse().ok().filter(|version| *version > 0 && is_digits(value));
                self.version = Some(version.ok_or_else(|| {
                    format!("`{value}` is no version; write a whole number from 1, and a higher one for each change")
                })?);
            }
            "mode" => {
                self.mode = Some(match value {
                    "async" => Mode::Async,
                    "sync" => Mode::Sync,
                    _ => return Err(format!("`{value}` is no mode; write `async` or `sync`")),
                });
            }
            "category" => self.categories = list(name, value, |one| Category::new(one).map_err(|e| e.to_string()))?,
            "types" => self.types = list(name, value, |one| EventType::new(one).map_err(|e| e.to_string()))?,
            "schemas" => self.understands = understandings(value)?,
            "on-newer" => {
                self.on_newer = Some(match value {
                    "stop" => OnNewer::Stop,
                    "skip" => OnNewer::Skip,
                    _ => {
                        return Err(format!(
                            "`{value}` is nothing to do about an event that is not understood; write `on-newer: stop` or \
                             `on-newer: skip`"
                        ));
                    }
                });
            }
            "parallel-by" if value == "stream" => self.parallel_by_stream = true,
            "parallel-by" => return Err(format!("`{value}` cannot part the work; write `parallel-by: stream`")),
            "keep-copies" => {
                let events = value.strip_prefix("every ").and_then(|rest| rest.strip_suffix(" events")).map(str::trim);
                let number =
                    events.and_then(|events| events.replace('_', "").parse().ok()).filter(|number| *number > 0);
                self.keep_copies = Some(number.ok_or_else(|| {
                    format!("`{value}` is no measure of events; write `keep-copies: every 1000000 events`")
                })?);
            }
            _ => {
                let every = match value {
                    "hourly" => Some(Duration::from_secs(3_600)),
                    "daily" => Some(Duration::from_secs(86_400)),
                    "weekly" => Some(Duration::from_secs(7 * 86_400)),
                    other => other.strip_prefix("every ").and_then(duration),
                };
                self.verify = Some(every.ok_or_else(|| {
                    format!("`{value}` is no time; write `verify: hourly`, `daily`, `weekly` or `every 6h`")
                })?);
            }
        }
        Ok(())
    }

    /// What must be said and what does not go together.
    pub(super) fn check(&self, findings: &mut Findings) {
        if self.line_of("projection").is_none() {
            findings.error(1, "the file has no name; write `-- projection: name` into its first lines");
        }
        if self.line_of("version").is_none() {
            findings.error(1, "the file has no version; write `-- version: 1` below its name");
        }
        if let (Some(line), None) = (self.line_of("on-newer"), self.line_of("schemas")) {
            let problem = "`on-newer` says what becomes of events that `schemas` leaves out, and no `schemas` is said; write \
                           `-- schemas: SomeEvent ^1` above it, or take it out";
            findings.error(line, problem);
        }
        if self.mode == Some(Mode::Sync)
            && let Some(line) = self.line_of("parallel-by")
        {
            let problem = "a `sync` projection runs in the append's transaction, which cannot share its streams among \
                           workers; take `parallel-by` out, or make it `mode: async`";
            findings.error(line, problem);
        }
    }
}

/// The events of `-- on:`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn on(value: &str) -> Result<On, String> {
    match value {
        "*" => return Ok(On::Every),
        "batch" => return Err("write `-- on batch:` for a statement over all events of a batch".to_owned()),
        _ => {}
    }
    let types = list("on", value, |one| match one {
        "*" => Err("`*` is every event and stands alone: write `-- on: *`".to_owned()),
        one => EventType::new(one).map_err(|error| error.to_string()),
    })?;
    Ok(On::Types(types))
}

/// How often `-- materialized:` refreshes; `None` is on demand.
///
/// # Errors
/// What to write.
pub(super) fn refresh(value: &str) -> Result<Option<Duration>, String> {
    if ["on demand", "refresh on demand"].contains(&value) {
        return Ok(None);
    }
    let every = value.strip_prefix("refresh ").map(|rest| rest.strip_prefix("every ").unwrap_or(rest));
    every.and_then(duration).map(Some).ok_or_else(|| {
        format!("`{value}` does not say when; write `materialized: refresh 60s` or `materialized: on demand`")
    })
}

/// `90s`, `15m`, `6h`, `2d`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 =
        text[..text.len() - 1].trim_end().parse().ok().filter(|number| (1..=1_000_000).contains(number))?;
    Some(Duration::from_secs(number * unit))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is understood of each type: `OrderPlaced ^1, MoneyDeposited >=2, <4`. A part that begins as a range goes on with the
/// one before it, since ranges have commas too.
fn understandings(value: &str) -> Result<Vec<Understanding>, String> {
    let example = "write a type and its versions, like `schemas: OrderPlaced ^1, MoneyDeposited ^2`";
    let mut stated: Vec<(&str, String)> = Vec::new();
    for part in value.split(',').map(str::trim) {
        match stated.last_mut() {
            Some((_, versions)) if part.starts_with(['<', '>', '=', '^', '~', '*']) => {
                versions.push_str(", ");
                versions.push_str(part);
            }
            _ => {
                let parts = part.rsplit_once(char::is_whitespace).or_else(|| part.rsplit_once(':'));
                let (event_type, versions) =
                    parts.ok_or_else(|| format!("`{part}` does not say which versions are understood; {example}"))?;
                let event_type = event_type.trim();
                stated.push((event_type.strip_suffix(':').unwrap_or(event_type), versions.trim().to_owned()));
            }
        }
    }
    let mut all: Vec<Understanding> = Vec::new();
    for (event_type, versions) in stated {
        let versions: SemverRange = versions.parse().map_err(|error| format!("{error}; {example}"))?;
        let event_type = EventType::new(event_type).map_err(|error| error.to_string())?;
        if all.iter().any(|known| known.event_type == event_type) {
            return Err(format!("`schemas` names `{event_type}` twice; name it once"));
        }
        all.push(Understanding { event_type, versions });
    }
    Ok(all)
}

/// A list with commas, each name once.
fn list<T: PartialEq>(name: &str, value: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    for one in value.split(',').map(str::trim) {
        if one.is_empty() {
            return Err(format!("`{name}` lacks a name; write them with commas between them, on one line"));
        }
        let read = read(one)?;
        if all.contains(&read) {
            return Err(format!("`{name}` names `{one}` twice; name it once"));
        }
        all.push(read);
    }
    Ok(all)
}
