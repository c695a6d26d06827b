//! Cheap seeded randomness for ids, stream names and payloads: the client must not be what is measured.

use bytes::Bytes;
use pacioli_core::{EventId, EventType, NewEvent, StreamName};
use uuid::Builder;

use crate::BenchError;
use crate::report::Parameters;

/// The types of the events that a workload appends, most of them only the first: 16 bytes each, as the reference event of
/// the wire has.
pub const EVENT_TYPES: [&str; 8] = [
    "AccountDeposited",
    "AccountWithdrawn",
    "AccountCorrected",
    "AccountConfirmed",
    "AccountSuspended",
    "InterestCredited",
    "StatementPrinted",
    "SignatureUpdated",
];

/// How many different payloads a workload draws from.
const PAYLOADS: u64 = 512;

/// SplitMix64: one multiplication chain a number, good enough to spread load.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that only depend on `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of the multiplication is below one in 2^32 for any bound used here.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A UUIDv7 of the moment `unix_millis`.
    pub fn event_id(&mut self, unix_millis: u64) -> EventId {
        let (high, low) = (self.bits().to_be_bytes(), self.bits().to_be_bytes());
        let bytes = [high[0], high[1], high[2], high[3], high[4], high[5], high[6], high[7], low[0], low[1]];
        EventId(Builder::from_unix_timestamp_millis(unix_millis, &bytes).into_uuid())
    }
}

/// Milliseconds since 1970 by the wall clock, for event ids.
pub fn unix_millis() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Makes the events of a workload.
#[derive(Clone, Debug)]
pub struct Events {
    random: Random,
    streams: u64,
    event_types: Vec<EventType>,
    payloads: Vec<Bytes>,
}

impl Events {
    /// Events over the parameters' streams and types, each with a JSON payload of exactly the length they say.
    ///
    /// # Errors
    /// [`BenchError::Usage`] where no JSON text has that length, or there are no streams.
    pub fn new(seed: u64, parameters: &Parameters) -> Result<Events, BenchError> {
        let Parameters { streams, payload_bytes: payload, event_types, ten_fields, .. } = *parameters;
        if streams == 0 {
            return Err(BenchError::Usage("--streams must be at least 1".to_owned()));
        }
        if payload < 2 {
            return Err(BenchError::Usage(
                "--payload must be at least 2 bytes: the shortest JSON here is {}".to_owned(),
            ));
        }
        let mut random = Random::new(seed);
        let payloads: Option<_> =
            (0..PAYLOADS)
                .map(|_| {
                    if ten_fields {
                        ten_fields_of(payload, &mut random)
                    } else {
                        Some(payload_of(payload, &mut random))
                    }
                })
                .collect();
        let too_short =
            || BenchError::Usage(format!("--payload must be at least {TEN_FIELDS_BYTES_MIN} for ten fields"));
        let payloads = payloads.ok_or_else(too_short)?;
        let names = EVENT_TYPES.iter().take(event_types.max(1));
        let event_types: Result<_, _> = names.map(|name| EventType::new(*name)).collect();
        let event_types = event_types.map_err(|error| BenchError::Usage(error.to_string()))?;
        Ok(Events { random, streams, event_types, payloads })
    }

    /// One of the streams, uniformly; its name has 16 bytes for up to 100 million streams.
    pub fn stream(&mut self) -> StreamName {
        let number = self.random.below(self.streams);
        stream_name(number)
    }

    /// `count` events with ids of now.
    pub fn batch(&mut self, count: usize) -> Vec<NewEvent> {
        let now = unix_millis();
        (0..count).map(|_| self.event(now)).collect()
    }

    fn event(&mut self, unix_millis: u64) -> NewEvent {
        let payload = self.payloads[self.random.below(PAYLOADS) as usize].clone();
        let event_type = match &self.event_types[..] {
            [only] => only.clone(),
            types => types[self.random.below(types.len() as u64) as usize].clone(),
        };
        NewEvent::json(self.random.event_id(unix_millis), event_type, payload)
    }
}

/// The name of the `number`th stream, like `account-00000042`.
pub fn stream_name(number: u64) -> StreamName {
    StreamName::from_storage(format!("account-{number:08}"))
}

