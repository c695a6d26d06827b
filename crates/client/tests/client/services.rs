//! What a gRPC tool finds: health, reflection, and messages it can read.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use pacioli_api::generated::v1::admin_client::AdminClient;
use pacioli_api::generated::v1::event_store_client::EventStoreClient;
use pacioli_api::generated::v1::schemas_client::SchemasClient;
use pacioli_api::generated::v1::{self, Fields, ReadLogRequest, fields};
use pacioli_core::EventStore;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::{Server, memory};
use crate::{appended, note};

async fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn health_answers_for_each_service_until_the_server_goes() {
    let mut server = Server::start(memory(1)).await;
    let mut health = HealthClient::new(channel(&server).await);
    for service in ["", "pacioli.v1.EventStore", "pacioli.v1.Admin"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    let mut watching = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let end = async {
        while let Ok(Some(message)) = watching.message().await {
            assert_eq!(message.status(), ServingStatus::NotServing);
        }
    };
    let both = async { tokio::join!(server.stop(), end) };
    tokio::time::timeout(Duration::from_secs(5), both).await.expect("a watch ends with the server");
}

#[tokio::test]
async fn a_subscriber_is_told_which_way_events_come() {
    let server = Server::start(memory(1)).await;
    let mut events = EventStoreClient::new(channel(&server).await);
    let subscribed = events.subscribe(v1::SubscribeRequest::default()).await.unwrap();
    assert_eq!(subscribed.metadata().get("pacioli-bus").unwrap(), "memory");
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let server = Server::start(memory(1)).await;
    let mut reflection = ServerReflectionClient::new(channel(&server).await);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection.server_reflection_info(stream::iter([ask])).await.unwrap().into_inner();
    let answer: ServerReflectionResponse = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for expected in ["pacioli.v1.EventStore", "pacioli.v1.Admin", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|name| name == expected), "{expected} is missing from {names:?}");
    }
}

#[tokio::test]
async fn a_reader_chooses_fields() {
    let store = memory(1);
    appended(store.append(note("a-1", r#"{"amount": 1.50, "owner": {"name": "Luca", "age": 49}}"#)).await.unwrap());
    let server = Server::start(store).await;
    let mut plain = EventStoreClient::new(channel(&server).await);
    let mut data = async |choice| {
        let request = ReadLogRequest { fields: Some(Fields { choice: Some(choice) }), ..ReadLogRequest::default() };
        let mut messages = plain.read_log(request).await?.into_inner();
        let message = messages.next().await.unwrap()?;
        Ok::<_, tonic::Status>(message.batch.unwrap().events()[0].data.bytes().to_vec())
    };
    let pointers = |list: &[&str]| {
        let pointers = list.iter().map(|pointer| (*pointer).to_owned()).collect();
        fields::Choice::Pointers(fields::Pointers { pointers })
    };
    let chosen = data(pointers(&["/amount", "/owner/name"])).await.unwrap();
    assert_eq!(chosen, br#"{"amount":1.50,"owner":{"name":"Luca"}}"#);
    assert_eq!(data(fields::Choice::None(fields::None {})).await.unwrap(), b"");
    let wrong = data(pointers(&["amount"])).await.unwrap_err();
    assert_eq!(wrong.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_backup_of_a_store_without_files_is_not_there() {
    let server = Server::start(memory(1)).await;
    let mut admin = AdminClient::new(channel(&server).await);
    assert_eq!(admin.backup(v1::BackupRequest {}).await.unwrap_err().code(), tonic::Code::Unimplemented);
}

#[tokio::test]
async fn what_is_not_said_of_a_schema_is_not_taken_for_all() {
    let server = Server::start(memory(1)).await;
    let mut schemas = SchemasClient::new(channel(&server).await);
    let delete = |version, all| v1::DeleteSchemaRequest { r#type: "Noted".to_owned(), version, permanent: false, all };
    for (version, all, says) in [(0, false, "`all`"), (2, true, "excludes")] {
        let refused = schemas.delete_schema(delete(version, all)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains(says), "{refused}");
    }
    // What is said as it has to be comes as far as to find that this server has no registry.
    for (version, all) in [(0, true), (2, false)] {
        assert_eq!(schemas.delete_schema(delete(version, all)).await.unwrap_err().code(), tonic::Code::Unimplemented);
    }
    let setting = |scope: &str, of: &str| v1::SetSettingRequest {
        setting: Some(v1::SchemaSetting {
            scope: scope.to_owned(),
            of: of.to_owned(),
            name: "level".to_owned(),
            value: Some("full".to_owned()),
        }),
    };
    let refused = schemas.set_setting(setting("global", "Noted")).await.unwrap_err();
    assert!(refused.code() == tonic::Code::InvalidArgument && refused.message().contains("setting.of"), "{refused}");
    for (scope, of) in [("global", ""), ("type", "Noted")] {
        assert_eq!(schemas.set_setting(setting(scope, of)).await.unwrap_err().code(), tonic::Code::Unimplemented);
    }
}
