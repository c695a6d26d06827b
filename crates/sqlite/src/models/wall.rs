//! The wall: what SQL that others wrote may do on a connection.
//!
//! SQLite asks for leave at every step of preparing a statement. What is not listed here is refused, and the first refusal
//! is kept, in words that say what to do instead.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use super::batch::BATCH;

/// Functions that read nothing but their arguments. A test holds this against what SQLite has.
const FUNCTIONS: [&str; 107] = [
    "->",
    "->>",
    "abs",
    "avg",
    "bm25",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "dense_rank",
    "first_value",
    "format",
    "fts5_get_locale",
    "fts5_insttoken",
    "fts5_locale",
    "glob",
    "group_concat",
    "hex",
    "highlight",
    "if",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_insert",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_array_insert",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_patch",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "match",
    "max",
    "min",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "printf",
    "quote",
    "random",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "snippet",
    "soundex",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "subtype",
    "sum",
    "time",
    "timediff",
    "total",
    "trim",
    "typeof",
    "unhex",
    "unicode",
    "unistr",
    "unistr_quote",
    "unixepoch",
    "unlikely",
    "upper",
];
/// Functions that this program adds, for its own view.
pub(super) const OWN_FUNCTIONS: [&str; 5] =
    ["pacioli_data", "pacioli_id", "pacioli_is_recorded", "pacioli_schema_version", "pacioli_time"];
/// Functions that give something else at each fold.
const NOT_IN_FOLDS: [&str; 4] = ["current_date", "current_time", "current_timestamp", "random"];
/// Table-valued functions that read nothing but their arguments.
const TABLE_FUNCTIONS: [&str; 2] = ["json_each", "json_tree"];
/// Tables that FTS5 keeps for one of its own.
const FTS5_SHADOWS: [&str; 5] = ["data", "idx", "content", "docsize", "config"];

/// What statements are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// They make tables, indexes and views.
    Define,
    /// They write tables and read the events' values.
    Handle,
    /// They read.
    Query,
}

/// What statements may touch.
#[derive(Clone, Debug)]
pub(super) struct Leave {
    pub(super) purpose: Purpose,
    /// Tables, virtual tables and views, with the schema they are in.
    relations: BTreeSet<(String, String)>,
    /// What only views may read, with functions of our own.
    behind_views: BTreeSet<(String, String)>,
    /// What statements that read have read.
    pub(super) read: BTreeSet<String>,
}

/// The guard of a connection: it says what was refused first.
#[derive(Debug)]
pub(super) struct Wall {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    leave: Leave,
    refusal: Option<String>,
}

impl Leave {
    /// Nothing but functions.
    pub(super) fn to(purpose: Purpose) -> Leave {
        Leave { purpose, relations: BTreeSet::new(), behind_views: BTreeSet::new(), read: BTreeSet::new() }
    }

    /// And this relation.
    pub(super) fn and(mut self, schema: &str, relation: &str) -> Leave {
        self.relations.insert((schema.to_owned(), relation.to_owned()));
        self
    }

    /// And this full-text table, with the tables behind it.
    pub(super) fn and_full_text(self, schema: &str, relation: &str) -> Leave {
        let shadow = |leave: Leave, part: &&str| leave.and(schema, &format!("{relation}_{part}"));
        FTS5_SHADOWS.iter().fold(self.and(schema, relation), shadow)
    }

    /// And through the temporary view `view` this table.
    pub(super) fn and_behind(mut self, view: &str, schema: &str, table: &str) -> Leave {
        self.behind_views.insert((schema.to_owned(), table.to_owned()));
        self.and("temp", view)
    }

    fn has(&self, schema: Option<&str>, relation: &str) -> bool {
        let Some(schema) = schema else { return false };
        self.relations.contains(&(schema.to_owned(), relation.to_owned()))
    }

    /// SQLite tells that a view reads, and not which one: it tells the name that the statement gives it, and no name where no
    /// column is read. No statement gets here that names what is behind the view itself, since there is no such thing where it
    /// was taken apart.
    fn has_behind(&self, context: &AuthContext<'_>, relation: &str, column: &str) -> bool {
        let behind = |schema: &str| self.behind_views.contains(&(schema.to_owned(), relation.to_owned()));
        (context.accessor.is_some() || column.is_empty()) && context.database_name.is_some_and(behind)
    }

