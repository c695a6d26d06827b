//! Hot standbys: how they are made, promoted, and how an old primary becomes one.

use std::time::Duration;

use crate::cluster::{self, Cluster};
use crate::error::{Error, Result};
use crate::options::{ClusterOptions, Shutdown, StandbyOptions};
use crate::processes;

/// For a standby to begin to follow, and to have caught up.
const FOLLOW_MAX: Duration = Duration::from_secs(60);
/// What each cluster has for itself.
const OWN: [&str; 3] = ["port", "unix_socket_directories", "listen_addresses"];

impl Cluster {
    /// Makes a copy of this running cluster that follows it and answers reads, and waits until it does.
    ///
    /// Its connection to the primary is among its settings, as `primary_conninfo`: see [`configure`](Self::configure).
    ///
    /// # Errors
    ///
    /// When this installation has no `pg_basebackup`, or when the copy does not begin to follow.
    pub fn standby(&self, options: StandbyOptions) -> Result<Cluster> {
        make_slot(self, &options)?;
        let tcp = self.has_tcp();
        let mut settings = self.lock().settings.clone();
        settings.retain(|(name, _)| !OWN.contains(&name.as_str()));
        let standby = Cluster::new(ClusterOptions { tcp, settings, ..ClusterOptions::default() }, |new| {
            let mut copy = self.command("pg_basebackup")?;
            copy.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync", "-D"]).arg(new.data_directory());
            processes::run(&mut copy)
        })?;
        standby.follow(self, &options)?;
        Ok(standby)
    }

    /// Makes this standby a primary, and returns once it takes writes.
    ///
    /// # Errors
    ///
    /// When it is no running standby.
    pub fn promote(&self) -> Result<()> {
        let mut promote = self.command("pg_ctl")?;
        promote.args(["promote", "--wait", "--timeout=60", "-D"]).arg(self.data_directory());
        processes::run(&mut promote)?;
        // Else the next base backup of it would carry an address to follow.
        let mut state = self.lock();
        state.settings.retain(|(name, _)| !name.starts_with("primary_"));
        self.write_settings(&state)
    }

    /// Makes this former primary, stopped or killed or running, a standby of the one that was promoted in its place: goes
    /// back to where their logs part, and follows. What it alone had is lost.
    ///
    /// # Errors
    ///
    /// When this installation has no `pg_rewind`, or when the logs cannot be brought together.
    pub fn rewind_from(&self, promoted: &Cluster, options: StandbyOptions) -> Result<()> {
        self.stop(Shutdown::Fast)?;
        make_slot(promoted, &options)?;
        // pg_rewind reads of the new timeline in the control file, which the checkpoint after a promotion writes.
        promoted.sql("postgres", "CHECKPOINT")?;
        let mut rewind = self.command("pg_rewind")?;
        let source = format!("{} dbname=postgres", promoted.connection());
        rewind.args(["--no-sync", "--source-server", &source, "-D"]).arg(self.data_directory());
        processes::run(&mut rewind)?;
        self.follow(promoted, &options)
    }

    /// Waits until this standby has replayed all that the primary has written by now.
    ///
    /// # Errors
    ///
    /// When it has not after a minute.
    pub fn catch_up_with(&self, primary: &Cluster) -> Result<()> {
        let written = primary.sql_value("postgres", "SELECT pg_current_wal_flush_lsn()")?;
        let question = format!("SELECT coalesce(pg_last_wal_replay_lsn() >= '{written}', false)");
        let caught_up =
            processes::wait_for(FOLLOW_MAX, || Ok((self.sql_value("postgres", &question)? == "t").then_some(())))?;
        caught_up.ok_or_else(|| {
            Error::new(format!("the standby did not replay up to {written} in {FOLLOW_MAX:?}. {}", self.log_end()))
        })
    }

    /// Starts as a standby of that primary, and waits until the primary sends to it.
    fn follow(&self, primary: &Cluster, options: &StandbyOptions) -> Result<()> {
        let name = &options.application_name;
        let conninfo = format!("{} application_name={}", primary.connection(), quoted(name));
        {
            let mut state = self.lock();
            let slot = options.slot.as_deref().unwrap_or_default();
            for (name, value) in [("primary_conninfo", conninfo.as_str()), ("primary_slot_name", slot)] {
                cluster::set(&mut state.settings, name, value);
            }
            for (name, value) in &options.settings {
                cluster::set(&mut state.settings, name, value);
            }
            self.write_settings(&state)?;
        }
        self.write_file("standby.signal", "")?;
        self.boot()?;
        let question = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '{}'",
            name.replace('\'', "''")
        );
        let follows =
            processes::wait_for(FOLLOW_MAX, || Ok((primary.sql_value("postgres", &question)? != "0").then_some(())))?;
        follows.ok_or_else(|| {
            Error::new(format!("the standby {name} did not begin to follow in {FOLLOW_MAX:?}. {}", self.log_end()))
        })
    }

    /// How a program of PostgreSQL reaches this cluster.
    fn connection(&self) -> String {
        format!("host={} port={} user=postgres", quoted(&self.socket_directory().to_string_lossy()), self.port())
    }
}

fn make_slot(primary: &Cluster, options: &StandbyOptions) -> Result<()> {
    let Some(slot) = &options.slot else { return Ok(()) };
    let slot = slot.replace('\'', "''");
    // Reserved at once, so that nothing the copy needs is removed before it follows.
    let statement = format!(
        "SELECT pg_create_physical_replication_slot('{slot}', true) \
         WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}')"
    );
    primary.sql("postgres", &statement).map(drop)
}

/// A value of a connection string.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}
