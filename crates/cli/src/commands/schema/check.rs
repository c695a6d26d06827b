//! `pacioli schema check`

use std::io::Write;

use clap::Args;
use pacioli_api::json;
use pacioli_api::problem::Kind;
use serde_json::json;

use super::offer::{Offer, changes, refused};
use super::told::{print_changes, registered_line};
use crate::failure::{Code, Failure};
use crate::output::{Form, OutputArgs};
use crate::target::StoreArgs;

/// See whether a schema would be taken, for a pipeline that builds an application
///
/// The same as `schema register --dry-run`: its changes, its semantic version, the stored events and the readers are looked
/// at, and nothing is registered. It exits 1 where it would be refused, whatever for.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema check MoneyDeposited money-deposited.json
  pacioli schema check MoneyDeposited money-deposited.json --upcaster to-3.json --semver 2.0.0"#)]
pub(super) struct Check {
    #[command(flatten)]
    offer: Offer,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Check {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let form = self.output.form();
        let mut out = std::io::stdout().lock();
        let registered = match self.offer.send(&self.store, true).await? {
            Ok(registered) => registered,
            Err(problem) if matches!(problem.kind(), Kind::SchemaRefused | Kind::SchemaIncompatible) => {
                let changes = changes(&problem);
                match form {
                    Form::Json => {
                        let told = json!({ "taken": false, "problem": problem.detail(), "changes": changes });
                        writeln!(out, "{told}")?;
                    }
                    Form::Table => print_changes(&mut out, &changes)?,
                }
                out.flush()?;
                return Err(refused(problem).with_code(Code::Failed));
            }
            Err(problem) => return Err(problem.into()),
        };
        match form {
            Form::Json => {
                let mut told = serde_json::to_value(&registered).unwrap_or_default();
                told["taken"] = true.into();
                writeln!(out, "{}", json::to_string(&told))?;
            }
            Form::Table => {
                let what = if registered.is_known { "is registered as" } else { "would be taken as" };
                writeln!(out, "{}", registered_line(&registered, what))?;
                print_changes(&mut out, &registered.changes)?;
            }
        }
        Ok(out.flush()?)
    }
}
