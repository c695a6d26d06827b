//! Reads of many pages as one stream of messages.

use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use pacioli_api::fields::Fields;
use pacioli_api::generated::v1;
use pacioli_api::wire::{read, status};
use pacioli_core::{
    Checkpoint, EventStore, LogPage, ReadError, ReadLog, ReadStream, RecordedEvent, StoreError, StreamPage,
};
use tokio::task::JoinSet;
use tonic::Status;

use crate::shapes::View;

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

/// A page that is being read. It is given up when this is dropped.
type Ahead = JoinSet<Result<LogPage, ReadError>>;

/// Reads the log until the head as the first page saw it, or until the budget is spent. While a page is brought into the
/// reader's shape and encoded, the next one is read.
pub(super) fn log(
    view: Arc<View>,
    first: ReadLog,
    fields: Fields,
    budget: Budget,
) -> impl Stream<Item = Result<v1::ReadLogResponse, Status>> + Send + 'static {
    struct State {
        read: ReadLog,
        budget: Budget,
        /// Where to end, known from the first page on.
        head: Option<Checkpoint>,
        ahead: Ahead,
    }
    let start = Some(State { read: first, budget, head: None, ahead: Ahead::new() });
    let pages = stream::try_unfold(start, move |state| {
        let (view, fields) = (Arc::clone(&view), fields.clone());
        async move {
            let Some(mut state) = state else { return Ok::<_, ReadError>(None) };
            let stored = match state.ahead.join_next().await {
                Some(page) => page.map_err(|failed| StoreError::new(format!("reading ahead stopped: {failed}")))??,
                None => view.stored(ReadLog { limit: state.budget.limit(), ..state.read.clone() }).await?,
            };
            let head = state.head.get_or_insert_with(|| stored.head.clone());
            let end = stored.checkpoint.clone();
            // What the reader passes over is not known yet and costs it nothing, so this may be a little too soon to end.
            let mut left = state.budget;
            if left.take(stored.events.len()) && !end.covers(head) {
                let next = ReadLog { after: Some(end.clone()), limit: left.limit(), ..state.read.clone() };
                let view = Arc::clone(&view);
                state.ahead.spawn(async move { view.stored(next).await });
                // It would begin on this thread, and so only once the page at hand is done with.
                tokio::task::yield_now().await;
            }
            let page = view.show(&state.read.filter, state.budget.limit(), stored).await?;
            if page.checkpoint != end {
                // The reader stops before the page's end: what comes behind it is not for it.
                state.ahead = Ahead::new();
            }
            let done = page.checkpoint.covers(head);
            state.read.after = Some(page.checkpoint.clone());
            let goes_on = state.budget.take(page.events.len()) && !done;
            Ok(Some((stream::iter(split_log(page, &fields).into_iter().map(Ok)), goes_on.then_some(state))))
        }
    });
    pages.try_flatten().map_err(|error| status::read_status(&error)).boxed()
}

/// Reads a stream until its end, or until the budget is spent.
pub(super) fn stream(
    store: Arc<View>,
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
