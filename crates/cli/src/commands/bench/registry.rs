//! The schema registry of what is measured: registered in it by gRPC, asked over HTTP as serializers and plugins do.

use async_trait::async_trait;
use pacioli_api::schemas::{Proposed, Registration};
use pacioli_bench::BenchError;
use pacioli_bench::schemas::{Registry, SchemaStep};
use pacioli_client::Client;
use pacioli_client::http::Ask;
use pacioli_core::EventType;
use pacioli_core::schemas::SchemaFormat;
use serde_json::{Value, json};

use crate::read_models::encoded;

/// A registry in this process, or the connection to one.
pub(super) enum OneRegistry {
    Here(pacioli_server::schemas::Registry),
    Server(Client),
}

impl OneRegistry {
    async fn asked(&self, ask: Ask) -> Result<bytes::Bytes, BenchError> {
        let OneRegistry::Server(client) = self else {
            return Err(BenchError::Usage("a registry is asked over HTTP; measure a server".to_owned()));
        };
        let answer = client.http().ask(ask).await.map_err(|error| BenchError::Child(error.to_string()))?;
        answer.bytes().await.map_err(|error| BenchError::Child(error.to_string()))
    }
}

#[async_trait]
impl Registry for OneRegistry {
    async fn register(&self, event_type: &str, step: &SchemaStep) -> Result<(), BenchError> {
        let event_type = EventType::new(event_type).map_err(|error| BenchError::Usage(error.to_string()))?;
        let proposed = Proposed {
            upcaster: step.upcaster.map(str::to_owned),
            ..Proposed::new(event_type, SchemaFormat::Json, step.text)
        };
        let registration = Registration::of(proposed);
        match self {
            OneRegistry::Here(registry) => {
                registry.register(registration, None).await.map_err(|error| BenchError::Outcome(error.to_string()))?;
            }
            OneRegistry::Server(client) => {
                let registered = client.schemas().register(&registration).await;
                registered.map_err(|problem| BenchError::Outcome(problem.detail().to_owned()))?;
            }
        }
        Ok(())
    }

    async fn look_up(&self, event_type: &str) -> Result<usize, BenchError> {
        let target = format!("/schema-registry/subjects/{}/versions/latest", encoded(event_type));
        Ok(self.asked(Ask::get(target)).await?.len())
    }

    async fn check(&self, event_type: &str, text: &str) -> Result<bool, BenchError> {
        let target = format!("/schema-registry/compatibility/subjects/{}/versions/latest", encoded(event_type));
        let body = json!({ "schemaType": "JSON", "schema": text }).to_string();
        let answer: Value =
            serde_json::from_slice(&self.asked(Ask::post(target).json(body)).await?).unwrap_or_default();
        let is_compatible = answer["is_compatible"].as_bool();
        is_compatible.ok_or_else(|| BenchError::Outcome(format!("the registry answered {answer}")))
    }
}
