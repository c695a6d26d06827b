//! A store with something to query, and something that nobody may see.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pacioli_core::store::EventStore;
use pacioli_core::{Append, AppendOutcome, EventId, EventType, ExpectedVersion, NewEvent, StreamName};
use pacioli_pgtest::Cluster;
use pacioli_postgres::models::query::SqlReader;
use pacioli_postgres::{Location, migrate};
use pacioli_projection::answer::{Answer, Value};
use pacioli_projection::engine::{Lookup, QueryError, QueryLimits};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::support::{location, open, options};

/// Stands in tables that no query may read.
pub(super) const CANARY: &str = "CANARY-7f3a";

/// As which login queries run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A member of the reader and of nothing else.
    Reader,
    /// The superuser that the store's URL names.
    Superuser,
}

/// A store, its database as a superuser sees it, and who answers.
pub(super) struct World {
    pub(super) location: Location,
    pub(super) admin: Client,
    pub(super) reader: SqlReader,
}

pub(super) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// What is queried: as a build would have made it.
const READ: &str = "
CREATE SCHEMA pacioli_read; REVOKE ALL ON SCHEMA pacioli_read FROM PUBLIC;
CREATE SCHEMA pacioli_balances_1; REVOKE ALL ON SCHEMA pacioli_balances_1 FROM PUBLIC;
CREATE TABLE pacioli_balances_1.balances (account text PRIMARY KEY, cents bigint NOT NULL, rate numeric(12, 4), opened date, tags text[], at timestamptz);
INSERT INTO pacioli_balances_1.balances SELECT 'account-' || n, n * 100, n / 8.0, date '2024-01-01' + n, ARRAY['t' || n, 'x'], timestamptz '2024-01-01' + n * interval '1 hour' FROM generate_series(1, 1000) n;
CREATE TABLE pacioli_balances_1.\"Größe\" (\"select\" int, \"a\"\"b\" text, j json);
INSERT INTO pacioli_balances_1.\"Größe\" VALUES (1, 'one', '{\"a\":1}'), (2, 'two', NULL);
ANALYZE pacioli_balances_1.balances;
CREATE VIEW pacioli_read.balances AS SELECT * FROM pacioli_balances_1.balances;
CREATE VIEW pacioli_read.\"Größe\" AS SELECT * FROM pacioli_balances_1.\"Größe\";
CREATE VIEW pacioli_read.events AS SELECT partition, position, stream, category, key, version, type, schema_version, id, data, metadata, tags, metadata ->> 'actor' AS actor, occurred_at, recorded_at FROM pacioli.log;
GRANT USAGE ON SCHEMA pacioli_read TO pacioli_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA pacioli_read TO pacioli_reader;
";

/// What is not: a table that the reader may not read, one that everybody may, and functions of somebody else's.
const SECRETS: &str = "
CREATE TABLE public.secret (canary text); INSERT INTO public.secret VALUES ('CANARY-7f3a');
CREATE TABLE public.open_to_all (canary text); INSERT INTO public.open_to_all VALUES ('CANARY-7f3a'); GRANT SELECT ON public.open_to_all TO PUBLIC;
CREATE SEQUENCE public.numbers; GRANT USAGE ON public.numbers TO PUBLIC;
CREATE FUNCTION public.telling() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT canary FROM public.secret $$;
CREATE FUNCTION public.lower(text, text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT canary FROM public.secret $$;
CREATE FUNCTION public.writing() RETURNS int LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO public.secret VALUES ('written'); SELECT 1 $$;
";

static LOGINS: AtomicU32 = AtomicU32::new(0);

impl World {
    /// A new store in the cluster that all tests share.
    pub(super) async fn new(label: &str, mode: Mode) -> World {
        World::at(&pacioli_pgtest::database_url(label), mode).await
    }

    /// A new store in a database of a cluster of its own.
    pub(super) async fn in_cluster(cluster: &Cluster, label: &str, mode: Mode) -> World {
        let database = cluster.create_database(label).expect("a database");
        World::at(&cluster.url(&database), mode).await
    }

    async fn at(url: &str, mode: Mode) -> World {
        let store = location(url);
        migrate::init(&store, None).await.expect("a store");
        let log = open(url, options()).await.expect("an open store");
        for stream in 1..=3_u128 {
            let event = |number: u128| {
                let data = format!("{{\"amount\":{}}}", number * 100);
                NewEvent::json(
                    EventId(Uuid::from_u128(stream * 1_000 + number)),
                    EventType::new("MoneyDeposited").expect("a name"),
                    data.into_bytes(),
                )
            };
            let name = StreamName::new(format!("account-{stream}")).expect("a name");
            let appended = log.append(Append::to(name, ExpectedVersion::Any, (1..=5).map(event).collect())).await;
            assert!(matches!(appended.expect("an answer"), AppendOutcome::Appended(_)));
        }
        let admin = connect(url).await;
        admin.batch_execute(READ).await.expect("something to query");
        admin.batch_execute(SECRETS).await.expect("something to hide");
        let store = match mode {
            Mode::Superuser => store,
            Mode::Reader => {
                // Roles are the cluster's.
                let login = format!("analyst_{}", LOGINS.fetch_add(1, Ordering::Relaxed));
                admin
                    .batch_execute(&format!("CREATE ROLE {login} LOGIN IN ROLE pacioli_reader"))
                    .await
                    .expect("a login");
                let separator = if url.contains('?') { '&' } else { '?' };
                location(&format!("{url}{separator}reader={login}"))
            }
        };
        let reader = SqlReader::new(&store, 4).expect("a reader");
        World { location: store, admin, reader }
    }

    pub(super) async fn ask(&self, sql: &str) -> Result<Answer, QueryError> {
        self.reader.query(sql, &[], limits()).await
    }

    #[track_caller]
    pub(super) fn rows(&self, sql: &str) -> impl Future<Output = Vec<Vec<Value>>> {
        let (sql, asked) = (sql.to_owned(), self.ask(sql));
        async move { asked.await.unwrap_or_else(|error| panic!("{sql}\n{error}")).rows }
    }

    pub(super) async fn look_up(&self, table: &str, equals: &[(&str, &str)]) -> Result<Answer, QueryError> {
        self.reader.lookup(lookup(table, equals), limits()).await
    }
}

pub(super) fn lookup(table: &str, equals: &[(&str, &str)]) -> Lookup {
    let equals = equals.iter().map(|(column, value)| ((*column).to_owned(), (*value).to_owned())).collect();
    Lookup { table: table.to_owned(), equals, order: None, limit: 100 }
}

pub(super) fn limits() -> QueryLimits {
    QueryLimits { rows_max: 10_000, bytes_max: 4 << 20, time_max: Duration::from_secs(10) }
}
