//! `pacioli streams`: which streams there are.

use std::io::{BufWriter, Write};

use clap::Args;
use pacioli_api::json::{self, StreamBody};
use pacioli_core::{Category, ListStreams};

use crate::failure::Failure;
use crate::output::{Column, Form, OutputArgs, Table};
use crate::target::StoreArgs;

const COLUMNS: &[Column] = &[Column::text("STREAM", 80), Column::number("VERSION"), Column::number("PARTITION")];
/// Streams of one page.
const PAGE_STREAMS: usize = 1_000;

/// List the streams, in the order in which they began
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli streams
  pacioli streams --category account --limit 10
  pacioli streams --prefix account-2024"#)]
pub(crate) struct Streams {
    /// Of this category only: what stands before the first `-` of the name
    #[arg(long, value_name = "CATEGORY")]
    category: Option<Category>,
    /// Whose name begins with this only
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// So many at most; all of them by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Streams {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.store.open_existing().await?;
        let form = self.output.form();
        let mut out = BufWriter::new(std::io::stdout());
        let mut table = Table::new(COLUMNS);
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut after = None;
        while left > 0 {
            let limit = left.min(PAGE_STREAMS as u64) as usize;
            let list = ListStreams { category: self.category.clone(), prefix: self.prefix.clone(), after, limit };
            let page = store.list_streams(list).await?;
            left -= (page.streams.len() as u64).min(left);
            match form {
                Form::Json => {
                    for stream in &page.streams {
                        writeln!(out, "{}", json::to_string(&StreamBody::from(stream)))?;
                    }
                }
                Form::Table => {
                    let rows: Vec<_> = page
                        .streams
                        .iter()
                        .map(|info| vec![info.stream.to_string(), info.version.to_string(), info.partition.to_string()])
                        .collect();
                    table.print(&mut out, &rows)?;
                }
            }
            out.flush()?;
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        Ok(())
    }
}
