//! A token that is taken away ends the calls that it let in.

use std::time::Duration;

use futures::StreamExt;
use pacioli_api::generated::v1::append_stream_response::Result as Outcome;
use pacioli_api::generated::v1::event_store_client::EventStoreClient;
use pacioli_api::generated::v1::{AppendStreamRequest, SubscribeRequest};
use pacioli_server::ServerConfig;
use pacioli_server::tokens::{Role, new_token};
use tokio::sync::mpsc;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::note;
use crate::support::{Server, memory};

#[tokio::test]
async fn a_lowered_token_ends_appends_and_a_missing_one_subscriptions() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    let (secret, line) = new_token(Role::Append, "checkout").unwrap();
    std::fs::write(&file, &line).unwrap();
    let server =
        Server::configured(memory(1), ServerConfig { tokens: Some(file.clone()), ..ServerConfig::default() }).await;
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let bearer = format!("Bearer {secret}").parse().unwrap();
    let mut client = EventStoreClient::with_interceptor(channel, move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", Clone::clone(&bearer));
        Ok(request)
    });
    let (sender, mut receiver) = mpsc::channel(1);
    let requests = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut answers = client.append_stream(requests).await.unwrap().into_inner();
    let mut subscription = client.subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
    let append = pacioli_api::wire::append::request_to_wire(&note("a-1", "1"));
    sender.send(AppendStreamRequest { correlation: 7, append: Some(append) }).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap();
    assert!(matches!((answer.correlation, answer.result), (7, Some(Outcome::Response(_)))));

    // It may still read.
    std::fs::write(&file, line.replacen("append", "read", 1)).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(15), answers.next()).await.expect("ends by itself");
    assert_eq!(ended.unwrap().unwrap_err().code(), Code::Unauthenticated);
    assert!(subscription.next().await.unwrap().is_ok());

    std::fs::write(&file, "").unwrap();
    let ended = async {
        loop {
            if let Err(status) = subscription.next().await.expect("an end with a reason") {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(15), ended).await.expect("ends by itself");
    assert_eq!(status.code(), Code::Unauthenticated);
}
