//! Reads the text of a Protobuf schema, within bounds and from memory alone, and compiles it.

use std::collections::VecDeque;

use prost_reflect::prost::Message;
use prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};
use prost_reflect::{DescriptorPool, DynamicMessage, FileDescriptor, Kind, MessageDescriptor, Value};
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::builtin;
use super::print::{self, Order};
use crate::format::{Field, Reference, SchemaError};
use crate::trail;

/// How long a schema may be, with what it refers to.
const BYTES_MAX: usize = 256 * 1024;
/// To how many schemas it may refer.
const REFERENCES_MAX: usize = 100;
/// How many messages and enums it may have.
const TYPES_MAX: usize = 1_000;
/// How many fields, values of enums and reserved ranges they may have in all.
const MEMBERS_MAX: usize = 3_000;
/// How deep messages may nest.
const DEPTH_MAX: usize = 16;
/// How long a name may be.
const NAME_BYTES_MAX: usize = 128;
/// How many braces the value of one option may open.
const OPTION_DEPTH_MAX: usize = 64;
/// How many fields are named, at most.
const FIELDS_MAX: usize = 1_000;

/// A schema with its message found.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) file: FileDescriptor,
    pub(super) message: MessageDescriptor,
    pub(super) canonical: String,
    pub(super) fields: Vec<Field>,
    /// Whether any message has a field that must be there.
    pub(super) has_required: bool,
    /// Whether any message has a map, whose members come in no order.
    pub(super) has_maps: bool,
}

/// Compiles a schema.
pub(super) fn compile(text: &str, references: &[Reference]) -> Result<Compiled, SchemaError> {
    check_length(text.len(), references)?;
    let name = own_name(references);
    let mut budget = Budget::whole();
    let own = read(&name, text, &name, &mut budget)?;
    let mut compiler = compiler(Some((name.clone(), own)), references, &name, &mut budget)?;
    compiler.open_file(&name).map_err(|error| told(&error, &name))?;
    let pool = compiler.descriptor_pool();
    let file = pool.get_file_by_name(&name).ok_or_else(|| refused("the schema cannot be read; mend it"))?;
    let Some(message) = file.messages().next() else {
        return Err(refused(
            "the schema has no message; the first message of the file is that of the event, so write one",
        ));
    };
    let is_any = |holds: fn(&prost_reflect::FieldDescriptor) -> bool| {
        pool.all_messages().any(|message| message.fields().any(|field| holds(&field)))
    };
    Ok(Compiled {
        canonical: print::text(&file, Order::Sorted),
        file,
        fields: fields(&message),
        has_required: is_any(|field| field.is_required()),
        has_maps: is_any(|field| field.is_map()),
        message,
    })
}

/// Refuses what is too long, with what it refers to.
pub(super) fn check_length(own: usize, references: &[Reference]) -> Result<(), SchemaError> {
    let bytes = references.iter().fold(own, |sum, reference| sum.saturating_add(reference.text.len()));
    if bytes > BYTES_MAX || references.len() > REFERENCES_MAX {
        let count = references.len();
        return Err(refused(format!(
            "the schema has {bytes} bytes with the {count} that it refers to; {BYTES_MAX} bytes and {REFERENCES_MAX} \
             references are allowed: describe less in one event"
        )));
    }
    Ok(())
}

/// A name for the schema itself that none of its references has.
pub(super) fn own_name(references: &[Reference]) -> String {
    let mut name = "schema.proto".to_owned();
    while references.iter().any(|reference| reference.name == name) {
        name.insert(0, '_');
    }
    name
}

fn read(name: &str, text: &str, own_name: &str, budget: &mut Budget) -> Result<File, SchemaError> {
    let file = File::from_source(name, text).map_err(|error| told(&error, own_name))?;
    budget.file(file.file_descriptor_proto())?;
    Ok(file)
}

