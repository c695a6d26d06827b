//! What the tests ask a server over HTTP.

use std::time::{Duration, Instant};

use pacioli_client::http::{Ask, HttpError};
use pacioli_client::{Client, ClientConfig};
use serde_json::{Value, json};

/// A server's HTTP.
#[derive(Clone)]
pub(crate) struct Door(Client);

impl Door {
    pub(crate) fn to(url: &str) -> Door {
        let deadline = Duration::from_secs(20);
        let config = ClientConfig { deadline, backoff_max: Duration::from_millis(50), ..ClientConfig::new(url) };
        Door(Client::connect(config).expect("a client"))
    }

    async fn ask(&self, ask: Ask) -> Result<Value, HttpError> {
        let body = self.0.http().ask(ask.patience(Duration::from_secs(60))).await?.bytes().await?;
        Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") })
    }

    /// Sends a command. Whether it was done is another question: the server may be killed meanwhile.
    pub(crate) async fn command(&self, name: &str, command: &str, body: Value) -> Result<Value, HttpError> {
        self.ask(Ask::post(format!("/v1/projections/{name}/{command}")).json(body.to_string())).await
    }

    pub(crate) async fn add(&self, file: &str, text: &str) -> Result<Value, HttpError> {
        self.ask(Ask::post("/v1/projections").json(json!({ "file": file, "text": text }).to_string())).await
    }

    pub(crate) async fn drop_kept(&self, name: &str) -> Result<Value, HttpError> {
        self.ask(Ask::delete(format!("/v1/projections/{name}?kept=true"))).await
    }

    pub(crate) async fn status(&self, name: &str) -> Result<Value, HttpError> {
        self.ask(Ask::get(format!("/v1/projections/{name}"))).await
    }

    pub(crate) async fn list(&self) -> Result<Vec<Value>, HttpError> {
        let Value::Array(list) = self.ask(Ask::get("/v1/projections")).await? else { panic!("not a list") };
        Ok(list)
    }

    /// Rows of a question, which waits for `at_least`.
    pub(crate) async fn sql(&self, sql: &str, more: Value) -> Result<Vec<Value>, HttpError> {
        let mut body = json!({ "sql": sql, "deadline": "20s" });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let Value::Array(rows) = self.ask(Ask::post("/v1/sql").json(body.to_string())).await? else {
            panic!("no rows")
        };
        Ok(rows)
    }

    /// Compares a read model with a fold of the server's own.
    pub(crate) async fn verify(&self, name: &str) -> Result<Value, HttpError> {
        let ask = Ask::post(format!("/v1/projections/{name}/verify")).json("{}").patience(Duration::from_secs(60));
        let body = self.0.http().ask(ask).await?.bytes().await?;
        let last = body.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).expect("a last line");
        Ok(serde_json::from_slice(last).expect("JSON"))
    }

    /// Waits until all projections stand at the head and nothing is being built.
    pub(crate) async fn settled(&self, patience: Duration) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let list = self.list().await.unwrap_or_else(|error| panic!("no list: {error}"));
            let is_still = |one: &Value| {
                one["building"].is_null() && one["state"] == "running" && one["checkpoint"] == one["head"]
            };
            if !list.is_empty() && list.iter().all(is_still) {
                return list;
            }
            assert!(began.elapsed() < patience, "projections do not settle within {patience:?}: {list:#?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}
