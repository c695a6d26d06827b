//! The catalogue: made where it is missing, and read.

use std::collections::BTreeMap;
use std::sync::Arc;

use pacioli_core::place::Checkpoint;
use pacioli_core::{Epoch, EventType, Partition, Place, Position};
use pacioli_projection::Projection;
use pacioli_projection::engine::{Build, BuildNumber, Failed, PassedOver, Progress, Role, State};
use pacioli_projection::file::Name;
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::foreign;
use super::home::{Home, Names, take_role};
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::location::Location;
use crate::row::Moment;

const MIGRATIONS: &[(i32, &str)] = &[
    (1, sql!("models/catalogue/0001_create_the_catalogue")),
    (2, sql!("models/catalogue/0002_count_what_is_passed_over")),
];
/// Raised with every release that changes a text below, so that of two servers the older leaves the newer's alone.
const DEFINITIONS_VERSION: i32 = 2;
/// Made anew when their text changes.
const DEFINITIONS: &[&str] =
    &[sql!("models/catalogue/10_advance"), sql!("models/catalogue/20_serve"), sql!("models/catalogue/90_create_views")];

/// Makes the catalogue and the schema of views where they are missing, and says as which role to go on: the one that owns
/// them, where it is not this login itself.
pub(super) async fn make(session: &Session, names: &Names, log: &Location) -> Result<Option<String>> {
    let owner = find_owner(session, names).await?;
    // Where the log is may have changed, and its password, if it is elsewhere.
    if names.is_beside_the_log && owner.is_some() && is_current(session, names).await? {
        return Ok(owner.flatten());
    }
    session.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    match make_in_transaction(session, names, log).await.map_err(|error| advise(error, names)) {
        Ok(role) => {
            session.batch_execute("COMMIT").await?;
            Ok(role)
        }
        Err(error) => {
            // The first error is the one to tell.
            let _ = session.batch_execute("ROLLBACK").await;
            Err(error)
        }
    }
}

fn advise(error: Error, names: &Names) -> Error {
    match error.state() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Error::Store(format!(
            "the read models of schema `{}` have to be made or brought up to date, and this login may not ({error}); open them              once as the database's owner, and GRANT {} to this login",
            names.schema,
            names.projector()
        )),
        _ => error,
    }
}

/// Who owns the catalogue: `None` where there is none, `Some(None)` where it is this login.
async fn find_owner(session: &Session, names: &Names) -> Result<Option<Option<String>>> {
    let (catalogue, wanted) = (names.catalogue(), names.projector());
    let row = session.query_one(sql!("models/catalogue/read_role"), &[&catalogue, &wanted]).await?;
    let (owner, may_own): (Option<String>, bool) = (row.get(0), row.get(1));
    let Some(owner) = owner else { return Ok(None) };
    if !may_own {
        return Err(Error::Store(format!(
            "the read models of schema `{}` belong to `{owner}`, and this login may not act as it: GRANT {owner} TO it, or log \
             in as another",
            names.schema
        )));
    }
    let me: String = session.query_one("SELECT current_user::text", &[]).await?.get(0);
    Ok(Some((owner != me).then_some(owner)))
}

async fn is_current(session: &Session, names: &Names) -> Result<bool> {
    let row = session.query_opt(&names.fill(sql!("models/catalogue/read_made")), &[]).await?;
    let Some(row) = row else { return Ok(false) };
    let (migration, definitions, version): (i32, Option<String>, Option<i32>) = (row.get(0), row.get(1), row.get(2));
    let newest = newest_migration();
    if migration > newest {
        return Err(Error::Store(format!(
            "the read models of schema `{}` were made by a newer version of Pacioli: they are at migration {migration}, this \
             build knows {newest}; use the newer build",
            names.schema
        )));
    }
    let is_newer = version.is_some_and(|version| version > DEFINITIONS_VERSION);
    Ok(migration == newest && (is_newer || definitions.as_deref() == Some(&*definitions_hash(names))))
}

fn newest_migration() -> i32 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

