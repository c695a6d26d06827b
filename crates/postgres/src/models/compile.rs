//! Compiles a projection's handlers into one PL/pgSQL function over a range of positions.
//!
//! ```text
//! apply(part, after, up to, events at most, worker, workers, occurred until) -> (position, events)
//! ```
//!
//! Handlers of single events run in a loop over the range; then each statement of a batch runs once over the same events.
//! What fails is caught once for the whole range, and told again with the place and the line in the file. Statements of the
//! loop have plans that are kept; what reads the log is planned with its bounds, so that only the chunks in question are
//! opened.

use std::fmt::Write;

use pacioli_projection::Projection;
use pacioli_projection::file::{On, Source, Statement};

use super::shape::Shape;
use super::values::{self, BATCH_COLUMNS, EVENT, column, literal, with_batch};
use crate::error::REFUSED;

/// How every name in a compiled function begins, so that none is a name of the file's.
pub(super) const PREFIX: &str = "_pacioli_";

/// The types that were inferred for a statement's values, in order, as `format_type` names them.
pub(super) type Types = Vec<String>;

/// What a compiled projection is made of.
pub(super) struct Compiled<'a> {
    pub(super) projection: &'a Projection,
    /// The types of each statement's values, in the order of [`statements`].
    pub(super) types: &'a [Types],
    /// The schema that holds its tables and this function.
    pub(super) schema: &'a str,
    /// The relation that holds the events.
    pub(super) log: &'a str,
    /// In which shape it sees them.
    pub(super) shape: &'a Shape,
    /// The catalogue that counts what it passes over; `None` for tables that are no build.
    pub(super) counted_in: Option<&'a str>,
}

/// All statements of a projection with what they run for, in the order of the file.
pub(super) fn statements(projection: &Projection) -> impl Iterator<Item = (&On, &Statement)> {
    projection
        .handlers
        .iter()
        .flat_map(|handler| handler.statements.iter().map(move |statement| (&handler.on, statement)))
}

