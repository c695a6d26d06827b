//! What the tables of a read model hold when it stands somewhere: a fold of the log that knows nothing of any engine.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// An event as the log holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    pub(crate) partition: u64,
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) version: u64,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) data: Map<String, Value>,
    /// What decides which worker applies it, where a build has several.
    pub(crate) stream_hash: u64,
}

/// One worker of a build has everything of one partition up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) worker: u64,
    pub(crate) partition: u64,
    pub(crate) position: u64,
}

/// The rows of each table, each row its columns with a bar in between.
pub(crate) type Tables = BTreeMap<String, BTreeSet<String>>;

/// A table and the columns of it that count.
type Table = (&'static str, &'static [&'static str]);

/// Tables and their columns, by projection. What is JSON is compared as JSON.
pub(crate) const MODELS: [(&str, &[Table]); 5] = [
    ("balances", &[("balances", &["account", "balance", "events", "last_version", "trail"])]),
    ("totals", &[("totals", &["type", "events", "amount"])]),
    ("streams", &[("stream_totals", &["stream", "events", "amount", "last_version", "trail"])]),
    ("limits", &[("limits", &["account", "balance", "events", "last_version"])]),
    (
        "rewind",
        &[
            ("rewind_events", &["partition", "position", "stream", "version", "type", "changes"]),
            ("rewind_streams", &["stream", "version", "events", "state"]),
        ],
    ),
];

/// The tables of a projection with their columns.
pub(crate) fn tables_of(name: &str) -> &'static [(&'static str, &'static [&'static str])] {
    MODELS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("nobody made `{name}`")).1
}

/// Folds the log, which is in order, up to where a build stands.
pub(crate) fn fold(name: &str, log: &[Fact], stands: &[Stand]) -> Tables {
    let workers = stands.iter().map(|stand| stand.worker + 1).max().unwrap_or(1);
    let is_in = |fact: &&Fact| {
        let mine = |stand: &&Stand| stand.partition == fact.partition && stand.worker == fact.stream_hash % workers;
        stands.iter().find(mine).is_some_and(|stand| fact.position <= stand.position)
    };
    let facts = log.iter().filter(|fact| !fact.stream.starts_with('$')).filter(is_in);
    let mut tables: Tables = tables_of(name).iter().map(|(table, _)| ((*table).to_owned(), BTreeSet::new())).collect();
    let mut put = |table: &str, row: String| {
        tables.get_mut(table).expect("a table of this model").insert(row);
    };
    let is_money = |fact: &&Fact| fact.kind == "MoneyDeposited" || fact.kind == "MoneyWithdrawn";
    let of_accounts = |fact: &&Fact| fact.stream.starts_with("account-") && is_money(fact);
    match name {
        "balances" => {
            for (stream, sum) in by_stream(facts.filter(of_accounts)) {
                put(name, format!("{stream}|{}|{}|{}|{}", sum.amount, sum.events, sum.version, sum.trail));
            }
        }
        "limits" => {
            for (stream, sum) in by_stream(facts.filter(of_accounts)) {
                put(name, format!("{stream}|{}|{}|{}", sum.amount, sum.events, sum.version));
            }
        }
        "streams" => {
            for (stream, sum) in by_stream(facts) {
                let row = format!("{stream}|{}|{}|{}|{}", sum.events, sum.amount, sum.version, sum.trail);
                put("stream_totals", row);
            }
        }
        "totals" => {
            let mut totals: BTreeMap<&str, (u64, i64)> = BTreeMap::new();
            for fact in facts.filter(|fact| is_money(fact) || fact.kind == "PaymentMade") {
                let (events, amount) = totals.entry(&fact.kind).or_default();
                (*events, *amount) = (*events + 1, *amount + fact.amount());
            }
            totals.iter().for_each(|(kind, (events, amount))| put(name, format!("{kind}|{events}|{amount}")));
        }
        "rewind" => {
            let mut states: BTreeMap<&str, (u64, u64, Map<String, Value>)> = BTreeMap::new();
            for fact in facts {
                let Fact { partition, position, stream, version, kind, data, .. } = fact;
                let (last, events, state) = states.entry(stream).or_default();
                let changed = data.iter().filter(|(field, value)| state.get(*field) != Some(*value));
                let changes = changed.map(|(field, value)| (field.clone(), value.clone())).collect();
                let changes = canonical(&Value::Object(changes));
                put("rewind_events", format!("{partition}|{position}|{stream}|{version}|{kind}|{changes}"));
                (*last, *events) = (*version, *events + 1);
                state.extend(data.clone());
            }
            for (stream, (version, events, state)) in states {
                put("rewind_streams", format!("{stream}|{version}|{events}|{}", canonical(&Value::Object(state))));
            }
        }
        other => panic!("nobody made `{other}`"),
    }
    tables
}

#[derive(Default)]
struct Sum {
    events: u64,
    amount: i64,
    version: u64,
    trail: u64,
}

fn by_stream<'a>(facts: impl Iterator<Item = &'a Fact>) -> BTreeMap<&'a str, Sum> {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for fact in facts {
        let sum = sums.entry(&fact.stream).or_default();
        sum.trail = if sum.events == 0 { fact.position } else { (sum.trail * 31 + fact.position) % 1_000_000_007 };
        sum.events += 1;
        sum.amount += fact.amount();
        sum.version = fact.version;
    }
    sums
}

impl Fact {
    fn amount(&self) -> i64 {
        self.data["amount"].as_i64().expect("every event says its amount")
    }
}

/// A row as a database gave it, as the fold would write it.
pub(crate) fn row(columns: &[&str], values: &[Value]) -> String {
    let shown = columns.iter().zip(values).map(|(column, value)| match value {
        Value::String(text) if ["changes", "state"].contains(column) => {
            serde_json::from_str(text).map_or_else(|_| text.clone(), |value| canonical(&value))
        }
        Value::String(text) => text.clone(),
        other => canonical(other),
    });
    shown.collect::<Vec<_>>().join("|")
}

/// JSON with its members in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            let shown = sorted.iter().map(|(name, value)| format!("{name:?}:{}", canonical(value)));
            format!("{{{}}}", shown.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
