//! The login that runs queries in SQL: whether there is one, and whether it may no more than read.

use super::Report;
use super::access::read_login;
use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;

/// What a member of these may do is more than to read what people query, whatever else it is for.
fn is_too_strong(role: &str, schema: &str) -> bool {
    let of_the_store = ["owner", "appender", "projector", "replicator"];
    role.starts_with("pg_") || of_the_store.iter().any(|own| role == format!("{schema}_{own}"))
}

/// The statements that make a login for queries.
fn how_to_make_one(schema: &str) -> String {
    format!(
        "CREATE ROLE {schema}_analyst LOGIN PASSWORD '…' CONNECTION LIMIT 20 IN ROLE {schema}_reader; \
         ALTER ROLE {schema}_analyst SET temp_file_limit = '4GB'; then give its URL to servers with --reader, or \
         `?reader={schema}_analyst:PASSWORD` in the store's"
    )
}

pub(super) async fn reader(session: &Session, location: &Location, report: &mut Report) -> Result<()> {
    let schema = location.schema();
    let Some(reader) = location.reader() else {
        let login = read_login(session).await?;
        report.warning(
            "reader",
            format!(
                "queries in SQL run as {}, since no reader is given: a list of functions and a role it steps down to are all \
                 that keep them from what it may",
                login.name
            ),
            how_to_make_one(schema),
        );
        return Ok(());
    };
    let connected = async {
        let connector = Connector::new(reader.clone()).map_err(|error| Error::Store(error.reason))?;
        let connector = if session.surroundings.identity.timeline == 0 { connector.or_standby() } else { connector };
        connector.connect(Purpose::Query).await
    };
    match connected.await {
        Ok(its) => look(session, &its, location, report).await,
        Err(error) => {
            report.failure(
                "reader",
                format!("cannot log in, so there are no queries: {error}"),
                "look at its URL, its password and pg_hba.conf",
            );
            Ok(())
        }
    }
}

async fn look(session: &Session, its: &Session, location: &Location, report: &mut Report) -> Result<()> {
    let schema = location.schema();
    let row = its.query_one(sql!("doctor/read_reader"), &[&schema]).await?;
    let name: String = row.try_get(0)?;
    let (attributes, roles): (Vec<String>, Vec<String>) = (row.try_get(1)?, row.try_get(2)?);
    let (is_reader, may_read): (bool, Option<bool>) = (row.try_get(3)?, row.try_get(4)?);
    let (may_create, may_make_temporary, is_unbounded): (bool, bool, bool) =
        (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
    let database: String = row.try_get(8)?;
    if its.surroundings.identity.system_id != session.surroundings.identity.system_id || database != location.database()
    {
        report.failure(
            "reader",
            format!("{name} logs in to database {database}, which is not the one of the store"),
            "name the same servers and database in both URLs",
        );
        return Ok(());
    }
    let (strong, other): (Vec<String>, Vec<String>) = roles.into_iter().partition(|role| is_too_strong(role, schema));
    if !attributes.is_empty() || !strong.is_empty() {
        let members = strong.iter().map(|role| format!("a member of {role}"));
        let says: Vec<String> = attributes.into_iter().chain(members).collect();
        report.failure(
            "reader",
            format!("{name} may more than read: it is {}", says.join(", ")),
            format!("ALTER ROLE … NO…, REVOKE the roles, or make another login: {}", how_to_make_one(schema)),
        );
    } else if may_create {
        report.failure(
            "reader",
            format!("{name} may make schemas in the database"),
            format!("REVOKE CREATE ON DATABASE {database} FROM it, or from PUBLIC"),
        );
    } else if !is_reader || may_read == Some(false) {
        report.failure(
            "reader",
            format!("{name} may not read what people query"),
            format!("GRANT {schema}_reader TO {name}"),
        );
    } else if !other.is_empty() {
        report.warning(
            "reader",
            format!("{name} is a member of {} too, and may read what they may", other.join(", ")),
            "REVOKE them, or see that they may nothing that queries must not",
        );
    } else if may_make_temporary || is_unbounded {
        let mut advice = Vec::new();
        if is_unbounded {
            advice
                .push(format!("ALTER ROLE {name} SET temp_file_limit = '4GB' bounds what its sorts write to the disk"));
        }
        if may_make_temporary {
            advice.push(format!(
                "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC takes what it does not need; others may need it"
            ));
        }
        report.hint(
            "reader",
            format!("{name} may read what people query and the log, and change nothing"),
            advice.join("; "),
        );
    } else {
        report.ok("reader", format!("{name} may read what people query and the log, and change nothing"));
    }
    Ok(())
}
