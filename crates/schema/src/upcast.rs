//! Upcasters: documents that lift the data of one version of a schema to the next, and chains of them.
//!
//! # What a document does, exactly
//!
//! The same document runs here over bytes and in PostgreSQL over `jsonb`, and both give the same value. So every corner is
//! laid down, and `cases.json` beside this file holds a table of them that both sides run as their tests.
//!
//! **Pointers** are JSON pointers (RFC 6901: `~1` is `/`, `~0` is `~`) of 1 to 32 segments. A segment is followed thus:
//!
//! - in an object, to the member of that name (digits too). Of members of one name the last one counts;
//! - in a list, to the item of that number, counted from 0, written without sign and without leading zeros. There is no
//!   item behind the last one: a list never grows by a pointer, and `-` is refused;
//! - anywhere else (text, number, true, false, null) there is nothing.
//!
//! The segment `*` stands for every item of a list, and for nothing in what is no list; so a member that is called `*` or `-`
//! cannot be named. A step whose pointers have a `*` is run once for each item, in their order, with what follows the last
//! `*`; the pointers of one step have to be the same up to the last `*` that either has. So `/lines/*/price` may be moved to
//! `/lines/*/net`, and neither out of its line nor into all lines.
//!
//! **There**: a value is there where the pointer leads to one, `null` too.
//!
//! **Setting** a value at a pointer replaces what is there, in its place. Where the last object on the way lacks a member,
//! that is made: an object for each further segment (whatever it is, a number too), then the value. Where the way ends at
//! something else (a list without that item; text, number, true, false, null), nothing is set. A new member comes last.
//!
//! **Taking** a value away closes the gap: items behind it move up by one. What held it stays, if only as `{}` or `[]`.
//!
//! | step | what it does |
//! | --- | --- |
//! | `move` | takes what is at `from`, and then sets it at `path` in what remains. Nothing where `from` is not there; nothing either (it stays at `from`) where it cannot be set |
//! | `copy` | sets what is at `from` at `path`. Nothing where `from` is not there |
//! | `default` | sets `value` at `path` where nothing is there: `null` is something |
//! | `constant` | sets `value` at `path` |
//! | `split` | where `from` is text: cuts it at the first occurrences of `separator`, from the left, into at most as many parts as there are `paths`; the last part has the rest, further separators included. Sets each part as text at its path, in their order (one that cannot be set is passed over); paths without a part are left alone. The text itself stays; a `drop` takes it away |
//! | `map` | replaces what is at `path` by the second of the first pair whose first it equals, else by `otherwise` where that is given (`null` may be), else leaves it |
//! | `cast` | replaces what is at `path` by the same of another type, as below, else leaves it |
//! | `drop` | takes what is at `path` |
//!
//! **Equal**, for `map`, is as in `jsonb`: numbers by value (`1`, `1.0` and `1e0` are equal, and `-0` is `0`), texts by their
//! characters however they are escaped, lists item by item, objects by their members in any order.
//!
//! **Casts**; whatever is not named stays as it is, `null`, lists and objects always:
//!
//! - to `string`: `true` and `false` become these words; a number becomes its digits without an exponent, keeping the places
//!   behind its point as `numeric` does (`1e2` is `100`, `1.50` is `1.50`, `1.50e1` is `15.0`, `-0.0` is `0.0`).
//! - to `integer`: a number whose fraction is zero becomes its whole digits (`5.00` and `5` are `5`, `1e2` is `100`, `-0` is `0`);
//!   a text of `-` or nothing and 1 to 512 digits becomes that number (`"-007"` is `-7`).
//! - to `number`: a text of at most 512 characters that matches `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$` becomes
//!   that number, spelled as the text is.
//! - to `boolean`: the texts `true` and `false`, and numbers equal to 1 and 0.
//!
//! A number whose digits, written without an exponent, are more than 512 characters (sign and point counted) is not cast to
//! `string` or `integer`.
//!
//! **Spelling**: what no step replaces keeps its bytes, numbers included. Data that is no object stays as it is. So does data
//! that a chain would make grow by more than [`GROWTH_BYTES_MAX`] or nest without end, and data in which it would look at
//! more than a million items of lists, counted for each step; no honest document does that.

use std::fmt;
use std::str::FromStr;

mod chain;
mod document;
mod scan;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use chain::{Chain, GROWTH_BYTES_MAX};

/// The most bytes a document may have.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// The most steps a document may have.
pub const STEPS_MAX: usize = 64;
/// The most segments a pointer may have.
pub const POINTER_SEGMENTS_MAX: usize = 32;

/// A JSON pointer (RFC 6901), taken apart. The segment `*` stands for every item of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer(pub Vec<Box<str>>);

impl Step {
    /// Its first pointer: the lists that it leads through are those whose items the step is run over.
    pub fn first(&self) -> &Pointer {
        let (Step::Move { path: first, .. }
        | Step::Copy { path: first, .. }
        | Step::Default { path: first, .. }
        | Step::Constant { path: first, .. }
        | Step::Split { from: first, .. }
        | Step::Map { path: first, .. }
        | Step::Cast { path: first, .. }
        | Step::Drop { path: first }) = self;
        first
    }

