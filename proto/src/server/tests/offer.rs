//! What a provider offers, and calls for something that it does not.

use super::*;

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
async fn what_is_not_served_is_unimplemented_and_not_offered() {
    let (server, _) = start();
    let schema = server.get_provider_schema(Request::new(Default::default())).await.unwrap().into_inner();
    assert!(!schema.server_capabilities.unwrap().generate_resource_config);
    let status = server.generate_resource_config(Request::new(Default::default())).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}

/// Core takes a deferred answer for an error unless it runs an experiment, and forgives wrong plans only when told that
/// they come from the oldest SDK.
#[tokio::test]
async fn nothing_is_deferred_and_nothing_is_to_be_forgiven() {
    let (server, _) = start();
    let client_capabilities = Some(wire::ClientCapabilities { deferral_allowed: true, ..Default::default() });
    let create = plan_resource_change::Request { client_capabilities, ..plan_of(&Value::Null, &thing("a")) };
    let planned = plan(&server, create).await;
    assert_eq!((planned.deferred, planned.legacy_type_system), (None, false));
    let applied = apply(&server, apply_of(&Value::Null, &thing("a"))).await;
    assert!(!applied.legacy_type_system);
    assert_eq!(read(&server, "probe_thing", &thing("a")).await.deferred, None);
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
    let vague = codec::encode_msgpack(&Value::Unknown, &Type::String).unwrap();
    let later = call("shout", &vague).await.unwrap().into_inner();
    assert_eq!(later.result.unwrap().msgpack, vague);
    assert_eq!(later.error, None);
    // OpenTofu sends a null argument as a value without bytes.
    for (argument, at, why) in [
        (Vec::new(), Some(0), "Must not be null."),
        (b"\xc0".to_vec(), Some(0), "Must not be null."),
        (text(""), Some(0), "Nothing to shout."),
    ] {
        let failed = call("shout", &argument).await.unwrap().into_inner();
        assert_eq!(failed.error, Some(wire::FunctionError { text: why.to_owned(), function_argument: at }));
        assert_eq!(failed.result, None);
    }
    let crashed = call("shout", &text("panic")).await.unwrap().into_inner().error.unwrap();
    assert!(crashed.text.contains("on purpose"), "{}", crashed.text);
    crate::log::add_secret("secret-of-an-argument");
    let quoting = call("shout", &text("quote secret-of-an-argument")).await.unwrap().into_inner().error.unwrap();
    assert_eq!(quoting.text, "Not quote ***.");
    let unknown = call("whisper", &text("a")).await.unwrap().into_inner().error.unwrap();
    assert!(unknown.text.contains("whisper"), "{}", unknown.text);
}
