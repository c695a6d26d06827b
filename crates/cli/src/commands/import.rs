//! `pacioli import`: NDJSON of CloudEvents into the log, one append an event, pipelined and in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use pacioli_core::{Append, AppendOutcome, ExpectedVersion};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::failure::{Code, Failure};
use crate::ndjson::{self, Line, Parsed};
use crate::output::{Form, OutputArgs, count_of, grouped};
use crate::pipeline::{Answer, Pipeline, Unanswered};
use crate::progress::Progress;
use crate::target::StoreArgs;

/// Appends on their way at most.
const IN_FLIGHT_APPENDS: usize = 512;
/// How many bad lines are told one by one under --skip-invalid; the others are only counted.
const TOLD_LINES_MAX: u64 = 20;

/// Append the events of a file: NDJSON, one CloudEvents 1.0 object a line
///
/// `subject` is the stream, `time` becomes the time it occurred. Every event keeps its id, so importing the same file
/// again adds nothing, and an import that was interrupted is finished by starting it again. Gzip is recognised by itself.
///
/// A line that is no event stops the import (exit 2) after everything before it was stored; with --skip-invalid such
/// lines are told, counted and left out. When the server stays away for 30 seconds the import gives up (exit 1).
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli import events.ndjson.gz
  pacioli export - --store sqlite:./old | pacioli import -
  pacioli import events.ndjson --skip-invalid"#)]
pub(crate) struct Import {
    /// The file to read, or - for standard input
    file: PathBuf,
    /// Leave out lines that are no events, and tell how many there were
    #[arg(long)]
    skip_invalid: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What an import did.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Lines that were events.
    events: u64,
    /// Events that are in the log since this import.
    new: u64,
    /// Events that were there before.
    known: u64,
    /// Lines that were left out.
    invalid: u64,
    /// How long it took.
    seconds: f64,
}

impl Import {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = self.store.open_target().await?;
        let read = Arc::new(AtomicU64::new(0));
        let (lines, size) = ndjson::read(&self.file, Arc::clone(&read))?;
        let mut job = Job {
            pipeline: Pipeline::new(&target, IN_FLIGHT_APPENDS),
            progress: Progress::new(size),
            read,
            began: Instant::now(),
            summary: Summary::default(),
            skip_invalid: self.skip_invalid,
        };
        let result = job.run(lines).await;
        job.progress.finish();
        job.summary.seconds = (job.began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        if let Err(failure) = result {
            let Summary { new, known, .. } = job.summary;
            crate::output::say(&format!(
                "stopped after {}: {} new, {} known already",
                count_of(new + known, "event"),
                grouped(new),
                grouped(known)
            ));
            return Err(failure);
        }
        job.summary.print(self.output.form())
    }
}

struct Job {
    pipeline: Pipeline,
    progress: Progress,
    /// Bytes of the file that were read.
    read: Arc<AtomicU64>,
    began: Instant,
    summary: Summary,
    skip_invalid: bool,
}

impl Job {
    /// Keeps the pipeline full until the lines end, then waits for the last answers.
    async fn run(&mut self, mut lines: mpsc::Receiver<Vec<Line>>) -> Result<(), Failure> {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut waiting = Vec::new().into_iter();
        let mut ended = false;
        let mut stopped = None;
        loop {
            // 1. Send what is at hand, up to a line that stops the import.
            while stopped.is_none() && self.pipeline.has_room() {
                let Some(Line { number, parsed }) = waiting.next() else { break };
                match parsed {
                    Parsed::Event(stream, event) => {
                        let request = Append::to(stream, ExpectedVersion::Any, vec![*event]);
                        self.pipeline.send(number, request).await;
                    }
                    Parsed::Invalid(problem) => stopped = self.bad_line(number, &problem),
                    Parsed::Unreadable(problem) => stopped = Some(Failure::failed(format!("line {number}: {problem}"))),
                }
            }
            let out_of_lines = waiting.len() == 0;
            if self.pipeline.is_empty() && (stopped.is_some() || (ended && out_of_lines)) {
                return stopped.map_or(Ok(()), Err);
            }
            // 2. Wait for whatever comes next: an answer, more lines, or the time to show how far it is.
            tokio::select! {
                answer = self.pipeline.answer(), if !self.pipeline.is_empty() => {
                    let bad = self.answered(answer?)?;
                    // The earliest bad line is the one to tell.
                    stopped = bad.or(stopped);
                }
                more = lines.recv(), if !ended && out_of_lines && stopped.is_none() => match more {
                    Some(more) => waiting = more.into_iter(),
                    None => ended = true,
                },
                _ = ticks.tick(), if self.progress.is_visible() => self.show(),
            }
        }
    }

    /// Counts an answer; gives the failure that stops the import, if it does.
    fn answered(&mut self, Answer { number, result }: Answer) -> Result<Option<Failure>, Failure> {
        match result {
            Ok(AppendOutcome::Appended(appended)) => {
                self.summary.events += 1;
                if appended.duplicate {
                    self.summary.known += 1;
                } else {
                    self.summary.new += 1;
                }
                Ok(None)
            }
            Ok(AppendOutcome::Refused(refusal)) => Ok(self.bad_line(number, &refusal.to_string())),
            Ok(AppendOutcome::Conflict(conflict)) => Ok(self.bad_line(number, &conflict.to_string())),
            Err(Unanswered::Invalid(invalid)) => {
                let field = invalid.field.trim_start_matches("writes[0].events[0].").trim_start_matches("writes[0].");
                Ok(self.bad_line(number, &format!("{field}: {}", invalid.problem)))
            }
            Err(Unanswered::Failed(failure)) => Err(failure),
        }
    }

    fn bad_line(&mut self, number: u64, problem: &str) -> Option<Failure> {
        if !self.skip_invalid {
            let failure = Failure::new(Code::Usage, format!("line {number}: {problem}"));
            return Some(failure.hint("Mend the line and import again, or leave such lines out with --skip-invalid."));
        }
        self.summary.invalid += 1;
        if self.summary.invalid <= TOLD_LINES_MAX {
            self.progress.say(&format!("line {number}: {problem}; the line is left out"));
        }
        None
    }

    fn show(&self) {
        let rate = self.summary.events as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
        let message = format!("{}, {}/s", count_of(self.summary.events, "event"), grouped(rate as u64));
        self.progress.update(self.read.load(Ordering::Relaxed), message);
    }
}

impl Summary {
    fn print(&self, form: Form) -> Result<(), Failure> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        match form {
            Form::Json => writeln!(out, "{}", pacioli_api::json::to_string(self))?,
            Form::Table => {
                let rate = self.events as f64 / self.seconds.max(1e-3);
                let invalid = match self.invalid {
                    0 => String::new(),
                    count => format!(", {} left out", count_of(count, "line")),
                };
                // Where nothing was new, nothing was imported.
                let imported = if self.new > 0 { "imported " } else { "" };
                writeln!(
                    out,
                    "{imported}{} in {:.1} s ({} events/s): {} new, {} known already{invalid}",
                    count_of(self.events, "event"),
                    self.seconds,
                    grouped(rate as u64),
                    grouped(self.new),
                    grouped(self.known),
                )?;
            }
        }
        Ok(out.flush()?)
    }
}
