//! A cluster is set up as promised, and reached by nobody who does not know its socket.

use std::os::unix::fs::MetadataExt;

use pacioli_pgtest::{Cluster, ClusterOptions, Shutdown, database_url, shared};

use crate::support::{runs, started};

fn setting(cluster: &Cluster, name: &str) -> String {
    cluster.sql_value("postgres", &format!("SHOW {name}")).unwrap()
}

#[test]
fn settings_are_the_promised_ones_and_a_tests_own_win() {
    let shared = shared();
    let expected = [
        ("wal_level", "logical"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "on"),
        ("max_connections", "200"),
        ("listen_addresses", ""),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("lc_messages", "C"),
        ("data_checksums", "on"),
    ];
    for (name, value) in expected {
        assert_eq!(setting(shared, name), value, "{name}");
    }
    let settings =
        vec![("max_connections".to_owned(), "33".to_owned()), ("cluster_name".to_owned(), r"it's \ 1".to_owned())];
    let own = Cluster::start(ClusterOptions { fsync: true, settings, ..ClusterOptions::default() }).unwrap();
    for (name, value) in
        [("fsync", "on"), ("full_page_writes", "on"), ("max_connections", "33"), ("cluster_name", r"it's \ 1")]
    {
        assert_eq!(setting(&own, name), value, "{name}");
    }
}

#[test]
fn the_server_does_not_run_as_root_and_its_data_is_its_own() {
    let cluster = shared();
    let data = cluster.data_directory().metadata().unwrap();
    assert_eq!(data.mode() & 0o777, 0o700);
    let process = std::fs::metadata(format!("/proc/{}", cluster.postmaster_pid().unwrap()));
    if let Ok(process) = process {
        assert_eq!(process.uid(), data.uid());
    }
    assert_eq!(data.uid(), cluster.server_user().uid());
    assert_ne!(data.uid(), 0);
}

#[test]
fn every_database_is_new_and_its_url_leads_to_it() {
    let (one, other) = (database_url("Orders (Ärger)"), database_url("Orders (Ärger)"));
    assert_ne!(one, other);
    let name = one.strip_prefix("postgres://postgres@/").and_then(|rest| rest.split_once('?')).unwrap().0;
    assert!(name.starts_with("orders___rger__"), "{name}");
    shared().sql(name, "CREATE TABLE here (thing text); INSERT INTO here VALUES ('my place'), (NULL)").unwrap();
    let rows = shared().sql(name, "SELECT thing FROM here ORDER BY 1").unwrap();
    assert_eq!(rows, [vec![Some("my place".to_owned())], vec![None]]);

    // The same through PostgreSQL's own client, where it is installed.
    if let Ok(mut psql) = shared().command("psql") {
        let output = psql.args(["-XAtc", "SELECT current_database()", &one]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), name, "{output:?}");
    }
}

#[test]
fn tcp_is_there_when_asked_for() {
    let cluster = Cluster::start(ClusterOptions { tcp: true, ..ClusterOptions::default() }).unwrap();
    let url = cluster.tcp_url("postgres").unwrap();
    assert_eq!(url, format!("postgres://postgres@127.0.0.1:{}/postgres", cluster.port()));
    std::net::TcpStream::connect(("127.0.0.1", cluster.port())).unwrap();
    assert_eq!(shared().tcp_url("postgres"), None);
}

#[test]
fn a_port_that_is_taken_is_waited_for() {
    let cluster = Cluster::start(ClusterOptions { tcp: true, ..ClusterOptions::default() }).unwrap();
    cluster.stop(Shutdown::Fast).unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", cluster.port())).unwrap();
    std::thread::scope(|scope| {
        let boot = scope.spawn(|| cluster.boot());
        crate::support::wait_until("the server found its port taken", || cluster.log().contains("already in use"));
        drop(taken);
        boot.join().unwrap().unwrap();
    });
    assert!(cluster.runs());
}

#[test]
fn settings_change_with_a_restart_or_a_reload() {
    let cluster = started();
    cluster.configure(&[("wal_level", "replica"), ("max_wal_senders", "3")]).unwrap();
    assert_eq!(setting(&cluster, "wal_level"), "logical");
    cluster.restart(Shutdown::Fast).unwrap();
    assert_eq!(setting(&cluster, "wal_level"), "replica");

    cluster.configure(&[("work_mem", "5MB")]).unwrap();
    cluster.reload().unwrap();
    assert_eq!(setting(&cluster, "work_mem"), "5MB");
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let settings = vec![("wal_level".to_owned(), "no_such_level".to_owned())];
    let error = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).unwrap_err().to_string();
    assert!(error.contains("invalid value for parameter \"wal_level\""), "{error}");
}

#[test]
fn a_failed_statement_says_why() {
    let error = shared().sql("postgres", "SELECT 1/0").unwrap_err().to_string();
    assert!(error.contains("22012: division by zero"), "{error}");
    let error = shared().sql("no_such_database", "SELECT 1").unwrap_err().to_string();
    assert!(error.contains("3D000"), "{error}");
    let error = shared().sql_value("postgres", "VALUES (1), (2)").unwrap_err().to_string();
    assert!(error.contains("one value was expected"), "{error}");
}

#[test]
fn files_are_written_for_the_server_to_read() {
    let cluster = started();
    cluster.write_file("pg_hba.conf", "local all postgres trust\nlocal all all reject\n").unwrap();
    cluster.reload().unwrap();
    let rules = cluster.sql_value("postgres", "SELECT string_agg(auth_method, ',') FROM pg_hba_file_rules").unwrap();
    assert_eq!(rules, "trust,reject");
    assert!(runs(cluster.postmaster_pid().unwrap()));
}
