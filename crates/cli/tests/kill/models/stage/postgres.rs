//! A database: each look is one statement, and so one snapshot.

use std::path::Path;
use std::sync::OnceLock;

use pacioli_pgtest::{Cluster, ClusterOptions};
use serde_json::Value;

use super::{Look, Seen, Serves, Stage, data};
use crate::models::fold::{Fact, MODELS, Stand, Tables, row, tables_of};

/// A store in a database of its own.
pub(crate) struct Postgres {
    database: String,
    partitions: u64,
}

/// Servers are killed here, the database is not: it need not wait for the disk.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(ClusterOptions::default()).expect("a cluster"))
}

impl Postgres {
    pub(crate) fn new(label: &str, partitions: u64) -> Postgres {
        Postgres { database: cluster().create_database(label).expect("a database"), partitions }
    }

    /// One value; `None` where the statement fails, because what it names is gone.
    fn value(&self, statement: &str) -> Option<Value> {
        let text = cluster().sql_value(&self.database, statement).ok()?;
        Some(serde_json::from_str(&text).expect("JSON"))
    }

    fn rows(&self, statement: &str) -> Vec<Value> {
        match self.value(&format!("SELECT coalesce(json_agg(r), '[]') FROM ({statement}) r")) {
            Some(Value::Array(rows)) => rows,
            other => panic!("{statement}: {other:?}"),
        }
    }

    fn is_made(&self) -> bool {
        self.value("SELECT to_json(to_regclass('pacioli_projections.builds') IS NOT NULL)") == Some(Value::Bool(true))
    }

    /// One build, its rows and where it stands, in one statement. Tables are those of `schema`.
    fn build(&self, name: &str, which: &str, schema: &str, role: &str) -> Option<Seen> {
        let tables = tables_of(name).iter().map(|(table, columns)| {
            let columns = columns.join(", ");
            format!("'{table}', (SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM {schema}.{table})")
        });
        let statement = format!(
            "SELECT json_build_object(
                'build', (SELECT row_to_json(b) FROM (SELECT number, in_appends FROM pacioli_projections.builds
                           WHERE name = '{name}' AND {which}) b),
                'stands', (SELECT json_agg(json_build_array(p.worker, p.part, p.position))
                             FROM pacioli_projections.builds b JOIN pacioli_projections.progress p USING (name, number)
                            WHERE b.name = '{name}' AND {which}),
                'heads', (SELECT json_agg(json_build_array(0, h.part,
                                 (SELECT coalesce(max(e.position), 0) FROM pacioli.events e WHERE e.part = h.part)))
                            FROM pacioli.heads h),
                'tables', json_build_object({}))",
            tables.collect::<Vec<_>>().join(", ")
        );
        let found = self.value(&statement)?;
        let build = found["build"].as_object()?;
        let from = if build["in_appends"] == Value::Bool(true) { "heads" } else { "stands" };
        let stand = |stand: &Value| Stand {
            worker: number(&stand[0]),
            partition: number(&stand[1]),
            position: number(&stand[2]),
        };
        let mut rows = Tables::new();
        for (table, columns) in tables_of(name) {
            let found = found["tables"][*table].as_array().expect("rows").iter();
            rows.insert(
                (*table).to_owned(),
                found.map(|found| row(columns, found.as_array().expect("a row"))).collect(),
            );
        }
        Some(Seen {
            name: name.to_owned(),
            number: number(&build["number"]),
            role: role.to_owned(),
            stands: found[from].as_array().expect("where it stands").iter().map(stand).collect(),
            tables: rows,
        })
    }
}

impl Stage for Postgres {
    fn engine(&self) -> &'static str {
        "PostgreSQL"
    }

    fn options(&self) -> Vec<String> {
        let url = cluster().url(&self.database);
        let (partitions, url) = (self.partitions.to_string(), url);
        ["--store", &url, "--partitions", &partitions, "--accept-data-loss"].map(str::to_owned).to_vec()
    }

    fn look(&self, _: Serves) -> Look {
        let mut look = Look::default();
        if !self.is_made() {
            return look;
        }
        // By the names that people use, where the view that is replaced by a swap stands in front of the build.
        let queried =
            MODELS.iter().filter_map(|(name, _)| self.build(name, "role = 'serving'", "pacioli_read", "queried"));
        look.builds.extend(queried);
        for listed in self.rows("SELECT name, number, role, schema_name FROM pacioli_projections.builds") {
            let (name, schema) = (text(&listed["name"]), text(&listed["schema_name"]));
            let which = format!("number = {}", number(&listed["number"]));
            match self.build(name, &which, &format!("\"{schema}\""), text(&listed["role"])) {
                Some(seen) => look.builds.push(seen),
                None => {
                    let still = self
                        .rows(&format!("SELECT 1 FROM pacioli_projections.builds WHERE name = '{name}' AND {which}"));
                    assert!(still.is_empty(), "build {which} of `{name}` cannot be read");
                }
            }
        }
        let facts = self.rows(
            "SELECT part, position, stream, version, type, id, data::text AS data,
                    hashtextextended(stream, 0) & 9223372036854775807 AS hash
               FROM pacioli.events ORDER BY part, position",
        );
        let fact = |fact: &Value| Fact {
            partition: number(&fact["part"]),
            position: number(&fact["position"]),
            stream: text(&fact["stream"]).to_owned(),
            version: number(&fact["version"]),
            kind: text(&fact["type"]).to_owned(),
            id: text(&fact["id"]).to_owned(),
            data: data(text(&fact["data"])),
            stream_hash: number(&fact["hash"]),
        };
        look.log = facts.iter().map(fact).collect();
        look
    }

    fn strangers(&self) -> Vec<String> {
        let strangers = self.rows(
            "SELECT nspname AS name FROM pg_namespace
              WHERE nspname LIKE 'pacioli\\_%' AND nspname NOT IN ('pacioli_read', 'pacioli_projections')
                AND NOT EXISTS (SELECT FROM pacioli_projections.builds b WHERE b.schema_name = nspname)
                AND NOT EXISTS (SELECT FROM pacioli_projections.copies c WHERE c.schema_name = nspname)
                AND NOT EXISTS (SELECT FROM pacioli_projections.scratches s WHERE s.schema_name = nspname)",
        );
        strangers.iter().map(|stranger| text(&stranger["name"]).to_owned()).collect()
    }

    fn keep(&self, folder: &Path) {
        let dump = cluster().command("pg_dump").map(|mut dump| {
            let file = std::fs::File::create(folder.join("database.sql")).expect("a file");
            dump.args(["--dbname", &cluster().url(&self.database)]).stdout(file).status()
        });
        if let Err(error) = dump {
            crate::say(&format!("the database cannot be dumped: {error}"));
        }
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
