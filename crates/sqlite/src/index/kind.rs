//! The catalogue of stored keys: what each index maps, and how its entries are packed.

/// One entry of an index: a key and its value.
pub type Entry = (u128, u64);

/// One sorted map of the store. The ordinals are persisted in `index_runs.kind`; never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum IndexKind {
    /// Stream names. Key: the 128-bit keyed hash of the name. Value: stream id.
    Name = 1,
    /// Event ids. Key: the event's UUID. Value: rowid (`partition << 48 | position`).
    Id = 2,
    /// Idempotency keys. Key: the append's UUID. Value: rowid of the append's first event.
    AppendKey = 3,
    /// Stream versions. Key: `stream id << 64 | version`. Value: rowid.
    Stream = 4,
    /// Event types, a posting list. Key: `type hash << 64 | rowid`. Value: always 0, not stored.
    Type = 5,
    /// Categories, a posting list. Key: `category hash << 64 | rowid`. Value: always 0, not stored.
    Category = 6,
    /// Tags, a posting list. Key: `tag hash << 64 | rowid`. Value: always 0, not stored.
    Tag = 7,
    /// Streams of a category, a posting list. Key: `category hash << 64 | stream id`. Value: always 0, not stored.
    CategoryStreams = 8,
}

/// How the entries of a kind are packed into a block. The ordinals are the second field of a stored block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Shape {
    /// Keys have no structure: stored whole.
    Wide = 1,
    /// Neighbouring keys share their upper half or are near: stored as differences, with a value.
    Narrow = 2,
    /// As narrow, without a value.
    Posting = 3,
}

impl IndexKind {
    /// How many kinds there are.
    pub const COUNT: usize = 8;

    /// Every kind, in the order of the ordinals.
    pub const ALL: [IndexKind; Self::COUNT] = [
        Self::Name,
        Self::Id,
        Self::AppendKey,
        Self::Stream,
        Self::Type,
        Self::Category,
        Self::Tag,
        Self::CategoryStreams,
    ];

    /// The kind with this persisted ordinal.
    pub fn from_ordinal(ordinal: i64) -> Option<IndexKind> {
        Self::ALL.into_iter().find(|kind| *kind as i64 == ordinal)
    }

    /// The kind's place in an array that has one slot a kind.
    pub(super) fn slot(self) -> usize {
        self as usize - 1
    }

    pub(super) fn shape(self) -> Shape {
        match self {
            Self::Name | Self::Id | Self::AppendKey => Shape::Wide,
            Self::Stream => Shape::Narrow,
            Self::Type | Self::Category | Self::Tag | Self::CategoryStreams => Shape::Posting,
        }
    }
}

impl Shape {
    /// The part of a range that a filter can answer for: one whole key of a wide kind, one upper half of a narrow
    /// kind. `None` when the range spans several.
    pub(super) fn filter_hash_of_range(self, low: u128, high: u128) -> Option<u64> {
        let answerable = match self {
            Self::Wide => low == high,
            Self::Narrow | Self::Posting => upper(low) == upper(high),
        };
        answerable.then(|| self.filter_hash(low))
    }

    /// What the filter of a block remembers of a key.
    pub(super) fn filter_hash(self, key: u128) -> u64 {
        match self {
            Self::Wide => super::filter::hash(&key.to_le_bytes()),
            Self::Narrow | Self::Posting => super::filter::hash(&upper(key).to_le_bytes()),
        }
    }
}

/// The upper 64 bits of a key.
pub(super) fn upper(key: u128) -> u64 {
    (key >> 64) as u64
}

/// The lower 64 bits of a key.
pub(super) fn lower(key: u128) -> u64 {
    key as u64
}

/// The key with these halves.
pub(super) fn joined(upper: u64, lower: u64) -> u128 {
    u128::from(upper) << 64 | u128::from(lower)
}
