//! Cuts a file into tokens, the way both databases read SQL: strings, quoted names, comments, operators and our named
//! values. It says where things begin and end and understands no statement.

use super::findings::Findings;

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// As it stands in the file.
    pub(super) text: &'a str,
    /// Its first byte in the file.
    pub(super) start: usize,
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
    /// Whether only white space stands before it on its line.
    pub(super) first_on_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A name in quotes: `"x"`, `` `x` `` or `[x]`.
    Quoted,
    /// A string: `'x'`, `E'x'`, `$$x$$`.
    Text,
    Number,
    /// A named value with its path.
    Value,
    Operator,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    Dot,
    Semicolon,
    /// `-- …` without the line's end.
    LineComment,
    /// `/* … */`, which may hold others.
    BlockComment,
}

impl<'a> Token<'a> {
    /// Whether it is this keyword, or a name that reads like it.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    pub(super) fn is_operator(&self, operator: &str) -> bool {
        self.kind == Kind::Operator && self.text == operator
    }

    pub(super) fn is_comment(&self) -> bool {
        matches!(self.kind, Kind::LineComment | Kind::BlockComment)
    }

    /// The name that it stands for, the way PostgreSQL folds it; `None` where it is no name.
    pub(super) fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_ascii_lowercase()),
            Kind::Quoted => {
                let inside = self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default();
                let quote = &self.text[..1];
                Some(if quote == "[" { inside.to_owned() } else { inside.replace(&quote.repeat(2), quote) })
            }
            _ => None,
        }
    }

    /// The byte behind it.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Operators of more than one character, longer ones before their beginnings.
const OPERATORS: [&str; 30] = [
    "!~~*", "->>", "#>>", "!~*", "!~~", "~~*", "-|-", "->", "#>", "#-", "@>", "<@", "@@", "@?", "?|", "?&", "::", ":=",
    "||", "<=", ">=", "<>", "!=", "==", "<<", ">>", "=>", "~*", "!~", "&&",
];

/// Cuts all of `text`. What cannot be cut is told, and the rest of the file is then one token.
pub(super) fn lex<'a>(text: &'a str, findings: &mut Findings) -> Vec<Token<'a>> {
    let mut lexer =
        Lexer { text, at: 0, line: 1, column: 1, is_line_empty: true, tokens: Vec::new(), open: Vec::new(), findings };
    lexer.run();
    lexer.tokens
}

struct Lexer<'a, 'f> {
    text: &'a str,
    at: usize,
    line: u32,
    column: u32,
    /// Whether only white space stands before this place on the line.
    is_line_empty: bool,
    tokens: Vec<Token<'a>>,
    /// The parentheses and brackets that are open.
    open: Vec<Kind>,
    findings: &'f mut Findings,
}

