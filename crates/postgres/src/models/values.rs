//! Named values: what each is in an event, and how it becomes the type that PostgreSQL inferred for its place.

use pacioli_projection::file::{NamedValue, Source, Step};

/// The event that a handler runs for, in the compiled function.
pub(super) const EVENT: &str = "_pacioli_event";

/// What the log's columns make of a named value, before it is cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Natural {
    Text,
    Int,
    Bigint,
    Uuid,
    Time,
    /// A whole JSON document, which is `jsonb` wherever it stands.
    Document,
    /// What lies at a path, which is of any type.
    Member,
}

impl Natural {
    pub(super) fn of(source: &Source) -> Natural {
        match source {
            Source::Stream | Source::Category | Source::Key | Source::Type | Source::Actor => Natural::Text,
            Source::Partition | Source::SchemaVersion => Natural::Int,
            Source::Version | Source::Position => Natural::Bigint,
            Source::Id => Natural::Uuid,
            Source::RecordedAt | Source::OccurredAt => Natural::Time,
            Source::Data | Source::Metadata => Natural::Document,
            Source::Path(_) => Natural::Member,
        }
    }

    /// A NULL of this type, to see whether a cast exists; `None` where text is read, which any type does.
    pub(super) fn specimen(self) -> Option<&'static str> {
        match self {
            Natural::Int => Some("NULL::int4"),
            Natural::Bigint => Some("NULL::int8"),
            Natural::Uuid => Some("NULL::uuid"),
            Natural::Time => Some("NULL::timestamptz"),
            Natural::Text | Natural::Document | Natural::Member => None,
        }
    }
}

/// The columns of the event that a value reads, as the function's loop selects them: name and expression over the log's row
/// `e`, as it is stored.
pub(super) fn column(source: &Source) -> (&'static str, &'static str) {
    match source {
        Source::Stream => ("stream", "e.stream"),
        Source::Category => ("category", CATEGORY),
        Source::Key => ("key", KEY),
        Source::Type => ("type", "e.type"),
        Source::Version => ("version", "e.version"),
        Source::Partition => ("partition", "e.part"),
        Source::Position => ("position", "e.position"),
        Source::SchemaVersion => ("schema_version", "e.schema_version"),
        Source::Id => ("id", "e.id"),
        Source::RecordedAt => ("recorded_at", "e.recorded_at"),
        Source::OccurredAt => ("occurred_at", OCCURRED_AT),
        Source::Actor => ("actor", ACTOR),
        Source::Metadata => ("metadata", "e.metadata::jsonb"),
        // Parsed once an event, and not at all where nothing asks for it.
        Source::Data | Source::Path(_) => ("data", "e.data::jsonb"),
    }
}

const CATEGORY: &str = "split_part(e.stream, '-', 1)";
const KEY: &str = "CASE strpos(e.stream, '-') WHEN 0 THEN '' ELSE substr(e.stream, strpos(e.stream, '-') + 1) END";
const OCCURRED_AT: &str = "coalesce(e.occurred_at, e.recorded_at)";
const ACTOR: &str = "e.metadata ->> 'actor'";

/// The columns of `batch`, over the log's row `e`: with the data and the version of its shape in the place of `{data}` and
/// `{schema_version}`. Names keep their bytes' order and nothing else of the log's collation.
pub(super) const BATCH_COLUMNS: &str = "e.part AS partition, e.position, e.stream, split_part(e.stream, '-', 1) AS category, \
     CASE strpos(e.stream, '-') WHEN 0 THEN '' ELSE substr(e.stream, strpos(e.stream, '-') + 1) END AS key, \
     e.version, e.type, {schema_version} AS schema_version, e.id, {data} AS data, e.metadata::jsonb AS metadata, e.tags, \
     e.metadata ->> 'actor' AS actor, coalesce(e.occurred_at, e.recorded_at) AS occurred_at, e.recorded_at";

/// Stands in for `batch` where a statement is only prepared.
pub(super) const BATCH_SPECIMEN: &str = "SELECT NULL::int4 AS partition, NULL::int8 AS position, NULL::text COLLATE \"C\" AS stream, \
     NULL::text COLLATE \"C\" AS category, NULL::text COLLATE \"C\" AS key, NULL::int8 AS version, \
     NULL::text COLLATE \"C\" AS type, NULL::int4 AS schema_version, NULL::uuid AS id, NULL::jsonb AS data, \
     NULL::jsonb AS metadata, NULL::text[] COLLATE \"C\" AS tags, NULL::text AS actor, NULL::timestamptz AS occurred_at, \
     NULL::timestamptz AS recorded_at WHERE false";