/// A compiler that finds the schema itself, those that it refers to, and those that are at hand; nothing else.
pub(super) fn compiler(
    own: Option<(String, File)>,
    references: &[Reference],
    own_name: &str,
    budget: &mut Budget,
) -> Result<protox::Compiler, SchemaError> {
    let mut files: Vec<(String, File)> = own.into_iter().collect();
    for reference in references {
        files.push((reference.name.clone(), read(&reference.name, &reference.text, own_name, budget)?));
    }
    let mut compiler = protox::Compiler::with_file_resolver(Memory { files, google: GoogleFileResolver::new() });
    compiler.include_source_info(false);
    Ok(compiler)
}

pub(super) fn refused(problem: impl Into<String>) -> SchemaError {
    SchemaError { path: String::new(), problem: problem.into() }
}

/// What the compiler says, which begins with the place.
pub(super) fn told(error: &protox::Error, own_name: &str) -> SchemaError {
    let said = format!("{error:?}");
    let said: String = said.lines().next().unwrap_or_default().chars().take(500).collect();
    let rest = said.strip_prefix(&format!("{own_name}:")).unwrap_or(&said);
    let mut parts = rest.splitn(3, ':');
    let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok());
    let (line, column, words) = (parts.next(), parts.next(), parts.next());
    let (path, words) = match (line, column, words) {
        (Some(line), Some(column), Some(words)) if is_number(Some(line)) && is_number(Some(column)) => {
            (format!("{line}:{column}"), words.trim())
        }
        _ => (String::new(), rest.trim()),
    };
    let way = match error.is_file_not_found() {
        true => "register the schema that it imports and refer to it by that name; no file is ever looked for",
        false => "mend it",
    };
    SchemaError { path, problem: format!("the schema is refused by the compiler: {words}; {way}") }
}

/// All files that an import can name.
struct Memory {
    files: Vec<(String, File)>,
    google: GoogleFileResolver,
}

impl FileResolver for Memory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match (self.files.iter().find(|(known, _)| known == name), builtin::text(name)) {
            (Some((_, file)), _) => Ok(file.clone()),
            (None, Some(text)) => File::from_source(name, text),
            (None, None) => self.google.open_file(name),
        }
    }
}

/// What a schema may still have.
pub(super) struct Budget {
    types: usize,
    members: usize,
}

impl Budget {
    pub(super) fn whole() -> Budget {
        Budget { types: TYPES_MAX, members: MEMBERS_MAX }
    }

    pub(super) fn file(&mut self, file: &FileDescriptorProto) -> Result<(), SchemaError> {
        self.name(file.package())?;
        file.message_type.iter().try_for_each(|message| self.message(message, DEPTH_MAX))?;
        file.enum_type.iter().try_for_each(|one| self.symbols(one))?;
        file.extension.iter().try_for_each(|field| self.member(field.name()))?;
        for service in &file.service {
            self.member(service.name())?;
            service.method.iter().try_for_each(|method| self.member(method.name()))?;
        }
        check_options(file)
    }

    fn message(&mut self, message: &DescriptorProto, depth: usize) -> Result<(), SchemaError> {
        self.one_type(message.name())?;
        let Some(depth) = depth.checked_sub(1) else {
            return Err(refused(format!("messages nest deeper than {DEPTH_MAX}; write them side by side")));
        };
        let names = message.field.iter().chain(&message.extension).map(|field| field.name());
        names.chain(message.oneof_decl.iter().map(|one| one.name())).try_for_each(|name| self.member(name))?;
        message.field.iter().try_for_each(|field| self.name(field.type_name()))?;
        message.reserved_name.iter().try_for_each(|name| self.member(name))?;
        let ranges = message.reserved_range.len() + message.extension_range.len();
        (0..ranges).try_for_each(|_| self.member(""))?;
        message.enum_type.iter().try_for_each(|one| self.symbols(one))?;
        message.nested_type.iter().try_for_each(|one| self.message(one, depth))
    }

    fn symbols(&mut self, one: &EnumDescriptorProto) -> Result<(), SchemaError> {
        self.one_type(one.name())?;
        one.value.iter().try_for_each(|value| self.member(value.name()))?;
        one.reserved_name.iter().try_for_each(|name| self.member(name))?;
        one.reserved_range.iter().try_for_each(|_| self.member(""))
    }

