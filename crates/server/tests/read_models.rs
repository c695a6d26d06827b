//! What the tests of read models share: a server over an embedded store, and a projection of balances.

use pacioli_server::{OpenOptions, Opened, ServerConfig, open_store_with};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, PATIENCE, TestServer, config};

/// Balances of accounts; an amount below zero is refused by the table.
pub(crate) const BALANCES: &str = "-- projection: balances
-- version: 1
-- category: account

CREATE TABLE balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL CHECK (cents >= 0));

-- on: Deposited
INSERT INTO balances (account, cents) VALUES (:stream, :data.cents)
ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents;
";

/// A server over an embedded store in a directory of its own.
pub(crate) struct Models {
    pub(crate) server: TestServer,
    pub(crate) store: Opened,
    _directory: TempDir,
}

impl Models {
    pub(crate) async fn start() -> Models {
        Models::with(config()).await
    }

    /// One over a PostgreSQL of its own.
    pub(crate) async fn on_postgres(label: &'static str) -> Models {
        let url = tokio::task::spawn_blocking(move || pacioli_pgtest::database_url(label)).await.unwrap();
        Models::over(config(), &url, tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn with(config: ServerConfig) -> Models {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("data").display());
        Models::over(config, &url, directory).await
    }

    async fn over(config: ServerConfig, url: &str, directory: TempDir) -> Models {
        // The cluster does not sync, since nobody pulls its plug.
        let options = OpenOptions { accept_data_loss: url.starts_with("postgres"), ..OpenOptions::default() };
        let store = open_store_with(url, options).await.unwrap();
        let server = TestServer::with_read_models(config, &store).await;
        Models { server, store, _directory: directory }
    }

    /// One that has the projection `balances`.
    pub(crate) async fn with_balances() -> Models {
        let models = Models::start().await;
        assert_eq!(models.add("balances.sql", BALANCES).await.status, 201);
        models
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.server.send("POST", path, &headers, body.to_string().as_bytes()).await
    }

    pub(crate) async fn add(&self, file: &str, text: &str) -> Answer {
        self.post("/v1/projections", &json!({ "file": file, "text": text })).await
    }

    /// A command on the projection `balances`.
    pub(crate) async fn command(&self, command: &str, body: Value) -> Answer {
        self.post(&format!("/v1/projections/balances/{command}"), &body).await
    }

    pub(crate) async fn sql(&self, body: Value) -> Answer {
        self.post("/v1/sql", &body).await
    }

    /// Deposits into an account, and gives the checkpoint behind it.
    pub(crate) async fn deposit(&self, account: &str, cents: i64) -> String {
        let event = json!([{ "type": "Deposited", "data": { "cents": cents } }]);
        let answer = self.server.append(account, &event.to_string(), &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["checkpoint"].as_str().unwrap().to_owned()
    }

    /// How `balances` is once it is like this.
    pub(crate) async fn until(&self, is_like: impl Fn(&Value) -> bool) -> Value {
        self.until_one("balances", is_like).await
    }

    pub(crate) async fn until_one(&self, name: &str, is_like: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let status = self.server.get(&format!("/v1/projections/{name}")).await.json();
                if is_like(&status) {
                    return status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it comes to be like that")
    }
}
