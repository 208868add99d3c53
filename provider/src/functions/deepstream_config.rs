//! `deepstream_config`: the configuration file of a deepstream server.

use serde_json::Value as Json;
use tfplugin::provider::{Function, FunctionError, Parameter};
use tfplugin::schema::Type;
use tfplugin::value::Value;

use super::{fault, untyped};
use crate::deepstream::config_yaml::{
    DEFAULT_HEALTH_CHECK_PATH, DEFAULT_PORT, DEFAULT_REDIS_PORT, Redis, Server, config_yaml, json,
};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "object",
    r#type: Type::Dynamic,
    description: "An object, all of whose attributes are optional: `port` (6020), `health_check_path` \
                  (`/health-check`), `redis` with `host`, `port` (6379), `transit_encryption` (true) and `auth` \
                  (false), and `config`, an object in deepstream's own terms.",
}];

/// The function.
pub(super) struct DeepstreamConfig;

impl Function for DeepstreamConfig {
    fn name(&self) -> &'static str {
        "deepstream_config"
    }

    fn summary(&self) -> &'static str {
        "Renders the config.yml of a deepstream server"
    }

    fn description(&self) -> &'static str {
        "Answers the text of the `config.yml` that a server of a `codestream_deepstream_cluster` has: WebSockets and \
         the HTTP API on `port`, health checks on `health_check_path`, and Redis, when `redis` is given, as cache and \
         as the way to the other servers. With `redis.auth`, deepstream takes the password from its environment \
         variable `REDIS_AUTH_TOKEN`; no secret is in the file. Objects in `config` are merged over the rest, any \
         other value replaces what is there, and null leaves it. The text is JSON, which is YAML, and every value in \
         it is taken literally: deepstream expands no `fileLoad(...)` in it, so put the content itself there."
    }

    fn parameters(&self) -> &[Parameter] {
        PARAMETERS
    }

    fn result(&self) -> Type {
        Type::String
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        rendered(untyped(arguments, 0)).map(Value::from).map_err(|message| fault(0, message))
    }
}

fn rendered(object: &Value) -> Result<String, String> {
    check_attributes(object, "The object", &["port", "health_check_path", "redis", "config"])?;
    let health_check_path = optional(object, "health_check_path", "a path like \"/health-check\"", |value| {
        // Every path that starts with it is a health check to deepstream, and with `/` all do.
        value.as_str().filter(|path| path.len() > 1 && path.starts_with('/')).map(str::to_owned)
    })?;
    let redis = object.get("redis");
    let server = Server {
        port: optional(object, "port", PORT, port)?.unwrap_or(DEFAULT_PORT),
        health_check_path: health_check_path.unwrap_or_else(|| DEFAULT_HEALTH_CHECK_PATH.to_owned()),
        redis: if redis.is_null() { None } else { Some(parsed_redis(redis)?) },
    };
    let overrides = optional(object, "config", "an object", |value| match json(value) {
        Json::Object(overrides) => Some(overrides),
        _ => None,
    })?;
    Ok(config_yaml(&server, &overrides.unwrap_or_default()))
}

fn parsed_redis(redis: &Value) -> Result<Redis, String> {
    check_attributes(redis, "`redis`", &["host", "port", "transit_encryption", "auth"])?;
    let host = optional(redis, "host", "a host name", |value| value.as_str().map(str::to_owned))?;
    Ok(Redis {
        host: host.filter(|host| !host.is_empty()).ok_or("`redis` must have a `host`.")?,
        port: optional(redis, "port", PORT, port)?.unwrap_or(DEFAULT_REDIS_PORT),
        transit_encryption: optional(redis, "transit_encryption", "a boolean", Value::as_bool)?.unwrap_or(true),
        auth: optional(redis, "auth", "a boolean", Value::as_bool)?.unwrap_or(false),
    })
}

const PORT: &str = "a whole number from 1 to 65535";

fn port(value: &Value) -> Option<u16> {
    value.as_i64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

/// An attribute that may be missing or null, but nothing else than `what`.
fn optional<T>(
    object: &Value,
    name: &str,
    what: &str,
    parse: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, String> {
    match object.get(name) {
        Value::Null => Ok(None),
        given => parse(given).map(Some).ok_or_else(|| format!("`{name}` must be {what}.")),
    }
}

fn check_attributes(object: &Value, what: &str, known: &[&str]) -> Result<(), String> {
    let listed = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let Some(entries) = object.as_map() else {
        return Err(format!("{what} must be an object with some of the attributes {}.", listed()));
    };
    match entries.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(format!("{what} has no attribute `{unknown}`, only {}.", listed())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(object: Value) -> Json {
        let argument = Value::Dynamic(Box::new((Type::Dynamic, object)));
        let text = DeepstreamConfig.call(&[argument]).unwrap();
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    }

    #[test]
    fn an_empty_object_gives_the_documented_defaults() {
        let config = config(Value::object::<&str>([]));
        assert_eq!(config["httpServer"]["options"]["port"], 6020);
        assert_eq!(config["httpServer"]["options"]["healthCheckPath"], "/health-check");
        assert_eq!(config.get("cache"), None);
    }

    #[test]
    fn redis_speaks_tls_unless_it_is_said_not_to() {
        let options = |redis: Vec<(&str, Value)>| {
            config(Value::object([("redis", Value::object(redis))]))["clusterNode"]["options"].clone()
        };
        let host = || ("host", Value::from("cache.internal"));
        assert_eq!(options(vec![host()]), json!({ "host": "cache.internal", "port": 6379, "tls": {} }));
        let plain = vec![host(), ("transit_encryption", false.into()), ("auth", true.into()), ("port", 6380.into())];
        let expected = json!({ "host": "cache.internal", "port": 6380, "password": "${REDIS_AUTH_TOKEN}" });
        assert_eq!(options(plain), expected);
    }

    #[test]
    fn the_config_is_merged_over_the_rest() {
        let http = Value::object([("options", Value::object([("allowAllOrigins", false.into())]))]);
        let overrides = Value::object([("logLevel", 3.into()), ("httpServer", http), ("serverName", Value::Null)]);
        let config = config(Value::object([("port", 7000.into()), ("config", overrides)]));
        assert_eq!((&config["logLevel"], &config["serverName"]), (&json!(3), &json!("UUID")));
        let options = &config["httpServer"]["options"];
        assert_eq!((&options["allowAllOrigins"], &options["port"]), (&json!(false), &json!(7000)));
    }

    #[test]
    fn a_fault_names_the_attribute_and_what_is_allowed() {
        let redis = |entries: Vec<(&str, Value)>| Value::object([("redis", Value::object(entries))]);
        for (object, part) in [
            (Value::from("text"), "must be an object"),
            (Value::object([("prot", 1.into())]), "no attribute `prot`, only `port`"),
            (Value::object([("port", 0.into())]), "`port` must be a whole number from 1 to 65535"),
            (Value::object([("health_check_path", "/".into())]), "`health_check_path` must be a path"),
            (Value::object([("config", Value::List(Vec::new()))]), "`config` must be an object"),
            (redis(vec![]), "must have a `host`"),
            (redis(vec![("host", "a".into()), ("auth", "yes".into())]), "`auth` must be a boolean"),
            (redis(vec![("password", "a".into())]), "no attribute `password`"),
        ] {
            let error = DeepstreamConfig.call(&[object]).unwrap_err();
            assert!(error.argument == Some(0) && error.message.contains(part), "{error}");
        }
    }
}
