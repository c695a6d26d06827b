//! Writes a compiled file as the text of a Protobuf schema.
//!
//! Serializers send a file as its descriptor, and people read text, so this is the way from the one to the other. Types are
//! written by their full names behind a dot, which means the same wherever it stands.

mod options;

pub(super) use options::json_name;

use std::fmt::Write as _;

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto};
use prost_reflect::{DynamicMessage, EnumDescriptor, ExtensionDescriptor, FileDescriptor, MessageDescriptor};
use prost_reflect::{ServiceDescriptor, Syntax};

/// In which order what may stand in any order is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As it came.
    AsWritten,
    /// Sorted, so that files of the same content are the same text. The first message stays the first, as it is the event's.
    Sorted,
}

/// The number behind the last one that a field may have.
const FIELD_NUMBERS_END: i32 = 1 << 29;

/// A file as text.
pub(super) fn text(file: &FileDescriptor, order: Order) -> String {
    let mut printer = Printer { text: String::new(), depth: 0, order, is_proto3: file.syntax() == Syntax::Proto3 };
    printer.file(file);
    printer.text
}

struct Printer {
    text: String,
    depth: usize,
    order: Order,
    is_proto3: bool,
}

impl Printer {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.extend(std::iter::repeat_n("  ", self.depth));
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn block(&mut self, head: impl AsRef<str>, inside: impl FnOnce(&mut Printer)) {
        self.line(format!("{} {{", head.as_ref()));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line("}");
    }

