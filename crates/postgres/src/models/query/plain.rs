//! A query's text made plain: the same words, so written that nobody can read them in two ways.
//!
//! What PostgreSQL takes for a comment or a string, our parser must take for one too, or a second statement hides in it.
//! So neither gets what the user wrote. It is cut into tokens here, by PostgreSQL's rules with
//! `standard_conforming_strings = on`, and written again: no comments, one form of string, quotes around every name that has
//! anything but ASCII in it. What both then read is this.

use std::borrow::Cow;

/// Bytes of a query's text at most.
const TEXT_MAX: usize = 256 << 10;
/// Tokens of it at most: the parser's tree grows as deep as a chain of operators is long.
const TOKENS_MAX: usize = 10_000;
/// Signs that make up operators. `?` is one: there are no parameters.
const OPERATOR: &[u8] = b"~!@#^&|?+-*/%<>=";

/// A query made plain.
#[derive(Debug)]
pub(super) struct Plain {
    /// Its text: no comments, no second statement, brackets that match.
    pub(super) text: String,
    /// What it is made of, in order.
    pub(super) tokens: Vec<Token>,
}

/// A token of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a name without quotes, in lower case.
    Word(String),
    /// A name in quotes.
    Name(String),
    /// A string, a number, bits: nothing to look into.
    Constant,
    /// An operator, or one of `( ) [ ] , . :`; of an operator its first sign.
    Sign(u8),
}

/// Makes a query plain.
///
/// # Errors
/// What is wrong and what to write instead.
pub(super) fn plain(sql: &str) -> Result<Plain, String> {
    if sql.len() > TEXT_MAX {
        return Err(format!(
            "the query has {} bytes and may have {TEXT_MAX}: put long lists of values elsewhere",
            sql.len()
        ));
    }
    let mut cutter =
        Cutter { sql, at: 0, text: String::with_capacity(sql.len() + 16), tokens: Vec::new(), open: Vec::new() };
    cutter.cut()?;
    Ok(Plain { text: cutter.text.trim_end().to_owned(), tokens: cutter.tokens })
}

struct Cutter<'a> {
    sql: &'a str,
    at: usize,
    text: String,
    tokens: Vec<Token>,
    /// The brackets that are open.
    open: Vec<u8>,
}

