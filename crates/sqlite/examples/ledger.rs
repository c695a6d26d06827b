//! A ledger in one program: append, meet a conflict, fold. The README quotes what follows, and a test compares them.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use pacioli_core::*;
use pacioli_sqlite::{SqliteOptions, SqliteStore};
use uuid::Uuid;

fn deposited(amount: i64) -> Result<NewEvent, InvalidName> {
    // The id is made once. Sending the same event again, after a lost answer, stores nothing twice.
    let id = EventId(Uuid::now_v7());
    Ok(NewEvent::json(id, EventType::new("MoneyDeposited")?, format!(r#"{{"amount":{amount}}}"#)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = SqliteStore::open(directory.path(), SqliteOptions::default())?;
    let stream = StreamName::new("account-42")?;

    // One or more events, all or none; when this returns they are on disk.
    store.append(Append::to(stream.clone(), ExpectedVersion::None, vec![deposited(100)?, deposited(50)?])).await?;

    // Somebody still believes that there is no such stream. That is an outcome, not an error.
    let stale = Append::to(stream.clone(), ExpectedVersion::None, vec![deposited(7)?]);
    if let AppendOutcome::Conflict(conflict) = store.append(stale).await? {
        println!("conflict: {conflict}");
    }

    let (direction, payload) = (Direction::Forward, PayloadChoice::All);
    let page = store.read_stream(ReadStream { stream, from: None, direction, limit: 100, payload }).await?;
    let mut balance = 0;
    for event in &page.events {
        let data: serde_json::Value = serde_json::from_slice(event.data.bytes())?;
        balance += data["amount"].as_i64().unwrap_or(0);
    }
    println!("balance {balance} at version {}", page.version);
    Ok(())
}
