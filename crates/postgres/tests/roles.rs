//! Who may do what with a store: a table of role, object and verb, checked by doing it.

use pacioli_core::lease::LeaseOutcome;
use pacioli_core::store::{Direction, EventStore, Filter, ListStreams, PayloadChoice, ReadLog, ReadStream};
use pacioli_core::{Append, AppendOutcome, EventId, EventType, ExpectedVersion, NewEvent, StreamName};
use pacioli_pgtest::{Cluster, ClusterOptions, shared};
use pacioli_postgres::{PostgresOptions, maintenance, migrate};
use std::time::Duration;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::support::{location, open, options};

/// Who is refused by rights, and who has all rights and is stopped by the triggers alone. The role `sync` is nobody's: what
/// it may is told by [`the_function_that_runs_projections_belongs_to_a_role_that_may_do_nothing_else`].
const ROLES: [&str; 5] = ["owner", "appender", "reader", "projector", "replicator"];

/// What each role may do with each object: s(elect), i(nsert), u(pdate), d(elete), t(runcate). The owner has every right;
/// what the triggers stop is in capital letters. `-` is nothing.
const TABLES: &[(&str, [&str; 5])] = &[
    // object              owner    appender reader projector replicator
    ("log", ["sUD", "s", "s", "s", "-"]),
    ("shaped_events", ["sUD", "s", "s", "s", "-"]),
    ("events", ["siUDT", "si", "s", "s", "-"]),
    ("event_tags", ["siUDT", "si", "s", "s", "-"]),
    ("event_ids", ["siUDT", "si", "-", "-", "-"]),
    ("append_keys", ["siUDT", "si", "-", "-", "-"]),
    ("stream_chunks", ["siUDT", "si", "s", "s", "-"]),
    ("commits", ["siUDT", "si", "s", "s", "s"]),
    ("epochs", ["siUDT", "s", "s", "s", "-"]),
    ("events_c000000", ["siUDT", "-", "-", "-", "-"]),
    ("events_c000003", ["siUDT", "-", "-", "-", "-"]),
    ("event_tags_c000000", ["siUDT", "-", "-", "-", "-"]),
    ("event_ids_p1", ["siUDT", "-", "-", "-", "-"]),
    ("append_keys_p1", ["siUDT", "-", "-", "-", "-"]),
    ("heads", ["siUDT", "s", "s", "s", "-"]),
    ("streams", ["siudt", "si", "s", "s", "-"]),
    ("chunks", ["siudt", "s", "s", "s", "-"]),
    ("store", ["siudt", "s", "s", "s", "-"]),
    ("migrations", ["siudt", "s", "s", "s", "-"]),
    ("indexes", ["siudt", "s", "s", "s", "-"]),
    ("periods", ["siudt", "s", "-", "-", "-"]),
    ("checkpoints", ["siudt", "siu", "-", "siu", "-"]),
    ("deferred_appends", ["siudt", "-", "-", "-", "-"]),
    ("leases", ["siudt", "siu", "-", "-", "-"]),
    ("snapshots", ["siudt", "siud", "-", "-", "-"]),
    ("sync_builds", ["siudt", "s", "-", "sid", "-"]),
    ("registry", ["siudt", "s", "s", "s", "-"]),
    ("schemas", ["siudt", "s", "s", "s", "-"]),
    ("schema_settings", ["siudt", "s", "s", "s", "-"]),
    ("schema_readers", ["siudt", "siud", "siud", "-", "-"]),
];

/// Columns that may be updated where the table may not.
const COLUMNS: &[(&str, &str, [bool; 5])] = &[
    //                        owner  appender reader projector replicator
    ("heads", "part", [true, true, false, true, false]),
    ("heads", "epoch", [true, false, false, false, false]),
    ("streams", "version", [true, true, false, false, false]),
    ("streams", "stream", [true, false, false, false, false]),
    ("streams", "first_pos", [true, false, false, false, false]),
];

