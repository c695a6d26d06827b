//! The files that every registry of this form has at hand, beside those of `google/protobuf`: serializers do not register
//! them, so a schema imports them without a reference. Written here after what their fields are.

/// The text of such a file.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let found = FILES.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// Files by the names under which they are imported.
macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("builtin/", $name)))),*] };
}

const FILES: &[(&str, &str)] = files![
    "confluent/meta.proto",
    "confluent/type/decimal.proto",
    "confluent/type/variant.proto",
    "google/type/calendar_period.proto",
    "google/type/color.proto",
    "google/type/date.proto",
    "google/type/datetime.proto",
    "google/type/dayofweek.proto",
    "google/type/decimal.proto",
    "google/type/expr.proto",
    "google/type/fraction.proto",
    "google/type/interval.proto",
    "google/type/latlng.proto",
    "google/type/localized_text.proto",
    "google/type/money.proto",
    "google/type/month.proto",
    "google/type/phone_number.proto",
    "google/type/postal_address.proto",
    "google/type/quaternion.proto",
    "google/type/timeofday.proto",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_and_compiles() {
        for (name, text) in FILES {
            assert_eq!(super::text(name), Some(*text));
            let message = "message M {}";
            let importing = format!("syntax = \"proto3\"; import \"{name}\"; {message}");
            crate::protobuf::ProtobufSchema::parse(&importing, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert_eq!(super::text("google/type/nothing.proto"), None);
    }
}
