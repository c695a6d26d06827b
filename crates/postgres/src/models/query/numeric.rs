//! PostgreSQL's `numeric` in binary form, written with all its digits.

use std::fmt::Write as _;

/// The text of a value, as the server would write it; `None` where the bytes are none.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let count = usize::from(words.next()?);
    // The first digit stands for so many powers of 10,000.
    let weight = i32::from(words.next()? as i16);
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    match sign {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let digits: Vec<u16> = words.collect();
    if digits.len() != count || digits.iter().any(|&digit| digit > 9_999) {
        return None;
    }
    let digit =
        |power: i32| usize::try_from(weight - power).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0);
    let mut written = String::from(if sign == 0x4000 { "-" } else { "" });
    write!(written, "{}", digit(weight.max(0))).ok()?;
    for power in (0..weight.max(0)).rev() {
        write!(written, "{:04}", digit(power)).ok()?;
    }
    if scale > 0 {
        let mut fraction = String::new();
        for power in 1..=scale.div_ceil(4) {
            write!(fraction, "{:04}", digit(-i32::try_from(power).ok()?)).ok()?;
        }
        fraction.truncate(scale);
        written.push('.');
        written.push_str(&fraction);
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::text;

    fn bytes(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn digits_come_out_as_they_went_in() {
        let cases: &[(&[u16], &str)] = &[
            (&[0, 0, 0, 0], "0"),
            (&[0, 0, 0, 3], "0.000"),
            (&[1, 0, 0, 0, 42], "42"),
            (&[2, 0, 0x4000, 2, 12, 5000], "-12.50"),
            (&[1, 1, 0, 0, 1], "10000"),
            (&[1, 0xffff, 0, 4, 1], "0.0001"),
            (&[1, 0xfffe, 0, 6, 100], "0.000001"),
            (&[3, 2, 0, 0, 1, 0, 1], "100000001"),
            (&[0, 0, 0xc000, 0], "NaN"),
            (&[0, 0, 0xd000, 0x20], "Infinity"),
            (&[0, 0, 0xf000, 0x20], "-Infinity"),
        ];
        for (words, written) in cases {
            assert_eq!(text(&bytes(words)).as_deref(), Some(*written));
        }
        for broken in [&[1, 0, 0, 0][..], &[1, 0, 0, 0, 10_000], &[1]] {
            assert_eq!(text(&bytes(broken)), None);
        }
    }
}
