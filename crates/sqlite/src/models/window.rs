//! What queries see: the tables of the builds that serve, by their plain names, and the relation `events`.
//!
//! The same tables are made without a row in memory, in one database. A statement is first prepared there, behind the wall:
//! that says which projections it names, and refuses what is no query. Nothing that is not made there can be named.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Statement};

use pacioli_projection::engine::{QueryError, Role};
use pacioli_projection::file::Makes;

use super::builds::Builds;
use super::readers::{Events, Source, Sources};
use super::wall::{self, Leave, Purpose, Wall};
use crate::error::Result;

/// Statements whose parts are remembered.
const PLANS_MAX: usize = 1_000;
/// Files that one statement may read, beside the log: SQLite attaches 10 at most.
pub(super) const FILES_MAX: usize = 9;
/// The relation of the log.
pub(super) const EVENTS: &str = "events";

/// What queries see.
#[derive(Debug)]
pub(super) struct Window {
    outline: Mutex<(Connection, Wall)>,
    leave: Leave,
    /// The build that has a relation, as an index of [`Builds`].
    owners: HashMap<String, usize>,
    columns: HashMap<String, Vec<Column>>,
    plans: Mutex<HashMap<String, Arc<Plan>>>,
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Whether its declaration names no type, so that SQLite converts nothing for it.
    pub(super) is_untyped: bool,
}

/// What a statement reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Builds, as indexes of [`Builds`].
    pub(super) builds: Vec<usize>,
    pub(super) events: bool,
    /// Which of its columns are JSON of the log, taken as they are.
    pub(super) is_json: Vec<bool>,
}

impl Window {
    /// The window over these builds.
    pub(super) fn new(builds: &Builds) -> Result<Window> {
        let mut conn = Connection::open_in_memory()?;
        wall::harden(&conn)?;
        conn.execute_batch(sql!("models/create_events_outline"))?;
        let mut leave = Leave::to(Purpose::Query).and("main", EVENTS);
        let (mut owners, mut columns) = (HashMap::new(), HashMap::new());
        for (at, build) in builds.all.iter().enumerate().filter(|(_, build)| build.listed.role == Role::Serving) {
            for definition in &build.listed.projection.definitions {
                leave = match &definition.makes {
                    Makes::Table(name) | Makes::View(name) => leave.and("main", name),
                    Makes::VirtualTable(name) => leave.and_full_text("main", name),
                    // Their names may meet, and no statement names them.
                    Makes::Index { .. } | Makes::MaterializedView { .. } => continue,
                };
                let name = relation(&definition.makes).unwrap_or_default().to_owned();
                match conn.execute_batch(&definition.sql).and_then(|()| read_columns(&conn, &name)) {
                    Ok(its) => {
                        columns.insert(name.clone(), its);
                        owners.insert(name, at);
                    }
                    Err(error) => {
                        tracing::error!(relation = name, %error, "a relation of a read model cannot be queried");
                    }
                }
            }
        }
        wall::limit(&conn)?;
        let wall = Wall::build(&mut conn, leave.clone())?;
        Ok(Window { outline: Mutex::new((conn, wall)), leave, owners, columns, plans: Mutex::default() })
    }

    /// The build that has a relation.
    pub(super) fn owner(&self, relation: &str) -> Option<usize> {
        self.owners.get(relation).copied()
    }

    /// The columns of a relation.
    pub(super) fn columns(&self, relation: &str) -> std::result::Result<&[Column], QueryError> {
        self.columns.get(relation).map(Vec::as_slice).ok_or_else(|| self.no_table(relation))
    }

    /// There is no such relation.
    pub(super) fn no_table(&self, relation: &str) -> QueryError {
        QueryError::Invalid(format!("there is no table `{relation}`; there are {}", self.relations()))
    }

    /// The relations there are, `events` too, in words.
    pub(super) fn relations(&self) -> String {
        let mut names: Vec<&str> = self.owners.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.push(EVENTS);
        names.join(", ")
    }

