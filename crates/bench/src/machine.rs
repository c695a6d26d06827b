//! The machine that a figure was measured on, and how fast its disk syncs.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::BenchError;

/// What a reader must know of the machine to compare a figure.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Cores this process may use.
    pub cores: usize,
    /// The processor's name as the kernel tells it.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// `fdatasync` calls a second after a write of 4 KiB, in the directory the data lies in.
    pub fdatasync_per_second: f64,
}

impl Machine {
    /// Looks at this machine and syncs in `directory` for half a second.
    ///
    /// # Errors
    /// [`BenchError::Io`] where the directory cannot be written.
    pub fn look(directory: &Path) -> Result<Machine, BenchError> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_name(&text));
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Ok(Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            kernel: kernel.map_or_else(|| std::env::consts::OS.to_owned(), |text| text.trim().to_owned()),
            fdatasync_per_second: fdatasync_per_second(directory)?,
        })
    }
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn fdatasync_per_second(directory: &Path) -> Result<f64, BenchError> {
    let path = directory.join("fdatasync.probe");
    let failed = || BenchError::io(format!("could not sync a file in {}", directory.display()));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).map_err(failed())?;
    let block = [0x5a_u8; 4096];
    let began = Instant::now();
    let mut syncs = 0_u32;
    let result = loop {
        let step = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&block)).and_then(|()| file.sync_data());
        if let Err(error) = step {
            break Err(failed()(error));
        }
        syncs += 1;
        if began.elapsed() >= Duration::from_millis(500) {
            break Ok(f64::from(syncs) / began.elapsed().as_secs_f64());
        }
    };
    drop(file);
    // The probe is of no use to anybody; whether it could be removed does not change what was measured.
    let _ = std::fs::remove_file(path);
    result.map(|rate| crate::report::round(rate, 1))
}

/// The resident memory of a process in bytes; `None` where the system does not tell.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The bytes of all files below a directory.
pub fn directory_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_named_and_its_disk_syncs() {
        let directory = tempfile::tempdir().unwrap();
        let machine = Machine::look(directory.path()).unwrap();
        assert!(machine.cores >= 1);
        assert!(machine.fdatasync_per_second > 0.0);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the probe is removed");
        assert_eq!(cpu_name("processor: 0\nmodel name\t: Fast CPU\n").as_deref(), Some("Fast CPU"));
    }
}
