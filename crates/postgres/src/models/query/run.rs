//! One question on one connection: begun, bounded, read, stopped where it goes on too long, and tidied up behind.

use std::time::Duration;

use deadpool::managed::Object;
use futures::TryStreamExt;
use pacioli_core::StoreError;
use pacioli_projection::answer::{Answer, Value};
use pacioli_projection::engine::{QueryError, QueryLimits};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::check::Checked;
use super::decode::Reading;
use super::lookup::Point;
use super::sessions::{Seat, Sessions};
use crate::error::{Error, describe};

/// How long the server gets to end a query by its own clock, before it is asked to from outside.
const GRACE: Duration = Duration::from_millis(100);
/// How long it then gets, before the connection is given up.
const CANCEL_PATIENCE: Duration = Duration::from_millis(500);
/// How long it may take to end a transaction.
const TIDY_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that come with an answer of nothing: descriptions, messages.
const OVERHEAD_BYTES: u64 = 4 << 20;

/// What is asked.
pub(super) enum Question {
    /// A query somebody wrote: what to send, and the schemas its names lead to.
    Statement(Checked, Vec<String>),
    /// A point read.
    Point(Point),
}

/// The bounds of an answer, and from when they count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) limits: QueryLimits,
    pub(super) began: Instant,
}

impl Bounds {
    pub(super) fn new(limits: QueryLimits) -> Bounds {
        Bounds { limits, began: Instant::now() }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.began + self.limits.time_max
    }

    pub(super) fn late(&self) -> QueryError {
        QueryError::Late(self.limits.time_max)
    }
}

/// Why there is no answer, and what that means for the connection.
pub(super) struct Failure {
    pub(super) error: QueryError,
    /// The connection is of no use any more.
    ends_connection: bool,
    /// The server is still at it.
    goes_on: bool,
    /// A relation is missing: it helps to say which there are.
    lacks_relation: bool,
    /// The catalogue is another one than what was prepared was made for.
    pub(super) is_outdated: bool,
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        Failure { error, ends_connection: false, goes_on: false, lacks_relation: false, is_outdated: false }
    }
}

/// Asks `question` on `seat` and sends the answer; then sees to it that the connection can be used again, or ends it. Goes on
/// when nobody waits any more, since a query must be stopped and not only left.
pub(super) async fn serve(
    mut seat: Object<Sessions>,
    question: Question,
    bounds: Bounds,
    mut reply: oneshot::Sender<Result<Answer, QueryError>>,
    permit: Option<OwnedSemaphorePermit>,
) {
    let (token, host) = (seat.token(), seat.host);
    let connector = Object::pool(&seat).map(|pool| pool.manager().connector().clone());
    let stop = async {
        // It is about this query: nobody else's runs on the connection, and none will after it.
        match &connector {
            Some(connector) => tokio::time::timeout(CANCEL_PATIENCE, connector.cancel(host, &token))
                .await
                .is_ok_and(|sent| sent.is_ok()),
            None => false,
        }
    };
    let (answer, is_cut) = {
        let work = ask(&mut seat, &question, bounds);
        tokio::pin!(work);
        tokio::select! {
            biased;
            answer = &mut work => (answer, false),
            () = reply.closed() => (cut(work, stop, bounds).await, true),
            () = tokio::time::sleep_until(bounds.deadline() + GRACE) => (cut(work, stop, bounds).await, true),
        }
    };
    // What the connection is afterwards: known now, or once it is tidied up.
    let mut is_clean = if is_cut { Some(false) } else { None };
    let mut goes_on = false;
    let answer = match answer {
        Ok(answer) => Ok(answer),
        Err(failure) => {
            goes_on = failure.goes_on;
            if failure.ends_connection || goes_on {
                is_clean = Some(false);
            }
            let mut error = failure.error;
            if is_clean.is_none() && failure.lacks_relation {
                is_clean = Some(tidied(&seat, &question).await);
                error = with_relations(&seat, error).await;
            }
            Err(error)
        }
    };
    let _ = reply.send(answer);
    if goes_on {
        // Its connection goes in any case, but what it does there would go on until it has something to say.
        let stop = async {
            if let Some(connector) = &connector {
                let _ = connector.cancel(host, &token).await;
            }
        };
        let _ = tokio::time::timeout(CANCEL_PATIENCE, stop).await;
    }
    let is_clean = match is_clean {
        Some(known) => known,
        None => tidied(&seat, &question).await,
    };
    if is_clean {
        drop(seat);
    } else {
        drop(Object::take(seat));
    }
    drop(permit);
}

