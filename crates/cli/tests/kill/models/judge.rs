//! Says whether what somebody saw of read models is what a fold of the log gives, at exactly the place where each stands.

use std::collections::BTreeMap;

use super::fold::{Fact, Tables, fold};
use super::stage::{Look, Seen, Serves, Stage};

/// What was seen so far, so that nothing is seen to go back.
#[derive(Default)]
pub(crate) struct Judge {
    log: Vec<Fact>,
    /// Where each worker of each build stood.
    stood: BTreeMap<(String, u64, u64, u64), u64>,
    /// Where what serves stood, by projection and partition.
    served: BTreeMap<(String, u64), u64>,
    pub(crate) counts: Counts,
}

/// How much was compared.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) looks: u64,
    pub(crate) builds: u64,
    pub(crate) rows: u64,
    /// Builds that were seen between the start of the log and its head.
    pub(crate) on_the_way: u64,
    /// Builds that were seen while they filled.
    pub(crate) filling: u64,
    /// Builds whose workers stood at different places.
    pub(crate) apart: u64,
}

impl Judge {
    /// Looks, and compares all that is to be seen.
    pub(crate) fn look(&mut self, stage: &dyn Stage, serves: Serves) -> Result<Look, String> {
        let look = tokio::task::block_in_place(|| stage.look(serves));
        self.counts.looks += 1;
        self.check_log(&look.log)?;
        for seen in &look.builds {
            self.check_build(seen)?;
        }
        Ok(look)
    }

    /// The log only grows, without a gap.
    fn check_log(&mut self, log: &[Fact]) -> Result<(), String> {
        let mut due: BTreeMap<u64, u64> = BTreeMap::new();
        for fact in log {
            let due = due.entry(fact.partition).or_insert(1);
            if fact.position != *due {
                return Err(format!("the log has position {}:{} where {due} is due", fact.partition, fact.position));
            }
            *due += 1;
        }
        let at: BTreeMap<(u64, u64), &Fact> = log.iter().map(|fact| ((fact.partition, fact.position), fact)).collect();
        let changed = self.log.iter().find(|known| at.get(&(known.partition, known.position)) != Some(known));
        if let Some(known) = changed {
            return Err(format!("the log does not have what it had: {known:?}"));
        }
        self.log = log.to_vec();
        Ok(())
    }

    fn check_build(&mut self, seen: &Seen) -> Result<(), String> {
        let Seen { name, number, role, stands, tables } = seen;
        let title = format!("{role} build {number} of `{name}`, which stands at {stands:?},");
        let head = |partition| self.log.iter().filter(|fact| fact.partition == partition).count() as u64;
        if let Some(beyond) = stands.iter().find(|stand| stand.position > head(stand.partition)) {
            return Err(format!("{title} is beyond the log at {beyond:?}, whose head is {}", head(beyond.partition)));
        }
        differences(&fold(name, &self.log, stands), tables).map_err(|difference| format!("{title} {difference}"))?;
        self.counts.builds += 1;
        self.counts.rows += tables.values().map(|rows| rows.len() as u64).sum::<u64>();
        self.counts.filling += u64::from(role == "filling");
        let is_at_an_end = |stand: &&_| {
            let super::fold::Stand { partition, position, .. } = stand;
            *position == 0 || *position == head(*partition)
        };
        self.counts.on_the_way += u64::from(stands.iter().any(|stand| !is_at_an_end(&stand)));
        let least = seen.least();
        let is_least = |stand: &&super::fold::Stand| least.contains(&(stand.partition, stand.position));
        self.counts.apart += u64::from(stands.iter().any(|stand| !is_least(&stand)));

        for stand in stands {
            let stood = self.stood.entry((name.clone(), *number, stand.worker, stand.partition)).or_default();
            if stand.position < *stood {
                return Err(format!("{title} stood at {stood} in partition {} before", stand.partition));
            }
            *stood = stand.position;
        }
        if ["serving", "queried"].contains(&role.as_str()) {
            for (partition, position) in least {
                let served = self.served.entry((name.clone(), partition)).or_default();
                if position < *served {
                    return Err(format!("{title} serves, and what served stood at {served} in {partition} before"));
                }
                *served = position;
            }
        }
        Ok(())
    }

    /// What serves stands at the head, and is what a fold of the whole log gives.
    pub(crate) fn at_the_head(&self, look: &Look, names: &[&str]) -> Result<(), String> {
        for name in names {
            let is_it = |seen: &&Seen| seen.name == *name && seen.role == "serving";
            let Some(serving) = look.builds.iter().find(is_it) else { return Err(format!("`{name}` is not served")) };
            for (partition, position) in serving.least() {
                let head = look.log.iter().filter(|fact| fact.partition == partition).count() as u64;
                if position != head {
                    return Err(format!("`{name}` stands at {partition}:{position}, and the head is {head}"));
                }
            }
        }
        Ok(())
    }

    /// The log as it was seen last.
    pub(crate) fn log(&self) -> &[Fact] {
        &self.log
    }
}

/// The first few rows that differ.
pub(crate) fn differences(expected: &Tables, found: &Tables) -> Result<(), String> {
    for (table, expected) in expected {
        let found = found.get(table).ok_or_else(|| format!("has no table `{table}`"))?;
        if found != expected {
            let missing: Vec<_> = expected.difference(found).take(3).collect();
            let strange: Vec<_> = found.difference(expected).take(3).collect();
            return Err(format!(
                "has other rows in `{table}` than a fold of the log: {} are missing ({missing:?}), {} are strange ({strange:?})",
                expected.difference(found).count(),
                found.difference(expected).count()
            ));
        }
    }
    Ok(())
}
