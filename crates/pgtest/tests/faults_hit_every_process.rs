//! Stops and kills do what they say, and the server comes back with what it had promised.

use std::path::Path;

use pacioli_pgtest::{Cluster, ClusterOptions, Shutdown};

use crate::support::{runs, started};

/// The server's processes that serve something, by what PostgreSQL knows of itself.
fn backends(cluster: &Cluster) -> Vec<u32> {
    let rows = cluster.sql("postgres", "SELECT pid FROM pg_stat_activity").unwrap();
    rows.into_iter().map(|row| row[0].as_deref().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_killed_server_leaves_no_process_and_keeps_what_was_committed() {
    let cluster = Cluster::start(ClusterOptions { fsync: true, ..ClusterOptions::default() }).unwrap();
    cluster.sql("postgres", "CREATE TABLE kept (n int)").unwrap();
    for round in 1..=3 {
        cluster.sql("postgres", &format!("INSERT INTO kept VALUES ({round})")).unwrap();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| cluster.sql("postgres", "SELECT pg_sleep(60)"));
            crate::support::wait_until("a session sleeps", || {
                let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
                cluster.sql_value("postgres", sleeping).unwrap() == "1"
            });
            let (postmaster, backends) = (cluster.postmaster_pid().unwrap(), backends(&cluster));
            assert!(backends.len() > 5, "{backends:?}");

            cluster.kill().unwrap();

            assert!(!cluster.runs() && cluster.postmaster_pid().is_none());
            assert!(!runs(postmaster) && !backends.iter().any(|pid| runs(*pid)));
            sleeper.join().unwrap().unwrap_err();
        });
        cluster.sql("postgres", "SELECT 1").unwrap_err();
        cluster.boot().unwrap();
        assert_eq!(cluster.sql_value("postgres", "SELECT count(*) FROM kept").unwrap(), round.to_string());
    }
    assert!(cluster.log().contains("automatic recovery in progress"));
}

#[test]
fn each_way_to_stop_stops_and_what_stopped_starts_again() {
    let cluster = started();
    for (how, says) in [
        (Shutdown::Smart, "received smart shutdown request"),
        (Shutdown::Fast, "received fast shutdown request"),
        (Shutdown::Immediate, "received immediate shutdown request"),
    ] {
        let pid = cluster.postmaster_pid().unwrap();
        cluster.stop(how).unwrap();
        assert!(!cluster.runs() && !runs(pid));
        assert!(cluster.log().contains(says), "{}", cluster.log());
        cluster.stop(how).unwrap();
        cluster.boot().unwrap();
        assert_ne!(cluster.postmaster_pid(), Some(pid));
    }
}

#[test]
fn a_fault_that_cannot_happen_is_an_error() {
    let cluster = started();
    assert!(cluster.boot().unwrap_err().to_string().contains("runs already"));
    cluster.stop(Shutdown::Immediate).unwrap();
    assert!(cluster.kill().unwrap_err().to_string().contains("cannot be killed"));
    assert!(cluster.reload().unwrap_err().to_string().contains("cannot connect"));
}

#[test]
fn a_server_that_died_by_itself_is_noticed() {
    let cluster = started();
    let pid = i32::try_from(cluster.postmaster_pid().unwrap()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::QUIT).unwrap();
    crate::support::wait_until("the server has gone", || !cluster.runs());
    assert!(!Path::new(&cluster.data_directory().join("postmaster.pid")).exists());
    cluster.boot().unwrap();
}
