//! A process under test: this same binary, started with other arguments, so that client and server do not share one.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::BenchError;

/// How long a process may take until it says where it listens.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A running process that listens somewhere. Dropping it kills it; it also ends by itself when this process dies,
/// because it watches its standard input.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Held open: the process ends when it closes.
    _stdin: Option<ChildStdin>,
    /// Where it listens, like `http://127.0.0.1:40123`.
    pub url: String,
}

impl Process {
    /// Starts this binary with `arguments` and these variables, and waits until a line of its standard error names a URL.
    ///
    /// # Errors
    /// [`BenchError`] where it does not start, ends early, or says nothing for two minutes.
    pub async fn start<S: AsRef<OsStr>>(arguments: &[S], environment: &[(&str, &str)]) -> Result<Process, BenchError> {
        let binary = std::env::current_exe().map_err(BenchError::io("could not find this program's own file"))?;
        let mut child = Command::new(binary)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(BenchError::io("could not start a process to measure"))?;
        let stdin = child.stdin.take();
        let Some(stderr) = child.stderr.take() else {
            return Err(BenchError::Child("the process to measure has no standard error".to_owned()));
        };
        let mut lines = BufReader::new(stderr).lines();
        let mut said = Vec::new();
        let listening = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(url) = url_in(&line) {
                    return Some(url);
                }
                said.push(line);
            }
            None
        };
        let url = tokio::time::timeout(START_PATIENCE, listening).await.ok().flatten();
        let Some(url) = url else {
            return Err(BenchError::Child(format!("the process to measure did not start: {}", said.join("; "))));
        };
        // Nobody reads what it says from here on, but a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Process { child, _stdin: stdin, url })
    }

    /// Its process id; `None` once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it as `kill -9` does and waits for its end.
    ///
    /// # Errors
    /// [`BenchError::Io`] where the system refuses.
    pub async fn kill(mut self) -> Result<(), BenchError> {
        self.child.kill().await.map_err(BenchError::io("could not end a process"))
    }
}

fn url_in(line: &str) -> Option<String> {
    let at = line.find("http://").or_else(|| line.find("https://"))?;
    Some(line[at..].split([' ', ',', '`']).next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_names_the_address_is_understood() {
        assert_eq!(url_in("listening on http://127.0.0.1:40123 (memory:)").as_deref(), Some("http://127.0.0.1:40123"));
        assert_eq!(url_in("opening the store"), None);
    }
}
