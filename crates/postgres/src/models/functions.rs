//! The functions that a query in SQL may call: the lines of `functions.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Name, and from which major version of PostgreSQL on it is there.
static ALLOWED: LazyLock<HashMap<&'static str, u16>> = LazyLock::new(|| {
    let lines = include_str!("functions.txt").lines().map(str::trim);
    let named = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    named
        .map(|line| line.split_once(' ').map_or((line, 0), |(name, since)| (name, since.parse().unwrap_or(0))))
        .collect()
});

/// Whether a query may call it. The name as PostgreSQL has it: in lower case, unless it was quoted.
pub(crate) fn is_allowed(name: &str) -> bool {
    ALLOWED.contains_key(name)
}

/// All of them: name, and from which major version of PostgreSQL on it is there (0: any that is supported).
pub fn allowed() -> impl Iterator<Item = (&'static str, u16)> {
    ALLOWED.iter().map(|(&name, &since)| (name, since))
}
