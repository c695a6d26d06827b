//! `pacioli schema show`

use std::io::Write;

use clap::Args;
use pacioli_api::time;
use pacioli_core::schemas::{RegisteredSchema, SchemaFormat};
use serde_json::Value;

use super::list;
use super::told::TypeAt;
use crate::failure::Failure;
use crate::output::{Form, OutputArgs, Paint, plain};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// Show a registered schema and its upcaster
///
/// Without a version it is the newest that events may be stored under.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema show MoneyDeposited
  pacioli schema show MoneyDeposited@1
  pacioli schema show MoneyDeposited@1 --output json | jq -r .schema > money-deposited.json"#)]
pub(super) struct Show {
    /// The type, and which version of it
    #[arg(value_name = "TYPE[@VERSION]")]
    at: TypeAt,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let TypeAt { event_type, version } = &self.at;
        let row = ReadModelsDoor::with(&self.store, true, async |door| {
            Ok(door.schemas().schema(event_type, *version).await?)
        })
        .await?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => {
                let mut told = list::told(&row);
                told["schema"] = (*row.text).into();
                let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
                told["references"] = row.references.as_deref().map(parsed).unwrap_or_default();
                told["upcaster"] = row.upcaster.as_deref().map(parsed).unwrap_or_default();
                writeln!(out, "{told}")?;
            }
            Form::Table => print(&mut out, &row)?,
        }
        Ok(out.flush()?)
    }
}

fn print(out: &mut impl Write, row: &RegisteredSchema) -> std::io::Result<()> {
    let paint = Paint::stdout();
    let head = format!("{} version {} ({}), id {}", row.event_type, row.version, row.semver, row.id);
    writeln!(out, "{}", paint.bold(&plain(&head)))?;
    let by = row.registered_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
    let state = if row.is_deleted { "; deleted: no event is stored under it any more" } else { "" };
    let line = format!("{}, registered {}{by}{state}", row.format.word(), time::format(row.registered_at));
    writeln!(out, "{}", paint.dim(&plain(&line)))?;
    let is_json = row.format != SchemaFormat::Protobuf;
    writeln!(out, "{}", plain(&pretty(&row.text, is_json)))?;
    if let Some(references) = &row.references {
        writeln!(out, "{}\n{}", paint.bold("refers to"), plain(&pretty(references, true)))?;
    }
    if let Some(upcaster) = &row.upcaster {
        let before = row.version - 1;
        writeln!(out, "{}", paint.bold(&format!("lifts version {before} by")))?;
        writeln!(out, "{}", plain(&pretty(upcaster, true)))?;
    }
    Ok(())
}

/// JSON on one line with its members on lines of their own; anything else as somebody laid it out.
fn pretty(text: &str, is_json: bool) -> String {
    let is_one_line = !text.trim().contains('\n');
    let parsed = (is_json && is_one_line).then(|| serde_json::from_str::<Value>(text).ok()).flatten();
    parsed.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| text.trim_end().to_owned())
}
