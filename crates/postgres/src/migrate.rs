//! The schema of a store: made, brought up to date, and printed for those who run it themselves.
//!
//! Migrations are never edited once shipped. Functions and views are made anew whenever their text changed.

use std::fmt::Write;

use pacioli_core::StoreError;
use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;

use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::roles;

/// Positions of one chunk where nobody says otherwise.
pub const CHUNK_EVENTS_DEFAULT: u64 = 1 << 20;
/// Chunks that are made beyond the one in use.
pub(crate) const CHUNKS_AHEAD: i32 = 3;

const MIGRATIONS: &[(i32, &str, &str)] = &[(1, "create the log", sql!("migrations/0001_create_the_log"))];

/// Made anew when their text changes, in this order.
const DEFINITIONS: &[&str] = &[
    sql!("functions/01_refuse_change"),
    sql!("functions/02_guard"),
    sql!("functions/03_make_chunks"),
    sql!("functions/04_turn_periods"),
    sql!("functions/05_meet_database"),
    sql!("functions/06_partition_of"),
    sql!("functions/10_name_problem"),
    sql!("functions/11_tag_problem"),
    sql!("functions/12_json_problem"),
    sql!("functions/13_read_moment"),
    sql!("functions/14_checkpoints"),
    sql!("functions/15_conditions"),
    sql!("functions/16_read_events"),
    sql!("functions/17_check_append"),
    sql!("functions/18_append"),
    sql!("functions/19_append_deferred"),
    sql!("functions/90_create_log_view"),
];

/// The tables that are only ever inserted into.
pub(crate) const GUARDED: &[&str] =
    &["epochs", "commits", "events", "event_tags", "stream_chunks", "event_ids", "append_keys"];

/// What a new store is made with.
#[derive(Clone, Copy, Debug)]
pub struct NewStore {
    /// How many partitions.
    pub partitions: u16,
    /// Positions of one chunk.
    pub chunk_events: u64,
}

impl Default for NewStore {
    fn default() -> Self {
        NewStore { partitions: 1, chunk_events: CHUNK_EVENTS_DEFAULT }
    }
}

/// Makes what is missing at `location`, and says what it made, a line each; nothing where all is there.
///
/// # Errors
/// The database cannot be reached, or the role may not make the schema; then what to run, and as whom.
pub async fn init(location: &Location, partitions: Option<u16>) -> std::result::Result<Vec<String>, StoreError> {
    let connector = Connector::new(location.clone())?;
    let session = connector.connect(Purpose::Maintain).await.map_err(Error::into_store_error)?;
    let partitions = partitions.or(location.partitions()).unwrap_or(1);
    let new = NewStore { partitions, ..NewStore::default() };
    let work = async {
        let mut said = migrate(&session, location.schema(), new).await?;
        if said.is_empty() {
            said.extend(roles::complete(&session, location.schema()).await?);
        }
        Ok::<_, Error>(said)
    };
    work.await.map_err(Error::into_store_error)
}

/// The SQL that [`init`] runs for a new store, to be read, or run by somebody who may.
pub fn script(location: &Location, new: NewStore) -> String {
    let schema = location.schema();
    let mut script = format!(
        "-- The store in schema `{schema}`: {} partitions, {} positions a chunk.\n\
         -- Run it in one transaction, as the role that is to own the store.\n\
         BEGIN;\nCREATE SCHEMA {schema};\nSET LOCAL search_path = {schema};\n\n",
        new.partitions, new.chunk_events
    );
    let mut add = |sql: &str| {
        let _ = writeln!(script, "{};\n", fill(sql, schema, new).trim_end().trim_end_matches(';'));
    };
    add(sql!("create_migrations"));
    for (_, _, sql) in MIGRATIONS {
        add(sql);
    }
    for sql in DEFINITIONS {
        add(sql);
    }
    for sql in finishing(schema) {
        add(&sql);
    }
    for sql in roles::STATEMENTS {
        add(sql);
    }
    add(&format!("INSERT INTO {schema}.migrations (version, name) VALUES {}", applied()));
    add(&format!("UPDATE {schema}.migrations SET definitions = '{}'", definitions_hash()));
    script.push_str("COMMIT;\n");
    script
}

fn applied() -> String {
    let rows = MIGRATIONS.iter().map(|(version, name, _)| format!("({version}, '{name}')"));
    rows.collect::<Vec<_>>().join(", ")
}

