//! The codec of a block: up to 256 sorted entries in one blob that fits a database page.
//!
//! ```text
//! checksum: 8   shape: 1   count: 2   payload
//! wide:     count keys of 16 bytes, then a varint a value (xor the first value, which comes first)
//! narrow:   an entry = varint of the difference of the upper halves,
//!                      difference of the lower halves (plain when the upper half is the same, else zigzag),
//!                      zigzag of the difference of the values (none in a posting list)
//! ```
//!
//! Integers are little-endian, except keys of wide blocks, which sort as bytes. The checksum is seeded with the
//! block's id, so that a block in another's place is found too.

use twox_hash::XxHash3_64;

use super::kind::{Entry, Shape, joined, lower, upper};

/// The most entries of a block.
pub(super) const BLOCK_ENTRIES: usize = 256;
/// A block is closed before it outgrows this: what a 4 KiB page holds of one row without an overflow page.
const BLOCK_BYTES: usize = 4_040;
const HEADER_BYTES: usize = CHECKSUM_BYTES + 3;
const CHECKSUM_BYTES: usize = 8;
/// No entry takes more: three varints of 64 bits, or a key and a varint.
const ENTRY_BYTES_MOST: usize = 30;

/// Why stored bytes were refused.
pub(super) type Malformed = &'static str;

/// Puts the checksum of everything behind the first 8 bytes into them.
pub(super) fn seal(id: i64, bytes: &mut [u8]) {
    let (checksum, rest) = bytes.split_at_mut(CHECKSUM_BYTES);
    checksum.copy_from_slice(&XxHash3_64::oneshot_with_seed(id as u64, rest).to_le_bytes());
}

/// Verifies the checksum and returns what it protects.
pub(super) fn unseal(id: i64, bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (checksum, rest) = bytes.split_at_checked(CHECKSUM_BYTES).ok_or("too short")?;
    if checksum != XxHash3_64::oneshot_with_seed(id as u64, rest).to_le_bytes() {
        return Err("checksum mismatch");
    }
    Ok(rest)
}

/// Packs entries, in key order, into one block after the other. Its buffers live as long as the run is written.
pub(super) struct BlockBuilder {
    shape: Shape,
    packed: Vec<u8>,
    wide_values: Vec<u8>,
    hashes: Vec<u64>,
    count: usize,
    first_key: u128,
    first_value: u64,
    previous: Entry,
}

impl BlockBuilder {
    pub(super) fn new(shape: Shape) -> Self {
        let mut builder = Self {
            shape,
            packed: Vec::with_capacity(BLOCK_BYTES + ENTRY_BYTES_MOST),
            wide_values: Vec::new(),
            hashes: Vec::with_capacity(BLOCK_ENTRIES),
            count: 0,
            first_key: 0,
            first_value: 0,
            previous: (0, 0),
        };
        builder.clear();
        builder
    }

    /// Forgets the entries of the block that was being packed.
    pub(super) fn clear(&mut self) {
        self.packed.clear();
        self.packed.resize(HEADER_BYTES, 0);
        self.wide_values.clear();
        self.hashes.clear();
        self.count = 0;
        self.previous = (0, 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn first_key(&self) -> u128 {
        self.first_key
    }

    pub(super) fn last_key(&self) -> u128 {
        self.previous.0
    }

    /// What the block's filter must hold.
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Adds an entry; `true` when the block is full and must be taken.
    pub(super) fn push(&mut self, (key, value): Entry) -> bool {
        let first = self.count == 0;
        assert!(first || key > self.previous.0, "entries of a block ascend");
        if first {
            (self.first_key, self.first_value) = (key, value);
        }
        let new_upper_half = first || upper(key) != upper(self.previous.0);
        if self.shape == Shape::Wide {
            self.packed.extend_from_slice(&key.to_be_bytes());
            put_varint(&mut self.wide_values, if first { value } else { value ^ self.first_value });
        } else {
            put_varint(&mut self.packed, upper(key) - upper(self.previous.0));
            let step = lower(key).wrapping_sub(lower(self.previous.0));
            put_varint(&mut self.packed, if new_upper_half { zigzag(step) } else { step });
            if self.shape == Shape::Narrow {
                put_varint(&mut self.packed, zigzag(value.wrapping_sub(self.previous.1)));
            }
        }
        if self.shape == Shape::Wide || new_upper_half {
            self.hashes.push(self.shape.filter_hash(key));
        }
        self.previous = (key, value);
        self.count += 1;
        self.count == BLOCK_ENTRIES || self.packed.len() + self.wide_values.len() + ENTRY_BYTES_MOST > BLOCK_BYTES
    }

    /// The finished block under this id. `clear` begins the next one.
    pub(super) fn seal(&mut self, id: i64) -> &[u8] {
        assert!(self.count > 0, "a block is never empty");
        self.packed.extend_from_slice(&self.wide_values);
        self.packed[CHECKSUM_BYTES] = self.shape as u8;
        self.packed[CHECKSUM_BYTES + 1..HEADER_BYTES].copy_from_slice(&(self.count as u16).to_le_bytes());
        seal(id, &mut self.packed);
        &self.packed
    }
}

/// A stored block whose checksum holds.
pub(super) struct Block<'a> {
    shape: Shape,
    count: usize,
    payload: &'a [u8],
}

impl<'a> Block<'a> {
    pub(super) fn open(shape: Shape, id: i64, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let [stored_shape, low, high, payload @ ..] = unseal(id, bytes)? else { return Err("too short") };
        let count = usize::from(u16::from_le_bytes([*low, *high]));
        if *stored_shape != shape as u8 {
            return Err("entries of another shape");
        }
        if count == 0 || count > BLOCK_ENTRIES || (shape == Shape::Wide && payload.len() < count * 16) {
            return Err("impossible number of entries");
        }
        Ok(Self { shape, count, payload })
    }