/// Who may call what.
const FUNCTIONS: &[(&str, &str, [bool; 5])] = &[
    // function       a call of it                       owner  appender reader projector replicator
    ("make_chunks", "SELECT * FROM make_chunks(0, 4)", [true, true, false, false, false]),
    ("run_sync", "SELECT run_sync(0, 1, 1)", [true, true, false, false, false]),
    ("turn_periods", "SELECT * FROM turn_periods()", [true, true, false, false, false]),
    ("meet_database", "SELECT meet_database()", [true, true, false, false, false]),
    ("partition_of", "SELECT partition_of('a-1', 4)", [true, true, true, true, false]),
    (
        "append",
        "SELECT * FROM append('a-1', 'any', ARRAY['{\"type\":\"T\",\"data\":{}}'::jsonb])",
        [true, true, false, false, false],
    ),
    (
        "append_deferred",
        "SELECT append_deferred('a-1', 'any', ARRAY['{\"type\":\"T\",\"data\":{}}'::jsonb])",
        [true, true, false, false, false],
    ),
    (
        "run_deferred",
        "CREATE TEMP TABLE x (); CREATE TRIGGER t BEFORE INSERT ON x EXECUTE FUNCTION run_deferred()",
        [true, false, false, false, false],
    ),
    ("shape_of", "SELECT shape_of('T', 1, '{}')", [true, true, true, true, true]),
    (
        "shapes_within",
        "SELECT shapes_within(ARRAY['T'], ARRAY[1, 0, 0], ARRAY[2, 0, 0])",
        [true, true, true, true, false],
    ),
    ("judge_events", "SELECT judge_events('a', '{}', '{}', '{}')", [true, false, false, false, false]),
    ("guard", "SELECT guard('events'::regclass)", [true, false, false, false, false]),
];

const VERBS: [(char, &str); 5] =
    [('s', "SELECT"), ('i', "INSERT"), ('u', "UPDATE"), ('d', "DELETE"), ('t', "TRUNCATE")];

/// A statement that does the verb, if it may, and reaches no row.
fn statement(verb: char, table: &str) -> String {
    match verb {
        's' => format!("SELECT * FROM {table} LIMIT 0"),

        'i' => format!("INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table} WHERE false"),
        'u' => format!("UPDATE {table} SET {} WHERE false", same_column(table)),
        'd' => format!("DELETE FROM {table} WHERE false"),
        _ => format!("TRUNCATE {table}"),
    }
}

/// An assignment that changes nothing, of a column that no narrower right is given for.
fn same_column(table: &str) -> &'static str {
    match table {
        _ if table.starts_with("event_ids") => "id = id",
        _ if table.starts_with("append_keys") => "key = key",
        _ if table.starts_with("event") => "position = position",
        "stream_chunks" => "chunk = chunk",
        "commits" => "first_pos = first_pos",
        "epochs" => "began_at = began_at",
        "heads" => "part = part, epoch = epoch",
        "streams" | "snapshots" | "deferred_appends" => "stream = stream",
        "chunks" => "chunk = chunk",
        "store" => "remember = remember",
        "migrations" | "indexes" => "name = name",
        "periods" => "period = period",
        "sync_builds" => "projection = projection",
        "registry" => "generation = generation",
        "schemas" => "type = type",
        "log" | "shaped_events" => "position = position",
        _ => "name = name",
    }
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute("SET search_path = pacioli").await.expect("a path");
    client
}

/// Does a statement as a role in a transaction that is rolled back; says how it was refused.
async fn refused(client: &tokio_postgres::Client, role: &str, statement: &str) -> Option<String> {
    let set = if role.is_empty() { String::new() } else { format!("SET LOCAL ROLE pacioli_{role}; ") };
    let done = client.batch_execute(&format!("BEGIN; {set}{statement}")).await;
    client.batch_execute("ROLLBACK").await.expect("a rollback");
    done.err().map(|error| {
        let error = error.as_db_error().expect("an answer").clone();
        assert_eq!(error.code().code(), "42501", "{role}: {statement}: {error}");
        error.message().to_owned()
    })
}

