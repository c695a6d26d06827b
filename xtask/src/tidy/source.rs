//! Reads a Rust file for the import rules: the paths it names and the strings it holds, outside of tests and comments.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What a Rust file says outside of `#[cfg(test)]` code, comments and documentation.
#[derive(Default, Debug)]
pub(super) struct Source {
    /// Paths such as `std::time::Instant::now`; a `use` tree gives one path for each leaf.
    pub(super) paths: Vec<RustPath>,
    /// String literals as written, without prefix and quotes.
    pub(super) strings: Vec<(usize, String)>,
}

#[derive(Debug)]
pub(super) struct RustPath {
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
}

impl RustPath {
    /// Whether the path has these segments next to each other.
    pub(super) fn contains(&self, segments: &[&str]) -> bool {
        self.segments.windows(segments.len()).any(|window| window == segments)
    }

    pub(super) fn starts_with(&self, segment: &str) -> bool {
        self.segments.len() > 1 && self.segments[0] == segment
    }
}

impl Source {
    /// Fails with the line and the reason when the text is not Rust.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let tokens: TokenStream =
            text.parse().map_err(|error: proc_macro2::LexError| (error.span().start().line, error.to_string()))?;
        let mut source = Self::default();
        source.read(tokens);
        Ok(source)
    }

    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            // 1. Attributes: documentation is prose; `#[cfg(test)]` hides the item behind it.
            if let Some((attribute, inner, next)) = attribute(&tokens, at) {
                if is_test_only(&attribute) {
                    if inner {
                        return;
                    }
                    at = end_of_item(&tokens, next);
                } else {
                    if !is_ident(attribute.first(), "doc") {
                        self.read(attribute.into_iter().collect());
                    }
                    at = next;
                }
                continue;
            }
            // 2. `use` trees, spelled out leaf by leaf.
            if is_ident(tokens.get(at), "use") {
                let end = (at..tokens.len()).find(|&one| is_punct(tokens.get(one), ';')).unwrap_or(tokens.len());
                self.use_tree(&tokens[at + 1..end], &[]);
                at = end;
                continue;
            }
            // 3. Everything else.
            match &tokens[at] {
                TokenTree::Ident(_) => at = self.path(&tokens, at),
                TokenTree::Group(group) => {
                    self.read(group.stream());
                    at += 1;
                }
                TokenTree::Literal(literal) => {
                    if let Some(string) = string_content(&literal.to_string()) {
                        self.strings.push((literal.span().start().line, string));
                    }
                    at += 1;
                }
                TokenTree::Punct(_) => at += 1,
            }
        }
    }

    /// Takes the path that starts here and returns the place after it.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        let line = tokens[at].span().start().line;
        let mut segments = Vec::new();
        while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
            segments.push(ident.to_string());
            at += 1;
            if !is_path_separator(tokens, at) {
                break;
            }
            at += 2;
        }
        self.paths.push(RustPath { line, segments });
        at
    }

    fn use_tree(&mut self, tree: &[TokenTree], prefix: &[String]) {
        for branch in tree.split(|token| is_punct(Some(token), ',')) {
            let mut segments = prefix.to_vec();
            let mut line = 0;
            let mut nested = None;
            for token in branch {
                line = token.span().start().line;
                match token {
                    // `as NAME` ends the path: the new name is not part of it.
                    TokenTree::Ident(ident) if ident == "as" => break,
                    TokenTree::Ident(ident) => segments.push(ident.to_string()),
                    TokenTree::Group(group) => nested = Some(group.stream()),
                    _ => {}
                }
            }
            match nested {
                Some(stream) => self.use_tree(&stream.into_iter().collect::<Vec<_>>(), &segments),
                None if segments.len() > prefix.len() || line > 0 => self.paths.push(RustPath { line, segments }),
                None => {}
            }
        }
    }
}

/// The attribute that starts at `at`: its tokens, whether it is an inner one (`#![…]`), and the place after it.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(Vec<TokenTree>, bool, usize)> {
    if !is_punct(tokens.get(at), '#') {
        return None;
    }
    let inner = is_punct(tokens.get(at + 1), '!');
    let group_at = if inner { at + 2 } else { at + 1 };
    match tokens.get(group_at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            Some((group.stream().into_iter().collect(), inner, group_at + 1))
        }
        _ => None,
    }
}

