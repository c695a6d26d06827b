//! Readers of every kind, each in a task of its own until it has come to the end.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use pacioli_client::{Client, SchemasClient};
use pacioli_core::schemas::{OnNewer, Shape, Understanding};
use pacioli_core::{Checkpoint, Delivery, EventStore, Filter, ReadError, RecordedEvent, Subscribe};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::TYPE;
use crate::registry::{Registry, event_type};
use crate::support::{Door, PATIENCE};

/// How long a reader of pages waits until it asks again.
const PAUSE: Duration = Duration::from_millis(10);

/// How a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A subscription over gRPC, in the newest shape.
    Newest,
    /// The same, as stored.
    Raw,
    /// The same within what it understands; it opts in to what it had to stop at.
    Stopping,
    /// The same as stored.
    StoppingRaw,
    /// A subscription that passes over all but major 1.
    Skipping,
    /// The same as stored.
    SkippingRaw,
    /// Server-sent events, and it opts in to what it had to stop at.
    Live,
    /// Pages over HTTP, and it opts in to what it had to stop at.
    Pages,
    /// Pages over HTTP, of which all but major 1 are passed over.
    SkippingPages,
    /// Pages as stored.
    RawPages,
}

impl Kind {
    pub(super) const ALL: [Kind; 10] = [
        Kind::Newest,
        Kind::Raw,
        Kind::Stopping,
        Kind::StoppingRaw,
        Kind::Skipping,
        Kind::SkippingRaw,
        Kind::Live,
        Kind::Pages,
        Kind::SkippingPages,
        Kind::RawPages,
    ];

    pub(super) fn is_raw(self) -> bool {
        matches!(self, Kind::Raw | Kind::StoppingRaw | Kind::SkippingRaw | Kind::RawPages)
    }

    /// Beyond what it passes over events.
    pub(super) fn skips_beyond(self) -> Option<&'static str> {
        matches!(self, Kind::Skipping | Kind::SkippingRaw | Kind::SkippingPages).then_some("^1")
    }

    /// What it understands at first.
    fn understands(self) -> Option<String> {
        let is_bounded = !matches!(self, Kind::Newest | Kind::Raw | Kind::RawPages);
        is_bounded.then(|| "^1".to_owned())
    }
}

/// An event as a reader got it.
pub(super) struct Got {
    pub(super) position: u64,
    pub(super) version: u32,
    pub(super) data: Bytes,
    /// What the reader understood by then.
    pub(super) understands: Option<String>,
}

/// A reader at work.
pub(super) struct Reader {
    pub(super) kind: Kind,
    end: watch::Sender<Option<Checkpoint>>,
    task: JoinHandle<Vec<Got>>,
}

impl Reader {
    pub(super) fn start(kind: Kind, registry: &Registry) -> Reader {
        let end = watch::Sender::new(None);
        let work = Work {
            kind,
            client: registry.client.clone(),
            schemas: registry.client.schemas(),
            door: registry.server.door(),
            end: end.subscribe(),
            understands: kind.understands(),
            after: None,
            got: Vec::new(),
        };
        let task = tokio::spawn(async move {
            match kind {
                Kind::Live => work.live().await,
                Kind::Pages | Kind::SkippingPages | Kind::RawPages => work.pages().await,
                _ => work.subscribe().await,
            }
        });
        Reader { kind, end, task }
    }

    /// What it got by the time that it came to the end.
    pub(super) async fn end(self, head: &Checkpoint, seed: u64) -> Vec<Got> {
        self.end.send_replace(Some(head.clone()));
        let ended = tokio::time::timeout(PATIENCE * 6, self.task).await;
        ended.unwrap_or_else(|_| panic!("{:?} never came to {head}, seed {seed}", self.kind)).unwrap()
    }
}

struct Work {
    kind: Kind,
    client: Client,
    schemas: SchemasClient,
    door: Door,
    end: watch::Receiver<Option<Checkpoint>>,
    understands: Option<String>,
    after: Option<Checkpoint>,
    got: Vec<Got>,
}

impl Work {
    fn is_at_end(&self) -> bool {
        let end = self.end.borrow();
        end.as_ref().zip(self.after.as_ref()).is_some_and(|(end, after)| after.covers(end))
    }

