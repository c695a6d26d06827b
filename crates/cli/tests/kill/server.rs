//! The server as a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a start or a clean end may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// `pacioli serve` on a data directory and a port that it keeps over restarts. Killed when dropped.
pub(crate) struct Server {
    data: PathBuf,
    address: String,
    child: Child,
}

impl Server {
    /// Starts it on a free port and waits until it listens.
    pub(crate) fn start(data: &Path) -> Server {
        let (child, address) = spawn(data, "127.0.0.1:0");
        Server { data: data.to_owned(), address, child }
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
        (self.child, _) = spawn(&self.data, &self.address);
    }

    /// SIGTERM; returns the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
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

fn spawn(data: &Path, listen: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pacioli"))
        .args(["serve", "--listen", listen, "--data"])
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut said = Vec::new();
    let address = loop {
        let Some(Ok(line)) = lines.next() else { panic!("the server ended at start: {said:?}") };
        match line.split_once("http://127.0.0.1:") {
            Some((_, rest)) => {
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break format!("127.0.0.1:{port}");
            }
            None => said.push(line),
        }
    };
    // What it says later is read and dropped, so that it never blocks on a full pipe.
    std::thread::spawn(move || for _ in lines {});
    (child, address)
}
