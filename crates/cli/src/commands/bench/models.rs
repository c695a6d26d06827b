//! The read models of a server under load, over HTTP as everybody asks for them.

use async_trait::async_trait;
use bytes::Bytes;
use pacioli_bench::BenchError;
use pacioli_bench::models::{KEY_COLUMN, Models, PATIENCE, ReadModel};
use pacioli_client::Client;
use pacioli_client::http::{Ask, HttpClient, HttpError};
use pacioli_core::Checkpoint;
use serde_json::json;

use crate::read_models::{LONG, encoded};

/// Rows are counted by their lines.
const LINES: &str = "application/x-ndjson";

/// The status of an answer to a file that is new.
const CREATED: u16 = 201;

/// One connection to a server.
pub(super) struct HttpModels(HttpClient);

impl HttpModels {
    /// On this connection.
    pub(super) fn of(client: &Client) -> HttpModels {
        HttpModels(client.http())
    }

    /// The answer's status and its body.
    async fn asked(&self, ask: Ask) -> Result<(u16, Bytes), BenchError> {
        let asked = async {
            let answer = self.0.ask(ask).await?;
            Ok((answer.status(), answer.bytes().await?))
        };
        asked.await.map_err(|error: HttpError| BenchError::Child(error.to_string()))
    }

    async fn rows(&self, ask: Ask) -> Result<u64, BenchError> {
        let (_, lines) = self.asked(ask.accept(LINES)).await?;
        Ok(lines.iter().filter(|byte| **byte == b'\n').count() as u64)
    }
}

#[async_trait]
impl Models for HttpModels {
    async fn add(&self, model: &ReadModel) -> Result<bool, BenchError> {
        let body = json!({ "file": model.file(), "text": model.text }).to_string();
        let (status, _) = self.asked(Ask::post("/v1/projections").json(body).patience(LONG)).await?;
        Ok(status == CREATED)
    }

    async fn remove(&self, model: &ReadModel) -> Result<(), BenchError> {
        self.asked(Ask::delete(format!("/v1/projections/{}", model.name)).patience(LONG)).await?;
        Ok(())
    }

    async fn ask(&self, sql: &str, at_least: Option<&Checkpoint>) -> Result<u64, BenchError> {
        let at_least = at_least.map(Checkpoint::to_string);
        let body = json!({ "sql": sql, "at_least": at_least, "deadline": PATIENCE.as_secs() }).to_string();
        self.rows(Ask::post("/v1/sql").json(body).patience(LONG)).await
    }

    async fn look_up(&self, table: &str, account: &str, at_least: Option<&Checkpoint>) -> Result<u64, BenchError> {
        let mut target = format!("/v1/read-models/{table}?{KEY_COLUMN}={}&limit=1", encoded(account));
        if let Some(checkpoint) = at_least {
            target.push_str(&format!("&at_least={checkpoint}&deadline={}s", PATIENCE.as_secs()));
        }
        self.rows(Ask::get(target).patience(LONG)).await
    }
}
