//! The import rules: who may know whom. CONTRIBUTING.md shows them as a table; change both together.

use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::{Finding, TextFile, Workspace, source::Source};

/// The crate that starts PostgreSQL for tests.
pub(super) const HARNESS: &str = "pgtest";

/// Each crate by its directory below `crates/`, with the siblings it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    (HARNESS, &[]),
    ("projection", &["core"]),
    ("sqlite", &["core", "projection"]),
    ("postgres", &["core", "projection", "schema"]),
    ("schema", &["core"]),
    ("macros", &[]),
    ("framework", &["core", "macros"]),
    ("api", &["core"]),
    ("client", &["api", "core"]),
    ("server", &["api", "core", "projection", "sqlite", "postgres", "schema"]),
    ("bench", &["api", "client", "server", "projection", "sqlite", "core"]),
    ("cli", &["bench", "client", "server", "schema", "sqlite", "postgres", "projection", "api", "core"]),
];

/// Tests may go further: every crate to core's conformance suite, to any engine and to the schema gate.
const ALLOWED_IN_TESTS: &[&str] = &["core", "sqlite", "postgres", "schema"];
/// The conformance suite runs through a real port, so the tests of each end need the other end.
const ALLOWED_PAIR_IN_TESTS: [&str; 2] = ["client", "server"];

/// The harness is for the tests of what runs on PostgreSQL, and for xtask.
const HARNESS_IN_TESTS_OF: [&str; 5] = ["postgres", "server", "client", "cli", "bench"];

/// External crates that belong to a few of our crates only, with the reason.
const RESTRICTED: &[Restricted] = &[
    Restricted {
        names: &["rusqlite", "libsqlite3-sys", "postgres", "sqlx"],
        allowed: &["sqlite", "postgres"],
        instead: "only the engines speak SQL: add what you need to the engine, behind the `EventStore` contract",
    },
    Restricted {
        names: &[
            "tokio-postgres",
            "tokio-postgres-rustls",
            "deadpool-postgres",
            "pgwire-replication",
            "postgres-types",
            "sqlparser",
        ],
        allowed: &["postgres"],
        instead: "only `postgres` speaks PostgreSQL's protocol: add what you need to it; a test asks `pacioli_pgtest`",
    },
    Restricted {
        names: &["serde", "serde_json", "prost", "prost-types", "tonic", "tonic-prost", "axum", "http"],
        allowed: &[
            "projection",
            "sqlite",
            "postgres",
            "schema",
            "macros",
            "framework",
            "api",
            "client",
            "server",
            "bench",
            "cli",
        ],
        instead: "core knows no wire format: convert in crates/api, once in each direction",
    },
];

struct Restricted {
    names: &'static [&'static str],
    allowed: &'static [&'static str],
    instead: &'static str,
}

/// The formats core's tests may read and write.
const CORE_TEST_FORMATS: [&str; 2] = ["serde", "serde_json"];

/// The kill test looks into the files of read models without a server, and without an engine's help.
const FILES_IN_TESTS: (&str, &str) = ("cli", "rusqlite");

/// Time and randomness, which reach core as arguments.
const AMBIENT: &[&[&str]] = &[&["SystemTime", "now"], &["Instant", "now"], &["tokio", "time"], &["thread_rng"]];
/// The one file of core that defines what time is.
const CLOCK_FILE: &str = "crates/core/src/clock.rs";

const SQL_STARTS: &[&str] = &["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE TABLE"];
/// On the line of a string or the line above it: the string is help text, not a statement.
const NOT_SQL_MARK: &str = "// tidy: not sql";

/// Where protobuf types may appear.
const WIRE_PLACES: &[&str] = &["crates/api/src/", "crates/server/src/grpc", "crates/client/src/", "crates/bench/"];

/// A crate of the workspace as the rules see it.
pub(super) struct Crate {
    /// Its directory below `crates/`.
    pub(super) dir: String,
    pub(super) dependencies: Vec<Dependency>,
}

pub(super) struct Dependency {
    pub(super) name: String,
    /// Its directory below `crates/` when it is a crate of this workspace.
    pub(super) sibling: Option<String>,
    pub(super) for_tests: bool,
}

