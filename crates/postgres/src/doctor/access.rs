//! Who may do what: the login, how clients are let in, the roles, and the guards of the log.

use tokio_postgres::error::SqlState;

use super::Report;
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::migrate::GUARDED;
use crate::roles::ROLES;

/// Tables that are written again and again, but by nobody else's trigger.
const WATCHED: &[&str] = &["streams"];
/// Tables that the owner alone changes: what events are held against.
const OF_THE_OWNER: &[&str] = &["registry", "schemas", "schema_settings"];
/// Lines of a list that are shown.
const SHOWN_MAX: usize = 5;

/// The role that logged in.
pub(super) struct Login {
    pub(super) name: String,
    pub(super) is_superuser: bool,
    pub(super) may_create_roles: bool,
    pub(super) may_create_schemas: bool,
    pub(super) sees_sessions: bool,
}

pub(super) async fn read_login(session: &Session) -> Result<Login> {
    let row = session.query_one(sql!("doctor/read_login"), &[]).await?;
    Ok(Login {
        name: row.try_get(0)?,
        is_superuser: row.try_get(1)?,
        may_create_roles: row.try_get(2)?,
        may_create_schemas: row.try_get(3)?,
        sees_sessions: row.try_get(4)?,
    })
}

pub(super) async fn login(session: &Session, report: &mut Report) -> Result<()> {
    let login = read_login(session).await?;
    if login.is_superuser {
        report.warning(
            "login",
            format!(
                "{} is a superuser: what goes wrong in a server, or in a query, is stopped by no right",
                login.name
            ),
            "let the server log in as a role that is a member of the appender",
        );
    } else {
        report.ok("login", format!("{} is no superuser", login.name));
    }
    Ok(())
}

/// The schema of a log.
async fn namespace(session: &Session, schema: &str) -> Result<u32> {
    let row = session.query_one(sql!("doctor/find_namespace"), &[&schema]).await?;
    Ok(row.try_get(0)?)
}

fn shown(mut lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(SHOWN_MAX);
    lines.truncate(SHOWN_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join(", ")
}

pub(super) async fn trust(session: &Session, report: &mut Report) -> Result<()> {
    let advice = "write scram-sha-256, or peer for a socket, in pg_hba.conf, and SELECT pg_reload_conf()";
    match session.query(sql!("doctor/find_trust"), &[]).await {
        Ok(rows) if rows.is_empty() => report.ok("pg_hba", "no client is let in without being asked who it is"),
        Ok(rows) => {
            let lines = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()?;
            report.warning("pg_hba", format!("`trust` lets everybody in as anybody: {}", shown(lines)), advice);
        }
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let trusted = session.surroundings.version >= 160_000
                && session.query_one(sql!("doctor/read_own_authentication"), &[]).await?.try_get(0)?;
            if trusted {
                report.warning("pg_hba", "this session was let in without being asked who it is", advice);
            } else {
                report.hint("pg_hba", "not visible to this role", "ask again as a superuser");
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

pub(super) async fn roles(session: &Session, schema: &str, report: &mut Report) -> Result<()> {
    let row = session.query_one(sql!("doctor/read_roles"), &[&schema]).await?;
    let (there, owner): (Vec<String>, String) = (row.try_get(0)?, row.try_get(1)?);
    let (owns, appends): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
    let missing: Vec<String> =
        ROLES.iter().map(|role| format!("{schema}_{role}")).filter(|role| !there.contains(role)).collect();
    let login = read_login(session).await?;
    if !missing.is_empty() || owner != format!("{schema}_owner") {
        let what = if missing.is_empty() { String::new() } else { format!(", and there is no {}", missing.join(", ")) };
        report.warning(
            "roles",
            format!("{owner} owns the store{what}: who writes events may also drop them"),
            "run `pacioli init` once as a superuser, or as a role with CREATEROLE",
        );
    } else if owns && !login.is_superuser {
        report.warning(
            "roles",
            format!("{} is a member of the owner: it may drop what it may not change", login.name),
            format!("let the server log in as a role that is a member of {schema}_appender alone"),
        );
    } else if !appends {
        report.hint(
            "roles",
            format!("{owner} owns the store; {} is no member of the appender", login.name),
            format!("a server needs GRANT {schema}_appender TO {}", login.name),
        );
    } else {
        report.ok("roles", format!("{owner} owns the store, and {} may append", login.name));
    }
    Ok(())
}

/// The text of the function that refuses changes, as this build makes it.
fn refusal() -> &'static str {
    sql!("functions/01_refuse_change").split("$$").nth(1).unwrap_or_default()
}

pub(super) async fn guards(session: &Session, schema: &str, report: &mut Report) -> Result<()> {
    let namespace = namespace(session, schema).await?;
    let guarded: Vec<&str> = GUARDED.iter().copied().chain(["heads"]).collect();
    let rows = session.query(sql!("doctor/list_guards"), &[&namespace, &guarded, &WATCHED]).await?;
    let (mut open, mut others) = (Vec::new(), Vec::new());
    for row in &rows {
        let (table, is_open, acting): (String, bool, Vec<String>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        others.extend(acting.iter().map(|acting| format!("{acting} on {table}")));
        if is_open {
            open.push(table);
        }
    }
    let refuses = session.query_opt(sql!("doctor/read_refusal"), &[&namespace]).await?;
    let refuses = refuses.map(|row| row.try_get::<_, String>(0)).transpose()?;
    if !open.is_empty() {
        report.failure(
            "guards",
            format!("the trigger append_only is missing or not ENABLE ALWAYS on {}: the log can be changed there", shown(open)),
            format!("as the owner: DROP TRIGGER IF EXISTS append_only ON the table, then SELECT {schema}.guard('{schema}.table')"),
        );
    } else if refuses.as_deref() != Some(refusal()) {
        report.failure(
            "guards",
            "the function refuse_change, which the guards call, is not that of this build",
            "if no server of another version runs here, somebody changed it: find out who, and run `pacioli init`",
        );
    } else {
        report.ok("guards", format!("append_only on all {} tables of the log", rows.len() - WATCHED.len()));
    }
    if others.is_empty() {
        report.ok("foreign", "no trigger, rule or policy of anybody else on the log");
    } else {
        report.failure(
            "foreign",
            format!("{} can change, hide or refuse events", shown(others)),
            "drop them; follow the log with a subscription instead",
        );
    }
    Ok(())
}

pub(super) async fn grants(session: &Session, schema: &str, report: &mut Report) -> Result<()> {
    let namespace = namespace(session, schema).await?;
    let tables: Vec<&str> = GUARDED.iter().chain(OF_THE_OWNER).copied().collect();
    let rows = session.query(sql!("doctor/list_writers"), &[&namespace, &tables, &schema]).await?;
    if rows.is_empty() {
        report.ok("grants", "nobody beside the owner and the appender may write the log");
        return Ok(());
    }
    let rights = rows.iter().map(|row| row.try_get(0).map_err(Error::from)).collect::<Result<Vec<String>>>()?;
    report.warning(
        "grants",
        format!("{} go round the store's rules", shown(rights)),
        "REVOKE them; applications append by a server, or by EXECUTE on append and append_deferred",
    );
    Ok(())
}
