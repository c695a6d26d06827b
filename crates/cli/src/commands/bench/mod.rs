//! `pacioli bench`: measures a store, and the floor beside it.

mod analyst;
mod applications;
mod grow;
mod lag;
mod lookup;
mod models;
mod rebuild;
mod registry;
mod schema;
mod scratch;
mod subject;
mod told;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use pacioli_api::json;
use pacioli_bench::machine::Machine;
use pacioli_bench::models::{ReadModel, check_payload};
use pacioli_bench::random::EVENT_TYPES;
use pacioli_bench::schemas::VERSIONS;
use pacioli_bench::{Measured, Parameters, Report, append, read, subscribe};
use pacioli_core::schemas::Shape;

use crate::failure::Failure;
use crate::output::{Form, OutputArgs, grouped, say};
use crate::target::StoreArgs;
use applications::Applications;
use scratch::Scratch;
use subject::Subject;

/// Measure a store: appends, reads, live delivery, read models
///
/// `append` also runs the same load against a floor: the same queue, batches and transport over a store that only
/// writes the bytes to one file and syncs it. Quote the ratio to the floor: it says what the store costs, on any machine.
/// On PostgreSQL it runs a third time, over raw COPY of the same rows into a plain table of the same database.
///
/// On PostgreSQL every run makes a schema of its own, `bench_` and eight digits, and drops it in the end.
///
/// Without --server, --store, PACIOLI_SERVER and PACIOLI_STORE it starts a server of its own, as --spawn-server does.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli bench append --spawn-server --connections 64 --writers 64 --in-flight 8
  pacioli bench append --spawn-server --connections 4 --writers 4 --in-flight 8 --batch 100
  pacioli bench append --store sqlite: --writers 1 --in-flight 1000
  pacioli bench read --spawn-server --events 1000000
  pacioli bench subscribe --spawn-server --rate 2000
  pacioli bench append --store postgres://postgres@localhost/shop --in-flight 1000
  pacioli bench append --spawn-server --store postgres://postgres@localhost/shop --rate 1000 --user-transactions 16
  pacioli bench subscribe --spawn-server --store postgres://postgres@localhost/shop --rate 1000 --from-other
  pacioli bench grow --spawn-server --events 10000000 --streams 1000000 --batch 100
  pacioli bench rebuild --store sqlite:
  pacioli bench lag --spawn-server --rate 5000
  pacioli bench lookup --spawn-server --connections 16
  pacioli bench analyst --spawn-server --store postgres://postgres@localhost/shop
  pacioli bench append --store sqlite: --in-flight 1000 --sync-projection
  pacioli bench append --spawn-server --connections 64 --writers 64 --in-flight 8 --schema
  pacioli bench read --spawn-server --lift
  pacioli bench schema --spawn-server --connections 16"#)]
pub(crate) struct Bench {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand, Debug)]
enum Workload {
    /// Append in a closed loop: each writer keeps a fixed number of appends in flight
    Append(AppendBench),
    /// Read the whole log, from its start to its head
    Read(ReadBench),
    /// Append at a steady rate and measure how long each event takes to a live subscriber
    Subscribe(SubscribeBench),
    /// Append until the log has a size, and say at every million how fast it still goes
    Grow(grow::GrowBench),
    /// Fold read models anew over a long log, in process, and beside it in small batches and event by event
    Rebuild(rebuild::RebuildBench),
    /// Append at a steady rate and measure how long a read model takes to show it
    Lag(lag::LagBench),
    /// Read random rows of a read model, one after the other on each connection
    Lookup(lookup::LookupBench),
    /// Look schemas up and check them, over HTTP, one question after the other on each connection
    Schema(schema::SchemaBench),
    /// Ask an analyst's questions over a long log, its read models and Rewind
    Analyst(analyst::AnalystBench),
}

