//! The server as a process of its own, to be killed.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a start or a clean end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `pacioli serve` on a store and a port that it keeps over restarts. Killed when dropped.
pub(crate) struct Server {
    options: Vec<String>,
    /// What all of them said.
    log: PathBuf,
    address: String,
    child: Child,
}

impl Server {
    /// Starts it on a free port, with these options and environment, and waits until it listens.
    pub(crate) fn start(options: &[String], log: &Path, environment: &[(&str, &str)]) -> Server {
        let (child, address) = spawn(options, "127.0.0.1:0", log, environment);
        Server { options: options.to_vec(), log: log.to_owned(), address, child }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("its end");
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.restart_in(&[]);
    }

    /// The same in another environment.
    pub(crate) fn restart_in(&mut self, environment: &[(&str, &str)]) {
        (self.child, _) = spawn(&self.options, &self.address, &self.log, environment);
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// SIGTERM; returns the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended_within(PATIENCE)?.code()
    }

    /// How it ended, if it does in time.
    pub(crate) fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(options: &[String], listen: &str, log: &Path, environment: &[(&str, &str)]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pacioli"))
        .args(["serve", "--listen", listen])
        .args(options)
        .env_remove("PACIOLI_CRASH_POINT")
        .envs(environment.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut log = OpenOptions::new().create(true).append(true).open(log).expect("a file for what it says");
    let mut said = Vec::new();
    let address = loop {
        let Some(Ok(line)) = lines.next() else { panic!("the server ended at start: {said:?}") };
        let _ = writeln!(log, "{line}");
        match line.split_once("http://127.0.0.1:") {
            Some((_, rest)) => {
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break format!("127.0.0.1:{port}");
            }
            None => said.push(line),
        }
    };
    // What it says later is read too, so that it never blocks on a full pipe.
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = writeln!(log, "{line}");
        }
    });
    (child, address)
}
