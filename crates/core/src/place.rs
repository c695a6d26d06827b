//! Numbers that cannot be confused: a [`Version`] counts inside a stream, a [`Position`] inside a partition.

use smallvec::SmallVec;
use std::fmt;
use std::str::FromStr;

/// An event's place in its stream: 0, 1, 2 … with no gap. A stream's version is that of its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version of a stream's first event.
    pub const FIRST: Version = Version(0);

    /// The version that follows `current`, where `None` is a stream that does not exist.
    pub fn after(current: Option<Version>) -> Version {
        current.map_or(Version::FIRST, |version| Version(version.0 + 1))
    }

    /// This version moved on by `events`.
    #[must_use]
    pub fn plus(self, events: u64) -> Version {
        Version(self.0 + events)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event's place in its partition: 1, 2, 3 … with no gap, in commit order. 0 means "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event.
    pub const START: Position = Position(0);
    /// The largest position a store can hold (48 bits), because engines pack it beside the partition.
    pub const MAX: Position = Position((1 << 48) - 1);

    /// The position that follows.
    #[must_use]
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }

    /// The position that precedes; before the first event there is none.
    #[must_use]
    pub fn before(self) -> Position {
        Position(self.0.saturating_sub(1))
    }

    /// This position moved on by `events`.
    #[must_use]
    pub fn plus(self, events: u64) -> Position {
        Position(self.0 + events)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The unit of order and of scale: 0 … P-1, where P is fixed when a store is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u16);

impl Partition {
    /// The only partition of a store with P = 1.
    pub const ZERO: Partition = Partition(0);
    /// The most partitions a store can have: engines keep the number in the 15 bits above a position.
    pub const MAX_COUNT: u16 = 1024;

    /// This partition as an index into a vector with one entry a partition.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where exactly an event lies: its partition and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The partition.
    pub partition: Partition,
    /// The position within it.
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.position)
    }
}

/// A counter that grows when the tail of the log may have been rewound (failover, restore). The first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of a store whose tail was never rewound.
    pub const FIRST: Epoch = Epoch(1);
}

impl Default for Epoch {
    fn default() -> Self {
        Epoch::FIRST
    }
}

/// A resume token: the last position taken in each partition, and the epoch in which it was taken.
///
/// ```
/// use pacioli_core::{Checkpoint, Partition, Position};
///
/// let checkpoint: Checkpoint = "0:12,1:9@2".parse()?;
/// assert_eq!(checkpoint.partitions(), 2);
/// assert_eq!(checkpoint.position(Partition(1)), Position(9));
/// assert_eq!(checkpoint.to_string(), "0:12,1:9@2");
/// # Ok::<(), pacioli_core::place::InvalidCheckpoint>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    epoch: Epoch,
    positions: SmallVec<[Position; 2]>,
}

impl Checkpoint {
    /// Before the first event of a store with this many partitions.
    pub fn start(partitions: u16, epoch: Epoch) -> Checkpoint {
        assert!(partitions > 0, "a store has at least one partition");
        Checkpoint { epoch, positions: SmallVec::from_elem(Position::START, usize::from(partitions)) }
    }

    /// A checkpoint from one position a partition, in the order of the partitions.
    pub fn new(positions: impl IntoIterator<Item = Position>, epoch: Epoch) -> Checkpoint {
        let positions: SmallVec<[Position; 2]> = positions.into_iter().collect();
        assert!(!positions.is_empty(), "a store has at least one partition");
        Checkpoint { epoch, positions }
    }

