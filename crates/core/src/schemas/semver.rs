//! Semantic versions of schemas, and the ranges of them that readers understand.

use std::fmt;
use std::str::FromStr;

/// The semantic version of a schema, `2.1.0`: a compatible addition grows the minor part at least, a break the major one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Semver {
    /// Grows with a break.
    pub major: u32,
    /// Grows with a compatible addition.
    pub minor: u32,
    /// Grows with what changes nothing for anybody.
    pub patch: u32,
}

impl Semver {
    /// The version of a type's first schema, where nobody says another.
    pub const FIRST: Semver = Semver { major: 1, minor: 0, patch: 0 };
}

impl fmt::Display for Semver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that is no semantic version, or no range of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {problem}")]
pub struct InvalidSemver {
    /// What was given.
    pub text: String,
    /// What is wrong with it, as the rest of a sentence.
    pub problem: &'static str,
}

impl FromStr for Semver {
    type Err = InvalidSemver;

    fn from_str(text: &str) -> Result<Semver, InvalidSemver> {
        let problem = "is no semantic version; write three numbers, like `2.1.0`";
        let invalid = || InvalidSemver { text: text.to_owned(), problem };
        let parsed: ::semver::Version = text.parse().map_err(|_| invalid())?;
        if !parsed.pre.is_empty() || !parsed.build.is_empty() {
            return Err(invalid());
        }
        let part = |number: u64| u32::try_from(number).map_err(|_| invalid());
        Ok(Semver { major: part(parsed.major)?, minor: part(parsed.minor)?, patch: part(parsed.patch)? })
    }
}

/// Which versions of a type's schema a reader understands: from one on, and below another.
///
/// ```
/// use pacioli_core::schemas::{Semver, SemverRange};
///
/// let understood: SemverRange = "^1.2".parse()?;
/// assert!(understood.contains("1.4.0".parse()?) && !understood.contains("2.0.0".parse()?));
/// # Ok::<(), pacioli_core::schemas::InvalidSemver>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SemverRange {
    /// The lowest.
    pub from: Semver,
    /// The first that is too high; `None` where none is.
    pub below: Option<Semver>,
    text: Box<str>,
}

impl SemverRange {
    /// Whether this version is understood.
    pub fn contains(&self, version: Semver) -> bool {
        self.from <= version && self.below.is_none_or(|below| version < below)
    }
}

impl fmt::Display for SemverRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SemverRange {
    type Err = InvalidSemver;

    fn from_str(text: &str) -> Result<SemverRange, InvalidSemver> {
        let problem = "is no range of versions; write `^1` for all of major 1, or `~1.2`, `=1.2.0`, `>=1.2`, `*`";
        let invalid = || InvalidSemver { text: text.to_owned(), problem };
        let text = text.trim();
        let wanted: ::semver::VersionReq = text.parse().map_err(|_| invalid())?;
        let mut range = SemverRange { from: Semver { major: 0, minor: 0, patch: 0 }, below: None, text: text.into() };
        for comparator in &wanted.comparators {
            if !comparator.pre.is_empty() {
                return Err(invalid());
            }
            let part = |number: u64| u32::try_from(number).ok().filter(|part| *part < u32::MAX).ok_or_else(invalid);
            let major = part(comparator.major)?;
            let minor = comparator.minor.map(part).transpose()?;
            let patch = comparator.patch.map(part).transpose()?;
            let lowest = Semver { major, minor: minor.unwrap_or(0), patch: patch.unwrap_or(0) };
            // The first version behind all that share the parts that were given.
            let behind = match (minor, patch) {
                (None, _) => Semver { major: major + 1, minor: 0, patch: 0 },
                (Some(minor), None) => Semver { major, minor: minor + 1, patch: 0 },
                (Some(minor), Some(patch)) => Semver { major, minor, patch: patch + 1 },
            };
            let (from, below) = match comparator.op {
                ::semver::Op::Exact | ::semver::Op::Wildcard => (lowest, Some(behind)),
                ::semver::Op::Greater => (behind, None),
                ::semver::Op::GreaterEq => (lowest, None),
                ::semver::Op::Less => (range.from, Some(lowest)),
                ::semver::Op::LessEq => (range.from, Some(behind)),
                ::semver::Op::Tilde if minor.is_none() => (lowest, Some(behind)),
                ::semver::Op::Tilde => {
                    (lowest, Some(Semver { major, minor: minor.unwrap_or(0).saturating_add(1), patch: 0 }))
                }
                // All of a major version, 0 too: what is a break is known here and need not be feared.
                ::semver::Op::Caret => (lowest, Some(Semver { major: major + 1, minor: 0, patch: 0 })),
                _ => return Err(invalid()),
            };
            range.from = range.from.max(from);
            range.below = [range.below, below].into_iter().flatten().min();
        }
        if range.below.is_some_and(|below| below <= range.from) {
            return Err(InvalidSemver { text: text.to_owned(), problem: "contains no version at all" });
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Semver {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!(version("2.10.0").to_string(), "2.10.0");
        assert!(version("2.10.0") > version("2.9.9"));
        for wrong in ["1", "1.0", "1.0.0-rc1", "1.0.0+1", "v1.0.0", "", "1.0.99999999999"] {
            let error = wrong.parse::<Semver>().unwrap_err();
            assert!(error.to_string().contains("2.1.0"), "{error}");
        }
    }

    #[test]
    fn a_range_is_what_it_says() {
        for (range, inside, outside) in [
            ("^1", &["1.0.0", "1.9.9"][..], &["0.9.0", "2.0.0"][..]),
            ("^1.2", &["1.2.0", "1.9.0"], &["1.1.9", "2.0.0"]),
            ("^0", &["0.1.0", "0.9.0"], &["1.0.0"]),
            ("1", &["1.0.0", "1.5.0"], &["2.0.0"]),
            ("~1.2", &["1.2.0", "1.2.9"], &["1.3.0", "1.1.0"]),
            ("~1", &["1.0.0", "1.9.0"], &["2.0.0"]),
            ("=1.2.0", &["1.2.0"], &["1.2.1"]),
            ("=1.2", &["1.2.0", "1.2.7"], &["1.3.0"]),
            (">=1.2", &["1.2.0", "7.0.0"], &["1.1.0"]),
            (">1.2.3", &["1.2.4"], &["1.2.3"]),
            ("<2", &["0.0.0", "1.9.9"], &["2.0.0"]),
            ("<=2.1", &["2.1.5"], &["2.2.0"]),
            (">=1, <3", &["1.0.0", "2.9.0"], &["3.0.0"]),
            ("1.*", &["1.0.0", "1.7.0"], &["2.0.0"]),
            ("*", &["0.0.0", "9.9.9"], &[]),
        ] {
            let parsed: SemverRange = range.parse().unwrap();
            assert_eq!(parsed.to_string(), range);
            for text in inside {
                assert!(parsed.contains(version(text)), "{range} {text}");
            }
            for text in outside {
                assert!(!parsed.contains(version(text)), "{range} {text}");
            }
        }
        for wrong in ["", "one", "^1-rc", ">=2, <1", "<0.0.0"] {
            assert!(wrong.parse::<SemverRange>().is_err(), "{wrong}");
        }
    }
}
