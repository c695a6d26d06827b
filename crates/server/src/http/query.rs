//! Query parameters and preconditions, strictly: what is not understood is refused by its name.

use std::borrow::Cow;
use std::str::FromStr;

use axum::extract::Request;
use http::HeaderMap;
use http::header::{ACCEPT, HeaderName, IF_MATCH, IF_NONE_MATCH};
use pacioli_api::fields::Fields;
use pacioli_api::problem::{Kind, Problem};
use pacioli_core::schemas::{OnNewer, Shape};
use pacioli_core::{Checkpoint, ExpectedVersion, Version};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::shapes::Reading;

/// Events or streams of a page where nobody says otherwise.
const LIMIT_DEFAULT: usize = 100;

/// The parameters of a request's query.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads the query; parameters that are not among `known` are refused.
    pub(super) fn read(request: &'a Request, known: &[&str]) -> Result<Query<'a>, Problem> {
        let query = Query::read_any(request)?;
        if let Some((name, _)) = query.others(known).next() {
            let problem = match known {
                [] => "is no parameter here; there are none".to_owned(),
                known => format!("is no parameter here; they are {}", known.join(", ")),
            };
            return Err(Problem::invalid(pacioli_api::text::shown(name), problem));
        }
        Ok(query)
    }

    /// Reads the query, whatever its parameters are called.
    pub(super) fn read_any(request: &'a Request) -> Result<Query<'a>, Problem> {
        let mut pairs = Vec::new();
        for pair in request.uri().query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Query(pairs))
    }

    /// The parameters that are not among these, with their values.
    pub(super) fn others(&self, known: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let others = self.0.iter().filter(move |(name, _)| !known.contains(&&**name));
        others.map(|(name, value)| (&**name, &**value))
    }

    /// A parameter that may be given once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(Problem::invalid(name, "is given twice")),
            None => Ok(first),
        }
    }

    /// A parameter that may be given several times.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// A parameter that may be given once, understood as a `T`.
    pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.one(name)?.map(|text| text.parse().map_err(|error| Problem::invalid(name, error))).transpose()
    }

    /// A parameter that may be given several times, each understood as a `T`.
    pub(super) fn parse_all<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Vec<T>, Problem> {
        self.all(name).map(|text| text.parse().map_err(|error| Problem::invalid(name, error))).collect()
    }

    /// A whole number from 0 on.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let digits = Some(text).filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok());
        number.map(Some).ok_or_else(|| {
            Problem::invalid(name, format!("`{}` is no whole number from 0 on", pacioli_api::text::shown(text)))
        })
    }

    /// `limit`, where it is given.
    pub(super) fn limit_given(&self) -> Result<Option<usize>, Problem> {
        match self.number("limit")? {
            Some(0) => Err(Problem::invalid("limit", "must be at least 1")),
            limit => Ok(limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))),
        }
    }

    /// `limit`, 100 by default.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        Ok(self.limit_given()?.unwrap_or(LIMIT_DEFAULT))
    }

    /// `fields`.
    pub(super) fn fields(&self) -> Result<Fields, Problem> {
        Ok(self.parse("fields")?.unwrap_or_default())
    }

    /// `raw`, `accept`, `on_newer` and `reader`: in which shape somebody reads, and under which name.
    pub(super) fn reading(&self, terms_max: usize) -> Result<Reading, Problem> {
        let raw = match self.one("raw")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::invalid("raw", "must be `true` or `false`")),
        };
        let understands = pacioli_api::schemas::understandings(self.all("accept"));
        let understands = understands.map_err(|problem| Problem::invalid("accept", problem))?;
        if understands.len() > terms_max {
            let problem = format!("states {} types; at most {terms_max} are allowed", understands.len());
            return Err(Problem::invalid("accept", problem));
        }
        let on_newer = match self.one("on_newer")? {
            None | Some("stop") => OnNewer::Stop,
            Some("skip") => OnNewer::Skip,
            Some(_) => return Err(Problem::invalid("on_newer", "must be `stop` or `skip`")),
        };
        let reader = self.one("reader")?;
        if let Some(name) = reader {
            Reading::check_reader(name).map_err(|problem| Problem::invalid("reader", problem))?;
        }
        let shape = Shape { raw, understands, on_newer };
        Ok(Reading { shape, reader: reader.map(Box::from), only: None })
    }

    /// The `Link` to the next page: this request with one parameter changed.
    pub(super) fn next_link(&self, path: &str, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(known, _)| known != name).map(|(name, value)| (&**name, &**value));
        let pairs: Vec<String> =
            others.chain([(name, value)]).map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        format!("<{path}?{}>; rel=\"next\"", pairs.join("&"))
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    let invalid = |_| Problem::invalid("query", "is not UTF-8 once its percent signs are resolved");
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode_str(&spaced).decode_utf8().map(|text| Cow::Owned(text.into_owned())).map_err(invalid);
    }
    percent_decode_str(text).decode_utf8().map_err(invalid)
}

