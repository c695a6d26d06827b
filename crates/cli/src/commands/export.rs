//! `pacioli export`: the log as NDJSON, for an import elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use pacioli_api::cloudevents::{self, Layout};
use pacioli_api::fields::Fields;

use super::log::{FilterArgs, read_pages};
use crate::failure::Failure;
use crate::output::{count_of, say};
use crate::progress::Progress;
use crate::target::StoreArgs;

/// Write the log as NDJSON: one CloudEvents 1.0 object a line, which `pacioli import` takes
///
/// The file appears under its name only when it is whole, and an existing file is never overwritten. It is compressed
/// where its name ends in .gz. Events are written as they were stored, and not in the newest shape.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli export log.ndjson.gz
  pacioli export - --category account | jq .type
  pacioli export copy.ndjson --store sqlite:./pacioli-data"#)]
pub(crate) struct Export {
    /// The file to write, or - for standard output
    #[arg(default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    /// How much of the data to write: none, all, or what JSON pointers name, like /owner/name,/amount. What is left out
    /// is not in the export, so only one with all of it is a copy
    #[arg(long, value_name = "FIELDS", default_value = "all")]
    fields: Fields,
    #[command(flatten)]
    store: StoreArgs,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let to_stdout = self.file.as_os_str() == "-";
        if !to_stdout && self.file.symlink_metadata().is_ok() {
            return Err(Failure::failed(format!("{} exists already", self.file.display()))
                .hint("An export never overwrites a file; name another one."));
        }
        let store = crate::shape::raw(self.store.open_existing_target().await?).await?;
        if to_stdout {
            let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout());
            self.write(&*store, &mut out).await?;
            return Ok(out.flush()?);
        }

        // Under another name first, so that a file of this name is a whole export.
        let partial = Partial::create(&self.file)?;
        let failed = || Failure::io(format!("could not write {}", partial.path.display()));
        let file = BufWriter::with_capacity(1 << 16, &partial.file);
        let events = if self.file.extension().is_some_and(|extension| extension == "gz") {
            let mut out = GzEncoder::new(file, Compression::default());
            let events = self.write(&*store, &mut out).await?;
            out.finish().and_then(|mut file| file.flush()).map_err(failed())?;
            events
        } else {
            let mut out = file;
            let events = self.write(&*store, &mut out).await?;
            out.flush().map_err(failed())?;
            events
        };
        partial.file.sync_all().map_err(failed())?;
        partial.keep_as(&self.file)?;
        say(&format!("exported {} to {}", count_of(events, "event"), self.file.display()));
        Ok(())
    }

    async fn write(&self, store: &dyn pacioli_core::EventStore, out: &mut impl Write) -> Result<u64, Failure> {
        let head = store.head().await?;
        let after = self.filter.after.as_ref();
        let total =
            after.map_or_else(|| head.iter().map(|place| place.position.0).sum(), |from| from.distance_to(&head));
        let progress = Progress::new(self.filter.filter().is_empty().then_some(total));
        let mut events_written = 0;
        let mut line = Vec::new();
        read_pages(store, &self.filter, self.fields.payload(), u64::MAX, |events| {
            for event in events {
                line.clear();
                cloudevents::write(&mut line, event, &self.fields, Layout::Export);
                line.push(b'\n');
                out.write_all(&line)?;
            }
            events_written += events.len() as u64;
            progress.update(events_written, count_of(events_written, "event"));
            Ok(())
        })
        .await?;
        progress.finish();
        Ok(events_written)
    }
}

/// A file on its way: removed again unless it was kept.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn create(target: &Path) -> Result<Partial, Failure> {
        let mut path = target.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(Failure::io(format!("could not write {}", path.display())))?;
        Ok(Partial { path, file })
    }

    fn keep_as(&self, target: &Path) -> Result<(), Failure> {
        // A link fails where the name was taken meanwhile; a rename would overwrite.
        let linked = std::fs::hard_link(&self.path, target).or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Err(error),
            // Some file systems know no links.
            _ => std::fs::rename(&self.path, target),
        });
        linked.map_err(Failure::io(format!("could not write {}", target.display())))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a rename there is nothing to remove, which is as well.
        let _ = std::fs::remove_file(&self.path);
    }
}
