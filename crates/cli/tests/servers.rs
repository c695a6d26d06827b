//! A server says where it listens, guards its data and its door, and stops when it is told.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Server, pacioli, run, signal, text, wait};

#[test]
fn it_says_in_one_line_where_it_listens_and_then_what_to_type() {
    let server = Server::start();
    assert!(server.said[0].contains(&server.url), "{:?}", server.said);
    assert!(server.said[1].contains("pacioli append") && server.said[1].contains(&server.url), "{:?}", server.said);
}

#[test]
fn sigterm_and_ctrl_c_end_it_cleanly_and_the_data_stays() {
    for name in ["TERM", "INT"] {
        let mut server = Server::start();
        server.append("account-1", "T", "{}");
        let began = Instant::now();
        signal(server.child.id(), name);
        assert_eq!(wait(&mut server.child), 0);
        assert!(began.elapsed() < Duration::from_secs(10));
        let store = format!("sqlite:{}", text(&server.data()));
        assert_eq!(run(["head", "--store", &store]).line()["checkpoint"], "0:1");
    }
}

#[test]
fn sigterm_ends_a_live_stream_too() {
    let mut server = Server::start();
    server.append("account-1", "T", "{}");
    let mut follower = pacioli()
        .args(["log", "--follow", "--server", &server.url])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut lines = std::io::BufReader::new(follower.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut lines, &mut first).unwrap();
    signal(server.child.id(), "TERM");
    assert_eq!(wait(&mut server.child), 0);
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let server = Server::start();
    let data = text(&server.data());
    let second = run(["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
    second.fails(1, &data);
    run(["head", "--store", &format!("sqlite:{data}")]).fails(1, &data);
    assert_eq!(server.run(&["head"]).code, 0, "the first one goes on");
}

#[test]
fn a_door_to_the_world_without_guard_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = text(directory.path());
    run(["serve", "--data", &data, "--listen", "0.0.0.0:0"]).fails(1, "--insecure");
}

#[test]
fn what_cannot_be_served_leaves_no_store_behind() {
    let busy = Server::start();
    let data = busy.file("other");
    let (path, missing) = (text(&data), text(&busy.file("missing.pem")));
    let listen = busy.url.strip_prefix("http://").unwrap();
    for (wrong, says) in [
        (&["--listen", "banana"][..], "banana"),
        (&["--listen", listen], listen),
        (&["--listen", "0.0.0.0:0"], "--insecure"),
        (&["--listen", "127.0.0.1:0", "--tls-cert", &missing, "--tls-key", &missing], &missing),
        (&["--listen", "127.0.0.1:0", "--tokens", &missing], &missing),
    ] {
        run(["serve", "--data", &path].iter().chain(wrong)).fails(1, says);
        assert!(!data.exists(), "{wrong:?}");
    }
}

/// Each within the time of a person who waits: what can never be is not tried for half a minute.
#[test]
fn a_connection_that_can_never_be_fails_at_once_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        text(&path)
    };
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (write("cert.pem", &made.cert.pem()), write("key.pem", &made.signing_key.serialize_pem()));
    let server = Server::start_with(&["--tls-cert", &cert, "--tls-key", &key]);
    let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let stranger = write("stranger.pem", &stranger.cert.pem());

    // An authority that serves with its own certificate, as the first recipe for openssl makes it.
    let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = write("ca.pem", &parameters.self_signed(&authority_key).unwrap().pem());
    let authority_key = write("ca-key.pem", &authority_key.serialize_pem());
    let authoritative = Server::start_with(&["--tls-cert", &authority, "--tls-key", &authority_key]);

    let plain = Server::start();
    let as_plain = server.url.replace("https://", "http://");
    let as_tls = plain.url.replace("http://", "https://");
    let events = write("events.ndjson", r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","subject":"a-1"}"#);
    for command in [&["head"][..], &["log"], &["append", "a-1", "--type", "T", "--data", "{}"], &["import", &events]] {
        for (options, says) in [
            (&["--server", &server.url, "--ca-cert", &stranger][..], "--ca-cert FILE"),
            (&["--server", &authoritative.url, "--ca-cert", &authority], "CA:FALSE"),
            (&["--server", &as_plain], &*server.url),
            (&["--server", &as_tls, "--ca-cert", &cert], &*plain.url),
        ] {
            let began = Instant::now();
            run(command.iter().chain(options)).fails(1, says);
            assert!(began.elapsed() < Duration::from_secs(3), "{command:?} {options:?}: {:?}", began.elapsed());
        }
    }
    server.run(&["head", "--ca-cert", &key]).fails(2, &format!("--ca-cert {key}"));
}

