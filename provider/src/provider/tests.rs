//! What nobody should send: at every call, bytes that are no message, bytes that are no value, and values that make no
//! sense. Each is answered, in finite time, and none makes the provider panic.

use std::cell::Cell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;
use std::time::Duration;

use proptest::array::uniform2;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use tfplugin::calls::Calls;
use tfplugin::codec::{decode_msgpack, encode_msgpack};
use tfplugin::schema::Type;
use tfplugin::value::Number;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::*;
use crate::alb::CodestreamAlb;
use crate::aws::fake::{FakeAws, cert_arn};
use crate::deepstream::DeepstreamCluster;
use crate::resource::{Composite, Preflight};

const STACKS: [&str; 2] = [CodestreamAlb::TYPE_NAME, DeepstreamCluster::TYPE_NAME];
/// More nodes than these would only take longer.
const MANY_NODES: i64 = 4;

/// What a field of a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// The name of what the call is about, or any other text.
    Text,
    /// A value, which the call reads.
    Value,
    /// A value that no call of ours reads.
    Ignored,
    /// JSON out of a state file.
    Stored,
    /// A value in a message of its own.
    Identity,
    /// What the provider keeps beside the state.
    Private,
}

/// Every call, with the fields of its request by number.
const CALLS: [(&str, &[(u8, Field)]); 20] = [
    ("GetMetadata", &[]),
    ("GetProviderSchema", &[]),
    ("GetResourceIdentitySchemas", &[]),
    ("GetFunctions", &[]),
    ("ValidateProviderConfig", &[(1, Field::Value)]),
    ("ConfigureProvider", &[(1, Field::Text), (2, Field::Value)]),
    ("StopProvider", &[]),
    ("ValidateResourceConfig", &[(1, Field::Text), (2, Field::Value)]),
    ("UpgradeResourceState", &[(1, Field::Text), (3, Field::Stored)]),
    ("UpgradeResourceIdentity", &[(1, Field::Text), (3, Field::Stored)]),
    ("ReadResource", &[(1, Field::Text), (2, Field::Value), (3, Field::Private), (4, Field::Ignored)]),
    (
        "PlanResourceChange",
        &[(1, Field::Text), (2, Field::Value), (3, Field::Ignored), (4, Field::Value), (5, Field::Private)],
    ),
    (
        "ApplyResourceChange",
        &[(1, Field::Text), (2, Field::Value), (3, Field::Value), (4, Field::Value), (5, Field::Private)],
    ),
    ("ImportResourceState", &[(1, Field::Text), (4, Field::Identity)]),
    ("ImportResourceState", &[(1, Field::Text), (2, Field::Text)]),
    ("MoveResourceState", &[(5, Field::Text), (1, Field::Text), (2, Field::Text), (4, Field::Stored)]),
    ("GenerateResourceConfig", &[(1, Field::Text), (2, Field::Ignored)]),
    ("ValidateDataResourceConfig", &[(1, Field::Text), (2, Field::Value)]),
    ("ReadDataSource", &[(1, Field::Text), (2, Field::Value), (3, Field::Ignored)]),
    ("CallFunction", &[(1, Field::Text), (2, Field::Value)]),
];

/// A field of a message, for anything that is written with its length before it.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![(number << 3) | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend(content);
    bytes
}

/// A field that holds these bytes, in the messages that it wraps them in.
fn wrapped(number: u8, field_type: Field, content: &[u8]) -> Vec<u8> {
    match field_type {
        Field::Text | Field::Private => field(number, content),
        Field::Value | Field::Ignored | Field::Stored => field(number, &field(1, content)),
        Field::Identity => field(number, &field(1, &field(1, content))),
    }
}

/// A value as a field of a request.
fn sent(number: u8, value: &Value, r#type: &Type) -> Vec<u8> {
    wrapped(number, Field::Value, &encode_msgpack(value, r#type).unwrap())
}

fn named(name: &str) -> Vec<u8> {
    field(1, name.as_bytes())
}

/// The provider over an AWS in memory.
fn codestream() -> Codestream {
    let provider = Codestream::new();
    let mut settings = Settings::from_config(&Value::object::<&str>([]));
    settings.aws = Some(Arc::new(FakeAws::new()));
    provider.settings.set(settings);
    provider
}

/// The answer to a call, if there is one in a day, as text; `None` when the call was refused.
async fn answer(calls: &Calls, rpc: &str, request: &[u8]) -> Result<Option<String>, TestCaseError> {
    let day = Duration::from_secs(24 * 60 * 60);
    let Ok(answered) = timeout(day, calls.call(rpc, request)).await else {
        return Err(TestCaseError::fail(format!("{rpc} hangs")));
    };
    let text = answered.ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let said = text.as_deref().unwrap_or_default();
    if said.contains("The provider crashed") || said.contains("panicked: ") {
        return Err(TestCaseError::fail(format!("{rpc}: {said}")));
    }
    Ok(text)
}

thread_local! {
    /// How often this thread has panicked, also where somebody caught it.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Runs a test on a clock that waits for nothing, and on this thread alone. No step of an apply may panic either.
fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    static COUNTED: Once = Once::new();
    COUNTED.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            report(panic);
        }));
    });
    let before = PANICS.get();
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)?;
    prop_assert_eq!(PANICS.get(), before, "something panicked");
    Ok(())
}

