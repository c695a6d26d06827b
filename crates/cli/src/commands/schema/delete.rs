//! `pacioli schema delete`

use std::io::Write;

use clap::Args;
use pacioli_api::json;

use super::told::TypeAt;
use crate::failure::Failure;
use crate::output::{Form, OutputArgs, plain};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// Delete a version of a schema: no event is stored under it any more
///
/// Reads stay what they were: events are lifted through it and to it. A type all of whose versions are deleted is retired: no
/// event of it can be appended. With --permanent a version that was deleted before goes for good, where no stored event
/// follows it and none is lifted over it; where it was the newest, older events are read in the shape before it.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema delete MoneyDeposited@1
  pacioli schema delete MoneyDeposited --all           # retires the type
  pacioli schema delete MoneyDeposited@1 --permanent"#)]
pub(super) struct Delete {
    /// The type, and which version of it
    #[arg(value_name = "TYPE@VERSION")]
    at: TypeAt,
    /// Every version of the type
    #[arg(long)]
    all: bool,
    /// For good, where it was deleted before
    #[arg(long)]
    permanent: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Delete {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let TypeAt { event_type, version } = &self.at;
        match (version, self.all) {
            (None, false) => {
                return Err(Failure::usage(format!("{event_type} names no version"))
                    .hint("Write which one, like OrderPlaced@2, or --all for every one."));
            }
            (Some(_), true) => return Err(Failure::usage("--all and a version exclude each other")),
            _ => {}
        }
        let deleted = ReadModelsDoor::with(&self.store, false, async |door| {
            Ok(door.schemas().delete(event_type, *version, self.permanent).await?)
        })
        .await?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(&deleted))?,
            Form::Table => {
                let numbers: Vec<String> = deleted.versions.iter().map(u32::to_string).collect();
                let what = if self.permanent { "deleted for good" } else { "deleted" };
                writeln!(out, "{what}: {} version {}", plain(event_type.as_str()), numbers.join(", "))?;
            }
        }
        Ok(out.flush()?)
    }
}
