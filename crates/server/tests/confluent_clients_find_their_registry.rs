//! The schema registry in Confluent's form: what serializers and build plugins ask, and how they are refused.

use pacioli_server::tokens::{Role, new_token};
use pacioli_server::{OpenOptions, ServerConfig, open_store_with};
use serde_json::{Value, json};

use crate::support::{Answer, TestServer, config};

#[cfg(all(feature = "avro", feature = "protobuf"))]
mod formats;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const V1: &str = r#"{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}"#;
/// The same, spelled in another way.
const V1_SPACED: &str =
    "{ \"required\": [\"amount\"],\n  \"properties\": {\"amount\": {\"type\": \"integer\"}}, \"type\": \"object\" }";
const V2: &str =
    r#"{"type":"object","properties":{"amount":{"type":"integer"},"note":{"type":"string"}},"required":["amount"]}"#;
const BREAK: &str = r#"{"type":"object","properties":{"cents":{"type":"integer"}},"required":["cents"]}"#;

struct Door {
    server: TestServer,
}

impl Door {
    async fn open() -> Door {
        Door::with(config()).await
    }

    async fn with(config: ServerConfig) -> Door {
        let opened = open_store_with("memory:", OpenOptions::default()).await.unwrap();
        Door { server: TestServer::with_schemas(config, &opened).await }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let headers = [("content-type", MEDIA_TYPE)];
        self.server.send(method, &format!("/schema-registry{path}"), &headers, body.as_bytes()).await
    }

    /// A good answer.
    async fn told(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.ask(method, path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some(MEDIA_TYPE), "{method} {path}");
        answer.json()
    }

    async fn get(&self, path: &str) -> Value {
        self.told("GET", path, None).await
    }

    async fn delete(&self, path: &str) -> Value {
        self.told("DELETE", path, None).await
    }

    async fn register(&self, subject: &str, schema: &str) -> u64 {
        let told = self.told("POST", &format!("/subjects/{subject}/versions"), Some(body(schema))).await;
        told["id"].as_u64().unwrap()
    }

    /// A refusal, with Confluent's code and a message.
    async fn refused(&self, method: &str, path: &str, body: Option<Value>, status: u16, code: u64) -> String {
        let answer = self.ask(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some(MEDIA_TYPE), "{method} {path}");
        let told = answer.json();
        assert_eq!(told["error_code"], code, "{method} {path}: {told}");
        assert_eq!(told.as_object().unwrap().len(), 2, "{told}");
        told["message"].as_str().unwrap().to_owned()
    }
}

fn body(schema: &str) -> Value {
    json!({ "schemaType": "JSON", "schema": schema })
}

