//! The README's first screen shows the demo's real output.

use crate::demo::masked;
use crate::support::run;

const MARKER: &str = "<!-- demo -->";

#[test]
fn the_readme_shows_what_the_demo_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let (_, after) = readme.split_once(MARKER).expect("the README marks where the demo's output is");
    let (_, fenced) = after.split_once("```").expect("a fenced block follows the marker");
    let (_, body) = fenced.split_once('\n').expect("the fence ends its line");
    let (shown, _) = body.split_once("\n```").expect("the fenced block ends");
    let told = run(["demo"]);
    assert_eq!(told.code, 0, "{told:?}");
    // The block may begin with the command that was typed.
    let shown = shown.split_once('\n').filter(|(first, _)| first.ends_with("demo")).map_or(shown, |(_, rest)| rest);
    assert_eq!(masked(shown.trim_end()), masked(told.out.trim_end()), "README.md must show what the demo prints");
}
