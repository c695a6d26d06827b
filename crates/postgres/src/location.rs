//! Where a store is: what its URL says.

use std::path::PathBuf;
use std::str::FromStr;

use pacioli_core::{Partition, StoreError};
use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

/// The schema of a store where its URL names none.
pub const DEFAULT_SCHEMA: &str = "pacioli";

/// A store's URL, taken apart: `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?schema=S&partitions=P`.
///
/// Several hosts are tried in turn until one takes writes. Without a password in it, that of the environment's `PGPASSWORD`
/// is used. Behind the `?` may stand `host`, `port`, `user`, `password`, `dbname`, `application_name`, `connect_timeout` and
/// `options`, as libpq takes them; ours are
///
/// | parameter | |
/// | --- | --- |
/// | `schema` | the schema that holds the store; `pacioli` |
/// | `partitions` | how many partitions a new store gets; one that exists must have as many |
/// | `sslmode` | `disable`, or `verify-full`: the server's certificate is checked (`require` and `verify-ca` check no less). Without it: `disable` on this machine, else `verify-full` |
/// | `sslrootcert` | a file of certificate authorities (PEM), instead of the system's |
/// | `reader` | `USER:PASSWORD` of the login that runs queries in SQL; signs of the URL's own are written as `%3F` and so on. `PGPASSWORD` is not for it |
///
/// ```
/// let location: pacioli_postgres::Location = "postgres://app@db1,db2:5433/shop?schema=sales".parse()?;
/// assert_eq!(location.schema(), "sales");
/// assert_eq!(location.hosts().len(), 2);
/// # Ok::<(), pacioli_core::StoreError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Location {
    hosts: Vec<Config>,
    schema: String,
    partitions: Option<u16>,
    root_cert: Option<PathBuf>,
    reader: Option<Box<Location>>,
}

impl Location {
    /// One configuration a host, in the order of the URL. Where TLS is wanted, its mode says so.
    pub fn hosts(&self) -> &[Config] {
        &self.hosts
    }

    /// The schema of the store: a plain name that needs no quotes.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// How many partitions a new store gets, where the URL says so.
    pub fn partitions(&self) -> Option<u16> {
        self.partitions
    }

    /// The file of certificate authorities to trust instead of the system's.
    pub fn root_cert(&self) -> Option<&PathBuf> {
        self.root_cert.as_ref()
    }

    /// The same store as the login sees it that runs queries in SQL, where there is one.
    pub fn reader(&self) -> Option<&Location> {
        self.reader.as_deref()
    }

    /// The same, with the URL of the login that runs queries in SQL.
    ///
    /// # Errors
    /// There is one already, or the reader's URL says what only the store's can.
    pub fn with_reader(mut self, reader: Location) -> Result<Location, StoreError> {
        let refuse = |problem: &str| Err(StoreError::new(format!("the reader's URL {problem}")));
        if self.reader.is_some() {
            return refuse("comes on top of a `reader` in the store's URL: leave one of them out");
        }
        if reader.reader.is_some() || reader.partitions.is_some() {
            return refuse("has a `reader` or `partitions`, which mean nothing there: leave them out");
        }
        if reader.schema != self.schema && reader.schema != DEFAULT_SCHEMA {
            return refuse("names another schema than the store's: leave `schema` out");
        }
        self.reader = Some(Box::new(Location { schema: self.schema.clone(), ..reader }));
        Ok(self)
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        let config = &self.hosts[0];
        config.get_dbname().or_else(|| config.get_user()).unwrap_or("postgres")
    }

    /// Where one of [`Location::hosts`] is, for messages: never with the password.
    pub fn describe(config: &Config) -> String {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first() {
            Some(Host::Tcp(host)) => format!("{host}:{port}"),
            #[cfg(unix)]
            Some(Host::Unix(directory)) => format!("{}/.s.PGSQL.{port}", directory.display()),
            None => format!("localhost:{port}"),
        }
    }
}

