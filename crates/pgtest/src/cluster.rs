//! One private PostgreSQL cluster.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::binaries::Binaries;
use crate::error::{Error, Result};
use crate::options::{ClusterOptions, Shutdown};
use crate::server_user::ServerUser;
use crate::sql::{self, Row};
use crate::watchdog::Watchdog;
use crate::{places, processes, template};

/// Crash recovery is part of a start, and the machine may be busy with other tests.
const START_MAX: Duration = Duration::from_secs(120);
/// For a stop, and for processes to go after they were killed.
const STOP_MAX: Duration = Duration::from_secs(60);
/// For a stop that nobody has asked for, at the end of a test.
const DROP_MAX: Duration = Duration::from_secs(10);
/// How often another process may take the port that we found free, before the server takes it.
const PORT_TRIES: usize = 10;
/// PostgreSQL's own port is good enough for a socket in a private directory.
const SOCKET_PORT: u16 = 5432;
/// Lines of the log that a failure shows.
const LOG_LINES_SHOWN: usize = 20;

/// A private cluster. Every method takes `&self`: a test stops and kills it while others use it.
///
/// Dropping it stops the server at once and removes its directory. A test that panics shows the end of the log.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    user: ServerUser,
    directory: PathBuf,
    port: u16,
    /// Behind one lock: what is done to the server is done one after the other.
    pub(crate) state: Mutex<State>,
}

/// What changes while a cluster lives.
#[derive(Debug)]
pub(crate) struct State {
    server: Option<Child>,
    pub(crate) settings: Vec<(String, String)>,
    watchdog: Watchdog,
}

impl Cluster {
    /// Makes a cluster and starts it. Its superuser is `postgres`; it trusts everybody who reaches it.
    ///
    /// # Errors
    ///
    /// When PostgreSQL is not installed, or does not start with these settings; the end of its log is in the text.
    pub fn start(options: ClusterOptions) -> Result<Cluster> {
        let cluster = Cluster::new(options, |new| template::copy(&new.binaries, new.user, &new.data_directory()))?;
        cluster.boot()?;
        Ok(cluster)
    }

    /// A cluster that is not started, with a data directory that `fill` makes.
    pub(crate) fn new(options: ClusterOptions, fill: impl FnOnce(&Cluster) -> Result<()>) -> Result<Cluster> {
        let binaries = Binaries::find()?;
        let user = ServerUser::find()?;
        let directory = places::new_cluster_directory(user)?;
        let watchdog = Watchdog::start(&directory)?;
        let port = if options.tcp { free_port()? } else { SOCKET_PORT };
        let settings = first_settings(&directory, port, options);
        let state = Mutex::new(State { server: None, settings, watchdog });
        let cluster = Cluster { binaries, user, directory, port, state };
        fill(&cluster)?;
        cluster.write_settings(&cluster.lock())?;
        Ok(cluster)
    }

    /// Starts the server, after [`stop`](Self::stop) or [`kill`](Self::kill), and waits until it takes connections.
    ///
    /// # Errors
    ///
    /// When it runs already, or does not start; the end of its log is in the text.
    pub fn boot(&self) -> Result<()> {
        let mut state = self.lock();
        if state.runs() {
            return Err(Error::new("the cluster runs already"));
        }
        let mut tries = 0;
        loop {
            let log_before = self.log().len();
            let Err(error) = self.boot_once(&mut state) else { return Ok(()) };
            tries += 1;
            let port_is_taken = self.log().get(log_before..).is_some_and(|new| new.contains("Address already in use"));
            if !port_is_taken || tries == PORT_TRIES {
                return Err(error);
            }
            // An outgoing connection of somebody has it, which does not last.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn boot_once(&self, state: &mut State) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.and_then(|log| Ok((log.try_clone()?, log))).map_err(Error::cannot("open the server's log"))?;
        let mut command = self.command("postgres")?;
        command.arg("-D").arg(self.data_directory()).stdin(Stdio::null()).stdout(log.0).stderr(log.1);
        // Ctrl-C is for the tests: the server stops when the watchdog or the test says so.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let server = command.spawn().map_err(Error::cannot("start PostgreSQL"))?;
        let pid = server.id();
        state.server = Some(server);
        state.watchdog.server(Some(pid))?;

        // The server itself says in this file when it takes connections, as `pg_ctl` reads it too.
        let pid_file = self.data_directory().join("postmaster.pid");
        let ready = processes::wait_for(START_MAX, || {
            if !state.runs() {
                return Err(Error::new(format!("PostgreSQL did not start. {}", self.log_end())));
            }
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            let mut lines = text.lines().map(str::trim);
            let ours = lines.next() == Some(&pid.to_string());
            Ok((ours && lines.nth(6) == Some("ready")).then_some(()))
        })?;
        ready.ok_or_else(|| {
            Error::new(format!("PostgreSQL did not take connections in {START_MAX:?}. {}", self.log_end()))
        })
    }

    /// Stops the server and waits until it has gone. One that does not run is left so.
    ///
    /// # Errors
    ///
    /// When it has not stopped after a minute.
    pub fn stop(&self, how: Shutdown) -> Result<()> {
        let mut state = self.lock();
        if !state.runs() {
            return Ok(());
        }
        let signal = match how {
            Shutdown::Smart => Signal::TERM,
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        };
        if state.end(signal, STOP_MAX)? {
            return Ok(());
        }
        Err(Error::new(format!("PostgreSQL did not stop in {STOP_MAX:?}. {}", self.log_end())))
    }

    /// Stops and starts the server, with the settings of [`configure`](Self::configure).
    ///
    /// # Errors
    ///
    /// Those of [`stop`](Self::stop) and [`boot`](Self::boot).
    pub fn restart(&self, how: Shutdown) -> Result<()> {
        self.stop(how)?;
        self.boot()
    }

    /// Kills every process of the server with SIGKILL, as the system does when it is out of memory, and waits until they
    /// have gone. [`boot`](Self::boot) starts it again.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn kill(&self) -> Result<()> {
        let mut state = self.lock();
        if !state.runs() {
            return Err(Error::new(format!("a server that does not run cannot be killed. {}", self.log_end())));
        }
        let server = state.server.as_ref().map_or(0, Child::id);
        // A stopped postmaster starts no further process while we list them.
        processes::signal(server, Signal::STOP)?;
        let children = processes::children(server)?;
        for pid in &children {
            processes::signal(*pid, Signal::KILL)?;
        }
        state.end(Signal::KILL, STOP_MAX)?;
        let gone =
            processes::wait_for(STOP_MAX, || Ok(children.iter().all(|pid| !processes::runs(*pid)).then_some(())))?;
        gone.ok_or_else(|| Error::new("processes of PostgreSQL have outlived SIGKILL"))
    }

