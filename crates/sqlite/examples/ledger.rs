//! A ledger in one program: append, meet a conflict, fold. The README quotes it, and a test sees to it that it does.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use pacioli_core::*;
use pacioli_sqlite::{SqliteOptions, SqliteStore};
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = SqliteStore::open(directory.path(), SqliteOptions::default())?;
    let account = StreamName::new("account-42")?;

    // The id is made once, so that sending the append again would store nothing twice.
    let deposit = |amount: u32| -> Result<NewEvent, InvalidName> {
        let data = format!(r#"{{"amount":{amount}}}"#);
        Ok(NewEvent::json(EventId(Uuid::now_v7()), EventType::new("MoneyDeposited")?, data))
    };
    let first = Append::to(account.clone(), ExpectedVersion::None, vec![deposit(100)?, deposit(50)?]);
    println!("{:?}", store.append(first).await?);

    // Somebody still believes that there is no such stream: an outcome to look at, not an error.
    let stale = Append::to(account.clone(), ExpectedVersion::None, vec![deposit(7)?]);
    if let AppendOutcome::Conflict(conflict) = store.append(stale).await? {
        println!("{conflict}");
    }

    let read = ReadStream {
        stream: account,
        from: None,
        direction: Direction::Forward,
        limit: 100,
        payload: PayloadChoice::All,
    };
    let amount = |event: &RecordedEvent| {
        serde_json::from_slice::<serde_json::Value>(event.data.bytes()).map(|d| d["amount"].as_u64())
    };
    let page = store.read_stream(read).await?;
    let balance: u64 = page.events.iter().filter_map(|event| amount(event).ok().flatten()).sum();
    println!("balance {balance} at version {}", page.version);
    Ok(())
}