/// What is measured and by whom.
#[derive(Args, Clone, Debug)]
struct Common {
    /// Concurrent writers, spread over the connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    writers: usize,
    /// Appends that each writer keeps on their way, at most: 64 by default, 8 where a log is loaded, 1,024 for `subscribe`
    /// and `lag`. `lookup`: reads that each connection keeps on their way, 1 by default
    #[arg(long, value_name = "N")]
    in_flight: Option<usize>,
    /// Events of one append: 1 by default, 100 where a log is loaded
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Streams that the events go to, uniformly
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    streams: u64,
    /// Bytes of an event's data: JSON of exactly this length
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    payload: usize,
    /// Network connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    connections: usize,
    /// Where streams, ids and payloads come from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Start a server of its own, as a process of its own, and measure that: over a temporary directory, or over the
    /// database that --store names. So it is also where neither an option nor the environment names a store: no load
    /// goes to a live server unasked
    #[arg(long, conflicts_with = "server")]
    spawn_server: bool,
    /// Keep what was made for the run: temporary directories, and the schema in a database
    #[arg(long)]
    keep: bool,
    #[arg(skip)]
    scratch: Scratch,
    /// Make temporary directories here; mind that some systems keep theirs in memory, where a sync costs nothing
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How long a timed run takes.
#[derive(Args, Clone, Copy, Debug)]
struct Timing {
    /// Measured seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = measured_seconds)]
    seconds: f64,
    /// Seconds before them that are not measured
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
}

#[derive(Args, Debug)]
struct AppendBench {
    #[command(flatten)]
    timing: Timing,
    /// Append at so many events a second, shared out over the writers, each append when it is due; by default as fast as
    /// the answers come. A latency is that of an append
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    rate: u64,
    /// PostgreSQL: beside the run, so many clients append in transactions of their own, by `append_deferred`
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    user_transactions: usize,
    /// How long each of these transactions works on something else before it commits
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 50)]
    user_work_ms: u64,
    /// Run the same load first beside a projection that runs in each append's transaction (`mode: sync`): what it costs
    #[arg(long)]
    sync_projection: bool,
    /// Give the events ten fields, and run the same load once more when these have a schema: what validating costs
    #[arg(long)]
    schema: bool,
    /// Leave the floor and raw COPY out: the ratios are then null
    #[arg(long)]
    no_floor: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct ReadBench {
    /// Load so many events first, where the store is empty
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    events: u64,
    /// Read the whole log again and again until so many seconds have passed; by default once
    #[arg(long, value_name = "SECONDS", value_parser = measured_seconds)]
    seconds: Option<f64>,
    /// By which call to read
    #[arg(long, value_enum, default_value_t = By::Subscribe)]
    by: By,
    /// Give the events ten fields and a schema, register two breaks of it, and read the events as they were stored and
    /// lifted over both: what lifting costs. The log must be empty
    #[arg(long)]
    lift: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// A subscription, up to its caught-up mark
    Subscribe,
    /// Page after page
    Pages,
}

#[derive(Args, Debug)]
struct SubscribeBench {
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    rate: u64,
    /// PostgreSQL: append through another server, or another handle in process, than the one the subscriber is on
    #[arg(long)]
    from_other: bool,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    common: Common,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let scratch = self.workload.common().scratch.clone();
        let measured = async {
            match self.workload {
                Workload::Append(bench) => Box::pin(bench.run()).await,
                Workload::Read(bench) => Box::pin(bench.run()).await,
                Workload::Subscribe(bench) => Box::pin(bench.run()).await,
                Workload::Grow(bench) => Box::pin(bench.run()).await,
                Workload::Rebuild(bench) => Box::pin(bench.run()).await,
                Workload::Lag(bench) => Box::pin(bench.run()).await,
                Workload::Lookup(bench) => Box::pin(bench.run()).await,
                Workload::Schema(bench) => Box::pin(bench.run()).await,
                Workload::Analyst(bench) => Box::pin(bench.run()).await,
            }
        };
        let measured = tokio::select! {
            measured = measured => measured,
            () = crate::host::interrupted() => Err(Failure::failed("interrupted")),
        };
        // What was started for the run ended with it; what was made for it goes now.
        measured.and(scratch.clear().await)
    }
}

impl Workload {
    fn common(&self) -> &Common {
        match self {
            Workload::Append(bench) => &bench.common,
            Workload::Read(bench) => &bench.common,
            Workload::Subscribe(bench) => &bench.common,
            Workload::Grow(bench) => bench.common(),
            Workload::Rebuild(bench) => bench.common(),
            Workload::Lag(bench) => bench.common(),
            Workload::Lookup(bench) => bench.common(),
            Workload::Schema(bench) => bench.common(),
            Workload::Analyst(bench) => bench.common(),
        }
    }
}

