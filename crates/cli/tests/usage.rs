//! Help shows how, errors say what next, and the exit code says which kind.

use crate::support::{commands_that_only_read, pacioli, run};

const COMMANDS: [&str; 22] = [
    "demo",
    "serve",
    "append",
    "read",
    "log",
    "streams",
    "head",
    "projection",
    "schema",
    "check",
    "query",
    "diff",
    "import",
    "export",
    "backup",
    "init",
    "maintain",
    "doctor",
    "index",
    "token",
    "bench",
    "completions",
];

#[test]
fn every_command_shows_examples() {
    let help = run(["--help"]);
    assert_eq!(help.code, 0);
    for command in COMMANDS {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}: {}", help.out);
        let long = run([command, "--help"]);
        assert_eq!(long.code, 0);
        assert!(long.out.contains("Examples:\n") && long.out.contains(&format!("  pacioli {command}")), "{}", long.out);
    }
    assert!(!help.out.contains("floor-server"));
    for projection in [
        "add", "list", "status", "rebuild", "cancel", "pause", "resume", "retry", "skip", "rollback", "verify",
        "refresh", "drop",
    ] {
        let long = run(["projection", projection, "--help"]);
        let example = format!("  pacioli projection {projection}");
        assert!(long.code == 0 && long.out.contains("Examples:\n") && long.out.contains(&example), "{}", long.out);
    }
    for schema in ["register", "check", "diff", "impact", "list", "show", "delete", "level", "mode"] {
        let long = run(["schema", schema, "--help"]);
        let example = format!("  pacioli schema {schema}");
        assert!(long.code == 0 && long.out.contains("Examples:\n") && long.out.contains(&example), "{}", long.out);
    }
    assert!(run(["--version"]).out.starts_with("pacioli "));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]);
        assert!(script.code == 0 && script.out.contains("pacioli"), "{shell}");
    }
}

#[test]
fn wrong_usage_exits_2() {
    for wrong in [&["banana"][..], &[], &["append"], &["read"], &["head", "--limit", "1"], &["log", "--limit", "-1"]] {
        assert_eq!(run(wrong).code, 2, "{wrong:?}");
    }
    run(["head", "--server", "http://127.0.0.1:1", "--store", "memory:"]).fails(2, "--store");
    run(["head", "--store", "banana:"]).fails(2, "banana");
    run(["head", "--server", "banana"]).fails(2, "banana");
}

#[test]
fn a_server_that_is_not_there_is_said_with_what_to_do() {
    for command in [&["head"][..], &["log"], &["append", "a-1", "--type", "T", "--data", "{}"]] {
        let finished = run(command.iter().chain(&["--server", "http://127.0.0.1:1"]));
        finished.fails(1, "pacioli serve");
        assert!(finished.err.starts_with("error: ") && finished.err.contains("\nhint: "), "{finished:?}");
        assert_eq!(finished.out, "");
    }
}

#[test]
fn the_environment_names_the_store() {
    let head = |variables: &[(&str, &str)], arguments: &[&str]| {
        let output = pacioli().arg("head").args(arguments).envs(variables.iter().copied()).output().unwrap();
        output.status.code().unwrap()
    };
    assert_eq!(head(&[("PACIOLI_STORE", "memory:")], &[]), 0);
    assert_eq!(head(&[("PACIOLI_SERVER", "http://127.0.0.1:1")], &["--store", "memory:"]), 0);
    assert_eq!(head(&[("PACIOLI_SERVER", "http://127.0.0.1:1")], &[]), 1);
    assert_eq!(head(&[("PACIOLI_SERVER", "http://127.0.0.1:1"), ("PACIOLI_STORE", "memory:")], &[]), 2);
}

/// An empty answer about a mistyped directory would be believed, and an empty backup kept.
#[test]
fn who_only_reads_makes_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let mistyped = directory.path().join("mistyped");
    let copy = directory.path().join("copy");
    let (store, copy) = (format!("sqlite:{}", mistyped.display()), copy.to_str().unwrap());
    for command in commands_that_only_read(copy) {
        run(command.iter().chain(&["--store", &store])).fails(1, "there is no store in");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{command:?}");
    }
    // A directory of other things is none either.
    let other = format!("sqlite:{}", directory.path().display());
    run(["head", "--store", &other]).fails(1, "there is no store in");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_value_is_told_in_words_of_its_own() {
    let append = ["append", "a-1", "--type", "T", "--data", "{}", "--store", "memory:"];
    let append = |option, value| run(append.iter().chain(&[option, value]));
    append("--id", "abc").fails(2, "`abc` is no UUID");
    append("--key", "abc").fails(2, "`abc` is no UUID");
    append("--expect", "-1").fails(2, "`exists` or a version");
    run(["read", "a-1", "--from", "abc"]).fails(2, "`abc` is no version");
    run(["read", "a-1", "--from", "-1"]).fails(2, "`-1` is no version");
    for command in [&["read", "a-1"][..], &["log"], &["streams"]] {
        run(command.iter().chain(&["--limit", "0"])).fails(2, "--limit");
    }
}
