//! In which shape a projection sees events: the newest that is registered, within what its file says that it understands.
//!
//! Where the file says nothing, that is two expressions over the log's row, which the planner puts in. Where it does, the
//! registry is asked at the beginning of each range which versions are understood, so a newer one that is needs no new build.

use pacioli_core::schemas::{OnNewer, Semver};
use pacioli_projection::Projection;
use pacioli_projection::file::Mode;

use super::compile::{fill, quoted};
use super::home::Home;
use super::values::literal;

/// The expressions of one projection.
pub(super) struct Shape {
    /// The schema of the log, where the functions are that lift.
    schema: String,
    /// The data of the log's row `e`.
    pub(super) data: String,
    /// The version of that.
    pub(super) schema_version: String,
    /// The types that the file says something of, as an array.
    named: Option<String>,
    on_newer: OnNewer,
}

impl Shape {
    pub(super) fn of(home: &Home, projection: &Projection) -> Shape {
        let (schema, data, schema_version) = (home.schema().to_owned(), home.shape(), home.shape_version());
        let on_newer = projection.on_newer;
        if projection.understands.is_empty() {
            return Shape { schema, data, schema_version, named: None, on_newer };
        }
        let types: Vec<String> = projection.understands.iter().map(|one| literal(one.event_type.as_str())).collect();
        let named = format!("ARRAY[{}]::text[]", types.join(", "));
        let reached = format!("{schema}.shape_reached($7, e.type, e.schema_version)");
        let data = format!(
            "CASE WHEN e.type = ANY ({named}) THEN {schema}.shape_lift(e.type, e.schema_version, {reached}, e.data::jsonb) \
             ELSE {data} END"
        );
        let schema_version =
            format!("CASE WHEN e.data IS NOT NULL AND e.type = ANY ({named}) THEN {reached} ELSE {schema_version} END");
        Shape { schema, data, schema_version, named: Some(named), on_newer }
    }

    /// A column of the loop, of which `stored` is what the log holds.
    pub(super) fn of_column(&self, name: &str, stored: &str) -> String {
        match name {
            "data" => self.data.clone(),
            "schema_version" => self.schema_version.clone(),
            _ => stored.to_owned(),
        }
    }

    /// What leaves out events that are passed over, behind other conditions on `e`; `$7` says what is understood.
    pub(super) fn condition(&self) -> String {
        match &self.named {
            Some(named) if self.on_newer == OnNewer::Skip => {
                format!(" AND (e.type <> ALL ({named}) OR {} IS NOT NULL)", self.reached())
            }
            _ => String::new(),
        }
    }

    /// The opposite: what leaves out all but the events that are passed over. `None` where none is.
    pub(super) fn passed_over(&self) -> Option<String> {
        let named = self.named.as_ref().filter(|_| self.on_newer == OnNewer::Skip)?;
        Some(format!(" AND e.type = ANY ({named}) AND {} IS NULL", self.reached()))
    }

    fn reached(&self) -> String {
        format!("{}.shape_reached($7, e.type, e.schema_version)", self.schema)
    }

    /// What is done before anything is handled.
    pub(super) fn prelude(&self, log: &str, condition: &str, projection: &Projection) -> String {
        let Some(named) = &self.named else { return String::new() };
        let numbers = |version: Option<Semver>| match version {
            Some(Semver { major, minor, patch }) => format!("{major}, {minor}, {patch}"),
            None => "NULL, NULL, NULL".to_owned(),
        };
        let array = |versions: Vec<String>| format!("ARRAY[{}]::bigint[]", versions.join(", "));
        let each = || projection.understands.iter().map(|one| &one.versions);
        let lowest = array(each().map(|versions| numbers(Some(versions.from))).collect());
        let below = array(each().map(|versions| numbers(versions.below)).collect());
        let schema = ("schema", self.schema.as_str());
        let values = [schema, ("types", named), ("lowest", &lowest), ("below", &below)];
        let mut prelude = fill(sql!("models/template/understood"), &values);
        if self.on_newer == OnNewer::Skip {
            return prelude;
        }
        let query = quoted(&format!(
            "SELECT m.position, m.n, m.type, m.schema_version FROM (SELECT e.position, e.type, e.schema_version, \
             row_number() OVER (ORDER BY e.position) AS n FROM {log} e WHERE {condition} ORDER BY e.position LIMIT $8) m \
             WHERE m.type = ANY ({named}) AND {}.shape_reached($7, m.type, m.schema_version) IS NULL ORDER BY m.position LIMIT 1",
            self.schema
        ));
        let understands: serde_json::Map<String, serde_json::Value> = projection
            .understands
            .iter()
            .map(|one| (one.event_type.as_str().to_owned(), one.versions.to_string().into()))
            .collect();
        let understands = literal(&serde_json::Value::Object(understands).to_string());
        let line = header_line(projection).to_string();
        // An append that brings such an event is refused, whatever else it brings.
        let always = (projection.mode == Mode::Sync).to_string();
        let values = [schema, ("line", &line), ("query", &query), ("understands", &understands), ("always", &always)];
        prelude += &fill(sql!("models/template/withheld"), &values);
        prelude
    }
}

/// The line of the file that says what it understands.
pub(super) fn header_line(projection: &Projection) -> u32 {
    let says = |line: &str| {
        let name = line.trim_start().strip_prefix("--").and_then(|comment| comment.split_once(':'));
        name.is_some_and(|(name, _)| name.trim() == "schemas")
    };
    projection.text.lines().position(says).map_or(1, |line| line as u32 + 1)
}
