//! Bloom filters of one block: 10 bits an entry and 7 probes let about one absent key in 120 through.

use twox_hash::XxHash3_64;

const BITS_PER_ENTRY: usize = 10;
const PROBES: u32 = 7;

/// The stored hash of a key's filtered part. It is part of the file format.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// Appends the filter of these hashes to `words`.
pub(super) fn build(hashes: &[u64], words: &mut Vec<u64>) {
    let start = words.len();
    words.resize(start + (hashes.len() * BITS_PER_ENTRY).div_ceil(64).max(1), 0);
    let filter = &mut words[start..];
    let bits = filter.len() as u64 * 64;
    for hash in hashes {
        for bit in probes(*hash, bits) {
            filter[bit / 64] |= 1 << (bit % 64);
        }
    }
}

/// Whether the filter may hold the hash. `false` is certain.
pub(super) fn may_hold(filter: &[u64], hash: u64) -> bool {
    let bits = filter.len() as u64 * 64;
    probes(hash, bits).all(|bit| filter[bit / 64] & (1 << (bit % 64)) != 0)
}

/// About how many hashes went into a filter of this many words.
pub(super) fn capacity(words: usize) -> u64 {
    (words * 64 / BITS_PER_ENTRY) as u64
}

/// Double hashing in 32 bits, spread over the filter by multiplication instead of division.
fn probes(hash: u64, bits: u64) -> impl Iterator<Item = usize> {
    let first = hash as u32;
    let step = (hash >> 32) as u32 | 1;
    (0..PROBES).map(move |probe| {
        let mixed = first.wrapping_add(step.wrapping_mul(probe));
        ((u64::from(mixed) * bits) >> 32) as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_no_false_negative_and_few_false_positives() {
        for count in [1_usize, 2, 7, 100, 256] {
            let hashes: Vec<u64> = (0..count as u64).map(|n| hash(&n.to_le_bytes())).collect();
            let mut words = vec![7, 7];
            build(&hashes, &mut words);
            let filter = &words[2..];
            assert!(hashes.iter().all(|hash| may_hold(filter, *hash)));
            let wrong = (1_000..11_000_u64).filter(|n| may_hold(filter, hash(&n.to_le_bytes()))).count();
            assert!(wrong < 200, "{wrong} of 10000 absent keys passed a filter of {count}");
        }
    }
}
