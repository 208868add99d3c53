//! The RPCs, called as tonic calls them, on a small provider whose objects do what their name says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and a provider that panics is tested"
)]

mod apply;
mod nonsense;
mod offer;
mod state;

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
            quoted if quoted.starts_with("quote ") => {
                Err(FunctionError { argument: Some(0), message: format!("Not {quoted}.") })
            }
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
