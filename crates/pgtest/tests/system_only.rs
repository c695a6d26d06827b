//! Standbys and failover, with the programs that some packages of PostgreSQL do not have.

use pacioli_pgtest::{Cluster, ClusterOptions, Shutdown, StandbyOptions};

use crate::support::started;

fn count(cluster: &Cluster) -> String {
    cluster.sql_value("postgres", "SELECT count(*) FROM log").unwrap()
}

fn insert(cluster: &Cluster) {
    cluster.sql("postgres", "INSERT INTO log SELECT FROM generate_series(1, 100)").unwrap();
}

#[test]
fn a_standby_replicates_is_promoted_and_the_killed_primary_rejoins() {
    let primary = Cluster::start(ClusterOptions { fsync: true, ..ClusterOptions::default() }).unwrap();
    primary.sql("postgres", "CREATE TABLE log ()").unwrap();
    insert(&primary);

    // 1. It follows, read only.
    let slot = |name: &str| StandbyOptions { slot: Some(name.to_owned()), ..StandbyOptions::default() };
    let standby = primary.standby(slot("to_standby")).unwrap();
    insert(&primary);
    standby.catch_up_with(&primary).unwrap();
    assert_eq!(count(&standby), "200");
    assert_eq!(standby.sql_value("postgres", "SHOW fsync").unwrap(), "on");
    let error = standby.sql("postgres", "INSERT INTO log DEFAULT VALUES").unwrap_err().to_string();
    assert!(error.contains("25006"), "{error}");
    let active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'to_standby'";
    assert_eq!(primary.sql_value("postgres", active).unwrap(), "t");

    // 2. What the primary writes while the standby is away is lost by the switch; a part of it reaches the disk.
    standby.stop(Shutdown::Fast).unwrap();
    insert(&primary);
    primary.kill().unwrap();
    standby.boot().unwrap();
    standby.promote().unwrap();
    assert_eq!(standby.sql_value("postgres", "SELECT pg_is_in_recovery()").unwrap(), "f");
    insert(&standby);
    insert(&standby);
    assert_eq!(count(&standby), "400");

    // 3. The old primary was killed, went on alone for a while, and rejoins all the same.
    primary.boot().unwrap();
    insert(&primary);
    assert_eq!(count(&primary), "400");
    primary.kill().unwrap();
    primary.rewind_from(&standby, slot("back")).unwrap();
    insert(&standby);
    primary.catch_up_with(&standby).unwrap();
    assert_eq!(count(&primary), "500");

    // 4. And back again, by a planned switch.
    standby.stop(Shutdown::Fast).unwrap();
    primary.promote().unwrap();
    standby.rewind_from(&primary, StandbyOptions::default()).unwrap();
    insert(&primary);
    standby.catch_up_with(&primary).unwrap();
    assert_eq!(count(&standby), "600");
}

#[test]
fn a_primary_can_wait_for_a_standby_by_its_name() {
    let primary = started();
    primary.sql("postgres", "CREATE TABLE log ()").unwrap();
    let options = StandbyOptions { application_name: "berlin, it's".to_owned(), ..StandbyOptions::default() };
    let standby = primary.standby(options).unwrap();
    primary
        .configure(&[("synchronous_standby_names", "\"berlin, it's\""), ("synchronous_commit", "remote_apply")])
        .unwrap();
    primary.reload().unwrap();
    insert(&primary);
    assert_eq!(count(&standby), "100");
    let state = primary.sql_value("postgres", "SELECT sync_state FROM pg_stat_replication").unwrap();
    assert_eq!(state, "sync");
}

#[test]
fn a_standby_of_a_tcp_cluster_has_a_port_of_its_own() {
    let primary = Cluster::start(ClusterOptions { tcp: true, ..ClusterOptions::default() }).unwrap();
    let standby = primary.standby(StandbyOptions::default()).unwrap();
    assert_ne!(primary.port(), standby.port());
    std::net::TcpStream::connect(("127.0.0.1", standby.port())).unwrap();
}

#[test]
fn what_is_no_standby_cannot_be_promoted() {
    let error = started().promote().unwrap_err().to_string();
    assert!(error.contains("not in standby mode"), "{error}");
}
