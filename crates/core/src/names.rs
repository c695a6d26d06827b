//! Names: of streams, categories, event types and tags. A value of these types is valid; they are made at the door.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::place::Partition;

/// The most bytes a stream name may have.
pub const STREAM_NAME_BYTES_MAX: usize = 256;
/// The most bytes an event type may have.
pub const EVENT_TYPE_BYTES_MAX: usize = 128;
/// The most bytes a tag may have.
pub const TAG_BYTES_MAX: usize = 128;
/// The most tags an event may have.
pub const TAGS_MAX: usize = 32;

/// A name that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct InvalidName {
    /// What it was to be: "stream name", "event type", "category", "tag", "tags".
    pub what: &'static str,
    /// What is wrong with it, as the rest of a sentence.
    pub problem: String,
}

fn check(what: &'static str, text: &str, bytes_max: usize) -> Result<(), InvalidName> {
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > bytes_max {
        format!("has {} bytes; at most {bytes_max} are allowed", text.len())
    } else if let Some(at) = text.chars().position(char::is_control) {
        format!("has a control character at character {at}")
    } else {
        return Ok(());
    };
    Err(InvalidName { what, problem })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes the name.
            pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, InvalidName> {
                let check: fn(&str) -> Result<(), InvalidName> = $check;
                check(text.as_ref())?;
                Ok(Self(text.into()))
            }

            /// A name read back from storage, which checked it when it was written.
            pub fn from_storage(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
    };
}

name_type!(
    /// The name of a stream, `category-key`, split at the first `-`: up to 256 bytes of UTF-8 without control characters.
    ///
    /// ```
    /// use pacioli_core::StreamName;
    ///
    /// let stream = StreamName::new("account-42")?;
    /// assert_eq!((stream.category(), stream.key()), ("account", "42"));
    /// let stream = StreamName::new("audit")?;
    /// assert_eq!((stream.category(), stream.key()), ("audit", ""));
    /// # Ok::<(), pacioli_core::InvalidName>(())
    /// ```
    StreamName,
    |text| check("stream name", text, STREAM_NAME_BYTES_MAX)
);
name_type!(
    /// What the streams of one kind of aggregate share: the part of their names before the first `-`.
    Category,
    |text| {
        check("category", text, STREAM_NAME_BYTES_MAX)?;
        if text.contains('-') {
            return Err(InvalidName {
                what: "category",
                problem: "contains `-`, which ends a category; ask for a stream prefix instead".to_owned(),
            });
        }
        Ok(())
    }
);
name_type!(
    /// An event's type, in the past tense (`MoneyDeposited`): up to 128 bytes.
    EventType,
    |text| check("event type", text, EVENT_TYPE_BYTES_MAX)
);
name_type!(
    /// A label that conditions and filters look for: up to 128 bytes, no comma and no space.
    Tag,
    |text| {
        check("tag", text, TAG_BYTES_MAX)?;
        if text.contains(|c: char| c == ',' || c.is_whitespace()) {
            return Err(InvalidName { what: "tag", problem: "contains a comma or a space".to_owned() });
        }
        Ok(())
    }
);

impl StreamName {
    /// The part before the first `-`; the whole name where there is none.
    pub fn category(&self) -> &str {
        self.as_str().split_once('-').map_or(self.as_str(), |(category, _)| category)
    }

    /// The part after the first `-`; empty where there is none.
    pub fn key(&self) -> &str {
        self.as_str().split_once('-').map_or("", |(_, key)| key)
    }

    /// The partition of `partitions` this stream lives in: the first 8 bytes of SHA-256 of its key, modulo their number.
    ///
    /// The key and not the name decides, so that `order-7` and `payment-7` meet. Every engine and SQL share this rule.
    pub fn partition(&self, partitions: u16) -> Partition {
        if partitions <= 1 {
            return Partition::ZERO;
        }
        let digest = Sha256::digest(self.key().as_bytes());
        let first = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes of a 32-byte digest"));
        Partition((first % u64::from(partitions)) as u16)
    }
}

/// The tags of an event: at most 32, each once, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(Option<Arc<[Tag]>>);

impl Tags {
    /// Checks and takes the tags.
    pub fn new(tags: impl IntoIterator<Item = Tag>) -> Result<Tags, InvalidName> {
        let tags: Vec<Tag> = tags.into_iter().collect();
        if tags.len() > TAGS_MAX {
            return Err(InvalidName {
                what: "tags",
                problem: format!("are {}; at most {TAGS_MAX} are allowed", tags.len()),
            });
        }
        if let Some(twice) = tags.iter().enumerate().find_map(|(i, tag)| tags[..i].contains(tag).then_some(tag)) {
            return Err(InvalidName { what: "tags", problem: format!("name `{twice}` twice") });
        }
        Ok(Tags((!tags.is_empty()).then(|| tags.into())))
    }

    /// The tags in order.
    pub fn as_slice(&self) -> &[Tag] {
        self.0.as_deref().unwrap_or(&[])
    }

    /// The bytes they take in memory, about.
    pub fn len_bytes(&self) -> usize {
        self.as_slice().iter().map(|tag| tag.as_str().len() + 32).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this tag is among them.
    pub fn contains(&self, tag: &Tag) -> bool {
        self.as_slice().contains(tag)
    }

    /// The tags joined by commas, as they are stored and as CloudEvents carries them.
    pub fn joined(&self) -> String {
        self.as_slice().iter().map(Tag::as_str).collect::<Vec<_>>().join(",")
    }

    /// Tags read back from storage, where [`Tags::joined`] put them.
    pub fn from_storage(joined: &str) -> Tags {
        if joined.is_empty() {
            return Tags::default();
        }
        Tags(Some(joined.split(',').map(Tag::from_storage).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_to_the_byte() {
        assert!(StreamName::new("s".repeat(256)).is_ok());
        assert!(StreamName::new("s".repeat(257)).is_err());
        assert!(EventType::new("t".repeat(128)).is_ok());
        assert!(EventType::new("t".repeat(129)).is_err());
        assert!(Tag::new("t".repeat(129)).is_err());
        let tags = |n: usize| Tags::new((0..n).map(|i| Tag::new(format!("t{i}")).unwrap()));
        assert!(tags(32).is_ok());
        assert!(tags(33).is_err());
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        let problem = StreamName::new("account-\u{1}").unwrap_err().to_string();
        assert_eq!(problem, "stream name has a control character at character 8");
        assert!(Tag::new("a b").is_err());
        assert!(Tag::new("a,b").is_err());
        assert!(Category::new("a-b").is_err());
        assert!(StreamName::new("").is_err());
    }

    #[test]
    fn streams_of_one_key_meet_in_one_partition() {
        for key in 0..200 {
            let order = StreamName::new(format!("order-{key}")).unwrap();
            let payment = StreamName::new(format!("payment-{key}")).unwrap();
            assert_eq!(order.partition(4), payment.partition(4));
        }
        // Fixed for ever: SQL and other engines compute the same.
        assert_eq!(StreamName::new("order-7").unwrap().partition(4), StreamName::new("x-7").unwrap().partition(4));
    }
}
