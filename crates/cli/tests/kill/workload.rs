//! What the clients do: appends of every kind, some patient, some giving up and sending the same again later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pacioli_client::{Client, ClientConfig};
use pacioli_core::conformance::history::{History, Phase};
use pacioli_core::{Append, AppendRequest, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName};
use uuid::Uuid;

/// Streams that everybody writes to.
const HOT_STREAMS: u64 = 20;
/// Of a hundred operations without an answer, how many are sent again.
const RESENT_PERCENT: u64 = 50;

/// Numbers from a seed (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }
}

/// One client that appends until it is told to stop.
pub(crate) struct Writer {
    number: u64,
    next_op: u64,
    random: Random,
    client: Client,
    history: Arc<History>,
    stop: Arc<AtomicBool>,
}

impl Writer {
    pub(crate) fn new(number: u64, seed: u64, url: &str, history: Arc<History>, stop: Arc<AtomicBool>) -> Writer {
        // Every other client gives up fast, so that it knows of answers it never got.
        let deadline = if number.is_multiple_of(2) { Duration::from_secs(20) } else { Duration::from_millis(50) };
        let config = ClientConfig { deadline, backoff_max: Duration::from_millis(100), ..ClientConfig::new(url) };
        let client = Client::connect(config).expect("a client");
        let random = Random::new(seed ^ (number + 1) << 32);
        Writer { number, next_op: number << 40, random, client, history, stop }
    }

    pub(crate) async fn run(mut self) {
        let mut unanswered = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let op = self.next_op;
            self.next_op += 1;
            let Some(request) = self.request(op).await else { continue };
            if !self.send(op, &request).await && self.random.below(100) < RESENT_PERCENT {
                unanswered.push((op, request));
            }
            if self.random.below(50) == 0
                && let Some((op, request)) = unanswered.pop()
            {
                self.send(op, &request).await;
            }
        }
        for (op, request) in unanswered {
            self.send(op, &request).await;
        }
    }

    fn stream(&mut self) -> StreamName {
        StreamName::new(format!("hot-{}", self.random.below(HOT_STREAMS))).expect("a name")
    }

    fn events(&mut self, op: u64, count: u64) -> Vec<NewEvent> {
        let event_type = EventType::new("Written").expect("a type");
        let event = |i| {
            let pad = "x".repeat(self.random.below(400) as usize);
            let data = format!("{{\"client\":{},\"op\":{op},\"i\":{i},\"pad\":\"{pad}\"}}", self.number);
            NewEvent::json(EventId(self.random.uuid()), event_type.clone(), data)
        };
        (0..count).map(event).collect()
    }

    /// The next request; `None` where the server would have to be asked first and does not answer.
    async fn request(&mut self, op: u64) -> Option<AppendRequest> {
        let stream = self.stream();
        Some(match self.random.below(6) {
            0 | 1 => Append::to(stream, ExpectedVersion::Any, self.events(op, 1)),
            2 => {
                let count = 2 + self.random.below(7);
                Append::to(stream, ExpectedVersion::Any, self.events(op, count))
            }
            3 => {
                let other = StreamName::new(format!("own-{}", self.number)).expect("a name");
                let first = self.events(op, 2);
                Append::to(stream, ExpectedVersion::Any, first).and(other, ExpectedVersion::Any, self.events(op, 2))
            }
            4 => {
                let current = self.client.stream(&stream).await.ok()?;
                let expected = current.map_or(ExpectedVersion::None, |info| ExpectedVersion::Exact(info.version));
                Append::to(stream, expected, self.events(op, 1))
            }
            _ => {
                let key = self.random.uuid();
                Append::to(stream, ExpectedVersion::Any, self.events(op, 3)).key(key)
            }
        })
    }

    /// Sends a request and writes down what came of it; false where nobody knows.
    async fn send(&self, op: u64, request: &AppendRequest) -> bool {
        self.history.write(op, Phase::invoke(request));
        let phase = Phase::answer(&self.client.append(request.clone()).await);
        let is_known = phase != Phase::Info;
        self.history.write(op, phase);
        is_known
    }
}
