//! Servers are killed at random moments under load, again and again, and every promise is checked afterwards by what
//! trusts none of them: of the log in [`log`], of read models in [`models`].

mod log;
mod models;
mod server;
mod workload;

use std::io::Write;

use tokio::sync::{Mutex, MutexGuard};

/// One test at a time: each has servers of its own, and some of them look at the clock.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: not a number")))
}

/// Said even when the harness captures what tests print.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "kill test: {text}");
}