    /// Parts in the order in which they are written.
    fn ordered<T, K: Ord>(&self, parts: impl Iterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<T> {
        let mut parts: Vec<T> = parts.collect();
        if self.order == Order::Sorted {
            parts.sort_by_key(key);
        }
        parts
    }

    fn file(&mut self, file: &FileDescriptor) {
        let proto = file.file_descriptor_proto();
        self.line(format!("syntax = \"{}\";", if self.is_proto3 { "proto3" } else { "proto2" }));
        if !proto.package().is_empty() {
            self.line(format!("package {};", proto.package()));
        }
        for (index, name) in self.ordered(proto.dependency.iter().enumerate(), |(_, name)| (*name).clone()) {
            let is_in = |list: &[i32]| list.iter().any(|one| usize::try_from(*one).is_ok_and(|one| one == index));
            let kind = match (is_in(&proto.public_dependency), is_in(&proto.weak_dependency)) {
                (true, _) => "public ",
                (false, true) => "weak ",
                (false, false) => "",
            };
            self.line(format!("import {kind}{};", quoted(name)));
        }
        self.options(&file.options());
        let mut messages: Vec<MessageDescriptor> = file.messages().collect();
        if let (Order::Sorted, Some(rest)) = (self.order, messages.get_mut(1..)) {
            rest.sort_by(|a, b| a.name().cmp(b.name()));
        }
        for message in messages {
            self.block(format!("message {}", message.name()), |printer| printer.message(&message));
        }
        for one in self.ordered(file.enums(), |one| one.name().to_owned()) {
            self.symbols(&one);
        }
        self.extensions(file.extensions(), &[]);
        for service in self.ordered(file.services(), |service| service.name().to_owned()) {
            self.service(&service);
        }
    }

    fn options(&mut self, options: &DynamicMessage) {
        for (name, value) in options::list(options) {
            self.line(format!("option {name} = {value};"));
        }
    }

    fn message(&mut self, message: &MessageDescriptor) {
        let proto = message.descriptor_proto();
        self.options(&message.options());
        let children: Vec<MessageDescriptor> = message.child_messages().collect();
        let mut nested = Nested::new(proto, &children, self.order);
        let fields = self.ordered(proto.field.iter(), |field| field.number());
        let mut told = vec![false; proto.oneof_decl.len()];
        for field in &fields {
            let oneof = oneof_of(field);
            if oneof.is_some_and(|one| told.get(one).copied().unwrap_or(true)) {
                continue;
            }
            nested.until(self, field);
            match oneof {
                None => self.field(message, field, &children),
                Some(one) => {
                    told[one] = true;
                    self.block(format!("oneof {}", proto.oneof_decl[one].name()), |printer| {
                        if let Some(oneof) = message.oneofs().nth(one) {
                            printer.options(&oneof.options());
                        }
                        for field in fields.iter().filter(|field| oneof_of(field) == Some(one)) {
                            printer.field(message, field, &children);
                        }
                    });
                }
            }
        }
        nested.rest(self);
        for one in self.ordered(message.child_enums(), |one| one.name().to_owned()) {
            self.symbols(&one);
        }
        for range in self.ordered(proto.extension_range.iter(), |range| range.start()) {
            let numbers = numbers(range.start(), range.end() - 1, FIELD_NUMBERS_END - 1);
            let options = range.options.as_ref().map_or_else(Vec::new, options::of_range);
            self.line(format!("extensions {numbers}{};", bracketed(&options)));
        }
        for range in self.ordered(proto.reserved_range.iter(), |range| range.start()) {
            self.line(format!("reserved {};", numbers(range.start(), range.end() - 1, FIELD_NUMBERS_END - 1)));
        }
        for name in self.ordered(proto.reserved_name.iter(), |name| (*name).clone()) {
            self.line(format!("reserved {};", quoted(name)));
        }
        self.extensions(message.child_extensions(), &children);
    }

    fn field(&mut self, message: &MessageDescriptor, field: &FieldDescriptorProto, children: &[MessageDescriptor]) {
        let options = message.get_field(field.number().unsigned_abs()).map(|field| field.options());
        self.one_field(field, options.as_ref(), children);
    }

    fn one_field(
        &mut self,
        field: &FieldDescriptorProto,
        options: Option<&DynamicMessage>,
        children: &[MessageDescriptor],
    ) {
        let label = match field.label() {
            Label::Repeated => "repeated ",
            Label::Required => "required ",
            Label::Optional if field.proto3_optional() => "optional ",
            Label::Optional if self.is_proto3 || oneof_of(field).is_some() => "",
            Label::Optional => "optional ",
        };
        let mut told = options::of_field(field);
        told.extend(options.into_iter().flat_map(options::list));
        let (number, told) = (field.number(), bracketed(&told));
        let own = child(field, children);
        if let Some(entry) = own.filter(|child| child.is_map_entry()) {
            let part = |number: i32| {
                let part = entry.descriptor_proto().field.iter().find(|part| part.number() == number);
                part.map_or_else(String::new, type_of)
            };
            return self.line(format!("map<{}, {}> {} = {number}{told};", part(1), part(2), field.name()));
        }
        match own.filter(|_| field.r#type() == Type::Group) {
            Some(group) => self.block(format!("{label}group {} = {number}{told}", group.name()), |printer| {
                printer.message(group);
            }),
            None => self.line(format!("{label}{} {} = {number}{told};", type_of(field), field.name())),
        }
    }

    fn symbols(&mut self, one: &EnumDescriptor) {
        let proto = one.enum_descriptor_proto();
        self.block(format!("enum {}", one.name()), |printer| {
            printer.options(&one.options());
            // The order stays, because the first value is the default.
            for value in &proto.value {
                let options = one.get_value_by_name(value.name()).map(|value| options::list(&value.options()));
                let told = bracketed(&options.unwrap_or_default());
                printer.line(format!("{} = {}{told};", value.name(), value.number()));
            }
            for range in printer.ordered(proto.reserved_range.iter(), |range| range.start()) {
                printer.line(format!("reserved {};", numbers(range.start(), range.end(), i32::MAX)));
            }
            for name in printer.ordered(proto.reserved_name.iter(), |name| (*name).clone()) {
                printer.line(format!("reserved {};", quoted(name)));
            }
        });
    }

    /// Fields of other messages, those of one message that stand one behind the other together.
    fn extensions(&mut self, extensions: impl Iterator<Item = ExtensionDescriptor>, children: &[MessageDescriptor]) {
        let key = |one: &ExtensionDescriptor| (one.containing_message().full_name().to_owned(), one.number());
        let extensions = self.ordered(extensions, key);
        for of_one in extensions.chunk_by(|one, next| one.containing_message() == next.containing_message()) {
            self.block(format!("extend .{}", of_one[0].containing_message().full_name()), |printer| {
                for one in of_one {
                    printer.one_field(one.field_descriptor_proto(), Some(&one.options()), children);
                }
            });
        }
    }

    fn service(&mut self, service: &ServiceDescriptor) {
        self.block(format!("service {}", service.name()), |printer| {
            printer.options(&service.options());
            for method in printer.ordered(service.methods(), |method| method.name().to_owned()) {
                let part = |is_streaming: bool, message: &MessageDescriptor| {
                    format!("({}.{})", if is_streaming { "stream " } else { "" }, message.full_name())
                };
                let input = part(method.is_client_streaming(), &method.input());
                let output = part(method.is_server_streaming(), &method.output());
                let head = format!("rpc {} {input} returns {output}", method.name());
                match options::list(&method.options()).is_empty() {
                    true => printer.line(format!("{head};")),
                    false => printer.block(head, |printer| printer.options(&method.options())),
                }
            }
        });
    }
}

/// The messages inside of one, each written where it stood between the fields that bring messages of their own.
struct Nested<'a> {
    children: &'a [MessageDescriptor],
    /// The places of those still to be written, the next one last.
    waiting: Vec<usize>,
    order: Order,
}