/// Has a query stopped from outside and waits a while for its end.
async fn cut(
    work: std::pin::Pin<&mut impl Future<Output = Result<Answer, Failure>>>,
    stop: impl Future<Output = bool>,
    bounds: Bounds,
) -> Result<Answer, Failure> {
    // What still comes must be read: a server that cannot send does not look up.
    let ended = tokio::time::timeout(CANCEL_PATIENCE, async { futures::join!(stop, work) }).await;
    if ended.is_err() {
        tracing::warn!("a query did not end when it was canceled: its connection is closed");
    }
    Err(bounds.late().into())
}

/// Ends what the question began.
async fn tidied(seat: &Seat, question: &Question) -> bool {
    match question {
        Question::Statement(..) => tokio::time::timeout(TIDY_PATIENCE, seat.tidy()).await.unwrap_or(false),
        // It is ours and begins nothing.
        Question::Point(_) => true,
    }
}

async fn ask(seat: &mut Seat, question: &Question, bounds: Bounds) -> Result<Answer, Failure> {
    if let Some(meter) = &seat.meter {
        meter.allow(2 * bounds.limits.bytes_max as u64 + OVERHEAD_BYTES);
    }
    match question {
        Question::Statement(checked, schemas) => statement(seat, checked, schemas, bounds).await,
        Question::Point(point) => point.ask(seat, bounds).await,
    }
}

async fn statement(seat: &Seat, checked: &Checked, schemas: &[String], bounds: Bounds) -> Result<Answer, Failure> {
    let left = bounds.deadline().saturating_duration_since(Instant::now()).as_millis().max(1);
    let begin = seat.begin(schemas, left);
    let told = |error| told(error, seat, bounds);
    // One way there and back for both; nothing runs before the answer to BEGIN is there.
    let (begun, prepared) = futures::join!(seat.batch_execute(&begin), seat.prepare(&checked.text));
    begun.map_err(told)?;
    let mut prepared = prepared.map_err(told)?;
    if !prepared.params().is_empty() {
        return Err(QueryError::Refused("a query has no parameters: write the value".to_owned()).into());
    }
    let reading = Reading::of(&prepared);
    if let Some(around) = reading.around(&checked.text).filter(|_| !checked.is_explain) {
        prepared = seat.prepare(&around).await.map_err(told)?;
    }
    collect(seat, &prepared, &reading, &[], bounds).await
}

/// Runs a statement and reads its rows, as many as may be.
pub(super) async fn collect(
    seat: &Seat,
    statement: &Statement,
    reading: &Reading,
    values: &[&str],
    bounds: Bounds,
) -> Result<Answer, Failure> {
    let told = |error| told(error, seat, bounds);
    let values = values.iter().map(|value| value as &(dyn ToSql + Sync));
    let stream = seat.query_raw(statement, values).await.map_err(told)?;
    futures::pin_mut!(stream);
    let mut answer = Answer { columns: reading.columns.clone(), rows: Vec::new() };
    let (mut bytes, limits) = (0, bounds.limits);
    while let Some(row) = stream.try_next().await.map_err(told)? {
        if answer.rows.len() >= limits.rows_max {
            return Err(too_much(format!(
                "the answer has more than {} rows (max_rows): add a LIMIT, aggregate, or raise max_rows",
                limits.rows_max
            )));
        }
        let values =
            reading.row(&row).map_err(|problem| Failure { goes_on: true, ..QueryError::Invalid(problem).into() })?;
        bytes += values.iter().map(Value::size).sum::<usize>();
        if bytes > limits.bytes_max {
            return Err(too_much(too_many_bytes(limits)));
        }
        answer.rows.push(values);
    }
    Ok(answer)
}

