//! Checks a projection against this database: its tables are made, its statements prepared, and all of it thrown away.

use std::ops::ControlFlow;

use pacioli_projection::Projection;
use pacioli_projection::engine::EngineError;
use pacioli_projection::file::{Finding, Makes, Mode, On, Severity, Statement};
use sqlparser::ast::{Expr, ObjectName, Query, SetExpr, TableFactor, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::compile::{Compiled, PREFIX, Types, statements};
use super::functions;
use super::home::Home;
use super::infer::{error, infer, line_of, tried};
use super::shape;
use super::shape::Shape;
use crate::connect::Session;
use crate::error::Result;

/// What is found in a projection by making it where it is thrown away.
pub(super) async fn check(home: &Home, projection: &Projection) -> std::result::Result<Vec<Finding>, EngineError> {
    let mut findings = by_reading(home, projection);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok(findings);
    }
    let worker = home.worker().await.map_err(engine_error)?;
    let work = async {
        worker.batch_execute("BEGIN").await?;
        let schema = home.trial_schema();
        let laid = lay(&worker, home, projection, &schema, None, &mut findings).await;
        worker.batch_execute("ROLLBACK").await?;
        laid.map(drop)
    };
    worker.whole(worker.within(Box::pin(work))).await.map_err(engine_error)?;
    Ok(findings)
}

/// The error of a command, from the engine's own.
pub(super) fn engine_error(error: crate::error::Error) -> EngineError {
    EngineError::Store(error.into_store_error())
}

/// Makes the schema of a build with its tables and the function that fills them, in the session's transaction. Returns the
/// types of its values; what is wrong becomes findings, and then the function is not made. What a build passes over is counted
/// in the catalogue that is named.
pub(super) async fn lay(
    session: &Session,
    home: &Home,
    projection: &Projection,
    schema: &str,
    counted_in: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Types>> {
    session.batch_execute(&format!("CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}, pg_temp")).await?;
    for definition in &projection.definitions {
        let made = tried(session, async { Ok(session.batch_execute(&definition.sql).await?) }).await?;
        if let Err(said) = made {
            let line = definition.line + line_of(&said, &definition.sql);
            let hint = said.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            findings.push(error(projection, line, format!("{}{hint}", said.message())));
        }
    }
    for row in session.query(sql!("models/list_strangers"), &[&schema]).await? {
        let (object, stranger): (&str, &str) = (row.get(0), row.get(1));
        let problem =
            format!("{object} refers to {stranger}, which this projection does not own; make it a table of this file");
        findings.push(error(projection, projection.definitions.first().map_or(1, |first| first.line), problem));
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok(Vec::new());
    }
    let types = infer(session, projection, findings).await?;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok(types);
    }
    let log = home.log_relation();
    let shape = Shape::of(home, projection);
    let function = Compiled { projection, types: &types, schema, log: &log, shape: &shape, counted_in }.function();
    session.batch_execute(&function).await?;
    session.batch_execute(&format!("REVOKE ALL ON FUNCTION {schema}.apply FROM PUBLIC")).await?;
    Ok(types)
}