impl<'a> Nested<'a> {
    fn new(proto: &DescriptorProto, children: &'a [MessageDescriptor], order: Order) -> Nested<'a> {
        let of_field = |message: &MessageDescriptor| {
            let is_group = |field: &FieldDescriptorProto| {
                field.r#type() == Type::Group && child(field, std::slice::from_ref(message)).is_some()
            };
            message.is_map_entry() || proto.field.iter().chain(&proto.extension).any(is_group)
        };
        let mut waiting: Vec<usize> = (0..children.len()).filter(|at| !of_field(&children[*at])).collect();
        if order == Order::Sorted {
            waiting.sort_by_key(|at| children[*at].name());
        }
        waiting.reverse();
        Nested { children, waiting, order }
    }

    /// Writes those that stood in front of the message that a field brings.
    fn until(&mut self, printer: &mut Printer, field: &FieldDescriptorProto) {
        let brought = child(field, self.children).filter(|one| one.is_map_entry() || field.r#type() == Type::Group);
        let place = brought.and_then(|one| self.children.iter().position(|other| other == one));
        let (Some(place), Order::AsWritten) = (place, self.order) else { return };
        while self.waiting.last().is_some_and(|next| *next < place) {
            self.next(printer);
        }
    }

    fn rest(&mut self, printer: &mut Printer) {
        while !self.waiting.is_empty() {
            self.next(printer);
        }
    }

    fn next(&mut self, printer: &mut Printer) {
        let Some(at) = self.waiting.pop() else { return };
        let message = &self.children[at];
        printer.block(format!("message {}", message.name()), |printer| printer.message(message));
    }
}

/// The message inside of this one that a field is of.
fn child<'a>(field: &FieldDescriptorProto, children: &'a [MessageDescriptor]) -> Option<&'a MessageDescriptor> {
    let name = field.type_name.as_deref()?.trim_start_matches('.');
    children.iter().find(|child| child.full_name() == name)
}

/// The oneof that a field was written in.
fn oneof_of(field: &FieldDescriptorProto) -> Option<usize> {
    field.oneof_index.filter(|_| !field.proto3_optional()).and_then(|index| usize::try_from(index).ok())
}

fn type_of(field: &FieldDescriptorProto) -> String {
    let word = match field.r#type() {
        Type::Double => "double",
        Type::Float => "float",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Int32 => "int32",
        Type::Fixed64 => "fixed64",
        Type::Fixed32 => "fixed32",
        Type::Bool => "bool",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Uint32 => "uint32",
        Type::Sfixed32 => "sfixed32",
        Type::Sfixed64 => "sfixed64",
        Type::Sint32 => "sint32",
        Type::Sint64 => "sint64",
        Type::Group | Type::Message | Type::Enum => return field.type_name().to_owned(),
    };
    word.to_owned()
}

fn numbers(first: i32, last: i32, most: i32) -> String {
    match (first == last, last == most) {
        (true, _) => first.to_string(),
        (false, true) => format!("{first} to max"),
        (false, false) => format!("{first} to {last}"),
    }
}

fn bracketed(options: &[(String, String)]) -> String {
    let mut text = String::new();
    for (number, (name, value)) in options.iter().enumerate() {
        // Writing to a text does not fail.
        let _ = write!(text, "{}{name} = {value}", if number == 0 { " [" } else { ", " });
    }
    if !options.is_empty() {
        text.push(']');
    }
    text
}

/// A text in quotes.
fn quoted(text: &str) -> String {
    options::quoted_bytes(text.as_bytes())
}
