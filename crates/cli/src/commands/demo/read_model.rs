//! The chapter on read models: a file of SQL over the whole log, asked for now and for noon.

use std::time::Duration;

use pacioli_client::http::Ask;
use pacioli_core::Checkpoint;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ACCOUNT, Story};
use crate::failure::Failure;
use crate::target::Target;

const FILE: &str = "balances.sql";
// tidy: not sql
const TEXT: &str = "-- projection: balances
-- version: 1
-- category: account

CREATE TABLE balances (account TEXT PRIMARY KEY, amount BIGINT NOT NULL);

-- on: MoneyDeposited
INSERT INTO balances (account, amount) VALUES (:stream, :data.amount)
ON CONFLICT (account) DO UPDATE SET amount = balances.amount + excluded.amount;

-- on: MoneyWithdrawn
UPDATE balances SET amount = amount - :data.amount WHERE account = :stream;
";
/// The moment that the story asks about.
const NOON: &str = "2024-11-10T12:00:00Z";
/// How long a slow machine may take for the fold.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is told of a projection that was added.
#[derive(Deserialize)]
struct Added {
    name: String,
    version: u32,
}

impl Story {
    /// Adds a projection and asks it; `head` is where the log stands.
    pub(super) async fn read_model(&mut self, target: &Target, head: &Checkpoint) -> Result<(), Failure> {
        let Target::Server(client) = target else { return Ok(()) };
        let http = client.http();
        self.tell.step("A read model is tables that one file of SQL keeps. It folds the log, and then follows it.")?;
        self.tell.command(&format!("cat {FILE}"))?;
        for line in TEXT.lines().filter(|line| !line.is_empty()) {
            self.tell.answer(line)?;
        }
        self.tell.command(&format!("pacioli projection add {FILE}"))?;
        let file = json!({ "file": FILE, "text": TEXT }).to_string();
        let added = http.ask(Ask::post("/v1/projections").json(file)).await?.bytes().await?;
        let Added { name, version } = crate::read_models::understood(&added)?;
        self.tell.answer(&format!("added {name}, version {version}"))?;

        // tidy: not sql
        let total = "SELECT count(*) AS accounts, sum(amount) AS amount FROM balances";
        // tidy: not sql
        let luca = format!("SELECT amount FROM balances WHERE account = '{ACCOUNT}'");
        let questions = [
            (total, format!("--at-least {head}"), json!({ "at_least": head.to_string() })),
            (&luca, format!("--as-of {NOON}"), json!({ "as_of": NOON })),
        ];
        for (sql, options, mut body) in questions {
            self.tell.command(&format!("pacioli query \"{sql}\" {options}"))?;
            if let Value::Object(members) = &mut body {
                members.insert("sql".to_owned(), json!(sql));
                members.insert("format".to_owned(), json!("ndjson"));
                members.insert("deadline".to_owned(), json!(PATIENCE.as_secs()));
            }
            let ask = Ask::post("/v1/sql").json(body.to_string()).patience(PATIENCE);
            let rows = http.ask(ask).await?.bytes().await?;
            for row in String::from_utf8_lossy(&rows).lines() {
                self.tell.answer(row)?;
            }
        }
        self.tell.gap()
    }
}
