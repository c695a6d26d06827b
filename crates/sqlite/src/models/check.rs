//! Checks a projection before it runs: its tables are made in memory behind the wall, and its statements prepared there.

use rusqlite::Connection;

use pacioli_projection::Projection;
use pacioli_projection::file::{Finding, Makes, Severity};

use super::batch::BATCH;
use super::handlers::{Handlers, locate};
use super::wall::{self, Leave, Purpose, Wall};
use crate::error::Result;

/// What is wrong with the file, in its order. Empty where nothing is.
pub(super) fn check(projection: &Projection) -> Result<Vec<Finding>> {
    let mut findings = Findings { projection, all: Vec::new() };
    let mut conn = Connection::open_in_memory()?;
    wall::harden(&conn)?;
    wall::limit(&conn)?;
    let wall = Wall::build(&mut conn, Leave::to(Purpose::Define))?;
    for at in 0..projection.definitions.len() {
        let definition = &projection.definitions[at];
        if let Makes::MaterializedView { name, .. } = &definition.makes {
            findings.error(
                definition.line,
                format!(
                    "`{name}` is a materialized view, which there is on PostgreSQL only; here, write a table and a handler that keeps it"
                ),
            );
            continue;
        }
        wall.allow(leave(projection, at + 1, Purpose::Define));
        if let Err(error) = conn.execute_batch(&definition.sql) {
            let (line, said) = locate(definition.line, &error);
            findings.error(line, wall.take_refusal().unwrap_or(said));
        }
    }
    if findings.all.is_empty() {
        check_handlers(projection, &mut conn, &wall, &mut findings)?;
    }
    Ok(findings.all)
}

fn check_handlers(
    projection: &Projection,
    conn: &mut Connection,
    wall: &Wall,
    findings: &mut Findings<'_>,
) -> Result<()> {
    conn.authorizer(None::<fn(rusqlite::hooks::AuthContext<'_>) -> rusqlite::hooks::Authorization>)?;
    conn.execute_batch(sql!("models/create_batch"))?;
    let handlers = Handlers::new(projection, None);
    let own = leave(projection, projection.definitions.len(), Purpose::Handle);
    let rebuilt = Wall::build(conn, own.clone())?;
    let _ = wall;
    for statement in handlers.statements() {
        rebuilt.allow(if statement.is_batch { own.clone().and("temp", BATCH) } else { own.clone() });
        match conn.prepare(&statement.sql) {
            Ok(prepared) if prepared.column_count() > 0 => findings.error(
                statement.line,
                "the statement returns rows, and nobody takes them; leave RETURNING out, or write INSERT … SELECT",
            ),
            Ok(prepared) if prepared.readonly() => {
                findings
                    .error(statement.line, "the statement writes nothing; a handler inserts, updates or deletes rows");
            }
            Ok(_) => {}
            Err(error) => {
                let (line, said) = locate(statement.line, &error);
                findings.error(line, rebuilt.take_refusal().unwrap_or_else(|| explained(&said)));
            }
        }
    }
    Ok(())
}

/// What a projection's statements may touch once its first `definitions` are made.
pub(super) fn leave(projection: &Projection, definitions: usize, purpose: Purpose) -> Leave {
    let made = projection.definitions.iter().take(definitions);
    made.fold(Leave::to(purpose), |leave, definition| match &definition.makes {
        Makes::Table(name) | Makes::View(name) => leave.and("main", name),
        Makes::VirtualTable(name) => leave.and_full_text("main", name),
        Makes::Index { .. } | Makes::MaterializedView { .. } => leave,
    })
}

/// SQLite's words, with what to do where they do not say it.
fn explained(said: &str) -> String {
    match said.strip_prefix("no such function: ") {
        Some(function) => {
            format!("SQLite has no function `{function}`; https://sqlite.org/lang_corefunc.html lists those it has")
        }
        None => said.to_owned(),
    }
}

struct Findings<'p> {
    projection: &'p Projection,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn error(&mut self, line: u32, problem: impl Into<String>) {
        let file = self.projection.file.clone();
        self.all.push(Finding { severity: Severity::Error, file, line, problem: problem.into() });
    }
}
