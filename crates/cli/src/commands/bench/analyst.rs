//! `pacioli bench analyst`: how long do an analyst's questions take over a long log?

use std::io::Write;

use clap::Args;
use pacioli_api::json;
use pacioli_bench::analyst::{Answered, QUESTIONS, Report, ask};
use pacioli_bench::machine::Machine;
use pacioli_bench::models::ReadModel;
use pacioli_bench::{Parameters, read};

use super::{Common, Subject, note, told};
use crate::failure::Failure;
use crate::output::{Column, Form, Table, grouped};

#[derive(Args, Debug)]
pub(super) struct AnalystBench {
    /// Load so many events first, where the store is empty
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    events: u64,
    #[command(flatten)]
    common: Common,
}

impl AnalystBench {
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut subject = Subject::start(&self.common).await?;
        let machine = Machine::look(subject.directory())?;
        let mut parameters = Parameters {
            workload: "analyst",
            events: self.events,
            batch: self.common.batch.unwrap_or(100),
            in_flight: self.common.in_flight.unwrap_or(8),
            ..self.common.folded(&subject)?
        };
        let accounts = ReadModel::accounts();
        let rewind = subject.rewind();
        note(&format!("filling the log with {} events", grouped(self.events)));
        parameters.events = read::fill(subject.connections(), &parameters).await?;
        let models = subject.models(&self.common).await?;
        let Some(models) = models.first() else {
            return Err(Failure::usage("--connections must be at least 1"));
        };
        let head = subject.connections()[0].head().await?;
        let mut ours = Vec::new();
        for model in [Some(&accounts), rewind.as_ref()].into_iter().flatten() {
            note(&format!("folding {}", model.name));
            if models.add(model).await? {
                ours.push(model);
            }
            models.ask(&model.reach(), Some(&head)).await?;
        }
        let mut questions = Vec::new();
        for question in QUESTIONS.iter().filter(|question| rewind.is_some() || !question.of_rewind) {
            questions.push(ask(&**models, question).await?);
        }
        for model in ours {
            models.remove(model).await?;
        }
        subject.stop().await?;
        let events = parameters.events;
        self.print(&Report { questions, events, parameters, machine })
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match self.common.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(report))?,
            Form::Table => {
                let head = [
                    Column::text("question", 60),
                    Column::number("median ms"),
                    Column::number("shortest"),
                    Column::number("longest"),
                    Column::number("first"),
                ];
                let rows: Vec<Vec<String>> = report.questions.iter().map(row).collect();
                Table::new(&head).print(&mut out, &rows)?;
                writeln!(out, "{:<18} {} events", "log", grouped(report.events))?;
                told::circumstances(&mut out, &report.parameters, &report.machine)?;
            }
        }
        Ok(out.flush()?)
    }
}

fn row(answered: &Answered) -> Vec<String> {
    let millis = [answered.median_ms, answered.shortest_ms, answered.longest_ms, answered.first_ms];
    let mut row = vec![answered.what.to_owned()];
    row.extend(millis.map(|millis| format!("{millis:.1}")));
    row
}
