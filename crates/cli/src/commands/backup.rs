//! `pacioli backup`: a consistent copy of the store while it serves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::failure::Failure;
use crate::output::{Form, OutputArgs, human_bytes};
use crate::progress::Progress;
use crate::target::StoreArgs;

/// Write a consistent copy of the whole store to a new file, while appends go on
///
/// The file is one SQLite database. To restore it, put it into an empty directory under the name the server uses, or
/// open it with any SQLite tool. An existing file is never overwritten.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli backup pacioli-2024-05-01.db
  pacioli backup copy.db --store sqlite:./pacioli-data"#)]
pub(crate) struct Backup {
    /// The file to write
    file: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Backup {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.file.as_os_str() == "-" {
            return Err(Failure::usage("a backup cannot be written to a pipe; name a file")
                .hint("`pacioli export -` writes the events to standard output."));
        }
        if self.file.symlink_metadata().is_ok() {
            return Err(Failure::failed(format!("{} exists already", self.file.display()))
                .hint("A backup never overwrites a file; name another one."));
        }
        let store = self.store.open_existing().await?;
        let progress = Progress::new(None);
        let copy = store.backup(&self.file);
        tokio::pin!(copy);
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        let bytes = loop {
            tokio::select! {
                done = &mut copy => break done?,
                _ = ticks.tick() => {
                    let written = self.written();
                    progress.update(written, format!("{} written", human_bytes(written)));
                }
            }
        };
        progress.finish();
        let mut out = std::io::stdout().lock();
        use std::io::Write as _;
        match self.output.form() {
            Form::Json => {
                let done = serde_json::json!({ "file": self.file.display().to_string(), "bytes": bytes });
                writeln!(out, "{done}")?;
            }
            Form::Table => writeln!(out, "wrote {} to {}", human_bytes(bytes), self.file.display())?,
        }
        Ok(out.flush()?)
    }

    /// The bytes so far: the copy has its name only when it is whole, and lies beside it until then.
    fn written(&self) -> u64 {
        let beside = self.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Ok(entries) = std::fs::read_dir(beside) else { return 0 };
        let name = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_part = |found: &str| found.starts_with(".pacioli-backup-") || found.starts_with(&name);
        let parts = entries.flatten().filter(|entry| is_part(&entry.file_name().to_string_lossy()));
        parts.filter_map(|entry| Some(entry.metadata().ok()?.len())).max().unwrap_or(0)
    }
}
