//! `pacioli bench schema`: how fast is the registry asked, over HTTP?

use std::io::Write;

use clap::Args;
use pacioli_api::json;
use pacioli_bench::Parameters;
use pacioli_bench::machine::Machine;
use pacioli_bench::schemas::{Figures, Question, Report, ask, fill};

use super::{Common, Subject, Timing, note, told};
use crate::failure::Failure;
use crate::output::{Form, grouped};

#[derive(Args, Debug)]
pub(super) struct SchemaBench {
    /// Types that get a schema first, where they have none
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=99_999))]
    types: u32,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    common: Common,
}

impl SchemaBench {
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        let Timing { seconds, warm_up } = self.timing;
        let mut subject = Subject::start(&self.common).await?;
        let machine = Machine::look(subject.directory())?;
        let parameters = Parameters {
            workload: "schema",
            seconds,
            warm_up_seconds: warm_up,
            in_flight: 1,
            ..self.common.parameters(&subject)
        };
        let registries = subject.registries();
        let Some(first) = registries.first().filter(|_| subject.network_connections() > 0) else {
            return Err(Failure::usage(
                "a registry is asked over HTTP; measure a server, with --spawn-server or --server",
            ));
        };
        note(&format!("registering a schema for each of {} types", grouped(self.types.into())));
        fill(&**first, self.types).await?;
        let lookups = ask(&registries, Question::LookUp, self.types, &parameters).await?;
        let checks = ask(&registries, Question::Check, self.types, &parameters).await?;
        let of = (self.types, registries.len());
        drop(registries);
        subject.stop().await?;
        self.print(&Report::new(&lookups, &checks, of, parameters, machine))
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match self.common.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(report))?,
            Form::Table => {
                let row = |figures: &Figures| {
                    let Figures { per_second, p50_ms, p99_ms, p999_ms, .. } = figures;
                    let rate = grouped(*per_second as u64);
                    format!("{rate} a second, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, p99.9 {p999_ms:.2} ms")
                };
                let askers = format!("{} askers, {} types", report.askers, grouped(report.types.into()));
                let rows =
                    vec![("look-ups", row(&report.lookups)), ("checks", row(&report.checks)), ("asked by", askers)];
                told::named(&mut out, rows)?;
                told::circumstances(&mut out, &report.parameters, &report.machine)?;
            }
        }
        Ok(out.flush()?)
    }
}
