//! What is wrong with a file, all of it at once.

use std::fmt;

/// Something about a file that its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it keeps the file from running.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What is wrong and what to do.
    pub problem: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot run.
    Error,
    /// It can, and may not do what was meant.
    Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}: {severity}: {}", self.file, self.line, self.problem)
    }
}

/// Findings, a line each.
pub fn listed(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

/// Findings of one file that are told, at most.
const FINDINGS_MAX: usize = 100;

/// Gathers findings of one file.
#[derive(Debug)]
pub(super) struct Findings {
    file: String,
    all: Vec<Finding>,
}

impl Findings {
    pub(super) fn of(file: &str) -> Findings {
        Findings { file: file.to_owned(), all: Vec::new() }
    }

    pub(super) fn error(&mut self, line: u32, problem: impl Into<String>) {
        self.add(Severity::Error, line, problem.into());
    }

    pub(super) fn warning(&mut self, line: u32, problem: impl Into<String>) {
        self.add(Severity::Warning, line, problem.into());
    }

    fn add(&mut self, severity: Severity, line: u32, problem: String) {
        let finding = Finding { severity, file: self.file.clone(), line, problem };
        if !self.is_full() && !self.all.contains(&finding) {
            self.all.push(finding);
        }
    }

    /// Whether no more are taken.
    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= FINDINGS_MAX
    }

    /// All of them, by line.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.all.sort_by_key(|finding| finding.line);
        self.all
    }
}

/// The name that was probably meant: the nearest one, where it is near.
pub(super) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let near = names.into_iter().map(|name| (distance(&wrong, &name.to_lowercase()), name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    let length = wrong.chars().count().max(name.chars().count());
    (distance <= (length / 3).max(1) && distance < length).then_some(name)
}

/// The end of a sentence that asks for it: `; did you mean …?`
pub(super) fn perhaps<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, names).map(|name| format!("; did you mean `{name}`?"))
}

/// How many characters to add, drop, change or swap with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(64).collect(), other.chars().take(64).collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
                let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[one.len()][other.len()]
}
