//! Reads of many pages as one stream of messages.

use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use pacioli_api::fields::Fields;
use pacioli_api::generated::v1;
use pacioli_api::wire::{read, status};
use pacioli_core::{Checkpoint, EventStore, LogPage, ReadLog, ReadStream, RecordedEvent, StreamPage};
use tonic::Status;

/// Bytes of the events of one message: large enough that its cost is the events', small enough that the next one is
/// ready in time.
const MESSAGE_BYTES: usize = 512 << 10;

/// What is left of a read that goes over many pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    events: Option<u64>,
    pages: Option<u32>,
}

impl Budget {
    /// A budget as the wire gives it, where 0 is no bound.
    pub(super) fn new(events: u64, pages: u32) -> Budget {
        Budget { events: (events > 0).then_some(events), pages: (pages > 0).then_some(pages) }
    }

    /// Events of the next page at most.
    fn limit(&self) -> usize {
        self.events.map_or(usize::MAX, read::limit)
    }

    /// Takes a page of so many events; whether something is left.
    fn take(&mut self, events: usize) -> bool {
        self.events = self.events.map(|left| left.saturating_sub(events as u64));
        self.pages = self.pages.map(|left| left - 1);
        self.events != Some(0) && self.pages != Some(0)
    }
}

/// Reads the log until the head as the first page saw it, or until the budget is spent.
pub(super) fn log(
    store: Arc<dyn EventStore>,
    first: ReadLog,
    fields: Fields,
    budget: Budget,
) -> impl Stream<Item = Result<v1::ReadLogResponse, Status>> + Send + 'static {
    struct State {
        read: ReadLog,
        budget: Budget,
        /// Where to end, known from the first page on.
        head: Option<Checkpoint>,
    }
    let start = Some(State { read: first, budget, head: None });
    let pages = stream::try_unfold(start, move |state| {
        let (store, fields) = (Arc::clone(&store), fields.clone());
        async move {
            let Some(mut state) = state else { return Ok::<_, Status>(None) };
            let read = ReadLog { limit: state.budget.limit(), ..state.read.clone() };
            let page = store.read_log(read).await.map_err(|error| status::read_status(&error))?;
            let head = state.head.get_or_insert_with(|| page.head.clone());
            let done = page.checkpoint.covers(head);
            state.read.after = Some(page.checkpoint.clone());
            let goes_on = state.budget.take(page.events.len()) && !done;
            Ok(Some((stream::iter(split_log(page, &fields).into_iter().map(Ok)), goes_on.then_some(state))))
        }
    });
    pages.try_flatten().boxed()
}

/// Reads a stream until its end, or until the budget is spent.
pub(super) fn stream(
    store: Arc<dyn EventStore>,
    first: ReadStream,
    fields: Fields,
    budget: Budget,
) -> impl Stream<Item = Result<v1::ReadStreamResponse, Status>> + Send + 'static {
    let pages = stream::try_unfold(Some((first, budget)), move |state| {
        let (store, fields) = (Arc::clone(&store), fields.clone());
        async move {
            let Some((mut read, mut budget)) = state else { return Ok::<_, Status>(None) };
            read.limit = budget.limit();
            let page = store.read_stream(read.clone()).await.map_err(|error| status::read_status(&error))?;
            let goes_on = budget.take(page.events.len()) && page.next.is_some();
            read.from = page.next;
            Ok(Some((stream::iter(split_stream(page, &fields).into_iter().map(Ok)), goes_on.then_some((read, budget)))))
        }
    });
    pages.try_flatten().boxed()
}

/// Cuts events into runs of about [`MESSAGE_BYTES`], at least one run, each of at least one event if there are any.
fn runs(events: Vec<Arc<RecordedEvent>>) -> Vec<Vec<Arc<RecordedEvent>>> {
    let mut runs = Vec::new();
    let (mut run, mut bytes) = (Vec::with_capacity(events.len()), 0);
    for event in events {
        let size = event.size();
        if bytes + size > MESSAGE_BYTES && !run.is_empty() {
            runs.push(std::mem::take(&mut run));
            bytes = 0;
        }
        bytes += size;
        run.push(event);
    }
    runs.push(run);
    runs
}

/// Cuts a page into messages. Each says where it begins and ends, so that a reader can stop after any of them.
fn split_log(page: LogPage, fields: &Fields) -> Vec<v1::ReadLogResponse> {
    let LogPage { events, mut from, checkpoint: end, head } = page;
    let mut messages = Vec::new();
    let mut runs = runs(read::select(events, fields)).into_iter().peekable();
    while let Some(events) = runs.next() {
        let mut checkpoint = from.clone();
        if runs.peek().is_none() {
            checkpoint = end.clone();
        } else {
            for event in &events {
                checkpoint.advance(event.partition, event.position);
            }
        }
        let part = LogPage { events, from, checkpoint: checkpoint.clone(), head: head.clone() };
        messages.push(read::log_page_to_wire(part));
        from = checkpoint;
    }
    messages
}

fn split_stream(page: StreamPage, fields: &Fields) -> Vec<v1::ReadStreamResponse> {
    let StreamPage { events, next: end, version } = page;
    let mut messages = Vec::new();
    let mut runs = runs(read::select(events, fields)).into_iter().peekable();
    while let Some(events) = runs.next() {
        let next = match runs.peek().and_then(|run| run.first()) {
            Some(event) => Some(event.version),
            None => end,
        };
        messages.push(read::stream_page_to_wire(StreamPage { events, next, version }));
    }
    messages
}