    /// Takes a statement apart: refuses what is no query, says what it reads.
    pub(super) fn plan(&self, sql: &str) -> std::result::Result<Arc<Plan>, QueryError> {
        if let Some(plan) = self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(sql) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(self.take_apart(sql)?);
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= PLANS_MAX {
            plans.clear();
        }
        plans.insert(sql.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }

    fn take_apart(&self, sql: &str) -> std::result::Result<Plan, QueryError> {
        check_first_word(sql)?;
        let outline = self.outline.lock().unwrap_or_else(PoisonError::into_inner);
        let (conn, wall) = &*outline;
        wall.allow(self.leave.clone());
        let is_json = match conn.prepare(sql) {
            Ok(statement) if statement.parameter_count() > 0 => {
                return Err(QueryError::Invalid("a query has no parameters; write the values into it".to_owned()));
            }
            Ok(statement) if !statement.readonly() || statement.column_count() == 0 => {
                return Err(QueryError::Refused(ONE_STATEMENT.to_owned()));
            }
            Ok(statement) => json_columns(&statement),
            Err(error) => return Err(self.not_prepared(wall, error)),
        };
        let read = wall.take_read();
        let mut builds: Vec<usize> = read.iter().filter_map(|relation| self.owner(relation)).collect();
        builds.sort_unstable();
        builds.dedup();
        if builds.len() > FILES_MAX {
            return Err(QueryError::Refused(format!(
                "the statement reads tables of {} projections and {FILES_MAX} are possible; ask in several statements",
                builds.len()
            )));
        }
        Ok(Plan { builds, events: read.contains(EVENTS), is_json })
    }

    fn not_prepared(&self, wall: &Wall, error: rusqlite::Error) -> QueryError {
        if let Some(refusal) = wall.take_refusal() {
            return QueryError::Refused(refusal);
        }
        if matches!(error, rusqlite::Error::MultipleStatement) {
            return QueryError::Refused(ONE_STATEMENT.to_owned());
        }
        let (_, said) = super::handlers::locate(1, &error);
        if said.starts_with("no such table") {
            return QueryError::Invalid(format!("{said}; there are {}", self.relations()));
        }
        QueryError::Invalid(said)
    }
}

const ONE_STATEMENT: &str = "a query is one statement that reads: SELECT, VALUES, or WITH … SELECT";

/// A first wall, before SQLite sees the statement: some PRAGMAs take effect when they are prepared.
fn check_first_word(sql: &str) -> std::result::Result<(), QueryError> {
    let mut rest = sql.trim_start();
    loop {
        rest = match rest.as_bytes() {
            [b'-', b'-', ..] => rest.split_once('\n').map_or("", |(_, behind)| behind).trim_start(),
            [b'/', b'*', ..] => rest.split_once("*/").map_or("", |(_, behind)| behind).trim_start(),
            _ => break,
        };
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_uppercase();
    match word.as_str() {
        "SELECT" | "VALUES" | "WITH" => Ok(()),
        _ => Err(QueryError::Refused(ONE_STATEMENT.to_owned())),
    }
}

/// Which columns of a statement over the outline are JSON of the log. There `events` is a table; where the statement runs it
/// may be a view that lifts what it shows.
fn json_columns(statement: &Statement<'_>) -> Vec<bool> {
    let of_log = |column: rusqlite::ColumnMetadata<'_>| {
        column.table_name() == Some(EVENTS) && matches!(column.origin_name(), Some("data" | "metadata"))
    };
    statement.columns_with_metadata().map(of_log).collect()
}

/// The columns that `SELECT *` gives.
fn read_columns(conn: &Connection, relation: &str) -> rusqlite::Result<Vec<Column>> {
    let mut statement = conn.prepare(sql!("models/list_columns"))?;
    let rows = statement.query_map([relation], |row| {
        let declared: String = row.get(1)?;
        let is_untyped = declared.is_empty() || declared.eq_ignore_ascii_case("ANY");
        Ok(Column { name: row.get(0)?, is_untyped })
    })?;
    rows.collect()
}

/// The relation that a definition makes.
pub(super) fn relation(makes: &Makes) -> Option<&str> {
    match makes {
        Makes::Table(name) | Makes::VirtualTable(name) | Makes::View(name) => Some(name),
        Makes::MaterializedView { name, .. } => Some(name),
        Makes::Index { .. } => None,
    }
}

/// The files that a plan reads.
pub(super) fn sources(builds: &Builds, plan: &Plan) -> Sources {
    let files = plan.builds.iter().map(|at| source(builds, *at)).collect();
    Sources { files, events: plan.events.then_some(Events::All) }
}

/// The file of a build, with what may be read in it.
pub(super) fn source(builds: &Builds, at: usize) -> Source {
    let build = &builds.all[at];
    let mut source = Source { path: build.file.path.clone(), relations: Vec::new(), full_text: Vec::new() };
    for definition in &build.listed.projection.definitions {
        match &definition.makes {
            Makes::Table(name) | Makes::View(name) => source.relations.push(name.clone()),
            Makes::VirtualTable(name) => source.full_text.push(name.clone()),
            Makes::Index { .. } | Makes::MaterializedView { .. } => {}
        }
    }
    source
}