    /// The number of partitions this checkpoint speaks of.
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.positions.len()).expect("at most MAX_COUNT partitions")
    }

    /// The epoch in which it was taken.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last position taken in `partition`; the start where the checkpoint does not know it.
    pub fn position(&self, partition: Partition) -> Position {
        self.positions.get(partition.index()).copied().unwrap_or(Position::START)
    }

    /// Every partition with the last position taken there.
    pub fn iter(&self) -> impl Iterator<Item = Place> + '_ {
        self.positions
            .iter()
            .enumerate()
            .map(|(index, &position)| Place { partition: Partition(index as u16), position })
    }

    /// Moves `partition` forward to `position`.
    pub fn advance(&mut self, partition: Partition, position: Position) {
        let slot = &mut self.positions[partition.index()];
        assert!(*slot <= position, "a checkpoint cannot regress");
        *slot = position;
    }

    /// The same positions, spoken of in another epoch.
    #[must_use]
    pub fn in_epoch(mut self, epoch: Epoch) -> Checkpoint {
        self.epoch = epoch;
        self
    }

    /// Whether no partition is behind `other`: a reader at `self` has seen all that `other` has.
    pub fn covers(&self, other: &Checkpoint) -> bool {
        self.positions.len() == other.positions.len()
            && self.positions.iter().zip(&other.positions).all(|(mine, theirs)| mine >= theirs)
    }

    /// Whether moving from `current` to `self` goes forward: nowhere back, somewhere on.
    pub fn advances(&self, current: &Checkpoint) -> bool {
        self.covers(current) && self.positions != current.positions
    }

    /// How many events lie between `self` and `head`, over all partitions.
    pub fn distance_to(&self, head: &Checkpoint) -> u64 {
        head.iter().map(|place| place.position.0.saturating_sub(self.position(place.partition).0)).sum()
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, position) in self.positions.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{index}:{position}")?;
        }
        if self.epoch != Epoch::FIRST {
            write!(f, "@{}", self.epoch.0)?;
        }
        Ok(())
    }
}

/// The text is no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a checkpoint: expected `PARTITION:POSITION` for each partition from 0 on, like `0:1234` or `0:12,1:9`"
)]
pub struct InvalidCheckpoint {
    /// What was given.
    pub text: String,
}

impl FromStr for Checkpoint {
    type Err = InvalidCheckpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_checkpoint(text)
            .ok_or_else(|| InvalidCheckpoint { text: text.chars().filter(|c| !c.is_control()).take(80).collect() })
    }
}

fn parse_checkpoint(text: &str) -> Option<Checkpoint> {
    let (places, epoch) = match text.split_once('@') {
        Some((places, epoch)) => (places, Epoch(parse_digits(epoch)?.try_into().ok()?)),
        None => (text, Epoch::FIRST),
    };
    if epoch.0 == 0 {
        return None;
    }
    let mut positions = SmallVec::new();
    for place in places.split(',') {
        let (partition, position) = place.split_once(':')?;
        let position = Position(parse_digits(position)?);
        if parse_digits(partition)? != positions.len() as u64
            || position > Position::MAX
            || positions.len() >= usize::from(Partition::MAX_COUNT)
        {
            return None;
        }
        positions.push(position);
    }
    Some(Checkpoint { epoch, positions })
}

/// Digits only: `u64::from_str` would also take a leading `+`.
fn parse_digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_print_as_they_parse() {
        for text in ["0:0", "0:1234", "0:12,1:9", "0:5@2", "0:1,1:2,2:3@7"] {
            assert_eq!(text.parse::<Checkpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        for text in [
            "",
            "banana",
            "5",
            "0:",
            ":5",
            "1:5",
            "0:5,2:5",
            "0:5,",
            "0:+5",
            "0:-1",
            "0:5@",
            "0:5@0",
            "0:281474976710656",
        ] {
            assert!(text.parse::<Checkpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn advancing_goes_nowhere_back_and_somewhere_on() {
        let at = |text: &str| text.parse::<Checkpoint>().unwrap();
        assert!(at("0:2").advances(&at("0:1")));
        assert!(!at("0:1").advances(&at("0:1")));
        assert!(!at("0:2,1:0").advances(&at("0:1,1:1")));
        assert!(!at("0:2").advances(&at("0:1,1:1")));
    }
}