/// What is wrong is not shown: a password with a sign of the URL's own in it is taken apart, and its parts look like
/// parameters.
const UNREADABLE: &str = "cannot be read: a parameter is unknown or has no value, or a sign in the password stands as it is \
    (write `?`, `&`, `@`, `/` there as %3F, %26, %40, %2F)";

fn wrong(problem: impl std::fmt::Display) -> StoreError {
    // Never the URL itself: it may hold a password.
    StoreError::new(format!("the store's URL {problem}; it looks like postgres://USER@HOST/DATABASE?schema=pacioli"))
}

fn check_schema(name: &str) -> Result<(), StoreError> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let rest = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    // Roles and triggers are named after it, and a name has 63 bytes.
    if !first || !rest || name.len() > 40 || name.starts_with("pg_") {
        return Err(wrong(
            "has a `schema` that is no plain name: up to 40 lower-case letters, digits and `_`, not beginning with a digit or `pg_`",
        ));
    }
    Ok(())
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Location, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut schema, mut partitions, mut ssl, mut root_cert) = (DEFAULT_SCHEMA.to_owned(), None, None, None);
        let (mut others, mut hosts, mut reader) = (Vec::new(), Vec::new(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| wrong(UNREADABLE))?;
            let written = value;
            let value = decoded(value)?;
            match name {
                "reader" => reader = Some(Login::parse(written)?),
                "schema" => schema = value,
                "partitions" => {
                    let count = value.parse().ok().filter(|count| (1..=Partition::MAX_COUNT).contains(count));
                    let problem = || wrong(format_args!("has `partitions` that are not 1 to {}", Partition::MAX_COUNT));
                    partitions = Some(count.ok_or_else(problem)?);
                }
                "sslmode" => {
                    ssl = Some(match value.as_str() {
                        "disable" => SslMode::Disable,
                        "require" | "verify-ca" | "verify-full" => SslMode::Require,
                        _ => {
                            return Err(wrong(
                                "has an `sslmode` that is neither `disable` nor `verify-full` (nor `require` or `verify-ca`, which check no less here)",
                            ));
                        }
                    });
                }
                "sslrootcert" => root_cert = Some(PathBuf::from(value)),
                // The driver takes a list of directories for one with commas in its name.
                "host" => hosts.extend(value.split(',').map(str::to_owned)),
                // A writer has no use for anything else, whatever the URL says.
                "target_session_attrs" if value == "read-write" || value == "any" => {}
                "target_session_attrs" => return Err(wrong("asks for servers that take no writes")),
                _ => others.push(pair),
            }
        }
        check_schema(&schema)?;
        let plain = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        let mut config: Config = plain.parse().map_err(|_| wrong(UNREADABLE))?;
        for host in &hosts {
            config.host(host);
        }
        let hosts = one_a_host(&config, ssl, None)?;
        let reader = reader.map(|login| {
            let hosts = one_a_host(&config, ssl, Some(&login))?;
            let (schema, root_cert) = (schema.clone(), root_cert.clone());
            Ok(Box::new(Location { hosts, schema, partitions: None, root_cert, reader: None }))
        });
        Ok(Location { hosts, schema, partitions, root_cert, reader: reader.transpose()? })
    }
}

fn decoded(value: &str) -> Result<String, StoreError> {
    Ok(percent_decode_str(value).decode_utf8().map_err(|_| wrong("is not UTF-8"))?.into_owned())
}

/// Another login for the same hosts. Never shown.
struct Login {
    user: String,
    password: Option<String>,
}

impl Login {
    /// `USER:PASSWORD`; the colon between them may be encoded like the rest.
    fn parse(written: &str) -> Result<Login, StoreError> {
        let whole = decoded(written)?;
        let (user, password) = match written.split_once(':') {
            Some((user, password)) => (decoded(user)?, Some(decoded(password)?)),
            None => match whole.split_once(':') {
                Some((user, password)) => (user.to_owned(), Some(password.to_owned())),
                None => (whole, None),
            },
        };
        if user.is_empty() {
            return Err(wrong("has a `reader` without a name: write reader=USER:PASSWORD"));
        }
        Ok(Login { user, password })
    }
}

