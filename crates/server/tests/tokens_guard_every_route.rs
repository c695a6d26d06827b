//! Every route with every role, and what the refusals say.

use pacioli_core::Limits;
use pacioli_server::ServerConfig;
use pacioli_server::tokens::{Role, new_token};

use crate::support::{Answer, TestServer, config, memory};

const OPEN: &[(&str, &str)] =
    &[("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")];
const NEEDS: &[(&str, &str, Role)] = &[
    ("GET", "/metrics", Role::Read),
    ("GET", "/v1/events", Role::Read),
    ("HEAD", "/v1/events", Role::Read),
    ("GET", "/v1/streams", Role::Read),
    ("GET", "/v1/streams/a-1", Role::Read),
    ("GET", "/v1/streams/a-1/events", Role::Read),
    ("GET", "/v1/streams/a-1/state", Role::Read),
    ("GET", "/v1/readers", Role::Read),
    ("DELETE", "/v1/readers/billing", Role::Admin),
    ("POST", "/v1/sql", Role::Read),
    ("GET", "/v1/read-models/balances", Role::Read),
    ("GET", "/v1/read-models/balances/diff", Role::Read),
    ("GET", "/v1/projections", Role::Read),
    ("GET", "/v1/projections/balances", Role::Read),
    ("POST", "/v1/projections", Role::Admin),
    ("DELETE", "/v1/projections/balances", Role::Admin),
    ("POST", "/v1/projections/balances/rebuild", Role::Admin),
    ("POST", "/v1/projections/balances/cancel", Role::Admin),
    ("POST", "/v1/projections/balances/pause", Role::Admin),
    ("POST", "/v1/projections/balances/resume", Role::Admin),
    ("POST", "/v1/projections/balances/retry", Role::Admin),
    ("POST", "/v1/projections/balances/skip", Role::Admin),
    ("POST", "/v1/projections/balances/rollback", Role::Admin),
    ("POST", "/v1/projections/balances/refresh", Role::Admin),
    ("POST", "/v1/projections/balances/verify", Role::Admin),
    ("POST", "/v1/streams/a-1/events", Role::Append),
    ("POST", "/v1/appends", Role::Append),
    ("gRPC", "/pacioli.v1.EventStore/ReadLog", Role::Read),
    ("gRPC", "/pacioli.v1.EventStore/Subscribe", Role::Read),
    ("gRPC", "/pacioli.v1.EventStore/GetHead", Role::Read),
    ("gRPC", "/pacioli.v1.EventStore/Append", Role::Append),
    ("gRPC", "/pacioli.v1.EventStore/AppendStream", Role::Append),
    ("gRPC", "/pacioli.v1.EventStore/AcquireLease", Role::Append),
    // Not a dry run.
    ("gRPC", "/pacioli.v1.Schemas/Register", Role::Admin),
    ("gRPC", "/pacioli.v1.Schemas/Compare", Role::Read),
    ("gRPC", "/pacioli.v1.Schemas/DeleteSchema", Role::Admin),
    ("gRPC", "/pacioli.v1.Admin/Backup", Role::Admin),
    // A method that nobody put into the table is closed to all but admins.
    ("gRPC", "/pacioli.v1.EventStore/NoSuchMethod", Role::Admin),
];

struct Guarded {
    server: TestServer,
    secrets: Vec<(Role, String)>,
    dir: tempfile::TempDir,
}

async fn guarded() -> Guarded {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let (mut secrets, mut file) = (Vec::new(), String::new());
    for role in [Role::Read, Role::Append, Role::Admin] {
        let (secret, line) = new_token(role, &format!("the {role} one")).unwrap();
        file.push_str(&format!("{line}\n"));
        secrets.push((role, secret));
    }
    std::fs::write(&path, file).unwrap();
    let config = ServerConfig { tokens: Some(path), ..config() };
    Guarded { server: TestServer::with(config, memory(1, Limits::default())).await, secrets, dir }
}

