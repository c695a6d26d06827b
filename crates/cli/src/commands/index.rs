//! `pacioli index`: indexes of one's own over a log on PostgreSQL.

use std::io::Write;

use clap::{Args, Subcommand};
use pacioli_core::StoreError;
use pacioli_postgres::Location;
use pacioli_postgres::indexes::{self, Index};
use pacioli_server::postgres_location;
use serde::Serialize;

use crate::failure::{Code, Failure};
use crate::output::{Column, Form, OutputArgs, Table, human_bytes};
use crate::progress::Progress;
use crate::target::StoreUrl;

const COLUMNS: &[Column] =
    &[Column::text("NAME", 48), Column::text("CHUNKS", 16), Column::text("SIZE", 12), Column::text("DEFINITION", 80)];

/// Add, list and drop indexes of your own over a log on PostgreSQL
///
/// Each is made on every chunk there is, while appends go on, and on every chunk that comes. It costs every append, so
/// have as few as your queries need.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli index add customer "((data::jsonb ->> 'customer'))" --store postgres://owner@localhost/shop
  pacioli index add data "USING gin ((data::jsonb) jsonb_path_ops)" --store postgres://owner@localhost/shop
  pacioli index list --store postgres://owner@localhost/shop
  pacioli index drop customer --store postgres://owner@localhost/shop"#)]
pub(crate) struct IndexCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make an index on every chunk, or finish one whose making broke off
    Add {
        /// Its name: lower-case letters, digits and `_`
        name: String,
        /// What stands behind `CREATE INDEX ON events`: columns or expressions in brackets, and before them `USING`, if any
        definition: String,
        #[command(flatten)]
        store: StoreUrl,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the indexes that were added, what they take, and how many chunks have them
    List {
        #[command(flatten)]
        store: StoreUrl,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Drop an index from every chunk
    Drop {
        /// Its name
        name: String,
        #[command(flatten)]
        store: StoreUrl,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// An index as it is told.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    definition: &'a str,
    bytes: u64,
    chunks: u64,
    chunks_total: u64,
}

impl IndexCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Add { name, definition, store, output } => {
                Box::pin(add(&location(&store)?, &name, &definition, output.form())).await
            }
            Action::List { store, output } => list(&location(&store)?, output.form()).await,
            Action::Drop { name, store, output } => {
                Box::pin(drop_index(&location(&store)?, &name, output.form())).await
            }
        }
    }
}

fn location(store: &StoreUrl) -> Result<Location, Failure> {
    let location = postgres_location(&store.url()?)?;
    location.ok_or_else(|| Failure::usage("indexes are added to a store on PostgreSQL; the embedded one has its own"))
}

fn failed(error: StoreError) -> Failure {
    Failure::failed(error.reason)
}

async fn add(location: &Location, name: &str, definition: &str, form: Form) -> Result<(), Failure> {
    // How many chunks there are is known with the first of them.
    let mut bar: Option<Progress> = None;
    let made = indexes::add(location, name, definition, |progress| {
        let bar = bar.get_or_insert_with(|| Progress::new(Some(progress.total as u64)));
        bar.update(progress.done as u64, format!("{} of {} chunks", progress.done, progress.total));
    });
    let made = made.await;
    // What was refused at once left nothing behind.
    let begun = bar.is_some();
    made.map_err(|error| match begun {
        true => failed(error).hint("Ask for the same again to finish what broke off."),
        false => failed(error),
    })?;
    if let Some(bar) = &bar {
        bar.finish();
    }
    let all = indexes::list(location).await.map_err(failed)?;
    let added: Vec<Index> = all.into_iter().filter(|index| index.name == name).collect();
    print(&added, form)
}

async fn list(location: &Location, form: Form) -> Result<(), Failure> {
    print(&indexes::list(location).await.map_err(failed)?, form)
}

async fn drop_index(location: &Location, name: &str, form: Form) -> Result<(), Failure> {
    if !indexes::drop(location, name).await.map_err(failed)? {
        let failure = Failure::new(Code::NotFound, format!("there is no index `{name}`"));
        return Err(failure.hint("`pacioli index list` lists those there are."));
    }
    let mut out = std::io::stdout().lock();
    match form {
        Form::Json => writeln!(out, "{}", serde_json::json!({ "dropped": name }))?,
        Form::Table => writeln!(out, "dropped {name}")?,
    }
    Ok(out.flush()?)
}

fn print(indexes: &[Index], form: Form) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match form {
        Form::Json => {
            for Index { name, definition, bytes, chunks, chunks_total } in indexes {
                let told = Told { name, definition, bytes: *bytes, chunks: *chunks, chunks_total: *chunks_total };
                writeln!(out, "{}", pacioli_api::json::to_string(&told))?;
            }
        }
        Form::Table => {
            let row = |index: &Index| {
                let chunks = format!("{} of {}", index.chunks, index.chunks_total);
                vec![index.name.clone(), chunks, human_bytes(index.bytes), index.definition.clone()]
            };
            Table::new(COLUMNS).print(&mut out, &indexes.iter().map(row).collect::<Vec<_>>())?;
        }
    }
    Ok(out.flush()?)
}
