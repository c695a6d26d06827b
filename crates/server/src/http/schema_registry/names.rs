//! What a subject is called here: the event type that it is of.
//!
//! A topic's values are registered as `TOPIC-value` by Confluent's default naming strategy, and a record as its own name by
//! the others. An event type has no topic, so `OrderPlaced-value` and `OrderPlaced` are both the type `OrderPlaced`.

use pacioli_core::EventType;

use super::answer::Refused;

/// What stands behind a topic's name where the subject is of its values.
const VALUE: &str = "-value";
/// The same for its keys.
const KEY: &str = "-key";
/// What stands before a subject of the default context.
const CONTEXT: &str = ":.:";

/// A subject as it was named, and the event type that it is of.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) event_type: EventType,
}

impl Subject {
    /// Reads a subject.
    pub(super) fn new(name: &str) -> Result<Subject, Refused> {
        let invalid = |problem: String| Refused::invalid_subject(name, &problem);
        let plain = name.strip_prefix(CONTEXT).unwrap_or(name);
        if plain.starts_with(':') {
            return Err(invalid("there are no contexts here but the default one".to_owned()));
        }
        if plain.ends_with(KEY) {
            let problem = "events have no keys, only data; configure the key's serializer to write plain text, which needs \
                           no schema";
            return Err(invalid(problem.to_owned()));
        }
        let event_type = plain.strip_suffix(VALUE).unwrap_or(plain);
        let event_type = EventType::new(event_type).map_err(|error| invalid(error.to_string()))?;
        Ok(Subject { name: plain.to_owned(), event_type })
    }

    /// The subject of an event type, as lists name it.
    pub(super) fn of(event_type: &EventType) -> Subject {
        let name = event_type.as_str();
        // One that reads like a topic's subject keeps its own name only with another suffix.
        let name = if name.ends_with(VALUE) || name.ends_with(KEY) || name.starts_with(':') {
            format!("{name}{VALUE}")
        } else {
            name.to_owned()
        };
        Subject { name, event_type: event_type.clone() }
    }
}

/// A prefix of subjects as clients write it, by the name alone: `:*:` stands for all contexts.
pub(super) fn prefix(given: &str) -> &str {
    given.strip_prefix(":*:").or_else(|| given.strip_prefix(CONTEXT)).unwrap_or(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_an_event_type() {
        for (subject, event_type) in [
            ("OrderPlaced", "OrderPlaced"),
            ("OrderPlaced-value", "OrderPlaced"),
            (":.:OrderPlaced", "OrderPlaced"),
            ("com.acme.OrderPlaced", "com.acme.OrderPlaced"),
            ("orders-com.acme.OrderPlaced", "orders-com.acme.OrderPlaced"),
            ("a-value-value", "a-value"),
        ] {
            assert_eq!(Subject::new(subject).unwrap().event_type.as_str(), event_type, "{subject}");
        }
        for wrong in ["orders-key", ":.other:OrderPlaced", "-value", "", "a\u{7}"] {
            assert!(Subject::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!((prefix(":*:"), prefix(":*:Or"), prefix("Or")), ("", "Or", "Or"));
    }

    #[test]
    fn every_type_is_found_under_the_name_that_lists_give_it() {
        for name in ["OrderPlaced", "a-value", "a-key", "a-value-value"] {
            let event_type = EventType::new(name).unwrap();
            let subject = Subject::of(&event_type);
            assert_eq!(Subject::new(&subject.name).unwrap().event_type, event_type, "{}", subject.name);
        }
    }
}
