//! Read models under load: what is folded, and who is asked.

use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::Checkpoint;
use pacioli_projection::ReadModels;
use pacioli_projection::engine::{Lookup, QueryLimits};
use pacioli_projection::file::Name;
use pacioli_projection::service::{Adding, Ask};

use crate::BenchError;
use crate::report::Parameters;

/// How long a read may wait for what it asks for: a long log is folded first.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// The least payload that has an amount to fold.
const PAYLOAD_BYTES_MIN: usize = 32;

/// A projection that a workload registers, and the table it fills: one whose column `events` says how many events went
/// into a row.
#[derive(Clone, Debug)]
pub struct ReadModel {
    /// Its name.
    pub name: String,
    /// The table.
    pub table: &'static str,
    /// The file.
    pub text: String,
}

impl ReadModel {
    /// One row a stream, by a handler for each event.
    pub fn accounts() -> ReadModel {
        ReadModel::of("bench_accounts", include_str!("sql/projections/bench_accounts.sql"))
    }

    /// One row a stream, by one statement for each batch.
    pub fn accounts_by_set() -> ReadModel {
        ReadModel::of("bench_accounts_by_set", include_str!("sql/projections/bench_accounts_by_set.sql"))
    }

    /// Totals by type and day, by one statement for each batch.
    pub fn totals() -> ReadModel {
        ReadModel::of("bench_totals", include_str!("sql/projections/bench_totals.sql"))
    }

    /// One row a stream, in the append's transaction.
    pub fn accounts_in_appends() -> ReadModel {
        ReadModel::of("bench_accounts_sync", include_str!("sql/projections/bench_accounts_sync.sql"))
    }

    /// The engine's read model of the whole log, from its file.
    pub fn rewind(text: &str) -> ReadModel {
        ReadModel { name: "rewind".to_owned(), table: "rewind_streams", text: text.to_owned() }
    }

    fn of(name: &'static str, text: &str) -> ReadModel {
        ReadModel { name: name.to_owned(), table: name, text: text.to_owned() }
    }

    /// The same for several workers, where rows of different streams never meet.
    #[must_use]
    pub fn by_stream(self) -> ReadModel {
        const SAYS_SO: &str = "-- parallel-by: stream\n";
        if self.text.contains(SAYS_SO) {
            return self;
        }
        // Behind the first line, which names the projection.
        let text = self.text.replacen('\n', &format!("\n{SAYS_SO}"), 1);
        ReadModel { text, ..self }
    }

    /// What its file is called.
    pub fn file(&self) -> String {
        format!("{}.sql", self.name)
    }

    /// Asks how many events are in its rows, all told.
    pub fn count_events(&self) -> String {
        statement(include_str!("sql/questions/count_events.sql")).replace("{table}", self.table)
    }

    /// Asks as little as one can ask of it.
    pub fn reach(&self) -> String {
        statement(include_str!("sql/questions/reach_table.sql")).replace("{table}", self.table)
    }
}

/// A statement out of its file, without the comments before it.
pub(crate) fn statement(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    lines.join("\n")
}

/// Refuses a payload that has nothing to fold.
///
/// # Errors
/// [`BenchError::Usage`]
pub fn check_payload(parameters: &Parameters) -> Result<(), BenchError> {
    if parameters.payload_bytes < PAYLOAD_BYTES_MIN {
        return Err(BenchError::Usage(format!(
            "--payload must be at least {PAYLOAD_BYTES_MIN} bytes here, so that an event has an amount to fold"
        )));
    }
    Ok(())
}

/// One connection to the read models of the store under load: in this process, or behind a server's port.
#[async_trait]
pub trait Models: Send + Sync + 'static {
    /// Registers a projection. Returns once it is taken; one that is `sync` is then complete. False where it was there
    /// already: then it is not ours to drop.
    async fn add(&self, model: &ReadModel) -> Result<bool, BenchError>;

    /// Drops a projection with all its tables.
    async fn remove(&self, model: &ReadModel) -> Result<(), BenchError>;

    /// Asks in SQL, not before the projections that it names have come to `at_least`; gives the number of rows.
    async fn ask(&self, sql: &str, at_least: Option<&Checkpoint>) -> Result<u64, BenchError>;

    /// Reads the row of a table whose `account` is this, not before its projection has come to `at_least`; gives the
    /// number of rows.
    async fn look_up(&self, table: &str, account: &str, at_least: Option<&Checkpoint>) -> Result<u64, BenchError>;
}

/// The column by which rows are looked up.
pub const KEY_COLUMN: &str = "account";

#[async_trait]
impl Models for ReadModels {
    async fn add(&self, model: &ReadModel) -> Result<bool, BenchError> {
        let added = ReadModels::add(self, &model.file(), &model.text, None).await?;
        Ok(added.outcome != Adding::Unchanged)
    }

    async fn remove(&self, model: &ReadModel) -> Result<(), BenchError> {
        let name = Name::new(model.name.as_str()).map_err(BenchError::Usage)?;
        Ok(self.drop_builds(&name, true, None).await?)
    }

    async fn ask(&self, sql: &str, at_least: Option<&Checkpoint>) -> Result<u64, BenchError> {
        let limits = QueryLimits { time_max: PATIENCE, ..QueryLimits::default() };
        let ask = Ask { sql: sql.to_owned(), as_of: None, at_least: at_least.cloned(), deadline: PATIENCE, limits };
        Ok(self.query(ask).await?.rows.len() as u64)
    }

    async fn look_up(&self, table: &str, account: &str, at_least: Option<&Checkpoint>) -> Result<u64, BenchError> {
        let lookup = Lookup {
            table: table.to_owned(),
            equals: vec![(KEY_COLUMN.to_owned(), account.to_owned())],
            order: None,
            limit: 1,
        };
        Ok(self.lookup(lookup, at_least, PATIENCE).await?.rows.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacioli_projection::Projection;

    #[test]
    fn the_files_are_projections_under_their_names() {
        for model in
            [ReadModel::accounts(), ReadModel::accounts_by_set(), ReadModel::totals(), ReadModel::accounts_in_appends()]
        {
            let projection = Projection::parse(&model.file(), &model.text).unwrap();
            assert_eq!(projection.name.as_str(), model.name);
            assert_eq!(projection.relations().collect::<Vec<_>>(), [model.table]);
        }
        let model = ReadModel::accounts().by_stream();
        assert!(Projection::parse(&model.file(), &model.text).unwrap().parallel_by_stream);
        assert_eq!(model.clone().by_stream().text, model.text);
        assert_eq!(ReadModel::totals().reach(), "SELECT 1 AS one FROM bench_totals LIMIT 1"); // tidy: not sql
    }
}
