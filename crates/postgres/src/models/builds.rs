//! Builds: begun, put into service, taken back, dropped.

use pacioli_projection::engine::{Build, BuildNumber, EngineError, Failed, PassedOver, Role, State};
use pacioli_projection::file::{Makes, Mode, Name, Severity};
use pacioli_projection::{Projection, crash_point};
use sha2::{Digest, Sha256};

use super::catalogue;
use super::check::{engine_error, lay};
use super::home::{Home, Worker};
use super::sync;
use super::transaction::{Halt, in_transaction, with_patience};
use crate::connect::Session;
use crate::error::{Error, OfHandler, Result};
use crate::row::Moment;

/// The longest name that PostgreSQL takes.
const NAME_BYTES_MAX: usize = 63;

/// A build as its projection's commands see it: the row, locked.
pub(super) struct Known {
    pub(super) number: BuildNumber,
    pub(super) role: Role,
    pub(super) schema: String,
    pub(super) is_sync: bool,
    pub(super) state: String,
    pub(super) in_appends: bool,
    pub(super) workers: i32,
}

/// Makes the tables of a new build and writes it down.
pub(super) async fn begin(
    home: &Home,
    projection: &Projection,
    workers: u16,
) -> std::result::Result<Build, EngineError> {
    let findings = super::check::by_reading(home, projection);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(EngineError::File(findings));
    }
    if workers > 1 && !projection.parallel_by_stream {
        return Err(EngineError::Refused(format!(
            "`{}` has one worker: its file does not say `parallel-by: stream`",
            projection.name
        )));
    }
    let workers = i32::from(workers.max(1));
    let worker = home.worker().await.map_err(engine_error)?;
    let (began_at, served_at, number, role) =
        in_transaction(&worker, begin_in_transaction(home, &worker, projection, workers)).await?;
    crash_point("begin:after-commit");
    let epoch_head = home.store().shared().recent.heads();
    let epoch = epoch_head.epoch();
    let progress = (0..workers as u16).flat_map(|worker| {
        epoch_head.iter().map(move |place| pacioli_projection::engine::Progress {
            worker,
            partition: place.partition,
            position: pacioli_core::Position(0),
            events: 0,
            epoch,
        })
    });
    Ok(Build {
        projection: catalogue::parsed(home, &projection.file, &projection.text).map_err(engine_error)?,
        number: BuildNumber(number as u32),
        role,
        state: State::Running,
        progress: progress.collect(),
        passed_over: PassedOver::new(),
        workers: workers as u16,
        began_at: began_at.0,
        served_at: served_at.map(|at| at.0),
    })
}

async fn begin_in_transaction(
    home: &Home,
    session: &Session,
    projection: &Projection,
    workers: i32,
) -> std::result::Result<(Moment, Option<Moment>, i32, Role), EngineError> {
    let name = projection.name.as_str();
    let store = home.store().shared();
    let prepared = async {
        // One begins at a time, so that no two own the same name.
        session.execute(sql!("lock_migrations"), &[&home.catalogue()]).await?;
        let next = session.query_one(&home.fill(sql!("models/builds/next_number")), &[&name]).await?;
        Ok::<i32, Error>(next.get(0))
    };
    let number = prepared.await.map_err(engine_error)?;
    let known = known(home, session, &projection.name).await.map_err(engine_error)?;
    if let Some(filling) = known.iter().find(|build| build.role == Role::Filling) {
        return Err(EngineError::Refused(format!(
            "build {} of `{name}` is being filled: wait for it, or cancel it first",
            filling.number.0
        )));
    }
    let is_first = known.is_empty();
    let role = if is_first && projection.mode == Mode::Async { Role::Serving } else { Role::Filling };
    let relations: Vec<&str> = projection.relations().collect();
    let find_owners = home.fill(sql!("models/builds/find_owners"));
    let owners = session.query(&find_owners, &[&name, &relations]).await.map_err(|error| engine_error(error.into()))?;
    if let Some(row) = owners.first() {
        let (relation, owner): (&str, &str) = (row.get(0), row.get(1));
        return Err(EngineError::Refused(format!(
            "projection `{owner}` has a table `{relation}` already, and a table belongs to one projection: give it another name"
        )));
    }
    let mut findings = Vec::new();
    let work = async {
        let schema = build_schema(home, session, name, number).await?;
        lay(session, home, projection, &schema, Some(&home.catalogue()), &mut findings).await?;
        session.batch_execute(&format!("SET LOCAL search_path = {}", home.catalogue())).await?;
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Ok(None);
        }
        let (version, epoch) = (i64::from(projection.version), store.recent.epoch().0 as i32);
        let mode = if projection.mode == Mode::Sync { "sync" } else { "async" };
        let role_name = if role == Role::Serving { "serving" } else { "filling" };
        let insert = home.fill(sql!("models/builds/insert_build"));
        let row = session
            .query_one(
                &insert,
                &[
                    &name,
                    &number,
                    &schema,
                    &version,
                    &mode,
                    &projection.file,
                    &projection.text,
                    &projection.hash,
                    &workers,
                    &role_name,
                    &epoch,
                ],
            )
            .await?;
        let partitions = i32::from(store.partitions);
        let insert_progress = home.fill(sql!("models/builds/insert_progress"));
        session.execute(&insert_progress, &[&name, &number, &workers, &partitions]).await?;
        write_relations(home, session, projection, number).await?;
        if role == Role::Serving {
            serve(home, session, name, number).await?;
        }
        Ok(Some((row.get::<_, Moment>(0), row.get::<_, Option<Moment>>(1))))
    };
    let made: Result<Option<_>> = work.await;
    match made.map_err(engine_error)? {
        Some((began_at, served_at)) => {
            crash_point("begin:before-commit");
            Ok((began_at, served_at, number, role))
        }
        None => Err(EngineError::File(findings)),
    }
}