/// What stands for itself in a query; checkpoints stay readable.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b',')
    .remove(b'@')
    .remove(b'/');

fn encode(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, IN_QUERY)
}

/// A header as text; given twice, or in other than visible ASCII, it is refused.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid(title(name), "is given twice"));
    }
    let text = value.to_str().map_err(|_| Problem::invalid(title(name), "has other than visible ASCII characters"))?;
    Ok(Some(text.trim()))
}

/// A header's name as people write it.
fn title(name: &HeaderName) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}

/// What a writer expects, by the web's own means; `None` where no precondition was given.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Option<ExpectedVersion>, Problem> {
    let if_match = header(headers, &IF_MATCH)?;
    let if_none_match = header(headers, &IF_NONE_MATCH)?;
    match (if_match, if_none_match) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::invalid("If-Match", "and If-None-Match exclude each other")),
        (None, Some("*")) => Ok(Some(ExpectedVersion::None)),
        (None, Some(_)) => Err(Problem::invalid("If-None-Match", "must be `*`: the stream must not exist")),
        (Some("*"), None) => Ok(Some(ExpectedVersion::Exists)),
        (Some(tag), None) => version(tag).map(|version| Some(ExpectedVersion::Exact(version))).ok_or_else(|| {
            Problem::invalid(
                "If-Match",
                "must be `*` (the stream must exist) or one version in quotation marks, like \"7\"",
            )
        }),
    }
}

/// The version that an entity tag names.
fn version(tag: &str) -> Option<Version> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Version)
}

/// Whether the reader holds what has this version already.
pub(super) fn is_known(headers: &HeaderMap, known: Version) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|tags| tags.split(','))
        .any(|tag| tag.trim() == "*" || version(tag.trim().trim_start_matches("W/")) == Some(known))
}

/// How events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A CloudEvents batch: one JSON array.
    Batch,
    /// The same under `application/json`.
    Json,
    /// One event a line.
    Lines,
    /// Server-sent events, live.
    Live,
}

impl Format {
    const OFFERED: [(&'static str, Format); 4] = [
        (pacioli_api::cloudevents::MEDIA_TYPE_BATCH, Format::Batch),
        ("application/json", Format::Json),
        ("application/x-ndjson", Format::Lines),
        ("text/event-stream", Format::Live),
    ];

    /// The media type of the answer.
    pub(super) fn media_type(self) -> &'static str {
        Format::OFFERED
            .iter()
            .find(|(_, format)| *format == self)
            .map_or("application/json", |(media_type, _)| media_type)
    }

    /// What the request accepts most; a batch where it does not care.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Format, Problem> {
        accepted(headers, "events", &Format::OFFERED)
    }
}

/// What the request accepts most of what is offered; the first where it does not care.
pub(super) fn accepted<T: Copy>(headers: &HeaderMap, what: &str, offered: &[(&str, T)]) -> Result<T, Problem> {
    let (_, first) = offered[0];
    let mut best: Option<(f32, T)> = None;
    let mut is_given = false;
    for range in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')) {
        is_given = true;
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or("").to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok()).unwrap_or(1.0);
        let format = match media_type.as_str() {
            "*/*" | "application/*" => Some(first),
            media_type => offered.iter().find(|(offered, _)| *offered == media_type).map(|(_, format)| *format),
        };
        if let Some(format) = format
            && weight > 0.0
            && best.is_none_or(|(heaviest, _)| weight > heaviest)
        {
            best = Some((weight, format));
        }
    }
    match best {
        Some((_, format)) => Ok(format),
        None if !is_given => Ok(first),
        None => {
            let offered: Vec<&str> = offered.iter().map(|(media_type, _)| *media_type).collect();
            Err(Problem::new(Kind::NotAcceptable, format!("{what} are sent as {}", offered.join(", "))))
        }
    }
}

/// Where to resume: `Last-Event-ID` wins over `after`.
pub(super) fn resume(headers: &HeaderMap, query: &Query<'_>) -> Result<Option<Checkpoint>, Problem> {
    let after = query.parse("after")?;
    match header(headers, &HeaderName::from_static("last-event-id"))? {
        None | Some("") => Ok(after),
        Some(id) => id.parse().map(Some).map_err(|error| Problem::invalid("Last-Event-ID", error)),
    }
}
