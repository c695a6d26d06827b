//! The registry's service over gRPC, and what it means for appends at every door.

use futures::StreamExt;
use pacioli_api::problem::{Kind, Problem};
use pacioli_api::schemas::{Comparison, ImpactOf, ReaderCheck, ReaderKind, Registration, Side, Size};
use pacioli_core::schemas::{SchemaFormat, Setting, SettingScope, Shape};
use pacioli_core::{
    Append, AppendOutcome, EventId, EventStore, ExpectedVersion, NewEvent, Refusal, StreamName, Subscribe, Tracking,
};
use serde_json::json;
use uuid::Uuid;

use crate::read_models::{BALANCES, Models};
use crate::registry::{Registry, STORES, TO_V3, V1, V2, V3, event_type, order_placed};

fn kind(problem: &Problem) -> &'static str {
    problem.kind().slug()
}

#[tokio::test]
async fn a_schema_is_registered_once_and_its_changes_are_told() {
    for store in STORES {
        let registry = Registry::start(store).await;
        let schemas = registry.client.schemas();
        let would_be = Registration { dry_run: true, ..order_placed(V1, None) };
        let would_be = schemas.register(&would_be).await.unwrap();
        assert_eq!((would_be.version, would_be.semver.to_string().as_str(), would_be.checkpoint), (1, "1.0.0", None));
        let unknown = schemas.schema(&event_type("OrderPlaced"), None).await.unwrap_err();
        assert_eq!((kind(&unknown), unknown.exit_code()), ("schema-not-found", 4));

        let first = registry.register(V1, None).await;
        assert_eq!((first.version, first.is_known, first.checkpoint.unwrap().to_string().as_str()), (1, false, "0:1"));
        let again = registry.register(&V1.replace(':', ": "), None).await;
        assert_eq!((again.version, again.is_known, again.checkpoint), (1, true, None));
        registry.place(r#"{"amount":5}"#).await;

        let mut understated = order_placed(V2, None);
        understated.proposed.semver = Some("1.0.1".parse().unwrap());
        let refused = schemas.register(&understated).await.unwrap_err();
        assert_eq!((kind(&refused), refused.member("least")), ("schema-refused", Some(&json!("1.1.0"))));
        let second = registry.register(V2, None).await;
        assert_eq!((second.version, second.semver.to_string().as_str(), second.size), (2, "1.1.0", Size::Minor));
        assert_eq!(second.changes[0].path, "/note");

        let broken = schemas.register(&order_placed(V3, None)).await.unwrap_err();
        assert_eq!((kind(&broken), broken.status()), ("schema-incompatible", 409));
        assert!(broken.detail().contains("amount") && broken.member("changes").is_some(), "{broken}");
        let lifts_nothing = r#"{"from":2,"to":3,"steps":[]}"#;
        let refused = schemas.register(&order_placed(V3, Some(lifts_nothing))).await.unwrap_err();
        assert_eq!(kind(&refused), "schema-incompatible");
        let lifts_the_wrong_field = r#"{"from":2,"to":3,"steps":[{"op":"drop","path":"/amount"},
            {"op":"copy","from":"/note","path":"/amount_cents"}]}"#;
        let sample = schemas.register(&order_placed(V3, Some(lifts_the_wrong_field))).await.unwrap_err();
        assert_eq!(kind(&sample), "schema-refused");
        assert!(sample.detail().contains("0:2"), "the stored event is named: {sample}");
        let third = registry.register(V3, Some(TO_V3)).await;
        assert_eq!((third.semver.to_string().as_str(), third.size, third.tried), ("2.0.0", Size::Major, 1));

        let all = schemas.registry(None).await.unwrap();
        assert_eq!(all.schemas.iter().map(|schema| schema.version).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(all.generation.0, 3);
        let newest = schemas.schema(&event_type("OrderPlaced"), None).await.unwrap();
        assert_eq!((newest.version, newest.upcaster.as_deref()), (3, Some(TO_V3)));
        let remote = order_placed(r#"{"$ref":"http://127.0.0.1:1/x.json"}"#, None);
        assert_eq!(kind(&schemas.register(&remote).await.unwrap_err()), "schema-refused");
        // What was done is in the log.
        let log = registry.server.get("/v1/streams/$schemas/events").await.json();
        let types: Vec<&str> = log.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["SchemaRegistered"; 3]);
    }
}

