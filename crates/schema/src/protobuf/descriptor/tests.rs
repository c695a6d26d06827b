//! From text to a descriptor and back: what is printed of a descriptor compiles to that descriptor again.

use proptest::prelude::*;
use prost_reflect::prost::Message;
use prost_reflect::text_format::FormatOptions;

use super::*;
use crate::protobuf::ProtobufSchema;

/// The descriptor of a text, as another compiler than this crate's would write it, too: without the names in JSON that follow
/// from the others.
fn descriptor(text: &str, references: &[Reference]) -> Vec<u8> {
    ProtobufSchema::parse(text, references).unwrap_or_else(|error| panic!("{text}: {error}")).descriptor()
}

/// A descriptor in the text format, with the options that it defines itself as unknown fields.
fn told(descriptor: &[u8]) -> Vec<String> {
    let of = DescriptorPool::global().get_message_by_name(FILE).unwrap();
    let message = DynamicMessage::decode(of, descriptor).unwrap();
    let options = FormatOptions::new().pretty(true).skip_unknown_fields(false);
    message.to_text_format_with_options(&options).lines().map(str::to_owned).collect()
}

fn there_and_back(text: &str, references: &[Reference]) -> String {
    let before = descriptor(text, references);
    let printed = super::text(&before, references).unwrap_or_else(|error| panic!("{text}: {error}"));
    let after = descriptor(&printed, references);
    assert_eq!(told(&after), told(&before), "{text}\n{printed}");
    // What is printed once stays as it is.
    assert_eq!(super::text(&after, references).unwrap(), printed);
    let is_same = |one: &str| ProtobufSchema::parse(one, references).unwrap().canonical().to_owned();
    assert_eq!(is_same(text), is_same(&printed), "{printed}");
    printed
}

const EVERYTHING: &str = r#"
    syntax = "proto3";
    package shop.v1;
    import public "google/protobuf/timestamp.proto";
    import "google/type/money.proto";
    import "confluent/meta.proto";
    option java_package = "com.shop \"v1\"\n";
    option java_multiple_files = true;
    option optimize_for = CODE_SIZE;
    option (confluent.file_meta) = { doc: "orders", tags: "a", tags: "b", params: [{ key: "k", value: "v" }] };
    message Order {
        option deprecated = true;
        option (confluent.message_meta).doc = "it's one \\ order";
        int64 order_id = 1 [json_name = "ID", jstype = JS_STRING];
        message Before { string a = 1; }
        map<string, Before> labels = 2 [deprecated = true];
        message After { enum Kind { NONE = 0; SOME = 1; } Kind kind = 1; }
        optional string note = 3;
        oneof way { string street = 4; After place = 5 [(confluent.field_meta) = { doc: "é" }]; }
        repeated int32 counts = 6 [packed = false];
        google.protobuf.Timestamp at = 7;
        google.type.Money total = 8;
        oneof pay { bool cash = 9; }
        map<int32, google.type.Money> prices = 10;
        reserved 20, 30 to 40, 1000 to max;
        reserved "old", "older";
        optional bytes more = 11;
    }
    enum State {
        option allow_alias = true;
        OPEN = 0;
        STARTED = 0 [deprecated = true];
        DONE = -1;
        reserved 5 to 7, 100 to max;
        reserved "GONE";
    }
    message Other { Order order = 1; .shop.v1.State state = 2; }
    service Orders {
        option deprecated = true;
        rpc Place (Order) returns (Other);
        rpc Watch (stream Order) returns (stream Other) { option idempotency_level = NO_SIDE_EFFECTS; }
    }"#;

const PROTO2: &str = r#"
    syntax = "proto2";
    import "google/protobuf/descriptor.proto";
    message Old {
        required string name = 1 [default = "a\"b\\c\té"];
        optional bytes key = 2 [default = "\000\377\"x"];
        optional double weight = 3 [default = 1e20];
        optional float share = 4 [default = -inf];
        optional int32 count = 5 [default = -7];
        optional Kind kind = 6 [default = B];
        optional bool is_on = 7 [default = true];
        repeated group Line = 8 { required int32 sku = 1; optional group Deep = 2 { optional int32 x = 1; } }
        extensions 100 to 199, 500 to max;
        enum Kind { A = 1; B = 2; }
        oneof one { string a = 9; group In = 10 { optional int32 y = 1; } }
        extend Old { optional string inner = 100; }
        reserved 50;
    }
    extend Old { optional int32 outer = 101 [default = 5]; repeated Old list = 102; }
    extend google.protobuf.FieldOptions {
        optional int32 mark = 50001; repeated string words = 50002; optional Old.Kind sort = 50003;
        optional double part = 50004; optional bytes raw = 50005;
    }
    message Marked {
        optional int32 a = 1 [(mark) = 7, (words) = "x", (words) = "y\"", (sort) = B, (part) = 0.1, (raw) = "\001\377"];
    }"#;

