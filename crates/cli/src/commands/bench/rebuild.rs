//! `pacioli bench rebuild`: how fast is a read model folded anew?

use std::io::Write;

use clap::Args;
use pacioli_api::json;
use pacioli_bench::machine::Machine;
use pacioli_bench::models::ReadModel;
use pacioli_bench::rebuild::{Bench, Plan, Rebuilt, Report};
use pacioli_bench::{Parameters, read};
use pacioli_server::EngineSource;

use super::{Common, Subject, note, told};
use crate::failure::Failure;
use crate::output::{Column, Form, Table, grouped};

#[derive(Args, Debug)]
pub(super) struct RebuildBench {
    /// Load so many events first, where the store is empty
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    events: u64,
    /// Only the projections whose handler is one statement for each batch: totals by type and day, and a row a stream
    #[arg(long)]
    set_based: bool,
    /// Only the projection whose handler is a statement for each event: a row a stream
    #[arg(long)]
    per_event: bool,
    /// Only Rewind: a row an event, and the state of each stream
    #[arg(long)]
    rewind: bool,
    /// So many workers share the streams. The totals, whose rows are those of many streams, are left out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// Events of one transaction, at most
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch_max: u32,
    /// Leave out what stands beside it: the same in batches of 500, and with one event a transaction
    #[arg(long)]
    no_baseline: bool,
    #[command(flatten)]
    common: Common,
}

/// A projection and what it is called in a report.
type Named = (&'static str, ReadModel);

impl RebuildBench {
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut subject = Subject::start_in_process(&self.common).await?;
        let Some(engine) = subject.engine().cloned() else {
            return Err(Failure::usage("a rebuild is measured in process; name a store with --store"));
        };
        let named = self.named(&engine)?;
        let machine = Machine::look(subject.directory())?;
        let mut parameters = Parameters {
            workload: "rebuild",
            events: self.events,
            batch: self.common.batch.unwrap_or(100),
            in_flight: self.common.in_flight.unwrap_or(8),
            ..self.common.folded(&subject)?
        };
        let (engine, store) = engine.open_engine(None, None).await?;
        let bench = Bench { engine, store };
        bench.check_empty().await?;
        let workers_max = bench.engine.abilities().workers_max;
        if self.parallel > workers_max {
            let problem = format!("--parallel: this store has at most {workers_max} workers a projection");
            return Err(Failure::usage(problem));
        }
        note(&format!("filling the log with {} events", grouped(self.events)));
        parameters.events = read::fill(subject.connections(), &parameters).await?;
        let mut rebuilds = Vec::new();
        for (what, model) in named {
            note(&format!("rebuilding {}: {what}", model.name));
            let plan = Plan { model, workers: self.parallel, batch_max: self.batch_max as usize, events_max: None };
            rebuilds.push(bench.measure(what, plan, !self.no_baseline).await?);
        }
        drop(bench);
        subject.stop().await?;
        let batch_max = self.batch_max as usize;
        self.print(&Report { rebuilds, batch_max, workers: self.parallel, parameters, machine })
    }

    /// What is measured: all of it where nothing is chosen.
    fn named(&self, engine: &EngineSource) -> Result<Vec<Named>, Failure> {
        let all = !(self.set_based || self.per_event || self.rewind);
        let is_shared = self.parallel > 1;
        let mut named: Vec<Named> = Vec::new();
        if (all || self.set_based) && !is_shared {
            named.push(("set-based, totals by type and day", ReadModel::totals()));
        }
        if all || self.set_based {
            named.push(("set-based, a row a stream", ReadModel::accounts_by_set()));
        }
        if all || self.per_event {
            named.push(("per event, a row a stream", ReadModel::accounts()));
        }
        match engine.rewind() {
            Some((_, text)) if all || self.rewind => named.push(("Rewind, per event", ReadModel::rewind(text))),
            None if self.rewind => return Err(Failure::usage("--rewind: this store has no such read model")),
            _ => {}
        }
        if is_shared {
            named.iter_mut().for_each(|(_, model)| *model = model.clone().by_stream());
        }
        Ok(named)
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match self.common.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(report))?,
            Form::Table => {
                let head = [
                    Column::text("rebuild", 40),
                    Column::number("events/s"),
                    Column::number("by 500"),
                    Column::number("one by one"),
                    Column::number("500 : 1"),
                    Column::number("all : 1"),
                ];
                let rows: Vec<Vec<String>> = report.rebuilds.iter().map(row).collect();
                Table::new(&head).print(&mut out, &rows)?;
                let how = format!("{} events of one transaction at most, {} workers", self.batch_max, self.parallel);
                writeln!(out, "{:<18} {how}", "rebuilt in")?;
                told::circumstances(&mut out, &report.parameters, &report.machine)?;
            }
        }
        Ok(out.flush()?)
    }
}

fn row(rebuilt: &Rebuilt) -> Vec<String> {
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| grouped(rate as u64));
    let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1}"));
    vec![
        rebuilt.what.to_owned(),
        rate(Some(rebuilt.events_per_second)),
        rate(rebuilt.batches_of_500_per_second),
        rate(rebuilt.one_event_per_second),
        ratio(rebuilt.ratio_of_500),
        ratio(rebuilt.ratio_to_one_event),
    ]
}