#[tokio::test]
async fn an_event_that_is_not_what_its_schema_says_is_refused_at_every_door() {
    for store in STORES {
        let registry = Registry::start(store).await;
        registry.register(V1, None).await;
        let wrong = r#"[{"type":"Other","data":{}},{"type":"OrderPlaced","data":{"amount":"five"}}]"#;
        let answer = registry.server.append("order-1", wrong, &[]).await;
        assert_eq!(answer.problem(400), ("schema-violated".to_owned(), "[1].data".to_owned()));
        let problem = answer.json();
        assert_eq!((&problem["path"], &problem["rule"]), (&json!("/amount"), &json!("type")));
        assert_eq!((&problem["event_type"], &problem["schema_version"]), (&json!("OrderPlaced"), &json!(1)));
        assert!(problem["detail"].as_str().unwrap().starts_with("[1].data: "), "{problem}");

        let several = r#"{"writes":[{"stream":"order-1","events":[{"type":"OrderPlaced","data":{}}]}]}"#;
        let headers = [("content-type", "application/json")];
        let answer = registry.server.send("POST", "/v1/appends", &headers, several.as_bytes()).await;
        assert_eq!(answer.problem(400).1, "writes[0].events[0].data");
        let cloud = r#"{"specversion":"1.0","id":"0198a9c2-7a10-7000-8000-000000000001","source":"/x","type":"OrderPlaced",
            "schemaversion":9,"data":{"amount":5}}"#;
        let headers = [("content-type", "application/cloudevents+json")];
        let answer = registry.server.send("POST", "/v1/streams/order-1/events", &headers, cloud.as_bytes()).await;
        assert_eq!(answer.problem(400).1, "schemaversion");
        assert_eq!(answer.json()["accepted_by"], 1);

        let event = NewEvent::json(EventId(Uuid::from_u128(1)), event_type("OrderPlaced"), r#"{"amount":1.5}"#);
        let append = Append::to(StreamName::new("order-1").unwrap(), ExpectedVersion::Any, vec![event]);
        let outcome = registry.client.append(append).await.unwrap();
        let AppendOutcome::Refused(Refusal::BySchema(violation)) = outcome else { panic!("{outcome:?}") };
        assert_eq!((violation.field.as_str(), violation.path.as_str()), ("writes[0].events[0].data", "/amount"));
        assert_eq!(registry.server.get("/v1/streams/order-1").await.status, 404, "nothing was stored");
    }
}

