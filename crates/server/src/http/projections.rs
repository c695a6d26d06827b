//! Projections: what there is, how they are, and commands on them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use pacioli_api::problem::Problem;
use pacioli_projection::ReadModels;
use pacioli_projection::answer::Form;
use pacioli_projection::engine::{Sample, Verified};
use pacioli_projection::file::Name;
use pacioli_projection::service::{Added, Adding, CommandError, Status};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::App;
use super::answer::{self, Failure};
use super::models::{Actor, json_body, models, projection_name, told};
use super::query::Query;

type PathName = Result<Path<String>, PathRejection>;

/// How long a check goes on before its answer begins without any progress.
const VERIFY_PATIENCE: Duration = Duration::from_secs(2);
/// How often the progress of a check is told at most, and how long it stays untold.
const VERIFY_PAUSE: Duration = Duration::from_millis(200);
const VERIFY_HEARTBEAT: Duration = Duration::from_secs(15);

/// `GET /v1/projections`
pub(super) async fn list(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    Query::read(&request, &[])?;
    Ok(uncached(answer::json(StatusCode::OK, &models(&app)?.list().await?)))
}

/// `GET /v1/projections/{name}`
pub(super) async fn one(State(app): State<Arc<App>>, name: PathName, request: Request) -> Result<Response, Failure> {
    Query::read(&request, &[])?;
    let status = models(&app)?.status(&projection_name(name)?).await?;
    Ok(uncached(answer::json(StatusCode::OK, &status)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBody {
    file: String,
    text: String,
}

/// `POST /v1/projections`
pub(super) async fn add(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    Query::read(&request, &[])?;
    let (models, actor) = (models(&app)?.clone(), Actor::of(&request));
    let FileBody { file, text } = json_body(&app, request).await?;
    if file.is_empty() || file.contains(['/', '\\']) || file.chars().any(char::is_control) {
        return Err(Problem::invalid("file", "must be the file's name without a directory, like `funnel.sql`").into());
    }
    let added = models.add(&file, &text, actor.name()).await?;
    let status = match added.outcome {
        Adding::Unchanged => StatusCode::OK,
        Adding::Created | Adding::Rebuilding => StatusCode::CREATED,
    };
    let Added { name, version, outcome, warnings } = &added;
    Ok(answer::json(
        status,
        &AddedBody { name: name.as_str(), version: *version, outcome: *outcome, warnings: told(warnings) },
    ))
}

#[derive(Serialize)]
struct AddedBody<'a> {
    name: &'a str,
    version: u32,
    outcome: Adding,
    warnings: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RebuildBody {
    parallel: Option<u16>,
}

/// `POST /v1/projections/{name}/rebuild`
pub(super) async fn rebuild(
    State(app): State<Arc<App>>,
    name: PathName,
    request: Request,
) -> Result<Response, Failure> {
    let Command { models, name, by, body: RebuildBody { parallel } } = Command::of(&app, name, request).await?;
    if parallel == Some(0) {
        return Err(Problem::invalid("parallel", "must be at least 1").into());
    }
    done(models.rebuild(&name, parallel, by.name()).await)
}

/// A body without members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoBody {}

/// `POST /v1/projections/{name}/cancel`
pub(super) async fn cancel(State(app): State<Arc<App>>, name: PathName, request: Request) -> Result<Response, Failure> {
    let Command { models, name, by, body: NoBody {} } = Command::of(&app, name, request).await?;
    done(models.cancel(&name, by.name()).await)
}

/// `POST /v1/projections/{name}/pause`
pub(super) async fn pause(State(app): State<Arc<App>>, name: PathName, request: Request) -> Result<Response, Failure> {
    let Command { models, name, by, body: NoBody {} } = Command::of(&app, name, request).await?;
    done(models.pause(&name, by.name()).await)
}

/// `POST /v1/projections/{name}/resume`
pub(super) async fn resume(State(app): State<Arc<App>>, name: PathName, request: Request) -> Result<Response, Failure> {
    let Command { models, name, by, body: NoBody {} } = Command::of(&app, name, request).await?;
    done(models.resume(&name, by.name()).await)
}

/// `POST /v1/projections/{name}/retry`
pub(super) async fn retry(State(app): State<Arc<App>>, name: PathName, request: Request) -> Result<Response, Failure> {
    let Command { models, name, by, body: NoBody {} } = Command::of(&app, name, request).await?;
    done(models.retry(&name, by.name()).await)
}

/// `POST /v1/projections/{name}/rollback`
pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    name: PathName,
    request: Request,
) -> Result<Response, Failure> {
    let Command { models, name, by, body: NoBody {} } = Command::of(&app, name, request).await?;
    done(models.rollback(&name, by.name()).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SkipBody {
    reason: Option<String>,
}

/// `POST /v1/projections/{name}/skip`
pub(super) async fn skip(State(app): State<Arc<App>>, name: PathName, request: Request) -> Result<Response, Failure> {
    let Command { models, name, by, body: SkipBody { reason } } = Command::of(&app, name, request).await?;
    let reason = reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.ok_or_else(|| Problem::invalid("reason", "is missing: say why the event is passed over"))?;
    done(models.skip(&name, reason, by.name()).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    view: Option<String>,
}

/// `POST /v1/projections/{name}/refresh`
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    name: PathName,
    request: Request,
) -> Result<Response, Failure> {
    let Command { models, name, body: RefreshBody { view }, .. } = Command::of(&app, name, request).await?;
    let view = view.ok_or_else(|| Problem::invalid("view", "is missing: the materialized view to refresh"))?;
    models.refresh(&name, &view).await?;
    done(models.status(&name).await)
}

/// `DELETE /v1/projections/{name}`
pub(super) async fn delete(State(app): State<Arc<App>>, name: PathName, request: Request) -> Result<Response, Failure> {
    let name = projection_name(name)?;
    let query = Query::read(&request, &["kept"])?;
    let kept_only = match query.one("kept")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid("kept", "must be `true` or `false`").into()),
    };
    models(&app)?.drop_builds(&name, !kept_only, Actor::of(&request).name()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A command on a projection: who sent it, and what its body says.
struct Command<T> {
    models: ReadModels,
    name: Name,
    by: Actor,
    body: T,
}

impl<T: DeserializeOwned> Command<T> {
    async fn of(app: &App, name: PathName, request: Request) -> Result<Command<T>, Failure> {
        Query::read(&request, &[])?;
        let (models, name, by) = (models(app)?.clone(), projection_name(name)?, Actor::of(&request));
        Ok(Command { models, name, by, body: json_body(app, request).await? })
    }
}

fn done(status: Result<Status, CommandError>) -> Result<Response, Failure> {
    Ok(uncached(answer::json(StatusCode::OK, &status?)))
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyBody {
    sample: Option<String>,
}

/// `POST /v1/projections/{name}/verify`: a line a step, `{"progress":0.4}`, and at the end what was found, or
/// `{"error":{…}}` with a problem.
pub(super) async fn verify(State(app): State<Arc<App>>, name: PathName, request: Request) -> Result<Response, Failure> {
    let Command { models, name, body: VerifyBody { sample }, .. } = Command::of(&app, name, request).await?;
    let sample = sample.as_deref().map_or(Ok(Sample::All), one_of)?;
    let (tell, progress) = watch::channel(0.0);
    let verifying = tokio::spawn(async move {
        let tell = move |share: f64| {
            tell.send_replace(share);
        };
        models.verify(&name, sample, &tell).await
    });
    let mut check = Check { verifying: Some(AbortOnDrop(verifying)), progress };
    // What is refused at once is refused with its status.
    let first = tokio::time::timeout(VERIFY_PATIENCE, check.next()).await;
    let first = match first {
        Ok(Step::Ended(ended)) => finished(ended?),
        Ok(Step::Progress(share)) => progress_line(share),
        Err(_) => progress_line(0.0),
    };
    let lines = stream::unfold((Some(first), check), |(first, mut check)| async move {
        if let Some(line) = first {
            return Some((Ok::<Bytes, std::convert::Infallible>(line), (None, check)));
        }
        check.verifying.as_ref()?;
        let line = match check.next().await {
            Step::Progress(share) => progress_line(share),
            Step::Ended(Ok(verified)) => finished(verified),
            Step::Ended(Err(failure)) => line(&json!({ "error": failure.told() })),
        };
        Some((Ok(line), (None, check)))
    });
    Ok(uncached(answer::body(StatusCode::OK, Form::Lines.media_type(), Body::from_stream(lines))))
}

/// A check that goes on; dropping it ends it.
struct Check {
    /// `None` after its end.
    verifying: Option<AbortOnDrop<Result<Verified, CommandError>>>,
    progress: watch::Receiver<f64>,
}

enum Step {
    Progress(f64),
    Ended(Result<Verified, Failure>),
}

impl Check {
    /// Waits for progress that is worth telling, or for the end.
    async fn next(&mut self) -> Step {
        let Some(AbortOnDrop(verifying)) = &mut self.verifying else {
            return Step::Ended(Err(Failure::internal("the check is over")));
        };
        let progress = &mut self.progress;
        let told = async {
            let changed = tokio::time::timeout(VERIFY_HEARTBEAT, progress.changed()).await;
            match changed {
                Ok(Ok(())) => tokio::time::sleep(VERIFY_PAUSE).await,
                Err(_) => {}
                // Its end is next.
                Ok(Err(_)) => std::future::pending().await,
            }
            *progress.borrow_and_update()
        };
        tokio::select! {
            ended = verifying => {
                self.verifying = None;
                Step::Ended(match ended {
                    Ok(verified) => verified.map_err(Failure::from),
                    Err(_) => Err(Failure::internal("the check failed; the server's log says more")),
                })
            }
            share = told => Step::Progress(share),
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn progress_line(share: f64) -> Bytes {
    line(&json!({ "progress": (share.clamp(0.0, 1.0) * 10_000.0).round() / 10_000.0 }))
}

fn finished(verified: Verified) -> Bytes {
    let Verified { checkpoint, rows, different, differences } = verified;
    line(&FoundBody { checkpoint: checkpoint.to_string(), rows, different, differences })
}

/// What a check found, as its last line.
#[derive(Serialize)]
struct FoundBody {
    checkpoint: String,
    rows: u64,
    different: u64,
    differences: Vec<String>,
}

fn line(value: &impl Serialize) -> Bytes {
    (pacioli_api::json::to_string(value) + "\n").into()
}

/// `1/16`: one part of the streams, a different one each time.
fn one_of(text: &str) -> Result<Sample, Problem> {
    let of = text.strip_prefix("1/").and_then(|of| of.parse::<u16>().ok()).filter(|of| *of > 0);
    match of {
        Some(1) => Ok(Sample::All),
        Some(of) => Ok(Sample::Streams { of, part: (uuid::Uuid::new_v4().as_u128() % u128::from(of)) as u16 }),
        None => Err(Problem::invalid("sample", "must be like `1/16`: one of so many parts of the streams")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_one_part() {
        assert_eq!(one_of("1/1").ok(), Some(Sample::All));
        assert!(matches!(one_of("1/16"), Ok(Sample::Streams { of: 16, part: 0..16 })));
        for text in ["", "16", "2/16", "1/0", "1/-1", "1/70000"] {
            assert!(one_of(text).is_err(), "{text}");
        }
    }
}