    /// The entry with the greatest key that is not above `key`.
    pub(super) fn last_at_most(&self, key: u128) -> Result<Option<Entry>, Malformed> {
        if self.shape != Shape::Wide {
            let mut found = None;
            self.narrow_entries(|entry| {
                let within = entry.0 <= key;
                if within {
                    found = Some(entry);
                }
                within
            })?;
            return Ok(found);
        }
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.wide_key(middle) <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(index) = low.checked_sub(1) else { return Ok(None) };
        let mut values = &self.payload[self.count * 16..];
        let first = take_varint(&mut values)?;
        for _ in 1..index {
            skip_varint(&mut values)?;
        }
        let value = if index == 0 { first } else { first ^ take_varint(&mut values)? };
        Ok(Some((self.wide_key(index), value)))
    }

    /// Appends all entries to `entries`.
    pub(super) fn unpack(&self, entries: &mut Vec<Entry>) -> Result<(), Malformed> {
        entries.reserve(self.count);
        if self.shape != Shape::Wide {
            return self.narrow_entries(|entry| {
                entries.push(entry);
                true
            });
        }
        let mut values = &self.payload[self.count * 16..];
        let first = take_varint(&mut values)?;
        entries.push((self.wide_key(0), first));
        for index in 1..self.count {
            entries.push((self.wide_key(index), first ^ take_varint(&mut values)?));
        }
        Ok(())
    }

    fn wide_key(&self, index: usize) -> u128 {
        let mut key = [0; 16];
        key.copy_from_slice(&self.payload[index * 16..][..16]);
        u128::from_be_bytes(key)
    }

    /// Calls `visit` with each entry until it answers `false`.
    fn narrow_entries(&self, mut visit: impl FnMut(Entry) -> bool) -> Result<(), Malformed> {
        let mut rest = self.payload;
        let (mut upper, mut lower, mut value) = (0_u64, 0_u64, 0_u64);
        for index in 0..self.count {
            let step = take_varint(&mut rest)?;
            upper = upper.checked_add(step).ok_or("a key above the greatest")?;
            let step_below = take_varint(&mut rest)?;
            let same_upper_half = step == 0 && index > 0;
            lower = lower.wrapping_add(if same_upper_half { step_below } else { unzigzag(step_below) });
            if self.shape == Shape::Narrow {
                value = value.wrapping_add(unzigzag(take_varint(&mut rest)?));
            }
            if !visit((joined(upper, lower), value)) {
                break;
            }
        }
        Ok(())
    }
}

#[inline]
fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[inline]
fn take_varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (index * 7);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err("a number without an end")
}

#[inline]
fn skip_varint(bytes: &mut &[u8]) -> Result<(), Malformed> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).ok_or("a number without an end")?;
    *bytes = &bytes[end + 1..];
    Ok(())
}

/// Small differences, up or down, become small numbers.
#[inline]
fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ (difference as i64 >> 63) as u64
}

#[inline]
fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn keys() -> impl Strategy<Value = BTreeMap<u128, u64>> {
        let any_key = any::<u128>();
        let near_key = (0..4_u64, 0..2_000_u64).prop_map(|(upper, lower)| joined(upper, lower));
        let edge_key = prop_oneof![Just(0), Just(u128::MAX), Just(joined(u64::MAX, 0)), Just(joined(0, u64::MAX))];
        let value = prop_oneof![any::<u64>(), 0..1_000_u64, (0..1_000_u64).prop_map(|position| 3 << 48 | position)];
        prop::collection::btree_map(prop_oneof![4 => any_key, 8 => near_key, 1 => edge_key], value, 1..600)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_block_gives_back_what_was_packed(mut map in keys(), probe in any::<u128>()) {
            for shape in [Shape::Wide, Shape::Narrow, Shape::Posting] {
                if shape == Shape::Posting {
                    map.values_mut().for_each(|value| *value = 0);
                }
                let mut builder = BlockBuilder::new(shape);
                let mut unpacked = Vec::new();
                let mut rest = map.iter().map(|(key, value)| (*key, *value)).peekable();
                while rest.peek().is_some() {
                    let begun = unpacked.len();
                    for entry in rest.by_ref() {
                        if builder.push(entry) {
                            break;
                        }
                    }
                    let bytes = builder.seal(7).to_vec();
                    prop_assert!(bytes.len() <= BLOCK_BYTES);
                    let block = Block::open(shape, 7, &bytes).unwrap();
                    block.unpack(&mut unpacked).unwrap();
                    let entries = &unpacked[begun..];
                    for key in entries.iter().map(|entry| entry.0).chain([0, probe, u128::MAX]) {
                        let expected = entries.iter().rev().find(|entry| entry.0 <= key).copied();
                        prop_assert_eq!(block.last_at_most(key).unwrap(), expected);
                    }
                    prop_assert!(Block::open(shape, 8, &bytes).is_err(), "a block in another's place");
                    builder.clear();
                }
                prop_assert_eq!(unpacked, map.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>());
            }
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 8..600), small in 1..40_u8) {
            for shape in [Shape::Wide, Shape::Narrow, Shape::Posting] {
                prop_assert!(Block::open(shape, 1, &bytes).is_err());
                if bytes.len() >= HEADER_BYTES {
                    bytes[8..11].copy_from_slice(&[shape as u8, small, 0]);
                    seal(1, &mut bytes);
                    if let Ok(block) = Block::open(shape, 1, &bytes) {
                        let _ = block.unpack(&mut Vec::new());
                        let _ = block.last_at_most(u128::from(small));
                    }
                    bytes[0] ^= 1;
                }
            }
        }
    }
}
