//! The sizes a store accepts. All are configurable; each is checked before an append is queued.

/// Upper bounds, checked at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of `data` and `metadata` of one event together.
    pub event_bytes_max: usize,
    /// Bytes of one append, all its events together.
    pub append_bytes_max: usize,
    /// Events of one append.
    pub append_events_max: usize,
    /// Bytes of one event's metadata.
    pub metadata_bytes_max: usize,
    /// How far ahead of the store's clock `occurred_at` may lie, in microseconds.
    pub future_micros_max: i64,
    /// Events of one page of a read.
    pub page_events_max: usize,
    /// Bytes of one page of a read; a page holds at least one event all the same.
    pub page_bytes_max: usize,
    /// Items of a query, and types and tags of an item.
    pub query_terms_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            event_bytes_max: 1 << 20,
            append_bytes_max: 4 << 20,
            append_events_max: 1_000,
            metadata_bytes_max: 8 << 10,
            future_micros_max: 5_000_000,
            page_events_max: 4_096,
            page_bytes_max: 2 << 20,
            query_terms_max: 64,
        }
    }
}