#[tokio::test]
async fn a_break_waits_until_every_reader_was_looked_after() {
    for store in STORES {
        let registry = Registry::start(store).await;
        let (client, schemas) = (&registry.client, registry.client.schemas());
        registry.register(V1, None).await;
        registry.register(V2, None).await;
        let subscribe = |name: &str, understands: &[&str]| {
            let understands = understands.iter().map(|one| one.parse().unwrap()).collect();
            let client = client.with_reader(name).with_shape(Shape { understands, ..Shape::default() });
            async move { client.subscribe(Subscribe::default()).await.unwrap() }
        };
        let mut billing = subscribe("billing", &[]).await;
        billing.next().await.expect("it follows").unwrap();
        let _old = subscribe("old", &["OrderPlaced:^1"]).await;
        let _ready = subscribe("ready", &["OrderPlaced:>=1, <3"]).await;
        let _other = subscribe("other", &["OrderPaid:^1"]).await;
        assert_eq!(registry.server.get("/v1/events?type=OrderPaid&reader=payments").await.status, 200);
        assert_eq!(registry.server.get("/v1/events?reader=reports&limit=1").await.status, 200);

        let proposed = order_placed(V3, Some(TO_V3)).proposed;
        let impact = schemas.impact(&ImpactOf::Proposed(Box::new(proposed))).await.unwrap();
        assert_eq!((impact.version, impact.size), (Some(3), Some(Size::Major)));
        let readers: Vec<_> =
            impact.readers.iter().map(|reader| (reader.kind, reader.name.as_str(), reader.status)).collect();
        use ReaderCheck::{OptedIn, Unchecked};
        let (subscription, consumer) = (ReaderKind::Subscription, ReaderKind::Consumer);
        let expected = [
            (subscription, "billing", Unchecked),
            (subscription, "old", Unchecked),
            (subscription, "other", Unchecked),
            (subscription, "ready", OptedIn),
            (consumer, "reports", Unchecked),
        ];
        assert_eq!(readers, expected, "who reads another type is not among them");

        let refused = schemas.register(&order_placed(V3, Some(TO_V3))).await.unwrap_err();
        assert_eq!(kind(&refused), "schema-incompatible");
        assert!(refused.detail().contains("--acknowledge billing"), "{refused}");
        let named = refused.member("readers").unwrap().as_array().unwrap().len();
        assert_eq!(named, 4);
        assert_eq!(kind(&schemas.forget_reader("billing").await.unwrap_err()), "schema-incompatible");
        assert_eq!(kind(&schemas.forget_reader("nobody").await.unwrap_err()), "schema-not-found");
        schemas.forget_reader("reports").await.unwrap();
        let acknowledged = ["billing", "old", "other"].map(str::to_owned).to_vec();
        let registered =
            schemas.register(&Registration { acknowledged, ..order_placed(V3, Some(TO_V3)) }).await.unwrap();
        assert_eq!(registered.version, 3);
        // A compatible change asks for nobody.
        let optional = V3.replace(r#""note""#, r#""memo":{"type":"string"},"note""#);
        assert_eq!(registry.register(&optional, None).await.semver.to_string(), "2.1.0");
    }
}

#[tokio::test]
async fn a_projection_is_a_reader_of_the_fields_that_it_names() {
    let models = Models::with_balances().await;
    let client = models.server.client();
    let register = |text: &str, upcaster: Option<&str>| {
        let mut registration = order_placed(text, upcaster);
        registration.proposed.event_type = event_type("Deposited");
        let schemas = client.schemas();
        async move { schemas.register(&registration).await }
    };
    register(r#"{"type":"object","properties":{"cents":{"type":"integer"}},"required":["cents"]}"#, None)
        .await
        .unwrap();
    models.deposit("account-1", 5).await;
    let impact = client.schemas().impact(&ImpactOf::Type(event_type("Deposited"))).await.unwrap();
    let [reader] = impact.readers.as_slice() else { panic!("{impact:?}") };
    assert_eq!(
        (reader.kind, reader.name.as_str(), reader.status),
        (ReaderKind::Projection, "balances", ReaderCheck::Unchecked)
    );
    assert_eq!(reader.fields, ["/cents"]);
    let none = client.schemas().impact(&ImpactOf::Type(event_type("Withdrawn"))).await.unwrap();
    assert_eq!(none.readers, []);

    let renamed = r#"{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}"#;
    let upcaster = r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/cents","path":"/amount"}]}"#;
    let refused = register(renamed, Some(upcaster)).await.unwrap_err();
    assert!(refused.detail().contains("projection `balances`"), "{refused}");
    // A version of the file that says what it understands opts in.
    let understanding = BALANCES.replace("-- version: 1", "-- version: 2\n-- schemas: Deposited >=1");
    assert_eq!(models.add("balances.sql", &understanding).await.status, 201);
    assert_eq!(register(renamed, Some(upcaster)).await.unwrap().semver.to_string(), "2.0.0");
}

#[tokio::test]
async fn schemas_are_compared_deleted_and_set() {
    for store in STORES {
        let registry = Registry::start(store).await;
        let schemas = registry.client.schemas();
        let order = event_type("OrderPlaced");
        registry.register(V1, None).await;
        registry.register(V2, None).await;
        let text =
            |text: &str| Side::Text { format: SchemaFormat::Json, text: text.to_owned(), references: Vec::new() };
        let comparison = Comparison { event_type: order.clone(), older: Side::Version(2), newer: text(V3) };
        let compared = schemas.compare(&comparison).await.unwrap();
        assert_eq!((compared.size, compared.level.as_str(), compared.is_compatible), (Size::Major, "backward", false));
        let missing = Comparison { older: Side::Version(7), ..comparison };
        assert_eq!(kind(&schemas.compare(&missing).await.unwrap_err()), "schema-not-found");

        let setting =
            |scope, name: &str, value: Option<&str>| Setting { scope, name: name.into(), value: value.map(Box::from) };
        let warn = setting(SettingScope::Category("order".into()), "mode", Some("warn"));
        schemas.set(&warn).await.unwrap();
        assert_eq!(schemas.settings().await.unwrap().0, [warn]);
        registry.place(r#"{"amount":"five"}"#).await;
        let metrics = registry.server.get("/metrics").await.text();
        assert!(metrics.lines().any(|line| line == "pacioli_schema_events_warned_total 1"), "{metrics}");
        schemas.set(&setting(SettingScope::Category("order".into()), "mode", None)).await.unwrap();
        let refused = registry.server.append("order-1", r#"[{"type":"OrderPlaced","data":{}}]"#, &[]).await;
        assert_eq!(refused.problem(400).0, "schema-violated");
        for wrong in [
            setting(SettingScope::Global, "mood", Some("warn")),
            setting(SettingScope::Global, "mode", Some("loud")),
            setting(SettingScope::Type("OrderPlaced".into()), "mode", Some("off")),
        ] {
            assert_eq!(schemas.set(&wrong).await.unwrap_err().kind(), Kind::Invalid);
        }

        assert_eq!(kind(&schemas.delete(&order, Some(1), true).await.unwrap_err()), "schema-incompatible");
        assert_eq!(schemas.delete(&order, Some(1), false).await.unwrap().versions, [1]);
        assert_eq!(kind(&schemas.delete(&order, Some(1), false).await.unwrap_err()), "schema-not-found");
        let old = r#"[{"type":"OrderPlaced","schema_version":1,"data":{"amount":5}}]"#;
        assert_eq!(registry.server.append("order-1", old, &[]).await.problem(400).1, "[0].schema_version");
        schemas.delete(&order, Some(1), true).await.unwrap();
        assert_eq!(schemas.delete(&order, None, false).await.unwrap().versions, [2]);
        let stored = schemas.delete(&order, Some(2), true).await.unwrap_err();
        assert!(stored.detail().contains("stored"), "an event follows it: {stored}");
        let log = registry.server.get("/v1/streams/$schemas/events").await.json();
        let types: Vec<&str> = log.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
        let set = "SchemaSettingChanged";
        let registered = "SchemaRegistered";
        assert_eq!(types, [registered, registered, set, set, "SchemaDeleted", "SchemaRemoved", "SchemaDeleted"]);
    }
}

#[tokio::test]
async fn a_type_is_compared_and_registered_by_the_rules_and_the_level_that_are_set() {
    for store in STORES {
        let registry = Registry::start(store).await;
        let schemas = registry.client.schemas();
        registry.register(V1, None).await;
        let text =
            |text: &str| Side::Text { format: SchemaFormat::Json, text: text.to_owned(), references: Vec::new() };
        let comparison = |newer: &str| Comparison {
            event_type: event_type("OrderPlaced"),
            older: Side::Version(1),
            newer: text(newer),
        };
        let config = "/schema-registry/config/OrderPlaced";
        let json = [("content-type", "application/vnd.schemaregistry.v1+json")];
        let set = registry.server.send("PUT", config, &json, br#"{"compatibility":"BACKWARD"}"#).await;
        assert_eq!(set.status, 200, "{}", set.text());
        // By Confluent's rules what is stored may have a field of that name already, of another type.
        let compared = schemas.compare(&comparison(V2)).await.unwrap();
        assert!(!compared.is_compatible, "{compared:?}");
        assert!(compared.changes[0].sentence.starts_with("PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"), "{compared:?}");
        assert_eq!(compared.size, Size::Minor, "the semantic version is always of ours");
        let order = order_placed(V2, None);
        for dry_run in [true, false] {
            let refused = schemas.register(&Registration { dry_run, ..order.clone() }).await.unwrap_err();
            assert_eq!(kind(&refused), "schema-incompatible");
            assert!(refused.detail().contains("PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"), "{refused}");
        }
        assert_eq!(registry.server.send("DELETE", config, &[], b"").await.status, 200);
        let compared = schemas.compare(&comparison(V2)).await.unwrap();
        assert!(compared.is_compatible && compared.changes[0].path == "/note", "{compared:?}");
        // What breaks those who read what is stored is registered at no level but `none` without an upcaster.
        for (level, is_compatible) in [("forward", false), ("none", true)] {
            let scope = SettingScope::Type("OrderPlaced".into());
            schemas.set(&Setting { scope, name: "level".into(), value: Some(level.into()) }).await.unwrap();
            let more = V2.replace(r#"["amount"]"#, r#"["amount","note"]"#);
            let compared = schemas.compare(&comparison(&more)).await.unwrap();
            assert_eq!(compared.is_compatible, is_compatible, "{level}: {compared:?}");
            let registered = schemas.register(&Registration { dry_run: true, ..order_placed(&more, None) }).await;
            assert_eq!(registered.is_ok(), is_compatible, "{level}: {registered:?}");
        }
    }
}

#[tokio::test]
async fn registrations_that_race_are_all_done() {
    for store in STORES {
        let registry = Registry::start(store).await;
        let register = |name: String| {
            let schemas = registry.client.schemas();
            async move {
                let mut registration = order_placed(V1, None);
                registration.proposed.event_type = event_type(&name);
                schemas.register(&registration).await
            }
        };
        let racing = (0..6).map(|n| register(format!("Type{n}Seen")));
        for registered in futures::future::join_all(racing).await {
            assert_eq!(registered.unwrap().version, 1);
        }
        let all = registry.client.schemas().registry(None).await.unwrap();
        assert_eq!((all.schemas.len(), all.generation.0), (6, 6));
    }
}

#[tokio::test]
async fn a_file_that_understands_an_older_major_is_held_against_events_as_it_sees_them() {
    let models = Models::start().await;
    let schemas = models.server.client().schemas();
    schemas.register(&order_placed(V1, None)).await.unwrap();
    let answer = models.server.append("order-1", r#"[{"type":"OrderPlaced","data":{"amount":1}}]"#, &[]).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    schemas.register(&order_placed(V2, None)).await.unwrap();
    schemas.register(&order_placed(V3, Some(TO_V3))).await.unwrap();
    let file = |name: &str, range: &str, path: &str| {
        format!(
            "-- projection: {name}\n-- version: 1\n-- schemas: OrderPlaced {range}\n\n\
             CREATE TABLE {name} (stream TEXT PRIMARY KEY, amount BIGINT NOT NULL);\n\n\
             -- on: OrderPlaced\nINSERT INTO {name} (stream, amount) VALUES (:stream, :data.{path});\n"
        )
    };
    for (name, range, path) in [("old", "^1", "amount"), ("new", "^2", "amount_cents")] {
        let added = models.add(&format!("{name}.sql"), &file(name, range, path)).await;
        assert_eq!(added.status, 201, "{name}: {}", added.text());
    }
    let wrong = models.add("wrong.sql", &file("wrong", "^1", "amount_cents")).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text());
    assert!(wrong.text().contains("there are `:data.amount`"), "{}", wrong.text());
}

#[tokio::test]
async fn a_consumer_that_only_tracks_is_asked_for_before_a_break() {
    for store in STORES {
        let registry = Registry::start(store).await;
        registry.register(V1, None).await;
        registry.place(r#"{"amount":1}"#).await;
        let schemas = registry.client.schemas();
        let impact = async || schemas.impact(&ImpactOf::Type(event_type("OrderPlaced"))).await.unwrap();
        assert_eq!(impact().await.readers, []);
        let event = NewEvent::json(EventId(Uuid::new_v4()), event_type("Shipped"), "{}");
        let mut append = Append::to(StreamName::new("parcel-1").unwrap(), ExpectedVersion::Any, vec![event]);
        let checkpoint = registry.client.head().await.unwrap();
        append.tracking = Some(Tracking { name: "shipping".to_owned(), checkpoint: checkpoint.clone() });
        registry.client.append(append).await.unwrap();

        let readers = impact().await.readers;
        let [reader] = readers.as_slice() else { panic!("{store}: {readers:?}") };
        assert_eq!((reader.name.as_str(), reader.kind), ("shipping", ReaderKind::Consumer));
        assert_eq!((&reader.checkpoint, &reader.understands), (&Some(checkpoint), &None));
        // A compatible version asks nobody, and a break asks for it.
        registry.register(V2, None).await;
        let refused = schemas.register(&order_placed(V3, Some(TO_V3))).await.unwrap_err();
        assert!(refused.detail().contains("shipping"), "{store}: {refused}");
        let unknown = schemas.forget_reader("shipping").await.unwrap_err();
        assert!(unknown.detail().contains("acknowledge it"), "{unknown}");

        // Once it gives its name for reading too, it is one reader, of what it asked for.
        let reads = registry.server.get("/v1/events?type=OrderPlaced&reader=shipping").await;
        assert_eq!(reads.status, 200, "{}", reads.text());
        assert_eq!(impact().await.readers.len(), 1);
        let reads = registry.server.get("/v1/events?type=Other&reader=shipping").await;
        assert_eq!(reads.status, 200, "{}", reads.text());
        assert_eq!(impact().await.readers, []);
        schemas.register(&order_placed(V3, Some(TO_V3))).await.unwrap();
    }
}

#[tokio::test]
async fn a_hole_is_told_and_gets_its_upcaster_later() {
    for store in STORES {
        let registry = Registry::start(store).await;
        let schemas = registry.client.schemas();
        registry.register(V1, None).await;
        registry.register(V2, None).await;
        registry.place(r#"{"amount":5}"#).await;
        let none = Setting { scope: SettingScope::Global, name: "level".into(), value: Some("none".into()) };
        schemas.set(&none).await.unwrap();
        let holed = registry.register(V3, None).await;
        assert!(holed.warnings.iter().any(|one| one.contains("from version 2 to 3")), "{:?}", holed.warnings);
        let path = "/v1/events?type=OrderPlaced&accept=OrderPlaced:%5E2";
        let stopped = registry.server.get(path).await;
        assert_eq!(stopped.problem(409).0, "newer-schema");
        assert!(stopped.text().contains("no upcaster lifts it that far"), "{}", stopped.text());
        let mended = schemas.register(&order_placed(V3, Some(TO_V3))).await.unwrap();
        assert_eq!((mended.version, mended.is_known, mended.tried), (3, false, 1));
        let again = schemas.register(&order_placed(V3, Some(TO_V3))).await.unwrap();
        assert_eq!((again.version, again.is_known), (3, true));
        let lifted = registry.server.get(path).await.json();
        assert_eq!(lifted[0]["data"], json!({"amount_cents":5}), "{store}: {lifted}");
        let log = registry.server.get("/v1/streams/$schemas/events").await.json();
        assert_eq!(log.as_array().unwrap().last().unwrap()["type"], "SchemaUpcasterAdded");
        // A version that goes for good is not given again.
        let order = event_type("OrderPlaced");
        schemas.delete(&order, Some(3), false).await.unwrap();
        schemas.delete(&order, Some(3), true).await.unwrap();
        assert_eq!(registry.register(V3, None).await.version, 4, "{store}");
    }
}
