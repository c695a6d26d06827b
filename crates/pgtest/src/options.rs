//! What a test may ask of a cluster.

/// How a cluster is made. The default is what most tests want: a unix socket alone, and no waiting for the disk.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Listens on 127.0.0.1 too, on a free port: for proxies, and for what speaks TCP alone.
    pub tcp: bool,
    /// Keeps `fsync` and `full_page_writes` on, for tests of durability. Both are off otherwise.
    pub fsync: bool,
    /// Further settings, by name and value as in `postgresql.conf` but unquoted. They win over the defaults, which are
    /// `wal_level=logical`, `max_connections=200`, `max_wal_senders=20`, `max_replication_slots=20`,
    /// `shared_buffers=128MB` and `timezone=UTC`.
    pub settings: Vec<(String, String)>,
}

/// How a standby follows its primary.
#[derive(Clone, Debug)]
pub struct StandbyOptions {
    /// What the primary knows the standby by, in `synchronous_standby_names` and in `pg_stat_replication`.
    pub application_name: String,
    /// A physical replication slot to follow through. It is made on the primary if it is missing, and never dropped.
    pub slot: Option<String>,
    /// Settings that differ from the primary's, whose settings the standby takes over otherwise, with
    /// `synchronous_standby_names` among them.
    pub settings: Vec<(String, String)>,
}

impl Default for StandbyOptions {
    fn default() -> Self {
        StandbyOptions { application_name: "standby".to_owned(), slot: None, settings: Vec::new() }
    }
}

/// PostgreSQL's three ways to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Waits until every client has gone.
    Smart,
    /// Ends the sessions, then writes a checkpoint.
    Fast,
    /// Stops at once. The next start recovers from the write-ahead log.
    Immediate,
}
