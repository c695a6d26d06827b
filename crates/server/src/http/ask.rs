//! Questions to read models and to the log: `/v1/sql`, point reads, and what changed between two moments.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use futures::stream;
use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use pacioli_api::problem::{Kind, Problem};
use pacioli_projection::answer::{Answer, Form};
use pacioli_projection::engine::{Lookup, Moment, QueryLimits};
use pacioli_projection::service::Ask;
use serde::Deserialize;

use super::App;
use super::answer::{self, Failure};
use super::models::{Deadline, answered, at_least, json_body, models, moment};
use super::query::{Query, accepted};

/// Rows of a point read where nobody says otherwise.
const LOOKUP_ROWS_DEFAULT: usize = 100;
/// Rows of a point read at most.
const LOOKUP_ROWS_MAX: usize = 10_000;
/// An answer of more rows is sent in pieces, as they are written.
const WHOLE_ROWS_MAX: usize = 2_000;

/// The body of `POST /v1/sql`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    sql: String,
    at_least: Option<String>,
    deadline: Option<Deadline>,
    as_of: Option<String>,
    as_of_occurred: Option<String>,
    format: Option<String>,
    max_rows: Option<usize>,
}

/// `POST /v1/sql`
pub(super) async fn sql(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let models = models(&app)?.clone();
    let accepted = accepted_form(request.headers());
    let body: SqlBody = json_body(&app, request).await?;
    let form = match body.format {
        Some(word) => built(word.parse().map_err(|problem: String| Problem::invalid("format", problem))?)?,
        None => accepted?,
    };
    let deadline = Deadline::duration(body.deadline.as_ref())?;
    let ask = Ask {
        sql: body.sql,
        as_of: moment(body.as_of.as_deref(), body.as_of_occurred.as_deref())?,
        at_least: at_least(body.at_least.as_deref())?,
        deadline,
        limits: limits("max_rows", body.max_rows, deadline)?,
    };
    let answer = answered(&app, "sql", deadline, models.query(ask)).await?;
    written(Arc::new(answer), form)
}

/// `GET /v1/read-models/{table}`
pub(super) async fn lookup(
    State(app): State<Arc<App>>,
    table: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    const OWN: [&str; 4] = ["order", "limit", "at_least", "deadline"];
    let models = models(&app)?;
    let table = table_name(table)?;
    let query = Query::read_any(&request)?;
    let form = accepted_form(request.headers())?;
    let mut equals: Vec<(String, String)> = Vec::new();
    for (column, value) in query.others(&OWN) {
        if equals.iter().any(|(known, _)| known == column) {
            return Err(Problem::invalid(pacioli_api::text::shown(column), "is given twice").into());
        }
        equals.push((column.to_owned(), value.to_owned()));
    }
    let order = query.one("order")?.map(|order| match order.strip_prefix('-') {
        Some(column) => (column.to_owned(), true),
        None => (order.to_owned(), false),
    });
    let limit = query.limit_given()?.unwrap_or(LOOKUP_ROWS_DEFAULT);
    if limit > LOOKUP_ROWS_MAX {
        let problem = format!("is at most {LOOKUP_ROWS_MAX}; ask for more rows with POST /v1/sql");
        return Err(Problem::invalid("limit", problem).into());
    }
    let lookup = Lookup { table, equals, order, limit };
    let at_least = at_least(query.one("at_least")?)?;
    let deadline = Deadline::of_text(query.one("deadline")?)?;
    let asking = models.lookup(lookup, at_least.as_ref(), deadline);
    written(answered(&app, "lookup", deadline, asking).await?, form)
}

/// `GET /v1/read-models/{table}/diff`
pub(super) async fn diff(
    State(app): State<Arc<App>>,
    table: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let models = models(&app)?;
    let table = table_name(table)?;
    let query = Query::read(&request, &["from", "to", "deadline"])?;
    let form = accepted_form(request.headers())?;
    let moment = |name| -> Result<Moment, Problem> {
        let text = query.one(name)?.ok_or_else(|| Problem::invalid(name, "is missing: a time or a checkpoint"))?;
        Moment::parse(text).map_err(|problem| Problem::invalid(name, problem))
    };
    let (from, to) = (moment("from")?, moment("to")?);
    let deadline = Deadline::of_text(query.one("deadline")?)?;
    let asking = models.diff(&table, from, to, limits("limit", None, deadline)?);
    written(Arc::new(answered(&app, "diff", deadline, asking).await?), form)
}

fn table_name(table: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(table) =
        table.map_err(|_| Problem::invalid("table", "is not UTF-8 once its percent signs are resolved"))?;
    Ok(table)
}

fn limits(field: &str, rows: Option<usize>, deadline: std::time::Duration) -> Result<QueryLimits, Problem> {
    let limits = QueryLimits { time_max: deadline, ..QueryLimits::default() };
    match rows {
        None => Ok(limits),
        Some(rows_max) if (1..=limits.rows_max).contains(&rows_max) => Ok(QueryLimits { rows_max, ..limits }),
        Some(_) => Err(Problem::invalid(field, format!("is 1 to {}", limits.rows_max))),
    }
}

/// The form that the request accepts most.
fn accepted_form(headers: &HeaderMap) -> Result<Form, Problem> {
    const OFFERED: [(&str, Form); 4] = [
        ("application/json", Form::Json),
        ("application/x-ndjson", Form::Lines),
        ("text/csv", Form::Csv),
        ("application/vnd.apache.arrow.stream", Form::Arrow),
    ];
    built(accepted(headers, "rows", &OFFERED)?)
}

fn built(form: Form) -> Result<Form, Problem> {
    match form.is_built() {
        true => Ok(form),
        false => Err(Problem::new(Kind::Unsupported, format!("this server was built without the form {form}"))),
    }
}

/// The rows as an answer: whole where they are few, else in pieces.
fn written(rows: Arc<Answer>, form: Form) -> Result<Response, Failure> {
    let unwritable =
        |error: pacioli_projection::answer::form::Unwritable| Problem::new(Kind::Internal, error.to_string());
    let body = match rows.rows.len() {
        0..=WHOLE_ROWS_MAX => Body::from(rows.write(form).map_err(unwritable)?),
        // One that breaks off breaks the connection, so that nobody takes a part for the whole.
        _ => Body::from_stream(stream::iter(rows.chunks(form).map_err(unwritable)?)),
    };
    let mut response = answer::body(StatusCode::OK, form.media_type(), body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
