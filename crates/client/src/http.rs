//! Plain HTTP requests to the same server, on the same connections: what gRPC has no method for.
//!
//! ```no_run
//! use pacioli_client::http::Ask;
//! use pacioli_client::{Client, ClientConfig};
//!
//! # async fn projections() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new("http://127.0.0.1:1494"))?;
//! let answer = client.http().ask(Ask::get("/v1/projections")).await?;
//! println!("{}", String::from_utf8_lossy(&answer.bytes().await?));
//! # Ok(())
//! # }
//! ```

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use pacioli_api::problem::{Kind, Problem};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::connections::never_sent;
use crate::retry::{Backoff, Deadline};
use crate::store::{Client, Shared};

/// Bytes of a problem that are read.
const PROBLEM_BYTES_MAX: usize = 1 << 20;

/// Asks a server over HTTP. Made by [`Client::http`].
#[derive(Clone)]
pub struct HttpClient(Client);

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    target: String,
    accept: Option<&'static str>,
    content: Option<(&'static str, Bytes)>,
    is_repeatable: bool,
    patience: Option<Duration>,
}

/// What came back: the head of an answer that is no problem, and its body as it comes.
#[derive(Debug)]
pub struct HttpAnswer {
    url: String,
    parts: http::response::Parts,
    body: Body,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server says why.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// Nobody answered, or the answer broke off; says what to do.
    #[error("{0}")]
    Lost(String),
}

impl Client {
    /// The same server over plain HTTP.
    pub fn http(&self) -> HttpClient {
        HttpClient(self.clone())
    }
}

impl Ask {
    /// A request that reads; it is made again where its answer is lost.
    pub fn get(target: impl Into<String>) -> Ask {
        Ask { is_repeatable: true, ..Ask::new(Method::GET, target) }
    }

    /// A request that does something.
    pub fn post(target: impl Into<String>) -> Ask {
        Ask::new(Method::POST, target)
    }

    /// A request that takes something away.
    pub fn delete(target: impl Into<String>) -> Ask {
        Ask::new(Method::DELETE, target)
    }

    /// `target` is the path and the query, with its percent signs.
    fn new(method: Method, target: impl Into<String>) -> Ask {
        Ask { method, target: target.into(), accept: None, content: None, is_repeatable: false, patience: None }
    }

    /// The media type of the answer.
    #[must_use]
    pub fn accept(self, media_type: &'static str) -> Ask {
        Ask { accept: Some(media_type), ..self }
    }

    /// A body of JSON.
    #[must_use]
    pub fn json(self, body: impl Into<Bytes>) -> Ask {
        Ask { content: Some(("application/json", body.into())), ..self }
    }

    /// How long the answer may take until it begins, if not as long as any other answer.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Ask {
        Ask { patience: Some(patience), ..self }
    }

    fn request(&self, token: Option<&HeaderValue>) -> Result<Request<Body>, HttpError> {
        let mut request = Request::builder().method(&self.method).uri(&self.target);
        let accept = self.accept.map(|media_type| (ACCEPT, HeaderValue::from_static(media_type)));
        let content = self.content.as_ref().map(|(media_type, _)| (CONTENT_TYPE, HeaderValue::from_static(media_type)));
        let token = token.map(|token| (AUTHORIZATION, token.clone()));
        let headers: [Option<(HeaderName, HeaderValue)>; 3] = [accept, content, token];
        for (name, value) in headers.into_iter().flatten() {
            request = request.header(name, value);
        }
        let body = self.content.as_ref().map(|(_, body)| Body::new(Full::new(body.clone()))).unwrap_or_default();
        request.body(body).map_err(|error| HttpError::Lost(format!("`{}` is no path to ask for: {error}", self.target)))
    }
}

