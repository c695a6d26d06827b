//! The login that queries run as.

use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_postgres::Location;
use pacioli_postgres::models::query::SqlReader;
use pacioli_projection::engine::QueryError;
use std::time::Duration;

use super::world::{Mode, World, limits};

#[tokio::test]
async fn a_password_is_used_and_never_told() {
    let cluster = Cluster::start(ClusterOptions { tcp: true, ..ClusterOptions::default() }).expect("a cluster");
    let world = World::in_cluster(&cluster, "passwords", Mode::Superuser).await;
    cluster.sql("postgres", "CREATE ROLE analyst LOGIN PASSWORD 'p&ss:w?rd' IN ROLE pacioli_reader").expect("a login");
    cluster
        .write_file(
            "pg_hba.conf",
            "local all postgres trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        )
        .expect("written");
    cluster.reload().expect("read");
    let url = cluster.tcp_url(world.location.database()).expect("a port");
    let ask = async |reader: &str| {
        let location: Location = format!("{url}?reader={reader}").parse().expect("a location");
        assert!(!format!("{location:?}").contains("ss:w"));
        SqlReader::new(&location, 1).expect("a reader").query("SELECT count(*) FROM balances", &[], limits()).await
    };
    assert!(ask("analyst:p%26ss%3Aw%3Frd").await.is_ok());
    for wrong in ["analyst:p%26ss%3Aw%3Frong", "analyst"] {
        let Err(QueryError::Store(error)) = ask(wrong).await else { panic!("{wrong} is let in") };
        assert!(!error.reason.contains("ss:w"), "{error}");
    }
    let second: Location = url.replacen("postgres@", "analyst:p%26ss%3Aw%3Frd@", 1).parse().expect("a location");
    let location = world.location.clone().with_reader(second).expect("a reader");
    let reader = SqlReader::new(&location, 1).expect("a reader");
    assert!(reader.query("SELECT count(*) FROM balances", &[], limits()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_their_cancels_go_by_tls() {
    let cluster = Cluster::start(ClusterOptions { tcp: true, ..ClusterOptions::default() }).expect("a cluster");
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    cluster.write_file("server.crt", &issued.cert.pem()).expect("written");
    cluster.write_file("server.key", &issued.signing_key.serialize_pem()).expect("written");
    cluster.configure(&[("ssl", "on")]).expect("configured");
    cluster.reload().expect("read");
    let world = World::in_cluster(&cluster, "tls", Mode::Superuser).await;
    let root = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(root.path(), issued.cert.pem()).expect("written");
    // Nothing gets in without.
    cluster.write_file("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust\n").expect("written");
    cluster.reload().expect("read");
    let url = cluster.tcp_url(world.location.database()).expect("a port");
    let safe: Location =
        format!("{url}?sslmode=verify-full&sslrootcert={}", root.path().display()).parse().expect("a location");
    let reader = SqlReader::new(&safe, 2).expect("a reader");
    assert!(reader.query("SELECT count(*) FROM balances", &[], limits()).await.is_ok());
    let forever = reader.query("SELECT count(*) FROM generate_series(1, 1000000000000)", &[], limits());
    assert!(tokio::time::timeout(Duration::from_millis(200), forever).await.is_err());
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1000000000000%' AND state = 'active' AND pid <> pg_backend_pid()";
    let began = std::time::Instant::now();
    while world.admin.query_one(running, &[]).await.expect("an answer").get::<_, i64>(0) > 0 {
        assert!(began.elapsed() < Duration::from_secs(1), "the cancel does not come");
    }
}
