//! How results are shown: a table for people, one JSON object a line for programs, colours only where they are seen.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use clap::{Args, ValueEnum};

/// The form of a command's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// One JSON object a line.
    Json,
    /// Aligned columns for a person; long values are cut.
    Table,
}

/// The option that every command with data takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutputArgs {
    /// The form of the data: `table` by default on a terminal, else `json`, one object a line.
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<Form>,
}

impl OutputArgs {
    /// The form asked for, or the one that suits where the output goes.
    pub(crate) fn form(&self) -> Form {
        let by_default = if io::stdout().is_terminal() { Form::Table } else { Form::Json };
        self.output.unwrap_or(by_default)
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// As standard output takes them.
    pub(crate) fn stdout() -> Paint {
        Paint::on(io::stdout().is_terminal())
    }

    /// As standard error takes them.
    pub(crate) fn stderr() -> Paint {
        Paint::on(io::stderr().is_terminal())
    }

    fn on(terminal: bool) -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Paint(terminal && !refused)
    }

    /// Whether colours are seen there.
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("1;33", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }
}

/// `text` as it may go to a terminal: stored text must not be able to move the cursor or change the window's title.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => plain.push(c),
            c if c.is_control() => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    plain
}

/// Rows of cells, printed in columns. Widths are found page by page and never shrink, so that a long listing can begin
/// before its end is known.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<Column>,
    widths: Vec<usize>,
    begun: bool,
    paint: Paint,
}

/// A column: its name, and how its cells stand.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    name: Cow<'static, str>,
    right: bool,
    width_max: usize,
}

impl Column {
    /// Text, cut after so many characters.
    pub(crate) const fn text(name: &'static str, width_max: usize) -> Column {
        Column { name: Cow::Borrowed(name), right: false, width_max }
    }

    /// A number, aligned at its end.
    pub(crate) const fn number(name: &'static str) -> Column {
        Column { name: Cow::Borrowed(name), right: true, width_max: usize::MAX }
    }

    /// One whose name is known only when the data comes.
    pub(crate) fn named(name: String, right: bool, width_max: usize) -> Column {
        Column { name: Cow::Owned(name), right, width_max }
    }
}

impl Table {
    /// An empty table.
    pub(crate) fn new(head: &[Column]) -> Table {
        let widths = head.iter().map(|column| column.name.chars().count()).collect();
        Table { head: head.to_vec(), widths, begun: false, paint: Paint::stdout() }
    }

    /// Prints some rows, and the head before the first of them.
    pub(crate) fn print(&mut self, out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
        let cut: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                row.iter().zip(&self.head).map(|(cell, column)| shorten(&plain(cell), column.width_max)).collect()
            })
            .collect();
        for row in &cut {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !self.begun && !rows.is_empty() {
            self.begun = true;
            let names: Vec<String> = self.head.iter().map(|column| plain(&column.name)).collect();
            let line = self.line(&names);
            writeln!(out, "{}", self.paint.bold(&line))?;
        }
        for row in &cut {
            writeln!(out, "{}", self.line(row))?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            let gap = if index > 0 { "  " } else { "" };
            if self.head[index].right {
                line.extend([gap, &padding, cell]);
            } else {
                line.extend([gap, cell, &padding]);
            }
        }
        line.trim_end().to_owned()
    }
}

fn shorten(text: &str, width_max: usize) -> String {
    let text = text.replace('\n', " ");
    if text.chars().count() <= width_max {
        return text;
    }
    let kept: String = text.chars().take(width_max.saturating_sub(1)).collect();
    kept + "…"
}

/// A number with its thousands apart: 73,022.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many of something: `1 event`, `2,000 events`.
pub(crate) fn count_of(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Bytes as a person reads them: 1.5 MiB.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Seconds as a person reads them: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn human_seconds(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        _ if seconds < 9.95 => format!("{:.1} s", seconds.max(0.0)),
        0..=119 => format!("{whole} s"),
        120..=7_199 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
    }
}

/// Tells standard error something that is neither data nor the end.
pub(crate) fn say(text: &str) {
    // Where standard error is closed nobody listens, and the command goes on.
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (73_022, "73,022"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(human_bytes(512), "512 B");
        assert_eq!(human_bytes(1536), "1.5 KiB");
        assert_eq!(
            [0.04, 9.94, 9.96, 119.0, 200.0, 7_500.0].map(human_seconds),
            ["0.0 s", "9.9 s", "10 s", "119 s", "3 min 20 s", "2 h 5 min"]
        );
    }

    #[test]
    fn stored_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c"), "a\\u{1b}[2Jb\\u{9b}c");
    }

    #[test]
    fn a_table_grows_but_never_shrinks() {
        const HEAD: &[Column] = &[Column::number("n"), Column::text("text", 5)];
        let mut table = Table::new(HEAD);
        let mut out = Vec::new();
        table.print(&mut out, &[vec!["10".into(), "abcdefgh".into()]]).unwrap();
        table.print(&mut out, &[vec!["7".into(), "x".into()]]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), " n  text\n10  abcd…\n 7  x\n");
    }
}
