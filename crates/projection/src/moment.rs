//! Moments of the past: how they are written, and which events were there.

use std::str::FromStr;

use pacioli_core::{RecordedEvent, Timestamp};

use crate::engine::Moment;

impl Moment {
    /// A moment of occurrence, by business time.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence that begins with the field's name.
    pub fn occurred(text: &str) -> Result<Moment, String> {
        time(text).map(Moment::Occurred).ok_or_else(|| format!("`{}` is no RFC 3339 time; {LIKE_TIME}", shown(text)))
    }

    /// Whether an event belongs to what was known by then; an event that does not say when it occurred did so when it was
    /// recorded.
    pub fn includes(&self, event: &RecordedEvent) -> bool {
        match self {
            Moment::Recorded(time) => event.recorded_at <= *time,
            Moment::At(checkpoint) => event.position <= checkpoint.position(event.partition),
            Moment::Occurred(time) => event.occurred_at.unwrap_or(event.recorded_at) <= *time,
        }
    }
}

const LIKE_TIME: &str = "write it like `2026-11-20T13:59:56Z`";

/// A time by which events were recorded, in RFC 3339, or a checkpoint.
impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        if let Ok(checkpoint) = text.parse() {
            return Ok(Moment::At(checkpoint));
        }
        time(text).map(Moment::Recorded).ok_or_else(|| {
            format!("`{}` is neither an RFC 3339 time nor a checkpoint; {LIKE_TIME} or `0:1234`", shown(text))
        })
    }
}

fn time(text: &str) -> Option<Timestamp> {
    // A time zone in brackets is no part of RFC 3339.
    let at: jiff::Timestamp = (!text.contains('[')).then(|| text.parse().ok())??;
    Some(Timestamp::from_micros(at.as_microsecond()))
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_checkpoint() {
        assert_eq!("0:12".parse(), Ok(Moment::At("0:12".parse().expect("a checkpoint"))));
        let second = Timestamp::from_micros(1_000_000);
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Moment::Recorded(second)));
        assert_eq!(Moment::occurred("1970-01-01T01:00:01+01:00"), Ok(Moment::Occurred(second)));
        for wrong in ["", "yesterday", "2026-11-20", "0", "1970-01-01T00:00:01Z[UTC]"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
            assert!(Moment::occurred(wrong).is_err(), "{wrong}");
        }
        assert!(Moment::occurred("0:12").is_err());
    }
}
