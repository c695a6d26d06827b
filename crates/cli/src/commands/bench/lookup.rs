//! `pacioli bench lookup`: how fast are point reads?

use std::io::Write;

use clap::Args;
use pacioli_api::json;
use pacioli_bench::Parameters;
use pacioli_bench::lookup::{Report, fill, lookup};
use pacioli_bench::machine::Machine;
use pacioli_bench::models::ReadModel;

use super::{Common, Subject, Timing, note, told};
use crate::failure::Failure;
use crate::output::{Form, grouped};

#[derive(Args, Debug)]
pub(super) struct LookupBench {
    /// Append so many events a second meanwhile: each commit makes the rows that are kept in memory old
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    appends: u64,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    common: Common,
}

impl LookupBench {
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        let Timing { seconds, warm_up } = self.timing;
        let mut subject = Subject::start(&self.common).await?;
        let machine = Machine::look(subject.directory())?;
        let parameters = Parameters {
            workload: "lookup",
            seconds,
            warm_up_seconds: warm_up,
            rate: self.appends,
            in_flight: self.common.in_flight.unwrap_or(1),
            ..self.common.folded(&subject)?
        };
        note(&format!("filling the log with an event for each of {} streams", grouped(parameters.streams)));
        fill(subject.connections(), &parameters).await?;
        let model = ReadModel::accounts();
        let models = subject.models(&self.common).await?;
        let Some(first) = models.first() else {
            return Err(Failure::usage("--connections must be at least 1"));
        };
        let is_ours = first.add(&model).await?;
        let head = subject.connections()[0].head().await?;
        first.ask(&model.reach(), Some(&head)).await?;
        let looked = lookup(subject.connections(), &models, &model, &parameters).await?;
        if is_ours {
            first.remove(&model).await?;
        }
        let readers = models.len() * parameters.in_flight;
        drop(models);
        subject.stop().await?;
        self.print(&Report::new(&looked, readers, parameters, machine))
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let Report { p50_ms, p99_ms, p999_ms, longest_stall_ms, readers, .. } = report;
        match self.common.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(report))?,
            Form::Table => {
                let reads = format!(
                    "{} reads/s of {} rows by {readers} readers",
                    grouped(report.reads_per_second as u64),
                    grouped(report.rows)
                );
                let meanwhile = match report.appends_per_second {
                    0 => "nothing was appended".to_owned(),
                    rate => format!("{} events/s were appended", grouped(rate)),
                };
                let rows = vec![
                    ("rate", reads),
                    ("latency", format!("p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, p99.9 {p999_ms:.2} ms")),
                    ("longest stall", format!("{longest_stall_ms:.1} ms")),
                    ("found", format!("{} of {} reads", grouped(report.found), grouped(report.reads))),
                    ("meanwhile", meanwhile),
                ];
                told::named(&mut out, rows)?;
                told::circumstances(&mut out, &report.parameters, &report.machine)?;
            }
        }
        Ok(out.flush()?)
    }
}
