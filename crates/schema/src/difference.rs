//! A change in the making: what is different, whom it breaks, and the sentence that says so.

use std::borrow::Cow;

use crate::compat::Change;
use crate::trail;

/// How many differences are told, at most; behind them stands that there are more.
pub(crate) const DIFFERENCES_MAX: usize = 1_000;

/// What is different between an older and a newer schema at one place.
#[derive(Debug)]
pub(crate) struct Difference<'a> {
    /// Where in the data.
    pub(crate) path: &'a str,
    /// What is different, as the rest of a sentence that begins with the place.
    pub(crate) what: String,
    /// What happens to whoever reads stored events by the newer schema, if that breaks them.
    pub(crate) backward: Option<Cow<'static, str>>,
    /// What happens to whoever still reads by the older schema, if that breaks them.
    pub(crate) forward: Option<Cow<'static, str>>,
    /// A way out besides those that there always are.
    pub(crate) way: Option<Cow<'static, str>>,
    /// Whether data may look different by it.
    pub(crate) is_visible: bool,
}

impl<'a> Difference<'a> {
    /// A difference that breaks nobody.
    pub(crate) fn new(path: &'a str, what: impl Into<String>) -> Difference<'a> {
        Difference { path, what: what.into(), backward: None, forward: None, way: None, is_visible: true }
    }

    /// The same, and it breaks those who read stored events by the newer schema.
    pub(crate) fn backward(self, what_happens: impl Into<Cow<'static, str>>) -> Difference<'a> {
        Difference { backward: Some(what_happens.into()), ..self }
    }

    /// The same, and it breaks those who still read by the older schema.
    pub(crate) fn forward(self, what_happens: impl Into<Cow<'static, str>>) -> Difference<'a> {
        Difference { forward: Some(what_happens.into()), ..self }
    }

    /// The same, and it breaks both in the same way.
    pub(crate) fn both(self, what_happens: impl Into<Cow<'static, str>>) -> Difference<'a> {
        let what_happens = what_happens.into();
        self.backward(what_happens.clone()).forward(what_happens)
    }

    /// The same with a way out.
    #[cfg(any(feature = "avro", feature = "protobuf", test))]
    pub(crate) fn way(self, way: impl Into<Cow<'static, str>>) -> Difference<'a> {
        Difference { way: Some(way.into()), ..self }
    }

    /// The same, and data looks as before.
    pub(crate) fn invisible(self) -> Difference<'a> {
        Difference { is_visible: false, ..self }
    }

    /// That there are more differences than are told.
    pub(crate) fn more() -> Difference<'static> {
        let what = format!("differs in more than {DIFFERENCES_MAX} places, and no more of them are told");
        Difference::new("", what).both("may not understand what they read")
    }
}

impl From<Difference<'_>> for Change {
    fn from(difference: Difference<'_>) -> Change {
        let Difference { path, what, backward, forward, way, is_visible } = difference;
        let mut sentence = format!("{} {what}", trail::called(path));
        match (&backward, &forward) {
            (None, None) => {}
            (Some(happens), None) => {
                sentence.push_str(&format!(", so those who read stored events by the newer schema {happens}"));
            }
            (None, Some(happens)) => {
                sentence.push_str(&format!(", so those who still read by the older schema {happens}"));
            }
            (Some(happens), Some(same)) if happens == same => sentence.push_str(&format!(
                ", so those who read stored events by the newer schema, and those who still read by the older one, {happens}"
            )),
            (Some(happens), Some(other)) => sentence.push_str(&format!(
                ", so those who read stored events by the newer schema {happens}, and those who still read by the older one \
                 {other}"
            )),
        }
        let lift = backward.is_some().then_some("register an upcaster with it that lifts the stored events");
        let first =
            forward.is_some().then_some("let all readers take the newer schema before events are stored under it");
        let ways: Vec<&str> = way.as_deref().into_iter().chain(lift).chain(first).collect();
        if !ways.is_empty() {
            sentence.push_str(&format!("; {}", ways.join(", or ")));
        }
        Change {
            path: path.to_owned(),
            breaks_backward: backward.is_some(),
            breaks_forward: forward.is_some(),
            is_visible,
            sentence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_breaks_for_whom_and_the_ways_out() {
        let change = Change::from(Difference::new("/a", "is new").backward("do not find it").way("give it a default"));
        assert_eq!((change.breaks_backward, change.breaks_forward, change.is_visible), (true, false, true));
        assert_eq!(
            change.sentence,
            "`/a` is new, so those who read stored events by the newer schema do not find it; give it a default, or register \
             an upcaster with it that lifts the stored events"
        );
        let change = Change::from(Difference::new("", "is another").both("misread it"));
        assert!(
            change
                .sentence
                .starts_with("the data is another, so those who read stored events by the newer schema, and")
        );
        assert!(change.sentence.contains("; register an upcaster") && change.sentence.contains(", or let all readers"));
        let change = Change::from(Difference::new("/a", "is told otherwise").invisible());
        assert!(!change.is_visible && change.sentence == "`/a` is told otherwise");
    }
}
