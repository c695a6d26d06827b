//! Asks PostgreSQL for the type of every named value, and refuses what an inference would lose.

use pacioli_projection::Projection;
use pacioli_projection::file::{Finding, NamedValue, On, Severity, Source, Statement};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::types::Type;

use super::compile::{Types, statements};
use super::values::{BATCH_SPECIMEN, Natural, with_batch};
use crate::connect::Session;
use crate::error::{Error, Result};

/// The types of the values of each statement, in the order of [`statements`]. The session is in a transaction, the search
/// path leads to the tables. What is wrong becomes findings.
pub(super) async fn infer(
    session: &Session,
    projection: &Projection,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Types>> {
    let mut all = Vec::new();
    for (on, statement) in statements(projection) {
        let inferred = match infer_one(session, on, statement).await? {
            Ok(types) => types,
            Err(said) => {
                findings.push(explain(projection, statement, &with_parameters(on, statement), &said));
                all.push(Types::new());
                continue;
            }
        };
        for (value, ty) in statement.values().zip(&inferred) {
            if let Some(problem) = loss(value, ty) {
                findings.push(error(projection, value.line, problem));
            }
        }
        let names = name_types(session, &inferred).await?;
        for (value, name) in statement.values().zip(&names) {
            if !is_castable(session, value, name).await? {
                let problem = format!(
                    "`{}` cannot become {name}, which is wanted here; write the CAST to what it is to be",
                    value.source
                );
                findings.push(error(projection, value.line, problem));
            }
        }
        all.push(names);
    }
    Ok(all)
}

/// An error of the file at a line.
pub(super) fn error(projection: &Projection, line: u32, problem: impl Into<String>) -> Finding {
    Finding { severity: Severity::Error, file: projection.file.clone(), line, problem: problem.into() }
}

/// The statement as it is prepared: each value a parameter of its own.
fn with_parameters(on: &On, statement: &Statement) -> String {
    let sql = statement.render(|value, number| match value.source {
        Source::Data | Source::Metadata => format!("(${}::jsonb)", number + 1),
        _ => format!("${}", number + 1),
    });
    if *on == On::Batch { with_batch(BATCH_SPECIMEN, &sql) } else { sql }
}

async fn infer_one(
    session: &Session,
    on: &On,
    statement: &Statement,
) -> Result<std::result::Result<Vec<Type>, Box<DbError>>> {
    tried(session, async {
        let prepared = session.prepare(&with_parameters(on, statement)).await?;
        Ok(prepared.params().to_vec())
    })
    .await
}

/// Tries something behind a savepoint: what PostgreSQL says against it leaves the transaction in use.
pub(super) async fn tried<T>(
    session: &Session,
    work: impl Future<Output = Result<T>>,
) -> Result<std::result::Result<T, Box<DbError>>> {
    session.batch_execute("SAVEPOINT tried").await?;
    match work.await {
        Ok(done) => {
            session.batch_execute("RELEASE tried").await?;
            Ok(Ok(done))
        }
        Err(failed) if failed.is_passing() => Err(failed),
        Err(Error::Postgres(said)) => {
            let Some(db) = said.as_db_error().cloned() else { return Err(Error::Postgres(said)) };
            session.batch_execute("ROLLBACK TO tried").await?;
            Ok(Err(Box::new(db)))
        }
        Err(other) => Err(other),
    }
}

/// The names of types as they are written in a cast.
async fn name_types(session: &Session, types: &[Type]) -> Result<Types> {
    if types.is_empty() {
        return Ok(Types::new());
    }
    let oids: Vec<u32> = types.iter().map(Type::oid).collect();
    let rows = session.query(sql!("models/name_types"), &[&oids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn is_castable(session: &Session, value: &NamedValue, wanted: &str) -> Result<bool> {
    let Some(specimen) = Natural::of(&value.source).specimen() else { return Ok(true) };
    let castable = tried(session, async {
        session.prepare(&format!("SELECT ({specimen})::{wanted}")).await?;
        Ok(())
    });
    Ok(castable.await?.is_ok() || Natural::of(&value.source) == Natural::Time && matches!(wanted, "json" | "jsonb"))
}

/// Why this type would change the value without a word.
fn loss(value: &NamedValue, ty: &Type) -> Option<String> {
    let beside = value.beside;
    if beside.cast {
        return None;
    }
    let name = &value.source;
    if matches!(*ty, Type::INT2 | Type::INT4) && (beside.arithmetic || beside.number) {
        return Some(format!(
            "`{name}` would be a 32-bit integer here, because of what stands beside it: a division cuts, and large values \
             overflow; write CAST({name} AS bigint), or AS numeric where it may have decimals"
        ));
    }
    if matches!(*ty, Type::FLOAT4 | Type::FLOAT8) && beside.argument {
        return Some(format!(
            "`{name}` would be a double precision number here, because a function takes it: its decimals are rounded; write \
             CAST({name} AS numeric)"
        ));
    }
    None
}

/// What PostgreSQL said of a statement, with the line in the file.
fn explain(projection: &Projection, statement: &Statement, prepared: &str, said: &DbError) -> Finding {
    let parameter = said.message().rsplit('$').next().and_then(|number| number.parse::<usize>().ok());
    if *said.code() == SqlState::INDETERMINATE_DATATYPE
        && let Some(value) = parameter.and_then(|number| statement.values().nth(number.checked_sub(1)?))
    {
        let name = &value.source;
        let problem =
            format!("the type of `{name}` cannot be told here; write CAST({name} AS text), or what it is to be");
        return error(projection, value.line, problem);
    }
    let mut problem = said.message().to_owned();
    let mut line = statement.line + line_of(said, prepared);
    let is_of_types = [SqlState::UNDEFINED_FUNCTION, SqlState::AMBIGUOUS_FUNCTION, SqlState::DATATYPE_MISMATCH];
    let untyped = statement.values().find(|value| !value.beside.cast && value.beside != Default::default());
    if is_of_types.contains(said.code())
        && let Some(value) = untyped
    {
        let name = &value.source;
        problem = format!(
            "{problem}; `{name}` has no type of its own here: write CAST({name} AS bigint), or what it is to be"
        );
        line = value.line;
    } else if let Some(hint) = said.hint() {
        problem = format!("{problem}; {hint}");
    }
    error(projection, line, problem)
}

/// How many lines below the statement's first the error lies.
pub(super) fn line_of(said: &DbError, sql: &str) -> u32 {
    let Some(ErrorPosition::Original(at)) = said.position() else { return 0 };
    sql.chars().take((*at as usize).saturating_sub(1)).filter(|c| *c == '\n').count() as u32
}
