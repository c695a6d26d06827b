//! Takes a file apart: header, definitions, handlers. All that is wrong is found in one pass.

use pacioli_core::EventType;
use pacioli_core::schemas::Understanding;
use sha2::{Digest, Sha256};

use super::definitions::{self, Owned};
use super::findings::{Finding, Findings, perhaps};
use super::header::{self, Annotation, Header};
use super::lex::{Kind, Token, lex};
use super::sentence::Sentence;
use super::{Definition, Handler, Makes, Mode, On, Projection, Severity, handlers};

/// Bytes of a file, at most.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A part of a file.
enum Part<'a> {
    Annotation(Annotation<'a>),
    Statement(Vec<Token<'a>>),
}

pub(super) fn parse(file: &str, text: &str) -> Result<Projection, Vec<Finding>> {
    let mut findings = Findings::of(file);
    if text.len() > FILE_BYTES_MAX {
        let problem = format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len());
        findings.error(1, problem);
        return Err(findings.sorted());
    }
    let tokens = lex(text, &mut findings);
    let parts = parts(&tokens, &mut findings);
    let mut reader = Reader {
        text,
        findings,
        header: Header::default(),
        definitions: Vec::new(),
        handlers: Vec::new(),
        creates: false,
    };
    reader.read(&parts);
    reader.finish(file)
}

/// Puts the tokens of each statement together.
fn parts<'a>(tokens: &[Token<'a>], findings: &mut Findings) -> Vec<Part<'a>> {
    let (mut parts, mut statement, mut depth) = (Vec::new(), Vec::<Token<'a>>::new(), 0_i64);
    for token in tokens {
        if token.is_comment() {
            let annotation = if token.kind == Kind::LineComment { Annotation::of(token) } else { None };
            let Some(annotation) = annotation else { continue };
            if let Some(first) = statement.first() {
                // Inside of a statement only what begins a handler is more than a remark.
                if !(annotation.is_beside_statements() && token.first_on_line && depth == 0) {
                    continue;
                }
                let problem = format!("the statement does not end before line {}; put a `;` behind it", token.line);
                findings.error(first.line, problem);
                parts.push(Part::Statement(std::mem::take(&mut statement)));
            } else if !token.first_on_line {
                if annotation.is_known() {
                    findings.error(token.line, format!("`{}` needs a line of its own", annotation.name));
                }
                continue;
            }
            parts.push(Part::Annotation(annotation));
            continue;
        }
        match token.kind {
            Kind::Semicolon => {
                if !statement.is_empty() {
                    parts.push(Part::Statement(std::mem::take(&mut statement)));
                }
                depth = 0;
                continue;
            }
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            _ => {}
        }
        statement.push(*token);
    }
    if !statement.is_empty() {
        parts.push(Part::Statement(statement));
    }
    parts
}

struct Reader<'a> {
    text: &'a str,
    findings: Findings,
    header: Header,
    definitions: Vec<Definition>,
    handlers: Vec<Handler>,
    /// Whether there was a CREATE, even one that was refused.
    creates: bool,
}