impl AppendBench {
    async fn run(self) -> Result<(), Failure> {
        let Timing { seconds, warm_up } = self.timing;
        let mut subject = Subject::start(&self.common).await?;
        let machine = Machine::look(subject.directory())?;
        let parameters = Parameters {
            workload: "append",
            seconds,
            warm_up_seconds: warm_up,
            rate: self.rate,
            user_transactions: self.user_transactions,
            ten_fields: self.schema,
            ..self.common.parameters(&subject)
        };
        let applications = match (subject.location()?, self.user_transactions) {
            (_, 0) => None,
            (Some(location), clients) => {
                Some(Applications::start(&location, clients, Duration::from_millis(self.user_work_ms)).await?)
            }
            (None, _) => {
                return Err(Failure::usage(
                    "--user-transactions needs a store on PostgreSQL that is opened for the run",
                ));
            }
        };
        let sync = match self.sync_projection {
            true => Some(self.beside_sync(&mut subject, &parameters).await?),
            false => None,
        };
        let measured = append::append(subject.connections(), &parameters).await?;
        let applications = match applications {
            Some(applications) => Some(applications.stop().await?),
            None => None,
        };
        let schema = match self.schema {
            true => {
                subject.register(1).await?;
                Some(append::append(subject.connections(), &parameters).await?)
            }
            false => None,
        };
        subject.stop().await?;
        let (mut floor, mut copy) = (None, None);
        if !self.no_floor {
            let mut baseline = subject.floor(&self.common).await?;
            floor = Some(append::append(baseline.connections(), &parameters).await?);
            baseline.stop().await?;
            if let Some(mut baseline) = subject.copy(&self.common).await? {
                copy = Some(append::append(baseline.connections(), &parameters).await?);
                baseline.stop().await?;
            }
        }
        let mut report = Report::new(&measured, floor.as_ref(), parameters, machine);
        if let Some(copy) = copy {
            report = report.with_copy(&copy);
        }
        if let Some(sync) = sync {
            report = report.with_sync(&sync);
        }
        if let Some(schema) = schema {
            report = report.with_schema(&schema);
        }
        if let Some((latencies, elapsed)) = applications {
            report = report.with_user_transactions(&latencies, elapsed);
        }
        self.common.print(&report)
    }

    /// The same load while each append also writes a row of a read model. It comes first, when there is nothing yet that the
    /// projection would have to be filled from.
    async fn beside_sync(&self, subject: &mut Subject, parameters: &Parameters) -> Result<Measured, Failure> {
        check_payload(parameters)?;
        let model = ReadModel::accounts_in_appends();
        let models = subject.models(&self.common).await?;
        let models = models.first().ok_or_else(|| Failure::usage("--connections must be at least 1"))?;
        let is_ours = models.add(&model).await?;
        let measured = append::append(subject.connections(), parameters).await?;
        if is_ours {
            models.remove(&model).await?;
        }
        Ok(measured)
    }
}

impl ReadBench {
    async fn run(self) -> Result<(), Failure> {
        let mut subject = Subject::start(&self.common).await?;
        let machine = Machine::look(subject.directory())?;
        let mut parameters = Parameters { workload: "read", events: self.events, ..self.common.parameters(&subject) };
        parameters.seconds = self.seconds.unwrap_or_default();
        parameters.batch = self.common.batch.unwrap_or(100);
        parameters.in_flight = self.common.in_flight.unwrap_or(8);
        parameters.ten_fields = self.lift;
        if self.lift {
            let head = subject.connections()[0].head().await?;
            if head.iter().any(|place| place.position.0 > 0) {
                return Err(Failure::usage("--lift registers schemas and needs a store that is empty"));
            }
        }
        parameters.events = read::fill(subject.connections(), &parameters).await?;
        let means = match self.by {
            By::Subscribe => read::Means::Subscribe,
            By::Pages => read::Means::Pages,
        };
        // One reader: connections beyond the first only helped to load.
        let at_least = self.seconds.map(Duration::from_secs_f64);
        if !self.lift {
            let measured = read::read(subject.connections(), means, at_least).await?;
            subject.stop().await?;
            return self.common.print(&Report::new(&measured, None, parameters, machine));
        }
        // What was stored without a schema is of version 1.
        subject.register(VERSIONS.len()).await?;
        let raw = Shape { raw: true, ..Shape::default() };
        let raw = read::read(&subject.connections_in(&raw), means, at_least).await?;
        let lifted = read::read(&subject.connections_in(&Shape::default()), means, at_least).await?;
        subject.stop().await?;
        self.common.print(&Report::new(&lifted, None, parameters, machine).with_raw(&raw))
    }
}

