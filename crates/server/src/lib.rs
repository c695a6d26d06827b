//! The server: gRPC, HTTP and server-sent events on one port, as a library.
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use pacioli_server::{Server, ServerConfig, open_store};
//!
//! let store = open_store("sqlite:./pacioli-data", None).await?;
//! let server = Server::bind(ServerConfig::default(), store).await?;
//! eprintln!("listening on {}", server.address());
//! server.run(async { std::future::pending().await }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A request goes through `server` (accepts, bounds connections), `http::around` (token, deadline, log line), a handler of
//! `http` or a service of [`grpc`], and the `door` (counts, closes at the end) to the store.
//!
//! **Invariant.** There is no rule of the domain here: the store decides, `pacioli_api` says it in HTTP's or gRPC's words.

mod config;
mod connections;
mod door;
pub mod grpc;
mod http;
mod keep_going;
mod metrics;
mod models;
mod open;
pub mod schemas;
mod server;
pub mod shapes;
mod tls;
pub mod tokens;

pub use config::{DEFAULT_LISTEN, ServerConfig, ServerError, ServerLimits, TlsFiles};
pub use models::{EngineSource, Models, OpenReadModels};
pub use open::{
    OpenError, OpenOptions, Opened, data_directory, open_store, open_store_with, postgres_location, shown_url,
};
pub use server::{Listening, Server};