#[tokio::test]
async fn a_serializer_registers_and_a_deserializer_finds_it() {
    let door = Door::open().await;
    assert_eq!(door.get("").await, json!({}));
    assert_eq!(door.get("/subjects").await, json!([]));

    // What a producer with `auto.register.schemas` does, and once more after a restart, with another spelling.
    let id = door.register("MoneyDeposited-value", V1).await;
    assert_eq!(door.register("MoneyDeposited-value", V1).await, id);
    assert_eq!(door.register("MoneyDeposited-value", V1_SPACED).await, id);
    // What one does without.
    let looked_up = door.told("POST", "/subjects/MoneyDeposited-value?normalize=true", Some(body(V1_SPACED))).await;
    assert_eq!(
        looked_up,
        json!({ "subject": "MoneyDeposited-value", "version": 1, "id": id, "schemaType": "JSON", "schema": V1 })
    );
    // What a consumer does with the id of a message.
    let by_id = door.get(&format!("/schemas/ids/{id}?fetchMaxId=true&subject=MoneyDeposited-value")).await;
    assert_eq!(by_id, json!({ "schemaType": "JSON", "schema": V1, "maxId": id }));
    assert_eq!(door.ask("GET", &format!("/schemas/ids/{id}/schema"), None).await.text(), V1);

    let newer = door.register("MoneyDeposited-value", V2).await;
    assert_ne!(newer, id);
    // An application of the release before starts again, and its schema is still known.
    assert_eq!(door.register("MoneyDeposited-value", V1).await, id);
    // By the name of the record it is the same.
    assert_eq!(door.get("/subjects/MoneyDeposited/versions").await, json!([1, 2]));
    let latest = door.get("/subjects/MoneyDeposited/versions/latest").await;
    assert_eq!((&latest["version"], &latest["id"], &latest["schema"]), (&json!(2), &json!(newer), &json!(V2)));
    assert_eq!(door.ask("GET", "/subjects/MoneyDeposited/versions/1/schema", None).await.text(), V1);
    assert_eq!(door.get("/subjects?subjectPrefix=:*:Money").await, json!(["MoneyDeposited"]));
    assert_eq!(door.get("/subjects?offset=1").await, json!([]));
    for same in ["/subjects/", "/subjects?offset=-1&limit=-5", "/subjects?deleted=TRUE"] {
        assert_eq!(door.get(same).await, json!(["MoneyDeposited"]), "{same}");
    }

    // The same text has the same id in every subject.
    assert_eq!(door.register("MoneyReceived", V1).await, id);
    assert_eq!(door.get(&format!("/schemas/ids/{id}/subjects")).await, json!(["MoneyDeposited", "MoneyReceived"]));
    assert_eq!(
        door.get(&format!("/schemas/ids/{id}/versions")).await,
        json!([{ "subject": "MoneyDeposited", "version": 1 }, { "subject": "MoneyReceived", "version": 1 }])
    );
    let all = door.get("/schemas?latestOnly=true").await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[0]["version"], 2);
    assert!(door.get("/schemas/types").await.as_array().unwrap().contains(&json!("JSON")));
    assert_eq!(door.get("/contexts").await, json!(["."]));
    assert!(door.get("/v1/metadata/id").await["id"].is_string());
    assert!(door.get("/v1/metadata/version").await["version"].is_string());
    // What is registered here is enforced everywhere.
    let refused = door.server.append("account-1", r#"[{"type":"MoneyDeposited","data":{"amount":"five"}}]"#, &[]).await;
    assert_eq!(refused.problem(400).0, "schema-violated");
}

#[tokio::test]
async fn what_is_not_there_has_confluents_codes() {
    let door = Door::open().await;
    let posted = || Some(body(V1));
    door.refused("GET", "/subjects/nobody/versions", None, 404, 40401).await;
    door.refused("GET", "/subjects/nobody/versions/1", None, 404, 40401).await;
    door.refused("POST", "/subjects/nobody", posted(), 404, 40401).await;
    door.refused("DELETE", "/subjects/nobody", None, 404, 40401).await;
    door.refused("GET", "/schemas/ids/77", None, 404, 40403).await;
    door.refused("GET", "/schemas/ids/x", None, 404, 40403).await;
    let id = door.register("MoneyDeposited", V1).await;
    door.refused("GET", "/subjects/MoneyDeposited/versions/2", None, 404, 40402).await;
    door.refused("POST", "/subjects/MoneyDeposited", Some(body(V2)), 404, 40403).await;
    door.refused("GET", "/config/MoneyDeposited", None, 404, 40408).await;
    door.refused("GET", "/mode/MoneyDeposited", None, 404, 40409).await;
    door.refused("DELETE", "/config/MoneyDeposited", None, 404, 40401).await;
    // Clients print it as it is, and know nothing of the other paths of a server.
    for path in ["/nothing", "/subjects/a/b/c", "/schemas/ids/1/nothing"] {
        assert_eq!(door.refused("GET", path, None, 404, 404).await, "HTTP 404 Not Found");
    }
    door.refused("GET", "/schemas/guids/6e5dbd43-2a3c-4d4e-8f4e-000000000000", None, 404, 40403).await;
    door.refused("PATCH", "/subjects", None, 405, 405).await;

    for version in ["0", "-2", "x", "2147483648"] {
        door.refused("GET", &format!("/subjects/MoneyDeposited/versions/{version}"), None, 422, 42202).await;
    }
    let path = "/subjects/MoneyDeposited/versions";
    for schema in ["", "{", r#"{"type":"number-ish"}"#, r#"{"$ref":"http://127.0.0.1:1/x.json"}"#] {
        door.refused("POST", path, Some(body(schema)), 422, 42201).await;
    }
    door.refused("POST", path, Some(json!({ "schemaType": "XML", "schema": "<a/>" })), 422, 42201).await;
    door.refused("POST", path, Some(json!({})), 422, 42201).await;
    door.refused("POST", "/subjects/orders-key/versions", posted(), 422, 42208).await;
    door.refused("POST", "/subjects/:.other:orders/versions", posted(), 422, 42208).await;
    door.refused("POST", path, Some(json!({ "schemaType": "JSON", "schema": V2, "id": 7 })), 422, 42205).await;
    door.refused("POST", path, Some(json!({ "schemaType": "JSON", "schema": V2, "version": 9 })), 422, 42202).await;
    let rules = json!({ "schemaType": "JSON", "schema": V2, "ruleSet": { "domainRules": [{ "name": "r" }] } });
    door.refused("POST", path, Some(rules), 422, 42210).await;
    let missing =
        json!({ "schemaType": "JSON", "schema": V2, "references": [{ "name": "m", "subject": "M", "version": 1 }] });
    door.refused("POST", path, Some(missing), 422, 42201).await;
    let wrong =
        door.server.send("POST", &format!("/schema-registry{path}"), &[("content-type", "text/xml")], b"x").await;
    assert_eq!((wrong.status, &wrong.json()["error_code"]), (415, &json!(415)));
    let garbage = door.server.send("POST", &format!("/schema-registry{path}"), &[], b"{").await;
    assert_eq!((garbage.status, &garbage.json()["error_code"]), (400, &json!(400)));
    // Nothing of that did anything.
    assert_eq!(door.get("/subjects").await, json!(["MoneyDeposited"]));
    assert_eq!(door.register("MoneyDeposited", V1).await, id);
}

