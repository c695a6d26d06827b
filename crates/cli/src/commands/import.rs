//! `pacioli import`: NDJSON of CloudEvents into the log, one append an event, pipelined and in order.

mod scout;
mod streams;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use pacioli_core::schemas::REGISTRY_STREAM;
use pacioli_core::{Append, AppendOutcome, Conflict, NewEvent, StreamName};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::failure::{Code, Failure};
use crate::ndjson::{self, Line, Parsed};
use crate::output::{Form, OutputArgs, count_of, grouped};
use crate::pipeline::{Answer, Pipeline, Unanswered};
use crate::progress::Progress;
use crate::target::StoreArgs;
use scout::Group;
use streams::Streams;

/// Appends on their way at most.
const IN_FLIGHT_APPENDS: usize = 512;
/// How many bad lines are told one by one under --skip-invalid; the others are only counted.
const TOLD_LINES_MAX: u64 = 20;
/// How many of the lines that were stored last are remembered: as many as can be on their way behind a bad one, twice.
const STORED_LAST_MAX: usize = 2 * IN_FLIGHT_APPENDS;

/// Append the events of a file: NDJSON, one CloudEvents 1.0 object a line
///
/// `subject` is the stream, `time` becomes the time it occurred. Every event keeps its id, so importing the same file
/// again adds nothing, and an import that was interrupted is finished by starting it again. Gzip is recognised by itself.
///
/// A line that is no event, or that the store refuses, stops the import (exit 2). Every line before it is stored then, and
/// no later one of its stream; of other streams some later ones may be, and the import says how many. With --skip-invalid
/// such lines are told, counted and left out. When the server stays away for 30 seconds the import gives up (exit 1).
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
    /// Lines of the history of another store's schema registry, which this one's does not take.
    registry: u64,
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
            sent: VecDeque::new(),
            again: Vec::new(),
            streams: Streams::default(),
            stored_last: VecDeque::new(),
            stopped: None,
            progress: Progress::new(size),
            read,
            began: Instant::now(),
            summary: Summary::default(),
            skip_invalid: self.skip_invalid,
        };
        let result = job.run(scout::ahead(target.store(), lines)).await;
        job.progress.finish();
        let behind = job.stored_behind();
        let result = result.and_then(|()| job.stopped.map_or(Ok(()), |(_, failure)| Err(failure)));
        job.summary.seconds = (job.began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        if let Err(failure) = result {
            let Summary { new, known, .. } = job.summary;
            let behind = match behind {
                0 => String::new(),
                count => format!("; {} of them from later lines, of other streams", grouped(count)),
            };
            crate::output::say(&format!(
                "stopped after {}: {} new, {} known already{behind}",
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
    /// The lines that wait for an answer, oldest first.
    sent: VecDeque<Sent>,
    /// Those that built on what did not come to be, and have to be sent again once nothing is on its way.
    again: Vec<Sent>,
    streams: Streams,
    /// The numbers of the lines that were stored last.
    stored_last: VecDeque<u64>,
    /// The first line that stops the import, and why.
    stopped: Option<(u64, Failure)>,
    progress: Progress,
    /// Bytes of the file that were read.
    read: Arc<AtomicU64>,
    began: Instant,
    summary: Summary,
    skip_invalid: bool,
}

/// A line on its way.
struct Sent {
    number: u64,
    stream: StreamName,
    event: Box<NewEvent>,
}

impl Job {
    /// Keeps the pipeline full until the lines end, then waits for the last answers.
    async fn run(&mut self, mut groups: mpsc::Receiver<Group>) -> Result<(), Failure> {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut waiting = VecDeque::new();
        let mut ended = false;
        loop {
            // 1. What has to be sent again goes first, in the order of the file.
            if self.pipeline.is_empty() && !self.again.is_empty() {
                for Sent { number, stream, event } in self.again.drain(..).rev() {
                    waiting.push_front(Line { number, parsed: Parsed::Event(stream, event) });
                }
            }
            // 2. Send what is at hand, up to a line that stops the import.
            let was_held = self.send(&mut waiting).await;
            let is_out_of_lines = waiting.front().is_none_or(|line| self.is_behind_stop(line.number));
            if self.pipeline.is_empty() && self.again.is_empty() && is_out_of_lines && (self.stopped.is_some() || ended)
            {
                return Ok(());
            }
            // 3. Wait for whatever comes next: an answer, more lines, or the time to show how far it is.
            let wants_more = !ended && waiting.is_empty() && self.stopped.is_none() && !was_held;
            tokio::select! {
                answer = self.pipeline.answer(), if !self.pipeline.is_empty() => self.answered(answer?)?,
                more = groups.recv(), if wants_more => match more {
                    Some(Group { lines, absent }) => {
                        waiting = lines.into();
                        absent.into_iter().for_each(|stream| self.streams.note_absent(stream));
                    }
                    None => ended = true,
                },
                _ = ticks.tick(), if self.progress.is_visible() => self.show(),
            }
        }
    }

    /// Sends lines as long as there is room, and says whether something has to be answered first.
    async fn send(&mut self, waiting: &mut VecDeque<Line>) -> bool {
        while let Some(Line { number, parsed }) = waiting.front() {
            if self.is_behind_stop(*number) {
                return false;
            }
            let is_held = match parsed {
                Parsed::Event(stream, _) => !self.streams.has_room(stream),
                _ => false,
            };
            if is_held || !self.again.is_empty() || !self.pipeline.has_room() {
                return true;
            }
            let Some(Line { number, parsed }) = waiting.pop_front() else { return false };
            match parsed {
                Parsed::Event(stream, _) if stream.as_str() == REGISTRY_STREAM => self.summary.registry += 1,
                Parsed::Event(stream, event) => {
                    let expected = self.streams.send(&stream);
                    let request = Append::to(stream.clone(), expected, vec![(*event).clone()]);
                    self.sent.push_back(Sent { number, stream, event });
                    self.pipeline.send(number, request).await;
                }
                Parsed::Invalid(problem) => self.bad_line(number, &problem),
                Parsed::Unreadable(problem) => {
                    self.stop(number, Failure::failed(format!("line {number}: {problem}")));
                }
            }
        }
        false
    }

    fn is_behind_stop(&self, number: u64) -> bool {
        self.stopped.as_ref().is_some_and(|(at, _)| number >= *at)
    }

    /// Takes an answer, which may stop the import.
    fn answered(&mut self, Answer { number, result }: Answer) -> Result<(), Failure> {
        let Some(sent) = self.sent.pop_front() else {
            return Err(Failure::failed("the store gave an answer that nobody waits for"));
        };
        let version = match &result {
            Ok(AppendOutcome::Appended(appended)) => appended.streams.first().map(|stream| stream.last_version),
            _ => None,
        };
        self.streams.answered(&sent.stream, version);
        match result {
            Ok(AppendOutcome::Appended(appended)) => {
                self.summary.events += 1;
                if appended.duplicate {
                    self.summary.known += 1;
                } else {
                    self.summary.new += 1;
                    self.stored(&sent);
                }
            }
            // It was sent on the word of a line before it that did not come to be, or of a stream that others write to.
            Ok(AppendOutcome::Conflict(Conflict::ExpectedVersion { .. })) => {
                if !self.is_behind_stop(number) {
                    self.streams.slow_down(&sent.stream);
                    self.again.push(sent);
                }
            }
            Ok(AppendOutcome::Refused(refusal)) => self.bad_line(number, &refusal.to_string()),
            Ok(AppendOutcome::Conflict(conflict)) => self.bad_line(number, &conflict.to_string()),
            Err(Unanswered::Invalid(invalid)) => {
                let field = invalid.field.trim_start_matches("writes[0].events[0].").trim_start_matches("writes[0].");
                self.bad_line(number, &format!("{field}: {}", invalid.problem));
            }
            Err(Unanswered::Failed(failure)) => return Err(failure),
        }
        Ok(())
    }

    /// Remembers a line that was stored, and tells where another writer brought it before an earlier one.
    fn stored(&mut self, sent: &Sent) {
        if self.stored_last.len() == STORED_LAST_MAX {
            self.stored_last.pop_front();
        }
        self.stored_last.push_back(sent.number);
        if let Some(before) = self.again.iter().find(|again| again.stream == sent.stream) {
            self.progress.say(&format!(
                "line {} was stored before line {}: somebody else wrote to `{}` meanwhile",
                sent.number, before.number, sent.stream
            ));
        }
    }

    /// How many of the lines behind the one that stopped the import were stored.
    fn stored_behind(&self) -> u64 {
        self.stored_last.iter().filter(|number| self.is_behind_stop(**number)).count() as u64
    }

    /// Stops the import at a line, unless an earlier one does.
    fn stop(&mut self, number: u64, failure: Failure) {
        if !self.is_behind_stop(number) {
            self.stopped = Some((number, failure));
        }
    }

    fn bad_line(&mut self, number: u64, problem: &str) {
        if !self.skip_invalid {
            let failure = Failure::new(Code::Usage, format!("line {number}: {problem}"));
            let hint = "Mend the line and import again, or leave such lines out with --skip-invalid.";
            return self.stop(number, failure.hint(hint));
        }
        self.summary.invalid += 1;
        if self.summary.invalid <= TOLD_LINES_MAX {
            self.progress.say(&format!("line {number}: {problem}; the line is left out"));
        }
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
                let registry = match self.registry {
                    0 => String::new(),
                    count => format!(
                        ", {} of the registry's history left out: its schemas have to be registered here",
                        count_of(count, "line")
                    ),
                };
                // Where nothing was new, nothing was imported.
                let imported = if self.new > 0 { "imported " } else { "" };
                writeln!(
                    out,
                    "{imported}{} in {:.1} s ({} events/s): {} new, {} known already{invalid}{registry}",
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