impl Cutter<'_> {
    fn cut(&mut self) -> Result<(), String> {
        let mut ended = false;
        loop {
            self.pass_blanks()?;
            let Some(first) = self.peek(0) else { break };
            if first == b';' {
                self.at += 1;
                ended = true;
                continue;
            }
            if ended {
                return Err("a query is one statement: something stands behind its semicolon".to_owned());
            }
            self.token(first)?;
            if self.tokens.len() > TOKENS_MAX {
                return Err(format!(
                    "the query is longer than {TOKENS_MAX} words and signs: put long lists of values elsewhere"
                ));
            }
        }
        match self.open.last() {
            Some(&bracket) => Err(format!("a `{}` is never closed", char::from(bracket))),
            None if self.tokens.is_empty() => Err("the query is empty: write a SELECT".to_owned()),
            None => Ok(()),
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn at_comment(&self) -> bool {
        self.rest().starts_with("--") || self.rest().starts_with("/*")
    }

    /// Passes over what separates tokens, and leaves one blank for it.
    fn pass_blanks(&mut self) -> Result<(), String> {
        let before = self.at;
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => self.at += 1,
                b'-' if self.rest().starts_with("--") => {
                    let end = self.rest().find(['\n', '\r']).unwrap_or(self.rest().len());
                    self.at += end;
                }
                b'/' if self.rest().starts_with("/*") => self.pass_block()?,
                _ => break,
            }
        }
        if self.at > before && !self.text.is_empty() && self.peek(0).is_some() {
            let had_line = self.sql[before..self.at].contains('\n');
            self.text.push(if had_line { '\n' } else { ' ' });
        }
        Ok(())
    }

    /// Block comments nest.
    fn pass_block(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        while self.at < self.sql.len() {
            let rest = &self.sql.as_bytes()[self.at..];
            if rest.starts_with(b"/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with(b"*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else {
                self.at += 1;
            }
        }
        Err("a comment `/*` is never closed".to_owned())
    }

    fn token(&mut self, first: u8) -> Result<(), String> {
        let quote = self.peek(1);
        match first {
            b'\'' => self.string(1, false),
            b'e' | b'E' if quote == Some(b'\'') => self.string(2, true),
            b'b' | b'B' | b'x' | b'X' if quote == Some(b'\'') => self.bits(),
            b'n' | b'N' if quote == Some(b'\'') => Err("write 'text' for N'text'".to_owned()),
            b'u' | b'U' if quote == Some(b'&') && matches!(self.peek(2), Some(b'\'' | b'"')) => {
                Err("write the signs themselves, not U& and their numbers".to_owned())
            }
            b'"' => self.quoted_name(),
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if quote.is_some_and(|next| next.is_ascii_digit()) => self.number(),
            b'(' | b'[' => {
                self.open.push(first);
                self.sign(first)
            }
            b')' | b']' => {
                let wanted = if first == b')' { b'(' } else { b'[' };
                if self.open.pop() != Some(wanted) {
                    return Err(format!("a `{}` closes nothing", char::from(first)));
                }
                self.sign(first)
            }
            b',' | b'.' | b':' => self.sign(first),
            _ if OPERATOR.contains(&first) => self.operator(first),
            _ if is_name_start(first) => self.word(),
            _ => {
                let sign = self.rest().chars().next().unwrap_or_default();
                Err(format!("`{}` means nothing in a query", sign.escape_default()))
            }
        }
    }

    fn sign(&mut self, sign: u8) -> Result<(), String> {
        self.at += 1;
        self.text.push(char::from(sign));
        self.tokens.push(Token::Sign(sign));
        Ok(())
    }

    /// A run of operator signs, up to where a comment begins. Both parsers cut it further.
    fn operator(&mut self, first: u8) -> Result<(), String> {
        while let Some(sign) = self.peek(0).filter(|sign| OPERATOR.contains(sign)) {
            if self.at_comment() {
                break;
            }
            self.text.push(char::from(sign));
            self.at += 1;
        }
        self.tokens.push(Token::Sign(first));
        Ok(())
    }

    fn word(&mut self) -> Result<(), String> {
        let length = self.rest().bytes().take_while(|&byte| is_name_part(byte)).count();
        // A name has whole characters: all bytes of those beyond ASCII count as letters.
        let word = self.rest()[..length].to_ascii_lowercase();
        self.at += length;
        if word.is_ascii() {
            if word.contains('$') {
                return Err(format!("write quotes around the name \"{word}\""));
            }
            self.text.push_str(&word);
        } else {
            self.text.push_str(&quote_name(&word));
        }
        self.tokens.push(Token::Word(word));
        Ok(())
    }

    fn quoted_name(&mut self) -> Result<(), String> {
        self.at += 1;
        let name = self.until_quote('"', "a name in quotes is never closed")?;
        if name.is_empty() {
            return Err("a name in quotes has nothing in it".to_owned());
        }
        self.text.push_str(&quote_name(&name));
        self.tokens.push(Token::Name(name));
        Ok(())
    }

    /// What stands before the next single quote; two of them are one.
    fn until_quote(&mut self, quote: char, problem: &str) -> Result<String, String> {
        let mut value = String::new();
        loop {
            let end = self.rest().find(quote).ok_or_else(|| problem.to_owned())?;
            value.push_str(&self.sql[self.at..self.at + end]);
            self.at += end + 1;
            if self.peek(0) != Some(quote as u8) {
                break;
            }
            value.push(quote);
            self.at += 1;
        }
        if value.contains('\0') {
            return Err("PostgreSQL takes no zero byte".to_owned());
        }
        Ok(value)
    }

    fn string(&mut self, prefix: usize, has_escapes: bool) -> Result<(), String> {
        self.at += prefix;
        let value = if has_escapes { self.escaped()? } else { self.until_quote('\'', "a string is never closed")? };
        self.constant(&quote_text(&value))
    }

    /// `X'1F'` and `B'101'`.
    fn bits(&mut self) -> Result<(), String> {
        let prefix = char::from(self.peek(0).unwrap_or_default()).to_ascii_lowercase();
        self.at += 2;
        let digits = self.until_quote('\'', "a string is never closed")?;
        let radix = if prefix == 'b' { 2 } else { 16 };
        if !digits.chars().all(|digit| digit.is_digit(radix)) {
            return Err(format!("{prefix}'{}' is no string of bits", digits.escape_default()));
        }
        self.constant(&format!("{prefix}'{digits}'"))
    }

    /// `E'…'`, taken for what its escapes mean.
    fn escaped(&mut self) -> Result<String, String> {
        let mut bytes = Vec::new();
        let never_closed = || "a string is never closed".to_owned();
        loop {
            let byte = self.peek(0).ok_or_else(never_closed)?;
            self.at += 1;
            match byte {
                b'\'' if self.peek(0) == Some(b'\'') => {
                    self.at += 1;
                    bytes.push(b'\'');
                }
                b'\'' => break,
                b'\\' => {
                    let escape = self.peek(0).ok_or_else(never_closed)?;
                    self.at += 1;
                    match escape {
                        b'b' => bytes.push(8),
                        b'f' => bytes.push(12),
                        b'n' => bytes.push(b'\n'),
                        b'r' => bytes.push(b'\r'),
                        b't' => bytes.push(b'\t'),
                        b'\'' | b'\\' | b'"' => bytes.push(escape),
                        _ => {
                            return Err(format!(
                                "write the sign itself for \\{}… in a string",
                                char::from(escape).escape_default()
                            ));
                        }
                    }
                }
                _ => bytes.push(byte),
            }
        }
        String::from_utf8(bytes)
            .ok()
            .filter(|text| !text.contains('\0'))
            .ok_or_else(|| "PostgreSQL takes no zero byte".to_owned())
    }

    /// `$$…$$` or `$tag$…$tag$`; with digits behind the sign it would be a parameter.
    fn dollar(&mut self) -> Result<(), String> {
        let tag = self.rest()[1..].find('$').map(|end| &self.rest()[..end + 2]);
        let is_tag = |tag: &&str| {
            let name = &tag.as_bytes()[1..tag.len() - 1];
            name.first().is_none_or(|&first| is_name_start(first))
                && name.iter().all(|&part| is_name_part(part) && part != b'$')
        };
        let Some(tag) = tag.filter(is_tag).map(str::to_owned) else {
            return Err("a query has no parameters: write the value where `$` stands".to_owned());
        };
        self.at += tag.len();
        let end = self.rest().find(&tag).ok_or_else(|| format!("a string that begins with {tag} is never closed"))?;
        let value = &self.sql[self.at..self.at + end];
        if value.contains('\0') {
            return Err("PostgreSQL takes no zero byte".to_owned());
        }
        let value = quote_text(value);
        self.at += end + tag.len();
        self.constant(&value)
    }

    fn number(&mut self) -> Result<(), String> {
        let bytes = &self.sql.as_bytes()[self.at..];
        let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut length = digits(0);
        if bytes.get(length) == Some(&b'.') && bytes.get(length + 1) != Some(&b'.') {
            length += 1 + digits(length + 1);
        }
        if matches!(bytes.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
            let exponent = digits(length + 1 + sign);
            if exponent > 0 {
                length += 1 + sign + exponent;
            }
        }
        if bytes.get(length).is_some_and(|&next| is_name_part(next) || next == b'.' || next == b'\'') {
            return Err(format!(
                "write `{}` and a blank behind it, or the whole number in decimal digits",
                &self.rest()[..length]
            ));
        }
        let number = self.rest()[..length].to_owned();
        self.at += length;
        self.constant(&number)
    }

    fn constant(&mut self, text: &str) -> Result<(), String> {
        // PostgreSQL joins two strings with a line's end between them; others take the second for a name.
        if text.contains('\'') && self.text.trim_end().ends_with('\'') {
            return Err("two strings stand side by side: join them with ||".to_owned());
        }
        self.text.push_str(text);
        self.tokens.push(Token::Constant);
        Ok(())
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_name_part(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// A name in quotes, whatever is in it.
pub(super) fn quote_name(name: &str) -> String {
    format!("\"{}\"", doubled(name, '"'))
}

fn quote_text(text: &str) -> String {
    format!("'{}'", doubled(text, '\''))
}

fn doubled(text: &str, quote: char) -> Cow<'_, str> {
    if text.contains(quote) { Cow::Owned(text.replace(quote, &format!("{quote}{quote}"))) } else { Cow::Borrowed(text) }
}
