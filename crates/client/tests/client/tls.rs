//! TLS with an authority of one's own, and the token on every call.

use pacioli_client::{Client, ClientConfig};
use pacioli_core::{AppendError, EventStore, ReadError, Subscribe};
use pacioli_server::tokens::{Role, new_token};
use pacioli_server::{ServerConfig, TlsFiles};

use crate::note;
use crate::support::{Server, memory};

#[tokio::test]
async fn tokens_and_authorities_are_checked_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let authority = issued.cert.pem();
    std::fs::write(path("cert.pem"), &authority).unwrap();
    std::fs::write(path("key.pem"), issued.signing_key.serialize_pem()).unwrap();
    let (reader, reader_line) = new_token(Role::Read, "reader").unwrap();
    let (writer, writer_line) = new_token(Role::Append, "writer").unwrap();
    std::fs::write(path("tokens"), format!("{reader_line}\n{writer_line}\n")).unwrap();
    let server = ServerConfig {
        tls: Some(TlsFiles { cert: path("cert.pem"), key: path("key.pem") }),
        tokens: Some(path("tokens")),
        ..ServerConfig::default()
    };
    let server = Server::configured(memory(1), server).await;
    let url = format!("https://{}", server.address);
    let trusting = ClientConfig { ca_pem: Some(authority.into_bytes()), ..ClientConfig::new(&url) };

    let client = Client::connect(trusting.clone().token(writer)).unwrap();
    client.append(note("a-1", "{}")).await.unwrap();
    assert_eq!(client.head().await.unwrap().to_string(), "0:1");
    assert!(client.subscribe(Subscribe::default()).await.is_ok());

    let client = Client::connect(trusting.clone().token(reader)).unwrap();
    assert_eq!(client.head().await.unwrap().to_string(), "0:1");
    let error = client.append(note("a-1", "{}")).await.unwrap_err();
    assert!(matches!(error, AppendError::Denied { .. }), "{error:?}");
    let answer = client.appender(4).submit(note("a-1", "{}")).await.await.unwrap_err();
    assert!(matches!(answer, AppendError::Denied { .. }), "{answer:?}");

    let error = Client::connect(trusting.clone()).unwrap().head().await.unwrap_err();
    assert!(matches!(error, ReadError::Denied { .. }), "{error:?}");

    // Somebody else's authority, or none: no connection, and so no doubt about the append.
    let impatient = ClientConfig { deadline: std::time::Duration::from_millis(300), ..ClientConfig::new(&url) };
    let error = Client::connect(impatient).unwrap().append(note("a-1", "{}")).await.unwrap_err();
    assert!(matches!(error, AppendError::Store(_)), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
}

#[test]
fn a_token_does_not_show_in_logs() {
    assert!(!format!("{:?}", ClientConfig::new("http://a").token("s3cret")).contains("s3cret"));
}