    fn one_type(&mut self, name: &str) -> Result<(), SchemaError> {
        let problem = || refused(format!("the schema has more than {TYPES_MAX} types; describe less in one event"));
        self.types = self.types.checked_sub(1).ok_or_else(problem)?;
        self.name(name)
    }

    fn member(&mut self, name: &str) -> Result<(), SchemaError> {
        let problem = || refused(format!("its types have more than {MEMBERS_MAX} members; describe less in one event"));
        self.members = self.members.checked_sub(1).ok_or_else(problem)?;
        self.name(name)
    }

    fn name(&self, name: &str) -> Result<(), SchemaError> {
        match name.len() > NAME_BYTES_MAX * 4 || name.split('.').any(|part| part.len() > NAME_BYTES_MAX) {
            true => Err(refused(format!("a name has more than {NAME_BYTES_MAX} bytes; shorten it"))),
            false => Ok(()),
        }
    }
}

/// Refuses an option whose value nests deeply: its parser descends as deep.
fn check_options(file: &FileDescriptorProto) -> Result<(), SchemaError> {
    fn is_shallow(message: &DynamicMessage) -> bool {
        if message.descriptor_name() == "google.protobuf.UninterpretedOption"
            && let Some(value) = message.get_field_by_name("aggregate_value")
            && let Some(text) = value.as_str()
        {
            return text.bytes().filter(|byte| matches!(byte, b'{' | b'<' | b'[')).count() <= OPTION_DEPTH_MAX;
        }
        message.fields().all(|(_, value)| match value {
            Value::Message(inner) => is_shallow(inner),
            Value::List(items) => items.iter().filter_map(Value::as_message).all(is_shallow),
            _ => true,
        })
    }
    let text = FileDescriptorProto { source_code_info: None, ..file.clone() };
    match descriptor_message(&text).is_none_or(|message| is_shallow(&message)) {
        true => Ok(()),
        false => Err(refused(format!(
            "the value of an option opens more than {OPTION_DEPTH_MAX} braces; leave the option out of the schema"
        ))),
    }
}

trait Named {
    fn descriptor_name(&self) -> String;
}

impl Named for DynamicMessage {
    fn descriptor_name(&self) -> String {
        use prost_reflect::ReflectMessage;
        self.descriptor().full_name().to_owned()
    }
}

/// A file as a message that describes itself.
fn descriptor_message(file: &FileDescriptorProto) -> Option<DynamicMessage> {
    let descriptor = DescriptorPool::global().get_message_by_name("google.protobuf.FileDescriptorProto")?;
    DynamicMessage::decode(descriptor, file.encode_to_vec().as_slice()).ok()
}

/// The fields by their paths, those of the outermost message first. Inside itself a message is not walked again.
fn fields(message: &MessageDescriptor) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut queue = VecDeque::from([(String::new(), message.clone(), true, Vec::new())]);
    while let Some((path, message, is_required, mut around)) = queue.pop_front() {
        if around.contains(&message) || message.full_name().starts_with("google.protobuf.") {
            continue;
        }
        around.push(message.clone());
        for field in message.fields() {
            if fields.len() == FIELDS_MAX {
                return fields;
            }
            let path = trail::member(&path, field.json_name());
            let is_required = is_required && field.is_required();
            fields.push(Field { path: path.clone(), is_required });
            let inner = match field.kind() {
                Kind::Message(entry) if field.is_map() => match entry.map_entry_value_field().kind() {
                    Kind::Message(value) => Some((trail::items(&path), value)),
                    _ => None,
                },
                Kind::Message(item) if field.is_list() => Some((trail::items(&path), item)),
                Kind::Message(inner) => Some((path, inner)),
                _ => None,
            };
            queue.extend(inner.map(|(path, inner)| (path, inner, is_required, around.clone())));
        }
    }
    fields
}
