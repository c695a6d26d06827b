//! From a file's serialized descriptor, which is what serializers register, to the text that is kept.

use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::Type;
use prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use prost_reflect::{DescriptorPool, DynamicMessage, FileDescriptor, Value};

use super::compile::{self, Budget, check_length, own_name, refused, told};
use super::print::{self, Order};
use crate::format::{Reference, SchemaError};

const FILE: &str = "google.protobuf.FileDescriptorProto";

/// The text of a file.
pub(super) fn text(descriptor: &[u8], references: &[Reference]) -> Result<String, SchemaError> {
    check_length(descriptor.len(), references)?;
    let unreadable =
        || refused("the schema is no descriptor of a file that can be read; send one, or the text of the file");
    let file = FileDescriptorProto::decode(descriptor).map_err(|_| unreadable())?;
    if !matches!(file.syntax(), "" | "proto2" | "proto3") {
        let syntax: String = file.syntax().chars().take(60).collect();
        return Err(refused(format!(
            "the schema is in `{syntax}`, which is not known here; write it in proto3 or proto2"
        )));
    }
    let name = own_name(references);
    let mut budget = Budget::whole();
    budget.file(&file)?;
    let mut compiler = compile::compiler(None, references, &name, &mut budget)?;
    for import in &file.dependency {
        compiler.open_file(import).map_err(|error| told(&error, &name))?;
    }
    let mut pool = compiler.descriptor_pool();
    pool.decode_file_descriptor_proto(renamed(descriptor, &name).ok_or_else(unreadable)?.as_slice()).map_err(
        |error| {
            let said: String = error.to_string().chars().take(300).collect();
            refused(format!("the schema's descriptor is refused: {said}; mend it"))
        },
    )?;
    let text = print::text(&pool.get_file_by_name(&name).ok_or_else(unreadable)?, Order::AsWritten);
    let compiled = compile::compile(&text, references)?;
    // A descriptor may say what no text does, and then nobody could tell what was registered.
    match plain(compiled.file.file_descriptor_proto()) == plain(&file) {
        true => Ok(text),
        false => Err(refused(
            "the schema's descriptor says what the text of a file cannot say; register the text, or what a compiler makes of it",
        )),
    }
}

/// A compiled file as serializers take it.
pub(super) fn serialized(file: &FileDescriptor) -> Vec<u8> {
    let bytes = file.encode_to_vec();
    renamed(&bytes, file.name()).unwrap_or(bytes)
}

/// The same descriptor with another name, and without what says where in a text its parts stand.
fn renamed(descriptor: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut message = DynamicMessage::decode(DescriptorPool::global().get_message_by_name(FILE)?, descriptor).ok()?;
    message.set_field_by_name("name", Value::String(name.to_owned()));
    message.clear_field_by_name("source_code_info");
    Some(message.encode_to_vec())
}

/// A descriptor in which what may be left out is left out.
fn plain(file: &FileDescriptorProto) -> FileDescriptorProto {
    let mut file = file.clone();
    (file.name, file.source_code_info) = (None, None);
    file.package = file.package.filter(|package| !package.is_empty());
    file.syntax = file.syntax.filter(|syntax| syntax == "proto3");
    file.options = file.options.filter(|options| *options != Default::default());
    file.message_type.iter_mut().for_each(plain_message);
    file.enum_type.iter_mut().for_each(plain_enum);
    file.extension.iter_mut().for_each(plain_field);
    for service in &mut file.service {
        service.options = service.options.take().filter(|options| *options != Default::default());
        for method in &mut service.method {
            method.options = method.options.take().filter(|options| *options != Default::default());
            method.client_streaming = method.client_streaming.filter(|is_on| *is_on);
            method.server_streaming = method.server_streaming.filter(|is_on| *is_on);
        }
    }
    file
}

fn plain_message(message: &mut DescriptorProto) {
    message.options = message.options.take().filter(|options| *options != Default::default());
    message.field.iter_mut().chain(&mut message.extension).for_each(plain_field);
    message.nested_type.iter_mut().for_each(plain_message);
    message.enum_type.iter_mut().for_each(plain_enum);
    for oneof in &mut message.oneof_decl {
        oneof.options = oneof.options.take().filter(|options| *options != Default::default());
    }
    for range in &mut message.extension_range {
        range.options = range.options.take().filter(|options| *options != Default::default());
    }
}

fn plain_enum(one: &mut EnumDescriptorProto) {
    one.options = one.options.take().filter(|options| *options != Default::default());
    for value in &mut one.value {
        value.options = value.options.take().filter(|options| *options != Default::default());
    }
}

fn plain_field(field: &mut FieldDescriptorProto) {
    field.options = field.options.take().filter(|options| *options != Default::default());
    field.proto3_optional = field.proto3_optional.filter(|is_on| *is_on);
    field.json_name = match field.extendee {
        // It has one name in JSON, which follows from its own.
        Some(_) => None,
        None => Some(field.json_name.take().unwrap_or_else(|| print::json_name(field.name()))),
    };
    if let (Type::Float | Type::Double, Some(default)) = (field.r#type(), &mut field.default_value)
        && let Ok(number) = default.parse::<f64>()
    {
        // The same number is spelled in several ways.
        *default = number.to_string();
    }
}

#[cfg(test)]
mod tests;
