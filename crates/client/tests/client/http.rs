//! Plain HTTP over the same connections: answers, problems, and nobody there.

use std::time::Duration;

use futures::TryStreamExt;
use pacioli_api::problem::Kind;
use pacioli_client::http::{Ask, HttpError};
use pacioli_client::{Client, ClientConfig};
use pacioli_core::EventStore;
use pacioli_server::tokens::{Role, new_token};
use pacioli_server::{ServerConfig, TlsFiles};

use crate::note;
use crate::support::{Server, config, memory};

fn problem(error: HttpError) -> Kind {
    match error {
        HttpError::Problem(problem) => problem.kind(),
        HttpError::Lost(message) => panic!("expected a problem: {message}"),
    }
}

fn lost(error: HttpError) -> String {
    match error {
        HttpError::Lost(message) => message,
        HttpError::Problem(problem) => panic!("expected no answer: {problem:?}"),
    }
}

#[tokio::test]
async fn one_client_speaks_both() {
    let server = Server::start(memory(1)).await;
    let client = server.client();
    client.append(note("a-1", r#"{"a":1}"#)).await.unwrap();
    let answer = client.http().ask(Ask::get("/v1/streams/a-1/state")).await.unwrap();
    assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/json")));
    let bytes = answer.bytes().await.unwrap();
    assert!(bytes.starts_with(br#"{"stream":"a-1","version":0,"state":{"a":1},"#), "{bytes:?}");
    // Bodies and media types go along.
    let body = r#"[{"type":"Noted","data":{"a":2}}]"#;
    let appended = client.http().ask(Ask::post("/v1/streams/a-1/events").json(body)).await.unwrap();
    assert_eq!((appended.status(), appended.header("etag")), (201, Some("\"1\"")));
    let lines = client.http().ask(Ask::get("/v1/events?limit=1").accept("application/x-ndjson")).await.unwrap();
    let chunks: Vec<_> = lines.chunks().try_collect().await.unwrap();
    assert_eq!(chunks.concat().iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[tokio::test]
async fn a_problem_is_told_as_the_server_says_it() {
    let server = Server::start(memory(1)).await;
    let http = server.client().http();
    let missing = http.ask(Ask::get("/v1/streams/a-1")).await.unwrap_err();
    assert_eq!(problem(missing), Kind::StreamNotFound);
    assert_eq!(problem(http.ask(Ask::post("/v1/sql").json("{}")).await.unwrap_err()), Kind::Unsupported);
    assert_eq!(problem(http.ask(Ask::delete("/v1/events")).await.unwrap_err()), Kind::MethodNotAllowed);
    let unknown = lost(http.ask(Ask::get("/v2/events")).await.unwrap_err());
    assert!(unknown.contains("of this release"), "{unknown}");
    let no_path = lost(http.ask(Ask::get("no path")).await.unwrap_err());
    assert!(no_path.contains("no path"), "{no_path}");
}

#[tokio::test]
async fn nobody_there_is_said_in_time() {
    let mut server = Server::start(memory(1)).await;
    let impatient = ClientConfig { deadline: Duration::from_millis(300), ..config(server.address) };
    let http = Client::connect(impatient).unwrap().http();
    assert!(http.ask(Ask::get("/v1/streams")).await.is_ok());
    server.stop().await;
    for ask in [Ask::get("/v1/streams"), Ask::post("/v1/sql").json("{}")] {
        let message = lost(http.ask(ask).await.unwrap_err());
        assert!(message.contains("no answer from http://127.0.0.1"), "{message}");
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Client::connect(config(silent.local_addr().unwrap())).unwrap().http();
    let message = lost(http.ask(Ask::get("/v1/streams").patience(Duration::from_millis(200))).await.unwrap_err());
    assert!(message.contains("within 200 ms"), "{message}");
}

#[tokio::test]
async fn tokens_and_tls_are_those_of_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), issued.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), issued.signing_key.serialize_pem()).unwrap();
    let (secret, line) = new_token(Role::Read, "reader").unwrap();
    std::fs::write(path("tokens"), line).unwrap();
    let server = ServerConfig {
        tls: Some(TlsFiles { cert: path("cert.pem"), key: path("key.pem") }),
        tokens: Some(path("tokens")),
        ..ServerConfig::default()
    };
    let server = Server::configured(memory(1), server).await;
    let url = format!("https://{}", server.address);
    let trusting = ClientConfig { ca_pem: Some(issued.cert.pem().into_bytes()), ..ClientConfig::new(&url) };
    let known = Client::connect(trusting.clone().token(secret)).unwrap().http();
    assert!(known.ask(Ask::get("/v1/streams")).await.is_ok());
    assert_eq!(problem(known.ask(Ask::post("/v1/appends").json("{}")).await.unwrap_err()), Kind::Forbidden);
    let unknown = Client::connect(trusting).unwrap().http();
    assert_eq!(problem(unknown.ask(Ask::get("/v1/streams")).await.unwrap_err()), Kind::Unauthenticated);
    let stranger = Client::connect(ClientConfig::new(&url)).unwrap().http();
    let message = lost(stranger.ask(Ask::get("/v1/streams")).await.unwrap_err());
    assert!(message.contains("--ca-cert"), "{message}");
}
