//! Values as plain text, for the forms that have no kinds of their own.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::Offset;

use super::Value;

/// A value as text; `None` for NULL. Bytes are base64, times RFC 3339 in UTC.
pub(super) fn of(value: &Value) -> Option<Cow<'_, str>> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Int(number) => number.to_string().into(),
        Value::Float(number) => float(*number).into(),
        Value::Decimal(text) | Value::Text(text) | Value::Json(text) => text.as_str().into(),
        Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Value::Time(micros) => time(*micros).into(),
    })
}

/// A floating-point number in as few digits as give it back.
pub(super) fn float(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        // `Debug` and not `Display`, which writes 1e300 with all its zeros.
        number => format!("{number:?}"),
    }
}

/// `2011-10-01T00:38:44.546000Z`, always with six decimals, as handlers see it; what lies beyond the years that RFC 3339
/// can write is `infinity` or `-infinity`.
pub(super) fn time(micros: i64) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(at) => {
            let at = Offset::UTC.to_datetime(at);
            let (year, month, day) = (at.year(), at.month(), at.day());
            let micros = at.subsec_nanosecond() / 1_000;
            let (hour, minute, second) = (at.hour(), at.minute(), at.second());
            match year {
                0.. => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"),
                // ISO 8601 has six digits and a sign for these.
                _ => format!("{year:+07}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"),
            }
        }
        Err(_) if micros < 0 => "-infinity".to_owned(),
        Err(_) => "infinity".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_decimals() {
        assert_eq!(time(1_317_429_524_546_000), "2011-10-01T00:38:44.546000Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(time(-62_167_219_200_000_001), "-000001-12-31T23:59:59.999999Z");
        assert_eq!((time(i64::MAX).as_str(), time(i64::MIN).as_str()), ("infinity", "-infinity"));
    }

    #[test]
    fn floats_are_short_and_exact() {
        for (number, text) in [(0.1, "0.1"), (1.0, "1.0"), (1e300, "1e300"), (f64::NAN, "NaN"), (-1e-7, "-1e-7")] {
            assert_eq!(float(number), text);
        }
    }
}
