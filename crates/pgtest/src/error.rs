//! Why a cluster could not do what the test asked.

use std::fmt;

/// A sentence for the person who reads the failed test. `Debug` is the same text, so that `unwrap` shows it readably.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(String);

/// The result of everything here.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Error {
        Error(text.into())
    }

    /// For `map_err`: `what` in the words "cannot …".
    pub(crate) fn cannot<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Error {
        move |error| Error(format!("cannot {what}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