    /// All of its pointers.
    pub fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        let (one, others): (&Pointer, &[Pointer]) = match self {
            Step::Move { from, path } | Step::Copy { from, path } => (from, std::slice::from_ref(path)),
            Step::Split { from, paths, .. } => (from, paths),
            Step::Default { path, .. }
            | Step::Constant { path, .. }
            | Step::Map { path, .. }
            | Step::Cast { path, .. }
            | Step::Drop { path } => (path, &[]),
        };
        std::iter::once(one).chain(others)
    }
}

impl Pointer {
    /// How many segments lead up to the last `*`, it included; 0 where there is none.
    pub fn list_segments(&self) -> usize {
        self.0.iter().rposition(|segment| **segment == *"*").map_or(0, |at| at + 1)
    }

    /// Whether `other` leads to something within what this one leads to.
    fn contains(&self, other: &Pointer) -> bool {
        other.0.len() > self.0.len() && other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Pointer, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is no JSON pointer to a field; write it like `/amount` or `/lines/*/price`"));
        };
        let segments = path.split('/').map(|segment| {
            if segment == "-" {
                return Err(format!(
                    "`{text}` has `-`, the item behind a list's last one, and lists do not grow; name a field"
                ));
            }
            let bare = segment.replace("~0", "").replace("~1", "");
            if bare.contains('~') {
                return Err(format!("`{text}` has a `~` by itself; write `~0` for `~` and `~1` for `/`"));
            }
            Ok(segment.replace("~1", "/").replace("~0", "~").into_boxed_str())
        });
        let segments = segments.collect::<Result<Vec<_>, _>>()?;
        if segments.len() > POINTER_SEGMENTS_MAX {
            return Err(format!(
                "`{text}` has {} segments; at most {POINTER_SEGMENTS_MAX} are allowed",
                segments.len()
            ));
        }
        Ok(Pointer(segments))
    }
}

/// One step of an upcaster. Every step is total: where what it looks for is not there, it changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Takes a value from one place to another, over what is there.
    Move {
        /// From here.
        from: Pointer,
        /// To here.
        path: Pointer,
    },
    /// The same, and the value stays where it was too.
    Copy {
        /// From here.
        from: Pointer,
        /// To here.
        path: Pointer,
    },
    /// Sets a value where there is none.
    Default {
        /// Here.
        path: Pointer,
        /// This one.
        value: serde_json::Value,
    },
    /// Sets a value, whatever is there.
    Constant {
        /// Here.
        path: Pointer,
        /// This one.
        value: serde_json::Value,
    },
    /// Cuts a text at the first separators into as many parts as there are paths; the last takes the rest.
    Split {
        /// The text, which stays.
        from: Pointer,
        /// Between two parts.
        separator: String,
        /// Where the parts go; those that are missing are not set.
        paths: Vec<Pointer>,
    },
    /// Replaces a value by another, as a table says.
    Map {
        /// The value.
        path: Pointer,
        /// From what to what.
        values: Vec<(serde_json::Value, serde_json::Value)>,
        /// What stands for all others; `None` leaves them.
        otherwise: Option<serde_json::Value>,
    },
    /// Turns a value into one of another type; one that cannot be turned stays.
    Cast {
        /// The value.
        path: Pointer,
        /// To this type.
        to: CastTo,
    },
    /// Takes a value away.
    Drop {
        /// The value.
        path: Pointer,
    },
}

/// What a value can be cast to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastTo {
    /// A text: a number in plain digits, `true` or `false`.
    String,
    /// A number without a fraction: of a text of digits, or of a number whose fraction is zero.
    Integer,
    /// A number: of a text that is one.
    Number,
    /// True or false: of the texts `true` and `false`, and of 1 and 0.
    Boolean,
}

impl CastTo {
    /// Every type.
    pub const ALL: [CastTo; 4] = [CastTo::String, CastTo::Integer, CastTo::Number, CastTo::Boolean];

    /// The word for it in a document.
    pub fn word(self) -> &'static str {
        match self {
            CastTo::String => "string",
            CastTo::Integer => "integer",
            CastTo::Number => "number",
            CastTo::Boolean => "boolean",
        }
    }
}

/// A document that is not taken as an upcaster, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct UpcasterError {
    /// Where in the document, as a JSON pointer.
    pub path: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// How data of one version becomes data of the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Upcaster {
    /// The version it starts from.
    pub from: u32,
    /// The version it ends at: the one behind that, which is one more unless versions between are gone for good.
    pub to: u32,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

impl Upcaster {
    /// Reads `{"from":2,"to":3,"steps":[{"op":"move","from":"/amount","path":"/amount_cents"}]}`.
    ///
    /// ```
    /// use pacioli_schema::Upcaster;
    ///
    /// let text = r#"{"from":1,"to":2,"steps":[{"op":"default","path":"/currency","value":"USD"}]}"#;
    /// assert_eq!(Upcaster::parse(text)?.steps.len(), 1);
    /// let wrong = Upcaster::parse(&text.replace("default", "rename")).unwrap_err();
    /// assert_eq!(wrong.path, "/steps/0/op");
    /// # Ok::<(), pacioli_schema::upcast::UpcasterError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Upcaster, UpcasterError> {
        document::parse(text)
    }
}