    fn shape(&self) -> Shape {
        let understood =
            |range: &String| Understanding { event_type: event_type(TYPE), versions: range.parse().unwrap() };
        let on_newer = if self.kind.skips_beyond().is_some() { OnNewer::Skip } else { OnNewer::Stop };
        Shape { raw: self.kind.is_raw(), understands: self.understands.iter().map(understood).collect(), on_newer }
    }

    fn name(&self) -> String {
        format!("{:?}", self.kind)
    }

    fn take(&mut self, event: &RecordedEvent) {
        let (position, version) = (event.position.0, event.schema_version);
        let understands = self.understands.clone();
        self.got.push(Got { position, version, data: event.data.bytes().clone(), understands });
    }

    /// Learns the version that it had to stop at.
    async fn opt_in(&mut self, version: u32) {
        let schema = self.schemas.schema(&event_type(TYPE), Some(version)).await.unwrap();
        let before = self.understands.replace(format!("<{}", schema.semver.major + 1));
        assert_ne!(before, self.understands, "it understood that: version {version}");
    }

    async fn subscribe(mut self) -> Vec<Got> {
        loop {
            let client = self.client.with_reader(self.name()).with_shape(self.shape());
            let subscribe = Subscribe {
                after: self.after.clone(),
                filter: Filter { types: vec![event_type(TYPE)], ..Filter::default() },
                heartbeat: Duration::from_millis(100),
                batch_max: 7,
                ..Subscribe::default()
            };
            let mut deliveries = client.subscribe(subscribe).await.unwrap();
            loop {
                match deliveries.next().await.expect("it goes on, or says why not") {
                    Ok(delivery) => {
                        self.after = Some(delivery.checkpoint().clone());
                        if let Delivery::Events { events, .. } = delivery {
                            events.iter().for_each(|event| self.take(event));
                        }
                    }
                    Err(ReadError::Withheld(withheld)) => {
                        self.opt_in(withheld.schema_version).await;
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
                if self.is_at_end() {
                    return self.got;
                }
            }
        }
    }

    fn path(&self) -> String {
        let mut path = format!("/v1/events?type={TYPE}&limit=7&reader={}&raw={}", self.name(), self.kind.is_raw());
        if let Some(range) = &self.understands {
            path.push_str(&format!("&accept={TYPE}:{}", range.replace('^', "%5E").replace('<', "%3C")));
        }
        if self.kind.skips_beyond().is_some() {
            path.push_str("&on_newer=skip");
        }
        if let Some(after) = &self.after {
            path.push_str(&format!("&after={after}"));
        }
        path
    }

    fn take_cloud_event(&mut self, event: &Value) {
        self.got.push(Got {
            position: event["position"].as_str().unwrap().parse().unwrap(),
            version: event["schemaversion"].as_u64().unwrap_or(1) as u32,
            data: event["data"].to_string().into(),
            understands: self.understands.clone(),
        });
    }

    async fn pages(mut self) -> Vec<Got> {
        loop {
            let page = self.door.get(&self.path()).await;
            if page.status == 409 {
                let version = page.json()["schema_version"].as_u64().unwrap();
                self.opt_in(version as u32).await;
                continue;
            }
            assert_eq!(page.status, 200, "{}", page.text());
            for event in page.json().as_array().unwrap() {
                self.take_cloud_event(event);
            }
            self.after = Some(page.header("pacioli-checkpoint").unwrap().parse().unwrap());
            if self.is_at_end() {
                return self.got;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn live(mut self) -> Vec<Got> {
        loop {
            let path = self.path().replace("&limit=7", "");
            let mut live = self.door.live(&path, &[]).await;
            while let Some(sent) = live.next().await {
                if sent.event == "error" {
                    let problem = sent.json();
                    assert_eq!(problem["type"], "urn:pacioli:problem:newer-schema", "{problem}");
                    self.opt_in(problem["schema_version"].as_u64().unwrap() as u32).await;
                    break;
                }
                if sent.event.is_empty() && !sent.data.is_empty() {
                    self.take_cloud_event(&sent.json());
                }
                self.after = Some(sent.id.parse().unwrap());
                if self.is_at_end() {
                    return self.got;
                }
            }
        }
    }
}