    /// Stops every process of the server where it stands, as a machine that hangs does: connections stay, nothing answers.
    /// [`resume`](Self::resume) lets them go on.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal_all(Signal::STOP)
    }

    /// Lets a server go on after [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal_all(Signal::CONT)
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        let mut state = self.lock();
        if !state.runs() {
            return Err(Error::new(format!("a server that does not run takes no signal. {}", self.log_end())));
        }
        let server = state.server.as_ref().map_or(0, Child::id);
        // A stopped postmaster starts no further process while we list them.
        processes::signal(server, Signal::STOP)?;
        for pid in processes::children(server)? {
            processes::signal(pid, signal)?;
        }
        processes::signal(server, signal)
    }

    /// Changes settings, values unquoted. They hold from the next start, or from [`reload`](Self::reload) for those that
    /// PostgreSQL can change while it runs.
    ///
    /// # Errors
    ///
    /// When the file of the settings cannot be written.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let mut state = self.lock();
        for (name, value) in settings {
            set(&mut state.settings, name, value);
        }
        self.write_settings(&state)
    }

    /// Makes the running server read its settings, and returns once a new session has them.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn reload(&self) -> Result<()> {
        // A session that begins after this has been answered may still be served by the old settings, so ask for them.
        let before = self.sql_value("postgres", "SELECT pg_conf_load_time()")?;
        self.sql_value("postgres", "SELECT pg_reload_conf()")?;
        let loaded = processes::wait_for(STOP_MAX, || {
            Ok((self.sql_value("postgres", "SELECT pg_conf_load_time()")? != before).then_some(()))
        })?;
        loaded.ok_or_else(|| Error::new(format!("PostgreSQL did not read its settings. {}", self.log_end())))
    }

    /// Writes a file into the data directory, for the server's user alone to read: `pg_hba.conf`, or a key for TLS.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn write_file(&self, name: &str, content: &str) -> Result<()> {
        let path = self.data_directory().join(name);
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)))
            .and_then(|()| self.user.own(&path))
            .map_err(Error::cannot(format_args!("write {}", path.display())))
    }

    /// Makes a database whose name begins with the label, and returns its name. Letters other than `a` to `z` and digits
    /// become `_`.
    ///
    /// # Errors
    ///
    /// When the server does not run, or refuses.
    pub fn create_database(&self, label: &str) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        // PostgreSQL cuts names at 63 bytes, which would cut off what makes it unique.
        let label: String = label.chars().map(plain).take(48).collect();
        let name = format!("{label}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\""))?;
        Ok(name)
    }

    /// Runs statements as `postgres` in a session of their own, and returns the rows of all of them, as text. Several
    /// statements are one transaction. For what a test does to the server; what it tests goes through a driver.
    ///
    /// # Errors
    ///
    /// What the server said, or that it could not be reached.
    pub fn sql(&self, database: &str, statements: &str) -> Result<Vec<Row>> {
        sql::run(&self.directory.join(format!(".s.PGSQL.{}", self.port)), database, statements)
    }

    /// The one value that a statement gives.
    ///
    /// # Errors
    ///
    /// Those of [`sql`](Self::sql), and when it gives anything but one value.
    pub fn sql_value(&self, database: &str, statement: &str) -> Result<String> {
        match <[Row; 1]>::try_from(self.sql(database, statement)?).map(|[row]| <[Option<String>; 1]>::try_from(row)) {
            Ok(Ok([Some(value)])) => Ok(value),
            other => Err(Error::new(format!("{statement:?} gave {other:?} where one value was expected"))),
        }
    }

    /// The URL of a database through the unix socket, as `tokio-postgres` and `psql` take it. Further parameters go behind
    /// it with `&`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}&port={}", self.directory.display(), self.port)
    }

    /// The URL of a database through 127.0.0.1; `None` unless [`ClusterOptions::tcp`] was asked for.
    pub fn tcp_url(&self, database: &str) -> Option<String> {
        self.has_tcp().then(|| format!("postgres://postgres@127.0.0.1:{}/{database}", self.port))
    }

    /// The directory of the socket: the `host` of a connection.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// The port, of the socket and of 127.0.0.1 alike.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the data is.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The programs that the cluster runs on.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Whether the server runs.
    pub fn runs(&self) -> bool {
        self.lock().runs()
    }

    /// The process id of the postmaster; `None` when the server does not run.
    pub fn postmaster_pid(&self) -> Option<u32> {
        let mut state = self.lock();
        if state.runs() { state.server.as_ref().map(Child::id) } else { None }
    }

    /// All that the server has logged, over every start.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// One of PostgreSQL's programs, set to run as the server's user and to talk to this cluster.
    ///
    /// # Errors
    ///
    /// When this installation does not have it.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(self.binaries.program(program)?);
        processes::clean(&mut command);
        command.env("PGHOST", &self.directory).env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        command.current_dir(&self.directory);
        self.user.run(&mut command);
        Ok(command)
    }

    /// As whom the server runs.
    pub fn server_user(&self) -> ServerUser {
        self.user
    }

    pub(crate) fn has_tcp(&self) -> bool {
        self.lock().settings.iter().any(|(name, value)| name == "listen_addresses" && !value.is_empty())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked must not keep others, and the end of this one, from stopping the server.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the settings where `postgresql.conf` includes them.
    pub(crate) fn write_settings(&self, state: &State) -> Result<()> {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "''");
        let line = |(name, value): &(String, String)| format!("{name} = '{}'\n", quoted(value));
        self.write_file(template::SETTINGS_FILE, &state.settings.iter().map(line).collect::<String>())
    }

    pub(crate) fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        format!("Its log ends with:\n{}", shown.join("\n"))
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PostgreSQL in {} is stopped. {}", self.directory.display(), self.log_end());
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.runs() && !state.end(Signal::QUIT, DROP_MAX).unwrap_or(false) {
            let _ = state.end(Signal::KILL, DROP_MAX);
        }
        // The watchdog, dropped next, removes the directory.
    }
}

