//! Which version of its stream each line of an import builds on, so that none is stored behind one that was refused.
//!
//! A line whose predecessors in its stream were all answered says nothing. One that is sent while they are on their way
//! says the version that the last of them makes; where that one is refused, what follows conflicts, and nothing happened.

use std::collections::HashMap;

use pacioli_core::{ExpectedVersion, StreamName, Version};

use super::IN_FLIGHT_APPENDS;

/// Streams whose version is remembered at most while nothing is on its way to them.
const REMEMBERED_MAX: usize = 65_536;
/// A version that no stream has: only what is there already passes, since that is found before versions are compared.
const NO_VERSION: ExpectedVersion = ExpectedVersion::Exact(Version(u64::MAX));

/// The streams that an import writes to.
#[derive(Debug, Default)]
pub(super) struct Streams {
    known: HashMap<StreamName, Stream>,
}

#[derive(Debug)]
struct Stream {
    version: Foreseen,
    in_flight: usize,
    /// How many may be on their way at once: fewer after what was sent had to be sent again.
    window: usize,
}

/// The version of a stream once what is on its way has been stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foreseen {
    Unknown,
    /// The stream is not there.
    Absent,
    At(Version),
}

impl Foreseen {
    fn next(self) -> Foreseen {
        match self {
            Foreseen::Unknown => Foreseen::Unknown,
            Foreseen::Absent => Foreseen::At(Version(0)),
            Foreseen::At(version) => Foreseen::At(Version(version.0 + 1)),
        }
    }
}

impl Streams {
    /// Learns that a stream was not there before the first line of it.
    pub(super) fn note_absent(&mut self, stream: StreamName) {
        self.known.entry(stream).or_insert(Stream::new(Foreseen::Absent));
    }

    /// Whether another line may be sent to a stream before an answer is taken.
    pub(super) fn has_room(&self, stream: &StreamName) -> bool {
        self.known.get(stream).is_none_or(|known| known.in_flight < known.window)
    }

    /// What the next line expects of its stream, which is on its way from now on.
    pub(super) fn send(&mut self, stream: &StreamName) -> ExpectedVersion {
        if self.known.len() >= REMEMBERED_MAX && !self.known.contains_key(stream) {
            self.known.retain(|_, known| known.in_flight > 0);
        }
        let known = self.known.entry(stream.clone()).or_insert(Stream::new(Foreseen::Unknown));
        let expected = match (known.in_flight, known.version) {
            (0, _) => ExpectedVersion::Any,
            // Whether the line is there already shows all the same, and one that is not is sent again.
            (_, Foreseen::Unknown) => NO_VERSION,
            (_, Foreseen::Absent) => ExpectedVersion::None,
            (_, Foreseen::At(version)) => ExpectedVersion::Exact(version),
        };
        known.version = known.version.next();
        known.in_flight += 1;
        expected
    }

    /// Takes the answer to the oldest line that is on its way to a stream: the version it has, or `None` where it has none.
    pub(super) fn answered(&mut self, stream: &StreamName, version: Option<Version>) {
        let Some(known) = self.known.get_mut(stream) else { return };
        known.in_flight -= 1;
        let is_as_foreseen = match (known.version, version) {
            (Foreseen::At(last), Some(version)) => last.0 == version.0 + known.in_flight as u64,
            _ => false,
        };
        if version.is_some() {
            known.window = IN_FLIGHT_APPENDS.min(known.window + 1);
        }
        if !is_as_foreseen {
            known.version = match version {
                Some(version) if known.in_flight == 0 => Foreseen::At(version),
                _ => Foreseen::Unknown,
            };
        }
    }

    /// Sends less at once to a stream of which a line had to be sent again.
    pub(super) fn slow_down(&mut self, stream: &StreamName) {
        if let Some(known) = self.known.get_mut(stream) {
            known.window = 1.max(known.window / 2);
        }
    }
}

impl Stream {
    fn new(version: Foreseen) -> Stream {
        Stream { version, in_flight: 0, window: IN_FLIGHT_APPENDS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(version: u64) -> ExpectedVersion {
        ExpectedVersion::Exact(Version(version))
    }

    #[test]
    fn a_line_builds_on_what_is_on_its_way() {
        let (mut streams, stream) = (Streams::default(), StreamName::new("a-1").unwrap());
        streams.note_absent(stream.clone());
        let sent: Vec<ExpectedVersion> = (0..3).map(|_| streams.send(&stream)).collect();
        assert_eq!(sent, [ExpectedVersion::Any, exact(0), exact(1)]);
        streams.answered(&stream, Some(Version(0)));
        assert_eq!(streams.send(&stream), exact(2));
        // The second is refused: nobody knows what the others make, and those that come pass only where they are known.
        streams.answered(&stream, None);
        assert_eq!(streams.send(&stream), NO_VERSION);
        (0..3).for_each(|_| streams.answered(&stream, None));
        assert_eq!(streams.send(&stream), ExpectedVersion::Any);
        streams.answered(&stream, Some(Version(1)));
        assert_eq!([streams.send(&stream), streams.send(&stream)], [ExpectedVersion::Any, exact(2)]);
    }

    #[test]
    fn another_writer_is_noticed_by_the_version_that_a_line_got() {
        let (mut streams, stream) = (Streams::default(), StreamName::new("a-1").unwrap());
        assert_eq!([streams.send(&stream), streams.send(&stream)], [ExpectedVersion::Any, NO_VERSION]);
        streams.answered(&stream, Some(Version(7)));
        assert_eq!(streams.send(&stream), NO_VERSION, "the second may be known, or not");
        streams.answered(&stream, Some(Version(8)));
        streams.answered(&stream, Some(Version(9)));
        assert_eq!([streams.send(&stream), streams.send(&stream)], [ExpectedVersion::Any, exact(10)]);
        streams.answered(&stream, Some(Version(12)));
        assert_eq!(streams.send(&stream), NO_VERSION);
    }

    #[test]
    fn trouble_makes_a_stream_slow_and_success_fast_again() {
        let (mut streams, stream) = (Streams::default(), StreamName::new("a-1").unwrap());
        streams.send(&stream);
        (0..20).for_each(|_| streams.slow_down(&stream));
        assert!(!streams.has_room(&stream));
        streams.answered(&stream, Some(Version(0)));
        streams.send(&stream);
        assert!(streams.has_room(&stream));
        assert!(streams.has_room(&StreamName::new("b-1").unwrap()));
    }
}
