//! Configurations for tests, written as JSON.

use serde_json::{Value as Json, json};
use tfplugin::schema::{Attribute, Kind};
use tfplugin::value::{Number, Value};

use super::schema::schema;

/// Stands for an unknown value in JSON.
pub(crate) const UNKNOWN_VALUE: &str = "(known after apply)";

/// A small good configuration with HTTPS.
pub(crate) fn https() -> Json {
    json!({
        "subnet_ids": ["subnet-0a", "subnet-0b"],
        "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
        "hostname": "codestream.example.com",
        "instance_ids": ["i-0123456789abcdef0"],
        "client_cidr_blocks": ["198.51.100.0/24"],
        "instance_cidr_blocks": ["203.0.113.7/32"],
    })
}

/// A small good configuration with HTTP.
pub(crate) fn http() -> Json {
    json!({
        "protocol": "HTTP",
        "subnet_ids": ["subnet-0a", "subnet-0b"],
        "instance_ids": ["i-0123456789abcdef0"],
        "client_cidr_blocks": ["198.51.100.0/24"],
    })
}

/// The configuration with these top-level arguments given instead.
pub(crate) fn change(mut base: Json, arguments: &Json) -> Json {
    for (name, argument) in arguments.as_object().unwrap() {
        base[name] = argument.clone();
    }
    base
}

/// The configuration as it comes from core: every attribute there, sets in order.
pub(crate) fn configuration(json: &Json) -> Value {
    object(&schema().attributes, json)
}

fn object(attributes: &[Attribute], json: &Json) -> Value {
    for name in json.as_object().unwrap().keys() {
        assert!(attributes.iter().any(|attribute| attribute.name == name), "there is no {name}");
    }
    Value::object(attributes.iter().map(|attribute| {
        let given = &json[attribute.name];
        let nested = matches!(attribute.kind, Kind::Nested(..)) && given.is_object();
        (attribute.name, if nested { object(attribute.nested(), given) } else { plain(given) })
    }))
}

fn plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(Number::parse(&number.to_string()).unwrap()),
        Json::String(text) if text == UNKNOWN_VALUE => Value::Unknown,
        Json::String(text) => text.into(),
        Json::Array(elements) => Value::set(elements.iter().map(plain)),
        Json::Object(entries) => Value::object(entries.iter().map(|(key, value)| (key, plain(value)))),
    }
}

/// A value as JSON, without what is null in its objects.
pub(crate) fn known_part(value: &Value) -> Json {
    match value {
        Value::Null | Value::Dynamic(_) => Json::Null,
        Value::Unknown => UNKNOWN_VALUE.into(),
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => serde_json::from_str(number.as_str()).unwrap(),
        Value::String(text) => text.as_str().into(),
        Value::List(elements) => elements.iter().map(known_part).collect(),
        Value::Map(entries) => {
            let there = entries.iter().filter(|(_, value)| !value.is_null());
            there.map(|(key, value)| (key.clone(), known_part(value))).collect()
        }
    }
}