/// Puts `batch` in front of a statement, which may begin with a WITH of its own.
pub(super) fn with_batch(batch: &str, statement: &str) -> String {
    let statement = statement.trim_start();
    let (first, rest) = split_word(statement);
    if !first.eq_ignore_ascii_case("with") {
        return format!("WITH batch AS ({batch}) {statement}");
    }
    let (second, behind) = split_word(rest.trim_start());
    if second.eq_ignore_ascii_case("recursive") {
        return format!("WITH RECURSIVE batch AS ({batch}), {behind}");
    }
    format!("WITH batch AS ({batch}), {rest}")
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// The text types, which take RFC 3339 times and JSON as it is written.
fn is_text(wanted: &str) -> bool {
    matches!(wanted, "text" | "character varying" | "bpchar" | "name")
}

/// A named value in the compiled function: an expression of type `wanted`, as `format_type` names it.
pub(super) fn expression(value: &NamedValue, wanted: &str) -> String {
    let (column, _) = column(&value.source);
    let own = format!("{EVENT}.{column}");
    let cast = format!("({own})::{wanted}");
    match Natural::of(&value.source) {
        Natural::Text if wanted == "text" => own,
        Natural::Text if matches!(wanted, "json" | "jsonb") => format!("to_jsonb({own})::{wanted}"),
        Natural::Text | Natural::Int | Natural::Bigint | Natural::Uuid => cast,
        Natural::Document => own,
        Natural::Time => match wanted {
            "timestamp with time zone" => own,
            "timestamp without time zone" | "date" | "time without time zone" => {
                format!("({own} AT TIME ZONE 'UTC')::{wanted}")
            }
            "json" | "jsonb" => format!("to_jsonb({})::{wanted}", rfc3339(&own)),
            wanted if is_text(wanted) => format!("({})::{wanted}", rfc3339(&own)),
            _ => cast,
        },
        Natural::Member => {
            let Source::Path(steps) = &value.source else { return own };
            member(&own, steps, wanted)
        }
    }
}

fn rfc3339(time: &str) -> String {
    format!("to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
}

/// Steps one by one: a number means an element of an array and never the member of that name, and the other way round.
fn member(document: &str, steps: &[Step], wanted: &str) -> String {
    let mut path = document.to_owned();
    let as_json = matches!(wanted, "json" | "jsonb");
    for (at, step) in steps.iter().enumerate() {
        let arrow = if at + 1 == steps.len() && !as_json { "->>" } else { "->" };
        let step = match step {
            Step::Member(name) => literal(name),
            Step::Element(index) => index.to_string(),
        };
        path = format!("({path} {arrow} {step})");
    }
    if as_json {
        return format!("nullif({path}, 'null'::jsonb)::{wanted}");
    }
    format!("{path}::{wanted}")
}

/// Text as an SQL literal, whatever is in it and however the session reads backslashes.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacioli_projection::file::Beside;

    fn value(source: Source) -> NamedValue {
        NamedValue { source, line: 1, column: 1, beside: Beside::default() }
    }

    #[test]
    fn a_value_becomes_the_type_of_its_place() {
        let path = Source::Path(vec![Step::Member("it's".to_owned()), Step::Element(0), Step::Member("n".to_owned())]);
        for (source, wanted, expected) in [
            (Source::Stream, "text", "_pacioli_event.stream"),
            (Source::Version, "numeric", "(_pacioli_event.version)::numeric"),
            (Source::RecordedAt, "timestamp with time zone", "_pacioli_event.recorded_at"),
            (Source::RecordedAt, "date", "(_pacioli_event.recorded_at AT TIME ZONE 'UTC')::date"),
            (path.clone(), "bigint", "(((_pacioli_event.data -> 'it''s') -> 0) ->> 'n')::bigint"),
            (path, "jsonb", "nullif((((_pacioli_event.data -> 'it''s') -> 0) -> 'n'), 'null'::jsonb)::jsonb"),
            (Source::Data, "jsonb", "_pacioli_event.data"),
        ] {
            assert_eq!(expression(&value(source), wanted), expected);
        }
    }

    #[test]
    fn batch_stands_before_what_a_statement_names_itself() {
        assert_eq!(with_batch("B", "INSERT INTO t"), "WITH batch AS (B) INSERT INTO t");
        assert_eq!(with_batch("B", "with a AS (x) DELETE"), "WITH batch AS (B),  a AS (x) DELETE");
        assert_eq!(with_batch("B", "WITH RECURSIVE a AS (x) DELETE"), "WITH RECURSIVE batch AS (B),  a AS (x) DELETE");
    }

    #[test]
    fn a_literal_holds_any_text() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal("a\\'"), " E'a\\\\'''");
    }
}
