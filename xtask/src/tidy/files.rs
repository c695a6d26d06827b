//! The file rules: length, headers, unfinished work, white space and words.

use super::{Finding, TextFile, Workspace};

const MAX_LINES: usize = 600;

/// Rust files that may be longer, each with the reason. An entry goes when its file has shrunk.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words with another meaning in the field, and the one word we use. Split, so that this file keeps its own rule.
const BANNED_WORDS: &[(&str, &str)] = &[
    (concat!("stream_", "uuid"), "`stream`"),
    (concat!("aggregate_", "id"), "`stream`"),
    (concat!("sequence_", "number"), "`version` (in a stream) or `position` (in a partition)"),
];

/// Marks of work that is not done.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
const UNFINISHED_IN_RUST: &[&str] = &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];

/// Every file rule.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    check_with(workspace, LONG_FILES)
}

fn check_with(workspace: &Workspace, long_files: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        check_length(file, long_files, &mut findings);
        check_sql_header(file, &mut findings);
        check_unfinished(file, &mut findings);
        check_white_space(file, &mut findings);
        check_words(file, &mut findings);
    }
    findings
}

fn check_length(file: &TextFile, long_files: &[(&str, &str)], findings: &mut Vec<Finding>) {
    if !file.has_extension("rs") {
        return;
    }
    let length = file.text.lines().count();
    let listed = long_files.iter().any(|(path, _)| *path == file.path);
    if length > MAX_LINES && !listed {
        let wrong = format!("{length} lines; a file a person can hold in mind has at most {MAX_LINES}");
        let instead = "split it along its ideas, or list it with a reason in LONG_FILES in xtask/src/tidy/files.rs";
        findings.push(file.finding(MAX_LINES + 1, wrong, instead));
    } else if length <= MAX_LINES && listed {
        let wrong = format!("listed as a long file, but it has {length} lines");
        findings.push(file.finding(1, wrong, "remove its entry from LONG_FILES in xtask/src/tidy/files.rs"));
    }
}

fn check_sql_header(file: &TextFile, findings: &mut Vec<Finding>) {
    if file.has_extension("sql") && !file.text.starts_with("--") {
        let instead = "open with a `--` comment that lists the binds and the result";
        findings.push(file.finding(1, "the statement has no opening comment", instead));
    }
}

fn check_unfinished(file: &TextFile, findings: &mut Vec<Finding>) {
    if !["rs", "sql", "md", "proto"].iter().any(|one| file.has_extension(one)) {
        return;
    }
    for (number, line) in file.lines() {
        let unfinished = UNFINISHED.iter().find(|mark| has_word(line, mark));
        let in_rust = UNFINISHED_IN_RUST.iter().find(|mark| file.has_extension("rs") && line.contains(**mark));
        if let Some(mark) = unfinished {
            let instead = "do it now, or say in a sentence what holds today";
            findings.push(file.finding(number, format!("unfinished work: {mark}"), instead));
        } else if let Some(mark) = in_rust {
            let instead = "write it, or remove it; a test that is slow goes into a module named `slow`";
            findings.push(file.finding(number, format!("unfinished work: {mark}"), instead));
        }
    }
}

fn check_white_space(file: &TextFile, findings: &mut Vec<Finding>) {
    if !["rs", "md", "sql"].iter().any(|one| file.has_extension(one)) {
        return;
    }
    for (number, line) in file.lines() {
        if line.contains('\t') {
            findings.push(file.finding(number, "a tab", "four spaces; in a string, `\\t`"));
        }
        if line.ends_with([' ', '\r']) {
            findings.push(file.finding(
                number,
                "white space at the end of the line",
                "end the line at its last character",
            ));
        }
    }
}

fn check_words(file: &TextFile, findings: &mut Vec<Finding>) {
    if !["rs", "sql", "proto"].iter().any(|one| file.has_extension(one)) {
        return;
    }
    for (number, line) in file.lines() {
        for (word, replacement) in BANNED_WORDS {
            if line.contains(word) {
                findings.push(file.finding(number, format!("the word `{word}`"), *replacement));
            }
        }
    }
}

/// Whether the line has the word with no letter, digit or underscore on either side.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let joins = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(joins) && !line[at + word.len()..].starts_with(joins)
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{assert_findings, fixture},
        *,
    };

    fn check_file(path: &str, text: &str) -> Vec<Finding> {
        check(&fixture(&[(path, text)]))
    }

    #[test]
    fn a_long_file_is_found_unless_it_is_listed() {
        let long = "// line\n".repeat(MAX_LINES + 1);
        assert_findings(&check_file("a.rs", &long), &[("a.rs:601", "601 lines")]);
        assert_findings(&check_file("a.md", &long), &[]);
        assert_findings(&check_with(&fixture(&[("a.rs", &long)]), &[("a.rs", "one table")]), &[]);
        assert_findings(
            &check_with(&fixture(&[("a.rs", "")]), &[("a.rs", "one table")]),
            &[("a.rs:1", "remove its entry")],
        );
    }

    #[test]
    fn sql_without_an_opening_comment_is_found() {
        assert_findings(&check_file("sql/read_head.sql", "SELECT 1;\n"), &[("sql/read_head.sql:1", "lists the binds")]);
        assert_findings(&check_file("sql/read_head.sql", "-- No binds.\nSELECT 1;\n"), &[]);
    }

    #[test]
    fn unfinished_work_is_found() {
        for mark in UNFINISHED {
            let place = [("a.sql:2", *mark)];
            assert_findings(&check_file("a.sql", &format!("--\n-- {mark}: later\n")), &place);
        }
        for mark in UNFINISHED_IN_RUST {
            assert_findings(&check_file("a.rs", &format!("{mark}\n")), &[("a.rs:1", *mark)]);
        }
        let inside_a_word = format!("MAS{}NS\n", UNFINISHED[0]);
        assert_findings(&check_file("a.rs", &inside_a_word), &[]);
    }

    #[test]
    fn tabs_and_trailing_spaces_are_found() {
        let expected = [("a.md:1", "a tab"), ("a.md:2", "end of the line")];
        assert_findings(&check_file("a.md", "\tx\ny \nz\n"), &expected);
    }

    #[test]
    fn banned_words_are_found_with_their_replacement() {
        for (word, replacement) in BANNED_WORDS {
            assert_findings(&check_file("a.proto", &format!("\n{word}\n")), &[("a.proto:2", *replacement)]);
        }
    }
}
