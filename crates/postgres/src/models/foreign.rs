//! Read models in another database than the log's: there the log is a foreign table.

use tokio_postgres::config::{Config, Host, SslMode};

use super::home::{Names, take_role};
use super::values::literal;
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::location::Location;

/// Makes what has to be there before the schemas are: as this login.
pub(super) async fn prepare(session: &Session, names: &Names) -> Result<()> {
    Ok(session.batch_execute(&names.fill(sql!("models/foreign/prepare_wrapper"))).await?)
}

/// Leads the foreign table to where the log is, in the session's transaction, as the role that owns read models.
pub(super) async fn lead(session: &Session, names: &Names, log: &Location, role: Option<&str>) -> Result<()> {
    let host = &log.hosts()[0];
    let user = host.get_user().unwrap_or("postgres");
    let password =
        host.get_password().map(|password| String::from_utf8_lossy(password).into_owned()).unwrap_or_default();
    session.query(sql!("models/foreign/set_secret"), &[&user, &password]).await?;
    let options: Vec<String> =
        options(session, log).into_iter().flat_map(|(name, value)| [literal(name), literal(&value)]).collect();
    let create = names
        .fill(sql!("models/foreign/create_log_table"))
        .replace("{log_schema}", log.schema())
        .replace("{options}", &options.join(", "));
    session.batch_execute(&create).await?;
    let Some(role) = role.filter(|_| password.is_empty()) else { return Ok(()) };
    let row = session.query_one("SELECT rolsuper FROM pg_roles WHERE rolname = session_user", &[]).await?;
    if !row.get::<_, bool>(0) {
        return Err(Error::Store(
            "read models in another database log in to the log by a password, and its URL has none: write \
             postgres://USER:PASSWORD@HOST/DATABASE, or open them once as a superuser"
                .to_owned(),
        ));
    }
    // Only a superuser may say so, and only as itself.
    session.batch_execute("RESET ROLE").await?;
    let allow = names.fill(sql!("models/foreign/allow_no_password")).replace("{role}", &quoted(role));
    session.batch_execute(&allow).await?;
    take_role(session, Some(role)).await
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Where the log is, as libpq has it: the database connects, and not this process.
fn options(session: &Session, log: &Location) -> Vec<(&'static str, String)> {
    let each = |of: fn(&Config) -> String| log.hosts().iter().map(of).collect::<Vec<_>>().join(",");
    let host = each(|config| match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(directory)) => directory.display().to_string(),
        None => "localhost".to_owned(),
    });
    let port = each(|config| config.get_ports().first().copied().unwrap_or(5432).to_string());
    let mut options = vec![
        ("host", host),
        ("port", port),
        ("dbname", log.database().to_owned()),
        ("target_session_attrs", "read-write".to_owned()),
        ("application_name", "pacioli-read-models".to_owned()),
    ];
    let encrypts = log.hosts().iter().any(|config| config.get_ssl_mode() != SslMode::Disable);
    match log.root_cert() {
        _ if !encrypts => options.push(("sslmode", "disable".to_owned())),
        Some(path) => {
            options.push(("sslmode", "verify-full".to_owned()));
            options.push(("sslrootcert", path.display().to_string()));
        }
        // The system's authorities are known to libpq by name from 16 on.
        None if session.surroundings.version >= 160_000 => {
            options.push(("sslmode", "verify-full".to_owned()));
            options.push(("sslrootcert", "system".to_owned()));
        }
        None => options.push(("sslmode", "require".to_owned())),
    }
    options
}
