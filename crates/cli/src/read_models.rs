//! Read models as commands ask for them: over HTTP, from a server or from one in this process for a store.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use pacioli_client::http::{Ask, HttpAnswer, HttpError};
use pacioli_client::{Client, SchemasClient};
use pacioli_server::{Models, OpenReadModels};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;
use crate::host::Host;
use crate::target::{OpenedEngine, StoreArgs, Target};

/// How long commands wait that make or drop tables.
pub(crate) const LONG: Duration = Duration::from_secs(24 * 3_600);

/// Where read models are asked.
pub(crate) struct ReadModelsDoor {
    client: Client,
    /// The server in this process, where the options name a store, and what resolves when that is closed.
    host: Option<(Host, BoxFuture<'static, ()>)>,
}

/// How long a store may take to be closed. It is a matter of milliseconds.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

impl ReadModelsDoor {
    /// Opens what the options name, for a command that only `reads` or for one that does something.
    async fn open(store: &StoreArgs, reads: bool, must_exist: bool) -> Result<ReadModelsDoor, Failure> {
        let opened = match store.open_engine(reads, must_exist).await? {
            OpenedEngine::Server(client) => return Ok(ReadModelsDoor { client, host: None }),
            OpenedEngine::InProcess(opened) => opened,
        };
        let options = OpenReadModels::default();
        let closed = opened.engine.closed().boxed();
        let models = Box::pin(opened.engine.open_read_models(options)).await?;
        let host = Host::start(opened.store, Models::On(models), Some(opened.schemas)).await?;
        let Target::Server(client) = host.connect().await? else { unreachable!("a host is a server") };
        Ok(ReadModelsDoor { client, host: Some((host, closed)) })
    }

    /// Opens what the options name, does this, and lets go of it whatever came of it. A store that is not there is not made.
    pub(crate) async fn with<T>(
        store: &StoreArgs,
        reads: bool,
        work: impl AsyncFnOnce(&ReadModelsDoor) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        ReadModelsDoor::open(store, reads, true).await?.work(work).await
    }

    /// The same for a command that may be the first of a store, which it makes.
    pub(crate) async fn with_made<T>(
        store: &StoreArgs,
        work: impl AsyncFnOnce(&ReadModelsDoor) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        ReadModelsDoor::open(store, false, false).await?.work(work).await
    }

    async fn work<T>(self, work: impl AsyncFnOnce(&ReadModelsDoor) -> Result<T, Failure>) -> Result<T, Failure> {
        let door = self;
        let done = work(&door).await;
        // Why it was not done is what matters, if it was not.
        let closed = door.close().await;
        done.and_then(|done| closed.map(|()| done))
    }

    /// Whether the projections run only as long as this process does.
    pub(crate) fn is_in_process(&self) -> bool {
        self.host.is_some()
    }

    /// The schema registry of the store.
    pub(crate) fn schemas(&self) -> SchemasClient {
        self.client.schemas()
    }

    /// Asks, and gives the answer as it comes.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<HttpAnswer, Failure> {
        Ok(self.client.http().ask(ask).await?)
    }

    /// Asks for JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Failure> {
        understood(&self.ask(ask).await?.bytes().await?)
    }

    /// Sends a command that may take long.
    pub(crate) async fn command<T: DeserializeOwned>(&self, path: String, body: &Value) -> Result<T, Failure> {
        understood(&self.try_command(path, body).await?)
    }

    /// The same for whoever wants to look at the problem.
    pub(crate) async fn try_command(&self, path: String, body: &Value) -> Result<Bytes, HttpError> {
        let ask = Ask::post(path).json(body.to_string()).patience(LONG);
        self.client.http().ask(ask).await?.bytes().await
    }

    /// Asks for lines of JSON and takes them one by one.
    pub(crate) async fn lines(
        &self,
        ask: Ask,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut chunks = self.ask(ask).await?.chunks();
        let mut rest = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                take(&line[..end])?;
            }
        }
        match rest.is_empty() {
            true => Ok(()),
            false => take(&rest),
        }
    }

    /// Lets go of the store, if this process has it open.
    async fn close(self) -> Result<(), Failure> {
        drop(self.client);
        match self.host {
            Some((host, closed)) => {
                host.stop().await?;
                if tokio::time::timeout(CLOSE_PATIENCE, closed).await.is_err() {
                    tracing::warn!("the store was not closed in time; it is when this process ends");
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// JSON that a server sent.
pub(crate) fn understood<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let problem = |error| format!("the server's answer is not understood: {error}; is it of this release?");
    serde_json::from_slice(bytes).map_err(|error| Failure::failed(problem(error)))
}

/// Text as it stands in a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Reads a duration like `10s`, `500ms`, `5m` or `1h`; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3_600.0),
        _ => None,
    };
    let seconds = factor.and_then(|factor| Some(number.parse::<f64>().ok()? * factor));
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("`{text}` is no duration; write it like 10s, 500ms or 5m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, millis) in [("10s", 10_000), ("500ms", 500), ("5m", 300_000), ("1h", 3_600_000), ("2", 2_000)] {
            assert_eq!(duration(text).map(|duration| duration.as_millis()), Ok(millis));
        }
        for text in ["", "s", "-1s", "5 days", "1d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_stays_a_path() {
        assert_eq!(encoded("a-1/ü?"), "a-1%2F%C3%BC%3F");
    }
}