/// The crates below `crates/` with their dependencies, as cargo reads them.
pub(super) fn crates(root: &Path) -> Result<Vec<Crate>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .context("could not read the workspace with cargo metadata")?;
    let sibling = |path: &Path| {
        let inside = path.strip_prefix(root.join("crates")).ok()?;
        Some(inside.to_str()?.replace('\\', "/"))
    };
    let packages = metadata.packages.iter().filter_map(|package| {
        let dir = sibling(package.manifest_path.parent()?.as_std_path())?;
        let dependencies = package.dependencies.iter().map(|dependency| Dependency {
            name: dependency.name.clone(),
            sibling: dependency.path.as_ref().and_then(|path| sibling(path.as_std_path())),
            for_tests: dependency.kind == DependencyKind::Development,
        });
        Some(Crate { dir, dependencies: dependencies.collect() })
    });
    Ok(packages.collect())
}

/// Every import rule.
pub(super) fn check(workspace: &Workspace, crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in crates {
        let manifest_path = format!("crates/{}/Cargo.toml", one.dir);
        if let Some(manifest) = workspace.files.iter().find(|file| file.path == manifest_path) {
            check_dependencies(one, manifest, &mut findings);
        }
    }
    for file in &workspace.files {
        if file.path.ends_with("Cargo.toml") {
            check_lints(file, &mut findings);
        } else if let Some(place) = Place::of(file) {
            match Source::parse(&file.text) {
                Ok(source) => check_source(file, &place, &source, &mut findings),
                Err((line, reason)) => {
                    findings.push(file.finding(line, format!("is not Rust: {reason}"), "a file that compiles"));
                }
            }
        }
    }
    findings
}

fn check_dependencies(one: &Crate, manifest: &TextFile, findings: &mut Vec<Finding>) {
    let Some((_, allowed)) = ALLOWED.iter().find(|(dir, _)| *dir == one.dir) else {
        let wrong = format!("the crate `{}` has no import rule", one.dir);
        findings.push(manifest.finding(
            1,
            wrong,
            "a row in ALLOWED in xtask/src/tidy/imports.rs and in CONTRIBUTING.md",
        ));
        return;
    };
    for dependency in &one.dependencies {
        let name = dependency.name.as_str();
        let line = manifest.lines().find(|(_, line)| names_dependency(line, name)).map_or(1, |(number, _)| number);

        // 1. Edges between our crates.
        if let Some(sibling) = dependency.sibling.as_deref() {
            let pair = ALLOWED_PAIR_IN_TESTS;
            let in_tests = ALLOWED_IN_TESTS.contains(&sibling)
                || (pair.contains(&one.dir.as_str()) && pair.contains(&sibling))
                || (sibling == HARNESS && HARNESS_IN_TESTS_OF.contains(&one.dir.as_str()));
            let allowed_here = allowed.contains(&sibling) || (dependency.for_tests && in_tests);
            if !allowed_here {
                let wrong = format!("`{}` may not depend on `{sibling}`", one.dir);
                let instead = match allowed {
                    [] => format!("`{}` knows no sibling: pass in what it needs as an argument or a trait", one.dir),
                    _ => {
                        format!("`{}` may use {}; move shared code down into one of them", one.dir, allowed.join(", "))
                    }
                };
                findings.push(manifest.finding(line, wrong, instead));
            }
        }

        // 2. External crates that belong elsewhere.
        let exempt = dependency.for_tests
            && (one.dir == "core" && CORE_TEST_FORMATS.contains(&name) || (one.dir.as_str(), name) == FILES_IN_TESTS);
        for restricted in RESTRICTED {
            if restricted.names.contains(&name) && !restricted.allowed.contains(&one.dir.as_str()) && !exempt {
                let wrong = format!("`{}` may not depend on `{name}`", one.dir);
                findings.push(manifest.finding(line, wrong, restricted.instead));
            }
        }
    }
}

/// Whether a manifest line declares this dependency: `name = …`, `name.workspace = …` or `[dependencies.name]`.
fn names_dependency(line: &str, name: &str) -> bool {
    let line = line.trim();
    let declared = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    declared || line.strip_suffix(']').is_some_and(|table| table.ends_with(&format!("dependencies.{name}")))
}