    /// Allows one step, or says why not.
    fn judge(&mut self, context: &AuthContext<'_>) -> Result<(), String> {
        let schema = context.database_name;
        let making = self.purpose == Purpose::Define;
        match context.action {
            AuthAction::Select | AuthAction::Recursive => Ok(()),
            AuthAction::Function { function_name } if OWN_FUNCTIONS.contains(&function_name) => {
                match (self.behind_views.is_empty(), context.accessor) {
                    (false, Some(_)) => Ok(()),
                    _ => self.function(function_name),
                }
            }
            AuthAction::Function { function_name } => self.function(function_name),
            // A relation of which no column is read (`count(*)`) comes without its schema, and so does the name of a WITH.
            AuthAction::Read { table_name, column_name: "" } if schema.is_none() && !is_of_sqlite(table_name) => {
                self.read.insert(table_name.to_owned());
                Ok(())
            }
            AuthAction::Read { table_name, column_name } => {
                if self.has(schema, table_name) || self.has_behind(context, table_name, column_name) {
                    self.read.insert(table_name.to_owned());
                    return Ok(());
                }
                if TABLE_FUNCTIONS.contains(&table_name) || making && is_schema(table_name) {
                    return Ok(());
                }
                Err(self.unreadable(table_name))
            }
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, column_name: _ } => match self.purpose {
                Purpose::Query => Err("a query only reads; what is stored changes by appending events".to_owned()),
                Purpose::Define if is_schema(table_name) => Ok(()),
                _ if self.has(schema, table_name) && table_name != BATCH => Ok(()),
                _ => Err(format!(
                    "`{table_name}` is not a table that this file makes; a projection writes its own tables only"
                )),
            },
            AuthAction::CreateTable { table_name } if making && self.has(schema, table_name) => Ok(()),
            AuthAction::CreateView { view_name } if making && self.has(schema, view_name) => Ok(()),
            AuthAction::CreateIndex { table_name, .. } if making && self.has(schema, table_name) => Ok(()),
            AuthAction::Reindex { .. } if making => Ok(()),
            AuthAction::CreateVtable { module_name, table_name } if making => match module_name {
                "fts5" if self.has(schema, table_name) => Ok(()),
                _ => Err(format!(
                    "a virtual table of `{module_name}` is not possible here; full-text search is USING fts5 (…)"
                )),
            },
            // FTS5 asks for these itself.
            AuthAction::Pragma { pragma_name: "data_version" | "page_size", pragma_value: None } => Ok(()),
            action => Err(self.refused(&action)),
        }
    }

    fn function(&self, name: &str) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        if !FUNCTIONS.contains(&name.as_str()) {
            return Err(format!(
                "the function `{name}` is not available: it changes or tells something about the server, not about the data"
            ));
        }
        if self.purpose != Purpose::Query && NOT_IN_FOLDS.contains(&name.as_str()) {
            return Err(format!("`{name}` gives another value in a rebuild; take the value from the event"));
        }
        Ok(())
    }

    fn unreadable(&self, table: &str) -> String {
        match self.purpose {
            Purpose::Query if is_of_sqlite(table) => format!(
                "`{table}` is not for queries; the tables are listed by `GET /v1/projections` and `pacioli projection list`"
            ),
            Purpose::Query => {
                format!("`{table}` cannot be queried: there are the tables of projections and the relation `events`")
            }
            _ => {
                format!("`{table}` is not made by this file; a projection reads its own tables, and in a batch `batch`")
            }
        }
    }

    fn refused(&self, action: &AuthAction<'_>) -> String {
        let what = match action {
            AuthAction::Attach { .. } => "ATTACH",
            AuthAction::Detach { .. } => "DETACH",
            AuthAction::Pragma { .. } => "PRAGMA",
            AuthAction::Transaction { .. } => "BEGIN, COMMIT and ROLLBACK",
            AuthAction::Savepoint { .. } => "SAVEPOINT",
            AuthAction::CreateTrigger { .. } | AuthAction::CreateTempTrigger { .. } => "a trigger",
            AuthAction::CreateTempTable { .. }
            | AuthAction::CreateTempView { .. }
            | AuthAction::CreateTempIndex { .. } => "a temporary table, view or index",
            AuthAction::CreateTable { .. }
            | AuthAction::CreateView { .. }
            | AuthAction::CreateIndex { .. }
            | AuthAction::CreateVtable { .. } => "CREATE",
            AuthAction::AlterTable { .. } => "ALTER TABLE",
            AuthAction::Analyze { .. } | AuthAction::Reindex { .. } => "ANALYZE and REINDEX",
            _ => "DROP",
        };
        match self.purpose {
            Purpose::Query => format!("{what} is not possible in a query: it is one SELECT, VALUES or WITH … SELECT"),
            Purpose::Handle => {
                format!("{what} is not possible in a handler: it inserts, updates and deletes rows of its tables")
            }
            Purpose::Define => {
                format!("{what} is not possible here: a projection makes tables, indexes and views of its own")
            }
        }
    }
}

