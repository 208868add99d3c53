//! The `config.yml` of a deepstream server.
//!
//! deepstream works on the text of that file before it parses it: it cuts each line at a `#`, and expands `${NAME}`,
//! `file(...)` and `fileLoad(...)` even inside strings. So the file is written as JSON, which is YAML, with the
//! characters escaped that start any of this: then every value is what it says.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};
use tfplugin::value::Value;

/// The port that clients and health checks connect to, when none is given.
pub(crate) const DEFAULT_PORT: u16 = 6020;
/// The path of health checks, when none is given.
pub(crate) const DEFAULT_HEALTH_CHECK_PATH: &str = "/health-check";
/// The port of Redis, when none is given.
pub(crate) const DEFAULT_REDIS_PORT: u16 = 6379;

/// What the server reads its Redis password from: a variable of its environment, so that the file has no secret.
const AUTH_TOKEN: &str = "${REDIS_AUTH_TOKEN}";

/// The Redis that the servers of a cluster share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redis {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether it speaks TLS.
    pub(crate) transit_encryption: bool,
    /// Whether it wants the password in the environment variable `REDIS_AUTH_TOKEN`.
    pub(crate) auth: bool,
}

/// A server, as far as its configuration goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// The port that clients and health checks connect to.
    pub(crate) port: u16,
    pub(crate) health_check_path: String,
    /// Its cache, and its way to the other servers; without one it is alone.
    pub(crate) redis: Option<Redis>,
}

/// The text of the file. Objects in `overrides` are merged over the defaults, anything else replaces them.
pub(crate) fn config_yaml(server: &Server, overrides: &Map<String, Json>) -> String {
    let mut config = defaults(server);
    merge(&mut config, overrides);
    escape(&format!("{:#}\n", Json::Object(config)))
}

/// An object of a configuration as JSON, without its null attributes, which count as not given.
pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Unknown => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        // deepstream, too, has doubles; what is no double, it can only take as text.
        Value::Number(number) => {
            serde_json::from_str(number.as_str()).unwrap_or_else(|_| Json::String(number.to_string()))
        }
        Value::String(text) => Json::String(text.clone()),
        Value::List(elements) => elements.iter().map(json).collect(),
        Value::Map(entries) => {
            let given = entries.iter().filter(|(_, value)| !value.is_null());
            given.map(|(key, value)| (key.clone(), json(value))).collect()
        }
        Value::Dynamic(typed) => json(&typed.1),
    }
}

/// What holds where nothing else is said. Endpoints are listed because deepstream opens more, MQTT among them, when
/// they are not.
fn defaults(server: &Server) -> Map<String, Json> {
    let mut config = Map::new();
    let mut put = |key: &str, value: Json| config.insert(key.to_owned(), value);
    // deepstream makes up a name for each server: within a cluster they must differ.
    put("serverName", json!("UUID"));
    put("showLogo", json!(false));
    put("logLevel", json!(1));
    // deepstream's own 2 seconds are too short for a Redis that is slow to answer at boot.
    put("dependencyInitializationTimeout", json!(10_000));
    put(
        "httpServer",
        json!({
            "type": "default",
            "options": {
                "host": "0.0.0.0",
                "port": server.port,
                "healthCheckPath": server.health_check_path,
                "allowAllOrigins": true,
            },
        }),
    );
    put(
        "connectionEndpoints",
        json!([
            { "type": "ws-binary", "options": { "urlPath": "/deepstream", "heartbeatInterval": 30_000 } },
            { "type": "http", "options": { "allowAuthData": true, "postPath": "/api", "getPath": "/api" } },
        ]),
    );
    put("logger", json!({ "type": "default", "options": { "colors": false } }));
    put("auth", json!([{ "type": "none" }]));
    put("permission", json!({ "type": "none" }));
    if let Some(redis) = &server.redis {
        let mut options = json!({ "host": redis.host, "port": redis.port });
        if redis.transit_encryption {
            options["tls"] = json!({});
        }
        if redis.auth {
            options["password"] = json!(AUTH_TOKEN);
        }
        let connector = json!({ "name": "redis", "options": options });
        put("cache", connector.clone());
        put("clusterNode", connector);
    }
    config
}