/// The workspace forbids unsafe code, and every member takes the workspace's lints.
fn check_lints(manifest: &TextFile, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = manifest.text.lines().map(str::trim).collect();
    if manifest.path == "Cargo.toml" {
        if !lines.contains(&"unsafe_code = \"forbid\"") {
            let instead = "`unsafe_code = \"forbid\"` under [workspace.lints.rust]";
            findings.push(manifest.finding(1, "the workspace does not forbid unsafe code", instead));
        }
        return;
    }
    let inherits = lines.contains(&"lints.workspace = true")
        || lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]);
    if !inherits {
        let wrong = "the crate does not take the workspace's lints, which forbid unsafe code";
        findings.push(manifest.finding(1, wrong, "`[lints]` and under it `workspace = true`"));
    }
}

/// A source file of a crate, tests aside.
struct Place<'a> {
    crate_dir: &'a str,
    /// Below the crate's `src/`.
    inside: &'a str,
}

impl<'a> Place<'a> {
    /// None for what the source rules do not look at: files outside of `crates/*/src`, and files of tests.
    fn of(file: &'a TextFile) -> Option<Self> {
        let (crate_dir, rest) = file.path.strip_prefix("crates/")?.split_once('/')?;
        let inside = rest.strip_prefix("src/")?;
        let of_tests = inside.ends_with("tests.rs") || inside.split('/').any(|part| part == "tests");
        (file.has_extension("rs") && !of_tests).then_some(Self { crate_dir, inside })
    }
}

