//! Projections as a person sees them: a line each, with how far it is.

use crate::output::{Paint, grouped, human_seconds, plain};

use super::told::{Status, Told};

/// Cells of a bar.
const BAR_CELLS: usize = 20;
/// Characters of an error at most.
const ERROR_MAX: usize = 100;

/// A line a projection, aligned.
pub(super) fn lines(all: &[Told]) -> Vec<String> {
    let paint = Paint::stdout();
    let rows: Vec<[String; 4]> = all.iter().map(|told| row(&told.status)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let padded = |text: &str, width: usize| format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())));
    rows.iter()
        .map(|[name, version, state, rest]| {
            let [name, version, word] =
                [(name, widths[0]), (version, widths[1]), (state, widths[2])].map(|(text, width)| padded(text, width));
            let word = match state.as_str() {
                "running" => paint.green(&word),
                "rebuilding" => paint.cyan(&word),
                "failed" => paint.red(&word),
                _ => paint.yellow(&word),
            };
            format!("{}  {version}  {word}  {rest}", paint.bold(&name)).trim_end().to_owned()
        })
        .collect()
}

fn row(status: &Status) -> [String; 4] {
    let version = match (status.version, status.building) {
        (Some(version), Some(building)) => format!("v{version} → v{building}"),
        (Some(version), None) => format!("v{version}"),
        (None, Some(building)) => format!("→ v{building}"),
        (None, None) => String::new(),
    };
    [plain(&status.name), version, plain(&status.state), rest(status)]
}

fn rest(status: &Status) -> String {
    let mut parts = Vec::new();
    if let Some(error) = &status.error {
        let said: String = plain(&error.error).replace('\n', " ").chars().take(ERROR_MAX).collect();
        parts.push(format!("v{} stopped at {}: {said}", error.version, error.place));
    }
    if let Some(progress) = status.progress {
        parts.push(format!("{} {:>3.0} %", bar(progress), (progress * 100.0).floor()));
    }
    if status.lag_events > 0 {
        parts.push(format!("{} behind ({})", grouped(status.lag_events), human_seconds(status.lag_seconds)));
    } else if status.progress.is_none() && status.error.is_none() {
        parts.push("at the head".to_owned());
    }
    if status.events_per_second >= 0.5 {
        parts.push(format!("{} events/s", grouped(status.events_per_second.round() as u64)));
    }
    if let Some(eta) = status.eta_seconds {
        parts.push(format!("{} to go", human_seconds(eta)));
    }
    let passed_over: u64 = status.passed_over.values().sum();
    if passed_over > 0 {
        parts.push(format!("{} passed over", grouped(passed_over)));
    }
    if status.stalled {
        parts.push(format!("no progress for {}", human_seconds(status.stalled_seconds)));
    }
    parts.join(", ")
}

/// What is known beyond the line, and what to do next.
pub(super) fn details(status: &Status) -> Vec<String> {
    let name = plain(&status.name);
    let mut lines = vec![
        format!("mode        {}", plain(&status.mode)),
        format!("checkpoint  {}", plain(&status.checkpoint)),
        format!("tables      {}", plain(&status.tables.join(", "))),
    ];
    if let Some(awaited) = &status.waits_for {
        lines.push(format!("waits for   {}", plain(awaited)));
    }
    for (of_type, events) in &status.passed_over {
        lines.push(format!(
            "passed over {} of {}, in versions that it does not understand",
            grouped(*events),
            plain(of_type)
        ));
    }
    if let Some(runner) = &status.runner {
        lines.push(format!("run by      {}", plain(runner)));
    }
    if let Some(kept) = status.kept {
        lines.push(format!("kept        v{kept}; `pacioli projection rollback {name}` lets it serve again"));
    }
    for (view, age) in &status.materialized {
        let age = age.map_or("never refreshed".to_owned(), |age| format!("refreshed {} ago", human_seconds(age)));
        lines.push(format!("view        {}, {age}", plain(view)));
    }
    if let Some(verified) = &status.verified {
        let found = match verified.different {
            0 => "no difference".to_owned(),
            different => format!("{} differ", grouped(different)),
        };
        lines.push(format!("verified    {}: {} rows, {found}", plain(&verified.at), grouped(verified.rows)));
    }
    if status.error.is_some() {
        lines.push(format!(
            "next        mend what it stumbled on and `pacioli projection retry {name}`, or pass over the event with \
             `pacioli projection skip {name} --reason WHY`"
        ));
    }
    lines
}

/// `████████░░░░░░░░░░░░`
fn bar(share: f64) -> String {
    let full = ((share.clamp(0.0, 1.0) * BAR_CELLS as f64).floor() as usize).min(BAR_CELLS);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR_CELLS - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Told {
        serde_json::from_str(json).expect("a status")
    }

    #[test]
    fn a_line_says_how_it_is() {
        let all = [
            told(
                r#"{"name":"funnel","version":1,"building":null,"state":"running","checkpoint":"0:9",
                   "passed_over":{"OrderPlaced":1200,"OrderPaid":1}}"#,
            ),
            told(
                r#"{"name":"status_by_id","version":1,"building":2,"state":"rebuilding","checkpoint":"0:9","lag_events":0,
                   "events_per_second":230000.4,"eta_seconds":3.2,"progress":0.625}"#,
            ),
            told(
                r#"{"name":"gauge","version":1,"building":null,"state":"failed","checkpoint":"0:9","lag_events":1200,
                   "lag_seconds":61,"stalled":true,"stalled_seconds":400,
                   "error":{"place":"0:17","error":"CHECK failed","version":1,"at":"x"}}"#,
            ),
        ];
        let expected = [
            "funnel        v1       running     at the head, 1,201 passed over",
            "status_by_id  v1 → v2  rebuilding  ████████████░░░░░░░░  62 %, 230,000 events/s, 3.2 s to go",
            "gauge         v1       failed      v1 stopped at 0:17: CHECK failed, 1,200 behind (61 s), no progress for 6 min 40 s",
        ];
        assert_eq!(lines(&all), expected);
    }
}
