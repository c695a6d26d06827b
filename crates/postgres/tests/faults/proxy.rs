//! A proxy before a cluster's socket that cuts connections at a chosen moment.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pacioli_core::conformance::history::Random;
use pacioli_pgtest::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The word as it stands in the message that carries it.
const COMMIT: &[u8] = b"COMMIT\0";
/// The port in the name of the socket.
const PORT: u16 = 5432;

/// When to cut a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server has COMMIT, and its answer goes nowhere.
    AfterCommit,
    /// All before COMMIT has arrived, and COMMIT has not.
    BeforeCommit,
    /// Once so many more bytes have come from the server.
    AfterBytes(u64),
}

struct State {
    next: Mutex<Option<Cut>>,
    cuts: AtomicU64,
    closed: AtomicBool,
    /// Cuts every connection when it changes.
    all: watch::Sender<u64>,
    random: Mutex<Random>,
}

/// Stands between a store and its cluster until it is dropped.
pub(crate) struct Proxy {
    directory: tempfile::TempDir,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn before(cluster: &Cluster, seed: u64) -> Proxy {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join(format!(".s.PGSQL.{PORT}"))).expect("a socket");
        let target = cluster.socket_directory().join(format!(".s.PGSQL.{}", cluster.port()));
        let state = Arc::new(State {
            next: Mutex::new(None),
            cuts: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            all: watch::Sender::new(0),
            random: Mutex::new(Random::new(seed)),
        });
        let accepting = tokio::spawn(accept(listener, target, Arc::clone(&state)));
        Proxy { directory, state, accepting }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}&port={PORT}", self.directory.path().display())
    }

    /// Arms it: the next connection that comes to that moment is cut.
    pub(crate) fn cut_next(&self, cut: Cut) {
        *self.state.next.lock().expect("no panic") = Some(cut);
    }

    /// How many were cut so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::Relaxed)
    }

    /// Cuts whatever is connected, and lets nobody in until it is opened again.
    pub(crate) fn close(&self) {
        self.state.closed.store(true, Ordering::Relaxed);
        self.state.all.send_modify(|times| *times += 1);
    }

    /// Lets nobody in any more; who is connected stays.
    pub(crate) fn refuse(&self) {
        self.state.closed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) {
        self.state.closed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.all.send_modify(|times| *times += 1);
    }
}

impl State {
    fn armed(&self) -> Option<Cut> {
        *self.next.lock().expect("no panic")
    }

    /// Takes the cut that is armed, if it is this one; true for one connection only.
    fn fire(&self, cut: Cut) -> bool {
        let mut next = self.next.lock().expect("no panic");
        let fires = *next == Some(cut);
        if fires {
            *next = None;
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
        fires
    }
}

async fn accept(listener: UnixListener, target: PathBuf, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        if state.closed.load(Ordering::Relaxed) {
            continue;
        }
        let Ok(server) = UnixStream::connect(&target).await else { continue };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let mut all = state.all.subscribe();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let mute = AtomicBool::new(false);
            tokio::select! {
                () = forward(from_client, to_server, &state, &mute) => {}
                () = answer(from_server, to_client, &state, &mute) => {}
                _ = all.changed() => {}
            }
        });
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, mute: &AtomicBool) {
    let mut chunk = vec![0; 64 << 10];
    // The end of what was sent, where the word may have begun.
    let mut before: Vec<u8> = Vec::new();
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
        let carried = before.len();
        before.extend_from_slice(&chunk[..read]);
        let found = before.windows(COMMIT.len()).position(|window| window == COMMIT);
        if let Some(at) = found {
            if state.fire(Cut::BeforeCommit) {
                // A part of the word that went out already is no message.
                let _ = to.write_all(&chunk[..at.saturating_sub(carried)]).await;
                return;
            }
            if state.fire(Cut::AfterCommit) {
                mute.store(true, Ordering::Relaxed);
                if to.write_all(&chunk[..read]).await.is_ok() {
                    // Sometimes it is committed when the connection goes, sometimes it still is at it.
                    let pause = state.random.lock().expect("no panic").below(20);
                    tokio::time::sleep(Duration::from_millis(pause as u64)).await;
                }
                return;
            }
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
        before.drain(..before.len().saturating_sub(COMMIT.len() - 1));
    }
}

async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, mute: &AtomicBool) {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
        if mute.load(Ordering::Relaxed) {
            continue;
        }
        if let Some(cut @ Cut::AfterBytes(left)) = state.armed() {
            if (read as u64) < left {
                *state.next.lock().expect("no panic") = Some(Cut::AfterBytes(left - read as u64));
            } else if state.fire(cut) {
                let _ = to.write_all(&chunk[..left as usize]).await;
                return;
            }
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}
