//! Schemas and data as the serializers of the formats other than JSON send them.

use pacioli_api::text::base64;
use serde_json::{Value, json};

use super::Door;

/// What the serializer of Protobuf sends: the descriptor of `message Simple { int64 id = 1; string name = 2; }` in the
/// package `acme`, as `protoc` makes it.
const SIMPLE: &str = "CgxzaW1wbGUucHJvdG8SBGFjbWUiIgoGU2ltcGxlEgoKAmlkGAEgASgDEgwKBG5hbWUYAiABKAliBnByb3RvMw==";
const SIMPLE_TEXT: &str =
    "syntax = \"proto3\";\npackage acme;\nmessage Simple {\n  int64 id = 1;\n  string name = 2;\n}\n";
/// `message Money { int64 cents = 1; string currency = 2; }`, and a message that imports it and a file that is at hand.
const MONEY: &str = "Cgttb25leS5wcm90bxIEYWNtZSIoCgVNb25leRINCgVjZW50cxgBIAEoAxIQCghjdXJyZW5jeRgCIAEoCWIGcHJvdG8z";
const ORDER: &str = concat!(
    "CgtvcmRlci5wcm90bxIEYWNtZRofZ29vZ2xlL3Byb3RvYnVmL3RpbWVzdGFtcC5wcm90bxoLbW9uZXkucHJvdG8iYQoFT3JkZXISCgoCaWQYASABKAMS",
    "DAoEbmFtZRgCIAEoCRImCgJhdBgDIAEoCzIaLmdvb2dsZS5wcm90b2J1Zi5UaW1lc3RhbXASFgoBbRgEIAEoCzILLmFjbWUuTW9uZXliBnByb3RvMw==",
);
const USER: &str = r#"{"type":"record","name":"User","namespace":"acme","fields":[{"name":"id","type":"long"}]}"#;

fn protobuf(schema: &str) -> Value {
    json!({ "schemaType": "PROTOBUF", "schema": schema, "references": [] })
}

/// Avro is what a body is that says nothing, as the oldest clients have it.
fn avro(schema: &str) -> Value {
    json!({ "schema": schema })
}

async fn register(door: &Door, subject: &str, body: Value) -> u32 {
    let told = door.told("POST", &format!("/subjects/{subject}/versions?normalize=false"), Some(body)).await;
    u32::try_from(told["id"].as_u64().unwrap()).unwrap()
}

/// An event whose data is these bytes, as it is answered.
async fn append(door: &Door, event_type: &str, version: u32, bytes: &[u8]) -> crate::support::Answer {
    let event = json!([{
        "specversion": "1.0", "id": uuid::Uuid::now_v7(), "source": "/test", "type": event_type, "schemaversion": version,
        "datacontenttype": "application/octet-stream", "data_base64": base64(bytes),
    }]);
    let headers = [("content-type", "application/cloudevents-batch+json")];
    door.server.send("POST", "/v1/streams/a-1/events", &headers, event.to_string().as_bytes()).await
}