/// What can be told from the text alone.
pub(super) fn by_reading(home: &Home, projection: &Projection) -> Vec<Finding> {
    let mut findings = Vec::new();
    if projection.mode == Mode::Sync && !home.is_beside_the_log() {
        let problem = "`mode: sync` needs the read models in the log's own database, and these are in another one: write `mode: async`, or run without --read-models";
        findings.push(error(projection, 1, problem));
    }
    if !projection.understands.is_empty() && !home.is_beside_the_log() {
        let problem = "`schemas` needs the read models in the log's own database, where the registry is, and these are in another one: take it out to see the newest shape of every event, or run without --read-models";
        findings.push(error(projection, shape::header_line(projection), problem));
    }
    let owned: Vec<&str> = projection.relations().collect();
    for definition in &projection.definitions {
        let line = definition.line;
        if let Makes::VirtualTable(name) = &definition.makes {
            let problem = format!(
                "`{name}` is a virtual table, which SQLite has and PostgreSQL has not: write a tsvector column, GENERATED ALWAYS \
                 AS (to_tsvector('english', …)) STORED, and a GIN index on it"
            );
            findings.push(error(projection, line, problem));
            continue;
        }
        // The parser of statements knows less of definitions than PostgreSQL; what it cannot read is left to that.
        if let Ok(parsed) = Parser::parse_sql(&PostgreSqlDialect {}, &definition.sql) {
            let mut looks = Looks::new(&owned, true);
            let _ = parsed.visit(&mut looks);
            findings.extend(looks.problems.into_iter().map(|problem| error(projection, line, problem)));
        }
    }
    for (on, statement) in statements(projection) {
        for problem in look_at(on, statement, &owned) {
            findings.push(error(projection, statement.line, problem));
        }
    }
    findings
}

fn look_at(on: &On, statement: &Statement, owned: &[&str]) -> Vec<String> {
    let sql = statement.render(|_, number| format!("${}", number + 1));
    if sql.contains(PREFIX) {
        return vec![format!("names that begin with `{PREFIX}` are the compiled handler's own; take another name")];
    }
    let parsed = match Parser::parse_sql(&PostgreSqlDialect {}, &sql) {
        Ok(parsed) => parsed,
        Err(said) => {
            return vec![format!("it cannot be read, and so not be checked ({said}); write it with simpler means")];
        }
    };
    if parsed.len() != 1 {
        return vec!["one statement was expected here".to_owned()];
    }
    let mut owned = owned.to_vec();
    if *on == On::Batch {
        owned.push("batch");
    }
    let mut looks = Looks::new(&owned, false);
    if has_returning(&parsed[0]) {
        looks.problems.push("RETURNING gives rows to nobody here; take it out".to_owned());
    }
    let _ = parsed.visit(&mut looks);
    looks.finish()
}

fn has_returning(statement: &sqlparser::ast::Statement) -> bool {
    use sqlparser::ast::Statement as Parsed;
    match statement {
        Parsed::Insert(insert) => insert.returning.is_some(),
        Parsed::Update(update) => update.returning.is_some(),
        Parsed::Delete(delete) => delete.returning.is_some(),
        Parsed::Query(query) => match &*query.body {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => has_returning(inner),
            _ => false,
        },
        _ => false,
    }
}

/// Looks for relations that are not the projection's own, and for functions that no handler may call.
struct Looks<'a> {
    owned: &'a [&'a str],
    /// Definitions name what they make.
    defines: bool,
    relations: Vec<String>,
    named: Vec<String>,
    functions: Vec<String>,
    problems: Vec<String>,
}

impl<'a> Looks<'a> {
    fn new(owned: &'a [&'a str], defines: bool) -> Looks<'a> {
        Looks { owned, defines, relations: Vec::new(), named: Vec::new(), functions: Vec::new(), problems: Vec::new() }
    }

    fn finish(mut self) -> Vec<String> {
        for function in &self.functions {
            if let Some(at) = self.relations.iter().position(|relation| relation == function) {
                self.relations.swap_remove(at);
            }
        }
        for relation in &self.relations {
            if !self.owned.contains(&relation.as_str()) && !self.named.contains(relation) {
                self.problems.push(format!(
                    "`{relation}` is no table of this projection; a projection sees its own tables and its events, and nothing else"
                ));
            }
        }
        self.problems.sort();
        self.problems.dedup();
        self.problems
    }

    fn call(&mut self, name: &ObjectName) {
        if let Some(problem) = refuse_function(&plain(name)) {
            self.problems.push(problem);
        }
    }

    fn set(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Table(table) => {
                let name = table.table_name.clone().unwrap_or_default();
                self.relations.push(match &table.schema_name {
                    Some(schema) => format!("{schema}.{name}"),
                    None => name.to_lowercase(),
                });
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.set(left);
                self.set(right);
            }
            _ => {}
        }
    }
}

