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
use crate::registry;
use crate::roles;

/// Positions of one chunk where nobody says otherwise.
pub const CHUNK_EVENTS_DEFAULT: u64 = 1 << 20;
/// Chunks that are made beyond the one in use.
pub(crate) const CHUNKS_AHEAD: i32 = 3;

const MIGRATIONS: &[(i32, &str, &str)] = &[
    (1, "create the log", sql!("migrations/0001_create_the_log")),
    (2, "let projections run in appends", sql!("migrations/0002_let_projections_run_in_appends")),
    (3, "keep the schema registry", sql!("migrations/0003_keep_the_schema_registry")),
    (4, "know who follows the log", sql!("migrations/0004_know_who_follows_the_log")),
];

/// Raised with every release that changes a text below or of a role, so that of two servers of different versions on one
/// store, the older leaves it alone.
const DEFINITIONS_VERSION: i32 = 3;

/// Made anew when their text changes, in this order.
const DEFINITIONS: &[&str] = &[
    sql!("functions/01_refuse_change"),
    sql!("functions/02_guard"),
    sql!("functions/03_make_chunks"),
    sql!("functions/04_turn_periods"),
    sql!("functions/05_meet_database"),
    sql!("functions/06_partition_of"),
    sql!("functions/07_run_sync"),
    sql!("functions/08_schema_problem"),
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
    sql!("functions/20_shapes"),
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
    let partitions = partitions.or(location.partitions());
    let new = NewStore { partitions: partitions.unwrap_or(1), ..NewStore::default() };
    let work = async {
        let mut made = migrate(&session, location.schema(), new).await?;
        check_partitions(&session, location.schema(), partitions).await?;
        if made.is_empty() {
            made.extend(roles::complete(&session, location.schema()).await?);
        }
        Ok(made)
    };
    work.await.map_err(Error::into_store_error)
}

/// Checks that the store has as many partitions as were asked for; returns the positions of a chunk.
pub(crate) async fn check_partitions(session: &Session, schema: &str, wanted: Option<u16>) -> Result<u64> {
    let row = session.query_one(sql!("read_store"), &[]).await?;
    let (stored, chunk_events): (i32, i64) = (row.get(0), row.get(1));
    match wanted {
        Some(wanted) if i32::from(wanted) != stored => Err(Error::Store(format!(
            "the store in schema `{schema}` has {stored} partitions, which is fixed, and {wanted} were asked for"
        ))),
        _ => Ok(chunk_events as u64),
    }
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
    add(&format!(
        "UPDATE {schema}.migrations SET definitions = '{}', definitions_version = {DEFINITIONS_VERSION}",
        definitions_hash()
    ));
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

/// Whether there is a store in the schema, of whatever version.
async fn is_there(session: &Session, schema: &str) -> Result<bool> {
    Ok(session.query_one(sql!("find_store"), &[&schema]).await?.get(0))
}

/// Checks that there is a store that this build can use as it is, and makes nothing.
pub(crate) async fn check_existing(session: &Session, schema: &str) -> Result<()> {
    check_database(session)?;
    if !is_there(session, schema).await? {
        return Err(Error::Store(format!(
            "there is no store in schema `{schema}`: `pacioli init --store URL` makes one"
        )));
    }
    if !is_current(session, schema).await? {
        return Err(Error::Store(format!(
            "the store in schema `{schema}` was made by another version of Pacioli: let its owner run \
             `pacioli init --store URL`"
        )));
    }
    Ok(())
}

/// What was made in a schema.
struct Made {
    /// The newest migration that was applied, 0 for none.
    migration: i32,
    /// Whether the definitions are of this build.
    is_ours: bool,
    /// Whether they are of a newer one.
    is_newer: bool,
}

/// Reads what was made. A store with migrations that this build does not know is refused.
async fn read_made(session: &Session, schema: &str) -> Result<Made> {
    let row = session.query_one(sql!("read_migrations"), &[]).await?;
    let (applied, definitions, version): (Option<i32>, Option<String>, Option<i32>) =
        (row.get(0), row.get(1), row.get(2));
    let migration = applied.unwrap_or_default();
    let newest = newest_migration();
    if migration > newest {
        return Err(Error::Store(format!(
            "the store in schema `{schema}` was made by a newer version of Pacioli: it is at migration {migration}, this build \
             knows {newest}; use the newer build"
        )));
    }
    Ok(Made {
        migration,
        is_ours: definitions.as_deref() == Some(&*definitions_hash()),
        is_newer: version.is_some_and(|version| version > DEFINITIONS_VERSION),
    })
}

fn newest_migration() -> i32 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// Whether every migration was applied and the definitions are of this build, or of a newer one, which keeps what older ones
/// need. A store with newer migrations is refused.
pub(crate) async fn is_current(session: &Session, schema: &str) -> Result<bool> {
    if !is_there(session, schema).await? {
        return Ok(false);
    }
    let made = read_made(session, schema).await?;
    Ok(made.migration == newest_migration() && (made.is_ours || made.is_newer))
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

/// Refuses a schema in which a store would lie among the things of others, or others could put theirs.
async fn check_schema(session: &Session, schema: &str) -> Result<()> {
    let row = session.query_one(sql!("look_into_schema"), &[&schema]).await?;
    let (is_used, is_open): (bool, bool) = (row.get(0), row.get(1));
    if is_used {
        return Err(Error::Store(format!("schema `{schema}` holds other things; name a schema for the store alone")));
    }
    if is_open {
        return Err(Error::Store(format!(
            "others than its owner may make things in schema `{schema}`: take CREATE on it from them, or name a schema for \
             the store alone"
        )));
    }
    Ok(())
}

async fn make_in_transaction(session: &Session, schema: &str, new: NewStore, said: &mut Vec<String>) -> Result<()> {
    // Two servers that start together: the second waits, and then finds everything made.
    session.execute(sql!("lock_migrations"), &[&schema]).await?;
    let found = session.query_one(sql!("find_schema"), &[&schema]).await?;
    if !found.get::<_, bool>(0) {
        session.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
        said.push(format!("made schema {schema}"));
    } else if !is_there(session, schema).await? {
        check_schema(session, schema).await?;
    }
    session.batch_execute(&fill(sql!("create_migrations"), schema, new)).await?;
    // Another server may have been first, and of a newer version.
    let made = read_made(session, schema).await?;
    for (version, name, sql) in MIGRATIONS.iter().filter(|(version, ..)| *version > made.migration) {
        session.batch_execute(&fill(sql, schema, new)).await?;
        session.execute(sql!("insert_migration"), &[version, name]).await?;
        said.push(format!("migration {version}: {name}"));
    }
    if made.is_newer {
        return Ok(());
    }
    for sql in DEFINITIONS {
        session.batch_execute(&fill(sql, schema, new)).await?;
    }
    registry::remake(session, schema).await?;
    for statement in finishing(schema) {
        session.batch_execute(&statement).await?;
    }
    let roles = roles::establish(session, schema).await?;
    session.execute(sql!("write_definitions"), &[&definitions_hash(), &DEFINITIONS_VERSION]).await?;
    said.push("made the functions and views of this version".to_owned());
    said.push(roles);
    Ok(())
}