#[tokio::test]
async fn the_descriptor_of_a_file_is_registered_as_its_text() {
    let door = Door::open().await;
    let id = register(&door, "Simple", protobuf(SIMPLE)).await;
    assert_eq!(register(&door, "Simple", protobuf(SIMPLE)).await, id);
    // Whoever writes the file registers the same.
    let text = "// Words.\nsyntax = \"proto3\"; package acme; message Simple { int64 id = 1; string name = 2; }";
    assert_eq!(register(&door, "Simple", protobuf(text)).await, id);
    let looked_up = door.told("POST", "/subjects/Simple", Some(protobuf(SIMPLE))).await;
    assert_eq!((&looked_up["version"], &looked_up["schema"]), (&json!(1), &json!(SIMPLE_TEXT)));
    let check = "/compatibility/subjects/Simple/versions/latest";
    assert_eq!(door.told("POST", check, Some(protobuf(SIMPLE))).await, json!({ "is_compatible": true }));
    assert_eq!(
        door.get(&format!("/schemas/ids/{id}")).await,
        json!({ "schemaType": "PROTOBUF", "schema": SIMPLE_TEXT })
    );
    // Deserializers want the descriptor back, and give it its name themselves.
    let serialized = door.get(&format!("/schemas/ids/{id}?format=serialized&subject=Simple")).await;
    let descriptor = serialized["schema"].as_str().unwrap();
    assert_eq!(register(&door, "Simple", protobuf(descriptor)).await, id);
    assert_eq!(door.get("/subjects/Simple/versions/latest?format=serialized").await["schema"], descriptor);
    let alone = door.ask("GET", "/subjects/Simple/versions/1/schema?format=serialized", None).await;
    assert_eq!(alone.text(), descriptor);
    assert_eq!(door.ask("GET", &format!("/schemas/ids/{id}/schema?format=serialized"), None).await.text(), descriptor);
    door.refused("GET", &format!("/schemas/ids/{id}?format=ignore_extensions"), None, 400, 400).await;

    register(&door, "Money", protobuf(MONEY)).await;
    let reference = json!([{ "name": "money.proto", "subject": "Money", "version": -1 }]);
    let order = json!({ "schemaType": "PROTOBUF", "schema": ORDER, "references": reference });
    let order = register(&door, "Order", order).await;
    let told = door.get(&format!("/schemas/ids/{order}")).await;
    assert!(told["schema"].as_str().unwrap().contains("import \"money.proto\";"), "{told}");
    assert_eq!(told["references"][0]["version"], 1);
    door.refused("POST", "/subjects/Alone/versions", Some(protobuf(ORDER)), 422, 42201).await;
    for garbage in ["AAAA", "Cgx", "bWVzc2FnZSBNIHt9"] {
        door.refused("POST", "/subjects/Alone/versions", Some(protobuf(garbage)), 422, 42201).await;
    }
}

#[tokio::test]
async fn texts_that_say_another_thing_to_a_client_are_schemas_of_their_own() {
    let door = Door::open().await;
    let plain = register(&door, "Plain", avro("\"string\"")).await;
    let java = register(&door, "Java", avro(r#"{"type":"string","avro.java.string":"String"}"#)).await;
    assert_ne!(plain, java);
    assert_eq!(register(&door, "Other", avro(r#" {"type": "string"} "#)).await, plain);
    assert_eq!(door.get(&format!("/schemas/ids/{plain}")).await, json!({ "schema": "\"string\"" }));
    // Words alone are a version of their own, whose number grows in its last part.
    let user = register(&door, "User", avro(USER)).await;
    let named = USER.replace("\"name\":\"User\"", "\"name\":\"User\",\"connect.name\":\"u\",\"doc\":\"Words.\"");
    let told = register(&door, "User", avro(&named)).await;
    assert_ne!(user, told);
    assert_eq!(register(&door, "User", avro(USER)).await, user, "an older producer starts again");
    assert_eq!(door.get("/subjects/User/versions").await, json!([1, 2]));
    let semver = door.server.client().schemas().registry(None).await.unwrap();
    let semver = semver.schemas.iter().find(|one| one.id == told).unwrap().semver;
    assert_eq!(semver.to_string(), "1.0.1");
    let with_options = SIMPLE_TEXT.replace("message", "option java_package = \"com.acme\";\nmessage");
    let simple = register(&door, "Simple", protobuf(SIMPLE_TEXT)).await;
    assert_ne!(register(&door, "Simple", protobuf(&with_options)).await, simple);
}

#[tokio::test]
async fn the_number_in_front_of_data_is_that_of_its_version() {
    let door = Door::open().await;
    register(&door, "Other", avro("\"int\"")).await;
    let user = register(&door, "User", avro(USER)).await;
    let simple = register(&door, "Simple", protobuf(SIMPLE)).await;
    let framed = |id: u32, rest: &[u8]| [&[0], &id.to_be_bytes()[..], rest].concat();
    for (event_type, id, rest) in [("User", user, &[10][..]), ("Simple", simple, &[0, 8, 5])] {
        let kept = append(&door, event_type, 1, &framed(id, rest)).await;
        assert_eq!(kept.status, 201, "{}", kept.text());
        let refused = append(&door, event_type, 1, &framed(1, rest)).await;
        let (kind, detail) = refused.problem(400);
        assert_eq!(kind, "schema-violated", "{detail}");
        assert!(refused.text().contains("is framed as data of the schema 1"), "{}", refused.text());
    }
}