fn event(number: u128) -> NewEvent {
    NewEvent::json(EventId(Uuid::from_u128(number)), EventType::new("Happened").expect("a name"), &b"{\"n\":1}"[..])
}

async fn append(store: &dyn EventStore, stream: &str, number: u128) -> AppendOutcome {
    let append = Append::to(StreamName::new(stream).expect("a name"), ExpectedVersion::Any, vec![event(number)]);
    store.append(append).await.expect("an answer")
}

/// The same database for a login that may do what the roles say.
fn login(cluster: &Cluster, url: &str, name: &str, roles: &str) -> String {
    cluster.sql("postgres", &format!("CREATE ROLE {name} LOGIN {roles}")).expect("a login");
    url.replacen("postgres@", &format!("{name}@"), 1)
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says_and_nothing_else() {
    let url = pacioli_pgtest::database_url("roles_matrix");
    let store = open(&url, PostgresOptions { chunk_events: 2, ..options() }).await.expect("a store");
    for number in 1..=4 {
        append(&store, "account-1", number).await;
    }
    drop(store);
    let client = connect(&url).await;
    let mut wrong = Vec::new();
    for (table, rights) in TABLES {
        for (role, may) in ROLES.iter().zip(rights) {
            for (letter, verb) in VERBS {
                // A view with computed columns cannot be inserted into or truncated by anybody.
                if matches!(*table, "log" | "shaped_events") && matches!(letter, 'i' | 't') {
                    continue;
                }
                let statement = statement(letter, table);
                let expected = if may.contains(letter) {
                    "done"
                } else if may.contains(letter.to_ascii_uppercase()) {
                    "append-only"
                } else {
                    "permission denied"
                };
                let did = refused(&client, role, &statement).await.unwrap_or_else(|| "done".to_owned());
                if !did.contains(expected) {
                    wrong.push(format!("{role} {verb} {table}: {did}, not {expected}"));
                }
            }
        }
    }
    for (table, column, may) in COLUMNS {
        for (role, may) in ROLES.iter().zip(may) {
            let row = client
                .query_one(
                    "SELECT has_column_privilege($1, $2, $3, 'UPDATE')",
                    &[&format!("pacioli_{role}"), table, column],
                )
                .await
                .expect("an answer");
            if row.get::<_, bool>(0) != *may {
                wrong.push(format!("{role} UPDATE {table}.{column}: {}", !may));
            }
        }
    }
    for (function, call, may) in FUNCTIONS {
        for (role, may) in ROLES.iter().zip(may) {
            let did = refused(&client, role, call).await;
            if did.is_none() != *may {
                wrong.push(format!("{role} EXECUTE {function}: {did:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_nothing_is_missing(&client).await;
}

/// The tables above name everything there is: what is new must be decided about.
async fn assert_nothing_is_missing(client: &tokio_postgres::Client) {
    let rows = client
        .query(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'pacioli'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') \
             AND relname !~ '_[cp][0-9]+$'",
            &[],
        )
        .await
        .expect("names");
    for row in rows {
        let name: String = row.get(0);
        let granted = client
            .query_one(
                "SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee \
                 WHERE c.oid = ('pacioli.' || $1)::regclass AND r.rolname <> 'pacioli_owner'",
                &[&name],
            )
            .await
            .expect("a count");
        let is_known = TABLES.iter().any(|(table, _)| *table == name);
        assert!(is_known || granted.get::<_, i64>(0) == 0, "{name} is in no row of the table above and has grants");
    }
}

#[tokio::test]
async fn nobody_changes_the_log_not_even_a_superuser_or_a_replica() {
    let url = pacioli_pgtest::database_url("roles_append_only");
    let store = open(&url, PostgresOptions { chunk_events: 2, ..options() }).await.expect("a store");
    for number in 1..=5 {
        append(&store, "account-1", number).await;
    }
    drop(store);
    let client = connect(&url).await;
    let tables = [
        "events",
        "events_c000000",
        "events_c000002",
        "event_tags",
        "event_tags_c000001",
        "event_ids",
        "event_ids_p1",
        "append_keys",
        "append_keys_p1",
        "stream_chunks",
        "commits",
        "epochs",
    ];
    for replica in ["", "SET LOCAL session_replication_role = replica; "] {
        for table in tables {
            for verb in ['u', 'd', 't'] {
                let statement = format!("{replica}{}", statement(verb, table));
                let did = refused(&client, "", &statement).await.unwrap_or_default();
                assert!(did.contains("append-only"), "{statement}: {did:?}");
            }
        }
        for statement in ["UPDATE heads SET part = 7", "DELETE FROM heads", "TRUNCATE heads"] {
            let did = refused(&client, "", &format!("{replica}{statement}")).await.unwrap_or_default();
            assert!(did.contains("append-only"), "{statement}: {did:?}");
        }
    }
}

#[tokio::test]
async fn a_server_runs_as_a_member_of_appender() {
    let cluster = shared();
    let url = pacioli_pgtest::database_url("roles_server");
    migrate::init(&location(&url), None).await.expect("a store");
    cluster.sql("postgres", &format!("ALTER DATABASE {} OWNER TO postgres", location(&url).database())).expect("done");
    let url = login(cluster, &url, "roles_server_login", "IN ROLE pacioli_appender");

    let store = open(&url, options()).await.expect("the server's role opens the store");
    assert!(store.made().is_empty(), "nothing was left to make: {:?}", store.made());
    assert!(matches!(append(&store, "account-1", 1).await, AppendOutcome::Appended(_)));
    assert!(matches!(append(&store, "account-1", 1).await, AppendOutcome::Appended(again) if again.duplicate));
    let page = store
        .read_log(ReadLog { after: None, filter: Filter::default(), limit: 10, payload: PayloadChoice::All })
        .await
        .expect("a page");
    assert_eq!(page.events.len(), 1);
    let lease = match store.acquire_lease("projection", "me", Duration::from_secs(5)).await.expect("an answer") {
        LeaseOutcome::Held(lease) => lease,
        LeaseOutcome::Taken(lease) => panic!("taken: {lease:?}"),
    };
    assert!(store.release_lease(&lease).await.expect("an answer"));
    drop(store);

    let client = connect(&url).await;
    let made = client.query("SELECT make_chunks(0, 6)", &[]).await.expect("chunks are made by the function");
    assert!(!made.is_empty());
    let owner = client
        .query_one(
            "SELECT tableowner::text FROM pg_tables WHERE schemaname = 'pacioli' AND tablename = 'events_c000006'",
            &[],
        )
        .await
        .expect("the chunk");
    assert_eq!(owner.get::<_, String>(0), "pacioli_owner");
    assert!(client.batch_execute("CREATE TABLE mine (x int)").await.is_err(), "it may make nothing of its own here");
    maintenance::maintain(&location(&url)).await.expect("upkeep goes as far as the role may");
}

#[tokio::test]
async fn a_member_of_reader_opens_the_store_and_reads() {
    let cluster = shared();
    let url = pacioli_pgtest::database_url("roles_reader");
    let store = open(&url, options()).await.expect("a store");
    append(&store, "account-1", 1).await;
    drop(store);
    let url = login(cluster, &url, "roles_reader_login", "IN ROLE pacioli_reader");

    let refused = open(&url, options()).await.err().expect("who opens to append is refused");
    assert!(refused.reason.contains("permission denied"), "{refused}");
    let patient = Duration::from_millis(600);
    let reading = PostgresOptions { must_exist: true, answer_within: patient, ..options() };
    let store = open(&url, reading).await.expect("who only reads is not");
    let filter = Filter::default();
    let read = ReadLog { after: None, filter, limit: 10, payload: PayloadChoice::All };
    assert_eq!(store.read_log(read).await.expect("the log").events.len(), 1);
    let stream = StreamName::new("account-1").expect("a name");
    let read = ReadStream {
        stream: stream.clone(),
        from: None,
        direction: Direction::Forward,
        limit: 10,
        payload: PayloadChoice::All,
    };
    assert_eq!(store.read_stream(read).await.expect("the stream").events.len(), 1);
    assert_eq!(store.stream(&stream).await.expect("an answer").expect("the stream").version.0, 0);
    let list = ListStreams { limit: 10, ..ListStreams::default() };
    assert_eq!(store.list_streams(list).await.expect("the streams").streams.len(), 1);
    let asked = Append::to(stream, ExpectedVersion::Any, vec![event(2)]);
    let error = store.append(asked).await.expect_err("it may not append");
    assert!(error.to_string().contains("permission denied for table heads"), "{error}");
}

#[tokio::test]
async fn an_application_appends_by_the_functions_alone() {
    let cluster = shared();
    let url = pacioli_pgtest::database_url("roles_application");
    migrate::init(&location(&url), None).await.expect("a store");
    let owner = connect(&url).await;
    let url = login(cluster, &url, "roles_shop", "");
    let shop = connect(&url).await;
    let append = "SELECT * FROM pacioli.append('order-1', 'any', ARRAY['{\"type\":\"Ordered\",\"data\":{}}'::jsonb])";
    let deferred = "SELECT pacioli.append_deferred('order-1', 'any', ARRAY['{\"type\":\"Paid\",\"data\":{}}'::jsonb])";
    for statement in [append, deferred] {
        assert!(refused(&shop, "", statement).await.expect("refused").contains("permission denied"), "{statement}");
    }
    // As the documentation says it.
    let page = include_str!("../../../docs/operating/postgres.md");
    let grants = page.lines().filter(|line| line.starts_with("GRANT") && line.ends_with("TO shop;"));
    let grants = grants.collect::<Vec<_>>().join("\n").replace("TO shop", "TO roles_shop");
    assert_eq!(grants.lines().count(), 2, "{grants}");
    owner.batch_execute(&grants).await.expect("granted");

    shop.query(append, &[]).await.expect("appended");
    shop.batch_execute(&format!("BEGIN; {deferred}; COMMIT")).await.expect("appended at COMMIT");
    let row =
        owner.query_one("SELECT count(*), max(version) FROM log WHERE stream = 'order-1'", &[]).await.expect("a row");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2, 1));
    for (table, _) in TABLES {
        for (letter, verb) in VERBS
            .iter()
            .filter(|(letter, _)| !matches!(*table, "log" | "shaped_events") || !matches!(letter, 'i' | 't'))
        {
            let did = refused(&shop, "", &statement(*letter, table)).await.unwrap_or_default();
            assert!(did.contains("permission denied"), "{verb} {table}: {did:?}");
        }
    }
    // What shows events in their newest shape everybody may call, and what an application may append.
    let own = |function: &str| function.starts_with("append") || function == "shape_of";
    for (function, call, _) in FUNCTIONS.iter().filter(|(function, ..)| !own(function)) {
        assert!(refused(&shop, "", call).await.is_some(), "{function}");
    }
}

#[tokio::test]
async fn a_role_that_may_create_roles_makes_them_and_may_migrate_again() {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    cluster.sql("postgres", "CREATE ROLE maker LOGIN CREATEROLE").expect("a maker");
    cluster.sql("postgres", "CREATE DATABASE shop").expect("a database");
    cluster.sql("postgres", "GRANT CREATE ON DATABASE shop TO maker").expect("rights");
    let url = cluster.url("shop").replacen("postgres@", "maker@", 1);
    let said = migrate::init(&location(&url), None).await.expect("a store").join("\n");
    assert!(said.contains("pacioli_owner owns the store"), "{said}");
    cluster.sql("shop", "UPDATE pacioli.migrations SET definitions = 'older'").expect("an older build");
    let said = migrate::init(&location(&url), None).await.expect("made anew").join("\n");
    assert!(said.contains("made the functions"), "{said}");
    let others = cluster
        .sql_value("shop", "SELECT count(*) FROM pg_class WHERE relnamespace = 'pacioli'::regnamespace AND relowner <> 'pacioli_owner'::regrole")
        .expect("a count");
    assert_eq!(others, "0");
    assert!(migrate::init(&location(&url), None).await.expect("nothing to do").is_empty());
}

#[tokio::test]
async fn who_may_not_create_roles_owns_the_store_until_somebody_else_completes_it() {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    cluster.sql("postgres", "CREATE ROLE plain LOGIN; CREATE ROLE stranger LOGIN").expect("logins");
    cluster.sql("postgres", "CREATE DATABASE shop OWNER plain").expect("a database");
    let url = cluster.url("shop").replacen("postgres@", "plain@", 1);
    let said = migrate::init(&location(&url), None).await.expect("a store").join("\n");
    assert!(said.contains("made no roles: plain may not create them"), "{said}");
    let store = open(&url, options()).await.expect("it opens");
    assert!(matches!(append(&store, "account-1", 1).await, AppendOutcome::Appended(_)));
    drop(store);
    let theirs =
        cluster.sql("shop", "SELECT has_function_privilege('stranger', 'pacioli.make_chunks(bigint,int)', 'EXECUTE')");
    assert_eq!(theirs.expect("an answer"), [[Some("f".to_owned())]]);

    let said = migrate::init(&location(&cluster.url("shop")), None).await.expect("completed").join("\n");
    assert!(said.contains("pacioli_owner owns the store"), "{said}");
    assert!(migrate::init(&location(&cluster.url("shop")), None).await.expect("done").is_empty());
}

#[tokio::test]
async fn stores_of_one_name_in_many_databases_are_made_at_the_same_time() {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    let urls: Vec<String> =
        (0..6).map(|_| cluster.url(&cluster.create_database("race").expect("a database"))).collect();
    let made = futures::future::join_all(urls.iter().map(|url| {
        let location = location(url);
        async move { migrate::init(&location, None).await }
    }))
    .await;
    for said in made {
        assert!(said.expect("a store").join("\n").contains("pacioli_owner owns the store"));
    }
}

#[tokio::test]
async fn a_schema_that_holds_or_takes_things_of_others_is_refused() {
    let url = pacioli_pgtest::database_url("roles_schemas");
    let client = connect(&url).await;
    client
        .batch_execute(
            "CREATE SCHEMA roles_tables; CREATE TABLE roles_tables.orders (id int);
             CREATE SCHEMA roles_framework; CREATE TABLE roles_framework.migrations (id int, definitions text);
             CREATE SCHEMA roles_calls; CREATE FUNCTION roles_calls.one() RETURNS int LANGUAGE sql RETURN 1;
             CREATE SCHEMA roles_open; GRANT CREATE ON SCHEMA roles_open TO PUBLIC;
             CREATE SCHEMA roles_given; GRANT USAGE ON SCHEMA roles_given TO PUBLIC",
        )
        .await
        .expect("schemas");
    let at = |schema: &str| format!("{url}{}schema={schema}", if url.contains('?') { '&' } else { '?' });
    for (schema, why) in [
        ("roles_tables", "holds other things"),
        ("roles_framework", "holds other things"),
        ("roles_calls", "holds other things"),
        ("roles_open", "others than its owner may make things"),
    ] {
        let by_init = migrate::init(&location(&at(schema)), None).await.expect_err("refused");
        let by_open = open(&at(schema), options()).await.err().expect("refused");
        for refused in [by_init, by_open] {
            assert!(refused.reason.contains(why) && refused.reason.contains(schema), "{refused}");
        }
        let made = "SELECT count(*) FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relname = 'events'";
        assert_eq!(client.query_one(made, &[&schema]).await.expect("a count").get::<_, i64>(0), 0, "{schema}");
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE $1 || '\\_%'";
        assert_eq!(client.query_one(roles, &[&schema]).await.expect("a count").get::<_, i64>(0), 0, "{schema}");
    }
    // An empty one was made for the store, which then shuts it.
    migrate::init(&location(&at("roles_given")), None).await.expect("a store");
    let open =
        "SELECT count(*) FROM pg_namespace n, aclexplode(n.nspacl) a WHERE nspname = 'roles_given' AND grantee = 0";
    assert_eq!(client.query_one(open, &[]).await.expect("a count").get::<_, i64>(0), 0);
}

#[tokio::test]
async fn an_older_server_leaves_the_functions_of_a_newer_one() {
    let url = pacioli_pgtest::database_url("roles_rolling");
    migrate::init(&location(&url), None).await.expect("a store");
    let client = connect(&url).await;
    for (version, is_left) in [("NULL", false), ("0", false), ("3", false), ("4", true)] {
        client
            .batch_execute(&format!(
                "CREATE OR REPLACE FUNCTION guard(guarded regclass, against text DEFAULT '') RETURNS void LANGUAGE plpgsql AS
                 $$ BEGIN RAISE 'newer'; END $$;
                 UPDATE migrations SET definitions = 'other', definitions_version = {version}"
            ))
            .await
            .expect("another build's");
        let store = open(&url, options()).await.expect("it opens");
        assert_eq!(store.made().is_empty(), is_left, "{version}: {:?}", store.made());
        assert!(matches!(append(&store, "account-1", 1).await, AppendOutcome::Appended(_)), "{version}");
        drop(store);
        assert_eq!(migrate::init(&location(&url), None).await.expect("nothing to do"), Vec::<String>::new());
        let text = "SELECT prosrc LIKE '%newer%' FROM pg_proc WHERE proname = 'guard' AND pronamespace = 'pacioli'::regnamespace";
        let left: bool = client.query_one(text, &[]).await.expect("an answer").get(0);
        assert_eq!(left, is_left, "{version}");
    }
    let row =
        client.query_one("SELECT DISTINCT definitions, definitions_version FROM migrations", &[]).await.expect("a row");
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(1)), ("other", 4));
    let reading = PostgresOptions { must_exist: true, ..options() };
    open(&url, reading).await.expect("a newer store is one that can be read");
}

#[tokio::test]
async fn the_function_that_runs_projections_belongs_to_a_role_that_may_do_nothing_else() {
    let url = pacioli_pgtest::database_url("roles_sync");
    migrate::init(&location(&url), None).await.expect("a store");
    let client = connect(&url).await;
    let owner =
        "SELECT pg_get_userbyid(proowner)::text FROM pg_proc WHERE oid = 'pacioli.run_sync'::regproc AND prosecdef";
    assert_eq!(client.query_one(owner, &[]).await.expect("a row").get::<_, &str>(0), "pacioli_sync");
    let may = "SELECT string_agg(relname || ' ' || privilege_type, ', ') FROM pg_class c, aclexplode(c.relacl) a
                WHERE a.grantee = 'pacioli_sync'::regrole AND c.relnamespace = 'pacioli'::regnamespace";
    assert_eq!(client.query_one(may, &[]).await.expect("a row").get::<_, &str>(0), "sync_builds SELECT");
    let members =
        "SELECT string_agg(member::regrole::text, ' ') FROM pg_auth_members WHERE roleid = 'pacioli_sync'::regrole";
    assert_eq!(client.query_one(members, &[]).await.expect("a row").get::<_, &str>(0), "pacioli_owner");
}
