//! `pacioli check`: whether what is stored is what its schemas say, and can be lifted to the newest shape.

mod examine;
mod samples;
mod scan;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use pacioli_schema::Catalogue;

use crate::failure::Failure;
use crate::output::{Column, Form, OutputArgs, Table, count_of, grouped, say};
use crate::progress::Progress;
use crate::target::{StoreArgs, Target};
use examine::Examined;
use samples::Golden;
use scan::Found;

const COLUMNS: &[Column] = &[
    Column::text("TYPE", 60),
    Column::text("VERSION", 8),
    Column::text("SEMVER", 16),
    Column::number("EVENTS"),
    Column::number("FAILED"),
    Column::text("LIFTED TO", 10),
];
/// Events between two looks at the progress bar.
const TELL_EVERY: u64 = 1_000;

/// Check that stored events are what their schemas say, and are lifted to the newest shape
///
/// Every event is decoded, held against the schema of its version, lifted, and held against the newest schema that it
/// reaches. Of a long log a sample is looked at, from all over it and of every type that has a schema; --all looks at every
/// event. It exits 1 where one fails, with the first failure of each kind: for a pipeline before a release. An event that is
/// damaged in storage, or a line that is no event, is a failure like any other, and the rest is looked at.
///
/// Golden events, written once with --export-samples and kept beside an application's code, are checked with --samples
/// against what is registered, without a look at the log.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli check
  pacioli check --all --store sqlite:./pacioli-data
  pacioli check --export-samples tests/golden
  pacioli check --samples tests/golden"#)]
pub(crate) struct Check {
    /// Look at every event, however long the log is
    #[arg(long, conflicts_with = "samples")]
    all: bool,
    /// Write golden events here: a file of NDJSON for each type and version, with some events of different fields
    #[arg(long, value_name = "DIR", conflicts_with = "samples")]
    export_samples: Option<PathBuf>,
    /// Golden events of a type and version at most
    #[arg(long, value_name = "N", default_value_t = 10, requires = "export_samples",
          value_parser = clap::value_parser!(u16).range(1..))]
    samples_of_each: u16,
    /// Check the golden events of this directory, and not the log
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Check {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = self.store.open_existing_target().await?;
        let catalogue = match &target {
            Target::Server(client) => Catalogue::new(client.schemas().registry(None).await?, None),
            Target::InProcess(opened) => Catalogue::new(opened.schemas.refresh().await?.registry().clone(), None),
        };
        let mut examined = Examined::default();
        let mut golden = self.export_samples.as_ref().map(|_| Golden::new(self.samples_of_each.into()));
        let looked = match &self.samples {
            Some(directory) => samples::read(directory, |from, sample| match sample {
                Ok(event) => examined.take(&catalogue, &event, &from),
                Err(problem) => examined.take_unreadable("no event", &from, problem),
            }),
            None => self.look_at_log(target, &catalogue, &mut examined, &mut golden).await,
        };
        // Whatever ended it, what was seen until then is told.
        self.print(&catalogue, &examined)?;
        let verdict = examined.verdict();
        looked?;
        if let (Some(golden), Some(directory)) = (golden, &self.export_samples) {
            let written = golden.write(directory)?;
            say(&format!("wrote {} to {}", count_of(written, "file"), directory.display()));
        }
        verdict
    }

    async fn look_at_log(
        &self,
        target: Target,
        catalogue: &Catalogue,
        examined: &mut Examined,
        golden: &mut Option<Golden>,
    ) -> Result<(), Failure> {
        let store = crate::shape::raw(target).await?;
        let plan = scan::Plan::new(&*store, catalogue, self.all).await?;
        let (progress, began) = (Progress::new(Some(plan.events())), Instant::now());
        let is_all = plan.is_all();
        let read = plan.run(&*store, |seen, found| match found {
            Found::Event(event) => {
                examined.take(catalogue, event, &event.place().to_string());
                if let Some(golden) = golden {
                    golden.take(event);
                }
                if seen % TELL_EVERY == 0 {
                    let rate = seen as f64 / began.elapsed().as_secs_f64().max(1e-9);
                    progress.update(seen, format!("{}, {} events/s", count_of(seen, "event"), grouped(rate as u64)));
                }
            }
            Found::Damaged(place, problem) => {
                let problem = format!("is damaged in storage ({problem}); restore it from a backup");
                examined.take_unreadable("damaged", &place.to_string(), problem);
            }
        });
        let read = read.await;
        progress.finish();
        if !is_all {
            say("the log is long, and a sample was looked at; --all looks at every event");
        }
        Ok(read?)
    }

    fn print(&self, catalogue: &Catalogue, examined: &Examined) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => {
                for told in examined.told(catalogue) {
                    writeln!(out, "{told}")?;
                }
            }
            Form::Table => {
                Table::new(COLUMNS).print(&mut out, &examined.rows(catalogue))?;
            }
        }
        Ok(out.flush()?)
    }
}
