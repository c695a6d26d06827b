//! `pacioli bench grow`: does it still go as fast when the log is large?

use std::io::Write;
use std::time::Instant;

use clap::Args;
use pacioli_api::json;
use pacioli_bench::{Parameters, grow};

use super::{Common, Subject};
use crate::failure::Failure;
use crate::output::{Form, grouped, human_bytes};

/// Events between two lines of the report.
const STEP_EVENTS: u64 = 1_000_000;

#[derive(Args, Debug)]
pub(super) struct GrowBench {
    /// Grow the log by so many events
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    events: u64,
    #[command(flatten)]
    common: Common,
}

impl GrowBench {
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        if self.events == 0 {
            return Err(Failure::usage("--events must be at least 1"));
        }
        let mut subject = Subject::start(&self.common).await?;
        let parameters = Parameters { workload: "grow", events: self.events, ..self.common.parameters(&subject) };
        let form = self.common.output.form();
        let mut steps = Vec::new();
        let mut disk_parts = Vec::new();
        let mut total = 0;
        while total < self.events {
            // Ten steps at least, so that a short run shows something too.
            let events = STEP_EVENTS.min(self.events.div_ceil(10)).min(self.events - total);
            total += events;
            let mut step = grow::step(subject.connections(), &parameters, events, total).await?;
            (step.disk_bytes, disk_parts) = subject.disk().await?;
            step.resident_bytes = subject.resident_bytes();
            print_step(&step, form)?;
            steps.push(step);
        }
        let restart_ready = self.restart(&mut subject).await?;
        subject.stop().await?;
        let grown = grow::Grown { disk_parts, ..grow::grown(&steps, restart_ready, parameters) };
        let mut out = std::io::stdout().lock();
        match form {
            Form::Json => writeln!(out, "{}", json::to_string(&grown))?,
            Form::Table => {
                let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
                writeln!(
                    out,
                    "last step to first {:.2}, longest stall {:.1} ms, {} bytes an event beyond the payload, memory {}, ready again after {} s",
                    grown.last_to_first,
                    grown.longest_stall_ms,
                    known(grown.overhead_bytes_per_event.map(|bytes| format!("{bytes:.0}"))),
                    known(grown.resident_bytes.map(human_bytes)),
                    known(grown.restart_ready_seconds.map(|seconds| format!("{seconds:.2}"))),
                )?;
                for part in &grown.disk_parts {
                    let each = part.bytes as f64 / grown.events as f64;
                    writeln!(out, "{each:>8.1} bytes an event  {:>9}  {}", human_bytes(part.bytes), part.part)?;
                }
            }
        }
        Ok(out.flush()?)
    }

    /// Kills the server (in process: closes the store), starts it again, and says how long until the head is known.
    async fn restart(&self, subject: &mut Subject) -> Result<Option<f64>, Failure> {
        let owned = self.common.spawns() || subject.transport() == "in process";
        if !owned {
            return Ok(None);
        }
        subject.stop().await?;
        let began = Instant::now();
        if !subject.restart(&self.common).await? {
            return Ok(None);
        }
        for store in subject.connections() {
            store.head().await?;
        }
        Ok(Some(began.elapsed().as_secs_f64()))
    }
}

fn print_step(step: &grow::Step, form: Form) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match form {
        Form::Json => writeln!(out, "{}", json::to_string(step))?,
        Form::Table => writeln!(
            out,
            "{:>13} events  {:>9} events/s  longest stall {:>7.1} ms  p99 {:>7.2} ms",
            grouped(step.events),
            grouped(step.events_per_second as u64),
            step.longest_stall_ms,
            step.p99_ms
        )?,
    }
    Ok(out.flush()?)
}
