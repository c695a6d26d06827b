//! What changed between two schemas of one type, and for whom that is a break.

use std::fmt;
use std::str::FromStr;

use pacioli_core::schemas::Semver;

/// One difference between an older and a newer schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where in the data: a JSON pointer, in which `*` stands for every item of a list; empty is all of it.
    pub path: String,
    /// Whether it breaks whoever reads by the newer schema what was stored under the older one.
    pub breaks_backward: bool,
    /// Whether it breaks whoever still reads by the older schema what is stored under the newer one.
    pub breaks_forward: bool,
    /// Whether data may look different by it: false where only titles, descriptions or examples changed.
    pub is_visible: bool,
    /// What changed and, where it breaks somebody, what breaks for whom and the ways out: a whole sentence without a stop.
    pub sentence: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.sentence.contains(&self.path) {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.sentence)
    }
}

/// The least part of the semantic version that a set of changes has to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// Nothing changes for anybody.
    Patch,
    /// A compatible addition.
    Minor,
    /// A break.
    Major,
}

impl Size {
    /// The word for it: `patch`, `minor`, `major`.
    pub fn word(self) -> &'static str {
        match self {
            Size::Patch => "patch",
            Size::Minor => "minor",
            Size::Major => "major",
        }
    }

    /// The least version behind another one that grows this part.
    pub fn next(self, before: Semver) -> Semver {
        let Semver { major, minor, patch } = before;
        match self {
            Size::Patch => Semver { patch: patch.saturating_add(1), ..before },
            Size::Minor => Semver { minor: minor.saturating_add(1), patch: 0, ..before },
            Size::Major => Semver { major: major.saturating_add(1), minor: 0, patch: 0 },
        }
    }
}

/// Which readers a new schema must not break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Readers by the newer schema of what is stored under older ones.
    pub backward: bool,
    /// Readers by older schemas of what is stored under the newer one.
    pub forward: bool,
    /// All older versions are looked at, and not only the one before.
    pub transitive: bool,
}

impl Level {
    /// The level of a type for which none is set.
    pub const DEFAULT: Level = Level { backward: true, forward: false, transitive: false };

    /// The level that forbids nothing.
    pub const NONE: Level = Level { backward: false, forward: false, transitive: false };

    /// The word for it, as it is set and told: `backward`, `full_transitive`, `none`.
    pub fn word(self) -> &'static str {
        match (self.backward, self.forward, self.transitive) {
            (false, false, _) => "none",
            (true, false, false) => "backward",
            (true, false, true) => "backward_transitive",
            (false, true, false) => "forward",
            (false, true, true) => "forward_transitive",
            (true, true, false) => "full",
            (true, true, true) => "full_transitive",
        }
    }

    /// Whether this level forbids a change.
    pub fn forbids(self, change: &Change) -> bool {
        self.backward && change.breaks_backward || self.forward && change.breaks_forward
    }

    /// The least part of the semantic version that these changes have to grow at this level.
    pub fn size(self, changes: &[Change]) -> Size {
        // What breaks those who read by the newer schema is a break at every level, `none` too: it only may be made then.
        if changes.iter().any(|change| change.breaks_backward || self.forbids(change)) {
            Size::Major
        } else if changes.iter().any(|change| change.is_visible) {
            Size::Minor
        } else {
            Size::Patch
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Level {
    type Err = String;

    /// Reads a [word](Level::word), whatever its case.
    fn from_str(text: &str) -> Result<Level, String> {
        let lower = text.to_ascii_lowercase();
        let (word, transitive) = match lower.strip_suffix("_transitive") {
            Some(word) => (word, true),
            None => (&*lower, false),
        };
        let (backward, forward) = match word {
            "backward" => (true, false),
            "forward" => (false, true),
            "full" => (true, true),
            "none" if !transitive => (false, false),
            _ => {
                return Err(format!(
                    "`{text}` is no level of compatibility; there are none, backward, forward and full, the last three also \
                     with `_transitive`"
                ));
            }
        };
        Ok(Level { backward, forward, transitive })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_its_word() {
        for word in
            ["none", "backward", "backward_transitive", "forward", "forward_transitive", "full", "full_transitive"]
        {
            assert_eq!(word.parse::<Level>().unwrap().word(), word);
            assert_eq!(word.to_uppercase().parse::<Level>().unwrap().word(), word);
        }
        assert!(
            "none_transitive".parse::<Level>().is_err() && "sideways".parse::<Level>().unwrap_err().contains("full")
        );
    }

    #[test]
    fn the_size_follows_from_the_changes_and_the_level() {
        let change = |breaks_backward, breaks_forward, is_visible| Change {
            path: String::new(),
            breaks_backward,
            breaks_forward,
            is_visible,
            sentence: String::new(),
        };
        let level = |word: &str| word.parse::<Level>().unwrap();
        let (words, added) = (change(false, false, false), change(false, false, true));
        let (widened, narrowed) = (change(false, true, true), change(true, false, true));
        assert_eq!(level("full").size(&[]), Size::Patch);
        assert_eq!(level("full").size(std::slice::from_ref(&words)), Size::Patch);
        assert_eq!(level("full").size(&[words, added]), Size::Minor);
        assert_eq!(level("backward").size(std::slice::from_ref(&widened)), Size::Minor);
        assert_eq!(level("full").size(std::slice::from_ref(&widened)), Size::Major);
        assert_eq!(level("none").size(std::slice::from_ref(&narrowed)), Size::Major);
        assert!(!level("none").forbids(&narrowed) && level("backward").forbids(&narrowed));
    }
}
