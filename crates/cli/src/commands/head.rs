//! `pacioli head`: the head of the log.

use std::io::Write;

use clap::Args;
use pacioli_api::json::{self, HeadBody};

use crate::failure::Failure;
use crate::output::{Form, OutputArgs};
use crate::target::StoreArgs;

/// Show the head: the last position of each partition that is committed
///
/// It is a checkpoint, so `pacioli log --after` takes it.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli head
  pacioli log --after "$(pacioli head --output table)" --follow"#)]
pub(crate) struct Head {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Head {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.store.open_existing().await?;
        let head = store.head().await?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(&HeadBody::from(&head)))?,
            Form::Table => writeln!(out, "{head}")?,
        }
        Ok(out.flush()?)
    }
}