impl Reader<'_> {
    fn read(&mut self, parts: &[Part<'_>]) {
        let mut materialized: Option<Annotation<'_>> = None;
        for part in parts {
            match part {
                Part::Annotation(annotation) if annotation.name == "materialized" => {
                    if let Some(before) = materialized.replace(*annotation) {
                        self.tell_idle(before);
                    }
                }
                Part::Annotation(annotation) => {
                    if let Some(before) = materialized.take() {
                        self.tell_idle(before);
                    }
                    self.annotation(*annotation);
                }
                Part::Statement(tokens) => self.statement(tokens, materialized.take()),
            }
        }
        if let Some(before) = materialized {
            self.tell_idle(before);
        }
    }

    fn tell_idle(&mut self, materialized: Annotation<'_>) {
        self.findings.error(materialized.line, "`materialized` stands directly before CREATE MATERIALIZED VIEW only");
    }

    fn annotation(&mut self, annotation: Annotation<'_>) {
        let Annotation { name, value, line } = annotation;
        let on = match name {
            "on" => header::on(value),
            "on batch" if value.is_empty() => Ok(On::Batch),
            "on batch" => Err("`on batch:` takes all events; write nothing behind the colon".to_owned()),
            _ => {
                let is_over = !self.definitions.is_empty() || !self.handlers.is_empty();
                return self.header.take(annotation, is_over, &mut self.findings);
            }
        };
        let on = on.unwrap_or_else(|problem| {
            self.findings.error(line, problem);
            // What stands below is looked at all the same.
            if name == "on batch" || value == "batch" { On::Batch } else { On::Every }
        });
        if let On::Types(types) = &on
            && let Some(header) = self.header.line_of("types").filter(|_| !self.header.types.is_empty())
        {
            for one in types.iter().filter(|one| !self.header.types.contains(one)) {
                let problem = format!(
                    "`{one}` never comes: the header's `types` in line {header} leaves it out; add it there, or take it out here"
                );
                self.findings.error(line, problem);
            }
        }
        self.handlers.push(Handler { on, statements: Vec::new(), line });
    }

    fn statement(&mut self, tokens: &[Token<'_>], materialized: Option<Annotation<'_>>) {
        let sentence = Sentence::new(tokens, &mut self.findings);
        let creates = sentence.is(0, "create");
        self.creates |= creates;
        if creates && self.handlers.is_empty() {
            let owned = Owned::of(&self.definitions);
            let made = definitions::read(&sentence, self.text, &owned, materialized, &mut self.findings);
            self.definitions.extend(made);
            return;
        }
        if let Some(materialized) = materialized {
            self.tell_idle(materialized);
        }
        let owned = Owned::of(&self.definitions);
        let Some(handler) = self.handlers.last_mut() else {
            let word = tokens[0].text.to_uppercase();
            let problem =
                format!("{word} stands before the first handler; write `-- on: SomeEvent` or `-- on batch:` above it");
            return self.findings.error(tokens[0].line, problem);
        };
        let statement = handlers::read(&sentence, self.text, &handler.on, &owned, &mut self.findings);
        handler.statements.push(statement);
        if handler.on == On::Batch && handler.statements.len() == 2 {
            let problem = "`on batch:` has one statement; write another `-- on batch:` above this one";
            self.findings.error(tokens[0].line, problem);
        }
    }

    fn finish(mut self, file: &str) -> Result<Projection, Vec<Finding>> {
        self.check();
        let findings = self.findings.sorted();
        let header = self.header;
        let (Some(name), Some(version)) = (header.name, header.version) else { return Err(findings) };
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(findings);
        }
        Ok(Projection {
            name,
            version,
            mode: header.mode.unwrap_or(Mode::Async),
            categories: header.categories,
            types: header.types,
            understands: header.understands,
            on_newer: header.on_newer.unwrap_or_default(),
            parallel_by_stream: header.parallel_by_stream,
            keep_copies: header.keep_copies,
            verify: header.verify,
            file: file.to_owned(),
            text: self.text.to_owned(),
            hash: hash(self.text),
            definitions: self.definitions,
            handlers: self.handlers,
        })
    }

    /// What is seen only at the end of the file.
    fn check(&mut self) {
        self.header.check(&mut self.findings);
        let makes_table = |made: &Definition| matches!(made.makes, Makes::Table(_) | Makes::VirtualTable(_));
        if !self.creates || !self.definitions.is_empty() && !self.definitions.iter().any(makes_table) {
            self.findings
                .error(1, "the file makes no table; a projection writes into tables of its own: CREATE TABLE …");
        }
        if self.handlers.is_empty() {
            self.findings.error(1, "the file has no handler; write `-- on: SomeEvent` and a statement below it");
        }
        for handler in self.handlers.iter().filter(|handler| handler.statements.is_empty()) {
            self.findings.error(handler.line, "the handler has no statement; write one below it, or take it out");
        }
        let named = |one| self.handlers.iter().any(|handler| matches!(&handler.on, On::Types(on) if on.contains(one)));
        if self.handlers.iter().all(|handler| matches!(handler.on, On::Types(_))) {
            for one in self.header.types.iter().filter(|one| !named(one)) {
                let line = self.header.line_of("types").unwrap_or(1);
                let problem = format!("no handler takes `{one}`; take it out of `types`, or write `-- on: {one}`");
                self.findings.error(line, problem);
            }
        }
        self.check_understood();
    }

    /// What is understood of events that never come says nothing, and was meant for one that does.
    fn check_understood(&mut self) {
        let comes = |one| {
            let is_named = |handler: &Handler| match &handler.on {
                On::Types(on) => on.contains(one),
                On::Every | On::Batch => true,
            };
            if self.header.types.is_empty() {
                self.handlers.iter().any(is_named)
            } else {
                self.header.types.contains(one)
            }
        };
        for Understanding { event_type, .. } in self.header.understands.iter().filter(|one| !comes(&one.event_type)) {
            let line = self.header.line_of("schemas").unwrap_or(1);
            let come = self.header.types.iter().chain(self.handlers.iter().flat_map(Handler::types));
            let meant = perhaps(event_type.as_str(), come.map(EventType::as_str));
            let otherwise = || "; take it out of `schemas`, or write a handler for it".to_owned();
            let problem = format!("`{event_type}` never comes{}", meant.unwrap_or_else(otherwise));
            self.findings.error(line, problem);
        }
    }
}

/// SHA-256 of the text with line ends made `\n`, in hex.
fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.replace("\r\n", "\n").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
