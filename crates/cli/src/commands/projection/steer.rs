//! `pacioli projection cancel`, `pause`, `resume`, `retry`, `skip` and `refresh`: commands that are done at once.

use clap::Args;
use serde_json::{Value, json};

use super::told::{self, path};
use crate::failure::Failure;
use crate::output::OutputArgs;
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// What these commands share.
#[derive(Args, Debug)]
struct Steer {
    /// The projection
    name: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Steer {
    /// Sends the command and prints how the projection is then.
    async fn run(&self, command: &str, body: Value) -> Result<(), Failure> {
        let below = format!("/{command}");
        let told =
            ReadModelsDoor::with(&self.store, false, async |door| door.command(path(&self.name, &below), &body).await);
        told::print(&told.await?, self.output.form())
    }
}

/// Give up the build that is being filled, and drop its tables
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  pacioli projection cancel balances")]
pub(super) struct Cancel {
    #[command(flatten)]
    steer: Steer,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.steer.run("cancel", json!({})).await
    }
}

/// Stop a projection where it is; its tables stay as they are
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  pacioli projection pause balances\n  pacioli projection resume balances")]
pub(super) struct Pause {
    #[command(flatten)]
    steer: Steer,
}

impl Pause {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.steer.run("pause", json!({})).await
    }
}

/// Let a paused projection go on
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  pacioli projection resume balances")]
pub(super) struct Resume {
    #[command(flatten)]
    steer: Steer,
}

impl Resume {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.steer.run("resume", json!({})).await
    }
}

/// Try the event again that a projection failed on
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  pacioli projection status balances     # what it failed on\n  \
                             pacioli projection retry balances")]
pub(super) struct Retry {
    #[command(flatten)]
    steer: Steer,
}

impl Retry {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.steer.run("retry", json!({})).await
    }
}

/// Pass over the event that a projection failed on
///
/// Nothing of that event comes into its tables. Who did it and why is written into the log, in the stream
/// $projection-NAME.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection skip balances --reason "a test event, ticket 1234""#)]
pub(super) struct Skip {
    #[command(flatten)]
    steer: Steer,
    /// Why, for whoever audits the numbers later
    #[arg(long, value_name = "REASON")]
    reason: String,
}

impl Skip {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.steer.run("skip", json!({ "reason": self.reason })).await
    }
}

/// Refresh a materialized view now (PostgreSQL)
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  pacioli projection refresh balances balance_by_month")]
pub(super) struct Refresh {
    #[command(flatten)]
    steer: Steer,
    /// The view
    view: String,
}

impl Refresh {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.steer.run("refresh", json!({ "view": self.view })).await
    }
}
