//! A server in this process, on a free port, for as long as somebody needs it.

use std::sync::Arc;

use pacioli_core::EventStore;
use pacioli_server::schemas::Registry;
use pacioli_server::{Models, Server, ServerConfig, ServerError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::target::{StoreArgs, Target};

/// A server that runs beside the rest of the process.
pub(crate) struct Host {
    url: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), ServerError>>,
}

impl Host {
    /// Serves `store`, its read models and its schemas on a free port of the loopback.
    pub(crate) async fn start(
        store: Arc<dyn EventStore>,
        models: Models,
        schemas: Option<Registry>,
    ) -> Result<Host, Failure> {
        let config = ServerConfig { listen: "127.0.0.1:0".to_owned(), ..ServerConfig::default() };
        let server = Server::listen(config).await?.serve(store, models, schemas).await;
        let url = format!("http://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            // Dropping the host stops the server as well.
            let _ = stopped.await;
        }));
        Ok(Host { url, stop, running })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A client of it.
    pub(crate) async fn connect(&self) -> Result<Target, Failure> {
        StoreArgs::default().connect(&self.url).await
    }

    /// Stops it and waits until the store is let go.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let _ = self.stop.send(());
        let ended = self.running.await.map_err(|error| Failure::failed(format!("the server ended early: {error}")))?;
        Ok(ended?)
    }
}

/// Resolves when somebody asks this process to end, so that it can take along what it made.
pub(crate) async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            // Then Ctrl-C is the way.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Resolves when standard input ends: whoever started this process has gone.
pub(crate) async fn stdin_closed() {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // An error is an end too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = sender.send(());
    });
    let _ = receiver.await;
}
