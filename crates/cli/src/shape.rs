//! In which shape a command reads events, and under which name.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use pacioli_api::schemas::understandings;
use pacioli_core::EventStore;
use pacioli_core::schemas::{OnNewer, Shape};
use pacioli_server::Opened;
use pacioli_server::shapes::Reading;

use crate::failure::Failure;
use crate::target::Target;

/// What the options say of it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Shape")]
pub(crate) struct ShapeArgs {
    /// As the events were stored, and not lifted to the newest shape of their types
    #[arg(long)]
    raw: bool,
    /// What is understood of a type, like OrderPlaced:^1; older events are lifted no further than that, and newer ones are
    /// withheld. Given again: and this of another type
    #[arg(long, value_name = "TYPE:RANGE")]
    accept: Vec<String>,
    /// What becomes of an event that is withheld: stop before it (exit 1), or skip it [default: stop]
    #[arg(long, value_enum, value_name = "stop|skip", requires = "accept")]
    on_newer: Option<OnNewerArg>,
    /// The name under which the server knows this reader, as `pacioli schema impact` shows it
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnNewerArg {
    Stop,
    Skip,
}

impl ShapeArgs {
    fn reading(&self) -> Result<Reading, Failure> {
        let understands = understandings(self.accept.iter().map(String::as_str));
        let understands = understands.map_err(|problem| Failure::usage(format!("--accept: {problem}")))?;
        if let Some(name) = &self.reader {
            Reading::check_reader(name).map_err(|problem| Failure::usage(format!("--reader: {problem}")))?;
        }
        let on_newer = match self.on_newer {
            Some(OnNewerArg::Skip) => OnNewer::Skip,
            Some(OnNewerArg::Stop) | None => OnNewer::Stop,
        };
        let shape = Shape { raw: self.raw, understands, on_newer };
        Ok(Reading { shape, reader: self.reader.as_deref().map(Box::from), only: None })
    }

    /// An open store as these options see it.
    pub(crate) async fn see(&self, target: Target) -> Result<Arc<dyn EventStore>, Failure> {
        seen(target, self.reading()?).await
    }
}

/// An open store as its events were stored: for whoever copies or checks them.
pub(crate) async fn raw(target: Target) -> Result<Arc<dyn EventStore>, Failure> {
    seen(target, Reading { shape: Shape { raw: true, ..Shape::default() }, ..Reading::default() }).await
}

async fn seen(target: Target, reading: Reading) -> Result<Arc<dyn EventStore>, Failure> {
    match target {
        Target::Server(client) => {
            let client = client.with_shape(reading.shape);
            Ok(match reading.reader {
                Some(name) => Arc::new(client.with_reader(name)),
                None => Arc::new(client),
            })
        }
        Target::InProcess(opened) => {
            let Opened { store, schemas, .. } = *opened;
            schemas.refresh().await?;
            Ok(schemas.view(store, reading))
        }
    }
}
