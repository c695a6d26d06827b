//! A progress bar on a terminal's standard error, and nothing at all elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// How far a long command is.
#[derive(Clone, Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Towards `total` of something; `None` where nobody knows how much there is.
    pub(crate) fn new(total: Option<u64>) -> Progress {
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), "{bar:30.cyan/dim} {percent:>3} %  {msg}, {eta} to go"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}, {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).expect("the templates are those above");
        bar.set_style(style);
        Progress(bar)
    }

    /// Whether anybody sees it.
    pub(crate) fn is_visible(&self) -> bool {
        !self.0.is_hidden()
    }

    /// Moves it.
    pub(crate) fn update(&self, done: u64, message: String) {
        self.0.set_message(message);
        self.0.set_position(done);
    }

    /// Takes it from the screen.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }

    /// Says a line above the bar.
    pub(crate) fn say(&self, text: &str) {
        self.0.suspend(|| crate::output::say(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
