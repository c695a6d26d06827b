//! The way to a place in a document, written out as a JSON pointer only where something is wrong there.

#[cfg(any(feature = "avro", feature = "protobuf", test))]
use std::fmt;

/// The way from the whole to one of its parts. Each step borrows the one before, so that to walk costs nothing.
#[cfg(any(feature = "avro", feature = "protobuf", test))]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trail<'a> {
    /// The whole.
    Root,
    /// A member of an object.
    Member(&'a Trail<'a>, &'a str),
    /// An item of a list.
    Item(&'a Trail<'a>, usize),
}

#[cfg(any(feature = "avro", feature = "protobuf", test))]
impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trail::Root => Ok(()),
            Trail::Member(parent, name) => write!(f, "{parent}/{}", escaped(name)),
            Trail::Item(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// The pointer to a member of what `path` points to.
pub(crate) fn member(path: &str, name: &str) -> String {
    format!("{path}/{}", escaped(name))
}

/// The pointer to every item of what `path` points to.
pub(crate) fn items(path: &str) -> String {
    format!("{path}/*")
}

/// How a sentence calls what `path` points to.
pub(crate) fn called(path: &str) -> String {
    if path.is_empty() { "the data".to_owned() } else { format!("`{path}`") }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_a_json_pointer() {
        let lines = Trail::Member(&Trail::Root, "lines");
        let item = Trail::Item(&lines, 3);
        assert_eq!(Trail::Member(&item, "a/b~c").to_string(), "/lines/3/a~1b~0c");
        assert_eq!(Trail::Root.to_string(), "");
        assert_eq!(items(&member("", "a/b")), "/a~1b/*");
        assert_eq!((called(""), called("/a")), ("the data".to_owned(), "`/a`".to_owned()));
    }
}
