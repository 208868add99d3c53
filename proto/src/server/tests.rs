//! The RPCs, called as tonic calls them, on a small provider whose objects do what their name says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and a provider that panics is tested"
)]

use std::pin::pin;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::sync::Notify;

use super::*;
use crate::codec;
use crate::path::Path;
use crate::provider::{
    ApplyRequest, ApplyResponse, DataSource, Function, FunctionError, ImportRequest, Imported, MoveRequest, Parameter,
    PlanRequest, PlanResponse, ReadRequest, ReadResponse, Resource,
};
use crate::schema::{Attribute, Schema, Type};
use crate::value::Value;
use crate::wire::provider_server::Provider as _;

struct Thing {
    schema: Schema,
    identity: Schema,
    /// A call has begun that waits.
    started: Notify,
    /// Lets it go on.
    gate: Notify,
    /// It has gone on to its end.
    finished: Notify,
}

impl Thing {
    fn new() -> Self {
        let mut schema = Schema::new(
            "A thing.",
            vec![
                Attribute::string("name").required(),
                Attribute::string("id").computed(),
                Attribute::number("size").default(10).range(1, 100),
            ],
        );
        schema.version = 2;
        let identity = Schema::new("Its id.", vec![Attribute::string("id").required()]);
        Self { schema, identity, started: Notify::new(), gate: Notify::new(), finished: Notify::new() }
    }
}

#[async_trait]
impl Resource for Thing {
    fn type_name(&self) -> &'static str {
        "probe_thing"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn identity_schema(&self) -> Option<&Schema> {
        Some(&self.identity)
    }

    fn identity(&self, state: &Value) -> Option<Value> {
        assert_ne!(state.get("name").as_str(), Some("panic over identity"));
        Some(Value::object([("id", state.get("id").clone())]))
    }

    async fn upgrade(&self, version: i64, mut state: serde_json::Value) -> Result<serde_json::Value, Diagnostics> {
        state["name"] = format!("upgraded from {version}").into();
        Ok(state)
    }

    async fn read(&self, request: ReadRequest) -> ReadResponse {
        if request.state.get("name").as_str() == Some("wait for ever") {
            self.started.notify_one();
            std::future::pending::<()>().await;
        }
        let gone = request.state.get("name").as_str() == Some("gone");
        let state = (!gone).then_some(request.state);
        ReadResponse { state, private: request.private, diagnostics: Diagnostics::new() }
    }

    async fn plan(&self, request: PlanRequest) -> PlanResponse {
        let mut planned = request.config.map(|config| self.schema.with_defaults(&config));
        if let Some(planned) = &mut planned {
            assert_ne!(planned.get("name").as_str(), Some("panic"));
            let last = request.prior.map(|prior| prior.get("id").clone());
            planned.put("id", last.filter(|id| !id.is_null()).unwrap_or(Value::Unknown));
        }
        let requires_replace = vec![Path::of("name")];
        PlanResponse { planned, requires_replace, private: request.private, diagnostics: Diagnostics::new() }
    }

    async fn apply(&self, request: ApplyRequest) -> ApplyResponse {
        let mut answer = ApplyResponse { state: request.planned, private: b"new".to_vec(), ..Default::default() };
        let Some(state) = &mut answer.state else { return answer };
        let name = state.get("name").as_str().unwrap_or_default().to_owned();
        state.put("id", format!("id of {name}"));
        match name.as_str() {
            "panic" => panic!("on purpose"),
            "leave unknown" => state.put("id", Value::Unknown),
            "wrong type" => state.put("size", "big"),
            "fail" => answer.diagnostics.error("It failed", "Half way."),
            "wait for stop" => {
                self.started.notify_one();
                request.stop.cancelled().await;
                answer.diagnostics.error("Stopped", "As asked.");
            }
            "wait for gate" => {
                self.started.notify_one();
                self.gate.notified().await;
                self.finished.notify_one();
            }
            _ => {}
        }
        answer
    }

    async fn import(&self, request: ImportRequest) -> Result<Imported, Diagnostics> {
        let id = match (request.id, request.identity) {
            (Some(id), None) => Value::from(id),
            (None, Some(identity)) => identity.get("id").clone(),
            both => panic!("{both:?}"),
        };
        Ok(Imported { state: Value::object([("id", id)]), ..Default::default() })
    }

    async fn move_state(&self, request: MoveRequest) -> Result<Imported, Diagnostics> {
        let id = format!("{} {} {}", request.provider, request.type_name, request.state["arn"]);
        Ok(Imported { state: Value::object([("id", id.into())]), ..Default::default() })
    }
}

struct Source(Schema);