/// JSON of exactly `length` bytes: an object where it fits, else the shortest that does.
fn payload_of(length: usize, random: &mut Random) -> Bytes {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    let (start, end) = if length >= 32 {
        (format!(r#"{{"amount":{},"note":""#, 100_000 + random.below(900_000)), r#""}"#)
    } else if length == 2 {
        return Bytes::from_static(b"{}");
    } else {
        ("\"".to_owned(), "\"")
    };
    let mut text = start.into_bytes();
    while text.len() + end.len() < length {
        text.push(LETTERS[(random.bits() >> 59) as usize]);
    }
    text.extend_from_slice(end.as_bytes());
    Bytes::from(text)
}

/// Bytes of the shortest data with ten fields.
const TEN_FIELDS_BYTES_MIN: usize = 180;

/// JSON of exactly `length` bytes with the ten fields of [`crate::schemas::VERSIONS`]; `None` where they do not fit.
fn ten_fields_of(length: usize, random: &mut Random) -> Option<Bytes> {
    let (amount, account, customer) =
        (100_000 + random.below(900_000), random.below(100_000_000), random.below(100_000_000));
    let start = format!(
        r#"{{"amount":{amount},"currency":"EUR","account":"a-{account:08}","customer":"c-{customer:08}","channel":"web","country":"CH","is_gift":false,"rate":1.25,"lines":[1,2,3],"note":""#
    );
    let end = r#""}"#;
    let padding = length.checked_sub(start.len() + end.len()).filter(|_| length >= TEN_FIELDS_BYTES_MIN)?;
    Some(Bytes::from(format!("{start}{}{end}", "x".repeat(padding))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_payload_is_json_of_exactly_the_length_asked_for() {
        let mut random = Random::new(1);
        for length in (2..100).chain([200, 1_000, 100_000]) {
            let payload = payload_of(length, &mut random);
            assert_eq!(payload.len(), length);
            pacioli_core::json::check(&payload).unwrap();
        }
        assert!(Events::new(1, &parameters(1, 1)).is_err());
        assert!(Events::new(1, &parameters(0, 200)).is_err());
    }

    fn parameters(streams: u64, payload_bytes: usize) -> Parameters {
        Parameters { streams, payload_bytes, ..Parameters::default() }
    }

    #[test]
    fn ten_fields_are_what_their_schema_says() {
        let mut random = Random::new(1);
        for length in [TEN_FIELDS_BYTES_MIN, 200, 1_000] {
            let payload = ten_fields_of(length, &mut random).unwrap();
            assert_eq!(payload.len(), length);
            let fields: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            let schema: serde_json::Value = serde_json::from_str(crate::schemas::VERSIONS[0].text).unwrap();
            let described = schema["properties"].as_object().unwrap();
            assert_eq!(fields.as_object().unwrap().len(), 10);
            assert!(fields.as_object().unwrap().keys().all(|name| described.contains_key(name)));
        }
        let short = Parameters { ten_fields: true, ..parameters(1, TEN_FIELDS_BYTES_MIN - 1) };
        assert!(matches!(Events::new(1, &short), Err(BenchError::Usage(_))));
    }

    #[test]
    fn as_many_types_are_used_as_were_asked_for() {
        for (asked, used) in [(0, 1), (1, 1), (3, 3), (8, 8)] {
            let parameters = Parameters { event_types: asked, ..parameters(1, 32) };
            let events = Events::new(1, &parameters).unwrap().batch(500);
            let types: BTreeSet<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
            assert_eq!(types.len(), used);
        }
    }

    #[test]
    fn the_reference_event_has_names_of_16_bytes() {
        assert!(EVENT_TYPES.iter().all(|name| name.len() == 16));
        assert_eq!(stream_name(99_999).as_str().len(), 16);
        let mut events = Events::new(7, &parameters(100_000, 200)).unwrap();
        assert_eq!(events.stream().as_str().len(), 16);
        assert_eq!(events.batch(3).len(), 3);
    }

    #[test]
    fn ids_are_version_7_and_differ() {
        let mut random = Random::new(1);
        let (one, other) = (random.event_id(1_000), random.event_id(1_000));
        assert_eq!(one.0.get_version_num(), 7);
        assert_ne!(one, other);
    }
}
