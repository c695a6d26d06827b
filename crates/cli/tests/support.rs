//! What the tests share: running `pacioli`, and a server in a temporary directory.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// What a finished command left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// The JSON lines of a command that exits 0.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{self:?}");
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one JSON line of a command that exits 0.
    #[track_caller]
    pub(crate) fn line(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    /// Asserts the exit code and that standard error says this.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(says), "{says}: {self:?}");
    }
}

/// The binary, away from the environment of whoever runs the tests.
pub(crate) fn pacioli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pacioli"));
    for variable in ["PACIOLI_SERVER", "PACIOLI_STORE", "PACIOLI_TOKEN", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    run_with(arguments, b"")
}

/// Runs a command to its end with this standard input.
pub(crate) fn run_with<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, stdin: &[u8]) -> Finished {
    let mut child =
        pacioli().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that does not read it all is none of our business.
        let _ = input.write_all(&stdin);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal, like `TERM`.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits for a process to end; panics after a minute.
#[track_caller]
pub(crate) fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("the process did not end within a minute");
}

/// `pacioli serve` on a free port over a temporary directory.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) url: String,
    /// The lines it said until it listened, and the hint after that.
    pub(crate) said: Vec<String>,
    directory: TempDir,
}

impl Server {
    /// A server on an embedded store.
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    /// The same with more options.
    pub(crate) fn start_with(options: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let data = text(&directory.path().join("data"));
        Server::start_in(directory, &[&["--data", &data], options].concat())
    }

    /// A server on the store of a URL.
    pub(crate) fn start_on(store: &str, options: &[&str]) -> Server {
        Server::start_in(tempfile::tempdir().unwrap(), &[&["--store", store], options].concat())
    }

    fn start_in(directory: TempDir, options: &[&str]) -> Server {
        let mut child =
            pacioli().args(["serve", "--listen", "127.0.0.1:0"]).args(options).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else { panic!("the server ended at start: {said:?}") };
            said.push(line.clone());
            if let Some(at) = line.find("http") {
                break line[at..].split([' ', ',', '"']).next().unwrap().to_owned();
            }
        };
        said.extend(lines.next().transpose().unwrap());
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, url, said, directory }
    }

    /// Where its data lies.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A path in a directory that goes with the server.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file with this content.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.file(name);
        std::fs::write(&path, content).unwrap();
        text(&path)
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        run(arguments.iter().chain(&["--server", &self.url]))
    }

    /// Runs a command against it with this standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Finished {
        run_with(arguments.iter().chain(&["--server", &self.url]), stdin)
    }

    /// Appends an event with this data.
    #[track_caller]
    pub(crate) fn append(&self, stream: &str, event_type: &str, data: &str) -> Value {
        self.run(&["append", stream, "--type", event_type, "--data", data]).line()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A path as text.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Every command that reads and changes nothing, as it is called; `copy` is where those write that write a file.
pub(crate) fn commands_that_only_read(copy: &str) -> [Vec<&str>; 9] {
    [
        vec!["read", "a-1"],
        vec!["log"],
        vec!["log", "--follow"],
        vec!["streams"],
        vec!["head"],
        vec!["schema", "list"],
        vec!["check"],
        vec!["export", copy],
        vec!["backup", copy],
    ]
}