impl SubscribeBench {
    async fn run(self) -> Result<(), Failure> {
        let Timing { seconds, warm_up } = self.timing;
        let mut subject = Subject::start(&self.common).await?;
        let machine = Machine::look(subject.directory())?;
        let parameters = Parameters {
            workload: "subscribe",
            seconds,
            warm_up_seconds: warm_up,
            rate: self.rate,
            from_other: self.from_other,
            in_flight: self.common.in_flight.unwrap_or(1_024),
            ..self.common.parameters(&subject)
        };
        let mut other = match self.from_other {
            true => Some(subject.other(&self.common).await?),
            false => None,
        };
        let others = other.as_ref().map(Subject::connections);
        let measured = subscribe::subscribe(subject.connections(), others, &parameters).await?;
        if let Some(other) = &mut other {
            other.stop().await?;
        }
        subject.stop().await?;
        self.common.print(&Report::new(&measured, None, parameters, machine))
    }
}

impl Common {
    /// Whether a server is started for the run.
    fn spawns(&self) -> bool {
        self.spawn_server || !self.store.is_named()
    }

    fn parameters(&self, subject: &Subject) -> Parameters {
        Parameters {
            target: subject.name().to_owned(),
            transport: subject.transport(),
            writers: self.writers,
            in_flight: self.in_flight.unwrap_or(64),
            batch: self.batch.unwrap_or(1),
            streams: self.streams,
            event_types: 1,
            payload_bytes: self.payload,
            connections: subject.network_connections(),
            seed: self.seed,
            ..Parameters::default()
        }
    }

    /// The same for workloads that fold the events into read models: events of several types, as a log has.
    fn folded(&self, subject: &Subject) -> Result<Parameters, Failure> {
        let parameters = Parameters { event_types: EVENT_TYPES.len(), ..self.parameters(subject) };
        check_payload(&parameters)?;
        Ok(parameters)
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(report))?,
            Form::Table => {
                told::named(&mut out, rows(report))?;
            }
        }
        Ok(out.flush()?)
    }
}

fn rows(report: &Report) -> Vec<(&'static str, String)> {
    let rate = |value: f64| format!("{} events/s", grouped(value as u64));
    let Report { p50_ms, p99_ms, p999_ms, longest_stall_ms, parameters, machine, .. } = report;
    let mut rows = vec![
        ("rate", rate(report.events_per_second)),
        ("latency", format!("p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, p99.9 {p999_ms:.2} ms")),
        ("longest stall", format!("{longest_stall_ms:.1} ms")),
    ];
    if let (Some(floor), Some(ratio)) = (report.floor_events_per_second, report.ratio_to_floor) {
        rows.push(("floor", rate(floor)));
        rows.push(("ratio to floor", format!("{ratio:.2}")));
    }
    if let (Some(copy), Some(ratio)) = (report.copy_events_per_second, report.ratio_to_copy) {
        rows.push(("raw COPY", rate(copy)));
        rows.push(("ratio to COPY", format!("{ratio:.2}")));
    }
    if let (Some(sync), Some(p99), Some(ratio)) =
        (report.sync_events_per_second, report.sync_p99_ms, report.ratio_with_sync)
    {
        rows.push(("sync projection", format!("{}, p99 {p99:.2} ms", rate(sync))));
        rows.push(("ratio with it", format!("{ratio:.2}")));
    }
    if let (Some(schema), Some(p99), Some(ratio)) =
        (report.schema_events_per_second, report.schema_p99_ms, report.ratio_with_schema)
    {
        rows.push(("with a schema", format!("{}, p99 {p99:.2} ms", rate(schema))));
        rows.push(("ratio with it", format!("{ratio:.3}")));
    }
    if let (Some(raw), Some(ratio)) = (report.raw_events_per_second, report.ratio_to_raw) {
        rows.push(("as stored", rate(raw)));
        rows.push(("ratio to that", format!("{ratio:.3}")));
    }
    if let (Some(rate), Some(p99)) = (report.user_transactions_per_second, report.user_transaction_p99_ms) {
        rows.push(("user transactions", format!("{rate:.0} a second, p99 {p99:.2} ms")));
    }
    rows.extend(told::circumstances_of(parameters, machine));
    rows
}

/// Seconds from 0 to an hour: a run is bounded.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds from 0 to 3600".to_owned()),
    }
}

/// The same, but something must be measured.
fn measured_seconds(text: &str) -> Result<f64, String> {
    match seconds(text) {
        Ok(seconds) if seconds > 0.0 => Ok(seconds),
        _ => Err("must be a number of seconds above 0, up to 3600".to_owned()),
    }
}

/// Tells what is going on, for those who watch.
fn note(text: &str) {
    say(&format!("bench: {text}"));
}
