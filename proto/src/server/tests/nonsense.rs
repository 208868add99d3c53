//! Calls that make no sense, and calls that panic: an error of that call, and of no other.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn a_panic_fails_only_its_own_call() {
    let (server, _) = start();
    let failed = plan(&server, plan_of(&Value::Null, &thing("panic"))).await;
    assert_eq!(summaries(&failed.diagnostics), ["The provider crashed"]);
    let fine = plan(&server, plan_of(&Value::Null, &thing("a"))).await;
    assert_eq!(summaries(&fine.diagnostics), [""; 0]);
    assert_eq!(received(fine.planned_state.as_ref()).get("name"), &Value::from("a"));
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
            let arguments = bytes(&garbage).into_iter().collect();
            let request = call_function::Request { name: "shout".to_owned(), arguments };
            let failed = server.call_function(Request::new(request)).await.unwrap().into_inner();
            prop_assert!(failed.error.is_some_and(|error| error.text.contains("does not understand")));
            Ok(())
        })?;
    }
}