#[tokio::test]
async fn a_break_is_a_conflict_that_says_why() {
    let door = Door::open().await;
    door.register("MoneyDeposited", V1).await;
    let path = "/subjects/MoneyDeposited/versions";
    let message = door.refused("POST", path, Some(body(BREAK)), 409, 409).await;
    assert!(message.contains("amount"), "{message}");
    let check = "/compatibility/subjects/MoneyDeposited/versions";
    assert_eq!(door.told("POST", &format!("{check}/latest"), Some(body(V2))).await, json!({ "is_compatible": true }));
    let told = door.told("POST", &format!("{check}/1?verbose=true"), Some(body(BREAK))).await;
    assert_eq!(told["is_compatible"], false);
    assert!(told["messages"][0].as_str().unwrap().contains("amount"), "{told}");
    assert_eq!(door.told("POST", check, Some(body(BREAK))).await, json!({ "is_compatible": false }));
    door.refused("POST", &format!("{check}/7"), Some(body(V2)), 404, 40402).await;
    door.refused("POST", &format!("{check}/latest"), Some(body("{")), 422, 42201).await;
    let nobody = "/compatibility/subjects/nobody/versions/latest";
    assert_eq!(door.told("POST", nobody, Some(body(V1))).await, json!({ "is_compatible": true }));
    door.refused("POST", nobody, Some(body("{")), 422, 42201).await;
    door.refused("POST", "/compatibility/subjects/nobody/versions/1", Some(body(V1)), 404, 40402).await;
}

#[tokio::test]
async fn what_is_deleted_is_hidden_first_and_then_gone() {
    let door = Door::open().await;
    let id = door.register("MoneyDeposited", V1).await;
    door.register("MoneyDeposited", V2).await;
    let at = "/subjects/MoneyDeposited";
    door.refused("DELETE", &format!("{at}?permanent=true"), None, 404, 40405).await;
    door.refused("DELETE", &format!("{at}/versions/1?permanent=true"), None, 404, 40407).await;
    assert_eq!(door.delete(&format!("{at}/versions/1")).await, json!(1));
    door.refused("DELETE", &format!("{at}/versions/1"), None, 404, 40406).await;
    assert_eq!(door.get(&format!("{at}/versions")).await, json!([2]));
    assert_eq!(door.get(&format!("{at}/versions?deleted=true")).await, json!([1, 2]));
    assert_eq!(door.get(&format!("{at}/versions?deletedOnly=true")).await, json!([1]));
    door.refused("GET", &format!("{at}/versions/1"), None, 404, 40402).await;
    assert_eq!(door.get(&format!("{at}/versions/1?deleted=true")).await["version"], 1);
    // Messages that carry its id are still read.
    assert_eq!(door.get(&format!("/schemas/ids/{id}")).await["schema"], V1);
    assert_eq!(door.get(&format!("/schemas/ids/{id}/versions")).await, json!([]));
    door.refused("POST", at, Some(body(V1)), 404, 40403).await;
    assert_eq!(door.told("POST", &format!("{at}?deleted=true"), Some(body(V1))).await["version"], 1);

    assert_eq!(door.delete(at).await, json!([2]));
    door.refused("DELETE", at, None, 404, 40404).await;
    door.refused("GET", &format!("{at}/versions"), None, 404, 40401).await;
    assert_eq!(door.get("/subjects").await, json!([]));
    assert_eq!(door.get("/subjects?deletedOnly=true").await, json!(["MoneyDeposited"]));
    assert_eq!(door.delete(&format!("{at}?permanent=true")).await, json!([1, 2]));
    assert_eq!(door.get("/subjects?deleted=true").await, json!([]));
    door.refused("GET", &format!("/schemas/ids/{id}"), None, 404, 40403).await;
}