/// The definitions as they are here: the log they read may be moved behind a foreign table.
fn definitions_hash(names: &Names) -> String {
    let mut hash = Sha256::new();
    DEFINITIONS.iter().for_each(|sql| hash.update(names.fill(sql).as_bytes()));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn make_in_transaction(session: &Session, names: &Names, log: &Location) -> Result<Option<String>> {
    let (catalogue, read) = (names.catalogue(), names.read_schema());
    // Two servers that start together: the second waits, and then finds everything made.
    session.execute(sql!("lock_migrations"), &[&catalogue]).await?;
    let role = match find_owner(session, names).await? {
        Some(owner) => owner,
        None => {
            session.batch_execute(&names.fill(sql!("models/catalogue/prepare_roles"))).await?;
            let row = session.query_one(sql!("models/catalogue/read_role"), &[&catalogue, &names.projector()]).await?;
            row.get::<_, bool>(2).then(|| names.projector())
        }
    };
    if !names.is_beside_the_log {
        foreign::prepare(session, names).await?;
    }
    take_role(session, role.as_deref()).await?;
    let rows = session.query(sql!("models/catalogue/find_schemas"), &[&vec![&catalogue, &read]]).await?;
    let found: BTreeMap<String, Option<String>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for schema in [&catalogue, &read] {
        let said = format!("Pacioli: read models of the store in schema {}", names.schema);
        match found.get(schema) {
            None => {
                session
                    .batch_execute(&format!(
                        "CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{said}'; REVOKE ALL ON SCHEMA {schema} FROM PUBLIC"
                    ))
                    .await?;
            }
            Some(comment) if comment.as_deref() == Some(&*said) => {}
            Some(_) => {
                return Err(Error::Store(format!(
                    "schema `{schema}` holds other things than the read models that are to be there; rename it, or name another \
                     schema for the store"
                )));
            }
        }
    }
    session.batch_execute(&names.fill(sql!("models/catalogue/create_definitions"))).await?;
    let row = session.query_opt(&names.fill(sql!("models/catalogue/read_made")), &[]).await?;
    let (applied, version): (i32, Option<i32>) = row.map_or((0, None), |row| (row.get(0), row.get(2)));
    for (_, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > applied) {
        session.batch_execute(&names.fill(sql)).await?;
    }
    if !names.is_beside_the_log {
        foreign::lead(session, names, log, role.as_deref()).await?;
    }
    if version.is_none_or(|version| version <= DEFINITIONS_VERSION) {
        for sql in DEFINITIONS {
            session.batch_execute(&names.fill(sql)).await?;
        }
        let write = names.fill(sql!("models/catalogue/write_made"));
        session.execute(&write, &[&newest_migration(), &definitions_hash(names), &DEFINITIONS_VERSION]).await?;
    }
    Ok(role)
}

/// All builds, with where they stand.
pub(super) async fn builds(home: &Home, session: &Session, head: &Checkpoint) -> Result<Vec<Build>> {
    // One look at both: the progress of a build that went meanwhile belongs to nobody.
    let list_builds = session.prepare_cached(&home.fill(sql!("models/builds/list_builds"))).await?;
    let list_progress = session.prepare_cached(&home.fill(sql!("models/builds/list_progress"))).await?;
    let list_passed_over = session.prepare_cached(&home.fill(sql!("models/builds/list_passed_over"))).await?;
    session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let read = tokio::try_join!(
        session.query(&list_builds, &[]),
        session.query(&list_progress, &[]),
        session.query(&list_passed_over, &[])
    );
    session.batch_execute("COMMIT").await?;
    let (rows, progress, over) = read?;
    let mut passed_over: BTreeMap<(String, i32), PassedOver> = BTreeMap::new();
    for row in &over {
        let of_build = passed_over.entry((row.get(0), row.get(1))).or_default();
        of_build.insert(EventType::from_storage(row.get::<_, String>(2)), row.get::<_, i64>(3) as u64);
    }
    let mut stands: BTreeMap<(String, i32), Vec<Progress>> = BTreeMap::new();
    for row in &progress {
        stands.entry((row.get(0), row.get(1))).or_default().push(one_progress(row, 2, head.epoch()));
    }
    rows.iter()
        .map(|row| {
            let key: (String, i32) = (row.get(0), row.get(1));
            let mut progress = stands.remove(&key).unwrap_or_default();
            stand(&mut progress, row.get(13), Epoch(row.get::<_, i32>(15) as u32), head);
            build(home, row, progress, passed_over.remove(&key).unwrap_or_default())
        })
        .collect()
}

/// Says of which epoch the progress is, and that a build whose rows appends write stands where the log does.
fn stand(progress: &mut [Progress], in_appends: bool, epoch: Epoch, head: &Checkpoint) {
    for stands in progress {
        if in_appends {
            (stands.position, stands.epoch) = (head.position(stands.partition), head.epoch());
        } else {
            stands.epoch = epoch;
        }
    }
}

/// The build that serves, whether appends write it, and where it stands, in one look.
pub(super) async fn serving(
    home: &Home,
    session: &Session,
    name: &Name,
    head: &Checkpoint,
) -> Result<Option<(BuildNumber, bool, Vec<Progress>)>> {
    let read = session.prepare_cached(&home.fill(sql!("models/builds/read_serving"))).await?;
    let rows = session.query(&read, &[&name.as_str()]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut progress: Vec<Progress> = rows.iter().map(|row| one_progress(row, 3, head.epoch())).collect();
    let in_appends = first.get(1);
    stand(&mut progress, in_appends, Epoch(first.get::<_, i32>(2) as u32), head);
    Ok(Some((BuildNumber(first.get::<_, i32>(0) as u32), in_appends, progress)))
}

/// Worker, partition, position and events, from the column `at` on.
fn one_progress(row: &Row, at: usize, epoch: Epoch) -> Progress {
    Progress {
        worker: row.get::<_, i32>(at) as u16,
        partition: Partition(row.get::<_, i32>(at + 1) as u16),
        position: Position(row.get::<_, i64>(at + 2) as u64),
        events: row.get::<_, i64>(at + 3) as u64,
        epoch,
    }
}

fn build(home: &Home, row: &Row, progress: Vec<Progress>, passed_over: PassedOver) -> Result<Build> {
    let number = BuildNumber(row.get::<_, i32>(1) as u32);
    let state = match row.get::<_, &str>(5) {
        "paused" => State::Paused,
        "failed" => State::Failed(failed(row)),
        _ => State::Running,
    };
    Ok(Build {
        projection: parsed(home, row.get(2), row.get(3))?,
        number,
        role: role(row.get(4)),
        state,
        progress,
        passed_over,
        workers: row.get::<_, i32>(10) as u16,
        began_at: row.get::<_, Moment>(11).0,
        served_at: row.get::<_, Option<Moment>>(12).map(|at| at.0),
    })
}

fn failed(row: &Row) -> Failed {
    let partition = Partition(row.get::<_, Option<i32>>(6).unwrap_or_default() as u16);
    let position = Position(row.get::<_, Option<i64>>(7).unwrap_or_default() as u64);
    Failed {
        place: Place { partition, position },
        error: row.get::<_, Option<String>>(8).unwrap_or_default(),
        at: row.get::<_, Option<Moment>>(9).map_or(pacioli_core::Timestamp::from_micros(0), |at| at.0),
    }
}

/// A role as the catalogue writes it.
pub(super) fn role(text: &str) -> Role {
    match text {
        "serving" => Role::Serving,
        "kept" => Role::Kept,
        _ => Role::Filling,
    }
}

/// The projection of a file's text, which was parsed before it came into the catalogue.
pub(super) fn parsed(home: &Home, file: &str, text: &str) -> Result<Arc<Projection>> {
    home.parsed(file, text, || {
        Projection::parse(file, text).map_err(|findings| {
            Error::Store(format!(
                "`{file}` is in the catalogue and this version of Pacioli does not understand it: use the version that took it \
                 ({})",
                pacioli_projection::file::listed(&findings)
            ))
        })
    })
}