fn check_source(file: &TextFile, place: &Place<'_>, source: &Source, findings: &mut Vec<Finding>) {
    // 1. Core takes time and randomness as arguments.
    let conformance = place.inside.starts_with("conformance/") || place.inside == "conformance.rs";
    if place.crate_dir == "core" && !conformance && file.path != CLOCK_FILE {
        for path in &source.paths {
            let random = path.starts_with("rand");
            if random || AMBIENT.iter().any(|segments| path.contains(segments)) {
                let wrong = format!("core reads time or randomness by itself: `{}`", path.segments.join("::"));
                findings.push(file.finding(path.line, wrong, "take a `Clock`, a time or a seed as an argument"));
            }
        }
    }

    // 2. Only the engines contain SQL, and the harness, which sets the stage for their tests.
    if !["sqlite", "postgres", HARNESS].contains(&place.crate_dir) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (line, string) in &source.strings {
            let marked =
                lines[line.saturating_sub(2)..(*line).min(lines.len())].iter().any(|line| line.contains(NOT_SQL_MARK));
            let is_sql = SQL_STARTS.iter().any(|start| string.trim_start().starts_with(start));
            if is_sql && !marked {
                let wrong = format!("`{}` contains SQL", place.crate_dir);
                let instead = format!(
                    "move the statement to sql/ of crates/sqlite or crates/postgres; if it is help text, put `{NOT_SQL_MARK}` above it"
                );
                findings.push(file.finding(*line, wrong, instead));
            }
        }
    }

    // 3. Protobuf types stay at the wire.
    if !WIRE_PLACES.iter().any(|prefix| file.path.starts_with(prefix)) {
        for path in &source.paths {
            let generated = path.contains(&["pacioli_api", "proto"]) || path.contains(&["pacioli_api", "generated"]);
            if generated || ["prost", "prost_types", "tonic", "tonic_prost"].iter().any(|one| path.starts_with(one)) {
                let wrong = format!("a protobuf type away from the wire: `{}`", path.segments.join("::"));
                let instead = "use the core type; only api, server::grpc, client and bench know protobuf";
                findings.push(file.finding(path.line, wrong, instead));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{assert_findings, fixture},
        *,
    };

    const MANIFEST: &str = "[dependencies]\nrusqlite.workspace = true\npacioli-server.workspace = true\nserde = \"1\"\n\
        [lints]\nworkspace = true\n";

    fn dependency(name: &str, sibling: Option<&str>, for_tests: bool) -> Dependency {
        Dependency { name: name.to_owned(), sibling: sibling.map(str::to_owned), for_tests }
    }

    fn check_crate(dir: &str, dependencies: Vec<Dependency>) -> Vec<Finding> {
        let workspace = fixture(&[(&format!("crates/{dir}/Cargo.toml"), MANIFEST)]);
        check(&workspace, &[Crate { dir: dir.to_owned(), dependencies }])
    }

    fn check_file(path: &str, text: &str) -> Vec<Finding> {
        check(&fixture(&[(path, text)]), &[])
    }

    #[test]
    fn the_real_workspace_keeps_the_import_rules() {
        let workspace = Workspace::read(&crate::run::root()).unwrap();
        let findings = check(&workspace, &crates(&workspace.root).unwrap());
        assert_findings(&findings, &[]);
    }

    #[test]
    fn the_real_workspace_has_its_crates_and_edges() {
        let crates = crates(&crate::run::root()).unwrap();
        let sqlite = crates.iter().find(|one| one.dir == "sqlite").unwrap();
        assert!(sqlite.dependencies.iter().any(|one| one.sibling.as_deref() == Some("core")));
    }

    #[test]
    fn an_edge_that_is_not_allowed_is_found() {
        let findings = check_crate("client", vec![dependency("pacioli-server", Some("server"), false)]);
        assert_findings(&findings, &[("crates/client/Cargo.toml:3", "`client` may use api, core")]);
        let findings = check_crate("core", vec![dependency("pacioli-server", Some("server"), false)]);
        assert_findings(&findings, &[("crates/core/Cargo.toml:3", "knows no sibling")]);
    }

    #[test]
    fn tests_may_use_engines_and_the_other_end_of_the_port() {
        let for_tests = |name, sibling| dependency(name, Some(sibling), true);
        assert_findings(&check_crate("client", vec![for_tests("pacioli-server", "server")]), &[]);
        assert_findings(&check_crate("api", vec![for_tests("pacioli-sqlite", "sqlite")]), &[]);
        let findings = check_crate("api", vec![for_tests("pacioli-server", "server")]);
        assert_findings(&findings, &[("crates/api/Cargo.toml:3", "`api` may not depend on `server`")]);
    }

    #[test]
    fn a_crate_without_a_rule_is_found() {
        assert_findings(&check_crate("novel", vec![]), &[("crates/novel/Cargo.toml:1", "has no import rule")]);
    }

    #[test]
    fn sql_libraries_outside_the_engines_are_found() {
        let findings = check_crate("client", vec![dependency("rusqlite", None, true)]);
        assert_findings(&findings, &[("crates/client/Cargo.toml:2", "only the engines speak SQL")]);
        // What a killed server left is read by another hand, and only in a test.
        assert_findings(&check_crate("cli", vec![dependency("rusqlite", None, true)]), &[]);
        assert_eq!(check_crate("cli", vec![dependency("rusqlite", None, false)]).len(), 1);
        assert_findings(&check_crate("sqlite", vec![dependency("rusqlite", None, false)]), &[]);
        for driver in ["tokio-postgres", "deadpool-postgres", "pgwire-replication", "postgres-types"] {
            for dir in ["sqlite", "server", HARNESS] {
                let place = format!("crates/{dir}/Cargo.toml:1");
                let findings = check_crate(dir, vec![dependency(driver, None, true)]);
                assert_findings(&findings, &[(&place, "only `postgres` speaks PostgreSQL's protocol")]);
            }
            assert_findings(&check_crate("postgres", vec![dependency(driver, None, false)]), &[]);
        }
    }

    #[test]
    fn the_harness_is_for_tests_and_knows_no_sibling() {
        let harness = |for_tests| vec![dependency("pacioli-pgtest", Some(HARNESS), for_tests)];
        for dir in HARNESS_IN_TESTS_OF {
            assert_findings(&check_crate(dir, harness(true)), &[]);
            let wrong = format!("`{dir}` may not depend on `pgtest`");
            assert_findings(&check_crate(dir, harness(false)), &[(&format!("crates/{dir}/Cargo.toml:1"), &wrong)]);
        }
        let findings = check_crate("core", harness(true));
        assert_findings(&findings, &[("crates/core/Cargo.toml:1", "`core` may not depend on `pgtest`")]);
        let findings = check_crate(HARNESS, vec![dependency("pacioli-core", Some("core"), false)]);
        assert_findings(&findings, &[("crates/pgtest/Cargo.toml:1", "knows no sibling")]);
    }

    #[test]
    fn wire_formats_in_core_are_found_but_its_tests_may_read_json() {
        let findings = check_crate("core", vec![dependency("serde", None, false)]);
        assert_findings(&findings, &[("crates/core/Cargo.toml:4", "core knows no wire format")]);
        assert_findings(&check_crate("core", vec![dependency("serde", None, true)]), &[]);
        let findings = check_crate("core", vec![dependency("tonic", None, true)]);
        assert_findings(&findings, &[("crates/core/Cargo.toml:1", "core knows no wire format")]);
    }

    #[test]
    fn a_crate_without_the_workspace_lints_is_found() {
        let findings = check_file("crates/core/Cargo.toml", "[package]\nname = \"x\"\n");
        assert_findings(&findings, &[("crates/core/Cargo.toml:1", "workspace = true")]);
        assert_findings(&check_file("Cargo.toml", "[workspace]\n"), &[("Cargo.toml:1", "forbid")]);
    }

    #[test]
    fn time_and_randomness_in_core_are_found() {
        let text = "use std::time::Instant;\nuse tokio::{sync, time::sleep};\nfn f() {\n    Instant::now();\n    \
            std::time::SystemTime::now();\n    rand::random::<u8>();\n    rand::thread_rng();\n}\n";
        let findings = check_file("crates/core/src/log.rs", text);
        let places = ["2", "4", "5", "6", "7"].map(|line| format!("crates/core/src/log.rs:{line}"));
        assert_findings(&findings, &places.each_ref().map(|place| (place.as_str(), "take a `Clock`")));
        for path in [
            CLOCK_FILE,
            "crates/core/src/conformance/reads.rs",
            "crates/core/src/log/tests.rs",
            "crates/sqlite/src/a.rs",
        ] {
            assert_findings(&check_file(path, text), &[]);
        }
        assert_findings(&check_file("crates/core/src/log.rs", &format!("#[cfg(test)]\nmod tests {{ {text} }}")), &[]);
    }

    #[test]
    fn sql_outside_the_engines_is_found() {
        let text = "/// SELECT 1\nfn f() {\n    g(\"SELECT 1\");\n    g(r\"\n        DELETE FROM events\");\n    g(\"selected\");\n}\n";
        let expected = [("crates/cli/src/a.rs:3", "contains SQL"), ("crates/cli/src/a.rs:4", "contains SQL")];
        assert_findings(&check_file("crates/cli/src/a.rs", text), &expected);
        for path in ["crates/sqlite/src/a.rs", "crates/pgtest/src/a.rs", "crates/cli/tests/a.rs"] {
            assert_findings(&check_file(path, text), &[]);
        }
        let marked = format!("{NOT_SQL_MARK}\nconst HELP: &str = \"SELECT 1\";\n");
        assert_findings(&check_file("crates/cli/src/a.rs", &marked), &[]);
    }

    #[test]
    fn protobuf_away_from_the_wire_is_found() {
        let text = "use pacioli_api::{errors, proto::Event};\nfn f(_: tonic::Status, _: &prost::Message) {}\n";
        let path = "crates/server/src/http.rs";
        let expected = [
            ("crates/server/src/http.rs:1", "Event"),
            ("crates/server/src/http.rs:2", "tonic"),
            ("crates/server/src/http.rs:2", "prost"),
        ];
        assert_findings(&check_file(path, text), &expected);
        for path in [
            "crates/api/src/convert.rs",
            "crates/server/src/grpc/read.rs",
            "crates/server/src/grpc.rs",
            "crates/client/src/lib.rs",
        ] {
            assert_findings(&check_file(path, text), &[]);
        }
    }

    #[test]
    fn a_file_that_is_not_rust_is_found() {
        assert_findings(&check_file("crates/cli/src/a.rs", "fn f( {"), &[("crates/cli/src/a.rs:1", "is not Rust")]);
    }
}
