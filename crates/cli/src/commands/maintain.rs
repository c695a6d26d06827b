//! `pacioli maintain`: what a store on PostgreSQL needs now and then.

use clap::Args;
use pacioli_postgres::maintenance;
use pacioli_server::postgres_location;

use super::init::told;
use crate::failure::Failure;
use crate::output::OutputArgs;
use crate::target::StoreUrl;

/// Make chunks ahead, turn the periods of ids, and freeze full chunks of a store on PostgreSQL, once
///
/// A server whose role owns the store does all of it by itself. Where servers have fewer rights, let a timer run this as
/// the owner, every few minutes. It says what it did, and does nothing where nothing is due.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli maintain --store postgres://owner@localhost/shop
  */5 * * * *  pacioli maintain --store postgres://owner@localhost/shop     (a line for cron)"#)]
pub(crate) struct Maintain {
    #[command(flatten)]
    store: StoreUrl,
    #[command(flatten)]
    output: OutputArgs,
}

impl Maintain {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Some(location) = postgres_location(&self.store.url()?)? else {
            return Err(Failure::usage(
                "only a store on PostgreSQL is maintained from outside; the embedded one does it itself",
            ));
        };
        let done = Box::pin(maintenance::maintain(&location)).await.map_err(|error| Failure::failed(error.reason))?;
        told(&done, "done", "nothing was due", self.output.form())
    }
}