impl<'a> Lexer<'a, '_> {
    fn run(&mut self) {
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while let Some(c) = self.peek() {
            match c {
                '\n' | ' ' | '\t' | '\r' | '\u{c}' => self.pass(1),
                c if c.is_control() || (!c.is_ascii() && c.is_whitespace()) => {
                    let what = format!("there is a character U+{:04X}, which is no space; take it out", c as u32);
                    self.findings.error(self.line, what);
                    self.pass(c.len_utf8());
                }
                _ => self.token(c),
            }
        }
    }

    fn token(&mut self, c: char) {
        let rest = self.rest();
        let next = rest[c.len_utf8()..].chars().next();
        let (kind, len) = match c {
            '-' if next == Some('-') => (Kind::LineComment, rest.find('\n').unwrap_or(rest.len())),
            '/' if next == Some('*') => (Kind::BlockComment, self.block_comment()),
            '\'' => (Kind::Text, self.quoted('\'', 0, "string")),
            'e' | 'E' if next == Some('\'') => (Kind::Text, self.escaped()),
            '"' => (Kind::Quoted, self.quoted('"', 0, "name")),
            '`' => (Kind::Quoted, self.quoted('`', 0, "name")),
            '[' => self.bracket(),
            '(' => (Kind::Open, 1),
            ')' => (Kind::Close, 1),
            ']' => (Kind::CloseBracket, 1),
            ',' => (Kind::Comma, 1),
            ';' => (Kind::Semicolon, 1),
            '.' if next.is_some_and(|c| c.is_ascii_digit()) && !self.is_behind_name() => (Kind::Number, self.number()),
            '.' => (Kind::Dot, 1),
            '0'..='9' => (Kind::Number, self.number()),
            ':' if next.is_some_and(begins_name) && !self.is_slice() => (Kind::Value, self.value()),
            '$' => self.dollar(),
            c if begins_name(c) => (Kind::Word, word_len(rest)),
            _ => {
                let known = OPERATORS.iter().find(|operator| rest.starts_with(**operator));
                (Kind::Operator, known.map_or(c.len_utf8(), |operator| operator.len()))
            }
        };
        self.push(kind, len);
    }

    fn push(&mut self, kind: Kind, len: usize) {
        self.tokens.push(Token {
            kind,
            text: &self.rest()[..len],
            start: self.at,
            line: self.line,
            column: self.column,
            first_on_line: self.is_line_empty,
        });
        self.is_line_empty = false;
        match kind {
            Kind::Open | Kind::OpenBracket => self.open.push(kind),
            Kind::Close | Kind::CloseBracket => {
                self.open.pop();
            }
            Kind::Semicolon => self.open.clear(),
            _ => {}
        }
        self.pass(len);
    }

    /// Goes on behind `len` bytes.
    fn pass(&mut self, len: usize) {
        let text = &self.rest()[..len];
        match text.rfind('\n') {
            Some(last) => {
                self.line += text.bytes().filter(|byte| *byte == b'\n').count() as u32;
                self.column = text[last + 1..].chars().count() as u32 + 1;
                self.is_line_empty = text[last + 1..].trim().is_empty();
            }
            None => self.column += text.chars().count() as u32,
        }
        self.at += len;
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The last token that is no comment.
    fn previous(&self) -> Option<&Token<'a>> {
        self.tokens.iter().rev().find(|token| !token.is_comment())
    }

    /// Whether the last token stands directly before this place and can be the left side of something.
    fn is_behind_name(&self) -> bool {
        self.previous().is_some_and(|token| {
            let operand = matches!(
                token.kind,
                Kind::Word | Kind::Quoted | Kind::Close | Kind::CloseBracket | Kind::Value | Kind::Text
            );
            operand && token.end() == self.at
        })
    }

    /// Whether a colon at this place parts the bounds of an array's slice: `a[1:n]`.
    fn is_slice(&self) -> bool {
        self.open.last() == Some(&Kind::OpenBracket)
            && self.previous().is_some_and(|token| {
                !matches!(token.kind, Kind::OpenBracket | Kind::Open | Kind::Operator | Kind::Comma)
                    && !token.is_one_of(&["when", "then", "else", "case", "and", "or", "not", "in", "like", "between"])
            })
    }

    fn unclosed(&mut self, what: &str, close: &str) {
        self.findings.error(self.line, format!("a {what} begins here and does not end; close it with `{close}`"));
    }

    /// The length of what begins and ends with `quote`, in which the quote is written twice. `from` is where the quote is.
    fn quoted(&mut self, quote: char, from: usize, what: &str) -> usize {
        let rest = self.rest();
        let mut at = from + 1;
        while let Some(found) = rest[at..].find(quote) {
            at += found + 1;
            if !rest[at..].starts_with(quote) {
                return at;
            }
            at += 1;
        }
        self.unclosed(what, &quote.to_string());
        rest.len()
    }

    /// The length of `E'…'`, in which a backslash escapes what follows.
    fn escaped(&mut self) -> usize {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut at = 2;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 2,
                b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
                b'\'' => return at + 1,
                _ => at += 1,
            }
        }
        self.unclosed("string", "'");
        rest.len()
    }

    fn block_comment(&mut self) -> usize {
        let bytes = self.rest().as_bytes();
        let (mut at, mut depth) = (0, 0);
        while at < bytes.len() {
            match &bytes[at..] {
                [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
                [b'*', b'/', ..] => {
                    (at, depth) = (at + 2, depth - 1);
                    if depth == 0 {
                        return at;
                    }
                }
                _ => at += 1,
            }
        }
        self.unclosed("comment", "*/");
        bytes.len()
    }

    /// `[` begins a subscript or an array, or else a name in brackets.
    fn bracket(&self) -> (Kind, usize) {
        let subscript = self.is_behind_name()
            || self.open.contains(&Kind::OpenBracket)
            || self.previous().is_some_and(|token| token.is("array"));
        if !subscript
            && let Some(end) = self.rest().find(']')
            && self.rest()[1..].starts_with(begins_name)
            && self.rest()[1..end].chars().all(|c| continues_name(c) || c == ' ' || c == '-')
        {
            return (Kind::Quoted, end + 1);
        }
        (Kind::OpenBracket, 1)
    }

    fn number(&self) -> usize {
        let bytes = self.rest().as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let exponent = matches!(byte, b'+' | b'-')
                && matches!(bytes[at - 1], b'e' | b'E')
                && bytes[0] != b'-'
                && !bytes.starts_with(b"0x")
                && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent) {
                break;
            }
            at += 1;
        }
        at
    }

    /// `$$…$$` and `$tag$…$tag$`; anything else that begins with a dollar is a parameter, which only we may write.
    fn dollar(&mut self) -> (Kind, usize) {
        let rest = self.rest();
        let tag = rest[1..=word_len(&rest[1..])].find('$');
        if let Some(end) = tag
            && !rest[1..].starts_with(|c: char| c.is_ascii_digit())
        {
            let quote = &rest[..end + 2];
            if let Some(close) = rest[quote.len()..].find(quote) {
                return (Kind::Text, close + 2 * quote.len());
            }
            self.unclosed("string", quote);
            return (Kind::Text, rest.len());
        }
        let len = 1 + word_len(&rest[1..]);
        self.findings
            .error(self.line, format!("`{}` is no named value; write `:stream`, `:data.amount` …", &rest[..len]));
        (Kind::Operator, len)
    }

    /// The length of a named value with all that hangs on it, well formed or not.
    fn value(&mut self) -> usize {
        let rest = self.rest();
        let mut at = 1 + word_len(&rest[1..]);
        loop {
            let step = &rest[at..];
            if step.starts_with(".\"") {
                at = self.quoted('"', at + 1, "name");
            } else if let Some(name) = step.strip_prefix('.') {
                at += 1 + word_len(name);
            } else if let Some(inside) = step.strip_prefix('[') {
                let end = inside.find(['\n', ']', '[']).filter(|end| inside[*end..].starts_with(']'));
                at += end.map_or(1, |end| end + 2);
            } else {
                return at;
            }
        }
    }
}

/// Whether a name may begin with this. Both databases take every character beyond ASCII for a letter.
pub(super) fn begins_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic() || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
}

fn continues_name(c: char) -> bool {
    begins_name(c) || c.is_ascii_digit() || c == '$'
}

fn word_len(text: &str) -> usize {
    text.find(|c| !continues_name(c)).unwrap_or(text.len())
}
