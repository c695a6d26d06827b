//! `pacioli init`: makes a store, and nothing else.

use std::io::Write;

use clap::Args;
use pacioli_postgres::migrate::{self, NewStore};
use pacioli_server::{OpenOptions, data_directory, postgres_location};

use super::serve::PARTITIONS_MAX;
use crate::failure::Failure;
use crate::output::{Form, OutputArgs};
use crate::target::{self, StoreUrl};

/// Make the store, or what it lacks, and say what was made
///
/// On PostgreSQL: the schema, its tables, functions and views, or what of them this version brings anew. It runs as the
/// role of the URL, which then owns what it made; servers need less. `serve`, `append` and `import` make what is missing
/// too, where their role may.
///
/// --print writes the SQL that makes a new store, and touches nothing: not even a connection is made.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli init --store 'postgres://owner@localhost/shop?schema=pacioli'
  pacioli init --store postgres://owner@localhost/shop --partitions 4
  pacioli init --store postgres://owner@localhost/shop --print | psql shop
  pacioli init --store sqlite:./pacioli-data"#)]
pub(crate) struct Init {
    /// Partitions of a new store, fixed from then on; a store that exists must have as many [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=PARTITIONS_MAX))]
    partitions: Option<u16>,
    /// Write the SQL that would make a new store to standard output, and touch nothing
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    store: StoreUrl,
    #[command(flatten)]
    output: OutputArgs,
}

impl Init {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let url = self.store.url()?;
        let location = postgres_location(&url)?;
        if self.print {
            let Some(location) = location else {
                return Err(Failure::usage(
                    "--print is about a store on PostgreSQL: the embedded ones are not made by SQL",
                ));
            };
            let partitions = self.partitions.or(location.partitions()).unwrap_or(1);
            let script = migrate::script(&location, NewStore { partitions, ..NewStore::default() });
            return Ok(std::io::stdout().lock().write_all(script.as_bytes())?);
        }
        let made = match location {
            Some(location) => {
                if let (Some(option), Some(in_url)) = (self.partitions, location.partitions())
                    && option != in_url
                {
                    return Err(Failure::usage(format!("--partitions {option} and {in_url} in the URL do not agree")));
                }
                Box::pin(migrate::init(&location, self.partitions))
                    .await
                    .map_err(|error| Failure::failed(error.reason))?
            }
            None => self.init_embedded(&url).await?,
        };
        told(&made, "made", "nothing was missing", self.output.form())
    }

    async fn init_embedded(&self, url: &str) -> Result<Vec<String>, Failure> {
        let existed = data_directory(url).is_some_and(|directory| directory.join("log.db").exists());
        let options = OpenOptions { partitions: self.partitions, ..OpenOptions::default() };
        target::open_store(url, options).await?;
        Ok(match data_directory(url) {
            Some(directory) if !existed => vec![format!("made a store in {}", directory.display())],
            Some(_) => Vec::new(),
            None => return Err(Failure::usage("a store in memory goes with the process that made it")),
        })
    }
}

/// Writes what was done, a line each.
pub(super) fn told(lines: &[String], name: &str, nothing: &str, form: Form) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match form {
        Form::Json => writeln!(out, "{}", serde_json::json!({ name: lines }))?,
        Form::Table if lines.is_empty() => writeln!(out, "{nothing}")?,
        Form::Table => lines.iter().try_for_each(|line| writeln!(out, "{line}"))?,
    }
    Ok(out.flush()?)
}