#[tokio::test]
async fn what_others_refer_to_stays() {
    let door = Door::open().await;
    let money = r#"{"$id":"money.json","type":"object","properties":{"cents":{"type":"integer"}}}"#;
    door.register("Money", money).await;
    let order = json!({
        "schemaType": "JSON",
        "schema": r#"{"type":"object","properties":{"total":{"$ref":"money.json"}}}"#,
        "references": [{ "name": "money.json", "subject": "Money", "version": 1 }]
    });
    let told = door.told("POST", "/subjects/OrderPlaced/versions", Some(order.clone())).await;
    assert_eq!(door.get("/subjects/Money/versions/1/referencedby").await, json!([told["id"]]));
    let stored = door.get("/subjects/OrderPlaced/versions/1").await;
    assert_eq!(stored["references"], order["references"]);
    // The newest there is, whichever that is by then.
    let newest = json!({
        "schemaType": "JSON",
        "schema": r#"{"type":"object","properties":{"paid":{"$ref":"money.json"}}}"#,
        "references": [{ "name": "money.json", "subject": "Money", "version": -1 }]
    });
    door.told("POST", "/subjects/OrderPaid/versions", Some(newest.clone())).await;
    assert_eq!(door.get("/subjects/OrderPaid/versions/1").await["references"], order["references"]);
    assert_eq!(door.told("POST", "/subjects/OrderPaid", Some(newest.clone())).await["version"], 1);
    assert_eq!(door.delete("/subjects/OrderPaid").await, json!([1]));
    door.refused("DELETE", "/subjects/Money/versions/1", None, 422, 42206).await;
    door.refused("DELETE", "/subjects/Money", None, 422, 42206).await;
    assert_eq!(door.delete("/subjects/OrderPlaced").await, json!([1]));
    assert_eq!(door.delete("/subjects/Money").await, json!([1]));
}