/// What stands at the end of every making: guards, the first chunks and periods, the first epoch, the publication.
fn finishing(schema: &str) -> Vec<String> {
    let mut statements: Vec<String> =
        GUARDED.iter().map(|table| format!("SELECT {schema}.guard('{schema}.{table}')")).collect();
    // Its rows change when an epoch begins, but never which partition they stand for.
    statements.push(format!("SELECT {schema}.guard('{schema}.heads', 'UPDATE OF part OR DELETE OR TRUNCATE')"));
    statements.push(format!("SELECT {schema}.make_chunks(0, {CHUNKS_AHEAD})"));
    statements.push(format!("SELECT {schema}.turn_periods()"));
    statements.push(format!("SELECT {schema}.meet_database()"));
    statements.push(sql!("make_publication").replace("{schema}", schema));
    statements
}

fn fill(sql: &str, schema: &str, new: NewStore) -> String {
    sql.replace("{schema}", schema)
        .replace("{partitions}", &new.partitions.to_string())
        .replace("{chunk_events}", &new.chunk_events.to_string())
}

fn definitions_hash() -> String {
    let mut hash = Sha256::new();
    DEFINITIONS.iter().chain(&roles::STATEMENTS).for_each(|sql| hash.update(sql.as_bytes()));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Brings the schema up to date; says what it made.
pub(crate) async fn migrate(session: &Session, schema: &str, new: NewStore) -> Result<Vec<String>> {
    check_database(session)?;
    if is_current(session, schema).await? {
        return Ok(Vec::new());
    }
    let advice = |error: Error| match error.state() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Error::Store(format!(
            "the store in schema `{schema}` has to be made or brought up to date, and this role may not ({error}); let the \
             owner run `pacioli init --store URL`, or the SQL that `pacioli init --print` shows"
        )),
        _ => error,
    };
    make(session, schema, new).await.map_err(advice)
}

fn check_database(session: &Session) -> Result<()> {
    let here = &session.surroundings;
    if here.encoding != "UTF8" {
        return Err(Error::Store(format!(
            "the database's encoding is {} and not UTF8: names and data would be changed on their way; make one with \
             CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'",
            here.encoding
        )));
    }
    if here.version < 150_000 {
        return Err(Error::Store(format!("PostgreSQL {} is too old: 15 or newer is needed", here.version / 10_000)));
    }
    Ok(())
}

/// Whether every migration was applied and the definitions are of this build. A newer store is refused.
pub(crate) async fn is_current(session: &Session, schema: &str) -> Result<bool> {
    let found = format!("{schema}.migrations");
    if session.query_one(sql!("find_relation"), &[&found]).await?.get::<_, Option<String>>(0).is_none() {
        return Ok(false);
    }
    let row = session.query_one(sql!("read_migrations"), &[]).await?;
    let (applied, definitions): (Option<i32>, Option<String>) = (row.get(0), row.get(1));
    let newest = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    if applied.is_some_and(|applied| applied > newest) {
        return Err(Error::Store(format!(
            "the store in schema `{schema}` was made by a newer version of Pacioli: it is at migration {}, this build knows \
             {newest}; use the newer build",
            applied.unwrap_or_default()
        )));
    }
    Ok(applied == Some(newest) && definitions.as_deref() == Some(&*definitions_hash()))
}

async fn make(session: &Session, schema: &str, new: NewStore) -> Result<Vec<String>> {
    let mut said = Vec::new();
    session.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    let made = make_in_transaction(session, schema, new, &mut said).await;
    match made {
        Ok(()) => session.batch_execute("COMMIT").await?,
        Err(error) => {
            // The first error is the one to tell.
            let _ = session.batch_execute("ROLLBACK").await;
            return Err(error);
        }
    }
    Ok(said)
}

async fn make_in_transaction(session: &Session, schema: &str, new: NewStore, said: &mut Vec<String>) -> Result<()> {
    // Two servers that start together: the second waits, and then finds everything made.
    session.execute(sql!("lock_migrations"), &[&schema]).await?;
    let found = session.query_one(sql!("find_schema"), &[&schema]).await?;
    if !found.get::<_, bool>(0) {
        session.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
        said.push(format!("made schema {schema}"));
    }
    session.batch_execute(&fill(sql!("create_migrations"), schema, new)).await?;
    let applied = session.query_one(sql!("read_migrations"), &[]).await?.get::<_, Option<i32>>(0).unwrap_or(0);
    for (version, name, sql) in MIGRATIONS.iter().filter(|(version, ..)| *version > applied) {
        session.batch_execute(&fill(sql, schema, new)).await?;
        session.execute(sql!("insert_migration"), &[version, name]).await?;
        said.push(format!("migration {version}: {name}"));
    }
    for sql in DEFINITIONS {
        session.batch_execute(&fill(sql, schema, new)).await?;
    }
    for statement in finishing(schema) {
        session.batch_execute(&statement).await?;
    }
    let roles = roles::establish(session, schema).await?;
    session.execute(sql!("write_definitions"), &[&definitions_hash()]).await?;
    said.push("made the functions and views of this version".to_owned());
    said.push(roles);
    Ok(())
}
