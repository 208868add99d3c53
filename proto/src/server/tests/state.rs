//! Where a state comes from: a read, an import, another type, a state file; and the identity beside it.

use super::*;

#[tokio::test]
async fn an_object_that_is_gone_is_null() {
    let (server, _) = start();
    let gone = read(&server, "probe_thing", &thing("gone")).await;
    assert_eq!(received(gone.new_state.as_ref()), Value::Null);
    assert_eq!(gone.new_identity, None);
}

#[tokio::test]
async fn every_answer_with_an_object_has_its_identity() {
    let (server, _) = start();
    assert_eq!(
        identified(read(&server, "probe_thing", &thing("a")).await.new_identity.as_ref()),
        Value::from("id of a")
    );
    let created = plan(&server, plan_of(&Value::Null, &thing("a"))).await;
    assert_eq!(identified(created.planned_identity.as_ref()), Value::Unknown);
    let updated = plan(&server, plan_of(&thing("a"), &thing("b"))).await;
    assert_eq!(identified(updated.planned_identity.as_ref()), Value::from("id of a"));
    assert_eq!(updated.requires_replace, [convert::path(&Path::of("name"))]);
    let mut lost = thing("a");
    lost.put("id", Value::Null);
    let completed = plan(&server, plan_of(&lost, &thing("b"))).await;
    assert_eq!(completed.planned_identity, None, "core takes no unknown identity of what is there already");
    let applied = apply(&server, apply_of(&Value::Null, &thing("a"))).await;
    assert_eq!(identified(applied.new_identity.as_ref()), Value::from("id of a"));

    let schemas = server.get_resource_identity_schemas(Request::new(Default::default())).await.unwrap().into_inner();
    let attributes = &schemas.identity_schemas["probe_thing"].identity_attributes;
    assert_eq!((attributes[0].name.as_str(), attributes[0].required_for_import), ("id", true));
}

#[tokio::test]
async fn an_object_is_imported_by_its_id_or_its_identity() {
    let (server, thing_type) = start();
    let import = |id: &str, identity: Option<Value>| {
        let identity = identity.map(|identity| wire::ResourceIdentityData {
            identity_data: bytes(&codec::encode_msgpack(&identity, &thing_type.identity.r#type()).unwrap()),
        });
        let (type_name, id) = ("probe_thing".to_owned(), id.to_owned());
        let request = import_resource_state::Request { type_name, id, identity, ..Default::default() };
        server.import_resource_state(Request::new(request))
    };
    let identity = Value::object([("id", "x".into())]);
    for found in [import("x", None).await, import("", Some(identity)).await] {
        let found = found.unwrap().into_inner();
        assert_eq!(summaries(&found.diagnostics), [""; 0]);
        let [object] = found.imported_resources.as_slice() else { panic!("one object is imported") };
        assert_eq!(received(object.state.as_ref()).get("id"), &Value::from("x"));
        assert_eq!(identified(object.identity.as_ref()), Value::from("x"));
    }
    let nothing = import("", None).await.unwrap().into_inner();
    assert_eq!(summaries(&nothing.diagnostics), ["Nothing to import"]);
}

#[tokio::test]
async fn a_state_moves_here_from_another_type() {
    let (server, _) = start();
    let request = move_resource_state::Request {
        source_provider_address: "registry.terraform.io/hashicorp/aws".to_owned(),
        source_type_name: "aws_lb".to_owned(),
        source_state: Some(wire::RawState { json: br#"{"arn": 7}"#.to_vec(), ..Default::default() }),
        target_type_name: "probe_thing".to_owned(),
        ..Default::default()
    };
    let moved = server.move_resource_state(Request::new(request)).await.unwrap().into_inner();
    let id = Value::from("registry.terraform.io/hashicorp/aws aws_lb 7");
    assert_eq!(received(moved.target_state.as_ref()).get("id"), &id);
    assert_eq!(identified(moved.target_identity.as_ref()), id);
}

async fn upgrade(server: &ProviderServer, version: i64, json: &str) -> upgrade_resource_state::Response {
    upgrade_raw(server, version, wire::RawState { json: json.as_bytes().to_vec(), ..Default::default() }).await
}

async fn upgrade_raw(
    server: &ProviderServer,
    version: i64,
    raw_state: wire::RawState,
) -> upgrade_resource_state::Response {
    let type_name = "probe_thing".to_owned();
    let request = upgrade_resource_state::Request { type_name, version, raw_state: Some(raw_state) };
    server.upgrade_resource_state(Request::new(request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_stored_state_is_upgraded_when_it_is_older_and_read_as_it_is_when_not() {
    let (server, _) = start();
    let stored = r#"{"name": "a", "removed": true}"#;
    let state = |name: &str| Value::object([("name", name.into()), ("id", Value::Null), ("size", Value::Null)]);
    let same = upgrade(&server, 2, stored).await;
    assert_eq!(received(same.upgraded_state.as_ref()), state("a"));
    let older = upgrade(&server, 1, stored).await;
    assert_eq!(received(older.upgraded_state.as_ref()), state("upgraded from 1"));
    let newer = upgrade(&server, 3, stored).await;
    assert_eq!(summaries(&newer.diagnostics), ["The state is of a newer version of this provider"]);
    for broken in ["", "{", r#"{"name": 7}"#] {
        assert_eq!(summaries(&upgrade(&server, 2, broken).await.diagnostics), ["Cannot read the stored state"]);
    }
    let flatmap = [("name".to_owned(), "a".to_owned())].into();
    let ancient = upgrade_raw(&server, 0, wire::RawState { flatmap, ..Default::default() }).await;
    assert_eq!(summaries(&ancient.diagnostics), ["Cannot read the stored state"]);
    assert!(ancient.diagnostics[0].detail.contains("Terraform 0.11"), "{}", ancient.diagnostics[0].detail);
}

#[tokio::test]
async fn a_stored_identity_is_read() {
    let (server, _) = start();
    let raw_identity = wire::RawState { json: br#"{"id": "x"}"#.to_vec(), ..Default::default() };
    let type_name = "probe_thing".to_owned();
    let request = upgrade_resource_identity::Request { type_name, version: 1, raw_identity: Some(raw_identity) };
    let upgraded = server.upgrade_resource_identity(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(identified(upgraded.upgraded_identity.as_ref()), Value::from("x"));
}