impl HttpClient {
    /// Sends a request and waits until its answer begins. One that only reads is sent again until the configured deadline,
    /// and any other as long as nothing of it was sent.
    ///
    /// # Errors
    /// The server's problem, or that nobody answered.
    pub async fn ask(&self, ask: Ask) -> Result<HttpAnswer, HttpError> {
        let shared = self.shared();
        let deadline = Deadline::after(shared.config.deadline);
        let mut backoff = Backoff::new(shared.config.backoff_max);
        loop {
            let patience = ask.patience.unwrap_or(shared.config.try_timeout);
            let status = match tokio::time::timeout(patience, self.once(&ask)).await {
                Ok(Ok(answer)) => {
                    shared.heard();
                    return answer.or_problem().await;
                }
                Ok(Err(Failed::Before(error))) => return Err(error),
                Ok(Err(Failed::Sent(status))) => *status,
                Err(_) => {
                    return Err(HttpError::Lost(format!(
                        "no answer came from {} within {} ms",
                        self.url(),
                        patience.as_millis()
                    )));
                }
            };
            if let Some(error) = shared.is_hopeless(&status) {
                return Err(HttpError::Lost(error.reason));
            }
            let may_repeat = ask.is_repeatable || never_sent(&status);
            if !may_repeat || !deadline.wait(backoff.next()).await {
                return Err(HttpError::Lost(format!("no answer from {}: {}", self.url(), deepest(&status))));
            }
            tracing::debug!(url = self.url(), error = status.message(), "a request failed and is made again");
        }
    }

    async fn once(&self, ask: &Ask) -> Result<HttpAnswer, Failed> {
        let (mut channel, token) = self.shared().connections.http();
        let request = ask.request(token.as_ref()).map_err(Failed::Before)?;
        let sent = async {
            poll_fn(|context| channel.poll_ready(context)).await?;
            channel.call(request).await
        };
        let response = sent.await.map_err(|error| Failed::Sent(Box::new(Status::from_error(error.into()))))?;
        let (parts, body) = response.into_parts();
        Ok(HttpAnswer { url: self.url().to_owned(), parts, body })
    }

    fn shared(&self) -> &Shared {
        self.0.shared()
    }

    fn url(&self) -> &str {
        &self.shared().config.url
    }
}

/// Why one attempt failed.
enum Failed {
    /// The request was none.
    Before(HttpError),
    /// The connection did.
    Sent(Box<Status>),
}

impl HttpAnswer {
    /// The HTTP status, below 400.
    pub fn status(&self) -> u16 {
        self.parts.status.as_u16()
    }

    /// A header of the answer as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The body as it comes.
    pub fn chunks(self) -> impl Stream<Item = Result<Bytes, HttpError>> + Send + Unpin {
        let HttpAnswer { url, body, .. } = self;
        body.into_data_stream()
            .map_err(move |status| HttpError::Lost(format!("the answer from {url} broke off: {}", deepest(&status))))
    }

    /// The whole body.
    ///
    /// # Errors
    /// It broke off.
    pub async fn bytes(self) -> Result<Bytes, HttpError> {
        let mut whole = Vec::new();
        let mut chunks = self.chunks();
        while let Some(chunk) = chunks.try_next().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.into())
    }

    async fn or_problem(self) -> Result<HttpAnswer, HttpError> {
        let status = self.parts.status;
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(self);
        }
        let url = self.url.clone();
        let mut body = Vec::new();
        let mut chunks = self.chunks();
        while let Some(chunk) = chunks.try_next().await?
            && body.len() < PROBLEM_BYTES_MAX
        {
            body.extend_from_slice(&chunk);
        }
        Err(match Problem::read(&body) {
            // An older server, or no Pacioli at all.
            Some(problem) if problem.kind() == Kind::RouteNotFound => {
                HttpError::Lost(format!("the server at {url} does not know this request; is it of this release?"))
            }
            Some(problem) => HttpError::Problem(problem),
            None => {
                HttpError::Lost(format!("{url} answers with HTTP status {status} and says no more; is it Pacioli's?"))
            }
        })
    }
}

/// The last cause of an error, which is the one that says something.
fn deepest(status: &Status) -> String {
    let Some(mut error) = std::error::Error::source(status) else { return status.message().to_owned() };
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