#[tokio::test]
async fn levels_and_modes_are_set_for_all_or_for_one() {
    let door = Door::open().await;
    let level = |level: &str| Some(json!({ "compatibility": level }));
    assert_eq!(door.get("/config").await, json!({ "compatibilityLevel": "BACKWARD" }));
    assert_eq!(door.told("PUT", "/config", level("full")).await, json!({ "compatibility": "FULL" }));
    assert_eq!(door.get("/config").await, json!({ "compatibilityLevel": "FULL" }));
    door.refused("GET", "/config/Money", None, 404, 40408).await;
    assert_eq!(door.get("/config/Money?defaultToGlobal=true").await, json!({ "compatibilityLevel": "FULL" }));
    assert_eq!(door.told("PUT", "/config/Money-value", level("NONE")).await, json!({ "compatibility": "NONE" }));
    assert_eq!(door.get("/config/Money").await, json!({ "compatibilityLevel": "NONE" }));
    assert_eq!(door.delete("/config/Money").await, json!({ "compatibilityLevel": "NONE" }));
    door.refused("GET", "/config/Money", None, 404, 40408).await;
    assert_eq!(door.delete("/config").await, json!({ "compatibilityLevel": "FULL" }));
    assert_eq!(door.get("/config").await, json!({ "compatibilityLevel": "BACKWARD" }));
    door.refused("PUT", "/config", level("sideways"), 422, 42203).await;
    door.refused("PUT", "/config", Some(json!({})), 422, 42203).await;
    let group = json!({ "compatibility": "FULL", "compatibilityGroup": "major" });
    door.refused("PUT", "/config", Some(group), 422, 42205).await;
    // Schemas are compared by what they say, and cannot be otherwise.
    assert_eq!(door.told("PUT", "/config", Some(json!({ "normalize": true }))).await, json!({ "normalize": true }));
    let both = json!({ "compatibility": "FULL", "normalize": true });
    assert_eq!(door.told("PUT", "/config", Some(both)).await, json!({ "compatibility": "FULL" }));
    assert_eq!(door.delete("/config").await, json!({ "compatibilityLevel": "FULL" }));
    door.refused("PUT", "/config", Some(json!({ "normalize": false })), 422, 42205).await;

    let mode = |mode: &str| Some(json!({ "mode": mode }));
    assert_eq!(door.get("/mode").await, json!({ "mode": "READWRITE" }));
    assert_eq!(door.told("PUT", "/mode", mode("READONLY")).await, json!({ "mode": "READONLY" }));
    door.refused("POST", "/subjects/Money/versions", Some(body(V1)), 422, 42205).await;
    assert_eq!(door.told("PUT", "/mode/Money", mode("READWRITE")).await, json!({ "mode": "READWRITE" }));
    door.register("Money", V1).await;
    assert_eq!(door.get("/mode/Other?defaultToGlobal=true").await, json!({ "mode": "READONLY" }));
    assert_eq!(door.delete("/mode/Money").await, json!({ "mode": "READWRITE" }));
    door.refused("DELETE", "/subjects/Money", None, 422, 42205).await;
    // What is registered already is a look-up.
    door.register("Money", V1_SPACED).await;
    door.refused("POST", "/subjects/Money/versions", Some(body(V2)), 422, 42205).await;
    for path in ["/config", "/config/Money"] {
        door.refused("PUT", path, level("FULL"), 422, 42205).await;
    }
    door.refused("DELETE", "/config", None, 422, 42205).await;
    assert_eq!(door.delete("/mode").await, json!({ "mode": "READONLY" }));
    assert_eq!(door.get("/mode").await, json!({ "mode": "READWRITE" }));
    for wrong in ["IMPORT", "READONLY_OVERRIDE", "WRITEONLY", ""] {
        door.refused("PUT", "/mode", mode(wrong), 422, 42204).await;
    }
}

#[tokio::test]
async fn a_level_that_is_set_here_brings_confluents_rules() {
    let door = Door::open().await;
    door.register("Ours", V1).await;
    door.register("Theirs", V1).await;
    // An optional field is an addition for whoever ignores what it does not know. Theirs says that older data may have
    // had such a field with another type, since nothing forbade it.
    door.told("PUT", "/config/Theirs", Some(json!({ "compatibility": "BACKWARD" }))).await;
    door.register("Ours", V2).await;
    door.refused("POST", "/subjects/Theirs/versions", Some(body(V2)), 409, 409).await;
    let check = "/compatibility/subjects/Theirs/versions/latest";
    assert_eq!(door.told("POST", check, Some(body(V2))).await["is_compatible"], false);
    door.delete("/config/Theirs").await;
    assert_eq!(door.told("POST", check, Some(body(V2))).await["is_compatible"], true);
    door.register("Theirs", V2).await;
}

#[tokio::test]
async fn a_token_is_asked_for_in_confluents_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let (secret, line) = new_token(Role::Read, "a reader").unwrap();
    std::fs::write(&path, format!("{line}\n")).unwrap();
    let door = Door::with(ServerConfig { tokens: Some(path), ..config() }).await;
    door.refused("GET", "/subjects", None, 401, 401).await;
    let headers = [("authorization", &*format!("Bearer {secret}")), ("content-type", MEDIA_TYPE)];
    assert_eq!(door.server.send("GET", "/schema-registry/subjects", &headers, b"").await.status, 200);
    let body = body(V1).to_string();
    let refused = door.server.send("POST", "/schema-registry/subjects/Money/versions", &headers, body.as_bytes()).await;
    assert_eq!((refused.status, &refused.json()["error_code"]), (403, &json!(403)));
    // A registry's clients know basic authentication, with the token as the password.
    let basic = format!("Basic {}", base64(&format!("anybody:{secret}")));
    let headers = [("authorization", &*basic)];
    assert_eq!(door.server.send("GET", "/schema-registry/subjects", &headers, b"").await.status, 200);
    assert_eq!(door.server.send("GET", "/v1/events", &headers, b"").await.status, 401, "elsewhere it is no token");
}

fn base64(text: &str) -> String {
    pacioli_api::text::base64(text.as_bytes())
}