impl State {
    /// Whether the server runs; takes note when it has ended.
    fn runs(&mut self) -> bool {
        let ended = match &mut self.server {
            None => return false,
            Some(server) => !matches!(server.try_wait(), Ok(None)),
        };
        if ended {
            self.server = None;
            // A watchdog that was killed is found out when it is waited for.
            let _ = self.watchdog.server(None);
        }
        !ended
    }

    /// Sends the signal and says whether the server has gone in that time.
    fn end(&mut self, signal: Signal, at_most: Duration) -> Result<bool> {
        if let Some(server) = &self.server {
            processes::signal(server.id(), signal)?;
        }
        Ok(processes::wait_for(at_most, || Ok((!self.runs()).then_some(())))?.is_some())
    }
}

/// The defaults, then what the test wants instead.
fn first_settings(directory: &Path, port: u16, options: ClusterOptions) -> Vec<(String, String)> {
    let durable = if options.fsync { "on" } else { "off" };
    let mut settings: Vec<(String, String)> = [
        ("port", port.to_string().as_str()),
        ("unix_socket_directories", &directory.to_string_lossy()),
        ("listen_addresses", if options.tcp { "127.0.0.1" } else { "" }),
        ("fsync", durable),
        ("full_page_writes", durable),
        ("wal_level", "logical"),
        ("max_connections", "200"),
        ("max_wal_senders", "20"),
        ("max_replication_slots", "20"),
        ("shared_buffers", "128MB"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_line_prefix", "%m [%p] %a "),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in options.settings {
        set(&mut settings, &name, &value);
    }
    settings
}

/// Changes a setting or adds it.
pub(crate) fn set(settings: &mut Vec<(String, String)>, name: &str, value: &str) {
    settings.retain(|(other, _)| other != name);
    settings.push((name.to_owned(), value.to_owned()));
}

/// A port that nobody listens on.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(Error::cannot("find a free port"))
}
