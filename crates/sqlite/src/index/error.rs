//! What can go wrong inside the indexes.

/// The indexes could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// SQLite refused a statement. Whether a retry helps is for SQLite's code to say.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Stored bytes are not what was written. The indexes are derived from the log: drop all four `index_` tables'
    /// rows and replay the log to recover.
    #[error("index run {run}, {part} {number} is corrupt: {reason}")]
    Corrupt {
        /// The run.
        run: i64,
        /// `block`, `segment` or `catalogue row`.
        part: &'static str,
        /// The number of the block or segment in its run; 0 for a catalogue row.
        number: usize,
        /// What was seen.
        reason: &'static str,
    },
}

/// The answer of an index operation.
pub type Result<T, E = IndexError> = std::result::Result<T, E>;
