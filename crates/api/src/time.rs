//! Moments as RFC 3339 text, in UTC, to the microsecond the log keeps.

use pacioli_core::Timestamp;

use crate::text::push_padded;

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;

/// Writes `at` as `2026-11-20T13:59:56.123456Z`, with no fraction, three digits or six, whichever is exact.
///
/// Years beyond 0000 to 9999, which RFC 3339 cannot write, get a sign and six digits, as ISO 8601 has it.
pub fn write(out: &mut Vec<u8>, at: Timestamp) {
    let seconds = at.as_micros().div_euclid(MICROS_A_SECOND);
    let micros = at.as_micros().rem_euclid(MICROS_A_SECOND) as u64;
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_A_DAY));
    let second = seconds.rem_euclid(SECONDS_A_DAY) as u64;
    if (0..=9999).contains(&year) {
        push_padded(out, year as u64, 4);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        push_padded(out, year.unsigned_abs(), 6);
    }
    for (mark, number) in
        [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)]
    {
        out.push(mark);
        push_padded(out, number, 2);
    }
    if micros > 0 {
        out.push(b'.');
        if micros.is_multiple_of(1000) {
            push_padded(out, micros / 1000, 3);
        } else {
            push_padded(out, micros, 6);
        }
    }
    out.push(b'Z');
}

/// The text that [`write()`] writes.
pub fn format(at: Timestamp) -> String {
    let mut out = Vec::with_capacity(27);
    write(&mut out, at);
    String::from_utf8(out).expect("digits and punctuation are ASCII")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar reaching both ways without end.
///
/// The year is made to begin in March, so that the leap day is its last; then a month is (5 m + 2) / 153 of a run of days.
fn civil(days: i64) -> (i64, u64, u64) {
    let from_era = days + 719_468;
    let era = from_era.div_euclid(146_097);
    let day_of_era = from_era.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u64, day as u64)
}

/// Reads RFC 3339 text, like `2026-11-20T13:59:56Z` or `2026-11-20T14:59:56.5+01:00`. What is finer than a microsecond is
/// cut off.
///
/// # Errors
/// What is wrong, as the rest of a sentence that begins with the field's name.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    let problem =
        || format!("`{}` is no RFC 3339 time; write it like `2026-11-20T13:59:56Z`", crate::text::shown(text));
    if text.contains('[') {
        return Err(problem());
    }
    let at: jiff::Timestamp = text.parse().map_err(|_| problem())?;
    Ok(Timestamp::from_micros(at.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_moment_is_written_as_short_as_it_is_exact() {
        let at = |micros| format(Timestamp::from_micros(micros));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_500_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(at(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(at(951_782_400_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(at(i64::MAX), "+294247-01-10T04:00:54.775807Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "yesterday", "2026-11-20", "2026-11-20T13:59:56", "2026-13-20T13:59:56Z", "2026-11-20T13:59:56Z[UTC]"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("1970-01-01T01:00:00+01:00").unwrap(), Timestamp::from_micros(0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in -62_167_219_200_000_000_i64..253_402_207_200_000_000) {
            let at = Timestamp::from_micros(micros);
            prop_assert_eq!(parse(&format(at)).unwrap(), at);
        }
    }
}