#[async_trait]
impl DataSource for Source {
    fn type_name(&self) -> &'static str {
        "probe_source"
    }

    fn schema(&self) -> &Schema {
        &self.0
    }

    async fn read(&self, config: Value, _: Stop) -> Result<(Value, Diagnostics), Diagnostics> {
        Ok((config, Diagnostics::new()))
    }
}

struct Shout([Parameter; 1]);

impl Function for Shout {
    fn name(&self) -> &'static str {
        "shout"
    }

    fn summary(&self) -> &'static str {
        "Shouts"
    }

    fn description(&self) -> &'static str {
        "Shouts."
    }

    fn parameters(&self) -> &[Parameter] {
        &self.0
    }

    fn result(&self) -> Type {
        Type::String
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        match arguments[0].as_str().unwrap_or_default() {
            "panic" => panic!("on purpose"),
            "" => Err(FunctionError { argument: Some(0), message: "Nothing to shout.".to_owned() }),
            text => Ok(text.to_uppercase().into()),
        }
    }
}

struct Probe {
    schema: Schema,
    resources: [Arc<dyn Resource>; 1],
    data_sources: [Arc<dyn DataSource>; 1],
    functions: [Arc<dyn Function>; 1],
}

#[async_trait]
impl Provider for Probe {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn resources(&self) -> &[Arc<dyn Resource>] {
        &self.resources
    }

    fn data_sources(&self) -> &[Arc<dyn DataSource>] {
        &self.data_sources
    }

    fn functions(&self) -> &[Arc<dyn Function>] {
        &self.functions
    }

    async fn configure(&self, _: &Value) -> Diagnostics {
        Diagnostics::new()
    }
}