#[test]
fn tokens_decide_who_may_do_what() {
    let token = |role: &str| {
        let line = run(["token", "new", "--role", role, "--name", "test", "--output", "json"]).line();
        let member = |name: &str| line[name].as_str().unwrap().to_owned();
        (member("token"), member("line"))
    };
    let ((reader, reader_line), (writer, writer_line)) = (token("read"), token("append"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::write(&file, format!("# who\n{reader_line}\n{writer_line}\n")).unwrap();
    let server = Server::start_with(&["--tokens", &text(&file)]);

    let append = ["append", "account-1", "--type", "T", "--data", "{}"];
    server.run(&append).fails(1, "--token");
    server.run(&[&append[..], &["--token", "wrong"]].concat()).fails(1, "--token");
    server.run(&[&append[..], &["--token", &reader]].concat()).fails(1, "--token");
    assert_eq!(server.run(&[&append[..], &["--token", &writer]].concat()).code, 0);
    assert_eq!(server.run(&["log", "--token", &reader]).lines().len(), 1);
    let event = br#"{"specversion":"1.0","id":"1","source":"/s","type":"T","subject":"a-1"}"#;
    let import = server.run_with(&["import", "-", "--token", &reader], event);
    import.fails(1, "--token");
    assert!(!import.err.contains("when the store is back"), "waiting does not help: {import:?}");
    let by_environment = pacioli().args(["head", "--server", &server.url]).env("PACIOLI_TOKEN", &reader).output();
    assert!(by_environment.unwrap().status.success());

    let printed = run(["token", "new", "--role", "admin", "--name", "ops"]);
    assert_eq!(printed.code, 0);
    run(["token", "new", "--role", "king", "--name", "x"]).fails(2, "--role");
}

#[test]
fn partitions_are_fixed_when_the_store_is_made() {
    let server = Server::start_with(&["--partitions", "3"]);
    assert_eq!(server.run(&["head"]).line()["checkpoint"], "0:0,1:0,2:0");
    drop(server);
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", text(directory.path()));
    let append = ["append", "account-1", "--type", "T", "--data", "{}"];
    assert_eq!(run(append.iter().chain(&["--store", &store])).code, 0);
    let other = run(["serve", "--store", &store, "--partitions", "3", "--listen", "127.0.0.1:0"]);
    other.fails(1, "partition");
}

#[test]
fn the_memory_store_serves_and_forgets() {
    let server = Server::start_with(&[]);
    assert!(server.data().exists());
    let mut child = pacioli()
        .args(["serve", "--store", "memory:", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let url = line["url"].as_str().unwrap();
    assert_eq!(run(["head", "--server", url]).line()["checkpoint"], "0:0");
    signal(child.id(), "TERM");
    assert_eq!(wait(&mut child), 0);
    run(["serve", "--store", "banana:", "--listen", "127.0.0.1:0"]).fails(2, "banana");
    run(["serve", "--store", "memory:", "--data", "x"]).fails(2, "--data");
}

#[test]
fn tls_is_spoken_to_those_who_trust_the_certificate() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        text(&path)
    };
    let (cert, key) = (write("cert.pem", made.cert.pem()), write("key.pem", made.signing_key.serialize_pem()));
    let server = Server::start_with(&["--tls-cert", &cert, "--tls-key", &key]);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let append = ["append", "account-1", "--type", "T", "--data", "{}", "--ca-cert", &cert];
    assert_eq!(server.run(&append).code, 0);
    let data = text(directory.path());
    run(["serve", "--data", &data, "--tls-cert", &cert]).fails(2, "--tls-key");
    run(["serve", "--data", &data, "--tls-cert", &key, "--tls-key", &cert, "--listen", "127.0.0.1:0"]).fails(1, "TLS");
    server.run(&["head", "--ca-cert", "/nowhere"]).fails(1, "/nowhere");
}
