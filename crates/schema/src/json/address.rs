//! Addresses of schemas, which name them and are never fetched.

/// What an address means that stands in a schema with another one: `money.json` in `http://acme.com/order.json` is
/// `http://acme.com/money.json`.
pub(super) fn joined(base: &str, given: &str) -> String {
    let has_scheme = given.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
    let base = base.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = base.split_once("://").map_or((0, base), |(scheme, rest)| (scheme.len() + 3, rest));
    let host = if scheme == 0 { 0 } else { rest.find('/').unwrap_or(rest.len()) };
    let (front, path) = base.split_at(scheme + host);
    let below = |path: &str| format!("{front}{}", without_dots(path));
    match given {
        given if has_scheme || scheme == 0 && path.contains(':') => given.to_owned(),
        given if given.starts_with("//") => format!("{}{given}", &base[..scheme.saturating_sub(2)]),
        given if given.starts_with('/') => below(given),
        given => {
            let folder = path.rfind('/').map_or("", |end| &path[..=end]);
            // Below a host a path begins at its root.
            let folder = if folder.is_empty() && scheme > 0 { "/" } else { folder };
            below(&format!("{folder}{given}"))
        }
    }
}

/// A path without the segments `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." if kept.len() > 1 || kept.first().is_some_and(|first| !first.is_empty()) => drop(kept.pop()),
            ".." => {}
            other => kept.push(other),
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_where_it_stands() {
        for (base, given, meant) in [
            ("http://acme.com/order.json", "money.json", "http://acme.com/money.json"),
            ("http://acme.com/a/order.json", "../money.json", "http://acme.com/money.json"),
            ("http://acme.com/a/b/order.json?x#y", "./c/money.json", "http://acme.com/a/b/c/money.json"),
            ("http://acme.com/a/order.json", "/money.json", "http://acme.com/money.json"),
            ("http://acme.com/a/order.json", "../../../money.json", "http://acme.com/money.json"),
            ("http://acme.com", "money.json", "http://acme.com/money.json"),
            ("http://acme.com/order.json", "https://b.org/x.json", "https://b.org/x.json"),
            ("http://acme.com/order.json", "//b.org/x.json", "http://b.org/x.json"),
            ("http://acme.com/order.json", "urn:x:y", "urn:x:y"),
            ("urn:acme:order", "money.json", "money.json"),
            ("schemas/order.json", "money.json", "schemas/money.json"),
            ("order.json", "money.json", "money.json"),
        ] {
            assert_eq!(joined(base, given), meant, "{base} {given}");
        }
    }
}