/// A server, and the resource type behind it.
fn start() -> (Arc<ProviderServer>, Arc<Thing>) {
    let thing = Arc::new(Thing::new());
    let provider = Probe {
        schema: Schema::new("", vec![Attribute::string("region")]),
        resources: [Arc::clone(&thing) as Arc<dyn Resource>],
        data_sources: [Arc::new(Source(Schema::new("", vec![Attribute::string("name")])))],
        functions: [Arc::new(Shout([Parameter { name: "text", r#type: Type::String, description: "What." }]))],
    };
    (Arc::new(ProviderServer::new(Arc::new(provider))), thing)
}

fn thing(name: &str) -> Value {
    Value::object([("name", name.into()), ("id", format!("id of {name}").into()), ("size", 10.into())])
}

fn bytes(msgpack: &[u8]) -> Option<wire::DynamicValue> {
    Some(wire::DynamicValue { msgpack: msgpack.to_vec(), json: Vec::new() })
}

fn sent(value: &Value) -> Option<wire::DynamicValue> {
    bytes(&codec::encode_msgpack(value, &Thing::new().schema.r#type()).unwrap())
}

fn received(value: Option<&wire::DynamicValue>) -> Value {
    codec::decode_msgpack(&value.unwrap().msgpack, &Thing::new().schema.r#type()).unwrap()
}

fn identified(identity: Option<&wire::ResourceIdentityData>) -> Value {
    let data = identity.unwrap().identity_data.as_ref().unwrap();
    codec::decode_msgpack(&data.msgpack, &Thing::new().identity.r#type()).unwrap().get("id").clone()
}

fn summaries(diagnostics: &[wire::Diagnostic]) -> Vec<&str> {
    diagnostics.iter().map(|diagnostic| diagnostic.summary.as_str()).collect()
}

fn plan_of(prior: &Value, config: &Value) -> plan_resource_change::Request {
    plan_resource_change::Request {
        type_name: "probe_thing".to_owned(),
        prior_state: sent(prior),
        config: sent(config),
        prior_private: b"kept".to_vec(),
        ..Default::default()
    }
}

fn apply_of(prior: &Value, planned: &Value) -> apply_resource_change::Request {
    apply_resource_change::Request {
        type_name: "probe_thing".to_owned(),
        prior_state: sent(prior),
        planned_state: sent(planned),
        config: sent(planned),
        planned_private: b"kept".to_vec(),
        ..Default::default()
    }
}

async fn plan(server: &ProviderServer, request: plan_resource_change::Request) -> plan_resource_change::Response {
    server.plan_resource_change(Request::new(request)).await.unwrap().into_inner()
}

async fn apply(server: &ProviderServer, request: apply_resource_change::Request) -> apply_resource_change::Response {
    server.apply_resource_change(Request::new(request)).await.unwrap().into_inner()
}

async fn read(server: &ProviderServer, type_name: &str, state: &Value) -> read_resource::Response {
    let request = read_resource::Request {
        type_name: type_name.to_owned(),
        current_state: sent(state),
        private: b"kept".to_vec(),
        ..Default::default()
    };
    server.read_resource(Request::new(request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_panic_fails_only_its_own_call() {
    let (server, _) = start();
    let failed = plan(&server, plan_of(&Value::Null, &thing("panic"))).await;
    assert_eq!(summaries(&failed.diagnostics), ["The provider crashed"]);
    let fine = plan(&server, plan_of(&Value::Null, &thing("a"))).await;
    assert_eq!(summaries(&fine.diagnostics), [""; 0]);
    assert_eq!(received(fine.planned_state.as_ref()).get("name"), &Value::from("a"));
}

#[tokio::test]
async fn a_panic_in_apply_keeps_what_was_there() {
    let (server, _) = start();
    let failed = apply(&server, apply_of(&thing("before"), &thing("panic"))).await;
    assert_eq!(summaries(&failed.diagnostics), ["The provider crashed"]);
    assert!(failed.diagnostics[0].detail.contains("on purpose"));
    assert_eq!(received(failed.new_state.as_ref()), thing("before"));
    assert_eq!(failed.private, b"kept");
    let failed = apply(&server, apply_of(&Value::Null, &thing("panic"))).await;
    assert_eq!(received(failed.new_state.as_ref()), Value::Null);
}

#[tokio::test]
async fn an_apply_that_cannot_be_read_keeps_what_was_there() {
    let (server, _) = start();
    let broken =
        apply_resource_change::Request { planned_state: bytes(b"\x80"), ..apply_of(&thing("before"), &thing("a")) };
    let failed = apply(&server, broken).await;
    assert_eq!(summaries(&failed.diagnostics), ["Cannot read the planned state"]);
    assert_eq!(received(failed.new_state.as_ref()), thing("before"));
    assert_eq!(failed.private, b"kept");
}

#[tokio::test]
async fn stop_ends_what_is_in_flight_and_nothing_later() {
    let (server, thing_type) = start();
    let waiting = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { apply(&server, apply_of(&Value::Null, &thing("wait for stop"))).await })
    };
    thing_type.started.notified().await;
    let answer = server.stop_provider(Request::new(stop_provider::Request::default())).await.unwrap().into_inner();
    assert_eq!(answer.error, "");
    let stopped = waiting.await.unwrap();
    assert_eq!(summaries(&stopped.diagnostics), ["Stopped"]);
    assert_eq!(received(stopped.new_state.as_ref()), thing("wait for stop"));
    assert!(!server.stop().is_cancelled());
    let later = apply(&server, apply_of(&Value::Null, &thing("a"))).await;
    assert_eq!(summaries(&later.diagnostics), [""; 0]);
}

#[tokio::test]
async fn a_read_is_given_up_on_a_stop_whatever_it_waits_for() {
    let (server, thing_type) = start();
    let waiting = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { read(&server, "probe_thing", &thing("wait for ever")).await })
    };
    thing_type.started.notified().await;
    server.stop_provider(Request::new(stop_provider::Request::default())).await.unwrap();
    assert_eq!(summaries(&waiting.await.unwrap().diagnostics), ["Stopped"]);
}

#[tokio::test]
async fn an_apply_goes_on_when_core_hangs_up() {
    let (server, thing_type) = start();
    {
        let mut call = pin!(apply(&server, apply_of(&Value::Null, &thing("wait for gate"))));
        tokio::select! {
            _ = &mut call => panic!("nothing has opened the gate"),
            () = thing_type.started.notified() => {}
        }
    }
    thing_type.gate.notify_one();
    thing_type.finished.notified().await;
}

#[tokio::test]
async fn a_failed_create_answers_with_what_it_made() {
    let (server, _) = start();
    let failed = apply(&server, apply_of(&Value::Null, &thing("fail"))).await;
    assert_eq!(summaries(&failed.diagnostics), ["It failed"]);
    assert_eq!(received(failed.new_state.as_ref()), thing("fail"));
    assert_eq!(failed.private, b"new");
}

#[tokio::test]
async fn a_faulty_state_after_apply_is_saved_as_far_as_it_goes() {
    let (server, _) = start();
    let unknown = apply(&server, apply_of(&Value::Null, &thing("leave unknown"))).await;
    assert_eq!(summaries(&unknown.diagnostics), ["The provider left values unknown"]);
    assert!(unknown.diagnostics[0].detail.contains(": id."), "{}", unknown.diagnostics[0].detail);
    assert_eq!(received(unknown.new_state.as_ref()).get("name"), &Value::from("leave unknown"));
    assert_eq!(received(unknown.new_state.as_ref()).get("id"), &Value::Null);

    let wrong = apply(&server, apply_of(&Value::Null, &thing("wrong type"))).await;
    assert_eq!(summaries(&wrong.diagnostics), ["The provider answered with a wrong value"]);
    assert_eq!(wrong.diagnostics[0].attribute, Some(convert::path(&Path::of("size"))));
    assert_eq!(received(wrong.new_state.as_ref()).get("id"), &Value::from("id of wrong type"));

    let unnamed = apply(&server, apply_of(&Value::Null, &thing("panic over identity"))).await;
    assert_eq!(summaries(&unnamed.diagnostics), ["The provider crashed"]);
    assert_eq!(received(unnamed.new_state.as_ref()), thing("panic over identity"));
}

#[tokio::test]
async fn a_destroy_is_planned_and_applied_as_null() {
    let (server, _) = start();
    let planned = plan(&server, plan_of(&thing("a"), &Value::Null)).await;
    assert_eq!(summaries(&planned.diagnostics), [""; 0]);
    assert_eq!(received(planned.planned_state.as_ref()), Value::Null);
    assert_eq!(planned.planned_private, b"kept");
    assert_eq!(planned.planned_identity, None);
    let applied = apply(&server, apply_of(&thing("a"), &Value::Null)).await;
    assert_eq!(received(applied.new_state.as_ref()), Value::Null);
    assert_eq!(applied.new_identity, None);
}

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
    let raw_state = wire::RawState { json: json.as_bytes().to_vec(), ..Default::default() };
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

#[tokio::test]
async fn an_unknown_type_is_an_error_of_that_call() {
    let (server, _) = start();
    let unread = read(&server, "probe_other", &thing("a")).await;
    assert_eq!(summaries(&unread.diagnostics), ["Unknown resource type"]);
    let other =
        apply_resource_change::Request { type_name: "probe_other".to_owned(), ..apply_of(&thing("a"), &thing("b")) };
    let unapplied = apply(&server, other).await;
    assert_eq!(summaries(&unapplied.diagnostics), ["Unknown resource type"]);
    assert_eq!(received(unapplied.new_state.as_ref()), thing("a"));
    let request = read_data_source::Request { type_name: "probe_other".to_owned(), ..Default::default() };
    let unread = server.read_data_source(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(summaries(&unread.diagnostics), ["Unknown data source"]);
}

#[tokio::test]
async fn a_configuration_is_checked_against_its_schema() {
    let (server, _) = start();
    let mut config = thing("a");
    config.put("size", 1000);
    let request = validate_resource_config::Request {
        type_name: "probe_thing".to_owned(),
        config: sent(&config),
        ..Default::default()
    };
    let checked = server.validate_resource_config(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(summaries(&checked.diagnostics), ["Invalid value for \"size\""]);
    assert_eq!(checked.diagnostics[0].severity(), wire::diagnostic::Severity::Error);
    assert_eq!(checked.diagnostics[0].attribute, Some(convert::path(&Path::of("size"))));
}

#[tokio::test]
async fn a_function_answers_or_says_which_argument_is_wrong() {
    let (server, _) = start();
    let text = |text: &str| codec::encode_msgpack(&text.into(), &Type::String).unwrap();
    let call = |name: &str, argument: &[u8]| {
        let arguments = bytes(argument).into_iter().collect();
        let request = call_function::Request { name: name.to_owned(), arguments };
        server.call_function(Request::new(request))
    };
    let shouted = call("shout", &text("hello")).await.unwrap().into_inner();
    assert_eq!(shouted.result.unwrap().msgpack, text("HELLO"));
    assert_eq!(shouted.error, None);
    // OpenTofu sends a null argument as a value without bytes.
    for (argument, at, why) in [
        (Vec::new(), Some(0), "Must not be null."),
        (b"\xc0".to_vec(), Some(0), "Must not be null."),
        (b"\xd4\x00\x00".to_vec(), Some(0), "Must be known."),
        (text(""), Some(0), "Nothing to shout."),
    ] {
        let failed = call("shout", &argument).await.unwrap().into_inner();
        assert_eq!(failed.error, Some(wire::FunctionError { text: why.to_owned(), function_argument: at }));
        assert_eq!(failed.result, None);
    }
    let crashed = call("shout", &text("panic")).await.unwrap().into_inner().error.unwrap();
    assert!(crashed.text.contains("on purpose"), "{}", crashed.text);
    let unknown = call("whisper", &text("a")).await.unwrap().into_inner().error.unwrap();
    assert!(unknown.text.contains("whisper"), "{}", unknown.text);
}

#[tokio::test]
async fn the_schema_offers_everything_the_provider_has() {
    let (server, _) = start();
    let schema = server.get_provider_schema(Request::new(Default::default())).await.unwrap().into_inner();
    assert!(schema.provider.is_some());
    assert_eq!(schema.resource_schemas["probe_thing"].version, 2);
    assert!(schema.data_source_schemas.contains_key("probe_source"));
    assert_eq!(schema.functions["shout"].parameters[0].name, "text");
    let capabilities = schema.server_capabilities.unwrap();
    assert!(capabilities.plan_destroy && capabilities.get_provider_schema_optional && capabilities.move_resource_state);
    let metadata = server.get_metadata(Request::new(Default::default())).await.unwrap().into_inner();
    assert_eq!(metadata.resources[0].type_name, "probe_thing");
    assert_eq!(metadata.data_sources[0].type_name, "probe_source");
    assert_eq!(metadata.functions[0].name, "shout");
    let functions = server.get_functions(Request::new(Default::default())).await.unwrap().into_inner();
    assert_eq!(functions.functions["shout"], schema.functions["shout"]);
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented() {
    let (server, _) = start();
    let status = server.generate_resource_config(Request::new(Default::default())).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}

/// Whether some call could take these bytes for a value.
fn is_value_of_any_type(bytes: &[u8]) -> bool {
    let thing = Thing::new();
    let one_attribute = |name| Schema::new("", vec![Attribute::string(name)]).r#type();
    let types =
        [thing.schema.r#type(), thing.identity.r#type(), one_attribute("region"), one_attribute("name"), Type::String];
    types.iter().any(|r#type| codec::decode_msgpack(bytes, r#type).is_ok())
}

/// The messages of every call that takes a value, each given these bytes for one.
async fn answers_to(server: &ProviderServer, garbage: &[u8]) -> Vec<(&'static str, Vec<wire::Diagnostic>)> {
    let value = || bytes(garbage);
    let type_name = || "probe_thing".to_owned();
    let source = || "probe_source".to_owned();
    let fine = thing("a");
    let mut answers = Vec::new();
    macro_rules! ask {
        ($rpc:ident, $request:expr) => {
            let answer = server.$rpc(Request::new($request)).await.unwrap().into_inner();
            answers.push((stringify!($rpc), answer.diagnostics));
        };
    }
    ask!(validate_provider_config, validate_provider_config::Request { config: value() });
    ask!(configure_provider, configure_provider::Request { config: value(), ..Default::default() });
    let request = validate_resource_config::Request { type_name: type_name(), config: value(), ..Default::default() };
    ask!(validate_resource_config, request);
    let request = read_resource::Request { type_name: type_name(), current_state: value(), ..Default::default() };
    ask!(read_resource, request);
    ask!(plan_resource_change, plan_resource_change::Request { prior_state: value(), ..plan_of(&fine, &fine) });
    ask!(plan_resource_change, plan_resource_change::Request { config: value(), ..plan_of(&fine, &fine) });
    ask!(apply_resource_change, apply_resource_change::Request { prior_state: value(), ..apply_of(&fine, &fine) });
    ask!(apply_resource_change, apply_resource_change::Request { planned_state: value(), ..apply_of(&fine, &fine) });
    ask!(apply_resource_change, apply_resource_change::Request { config: value(), ..apply_of(&fine, &fine) });
    let identity = Some(wire::ResourceIdentityData { identity_data: value() });
    let request = import_resource_state::Request { type_name: type_name(), identity, ..Default::default() };
    ask!(import_resource_state, request);
    let request = validate_data_resource_config::Request { type_name: source(), config: value() };
    ask!(validate_data_resource_config, request);
    ask!(read_data_source, read_data_source::Request { type_name: source(), config: value(), ..Default::default() });
    answers
}

proptest! {
    #[test]
    fn any_bytes_for_a_value_are_an_error_of_that_call(garbage in vec(any::<u8>(), 1..64)) {
        prop_assume!(!is_value_of_any_type(&garbage));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (server, _) = start();
            for (rpc, diagnostics) in answers_to(&server, &garbage).await {
                prop_assert_eq!(diagnostics.len(), 1, "{}", rpc);
                prop_assert!(diagnostics[0].summary.starts_with("Cannot read the "), "{}: {:?}", rpc, diagnostics);
            }
            let request = call_function::Request { name: "shout".to_owned(), arguments: bytes(&garbage).into_iter().collect() };
            let failed = server.call_function(Request::new(request)).await.unwrap().into_inner();
            prop_assert!(failed.error.is_some_and(|error| error.text.contains("does not understand")));
            Ok(())
        })?;
    }
}