impl Compiled<'_> {
    /// CREATE FUNCTION.
    pub(super) fn function(&self) -> String {
        let body = self.body();
        let quote = quote(&body);
        fill(sql!("models/template/function"), &[("build", self.schema), ("quote", &quote), ("body", &body)])
    }

    fn body(&self) -> String {
        let has_batch = self.projection.handlers.iter().any(|handler| handler.on == On::Batch);
        let has_events = self.projection.handlers.iter().any(|handler| handler.on != On::Batch);
        let mut steps = self.shape.prelude(self.log, &self.condition(), self.projection);
        if has_events {
            self.write_loop(&mut steps);
        } else {
            self.write_count(&mut steps);
        }
        if has_batch {
            self.write_batches(&mut steps);
        }
        self.write_passed_over(&mut steps);
        let (file, name) = (literal(&self.projection.file), literal(self.projection.name.as_str()));
        let values =
            [("event", EVENT), ("file", &file), ("name", &name), ("refused", REFUSED), ("steps", steps.as_str())];
        fill(sql!("models/template/body"), &values)
    }

    /// The condition on the log's row `e`: `$1` part, `$2` after, `$3` up to, `$4` worker, `$5` workers, `$6` until, `$7`
    /// what is understood.
    fn condition(&self) -> String {
        self.condition_with(&self.shape.condition())
    }

    /// The same, with what a shape makes of an event.
    fn condition_with(&self, of_shape: &str) -> String {
        let filter = self.projection.filter();
        let mut condition = "e.part = $1 AND e.position > $2 AND e.position <= $3".to_owned();
        if self.projection.excludes_system() {
            condition.push_str(" AND left(e.stream, 1) <> '$'");
        }
        condition.push_str(of_shape);
        if !filter.types.is_empty() {
            let types: Vec<String> = filter.types.iter().map(|one| literal(one.as_str())).collect();
            let _ = write!(condition, " AND e.type = ANY (ARRAY[{}]::text[])", types.join(", "));
        }
        if !filter.categories.is_empty() {
            let categories: Vec<String> = filter.categories.iter().map(|one| literal(one.as_str())).collect();
            let _ =
                write!(condition, " AND split_part(e.stream, '-', 1) = ANY (ARRAY[{}]::text[])", categories.join(", "));
        }
        // The same hash as that of hash partitions, which no version changes under stored data.
        condition.push_str(
            " AND ($5 = 1 OR (hashtextextended(e.stream, 0) & 9223372036854775807) % $5 = $4)\
             \n AND ($6 IS NULL OR coalesce(e.occurred_at, e.recorded_at) <= $6)",
        );
        condition
    }

    fn write_loop(&self, steps: &mut String) {
        let query = format!(
            "SELECT {} FROM {} e WHERE {} ORDER BY e.position LIMIT $8",
            self.loop_columns(),
            self.log,
            self.condition()
        );
        let mut handled = String::new();
        for (index, (on, statement)) in statements(self.projection).enumerate() {
            let condition = match on {
                On::Batch => continue,
                On::Every => None,
                On::Types(types) => {
                    let types: Vec<String> = types.iter().map(|one| literal(one.as_str())).collect();
                    Some(format!("{EVENT}.type IN ({})", types.join(", ")))
                }
            };
            let types = &self.types[index];
            let sql = statement.render(|value, number| {
                format!("({})", values::expression(value, types.get(number).map_or("text", String::as_str)))
            });
            let step = format!("{PREFIX}line := {};\n{};\n", statement.line, sql.trim());
            match condition {
                Some(condition) => drop(write!(handled, "IF {condition} THEN\n{step}END IF;\n")),
                None => handled.push_str(&step),
            }
        }
        let query = quoted(&query);
        *steps += &fill(sql!("models/template/loop"), &[("event", EVENT), ("query", &query), ("handled", &handled)]);
    }

    fn write_count(&self, steps: &mut String) {
        let query = format!(
            "SELECT count(*), max(m.position) FROM (SELECT e.position FROM {} e WHERE {} ORDER BY e.position LIMIT $8) m",
            self.log,
            self.condition()
        );
        *steps += &fill(sql!("models/template/count"), &[("query", &quoted(&query))]);
    }

    fn write_batches(&self, steps: &mut String) {
        let columns =
            BATCH_COLUMNS.replace("{schema_version}", &self.shape.schema_version).replace("{data}", &self.shape.data);
        let batch = format!("SELECT {columns} FROM {} e WHERE {} ORDER BY e.position", self.log, self.condition());
        let mut batches = String::new();
        for (_, statement) in statements(self.projection).filter(|(on, _)| **on == On::Batch) {
            let sql = with_batch(&batch, &statement.render(|_, _| String::new()));
            let (line, sql) = (statement.line.to_string(), quoted(&sql));
            batches += &fill(sql!("models/template/batch"), &[("line", &line), ("statement", &sql)]);
        }
        *steps += &fill(sql!("models/template/batches"), &[("batches", &batches)]);
    }

    /// Only a projection that passes over anything looks at its range once more.
    fn write_passed_over(&self, steps: &mut String) {
        let (Some(catalogue), Some(passed_over)) = (self.counted_in, self.shape.passed_over()) else { return };
        let (build, condition) = (literal(self.schema), self.condition_with(&passed_over));
        let values =
            [("catalogue", catalogue), ("build", build.as_str()), ("log", self.log), ("condition", condition.as_str())];
        let statement = quoted(&fill(sql!("models/template/count_passed_over"), &values));
        *steps += &fill(sql!("models/template/passed_over"), &[("statement", &statement)]);
    }

    /// What the loop selects: what the handlers use of an event, each once.
    fn loop_columns(&self) -> String {
        let mut columns = vec![column(&Source::Position)];
        let each = || statements(self.projection).filter(|(on, _)| **on != On::Batch);
        if each().any(|(on, _)| matches!(on, On::Types(_))) {
            columns.push(column(&Source::Type));
        }
        for value in each().flat_map(|(_, statement)| statement.values()) {
            let wanted = column(&value.source);
            if !columns.contains(&wanted) {
                columns.push(wanted);
            }
        }
        let columns: Vec<String> =
            columns.iter().map(|(name, stored)| format!("{} AS {name}", self.shape.of_column(name, stored))).collect();
        columns.join(", ")
    }
}

/// A template without its opening comment, each `{name}` in it replaced once: what is put in is not looked at again.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut rest = template;
    while rest.starts_with("--") {
        rest = rest.split_once('\n').map_or("", |(_, behind)| behind);
    }
    let mut filled = String::with_capacity(rest.len());
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let named = behind.split_once('}').and_then(|(name, behind)| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, behind))
        });
        rest = match named {
            Some((value, behind)) => {
                filled.push_str(value);
                behind
            }
            None => {
                filled.push('{');
                behind
            }
        };
    }
    filled + rest
}

pub(super) fn quoted(text: &str) -> String {
    let quote = quote(text);
    format!("{quote}{text}{quote}")
}

/// A dollar quote that does not occur in the text.
pub(crate) fn quote(text: &str) -> String {
    (0..).map(|n| format!("$p{n}$")).find(|quote| !text.contains(quote.as_str())).expect("a text is finite")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_once() {
        assert_eq!(fill("-- {a} is told\n{a} {b} {c}", &[("a", "{b}"), ("b", "2")]), "{b} 2 {c}");
    }

    #[test]
    fn a_quote_is_none_of_the_text() {
        assert_eq!(quoted("a $p0$ b"), "$p1$a $p0$ b$p1$");
    }
}
