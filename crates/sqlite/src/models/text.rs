//! How times and ids are written where SQL sees them.

use std::fmt::Write;

use pacioli_core::Timestamp;

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;

/// A time as RFC 3339 in UTC with six decimals: `2011-10-01T00:38:44.546000Z`.
pub(crate) fn time(timestamp: Timestamp) -> String {
    let mut text = String::with_capacity(27);
    write_time(&mut text, timestamp);
    text
}

/// Writes a time behind what `text` holds.
pub(crate) fn write_time(text: &mut String, timestamp: Timestamp) {
    let micros = timestamp.as_micros();
    let (seconds, micros) = (micros.div_euclid(MICROS_A_SECOND), micros.rem_euclid(MICROS_A_SECOND));
    let (days, seconds) = (seconds.div_euclid(SECONDS_A_DAY), seconds.rem_euclid(SECONDS_A_DAY));
    let (year, month, day) = date_of(days);
    if !(0..=9999).contains(&year) {
        // Beyond RFC 3339, and beyond what a client can send; written so that nothing is lost.
        let _ = write!(text, "{year:+}-{month:02}-{day:02}");
    } else {
        push_digits(text, year, 4);
        text.push('-');
        push_digits(text, month, 2);
        text.push('-');
        push_digits(text, day, 2);
    }
    text.push('T');
    push_digits(text, seconds / 3_600, 2);
    text.push(':');
    push_digits(text, seconds / 60 % 60, 2);
    text.push(':');
    push_digits(text, seconds % 60, 2);
    text.push('.');
    push_digits(text, micros, 6);
    text.push('Z');
}

fn push_digits(text: &mut String, number: i64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        text.push(char::from(b'0' + digit as u8));
    }
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar carried backwards too.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the leap day is a year's last; an era is the 400 years after which all repeats.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// An identifier in SQL, in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_sqlite_writes_them() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        let mut micros = -62_167_219_200_000_000_i64;
        while micros < 253_402_300_799_000_000 {
            let seconds = micros.div_euclid(MICROS_A_SECOND);
            let expected: String = conn
                .query_row(
                    "SELECT strftime('%Y-%m-%dT%H:%M:%S', ?1, 'unixepoch') || printf('.%06dZ', ?2)",
                    [seconds, micros.rem_euclid(MICROS_A_SECOND)],
                    |row| row.get(0),
                )
                .unwrap();
            assert_eq!(time(Timestamp::from_micros(micros)), expected);
            micros += 86_399_123_457 * 997;
        }
        assert_eq!(time(Timestamp::from_micros(1_317_429_524_546_000)), "2011-10-01T00:38:44.546000Z");
        assert_eq!(time(Timestamp::from_micros(-1)), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn a_name_is_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