/// Every name that the provider knows, and one that it does not.
fn names() -> Vec<&'static str> {
    let provider = Codestream::new();
    let resources = provider.resources.iter().map(|resource| resource.type_name());
    let sources = provider.data_sources.iter().map(|source| source.type_name());
    let functions = provider.functions.iter().map(|function| function.name());
    resources.chain(sources).chain(functions).chain(["codestream_nothing"]).collect()
}

/// Every type that a call may read.
fn types() -> Vec<Type> {
    let provider = Codestream::new();
    let resources = provider.resources.iter().flat_map(|resource| {
        let identity = resource.identity_schema().map(Schema::r#type);
        [resource.schema().r#type()].into_iter().chain(identity)
    });
    let sources = provider.data_sources.iter().map(|source| source.schema().r#type());
    let functions = provider.functions.iter().flat_map(|function| function.parameters());
    let parameters = functions.map(|parameter| parameter.r#type.clone());
    resources.chain(sources).chain(parameters).chain([provider.schema.r#type()]).collect()
}

/// Texts that have a meaning somewhere, so that the odd ones beside them are looked at.
fn texts() -> BoxedStrategy<String> {
    let known: Vec<String> = [
        "",
        "/",
        "web",
        "HTTP",
        "HTTPS",
        "i-1",
        "i-2",
        "subnet-a",
        "subnet-b",
        "subnet-private",
        "sg-hosts",
        "Z1",
        "vpc-1",
        "0.0.0.0/0",
        "198.51.100.0/24",
        "::/0",
        "300.0.0.0/99",
        "15m",
        "0",
        "1ns",
        "ipv4",
        "dualstack",
        "lb_cookie",
        "codestream.example.com",
        "*.example.com",
        "redis.internal:6379",
        "ami-0c",
        "7.0.1",
        "{}",
        "{\"a\":[1]}",
        "{\"a\":{\"b\":\n null}}",
        "200-299",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([cert_arn(1), "arn:aws:".to_owned(), "é".repeat(100)])
    .collect();
    prop_oneof![3 => select(known), 1 => any::<String>()].boxed()
}

fn numbers() -> impl Strategy<Value = Value> {
    let odd = ["-1", "0", "0.5", "65536", "9223372036854775808", "1e2000", "-1e-2000"];
    let odd = select(odd.to_vec()).prop_map(|text| Value::Number(Number::parse(text).unwrap()));
    prop_oneof![(1_i64..100_000).prop_map(Value::from), any::<i64>().prop_map(Value::from), odd]
}

/// Any value of a type.
fn values(r#type: &Type) -> BoxedStrategy<Value> {
    let known = match r#type {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Number => numbers().boxed(),
        Type::String => texts().prop_map(Value::String).boxed(),
        Type::Dynamic => untyped().boxed(),
        Type::List(element) => vec(values(element), 0..4).prop_map(Value::List).boxed(),
        Type::Set(element) => vec(values(element), 0..4).prop_map(Value::set).boxed(),
        Type::Map(element) => btree_map(texts(), values(element), 0..4).prop_map(Value::Map).boxed(),
        Type::Object(types) => {
            let attributes: Vec<_> = types.iter().map(|(name, r#type)| (Just(name.clone()), values(r#type))).collect();
            attributes.prop_map(Value::object).boxed()
        }
        Type::Tuple(types) => types.iter().map(values).collect::<Vec<_>>().prop_map(Value::List).boxed(),
    };
    prop_oneof![2 => Just(Value::Null), 1 => Just(Value::Unknown), 9 => known].boxed()
}

/// A value that brings its type along, with the attribute names of what functions take.
fn untyped() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 14] = [
        "httpServer",
        "options",
        "port",
        "redis",
        "host",
        "config",
        "listeners",
        "target_groups",
        "security_group_rules",
        "protocol",
        "target_group",
        "name",
        "role",
        "instance_ids",
    ];
    let leaf = prop_oneof![texts().prop_map(Value::from), numbers(), any::<bool>().prop_map(Value::from)];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec((select(NAMES.to_vec()), inner), 0..6).prop_map(Value::object),
        ]
    })
}

/// An object of this schema, as given but for some attributes, each of which is any value of its type.
fn objects(schema: &Schema, given: &[(&str, Value)]) -> BoxedStrategy<Value> {
    let mut base = schema.null_object();
    for (name, value) in given {
        base.put(name, value.clone());
    }
    let odd = schema.attributes.iter().map(|attribute| (Just(attribute.name), values(&attribute.r#type())));
    vec(Union::new(odd.map(Strategy::boxed)), 0..6)
        .prop_map(move |odd| {
            let mut object = base.clone();
            for (name, value) in odd {
                object.put(name, value);
            }
            object
        })
        .boxed()
}

/// A resource, with what core may say of a stack of it.
#[derive(Clone, Debug)]
struct Stack {
    type_name: &'static str,
    r#type: Type,
    prior: Value,
    config: Value,
    planned: Value,
}

/// A stack of any of the resources.
fn stacks() -> impl Strategy<Value = Stack> {
    let common = [
        ("name", "web".into()),
        ("subnet_ids", Value::set(["subnet-a", "subnet-b"])),
        ("client_cidr_blocks", Value::set(["198.51.100.0/24"])),
    ];
    let alb = [
        ("protocol", "HTTP".into()),
        ("instance_ids", Value::set(["i-1"])),
        ("hostname", "codestream.example.com".into()),
    ];
    let alb: Vec<_> = common.iter().cloned().chain(alb).collect();
    prop_oneof![stacks_of::<CodestreamAlb>(&alb), stacks_of::<DeepstreamCluster>(&common)]
}

/// State, configuration and plan of a resource, sound but for some attributes; or none. What the resource itself plans
/// for such a configuration is among the plans, for only such a one can be applied.
fn stacks_of<C: Composite>(given: &[(&str, Value)]) -> impl Strategy<Value = Stack> + use<C> {
    let one = prop_oneof![1 => Just(Value::Null), 5 => objects(C::schema(), given)].boxed();
    let plan = objects(C::schema(), given).prop_map(|config| {
        let resolved = C::resolve(&config);
        let mut planned = C::planned(&resolved, None, resolved.get("tags"), &Preflight::default());
        if planned.get("node_count").as_i64() > Some(MANY_NODES) {
            planned.put("node_count", MANY_NODES);
        }
        planned
    });
    (uniform2(one.clone()), prop_oneof![one, plan]).prop_map(|([prior, config], planned)| Stack {
        type_name: C::TYPE_NAME,
        r#type: C::schema().r#type(),
        prior,
        config,
        planned,
    })
}

/// The configuration of one of the data sources, with its place among them.
fn looked_up() -> impl Strategy<Value = (usize, Value)> {
    let provider = Codestream::new();
    let each = provider.data_sources.iter().enumerate();
    Union::new(each.map(|(index, source)| (Just(index), objects(source.schema(), &[])).boxed()))
}

/// The arguments of one of the functions, with its place among them.
fn called() -> impl Strategy<Value = (usize, Vec<Value>)> {
    let provider = Codestream::new();
    let each = provider.functions.iter().enumerate();
    Union::new(each.map(|(index, function)| {
        let arguments: Vec<_> = function.parameters().iter().map(|parameter| values(&parameter.r#type)).collect();
        (Just(index), arguments).boxed()
    }))
}

/// What is kept beside a state: bytes, or JSON that looks like it.
fn private() -> impl Strategy<Value = Vec<u8>> {
    let like = texts().prop_map(|text| {
        let kept = serde_json::json!({"resource_id": text, "vpc_id": "vpc-1", "objects": {text: "load-balancer"}});
        kept.to_string().into_bytes()
    });
    prop_oneof![vec(any::<u8>(), 0..32), like]
}

proptest! {
    #[test]
    fn any_bytes_for_a_request_are_answered(bytes in vec(any::<u8>(), 0..128), name in select(names())) {
        let [calls, configured] = [codestream(), codestream()].map(|provider| Calls::new(Arc::new(provider)));
        run(async {
            for (rpc, _) in CALLS {
                // A provider that has been configured looks for AWS on the network.
                let calls = if rpc == "ConfigureProvider" { &configured } else { &calls };
                // A call about something there is goes further.
                for request in [bytes.clone(), [named(name), bytes.clone()].concat()] {
                    answer(calls, rpc, &request).await?;
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn any_bytes_for_a_value_are_an_error_of_that_call(garbage in vec(any::<u8>(), 1..64)) {
        prop_assume!(types().iter().all(|r#type| decode_msgpack(&garbage, r#type).is_err()));
        prop_assume!(serde_json::from_slice::<serde_json::Value>(&garbage).is_err());
        let provider = codestream();
        let source = provider.data_sources[0].type_name();
        let calls = Calls::new(Arc::new(provider));
        run(async {
            for (rpc, fields) in CALLS {
                let read = |field: Field| matches!(field, Field::Value | Field::Stored | Field::Identity);
                let names = match rpc {
                    "CallFunction" => vec!["deepstream_config"],
                    "ValidateDataResourceConfig" | "ReadDataSource" => vec![source],
                    _ => STACKS.to_vec(),
                };
                let fields_read = fields.iter().filter(|(_, field)| read(*field));
                let cases = fields_read.flat_map(|field| names.iter().map(move |name| (field, name)));
                for ((number, field_type), name) in cases {
                    let about = if rpc == "MoveResourceState" { 5 } else { 1 };
                    let takes_name = fields.contains(&(about, Field::Text));
                    let mut request = wrapped(*number, *field_type, &garbage);
                    if takes_name && rpc != "ConfigureProvider" {
                        request.extend(field(about, name.as_bytes()));
                    }
                    let text = answer(&calls, rpc, &request).await?.unwrap_or_default();
                    let says_so = text.contains("does not understand the");
                    prop_assert!(says_so, "{} {} field {}: {}", rpc, name, number, text);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn any_text_for_a_name_is_answered(name in any::<String>(), id in texts()) {
        prop_assume!(!names().contains(&name.as_str()));
        let calls = Calls::new(Arc::new(codestream()));
        run(async {
            let state = serde_json::json!({"arn": id, "name": name, "load_balancer_type": "application", "vpc_id": id});
            for stack in STACKS {
                let import = [named(stack), field(2, id.as_bytes())].concat();
                answer(&calls, "ImportResourceState", &import).await?;
                let moved = [
                    field(5, stack.as_bytes()),
                    field(1, b"registry.terraform.io/hashicorp/aws"),
                    field(2, b"aws_lb"),
                    wrapped(4, Field::Stored, state.to_string().as_bytes()),
                ];
                answer(&calls, "MoveResourceState", &moved.concat()).await?;
            }
            // What is configured here would ask a real AWS, so that comes last.
            let (configure, others): (Vec<_>, Vec<_>) = CALLS.iter().partition(|(rpc, _)| *rpc == "ConfigureProvider");
            for (rpc, fields) in others.into_iter().chain(configure) {
                let texts = fields.iter().filter(|(_, field)| *field == Field::Text);
                let request: Vec<u8> = texts.flat_map(|(number, _)| field(*number, name.as_bytes())).collect();
                answer(&calls, rpc, &request).await?;
            }
            Ok(())
        })?;
    }

}

proptest! {
    // Each applies twice.
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_values_of_a_stack_are_answered(stack in stacks(), private in private()) {
        let Stack { type_name, r#type, prior, config, planned } = stack;
        let [prior, configured] = [(2, &prior), (4, &config)].map(|(number, value)| sent(number, value, &r#type));
        let kept = field(5, &private);
        let about = named(type_name);
        run(async {
            let calls = Calls::new(Arc::new(codestream()));
            answer(&calls, "ValidateResourceConfig", &[about.clone(), sent(2, &config, &r#type)].concat()).await?;
            let plan = [&about[..], &prior, &configured, &kept].concat();
            answer(&calls, "PlanResourceChange", &plan).await?;
            let planned = sent(3, &planned, &r#type);
            let apply = [&about[..], &prior, &planned, &configured, &kept].concat();
            answer(&calls, "ApplyResourceChange", &apply).await?;
            // Whatever that has made is now read, and changed, under a state that says something else.
            answer(&calls, "ReadResource", &[about.clone(), prior.clone(), field(3, &private)].concat()).await?;
            answer(&calls, "ApplyResourceChange", &apply).await?;
            Ok(())
        })?;
    }

    #[test]
    fn any_values_elsewhere_are_answered(
        block in objects(&settings::schema(), &[]),
        (source, looked_up) in looked_up(),
        (function, arguments) in called(),
    ) {
        let provider = codestream();
        let source = (provider.data_sources[source].type_name(), provider.data_sources[source].schema().r#type());
        let parameters = provider.functions[function].parameters().to_vec();
        let arguments = parameters.iter().zip(&arguments);
        let arguments = arguments.flat_map(|(parameter, value)| sent(2, value, &parameter.r#type));
        let call: Vec<u8> = named(provider.functions[function].name()).into_iter().chain(arguments).collect();
        let look_up = [named(source.0), sent(2, &looked_up, &source.1)].concat();
        let block_type = provider.schema.r#type();
        let calls = Calls::new(Arc::new(provider));
        run(async {
            answer(&calls, "CallFunction", &call).await?;
            answer(&calls, "ValidateDataResourceConfig", &look_up).await?;
            answer(&calls, "ReadDataSource", &look_up).await?;
            answer(&calls, "ValidateProviderConfig", &sent(1, &block, &block_type)).await?;
            // The last one: a provider that has been configured looks for AWS on the network.
            answer(&calls, "ConfigureProvider", &sent(2, &block, &block_type)).await?;
            Ok(())
        })?;
    }
}
