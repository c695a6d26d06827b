//! Moments as people write them.

use jiff::Timestamp as Instant;
use pacioli_core::Timestamp;
use pacioli_core::place::Checkpoint;

use crate::engine::Moment;

impl Moment {
    /// A time (RFC 3339, by which something was recorded) or a checkpoint.
    ///
    /// # Errors
    /// It is neither; says what each looks like.
    pub fn parse(text: &str) -> Result<Moment, String> {
        if let Ok(checkpoint) = text.parse::<Checkpoint>() {
            return Ok(Moment::At(checkpoint));
        }
        let neither = |_| {
            format!(
                "`{text}` is neither a time with its zone, like `2011-12-31T23:59:59Z` or `2011-12-31T15:00:00-08:00`, \
                 nor a checkpoint, like `0:1234`"
            )
        };
        parse_time(text).map(Moment::Recorded).map_err(neither)
    }

    /// A time (RFC 3339) by which something had occurred.
    ///
    /// # Errors
    /// It is no time; says what one looks like.
    pub fn parse_occurred(text: &str) -> Result<Moment, String> {
        parse_time(text).map(Moment::Occurred)
    }
}

/// A time with its zone, to the microsecond.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let instant: Instant = text.parse().map_err(|_| {
        format!("`{text}` is no time with its zone, like `2011-12-31T23:59:59Z` or `2011-12-31T15:00:00-08:00`")
    })?;
    // Towards the past, so that nothing counts that came after the moment.
    let micros = instant.as_nanosecond().div_euclid(1_000);
    Ok(Timestamp::from_micros(i64::try_from(micros).expect("the years up to 9999 fit in 64 bits of microseconds")))
}

/// The time as RFC 3339 in UTC with microseconds; what no calendar has, as a number of microseconds since 1970.
pub(crate) fn time_text(time: Timestamp) -> String {
    match Instant::from_microsecond(time.as_micros()) {
        Ok(instant) => format!("{instant:.6}"),
        Err(_) => time.as_micros().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(text: &str) -> i64 {
        match Moment::parse(text) {
            Ok(Moment::Recorded(time)) => time.as_micros(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn times_and_checkpoints_are_told_apart() {
        assert_eq!(recorded("1970-01-01T00:00:01Z"), 1_000_000);
        assert_eq!(recorded("1970-01-01T01:00:00.000001+01:00"), 1);
        assert_eq!(recorded("1970-01-01T00:00:00.0000019Z"), 1);
        assert_eq!(recorded("1969-12-31T23:59:59.9999999Z"), -1);
        assert_eq!(Moment::parse("0:12,1:9@2"), Ok(Moment::At("0:12,1:9@2".parse().unwrap())));
        assert_eq!(Moment::parse_occurred("1970-01-01T00:00:00Z"), Ok(Moment::Occurred(Timestamp::from_micros(0))));
    }

    #[test]
    fn what_is_neither_is_refused_with_an_example_of_both() {
        for text in ["", "yesterday", "2011-12-31", "2011-12-31T23:59:59", "15", "0:1,"] {
            let problem = Moment::parse(text).unwrap_err();
            assert!(problem.contains("2011-12-31T23:59:59Z") && problem.contains("0:1234"), "{problem}");
        }
        assert!(Moment::parse_occurred("0:12").unwrap_err().contains("2011-12-31T23:59:59Z"));
    }

    #[test]
    fn a_time_is_written_in_utc_with_microseconds() {
        assert_eq!(time_text(Timestamp::from_micros(1_317_429_524_546_000)), "2011-10-01T00:38:44.546000Z");
        assert_eq!(time_text(Timestamp::from_micros(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(parse_time(&time_text(Timestamp::from_micros(-1))), Ok(Timestamp::from_micros(-1)));
    }
}
