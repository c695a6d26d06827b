//! The numbers that a schema compares data with, and what stands for a number that no double is.
//!
//! The validator compares doubles. That is exact for a number of the data which is the shortest that its double is written
//! as, and for the numbers of a schema, which must all be such. A number with more digits than a double has is stood for by
//! one that lies between the same two numbers of the schema, so that every comparison comes out as it has to.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::decimal::Decimal;
use super::document::shortened;
use super::tape::{Tape, TapeNode};
use crate::format::SchemaError;

/// Keywords whose numbers are compared with data.
const COMPARED: [&str; 7] =
    ["const", "enum", "exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"];

/// The numbers of one schema.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// From the least to the greatest, with each as it is written.
    sorted: Vec<(String, Number)>,
    /// Whether it asks for multiples, for which nothing can stand in.
    has_multiples: bool,
}

impl Limits {
    pub(super) fn of(schema: &Value) -> Limits {
        let mut limits = Limits::default();
        limits.add_schema(schema);
        let Limits { sorted, .. } = &mut limits;
        sorted.sort_by(|a, b| Decimal::read(&a.0).cmp(&Decimal::read(&b.0)));
        sorted.dedup_by(|a, b| Decimal::read(&a.0) == Decimal::read(&b.0));
        limits
    }

    fn add_schema(&mut self, schema: &Value) {
        match schema {
            Value::Object(members) => {
                for (name, member) in members {
                    self.has_multiples |= name == "multipleOf" && member.is_number();
                    match COMPARED.contains(&name.as_str()) {
                        true => self.add_numbers(member),
                        false => self.add_schema(member),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add_schema(item)),
            _ => {}
        }
    }

    fn add_numbers(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.sorted.push((number.to_string(), number.clone())),
            Value::Array(items) => items.iter().for_each(|item| self.add_numbers(item)),
            // A field may have the name of a keyword, and its schema keywords of its own.
            Value::Object(members) => {
                members.values().for_each(|member| self.add_numbers(member));
                self.add_schema(value);
            }
            _ => {}
        }
    }

    /// What stands for a number of the data; what it is refused for where nothing does.
    pub(super) fn stand_in(&self, text: &str) -> Result<Number, String> {
        let told = shortened(text);
        if self.has_multiples {
            return Err(format!(
                "holds the number {told}, which has more digits than can be held against `multipleOf`; write such a number as a \
                 text, or round it"
            ));
        }
        let number = Decimal::read(text);
        let at = self.sorted.partition_point(|(limit, _)| Decimal::read(limit) < number);
        let below = at.checked_sub(1).map(|below| &self.sorted[below].1);
        let above = self.sorted.get(at).map(|(_, above)| above);
        let nearest = text.parse::<f64>().unwrap_or_default().clamp(f64::MIN, f64::MAX);
        let beside = |limit: Option<&Number>, step: fn(f64) -> f64| {
            let limit = limit.and_then(Number::as_f64);
            limit.into_iter().flat_map(move |limit| [limit, step(limit), step(step(limit))])
        };
        let mut candidates =
            [nearest].into_iter().chain(beside(below, f64::next_up)).chain(beside(above, f64::next_down));
        let is_between = |candidate: &f64| {
            candidate.is_finite()
                && below.is_none_or(|below| compare(*candidate, below).is_gt())
                && above.is_none_or(|above| compare(*candidate, above).is_lt())
        };
        candidates.find(is_between).and_then(Number::from_f64).ok_or_else(|| {
            format!("holds the number {told}, which no double lies as near to as the schema's numbers lie to each other; round it")
        })
    }
}

/// A double and a number of a schema, without rounding either.
fn compare(float: f64, limit: &Number) -> Ordering {
    let whole = limit.as_i64().map(i128::from).or_else(|| limit.as_u64().map(i128::from));
    match whole {
        // What lies beyond saturates, which is still beyond.
        Some(whole) => {
            let fraction = || float.fract().partial_cmp(&0.0).unwrap_or(Ordering::Equal);
            (float.trunc() as i128).cmp(&whole).then_with(fraction)
        }
        None => float.partial_cmp(&limit.as_f64().unwrap_or_default()).unwrap_or(Ordering::Equal),
    }
}

/// Refuses a schema that compares data with a number which no double is written as.
pub(super) fn check(text: &str) -> Result<(), SchemaError> {
    let mut tape = Tape::default();
    tape.read(text).map_err(|problem| SchemaError::at("", format!("the schema {problem}")))?;
    if !tape.has_long() {
        return Ok(());
    }
    look(tape.root(text), &mut String::new(), false)
}

fn look(node: TapeNode<'_>, path: &mut String, is_compared: bool) -> Result<(), SchemaError> {
    if is_compared && let Some(text) = node.long() {
        let problem = format!(
            "the number {} has more digits than a schema's number may have: 17 at most, and those of a double; round it",
            shortened(text)
        );
        return Err(SchemaError::at(path.as_str(), problem));
    }
    let length = path.len();
    for (name, child) in node.children() {
        let is_compared = is_compared || name.is_some_and(|name| COMPARED.contains(&name));
        let name = name.map_or_else(|| "*".to_owned(), super::document::escape);
        path.push('/');
        path.push_str(&name);
        look(child, path, is_compared)?;
        path.truncate(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_in_lies_on_the_same_side_of_every_limit() {
        let schema = json!({
            "minimum": 1, "maximum": 1e20, "exclusiveMaximum": 2, "not": {"enum": [0, 0.1, {"n": -5}]},
            "properties": {"minimum": {"maximum": 9_007_199_254_740_993_u64}},
        });
        let limits = Limits::of(&schema);
        for text in [
            "0.9999999999999999999",
            "1.0000000000000000001",
            "1.999999999999999999999",
            "0.1000000000000000000001",
            "0.0999999999999999999999",
            "100000000000000000001",
            "99999999999999999999.5",
            "9007199254740992.99",
            "9007199254740993.01",
            "1e-400",
            "-1e-400",
            "1e400",
            "-1e400",
            "-5.00000000000000000001",
        ] {
            let stand_in = limits.stand_in(text).unwrap();
            for (limit, number) in &limits.sorted {
                let expected = Decimal::read(text).cmp(&Decimal::read(limit));
                assert_eq!(compare(stand_in.as_f64().unwrap(), number), expected, "{text} as {stand_in} and {limit}");
            }
        }
        assert!(
            Limits::of(&json!({"maximum": 1, "minimum": 1.0_f64.next_down()})).stand_in("0.99999999999999999").is_err()
        );
        assert!(Limits::of(&json!({"items": {"multipleOf": 2}})).stand_in("1e400").unwrap_err().contains("multipleOf"));
    }
}