/// `#[test]`, `#[tokio::test]`, and `cfg` with `test` in it unless it is negated.
fn is_test_only(attribute: &[TokenTree]) -> bool {
    match attribute {
        [TokenTree::Ident(cfg), TokenTree::Group(group)] if cfg == "cfg" => {
            let condition = group.stream().to_string();
            let words: Vec<_> = condition.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            words.contains(&"test") && !words.contains(&"not")
        }
        [TokenTree::Ident(test)] => test == "test",
        [.., TokenTree::Punct(_), TokenTree::Ident(test)] => test == "test",
        _ => false,
    }
}

/// The place after the item that starts at `at`: behind its body or its semicolon, or for a field its comma.
fn end_of_item(tokens: &[TokenTree], mut at: usize) -> usize {
    while let Some((_, _, next)) = attribute(tokens, at) {
        at = next;
    }
    const ITEMS: [&str; 15] = [
        "pub", "fn", "mod", "impl", "struct", "enum", "use", "const", "static", "trait", "type", "async", "unsafe",
        "extern", "let",
    ];
    let is_item = ITEMS.iter().any(|word| is_ident(tokens.get(at), word));
    while at < tokens.len() {
        let token = &tokens[at];
        at += 1;
        let body = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if body || is_punct(Some(token), ';') || (!is_item && is_punct(Some(token), ',')) {
            break;
        }
    }
    at
}

fn is_ident(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

fn is_punct(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// `::` and then a name; `Vec::<u8>` ends the path at `Vec`.
fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':')
        && is_punct(tokens.get(at + 1), ':')
        && matches!(tokens.get(at + 2), Some(TokenTree::Ident(_)))
}

fn string_content(literal: &str) -> Option<String> {
    let quoted = literal.trim_start_matches(['b', 'c', 'r']).trim_matches('#');
    quoted.strip_prefix('"')?.strip_suffix('"').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Source::parse(text).unwrap().paths.iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn a_use_tree_gives_a_path_for_each_leaf() {
        let found = paths("use std::{time::{self, Instant as Clock}, fmt};");
        assert_eq!(found, ["std::time::self", "std::time::Instant", "std::fmt"]);
    }

    #[test]
    fn code_paths_are_whole_and_carry_their_line() {
        let source = Source::parse("fn f() {\n  let x = std::time::Instant::now();\n}").unwrap();
        let path = source.paths.iter().find(|path| path.contains(&["Instant", "now"])).unwrap();
        assert_eq!(path.line, 2);
    }

    #[test]
    fn tests_comments_and_documentation_are_not_read() {
        let text = "//! a::b\n/// c::d \"text\"\n#[cfg(test)]\n#[rustfmt::skip]\nmod tests { fn f() { e::f(); } }\n\
            #[tokio::test]\nasync fn g() { i::j(); }\n#[cfg(test)] mod more;\n// k::l\nfn h() {}\n";
        assert_eq!(paths(text), ["fn", "h"]);
        assert!(Source::parse(text).unwrap().strings.is_empty());
    }

    #[test]
    fn code_that_is_not_only_for_tests_is_read() {
        assert!(paths("#[cfg(not(test))] fn f() { a::b(); }").contains(&"a::b".to_owned()));
        let fields = paths("struct S { #[cfg(test)] hidden: a::B, seen: c::D }");
        assert!(fields.contains(&"c::D".to_owned()) && !fields.contains(&"a::B".to_owned()));
    }

    #[test]
    fn strings_lose_their_quotes() {
        let source =
            Source::parse("const A: &str = \"one\"; const B: &str = r#\"two\"#; const C: &[u8] = b\"three\";").unwrap();
        let strings: Vec<_> = source.strings.iter().map(|(_, string)| string.as_str()).collect();
        assert_eq!(strings, ["one", "two", "three"]);
    }

    #[test]
    fn what_is_not_rust_is_an_error() {
        assert!(Source::parse("fn f( {").is_err());
    }
}
