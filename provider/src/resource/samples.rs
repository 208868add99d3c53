//! Configurations for tests, written as JSON.

use serde_json::{Value as Json, json};
use tfplugin::schema::{Attribute, Kind, Schema, Type};
use tfplugin::value::{Number, Value};

/// Stands for an unknown value in JSON.
pub(crate) const UNKNOWN_VALUE: &str = "(known after apply)";

/// The configuration with these top-level arguments given instead.
pub(crate) fn change(mut base: Json, arguments: &Json) -> Json {
    for (name, argument) in arguments.as_object().unwrap() {
        base[name] = argument.clone();
    }
    base
}

/// As many tags as an object cannot have twice, by keys that start so.
pub(crate) fn many_tags(start: &str) -> Json {
    (0..25).map(|n| (format!("{start}-{n}"), "one")).collect()
}

/// The configuration with each of its arguments unknown in turn, those within others too.
pub(crate) fn unknowns(config: &Json) -> Vec<Json> {
    let mut found = Vec::new();
    for (name, argument) in config.as_object().unwrap() {
        found.push(change(config.clone(), &json!({ name: UNKNOWN_VALUE })));
        for inner in argument.as_object().into_iter().flat_map(|inner| inner.keys()) {
            let vague = change(argument.clone(), &json!({ inner: UNKNOWN_VALUE }));
            found.push(change(config.clone(), &json!({ name: vague })));
        }
    }
    found
}

/// The configuration as it comes from core: every attribute there, sets in order.
pub(crate) fn configuration(schema: &Schema, json: &Json) -> Value {
    object(&schema.attributes, json)
}

fn object(attributes: &[Attribute], json: &Json) -> Value {
    for name in json.as_object().unwrap().keys() {
        assert!(attributes.iter().any(|attribute| attribute.name == name), "there is no {name}");
    }
    Value::object(attributes.iter().map(|attribute| {
        let given = &json[attribute.name];
        let value = match attribute.kind {
            Kind::Nested(..) if given.is_object() => object(attribute.nested(), given),
            Kind::Plain(Type::Dynamic) if given.is_object() => Value::Dynamic(Box::new((Type::Dynamic, plain(given)))),
            _ => plain(given),
        };
        (attribute.name, value)
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