async fn send(server: &TestServer, method: &str, path: &str, secret: Option<&str>) -> Answer {
    let authorization = secret.map(|secret| format!("Bearer {secret}"));
    let mut headers = vec![("content-type", if method == "gRPC" { "application/grpc" } else { "application/json" })];
    headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
    let (method, body) = match method {
        "gRPC" => ("POST", &[0, 0, 0, 0, 0][..]),
        "POST" => ("POST", &br#"[{"type":"T","data":1}]"#[..]),
        other => (other, &b""[..]),
    };
    // A subscription that is let in has no end, so only the beginning of an answer is waited for.
    server.send_for_head(method, path, &headers, body).await
}

#[tokio::test]
async fn a_role_opens_its_routes_and_no_other() {
    let Guarded { server, secrets, .. } = guarded().await;
    for (method, path) in OPEN {
        assert_eq!(send(&server, method, path, None).await.status, 200, "{path}");
    }
    for (method, path, needs) in NEEDS {
        for secret in [None, Some("pacioli_0000")] {
            let refused = send(&server, method, path, secret).await;
            match *method {
                "gRPC" => assert_eq!((refused.status, refused.header("grpc-status")), (200, Some("16")), "{path}"),
                "HEAD" => assert_eq!(refused.status, 401),
                _ => {
                    assert_eq!(refused.problem(401).0, "unauthenticated", "{path}");
                    assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer realm=\"pacioli\""));
                }
            }
        }
        for (role, secret) in &secrets {
            let answer = send(&server, method, path, Some(secret)).await;
            let is_refused = match *method {
                "gRPC" => matches!(answer.header("grpc-status"), Some("7" | "16")),
                _ => matches!(answer.status, 401 | 403),
            };
            assert_eq!(is_refused, role < needs, "{role} at {method} {path}: {}", answer.status);
            if is_refused && *method == "GET" {
                assert!(answer.text().contains(needs.as_str()));
            }
        }
    }
    assert_eq!(send(&server, "GET", "/v1/nothing", None).await.status, 404);
    assert_eq!(send(&server, "DELETE", "/v1/events", None).await.status, 405);
}

#[tokio::test]
async fn a_refusal_names_the_role_that_is_needed() {
    let Guarded { server, secrets, .. } = guarded().await;
    let reader = Some(secrets[0].1.as_str());
    let refused = send(&server, "POST", "/v1/appends", reader).await;
    assert_eq!(refused.problem(403).0, "forbidden");
    assert!(refused.text().contains("`append`") && refused.text().contains("the read one"));
    let refused = send(&server, "gRPC", "/pacioli.v1.Admin/Backup", reader).await;
    assert_eq!(refused.header("grpc-status"), Some("7"));
    assert!(refused.header("grpc-message").unwrap().contains("admin"));
}

#[tokio::test]
async fn a_token_that_is_taken_away_ends_what_it_let_in() {
    let Guarded { server, secrets, dir } = guarded().await;
    let file = dir.path().join("tokens");
    let lines = std::fs::read_to_string(&file).unwrap();
    let authorization: Vec<String> = secrets.iter().map(|(_, secret)| format!("Bearer {secret}")).collect();
    let mut live = server.live("/v1/events", &[("authorization", &authorization[0])]).await;
    let mut other = server.live("/v1/events", &[("authorization", &authorization[1])]).await;
    live.caught_up().await;
    other.caught_up().await;
    let grpc = [("content-type", "application/grpc"), ("authorization", authorization[0].as_str())];
    let subscribed = server.send("POST", "/pacioli.v1.EventStore/Subscribe", &grpc, &[0; 5]);
    let taken_away = async {
        // The reader's line goes.
        std::fs::write(&file, lines.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let last = live.next().await.expect("the reason");
        assert_eq!((last.event.as_str(), last.json()["status"].as_u64()), ("error", Some(401)));
        assert_eq!(live.next().await, None);
    };
    // Over HTTP/1 nobody sees gRPC's trailers, but that the answer ends is seen.
    let (subscribed, ()) = tokio::join!(subscribed, taken_away);
    assert_eq!(subscribed.status, 200);
    let headers = [("content-type", "application/json"), ("authorization", authorization[1].as_str())];
    let appended = server.send("POST", "/v1/streams/a-1/events", &headers, br#"[{"type":"T","data":1}]"#).await;
    assert_eq!(appended.status, 201);
    assert_eq!(other.event().await.json()["subject"], "a-1", "the others go on");
}
