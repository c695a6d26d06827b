//! The demo tells the whole story within 30 seconds, the same at every telling but for the rate.

use std::time::{Duration, Instant};

use crate::support::run;

/// The one pattern by which a measured rate is masked: digits and commas before ` events/s` become `N`.
pub(crate) fn masked(text: &str) -> String {
    const UNIT: &str = " events/s";
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(UNIT) {
        let (before, after) = rest.split_at(at);
        let kept = before.trim_end_matches(|c: char| c.is_ascii_digit() || c == ',');
        masked.push_str(kept);
        masked.push_str(if kept.len() < before.len() { "N" } else { "" });
        masked.push_str(UNIT);
        rest = &after[UNIT.len()..];
    }
    masked + rest
}

#[test]
fn the_story_is_whole_and_short_and_always_the_same() {
    let began = Instant::now();
    let told = run(["demo"]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(told.code, 0, "{told:?}");
    for part in [
        "pacioli serve",
        "--expect none",
        "conflict: stream `account-luca`",
        "\"duplicate\":true",
        "pacioli log --after 0:2 --follow",
        "pacioli read account-luca",
        "as of version 2",
        "pacioli import",
        "pacioli projection add balances.sql",
        "--at-least 0:50004",
        "{\"accounts\":1001,",
        "--as-of 2024-11-10T12:00:00Z",
        "{\"amount\":150}",
        "pacioli schema register MoneyDeposited",
        "refuses it: /amount",
        "version 2 (1.1.0)",
        " events/s",
    ] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    assert!(!told.out.contains('\u{1b}'), "no colours where it is no terminal");
    assert_eq!(masked(&told.out), masked(&run(["demo"]).out));
    assert_ne!(masked(&told.out), masked(&run(["demo", "--seed", "7"]).out));
}

#[test]
fn only_rates_are_masked() {
    assert_eq!(masked("12,345 events at 1,234,567 events/s; 3"), "12,345 events at N events/s; 3");
    assert_eq!(masked("no rate: events/s"), "no rate: events/s");
}
