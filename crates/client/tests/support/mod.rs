//! A server on a port of its own, and a network in front of it that breaks on demand.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pacioli_client::{Client, ClientConfig};
use pacioli_core::memory::MemoryStore;
use pacioli_core::{
    AppendError, AppendOutcome, AppendRequest, Checkpoint, Deliveries, EventStore, Lease, LeaseOutcome, Limits,
    ListStreams, LogPage, ReadError, ReadLog, ReadStream, StreamInfo, StreamName, StreamPage, StreamsPage, Subscribe,
    SystemClock,
};
use pacioli_server::{ServerConfig, ServerLimits};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A store in memory.
pub(crate) fn memory(partitions: u16) -> Arc<MemoryStore> {
    let clock = SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)));
    Arc::new(MemoryStore::new(partitions, Limits::default(), Arc::new(clock)))
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shutdown: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(store: Arc<dyn EventStore>) -> Server {
        Server::configured(store, ServerConfig::default()).await
    }

    /// One that answers appends "unknown" after `append_timeout`.
    pub(crate) async fn patient(store: Arc<dyn EventStore>, append_timeout: Duration) -> Server {
        let limits = ServerLimits { append_timeout, ..ServerLimits::default() };
        Server::configured(store, ServerConfig { limits, ..ServerConfig::default() }).await
    }

    pub(crate) async fn configured(store: Arc<dyn EventStore>, config: ServerConfig) -> Server {
        let config = ServerConfig { listen: "127.0.0.1:0".to_owned(), ..config };
        let server = pacioli_server::Server::bind(config, store).await.unwrap();
        let address = server.address();
        let (shutdown, mut down) = watch::channel(false);
        let serving = tokio::spawn(async move {
            let told = async move {
                let _ = down.wait_for(|down| *down).await;
            };
            server.run(told).await.unwrap();
        });
        Server { address, shutdown, serving }
    }

    /// Tells the server to stop, and waits until it did.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.send(true).unwrap();
        (&mut self.serving).await.unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        client(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A client that is quick to try again.
pub(crate) fn config(address: SocketAddr) -> ClientConfig {
    ClientConfig { backoff_max: Duration::from_millis(50), ..ClientConfig::new(format!("http://{address}")) }
}

pub(crate) fn client(address: SocketAddr) -> Client {
    Client::connect(config(address)).unwrap()
}

/// Stands before a server and cuts every connection through it when told to.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cuts: Arc<watch::Sender<u64>>,
    server: Arc<Mutex<SocketAddr>>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(watch::Sender::new(0));
        let server = Arc::new(Mutex::new(server));
        let proxy = Proxy { address, cuts: Arc::clone(&cuts), server: Arc::clone(&server) };
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cuts.subscribe();
                let server = *server.lock().unwrap();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    near.set_nodelay(true).unwrap();
                    far.set_nodelay(true).unwrap();
                    tokio::select! {
                        biased;
                        _ = cut.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        proxy
    }

    /// New connections go to another server.
    pub(crate) fn turn_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap() = server;
    }

    /// Cuts every connection; new ones may be made.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// What a [`Scripted`] store does instead of, or after, an append.
pub(crate) type OnAppend = dyn Fn(usize, &AppendRequest) -> Script + Send + Sync;

/// What becomes of one append.
pub(crate) enum Script {
    /// What the store says.
    Store,
    /// An error, and nothing is stored.
    Fail(AppendError),
    /// It is stored, then this happens, and then the answer is given.
    Then(Box<dyn FnOnce() + Send>),
    /// It is stored after this time.
    Late(Duration),
}

/// A store whose appends and reads go wrong as told.
pub(crate) struct Scripted {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) appends: std::sync::atomic::AtomicUsize,
    pub(crate) on_append: Box<OnAppend>,
    pub(crate) on_read: Box<dyn Fn() -> Option<ReadError> + Send + Sync>,
}

impl Scripted {
    pub(crate) fn appends(
        on_append: impl Fn(usize, &AppendRequest) -> Script + Send + Sync + 'static,
    ) -> Arc<Scripted> {
        Arc::new(Scripted {
            store: memory(1),
            appends: Default::default(),
            on_append: Box::new(on_append),
            on_read: Box::new(|| None),
        })
    }

    pub(crate) fn reads(on_read: impl Fn() -> Option<ReadError> + Send + Sync + 'static) -> Arc<Scripted> {
        Arc::new(Scripted {
            store: memory(1),
            appends: Default::default(),
            on_append: Box::new(|_, _| Script::Store),
            on_read: Box::new(on_read),
        })
    }

    fn read(&self) -> Result<(), ReadError> {
        (self.on_read)().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl EventStore for Scripted {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        let turn = self.appends.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match (self.on_append)(turn, &append) {
            Script::Store => self.store.append(append).await,
            Script::Fail(error) => Err(error),
            Script::Then(then) => {
                let outcome = self.store.append(append).await;
                then();
                // The connection has time to be gone before the answer goes out.
                tokio::time::sleep(Duration::from_millis(20)).await;
                outcome
            }
            Script::Late(wait) => {
                tokio::time::sleep(wait).await;
                self.store.append(append).await
            }
        }
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.read()?;
        self.store.read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.read()?;
        self.store.read_log(read).await
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        self.read()?;
        self.store.subscribe(subscribe).await
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        self.store.stream(stream).await
    }

    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError> {
        self.store.list_streams(list).await
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        self.read()?;
        self.store.head().await
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        self.store.tracking(name).await
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        self.store.acquire_lease(name, owner, time_to_live).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        self.store.release_lease(lease).await
    }

    async fn backup(&self, to: &Path) -> Result<u64, ReadError> {
        self.read()?;
        // As large as several chunks, and not a multiple of one.
        std::fs::write(to, BACKUP.repeat(100_000)).unwrap();
        Ok(BACKUP.len() as u64 * 100_000)
    }
}

/// What a [`Scripted`] store's backup consists of, 100,000 times.
pub(crate) const BACKUP: &[u8] = b"never erase an entry\n";