fn is_schema(table: &str) -> bool {
    table.starts_with("sqlite_")
}

/// Whether a relation is there without being made.
fn is_of_sqlite(table: &str) -> bool {
    is_schema(table) || table.starts_with("pragma_") || table == "dbstat"
}

impl Wall {
    /// Puts the wall before every statement that is prepared from now on.
    pub(super) fn build(conn: &mut Connection, leave: Leave) -> rusqlite::Result<Wall> {
        let state = Arc::new(Mutex::new(State { leave, refusal: None }));
        let seen = Arc::clone(&state);
        conn.authorizer(Some(move |context: AuthContext<'_>| {
            let mut state = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match state.leave.judge(&context) {
                Ok(()) => Authorization::Allow,
                Err(refusal) => {
                    state.refusal.get_or_insert(refusal);
                    Authorization::Deny
                }
            }
        }))?;
        Ok(Wall { state })
    }

    /// Changes what is allowed, and forgets what was read.
    pub(super) fn allow(&self, leave: Leave) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { leave, refusal: None };
    }

    /// What was refused first since the last call.
    pub(super) fn take_refusal(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refusal.take()
    }

    /// What was read since the last call.
    pub(super) fn take_read(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).leave.read)
    }
}

/// Closes what SQLite leaves open for old programs: a wrong name in double quotes is an error and no text, and nobody writes
/// the tables behind full-text search or the schema by hand.
pub(super) fn harden(conn: &Connection) -> rusqlite::Result<()> {
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    ] {
        conn.set_db_config(option, on)?;
    }
    Ok(())
}

/// Bounds what one statement of a query may take before it even runs.
pub(super) fn limit(conn: &Connection) -> rusqlite::Result<()> {
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, 32 << 20),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
        (Limit::SQLITE_LIMIT_COLUMN, 500),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 250),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        conn.set_limit(limit, most)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite has and nobody may call, each for a reason: it reads or changes the process, the file or the connection.
    const REFUSED: [&str; 25] = [
        "changes",
        "fts3_tokenizer",
        "fts5",
        "fts5_source_id",
        "last_insert_rowid",
        "load_extension",
        "matchinfo",
        "offsets",
        "optimize",
        "randomblob",
        "rtreecheck",
        "rtreedepth",
        "rtreenode",
        "sqlite_compileoption_get",
        "sqlite_compileoption_used",
        "sqlite_log",
        "sqlite_source_id",
        "sqlite_version",
        "total_changes",
        "zeroblob",
        "edit",
        "readfile",
        "writefile",
        "fts5_decode",
        "sqlite_offset",
    ];

    fn listed(conn: &Connection, sql: &str) -> BTreeSet<String> {
        let mut statement = conn.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_function_and_table_of_sqlite_is_known_to_be_allowed_or_refused() {
        let conn = Connection::open_in_memory().unwrap();
        for function in listed(&conn, "SELECT DISTINCT lower(name) FROM pragma_function_list") {
            let known = FUNCTIONS.contains(&function.as_str()) != REFUSED.contains(&function.as_str());
            assert!(known, "decide whether queries may call `{function}`, and write it into one of the lists");
        }
        for module in listed(&conn, "SELECT name FROM pragma_module_list") {
            let needs_create = ["fts3", "fts4", "fts4aux", "fts5", "fts5vocab", "rtree", "rtree_i32", "fts3tokenize"];
            let known = is_of_sqlite(&module) || needs_create.contains(&module.as_str());
            assert!(
                known || TABLE_FUNCTIONS.contains(&module.as_str()),
                "decide whether queries may read `{module}` though nobody made it"
            );
        }
    }

    #[test]
    fn the_wall_says_the_first_refusal_and_no_other() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE own (a); CREATE TABLE other (a)").unwrap();
        let wall = Wall::build(&mut conn, Leave::to(Purpose::Query).and("main", "own")).unwrap();
        assert!(conn.prepare("SELECT a FROM own").is_ok());
        assert_eq!(wall.take_refusal(), None);
        assert_eq!(wall.take_read(), BTreeSet::from(["own".to_owned()]));
        assert!(conn.prepare("SELECT a, load_extension('x') FROM other").is_err());
        let refusal = wall.take_refusal().unwrap();
        assert!(refusal.contains("`other` cannot be queried") || refusal.contains("load_extension"), "{refusal}");
    }
}