impl Visitor for Looks<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named.push(folded(&table.alias.name));
        }
        self.set(&query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if !self.defines {
            self.relations.push(plain(relation));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => {
                self.functions.push(plain(name));
                self.call(name);
            }
            TableFactor::Function { name, .. } => self.call(name),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression {
            self.call(&function.name);
        }
        ControlFlow::Continue(())
    }
}

/// A name as PostgreSQL takes it: parts joined by dots, lower case where it is not quoted.
fn plain(name: &ObjectName) -> String {
    let parts = name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), folded));
    parts.collect::<Vec<_>>().join(".")
}

fn folded(name: &sqlparser::ast::Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// What looks like a function and is none.
const SYNTAX: [&str; 5] = ["coalesce", "greatest", "grouping", "least", "nullif"];

/// Why a handler may not call this function.
fn refuse_function(name: &str) -> Option<String> {
    let own = name.strip_prefix("pg_catalog.").unwrap_or(name);
    if own.contains('.') {
        return Some(format!("`{name}` is a function of another schema; a handler has PostgreSQL's own functions"));
    }
    if SYNTAX.contains(&own) || functions::is_allowed(own) {
        return None;
    }
    Some(format!("a handler cannot call `{name}`: it is none of PostgreSQL's functions that work on values alone"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacioli_projection::file::Piece;

    fn problems(sql: &str) -> String {
        let statement = Statement { pieces: vec![Piece::Sql(sql.to_owned())], line: 1 };
        look_at(&On::Batch, &statement, &["funnel", "Odd"]).join("\n")
    }

    #[test]
    fn a_statement_that_keeps_to_its_own_tables_passes() {
        for sql in [
            "INSERT INTO funnel SELECT type, count(*) FROM batch WHERE true GROUP BY 1 ON CONFLICT (type) DO UPDATE SET n = funnel.n + excluded.n",
            "WITH x AS (SELECT 1 AS n) UPDATE funnel SET n = x.n FROM x",
            "INSERT INTO \"Odd\" SELECT f.key FROM batch b, jsonb_each(b.data) f LEFT JOIN funnel ON true",
            "DELETE FROM funnel f USING batch b WHERE f.type = b.type AND EXISTS (SELECT FROM funnel)",
            "INSERT INTO funnel SELECT jsonb_object_agg(k, v ORDER BY k) FILTER (WHERE k <> '') FROM generate_series(1, 2) g(k), LATERAL (VALUES (1)) w(v)",
        ] {
            assert_eq!(problems(sql), "", "{sql}");
        }
    }

    #[test]
    fn a_statement_that_reaches_elsewhere_does_not() {
        for (sql, expected) in [
            ("INSERT INTO pacioli.events SELECT * FROM batch", "`pacioli.events` is no table"),
            ("INSERT INTO funnel SELECT * FROM other", "`other` is no table"),
            ("INSERT INTO funnel SELECT * FROM pg_class", "`pg_class` is no table"),
            ("INSERT INTO funnel TABLE pacioli.events", "cannot be read"),
            ("INSERT INTO funnel SELECT 1 UNION TABLE other", "`other` is no table"),
            ("INSERT INTO funnel SELECT pg_sleep(1)", "cannot call `pg_sleep`"),
            ("INSERT INTO funnel SELECT pg_catalog.set_config('a', 'b', true)", "cannot call"),
            ("INSERT INTO funnel SELECT * FROM pg_ls_dir('.')", "cannot call `pg_ls_dir`"),
            ("INSERT INTO funnel SELECT public.f()", "another schema"),
            ("DELETE FROM funnel RETURNING *", "RETURNING"),
        ] {
            assert!(problems(sql).contains(expected), "{sql}: {}", problems(sql));
        }
    }
}