/// Splits a configuration of several hosts, so that it is known which of them answered.
/// `login` stands for that of the configuration.
fn one_a_host(config: &Config, ssl: Option<SslMode>, login: Option<&Login>) -> Result<Vec<Config>, StoreError> {
    let mut all = config.get_hosts().to_vec();
    if all.is_empty() {
        all.push(Host::Tcp("localhost".to_owned()));
    }
    let ports = config.get_ports();
    if ports.len() > 1 && ports.len() != all.len() {
        return Err(wrong("has another number of ports than of hosts"));
    }
    let single = |(index, host): (usize, Host)| {
        let mut one = Config::new();
        match &host {
            Host::Tcp(name) => one.host(name),
            #[cfg(unix)]
            Host::Unix(directory) => one.host_path(directory),
        };
        one.port(ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5432));
        if let Some(login) = login {
            one.user(&login.user);
            login.password.as_ref().map(|password| one.password(password));
        } else {
            if let Some(user) = config.get_user() {
                one.user(user);
            }
            if let Some(password) = config.get_password() {
                one.password(password);
            } else if let Ok(password) = std::env::var("PGPASSWORD") {
                one.password(password);
            }
        }
        // Without one, the driver takes the user's name.
        if let Some(database) = config.get_dbname().or_else(|| login.and(config.get_user())) {
            one.dbname(database);
        }
        if let Some(options) = config.get_options() {
            one.options(options);
        }
        let local = match &host {
            Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        one.application_name(config.get_application_name().unwrap_or("pacioli"));
        one.ssl_mode(match ssl {
            // There is no TLS on a unix socket, and no need of it.
            #[cfg(unix)]
            _ if matches!(host, Host::Unix(_)) => SslMode::Disable,
            Some(mode) => mode,
            None if local => SslMode::Disable,
            None => SslMode::Require,
        });
        one.connect_timeout(config.get_connect_timeout().copied().unwrap_or(std::time::Duration::from_secs(3)));
        one.tcp_user_timeout(std::time::Duration::from_secs(10));
        one.keepalives_idle(std::time::Duration::from_secs(5));
        // The system's are a minute and more: a host that is gone must be noticed while it matters.
        one.keepalives_interval(std::time::Duration::from_secs(2));
        one.keepalives_retries(3);
        one.target_session_attrs(TargetSessionAttrs::Any);
        one
    };
    Ok(all.into_iter().enumerate().map(single).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        url.parse::<Location>().unwrap_err().reason
    }

    #[test]
    fn a_url_says_where_the_store_is() {
        let plain: Location = "postgres://postgres@127.0.0.1:5433/shop".parse().unwrap();
        assert_eq!((plain.schema(), plain.partitions(), plain.database()), ("pacioli", None, "shop"));
        assert_eq!(Location::describe(&plain.hosts()[0]), "127.0.0.1:5433");
        assert_eq!(plain.hosts()[0].get_ssl_mode(), SslMode::Disable, "this machine");
        let far: Location =
            "postgresql://a:b@db1:1,db2:2/shop?partitions=4&schema=s_1&connect_timeout=7".parse().unwrap();
        assert_eq!((far.schema(), far.partitions()), ("s_1", Some(4)));
        let hosts: Vec<String> = far.hosts().iter().map(Location::describe).collect();
        assert_eq!(hosts, ["db1:1", "db2:2"]);
        assert_eq!(far.hosts()[1].get_ssl_mode(), SslMode::Require, "another machine");
        assert_eq!(far.hosts()[1].get_connect_timeout().unwrap().as_secs(), 7);
        let socket: Location = "postgres:///shop?host=/tmp/x&port=9&user=u&sslmode=verify-full".parse().unwrap();
        assert_eq!(Location::describe(&socket.hosts()[0]), "/tmp/x/.s.PGSQL.9");
        assert_eq!(socket.hosts()[0].get_ssl_mode(), SslMode::Disable);
        let sockets: Location = "postgres:///shop?host=/tmp/a%20b,/tmp/c,db3&port=1,2,3&user=u".parse().unwrap();
        let hosts: Vec<String> = sockets.hosts().iter().map(Location::describe).collect();
        assert_eq!(hosts, ["/tmp/a b/.s.PGSQL.1", "/tmp/c/.s.PGSQL.2", "db3:3"]);
    }

    #[test]
    fn a_reader_is_another_login_for_the_same_hosts() {
        let user = |location: &Location| location.hosts()[0].get_user().map(str::to_owned);
        for url in [
            "postgres://app:secret@db1,db2/shop?schema=s&reader=analyst:hidd%26en%3A",
            "postgres://app:secret@db1,db2/shop?schema=s&reader=analyst%3Ahidd%26en%3A",
        ] {
            let location: Location = url.parse().unwrap();
            let reader = location.reader().unwrap();
            assert_eq!((user(&location).as_deref(), user(reader).as_deref()), (Some("app"), Some("analyst")));
            assert_eq!(reader.hosts()[1].get_password(), Some(&b"hidd&en:"[..]), "{url}");
            assert_eq!((reader.hosts().len(), reader.schema(), reader.database()), (2, "s", "shop"));
            assert_eq!(reader.hosts()[0].get_ssl_mode(), SslMode::Require);
            let shown = format!("{location:?}");
            assert!(!shown.contains("hidd") && !shown.contains("secret"), "{shown}");
        }
        let trusted: Location = "postgres://app:secret@h?reader=analyst".parse().unwrap();
        let reader = trusted.reader().unwrap();
        assert_eq!((reader.hosts()[0].get_password(), reader.database()), (None, "app"));

        let store: Location = "postgres://app@h/shop?schema=s".parse().unwrap();
        let second: Location = "postgres://analyst:hidden@replica/shop".parse().unwrap();
        let both = store.clone().with_reader(second.clone()).unwrap();
        assert_eq!(
            both.reader().map(|reader| (reader.schema(), user(reader))),
            Some(("s", Some("analyst".to_owned())))
        );
        let refusals = [
            both.with_reader(second.clone()),
            store.clone().with_reader("postgres://analyst:hidden@h/shop?partitions=2".parse().unwrap()),
            store.clone().with_reader("postgres://analyst:hidden@h/shop?schema=t".parse().unwrap()),
            store.with_reader("postgres://analyst@h/shop?reader=x:hidden".parse().unwrap()),
        ];
        for refused in refusals {
            let problem = refused.unwrap_err().reason;
            assert!(problem.starts_with("the reader's URL") && !problem.contains("hidden"), "{problem}");
        }
        assert!(problem("postgres://h/d?reader=:secret").contains("`reader` without a name"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_no_password_is_shown() {
        for wrong in [
            "postgres://u:secret@h/d?schema=Big",
            "postgres://u:secret@h/d?schema=a;drop",
            "postgres://u:secret@h/d?schema=pg_x",
            "postgres://u:secret@h/d?partitions=0",
            "postgres://u:secret@h/d?partitions=1025",
            "postgres://u:secret@h/d?sslmode=prefer",
            "postgres://u:secret@h/d?target_session_attrs=read-only",
            "postgres://u:secret@h/d?nonsense=1",
            "postgres://u:x?secret@h/d",
            "postgres://h/d?password=x&secret",
            "postgres://u:secret@h/d?schema",
            "postgres://u:secret@h:x/d",
        ] {
            let problem = problem(wrong);
            assert!(!problem.contains("secret") && problem.contains("postgres://USER@HOST"), "{wrong}: {problem}");
        }
    }
}
