//! The same [`EventStore`](pacioli_core::EventStore) contract, over gRPC.
//!
//! A [`Client`] hides what a network adds: it connects when it is first used, sends an append whose answer was lost again
//! with the same ids and key, and resumes a subscription where its connection broke. What it cannot hide it says:
//! [`AppendError::Unknown`](pacioli_core::AppendError::Unknown) where nobody knows what became of an append.
//!
//! ```no_run
//! use pacioli_client::{Client, ClientConfig};
//! use pacioli_core::EventStore;
//!
//! # async fn head() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new("http://127.0.0.1:1494"))?;
//! println!("the head is {}", client.head().await?);
//! # Ok(())
//! # }
//! ```

mod appender;
mod backup;
mod config;
mod connections;
mod hopeless;
pub mod http;
mod pages;
mod retry;
mod schemas;
mod store;
mod subscription;

pub use appender::{Appender, Submitted};
pub use config::{ClientConfig, InvalidConfig};
pub use schemas::SchemasClient;
pub use store::Client;
