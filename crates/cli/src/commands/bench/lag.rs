//! `pacioli bench lag`: how far behind an append is a read model?

use std::io::Write;

use clap::Args;
use pacioli_api::json;
use pacioli_bench::Parameters;
use pacioli_bench::lag::{Report, lag};
use pacioli_bench::machine::Machine;
use pacioli_bench::models::ReadModel;

use super::{Common, Subject, Timing, told};
use crate::failure::Failure;
use crate::output::{Form, grouped};

#[derive(Args, Debug)]
pub(super) struct LagBench {
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    rate: u64,
    /// Wait for one in so many appends, with a point read that is answered once the read model has it
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..))]
    sample: u64,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    common: Common,
}

impl LagBench {
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        let Timing { seconds, warm_up } = self.timing;
        let mut subject = Subject::start(&self.common).await?;
        let machine = Machine::look(subject.directory())?;
        let parameters = Parameters {
            workload: "lag",
            seconds,
            warm_up_seconds: warm_up,
            rate: self.rate,
            in_flight: self.common.in_flight.unwrap_or(1_024),
            ..self.common.folded(&subject)?
        };
        let model = ReadModel::accounts();
        let models = subject.models(&self.common).await?;
        let Some(first) = models.first() else {
            return Err(Failure::usage("--connections must be at least 1"));
        };
        let is_ours = first.add(&model).await?;
        let head = subject.connections()[0].head().await?;
        first.ask(&model.reach(), Some(&head)).await?;
        let measured = lag(subject.connections(), &models, &model, self.sample, &parameters).await?;
        if is_ours {
            first.remove(&model).await?;
        }
        subject.stop().await?;
        self.print(&Report::new(&measured, self.sample, parameters, machine))
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let Report { p50_ms, p99_ms, p999_ms, longest_ms, from_send_p50_ms, from_send_p99_ms, .. } = report;
        match self.common.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(report))?,
            Form::Table => {
                let rows = vec![
                    ("rate", format!("{} events/s", grouped(report.events_per_second as u64))),
                    (
                        "lag",
                        format!(
                            "p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, p99.9 {p999_ms:.2} ms, at most {longest_ms:.2} ms"
                        ),
                    ),
                    ("from sending", format!("p50 {from_send_p50_ms:.2} ms, p99 {from_send_p99_ms:.2} ms")),
                    ("samples", format!("{} appends, one in {}", grouped(report.samples), report.sample)),
                ];
                told::named(&mut out, rows)?;
                told::circumstances(&mut out, &report.parameters, &report.machine)?;
            }
        }
        Ok(out.flush()?)
    }
}
