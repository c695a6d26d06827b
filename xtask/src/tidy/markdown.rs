//! The rules for documents: relative links lead somewhere, and decision records are complete.

use std::{collections::BTreeSet, path::Path};

use super::{Finding, TextFile, Workspace};

const DECISIONS: &str = "docs/decisions/";
const DECISION_HEADINGS: [&str; 4] = ["Context", "Options", "Decision", "Cost"];

/// Every rule for documents.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in workspace.files.iter().filter(|file| file.has_extension("md")) {
        check_links(workspace, file, &mut findings);
    }
    check_decisions(workspace, &mut findings);
    findings
}

fn check_links(workspace: &Workspace, file: &TextFile, findings: &mut Vec<Finding>) {
    for (line, target) in links(file) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let wrong = format!("the link `{target}` leads nowhere");
        let Some(resolved) = resolve(&file.path, path) else {
            findings.push(file.finding(line, wrong, "a target inside this repository"));
            continue;
        };
        let document = workspace.files.iter().find(|other| other.path == resolved);
        if document.is_none() && !exists(workspace, &resolved) {
            findings.push(file.finding(line, wrong, "the path of a file that exists, relative to this document"));
        } else if let Some(document) = document
            && document.has_extension("md")
            && !anchor.is_empty()
            && !anchors(document).contains(anchor)
        {
            let instead = format!("one of the headings of {resolved}, in lower case with `-` for spaces");
            findings.push(file.finding(line, wrong, instead));
        }
    }
}

fn exists(workspace: &Workspace, path: &str) -> bool {
    let below = format!("{path}/");
    let known = workspace.files.iter().any(|file| file.path == path || file.path.starts_with(&below));
    known || path.is_empty() || (workspace.root != Path::new("") && workspace.root.join(path).exists())
}

/// The targets of `[text](target)` and `[label]: target`, outside of code.
fn links(file: &TextFile) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(file) {
        let line = without_inline_code(line);
        let inline = line.match_indices("](").filter_map(|(at, _)| Some(line[at + 2..].split_once(')')?.0));
        let label = line.strip_prefix('[').and_then(|rest| Some(rest.split_once("]: ")?.1));
        for target in inline.chain(label) {
            // A link may carry a title: [text](target "title").
            let target = target.split_whitespace().next().unwrap_or_default();
            links.push((number, target.to_owned()));
        }
    }
    links
}

/// The lines outside of fenced code blocks, with their numbers.
fn prose(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    file.lines().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn without_inline_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The path of a link as seen from the workspace root; none when it leaves the repository.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    if link.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a document's headings, as the usual viewers make them.
fn anchors(file: &TextFile) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(file).filter(|(_, line)| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let repeated = (1..).map(|count| format!("{slug}-{count}"));
        let free = std::iter::once(slug.clone()).chain(repeated).find(|one| !anchors.contains(one));
        anchors.extend(free);
    }
    anchors
}

/// Records are `NNNN-title.md`, numbered from 0001 with no gap and no number twice, each with the same headings.
fn check_decisions(workspace: &Workspace, findings: &mut Vec<Finding>) {
    let records = workspace.files.iter().filter(|file| file.has_extension("md") && file.path.starts_with(DECISIONS));
    let records = records.filter(|file| !file.path.ends_with("/README.md"));
    let mut next = 1;
    for record in records {
        let name = &record.path[DECISIONS.len()..];
        let number = name
            .split_once('-')
            .filter(|(digits, _)| digits.len() == 4)
            .and_then(|(digits, _)| digits.parse::<u32>().ok());
        match number {
            None => {
                let wrong = format!("`{name}` is not named like a decision record");
                findings.push(record.finding(1, wrong, format!("{next:04}-title.md")));
            }
            Some(number) => {
                if number != next {
                    let wrong = format!("decision record {number:04} where {next:04} comes next");
                    findings.push(record.finding(1, wrong, "number the records one by one, each number once"));
                }
                next = number + 1;
            }
        }
        for heading in DECISION_HEADINGS {
            let there =
                prose(record).any(|(_, line)| line.starts_with('#') && line.trim_start_matches('#').trim() == heading);
            if !there {
                let wrong = format!("the decision record has no heading `{heading}`");
                findings.push(record.finding(1, wrong, "the template in CONTRIBUTING.md"));
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

    const RECORD: &str = "# One\n\n## Context\n\n## Options\n\n## Decision\n\n## Cost\n";

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let text = "[a](b.md) and [c](missing.md \"title\")\n[up](../README.md#start) [out](../../x.md)\n\n\
            [label]: gone.md\n`[code](no.md)` [web](https://example.com/x) [here](#part-one)\n## Part one\n\
            ```\n[fenced](no.md)\n```\n[dir](sub) [heading](b.md#nope)\n";
        let files = [("docs/a.md", text), ("docs/b.md", "# Title"), ("docs/sub/c.md", ""), ("README.md", "## Start")];
        let expected = [
            ("docs/a.md:1", "missing.md"),
            ("docs/a.md:2", "inside this repository"),
            ("docs/a.md:4", "gone.md"),
            ("docs/a.md:10", "one of the headings of docs/b.md"),
        ];
        assert_findings(&check(&fixture(&files)), &expected);
    }

    #[test]
    fn repeated_headings_get_numbered_anchors() {
        let workspace = fixture(&[("a.md", "# The `head`: 0, 1\n## Part\n## Part\n")]);
        let anchors = anchors(&workspace.files[0]);
        assert_eq!(anchors.into_iter().collect::<Vec<_>>(), ["part", "part-1", "the-head-0-1"]);
    }

    #[test]
    fn decision_records_with_a_gap_or_a_strange_name_are_found() {
        let files = [("docs/decisions/0001-a.md", RECORD), ("docs/decisions/0003-b.md", RECORD)];
        assert_findings(&check(&fixture(&files)), &[("docs/decisions/0003-b.md:1", "where 0002 comes next")]);
        let files = [("docs/decisions/0001-a.md", RECORD), ("docs/decisions/0001-b.md", RECORD)];
        assert_findings(&check(&fixture(&files)), &[("docs/decisions/0001-b.md:1", "each number once")]);
        let files = [("docs/decisions/first.md", RECORD)];
        assert_findings(&check(&fixture(&files)), &[("docs/decisions/first.md:1", "0001-title.md")]);
    }

    #[test]
    fn decision_records_without_a_heading_are_found() {
        let record = RECORD.replace("## Cost\n", "");
        let findings = check(&fixture(&[("docs/decisions/0001-a.md", record.as_str())]));
        assert_findings(&findings, &[("docs/decisions/0001-a.md:1", "`Cost`")]);
    }
}
