//! The README shows the example as it is, so what it shows compiles and runs.

#[test]
fn the_readme_quotes_the_example() {
    let readme = include_str!("../../../README.md");
    let example = include_str!("../examples/ledger.rs");
    let quoted = &example[example.find("use pacioli_core").expect("the part that is quoted")..];
    assert!(
        readme.contains(&format!("```rust\n{quoted}```\n")),
        "README.md must quote crates/sqlite/examples/ledger.rs"
    );
}
