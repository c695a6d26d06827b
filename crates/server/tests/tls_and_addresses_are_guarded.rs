//! Beyond loopback there is TLS and tokens, or nothing.

use std::path::Path;
use std::sync::Arc;

use pacioli_core::Limits;
use pacioli_server::{Server, ServerConfig, ServerError, TlsFiles};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{PATIENCE, TestServer, answer, config, memory, request};

/// A certificate for `localhost` in two files.
fn certificate(dir: &Path) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().clone())
}

fn connector(trusted: CertificateDer<'static>, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn tls_speaks_both_versions_of_http() {
    let dir = tempfile::tempdir().unwrap();
    let (files, trusted) = certificate(dir.path());
    let server = TestServer::with(ServerConfig { tls: Some(files), ..config() }, memory(1, Limits::default())).await;
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let mut tls = connector(trusted.clone(), &[b"http/1.1"]).connect(name.clone(), tcp).await.unwrap();
    tls.write_all(&request("GET", "/healthz", &[], b"")).await.unwrap();
    assert_eq!(answer(tls).await.status, 200);
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let tls = connector(trusted, &[b"h2", b"http/1.1"]).connect(name, tcp).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // Without TLS nothing is said.
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(&request("GET", "/healthz", &[], b"")).await.unwrap();
    let mut plain = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut plain).await;
    assert!(!String::from_utf8_lossy(&plain).contains("HTTP"));
}

#[tokio::test]
async fn a_handshake_that_is_not_made_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = certificate(dir.path());
    let mut hasty = ServerConfig { tls: Some(files), ..config() };
    hasty.limits.tls_handshake_timeout = std::time::Duration::from_millis(200);
    let server = TestServer::with(hasty, memory(1, Limits::default())).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let mut nothing = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut nothing)).await;
    assert!(ended.is_ok(), "still open");
}

async fn refusal(config: ServerConfig) -> ServerError {
    Server::bind(config, memory(1, Limits::default())).await.err().expect("is refused")
}

#[tokio::test]
async fn an_open_address_wants_walls() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = certificate(dir.path());
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, "").unwrap();
    let open = ServerConfig { listen: "0.0.0.0:0".to_owned(), ..config() };
    for config in [
        open.clone(),
        ServerConfig { listen: "[::]:0".to_owned(), ..config() },
        ServerConfig { tls: Some(files.clone()), ..open.clone() },
        ServerConfig { tokens: Some(tokens.clone()), ..open.clone() },
    ] {
        let error = refusal(config).await;
        assert!(matches!(error, ServerError::Unguarded { .. }) && error.to_string().contains("--insecure"), "{error}");
    }
    for config in [
        ServerConfig { insecure: true, ..open.clone() },
        ServerConfig { tls: Some(files), tokens: Some(tokens), ..open.clone() },
    ] {
        assert!(Server::bind(config, memory(1, Limits::default())).await.is_ok());
    }
}

/// A page of another host can make its name mean 127.0.0.1, but its browser still says the name.
#[tokio::test]
async fn without_tokens_only_the_names_of_this_machine_are_answered() {
    let ask = async |server: &TestServer, target: &str, host: &str, headers: &str| {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        answer(tcp).await
    };
    let server = TestServer::start().await;
    for host in ["localhost", "localhost:1494", "127.0.0.1:80", "[::1]:1494", "LocalHost"] {
        assert_eq!(ask(&server, "/v1/streams", host, "").await.status, 200, "{host}");
    }
    for host in ["evil.example", "evil.example:1494", "localhost.evil.example", "192.0.2.1"] {
        let refused = ask(&server, "/v1/streams", host, "").await;
        assert_eq!(refused.problem(421).0, "misdirected", "{host}");
        assert!(refused.text().contains("--tokens") && refused.text().contains("--insecure"));
        let refused = ask(&server, "/pacioli.v1.EventStore/GetHead", host, "content-type: application/grpc\r\n").await;
        assert_eq!(refused.header("grpc-status"), Some("7"), "{host}");
    }
    assert_eq!(ask(&server, "http://evil.example/v1/streams", "localhost", "").await.status, 421);

    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, "").unwrap();
    for config in
        [ServerConfig { insecure: true, ..config() }, ServerConfig { tokens: Some(tokens.clone()), ..config() }]
    {
        let server = TestServer::with(config, memory(1, Limits::default())).await;
        assert_eq!(ask(&server, "/healthz", "events.example", "").await.status, 200);
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = certificate(dir.path());
    let missing = dir.path().join("missing.pem");
    let no_cert = TlsFiles { cert: missing.clone(), ..files.clone() };
    let no_key = TlsFiles { key: missing.clone(), ..files.clone() };
    let cert_for_key = TlsFiles { key: files.cert.clone(), ..files.clone() };
    for tls in [no_cert, no_key, cert_for_key] {
        let error = refusal(ServerConfig { tls: Some(tls), ..config() }).await;
        assert!(matches!(&error, ServerError::Tls(reason) if reason.contains(".pem")), "{error}");
    }
    let error = refusal(ServerConfig { tokens: Some(missing), ..config() }).await;
    assert!(matches!(error, ServerError::Tokens(_)), "{error}");
    let taken = TestServer::start().await;
    let error = refusal(ServerConfig { listen: taken.address.to_string(), ..config() }).await;
    assert!(matches!(&error, ServerError::Listen { address, .. } if *address == taken.address.to_string()), "{error}");
}
