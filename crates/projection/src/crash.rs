//! Points at which a process can be told to end, for tests of what it leaves behind.
//!
//! Between two commits there is no time to speak of, so a kill at a random moment hardly ever falls there. With
//! `PACIOLI_CRASH_POINT=swap:after-commit` in its environment a process aborts when it comes to the point of that name, and
//! with `PACIOLI_CRASH_POINT=advance:after-commit:3` when it comes there for the third time. Only builds with debug
//! assertions know of this; a release does not have it.

/// Ends the process here, if it was started to end here. The points are listed in docs/internals/testing.md.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn crash_point(_: &str) {}

/// Ends the process here, if it was started to end here. The points are listed in docs/internals/testing.md.
#[cfg(debug_assertions)]
pub fn crash_point(point: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("PACIOLI_CRASH_POINT").ok());
    static TIMES: AtomicU32 = AtomicU32::new(0);
    let Some(wanted) = WANTED.as_deref().and_then(|wanted| wanted.strip_prefix(point)) else { return };
    let time = match wanted.strip_prefix(':') {
        Some(time) => time.parse().unwrap_or(0),
        None if wanted.is_empty() => 1,
        // Another point, whose name begins alike.
        None => return,
    };
    if TIMES.fetch_add(1, Ordering::Relaxed) + 1 == time {
        std::process::abort();
    }
}
