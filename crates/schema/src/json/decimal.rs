//! Numbers as they are written, compared without rounding.

use std::cmp::Ordering;

/// A number of JSON: `0.d1 d2 d3 … * 10^magnitude`, where the first digit and the last are not zero; zero has no digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'t> {
    is_negative: bool,
    /// The digits as they are written, one point among them perhaps.
    digits: &'t str,
    magnitude: i64,
}

impl<'t> Decimal<'t> {
    /// Reads what is a number of JSON.
    pub(super) fn read(text: &'t str) -> Decimal<'t> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (written, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        // An exponent that no `i64` holds has outgrown every number that the log takes.
        let huge = if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
        let exponent = exponent.parse::<i64>().unwrap_or(huge).clamp(i64::MIN / 4, i64::MAX / 4);
        let whole = written.find('.').unwrap_or(written.len()) as i64;
        let digits = written.trim_start_matches(['0', '.']);
        // So many places behind the point the first digit stands, counted from the left.
        let first = (written.len() - digits.len()) as i64;
        let point = if first > whole { whole - first + 1 } else { whole - first };
        let digits = match digits.contains('.') || first > whole {
            true => digits.trim_end_matches(['0', '.']),
            false => digits.trim_end_matches('0'),
        };
        match digits.is_empty() {
            true => Decimal { is_negative: false, digits, magnitude: 0 },
            false => Decimal { is_negative, digits, magnitude: point + exponent },
        }
    }

    /// The same for every spelling of the number, and for no other.
    pub(super) fn spelled(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        let digits: String = self.digits().map(char::from).collect();
        format!("\u{1}{sign}0.{digits}e{}", self.magnitude)
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'t> {
        self.digits.bytes().filter(|byte| *byte != b'.')
    }

    /// How many digits it takes to write it.
    pub(super) fn significant(&self) -> usize {
        self.digits.len() - usize::from(self.digits.contains('.'))
    }

    /// The place of the first digit: 1 for 1 to 9, 2 for 10 to 99, 0 for 0.1 to 0.9.
    pub(super) fn magnitude(&self) -> i64 {
        self.magnitude
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_zero() || self.magnitude >= self.significant() as i64
    }

    /// The number itself, if it is whole and not too large.
    pub(super) fn to_whole(self) -> Option<i128> {
        /// The places of the largest `i128` but one.
        const PLACES_MAX: i64 = 38;
        if !self.is_whole() || self.magnitude > PLACES_MAX {
            return None;
        }
        let digits = self.digits().fold(0_i128, |whole, digit| whole * 10 + i128::from(digit - b'0'));
        let whole = digits * 10_i128.pow((self.magnitude - self.significant() as i64) as u32);
        Some(if self.is_negative { -whole } else { whole })
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal => {}
            different => return different,
        }
        // Of two whose first digits stand in the same place the digits decide; the shorter one ends in zeros.
        let size = self.magnitude.cmp(&other.magnitude).then_with(|| self.digits().cmp(other.digits()));
        if self.is_negative { size.reverse() } else { size }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_told_apart_however_they_are_written() {
        let sorted = [
            "-1e400",
            "-100000000000000000001",
            "-1e20",
            "-0.01",
            "-1e-400",
            "0",
            "1e-400",
            "0.00999",
            "0.01",
            "0.9999999999999999999",
            "1",
            "1.999999999999999999999",
            "2",
            "9",
            "10",
            "9007199254740993",
            "9007199254740993.5",
            "1e20",
            "100000000000000000001",
            "1e400",
            "1e99999999999999999999",
        ];
        for (a, left) in sorted.iter().enumerate() {
            for (b, right) in sorted.iter().enumerate() {
                assert_eq!(Decimal::read(left).cmp(&Decimal::read(right)), a.cmp(&b), "{left} {right}");
            }
        }
        for (left, right) in [
            ("1", "1.0"),
            ("1e2", "100"),
            ("0.1e3", "1.00E+2"),
            ("-0.0", "0e9"),
            ("1200", "12e2"),
            ("0.00120", "12e-4"),
        ] {
            assert_eq!(Decimal::read(left), Decimal::read(right));
            assert_eq!(Decimal::read(left).significant(), Decimal::read(right).significant());
        }
        for (text, whole) in [
            ("120", Some(120)),
            ("-1.20e2", Some(-120)),
            ("1.5", None),
            ("0.0", Some(0)),
            ("1e40", None),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
        ] {
            assert_eq!(Decimal::read(text).to_whole(), whole, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_they_do(a in any::<i64>(), b in any::<i64>(), places in 0_usize..30) {
            let written = |number: i64| format!("{number}{}e-{places}", "0".repeat(places));
            let (left, right) = (written(a), b.to_string());
            prop_assert_eq!(Decimal::read(&left).cmp(&Decimal::read(&right)), a.cmp(&b));
            prop_assert_eq!(Decimal::read(&left).to_whole(), Some(i128::from(a)));
        }

        #[test]
        fn fractions_compare_as_they_do(a in -1e12_f64..1e12, b in -1e12_f64..1e12) {
            let (left, right) = (a.to_string(), format!("{b:e}"));
            prop_assert_eq!(Some(Decimal::read(&left).cmp(&Decimal::read(&right))), a.partial_cmp(&b));
            let again = format!("{a:e}");
            prop_assert_eq!(Decimal::read(&left), Decimal::read(&again));
        }
    }
}