fn merge(config: &mut Map<String, Json>, overrides: &Map<String, Json>) {
    for (key, value) in overrides {
        match (config.get_mut(key), value) {
            (Some(Json::Object(config)), Json::Object(overrides)) => merge(config, overrides),
            _ => {
                config.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Escapes what deepstream would expand, and what JSON allows in a string and YAML does not. None of it has a
/// meaning in JSON outside of strings. A string that is the auth token's variable stays: that one is to be expanded.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '#' | '$' | '(' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            plain => escaped.push(plain),
        }
    }
    let token = format!("\"{AUTH_TOKEN}\"");
    escaped.replace(&token.replace('$', "\\u0024"), &token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(redis: Option<Redis>) -> Server {
        Server { port: DEFAULT_PORT, health_check_path: DEFAULT_HEALTH_CHECK_PATH.to_owned(), redis }
    }

    fn redis() -> Redis {
        Redis { host: "cache.internal".to_owned(), port: 6379, transit_encryption: false, auth: false }
    }

    fn rendered(server: &Server, overrides: &Json) -> String {
        config_yaml(server, overrides.as_object().unwrap())
    }

    fn parsed(server: &Server, overrides: &Json) -> Json {
        serde_json::from_str(&rendered(server, overrides)).unwrap()
    }

    #[test]
    fn a_server_alone_opens_two_endpoints_and_knows_no_redis() {
        assert_eq!(
            parsed(&server(None), &json!({})),
            json!({
                "serverName": "UUID",
                "showLogo": false,
                "logLevel": 1,
                "dependencyInitializationTimeout": 10000,
                "httpServer": {
                    "type": "default",
                    "options": {
                        "host": "0.0.0.0",
                        "port": 6020,
                        "healthCheckPath": "/health-check",
                        "allowAllOrigins": true,
                    },
                },
                "connectionEndpoints": [
                    { "type": "ws-binary", "options": { "urlPath": "/deepstream", "heartbeatInterval": 30000 } },
                    { "type": "http", "options": { "allowAuthData": true, "postPath": "/api", "getPath": "/api" } },
                ],
                "logger": { "type": "default", "options": { "colors": false } },
                "auth": [{ "type": "none" }],
                "permission": { "type": "none" },
            })
        );
    }

    #[test]
    fn redis_is_both_the_cache_and_the_way_to_the_other_servers() {
        let config = parsed(&server(Some(redis())), &json!({}));
        let connector = json!({ "name": "redis", "options": { "host": "cache.internal", "port": 6379 } });
        assert_eq!((&config["cache"], &config["clusterNode"]), (&connector, &connector));
        let tls = parsed(&server(Some(Redis { transit_encryption: true, ..redis() })), &json!({}));
        assert_eq!(tls["cache"]["options"]["tls"], json!({}));
    }

    #[test]
    fn the_password_is_the_one_thing_that_the_environment_gives() {
        let overrides = json!({ "serverName": "${HOSTNAME} # \"${REDIS_AUTH_TOKEN}\"" });
        let text = rendered(&server(Some(Redis { auth: true, ..redis() })), &overrides);
        assert_eq!(text.matches("\"password\": \"${REDIS_AUTH_TOKEN}\"").count(), 2);
        assert_eq!(text.matches('$').count(), 2);
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap()["serverName"], overrides["serverName"]);
    }

    #[test]
    fn objects_merge_and_everything_else_replaces() {
        let overrides = json!({
            "httpServer": { "options": { "port": 7000 } },
            "connectionEndpoints": [{ "type": "ws-text" }],
            "permission": "none",
            "rpc": { "ackTimeout": 500 },
        });
        let config = parsed(&server(None), &overrides);
        assert_eq!(
            (&config["httpServer"]["options"]["port"], &config["httpServer"]["options"]["host"]),
            (&json!(7000), &json!("0.0.0.0"))
        );
        for replaced in ["connectionEndpoints", "permission", "rpc"] {
            assert_eq!(config[replaced], overrides[replaced]);
        }
    }

    #[test]
    fn a_null_attribute_counts_as_not_given() {
        let number = |text| Value::Number(tfplugin::value::Number::parse(text).unwrap());
        let value = Value::object([
            ("logLevel", Value::Null),
            ("auth", Value::List(vec![Value::object([("type", Value::from("file")), ("options", Value::Null)])])),
            ("rpc", Value::object([("ackTimeout", number("1500")), ("ratio", number("0.5"))])),
        ]);
        assert_eq!(json(&value), json!({ "auth": [{ "type": "file" }], "rpc": { "ackTimeout": 1500, "ratio": 0.5 } }));
    }

    proptest! {
        #[test]
        fn any_text_survives_and_nothing_in_it_is_expanded(key in any::<String>(), text in any::<String>()) {
            let overrides = json!({ "custom": { key: text } });
            let file = rendered(&server(None), &overrides);
            let live = file.replace(&format!("\"{AUTH_TOKEN}\""), "").contains(['#', '$', '(']);
            prop_assert!(!live);
            prop_assert_eq!(&serde_json::from_str::<Json>(&file).unwrap()["custom"], &overrides["custom"]);
        }
    }
}