async fn write_relations(home: &Home, session: &Session, projection: &Projection, number: i32) -> Result<()> {
    let (mut relations, mut kinds, mut refreshed) = (Vec::new(), Vec::new(), Vec::new());
    for definition in &projection.definitions {
        let (relation, kind, every) = match &definition.makes {
            Makes::Table(name) | Makes::VirtualTable(name) => (name, "table", None),
            Makes::View(name) => (name, "view", None),
            Makes::MaterializedView { name, every } => (name, "materialized view", *every),
            Makes::Index { .. } => continue,
        };
        relations.push(relation.as_str());
        kinds.push(kind);
        refreshed.push(every.map(|every| every.as_secs_f64()));
    }
    let insert = home.fill(sql!("models/builds/insert_relations"));
    session.execute(&insert, &[&projection.name.as_str(), &number, &relations, &kinds, &refreshed]).await?;
    Ok(())
}

/// A name for a build's schema that nothing has yet.
async fn build_schema(home: &Home, session: &Session, name: &str, number: i32) -> Result<String> {
    let plain = format!("{}_{name}_{number}", home.schema());
    let hash: String = Sha256::digest(name.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let short = format!("{}_{hash}_{number}", home.schema());
    for schema in [plain, short] {
        if schema.len() <= NAME_BYTES_MAX
            && !session.query_one(sql!("find_schema"), &[&schema]).await?.get::<_, bool>(0)
        {
            return Ok(schema);
        }
    }
    Err(Error::Store(format!(
        "schema `{}_{name}_{number}` is there already and not Pacioli's; rename it",
        home.schema()
    )))
}

/// The builds of a projection, locked until the transaction ends.
pub(super) async fn known(home: &Home, session: &Session, name: &Name) -> Result<Vec<Known>> {
    let rows = session.query(&home.fill(sql!("models/builds/list_roles")), &[&name.as_str()]).await?;
    let known = rows.iter().map(|row| Known {
        number: BuildNumber(row.get::<_, i32>(0) as u32),
        role: catalogue::role(row.get(1)),
        schema: row.get(2),
        is_sync: row.get::<_, &str>(3) == "sync",
        state: row.get(4),
        in_appends: row.get(5),
        workers: row.get(6),
    });
    Ok(known.collect())
}

/// One of them, or what to say where it is not there.
pub(super) fn find(known: &[Known], name: &Name, number: BuildNumber) -> std::result::Result<usize, EngineError> {
    known
        .iter()
        .position(|build| build.number == number)
        .ok_or_else(|| EngineError::Refused(format!("there is no build {} of `{name}`: look at its status", number.0)))
}

async fn serve(home: &Home, session: &Session, name: &str, number: i32) -> Result<()> {
    session.execute(&home.fill(sql!("models/builds/serve")), &[&name, &number]).await?;
    Ok(())
}

async fn set_role(home: &Home, session: &Session, name: &Name, number: BuildNumber, role: &str) -> Result<()> {
    let number = number.0 as i32;
    session.execute(&home.fill(sql!("models/builds/set_role")), &[&name.as_str(), &number, &role]).await?;
    Ok(())
}

/// Waits until nobody advances a build, and lets nobody until the transaction ends.
pub(super) async fn hold(home: &Home, session: &Session, name: &Name, number: BuildNumber) -> Result<()> {
    let number = number.0 as i32;
    session.query(&home.fill(sql!("models/builds/lock_progress")), &[&name.as_str(), &number]).await?;
    Ok(())
}

/// Lets a build that fills serve.
pub(super) async fn swap(home: &Home, name: &Name, number: BuildNumber) -> std::result::Result<(), EngineError> {
    super::materialized::refresh_all(home, name, number).await?;
    let worker = home.worker().await.map_err(engine_error)?;
    if home.is_beside_the_log() && is_sync(home, &worker, name, number).await.map_err(engine_error)? {
        sync::approach(home, &worker, name, number).await?;
    }
    with_patience(&worker, || swap_in_transaction(home, &worker, name, number)).await?;
    crash_point("swap:after-commit");
    super::scratch::sweep_soon(home, &worker).await;
    Ok(())
}

async fn swap_in_transaction(
    home: &Home,
    session: &Session,
    name: &Name,
    number: BuildNumber,
) -> std::result::Result<(), Halt> {
    let known = known(home, session, name).await?;
    let build = &known[find(&known, name, number).map_err(Halt::Other)?];
    if build.role != Role::Filling {
        let refused = format!("build {} of `{name}` is not being filled", number.0);
        return Err(Halt::Other(EngineError::Refused(refused)));
    }
    let of = |role| known.iter().find(move |build| build.role == role);
    hold(home, session, name, number).await?;
    if let Some(kept) = of(Role::Kept) {
        forget(home, session, name, kept).await?;
    }
    if let Some(serving) = of(Role::Serving) {
        hold(home, session, name, serving.number).await?;
        set_role(home, session, name, serving.number, "kept").await?;
    }
    set_role(home, session, name, number, "serving").await?;
    // Before the heads are locked: who queries is waited for while appends go on.
    serve(home, session, name.as_str(), number.0 as i32).await?;
    if let Some(serving) = of(Role::Serving).filter(|serving| serving.in_appends) {
        sync::release(home, session, name, serving).await?;
    }
    if build.is_sync {
        sync::register(home, session, name, build).await?;
    }
    crash_point("swap:before-commit");
    Ok(())
}

async fn is_sync(home: &Home, session: &Session, name: &Name, number: BuildNumber) -> Result<bool> {
    let find = home.fill(sql!("models/builds/find_mode"));
    let row = session.query_opt(&find, &[&name.as_str(), &(number.0 as i32)]).await?;
    Ok(row.is_some_and(|row| row.get::<_, &str>(0) == "sync"))
}

/// Takes a build out of the catalogue; its schema is dropped once that is committed.
async fn forget(home: &Home, session: &Session, name: &Name, build: &Known) -> Result<()> {
    let number = build.number.0 as i32;
    hold(home, session, name, build.number).await?;
    if build.in_appends {
        sync::release(home, session, name, build).await?;
    }
    session.execute(&home.fill(sql!("models/builds/delete_progress")), &[&name.as_str(), &number]).await?;
    session.execute(&home.fill(sql!("models/builds/delete_passed_over")), &[&build.schema]).await?;
    session.execute(&home.fill(sql!("models/builds/delete_build")), &[&name.as_str(), &number]).await?;
    super::scratch::give_up(home, session, &build.schema).await
}

/// Lets a kept build fill again from where it stands.
pub(super) async fn take_back(home: &Home, name: &Name, number: BuildNumber) -> std::result::Result<(), EngineError> {
    let worker = home.worker().await.map_err(engine_error)?;
    let work = async {
        let known = known(home, &worker, name).await.map_err(engine_error)?;
        let build = &known[find(&known, name, number)?];
        if build.role != Role::Kept {
            return Err(EngineError::Refused(format!("build {} of `{name}` is not one that is kept", number.0)));
        }
        if let Some(filling) = known.iter().find(|build| build.role == Role::Filling) {
            return Err(EngineError::Refused(format!(
                "build {} of `{name}` is being filled: wait for it, or cancel it first",
                filling.number.0
            )));
        }
        set_role(home, &worker, name, number, "filling").await.map_err(engine_error)
    };
    in_transaction(&worker, work).await
}

/// Drops a build.
pub(super) async fn drop_build(home: &Home, name: &Name, number: BuildNumber) -> std::result::Result<(), EngineError> {
    let worker = home.worker().await.map_err(engine_error)?;
    let drop = || async {
        let known = known(home, &worker, name).await?;
        let build = &known[find(&known, name, number).map_err(Halt::Other)?];
        let work = async {
            if build.role == Role::Serving {
                let rows = worker
                    .query(&home.fill(sql!("models/builds/list_views")), &[&name.as_str(), &home.read_schema()])
                    .await?;
                for row in rows {
                    let view: &str = row.get(0);
                    let drop = format!("DROP VIEW {}.\"{}\"", home.read_schema(), view.replace('"', "\"\""));
                    worker.batch_execute(&drop).await?;
                }
            }
            forget(home, &worker, name, build).await?;
            crash_point("drop:before-commit");
            Ok::<(), Error>(())
        };
        work.await.map_err(Halt::from)
    };
    with_patience(&worker, drop).await?;
    crash_point("drop:after-commit");
    super::scratch::sweep_soon(home, &worker).await;
    Ok(())
}

/// Writes down how a build is, once nobody advances it. One that appends write leaves them when it stops, and is brought
/// back to the head and to them when it goes on.
pub(super) async fn set_state(
    home: &Home,
    name: &Name,
    number: BuildNumber,
    state: State,
) -> std::result::Result<(), EngineError> {
    let worker = home.worker().await.map_err(engine_error)?;
    let rejoins = in_transaction(&worker, change_state(home, &worker, name, number, &state)).await?;
    if rejoins && let Err(halt) = come_back(home, &worker, name, number).await {
        // It does not run where it is to run, and says where and why it stopped.
        let state = match &halt {
            Halt::Poison(OfHandler { place: Some(place), reason, .. }) => {
                let at = home.store().shared().clock.now();
                State::Failed(Failed { place: *place, error: reason.clone(), at })
            }
            _ => State::Paused,
        };
        in_transaction(&worker, change_state(home, &worker, name, number, &state)).await?;
        return Err(halt.into());
    }
    Ok(())
}

/// Brings a build that serves back to the head and into appends.
async fn come_back(home: &Home, worker: &Worker, name: &Name, number: BuildNumber) -> std::result::Result<(), Halt> {
    sync::approach(home, worker, name, number).await?;
    with_patience(worker, || rejoin(home, worker, name, number)).await
}

/// Returns whether the build is one that appends are to write again.
async fn change_state(
    home: &Home,
    session: &Session,
    name: &Name,
    number: BuildNumber,
    state: &State,
) -> std::result::Result<bool, EngineError> {
    let known = known(home, session, name).await.map_err(engine_error)?;
    let build = &known[find(&known, name, number)?];
    hold(home, session, name, number).await.map_err(engine_error)?;
    if build.in_appends && *state != State::Running {
        sync::release(home, session, name, build).await.map_err(engine_error)?;
    }
    write_state(home, session, name, number, state).await.map_err(engine_error)?;
    Ok(build.is_sync && build.role == Role::Serving && !build.in_appends && *state == State::Running)
}

async fn rejoin(home: &Home, session: &Session, name: &Name, number: BuildNumber) -> std::result::Result<(), Halt> {
    let known = known(home, session, name).await?;
    let build = &known[find(&known, name, number).map_err(Halt::Other)?];
    if build.role != Role::Serving || build.in_appends || build.state != "running" {
        return Ok(());
    }
    hold(home, session, name, number).await?;
    sync::register(home, session, name, build).await
}

pub(super) async fn write_state(
    home: &Home,
    session: &Session,
    name: &Name,
    number: BuildNumber,
    state: &State,
) -> Result<()> {
    let (word, failed) = match state {
        State::Running => ("running", None),
        State::Paused => ("paused", None),
        State::Failed(failed) => ("failed", Some(failed)),
    };
    let part = failed.map(|failed| i32::from(failed.place.partition.0));
    let position = failed.map(|failed| failed.place.position.0 as i64);
    let error = failed.map(|failed| failed.error.replace('\0', ""));
    let at = failed.map(|failed| Moment(failed.at));
    let number = number.0 as i32;
    let set = home.fill(sql!("models/builds/set_state"));
    session.execute(&set, &[&name.as_str(), &number, &word, &part, &position, &error, &at]).await?;
    Ok(())
}
