//! A schema that is offered to the registry, as the options of `register` and `check` say it.

use std::path::PathBuf;

use clap::Args;
use pacioli_api::problem::{Kind, Problem};
use pacioli_api::schemas::{Change, Proposed, Reference, Registered, Registration};
use pacioli_core::EventType;
use pacioli_core::schemas::Semver;
use serde_json::Value;

use super::told::{FormatArg, SchemaFile, read, reference};
use crate::failure::Failure;
use crate::output::say;
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// What is offered.
#[derive(Args, Debug)]
pub(super) struct Offer {
    /// The event type that the schema is of
    #[arg(value_name = "TYPE")]
    event_type: EventType,
    /// The file with the schema, or - for standard input (with --format)
    file: PathBuf,
    /// Its semantic version, like 2.0.0; by default the least that its changes allow
    #[arg(long, value_name = "VERSION")]
    semver: Option<Semver>,
    /// A document that lifts events of the version before to this one, which a break needs
    #[arg(long, value_name = "FILE")]
    upcaster: Option<PathBuf>,
    /// The schema's language; by default by the file's extension: .json, .avsc or .proto
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatArg>,
    /// A registered schema that this one refers to by a name. Given again: and this one
    #[arg(long = "reference", value_name = "NAME=TYPE@VERSION", value_parser = reference)]
    references: Vec<Reference>,
    /// A reader that was checked and can take the break, as `schema impact` names it. Given again: and this one
    #[arg(long, value_name = "NAME")]
    acknowledge: Vec<String>,
}

impl Offer {
    /// Offers it, and gives the answer or why it is refused. What could be better is said to standard error.
    pub(super) async fn send(self, store: &StoreArgs, dry_run: bool) -> Result<Result<Registered, Problem>, Failure> {
        if [Some(&self.file), self.upcaster.as_ref()]
            .into_iter()
            .flatten()
            .filter(|file| file.as_os_str() == "-")
            .count()
            > 1
        {
            return Err(Failure::usage("the schema and the upcaster cannot both be read from standard input"));
        }
        let file = SchemaFile::read(&self.file, self.format)?;
        let upcaster = self.upcaster.as_deref().map(read).transpose()?;
        let proposed = Proposed {
            references: self.references,
            semver: self.semver,
            upcaster,
            ..Proposed::new(self.event_type, file.format, file.text)
        };
        let registration = Registration { proposed, acknowledged: self.acknowledge, dry_run };
        let work = async |door: &ReadModelsDoor| Ok(door.schemas().register(&registration).await);
        let answer = match dry_run {
            true => ReadModelsDoor::with(store, true, work).await?,
            false => ReadModelsDoor::with_made(store, work).await?,
        };
        if let Ok(registered) = &answer {
            registered.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
        }
        Ok(answer)
    }
}

/// Why an offer was refused, with what to do next.
pub(super) fn refused(problem: Problem) -> Failure {
    let hint = match problem.kind() {
        Kind::SchemaIncompatible if problem.member("readers").is_some() => {
            "`pacioli schema impact TYPE` shows who reads the type, which fields, and when they last did; --acknowledge NAME says \
             that one was looked after. `pacioli schema readers` lists those that gave their names, and --forget NAME takes \
             away one that reads no more."
        }
        Kind::SchemaIncompatible => {
            "`pacioli schema diff TYPE@VERSION FILE` shows each change; --upcaster FILE registers a break with what lifts \
             older events over it."
        }
        _ => return problem.into(),
    };
    Failure::from(problem).hint(hint)
}

/// The changes that a refusal carries.
pub(super) fn changes(problem: &Problem) -> Vec<Change> {
    let one = |value: &Value| {
        let is = |name: &str| value[name].as_bool().unwrap_or_default();
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Change {
            path: text("path"),
            breaks_backward: is("breaks_backward"),
            breaks_forward: is("breaks_forward"),
            is_visible: is("is_visible"),
            sentence: text("sentence"),
        }
    };
    problem.member("changes").and_then(Value::as_array).map(|all| all.iter().map(one).collect()).unwrap_or_default()
}