fn too_much(says: String) -> Failure {
    Failure { goes_on: true, ..QueryError::TooMuch(says).into() }
}

fn too_many_bytes(limits: QueryLimits) -> String {
    format!(
        "the answer has more than {} bytes: ask for fewer columns or rows, add a LIMIT, or aggregate",
        limits.bytes_max
    )
}

/// Why the database gave no answer, as the caller is to know it.
pub(super) fn told(error: tokio_postgres::Error, seat: &Seat, bounds: Bounds) -> Failure {
    if seat.meter.as_ref().is_some_and(|meter| meter.is_spent()) {
        return Failure { ends_connection: true, ..too_much(too_many_bytes(bounds.limits)) };
    }
    let said = describe(&error);
    let Some(code) = error.code().cloned() else {
        let error = Error::from(error);
        let ends_connection = error.ends_connection();
        return Failure { ends_connection, ..QueryError::Store(error.into_store_error()).into() };
    };
    let lacks_relation = code == SqlState::UNDEFINED_TABLE;
    let is_outdated = lacks_relation
        || code == SqlState::UNDEFINED_COLUMN
        || code == SqlState::FEATURE_NOT_SUPPORTED && said.contains("cached plan");
    let ends_connection = Error::from(error).ends_connection() && code != SqlState::READ_ONLY_SQL_TRANSACTION;
    let error = match &code.code()[..2] {
        _ if code == SqlState::QUERY_CANCELED && bounds.began.elapsed() >= bounds.limits.time_max.mul_f32(0.9) => {
            bounds.late()
        }
        _ if code == SqlState::QUERY_CANCELED => {
            QueryError::Store(StoreError::new("somebody canceled the query in the database; ask again"))
        }
        _ if code == SqlState::INSUFFICIENT_PRIVILEGE => {
            QueryError::Refused(format!("{said}; what may be queried are the tables of projections, and `events`"))
        }
        _ if code == SqlState::READ_ONLY_SQL_TRANSACTION => QueryError::Refused(format!("{said}; a query only reads")),
        _ if code == SqlState::TOO_MANY_CONNECTIONS => QueryError::Store(StoreError::new(said)),
        "53" => QueryError::TooMuch(format!("{said}; ask for less at once: bound it, or aggregate in steps")),
        "0A" | "20" | "21" | "22" | "23" | "2B" | "42" | "44" | "54" | "P0" => QueryError::Invalid(said),
        _ => QueryError::Store(StoreError::new(said)),
    };
    Failure { ends_connection, lacks_relation, is_outdated, ..error.into() }
}

/// The same error, with what could have been asked for.
async fn with_relations(seat: &Seat, error: QueryError) -> QueryError {
    let QueryError::Invalid(said) = error else { return error };
    let listed = tokio::time::timeout(TIDY_PATIENCE, relations(seat)).await.unwrap_or_default();
    QueryError::Invalid(format!("{said}; {}", there_are(&listed)))
}

/// What can be queried, by name.
pub(super) async fn relations(seat: &Seat) -> Vec<String> {
    let rows = seat.query(sql!("models/list_relations"), &[&seat.reads()]).await.unwrap_or_default();
    rows.iter().filter_map(|row| row.try_get(0).ok()).collect()
}

/// The first of them, in words.
pub(super) fn there_are(names: &[String]) -> String {
    const SHOWN_MAX: usize = 20;
    let shown: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(SHOWN_MAX).filter(|&more| more > 0) {
        _ if names.is_empty() => "there is none yet: add a projection".to_owned(),
        Some(more) => format!("there are {} and {more} more", shown.join(", ")),
        None => format!("there are {}", shown.join(", ")),
    }
}