#[test]
fn every_part_of_a_file_goes_there_and_back() {
    let printed = there_and_back(EVERYTHING, &[]);
    for part in [
        "import public \"google/protobuf/timestamp.proto\";",
        "option (confluent.file_meta) = {",
        "map<string, .shop.v1.Order.Before> labels = 2 [deprecated = true];",
        "optional string note = 3;",
        "reserved 1000 to max;",
        "rpc Watch (stream .shop.v1.Order) returns (stream .shop.v1.Other) {",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    there_and_back(PROTO2, &[]);
    there_and_back("message Bare { optional int32 a = 1; }", &[]);
    there_and_back(
        "syntax = \"proto3\"; message M { message N { message O {} O o = 1; } N.O o = 1; optional N n = 2; }",
        &[],
    );
}

#[test]
fn imports_are_references_by_their_names() {
    let text = "syntax = \"proto3\"; package shop; message Money { int64 cents = 1; }".to_owned();
    let money = Reference { name: "shop/money.proto".to_owned(), text };
    let text = "syntax = \"proto3\"; package shop; import \"shop/money.proto\"; message Paid { Money amount = 1; }";
    there_and_back(text, std::slice::from_ref(&money));
    let error = super::text(&descriptor(text, &[money]), &[]).unwrap_err();
    assert!(error.problem.contains("shop/money.proto"), "{error}");
}

/// A descriptor that was not made of a text.
fn made(change: impl FnOnce(&mut FileDescriptorProto)) -> Vec<u8> {
    let mut file = FileDescriptorProto {
        name: Some("made.proto".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("M".to_owned()),
            field: vec![FieldDescriptorProto {
                name: Some("order_id".to_owned()),
                number: Some(1),
                label: Some(1),
                r#type: Some(Type::Int64.into()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    change(&mut file);
    file.encode_to_vec()
}

#[test]
fn what_a_text_cannot_say_is_refused() {
    assert_eq!(
        super::text(&made(|_| ()), &[]).unwrap(),
        "syntax = \"proto3\";\nmessage M {\n  int64 order_id = 1;\n}\n"
    );
    let field = |change: fn(&mut FieldDescriptorProto)| made(|file| change(&mut file.message_type[0].field[0]));
    for (name, descriptor) in [
        ("no descriptor", b"message M {}".to_vec()),
        ("editions", made(|file| file.syntax = Some("editions".to_owned()))),
        ("two of a name", made(|file| file.message_type.push(file.message_type[0].clone()))),
        ("a name that is none", field(|field| field.name = Some("a = 1; int32 b".to_owned()))),
        ("a package that is none", made(|file| file.package = Some("a; option java_package = \"x\"".to_owned()))),
        (
            "a default that is none",
            field(|field| field.default_value = Some("1]; int32 b = 2 [default = 1".to_owned())),
        ),
        ("a type that is not there", field(|field| field.type_name = Some(".no.Where".to_owned()))),
        ("an import that is not there", made(|file| file.dependency.push("/etc/passwd".to_owned()))),
        ("a long one", made(|file| file.name = Some("x".repeat(1 << 20)))),
    ] {
        assert!(super::text(&descriptor, &[]).is_err(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_files_go_there_and_back(parts in proptest::collection::vec((0..14_u8, any::<u8>(), "[ -~]{0,12}"), 1..12)) {
        let mut text = "syntax = \"proto3\"; message M {\n".to_owned();
        let mut behind = String::new();
        for (number, (part, byte, word)) in parts.iter().enumerate() {
            let (at, word) = (number + 1, word.replace('\\', "\\\\").replace('"', "\\\""));
            text.push_str(&match part {
                0 => format!("int32 some_field{at} = {at};"),
                1 => format!("optional string f_{at} = {at} [json_name = \"x{byte}_{at}\"];"),
                2 => format!("map<string, bytes> m{at} = {at};"),
                3 => format!("map<fixed64, N{at}> m{at} = {at}; message N{at} {{ bool b = {byte}1; }}"),
                4 => format!("message N{at} {{ message O {{ double d = 1; }} repeated O o = 1; }} N{at}.O n{at} = {at};"),
                5 => format!("oneof o{at} {{ string a{at} = {at}; int64 b{at} = {at}00; }}"),
                6 => format!("repeated sint64 r{at} = {at} [packed = {}];", byte % 2 == 0),
                7 => format!("enum E{at} {{ A{at} = 0; B{at} = -{at}; }} E{at} e{at} = {at};"),
                8 => format!("reserved {at}; reserved \"gone{at}\";"),
                9 => format!("reserved {at}000 to {at}999;"),
                10 => format!("M again{at} = {at} [deprecated = true];"),
                11 => {
                    behind.push_str(&format!("message Z{byte}_{at} {{ optional M m = {at}; }}"));
                    String::new()
                }
                12 => {
                    behind.push_str(&format!("enum Y{at} {{ option deprecated = true; Y{at}A = 0; }}"));
                    String::new()
                }
                _ => {
                    behind.push_str(&format!("service S{at} {{ rpc Do (stream M) returns (M); }}"));
                    if !behind.contains("java_package") {
                        behind.push_str(&format!("option java_package = \"{word}\";"));
                    }
                    String::new()
                }
            });
        }
        there_and_back(&format!("{text}\n}}{behind}"), &[]);
    }
}
