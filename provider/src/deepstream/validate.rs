//! What the arguments of `codestream_deepstream_cluster` must satisfy together. What one must satisfy alone is in its
//! schema, and what those of every resource must satisfy in `resource/rules.rs`.
//!
//! A rule speaks only when what it is about is known.

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::value::{Number, Value};

use super::config::{Config, overrides};
use super::schema::{DEFAULT_TIMEOUT, PROBES};
use super::user_data::LIMIT;
use crate::resource::rules::{self, Rule, Terms, is_given, shown};
use crate::stack::ownership;

/// The tags that a node has beside those that say whose it is: its name, and what it is made of.
const NODE_TAGS: usize = 2;

/// How many tags a cluster needs of an object for itself.
pub(crate) const OWN_TAGS: usize = ownership::COUNT + NODE_TAGS;
/// How often deepstream's clients say that they are there, in seconds, unless they are told otherwise.
const CLIENT_HEARTBEAT: i64 = 30;
/// What a host name in front of Redis may become longer by when the cache is made.
const ENDPOINT_MARGIN: usize = 512;

/// What the rules of all resources need to know.
pub(crate) const TERMS: Terms = Terms {
    subnets: &[("subnet_ids", "A load balancer"), ("node_subnet_ids", "A cluster")],
    blocks: &[],
    endpoints: &[],
    timeout: DEFAULT_TIMEOUT,
};

/// The rules of its own.
pub(crate) const RULES: &[Rule] = &[
    logins,
    listeners,
    rules::ssl_policy,
    nodes,
    new_cache,
    auth_token,
    server,
    numbers,
    health_check,
    idle_timeout,
    user_data,
];

fn logins(config: &Value, _: &Value, found: &mut Diagnostics) {
    rules::open_to_the_world(config, &["ssh_cidr_blocks"], found);
    if is_given(config.get("ssh_cidr_blocks")) && config.get("key_name").is_null() {
        found.warning_at(
            Path::of("ssh_cidr_blocks"),
            "SSH without a key",
            "ssh_cidr_blocks lets SSH in, and key_name is not given: unless the image or user_data_extra installs a \
             key, nobody can log in. Set key_name, or remove ssh_cidr_blocks.",
        );
    }
}

fn listeners(config: &Value, resolved: &Value, found: &mut Diagnostics) {
    let path = || Path::of("listeners");
    let flag = |name: &str| resolved.get("listeners").get(name).as_bool();
    let certificate = config.get("certificate_arn");
    match flag("https") {
        Some(true) if certificate.is_null() => found.error_at(
            Path::of("certificate_arn"),
            "HTTPS needs a certificate",
            "listeners.https is true, and certificate_arn is not given. Set certificate_arn to the ARN of an issued ACM \
             certificate of the load balancer's region, or remove listeners.https.",
        ),
        Some(false) => {
            for name in ["certificate_arn", "ssl_policy"] {
                if is_given(config.get(name)) {
                    found.error_at(
                        Path::of(name),
                        format!("{name} needs the encrypted listener"),
                        format!(
                            "{name} is {}, and there is no encrypted listener. Remove {name}, or set certificate_arn, and \
                             listeners.https to true.",
                            shown(config.get(name)),
                        ),
                    );
                }
            }
            if flag("redirect_http") == Some(true) {
                found.error_at(
                    path().attribute("redirect_http"),
                    "redirect_http needs HTTPS",
                    "listeners.redirect_http is true, and there is no encrypted listener to redirect to. Set \
                     certificate_arn, or remove listeners.redirect_http.",
                );
            } else if flag("http") == Some(false) {
                found.error_at(
                    path(),
                    "There is no listener",
                    "listeners.http is false, and there is no encrypted listener, so nobody can connect. Set \
                     certificate_arn, or remove listeners.http.",
                );
            }
        }
        _ => {}
    }
}

fn nodes(_: &Value, resolved: &Value, found: &mut Diagnostics) {
    if resolved.get("node_count").as_i64() == Some(1) {
        found.warning_at(
            Path::of("node_count"),
            "A cluster of one node",
            "node_count is 1: when that node fails, nobody is served until it runs again. Set it to at least 2.",
        );
    }
}

fn new_cache(config: &Value, resolved: &Value, found: &mut Diagnostics) {
    let (given, cache, path) = (config.get("cache"), resolved.get("cache"), Path::of("cache"));
    if is_given(cache.get("endpoint")) {
        let arguments = ["node_type", "engine_version", "replica_count", "automatic_failover", "at_rest_encryption"];
        for name in arguments.into_iter().filter(|name| is_given(given.get(name))) {
            found.error_at(
                path.attribute(name),
                format!("{name} is about a cache that is made"),
                format!(
                    "cache.{name} is {}, and cache.endpoint names a Redis that exists. Remove cache.{name}, or \
                     cache.endpoint.",
                    shown(given.get(name)),
                ),
            );
        }
        return;
    }
    if cache.get("automatic_failover").as_bool() == Some(true) && cache.get("replica_count").as_i64() == Some(0) {
        found.error_at(
            path.attribute("automatic_failover"),
            "Failover needs a replica",
            "cache.automatic_failover is true, and cache.replica_count is 0: there is no replica to take over. Set \
             replica_count to at least 1, or remove automatic_failover.",
        );
    }
}

fn auth_token(config: &Value, resolved: &Value, found: &mut Diagnostics) {
    let parameter = resolved.get("cache").get("auth_token_parameter");
    if !is_given(parameter) {
        return;
    }
    let path = Path::of("cache").attribute("auth_token_parameter");
    if resolved.get("cache").get("transit_encryption").as_bool() == Some(false) {
        found.error_at(
            path.clone(),
            "A token needs TLS",
            "cache.auth_token_parameter is given, and cache.transit_encryption is false: ElastiCache takes tokens over \
             TLS only, and in cleartext everybody on the way could read it. Remove transit_encryption, or \
             auth_token_parameter.",
        );
    }
    if config.get("iam_instance_profile").is_null() {
        found.error_at(
            path,
            "The nodes cannot read the token",
            format!(
                "cache.auth_token_parameter is {}, and iam_instance_profile is not given: without one the nodes have no \
                 permission to read the parameter. Set iam_instance_profile to a profile that allows ssm:GetParameter.",
                shown(parameter),
            ),
        );
    }
}

/// What another argument says must not be said once more in deepstream's own terms, and Redis cannot be a cluster.
fn server(config: &Value, _: &Value, found: &mut Diagnostics) {
    let path = || Path::of("deepstream_config");
    let given = config.get("deepstream_config");
    if given.is_null() || !given.is_wholly_known() {
        return;
    }
    let Some(overrides) = overrides(given) else {
        found.error_at(
            path(),
            "deepstream_config is no object",
            "deepstream_config must be an object in the terms of deepstream's config.yml, like { logLevel = 2 }.",
        );
        return;
    };
    let overrides = serde_json::Value::Object(overrides);
    for (place, argument) in
        [("/httpServer/options/port", "port"), ("/httpServer/options/healthCheckPath", "health_check.path")]
    {
        if overrides.pointer(place).is_some() {
            found.error_at(
                path(),
                format!("Said twice: {argument}"),
                format!(
                    "deepstream_config gives {}, which the load balancer must know as well. Remove it, and set {argument}.",
                    place.trim_start_matches('/').replace('/', "."),
                ),
            );
        }
    }
    for connector in ["cache", "clusterNode"] {
        if overrides.pointer(&format!("/{connector}/options/nodes")).is_some() {
            found.error_at(
                path(),
                "Redis cannot be a cluster",
                format!(
                    "deepstream_config gives {connector}.options.nodes: deepstream does not work with Redis in cluster \
                     mode. Remove it, and say in cache which Redis to use.",
                ),
            );
        }
    }
}

/// A number of `deepstream_config` that is another one as a double would be drift in every plan: both deepstream and
/// the reading of a state have doubles.
fn numbers(config: &Value, _: &Value, found: &mut Diagnostics) {
    let mut changed = Vec::new();
    inexact_numbers(config.get("deepstream_config"), "deepstream_config", &mut changed);
    for (place, number) in changed {
        let detail = match as_double(number) {
            Some(double) => format!(
                "{place} is {number}, which deepstream takes for {double}. Write {double}, or write the number as a \
                 string.",
            ),
            None => format!("{place} is {number}, which is too large for deepstream. Write it as a string."),
        };
        found.error_at(Path::of("deepstream_config"), "A number that deepstream does not have", detail);
    }
}

/// The numbers in a value that are others as doubles, with their places.
fn inexact_numbers<'v>(value: &'v Value, place: &str, found: &mut Vec<(String, &'v Number)>) {
    match value {
        Value::Number(number) if as_double(number).as_ref() != Some(number) => found.push((place.to_owned(), number)),
        Value::List(elements) => {
            for (index, element) in elements.iter().enumerate() {
                inexact_numbers(element, &format!("{place}[{index}]"), found);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                inexact_numbers(value, &format!("{place}.{key}"), found);
            }
        }
        Value::Dynamic(typed) => inexact_numbers(&typed.1, place, found),
        Value::Null | Value::Unknown | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The double nearest to a number, in as few digits as tell it from others; `None` when none is near.
fn as_double(number: &Number) -> Option<Number> {
    let double: f64 = number.as_str().parse().ok()?;
    Number::parse(&double.to_string())
}

fn health_check(_: &Value, resolved: &Value, found: &mut Diagnostics) {
    let Some(asked) = resolved.get("health_check").get("path").as_str() else { return };
    let path = Path::of("health_check").attribute("path");
    if asked == "/" {
        found.error_at(
            path,
            "deepstream does not answer on /",
            format!(
                "health_check.path is \"/\", where deepstream answers 404, so that no node would ever be healthy. Remove it \
                 to have {:?}.",
                PROBES.path,
            ),
        );
    } else if asked.contains('?') {
        found.error_at(
            path,
            "A health check of deepstream has no query",
            format!("health_check.path is {asked:?}. deepstream compares it with the path alone: remove the query."),
        );
    }
}

fn idle_timeout(_: &Value, resolved: &Value, found: &mut Diagnostics) {
    if let Some(seconds) = resolved.get("idle_timeout").as_i64()
        && (1..=CLIENT_HEARTBEAT).contains(&seconds)
    {
        found.warning_at(
            Path::of("idle_timeout"),
            "Idle timeout not above the clients' heartbeat",
            format!(
                "idle_timeout is {seconds}, and deepstream's clients say every {CLIENT_HEARTBEAT} seconds that they are \
                 there: the load balancer would close their connections in between. Set it above {CLIENT_HEARTBEAT}; 120 \
                 and more leave room for browsers that slow their timers down.",
            ),
        );
    }
}

fn user_data(_: &Value, resolved: &Value, found: &mut Diagnostics) {
    let Some(config) = Config::parse(resolved) else { return };
    let size = config.boot.user_data().len();
    if size + ENDPOINT_MARGIN <= LIMIT {
        return;
    }
    let argument = if config.boot.extra.is_some() { "user_data_extra" } else { "deepstream_config" };
    found.error_at(
        Path::of(argument),
        "The user data is too large",
        format!(
            "The user data of a node would have {size} bytes, and EC2 takes at most {LIMIT}, {ENDPOINT_MARGIN} of which are \
             kept free for the address of the cache. Make user_data_extra or deepstream_config smaller: a script can fetch \
             what is large, from S3 for example.",
        ),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tfplugin::diagnostics::Severity;
    use tfplugin::schema::Type;

    use super::super::DeepstreamCluster;
    use super::super::samples::{UNKNOWN_VALUE, change, configuration, small};
    use super::super::schema::schema;
    use super::*;
    use crate::resource::rules::validate;

    fn all(change_: &serde_json::Value) -> Diagnostics {
        let config = configuration(&change(small(), change_));
        let mut found = schema().validate(&config);
        found.extend(validate::<DeepstreamCluster>(&config));
        found
    }

    fn said(change_: &serde_json::Value) -> Vec<String> {
        let word = |severity| if severity == Severity::Error { "error" } else { "warning" };
        all(change_).iter().map(|found| format!("{} {}", word(found.severity), found.path)).collect()
    }

    #[test]
    fn a_good_configuration_says_nothing() {
        let arn = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-abcd";
        for good in [
            json!({}),
            json!({"certificate_arn": arn, "listeners": {"redirect_http": true}}),
            json!({"cache": {"endpoint": "redis.internal:6379", "transit_encryption": false}}),
            json!({"cache": {"auth_token_parameter": "/token", "replica_count": 1}, "iam_instance_profile": "realtime"}),
            json!({"deepstream_config": {"logLevel": 2}, "user_data_extra": "echo hello"}),
            json!({"instance_type": "c7gd.metal-48xl", "key_name": "ops (2026)", "cache": {"node_type": "cache.r7g.large"}}),
        ] {
            assert_eq!(all(&good), Diagnostics::new(), "{good}");
        }
    }

    #[test]
    fn every_bad_configuration_has_its_diagnostics() {
        let arn = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-abcd";
        let serverless = "web.serverless.use1.cache.amazonaws.com:6379";
        for (bad, expected) in [
            (json!({"subnet_ids": ["subnet-0a"]}), vec!["error subnet_ids"]),
            (json!({"node_subnet_ids": ["subnet-0a"]}), vec!["error node_subnet_ids"]),
            (json!({"client_cidr_blocks": null}), vec!["error client_cidr_blocks"]),
            (json!({"client_cidr_blocks": ["0.0.0.0/0"]}), vec!["warning client_cidr_blocks"]),
            (json!({"listeners": {"https": true}}), vec!["error certificate_arn"]),
            (json!({"listeners": {"https": false}, "certificate_arn": arn}), vec!["error certificate_arn"]),
            (json!({"listeners": {"http": false}}), vec!["error listeners"]),
            (json!({"listeners": {"redirect_http": true}}), vec!["error listeners.redirect_http"]),
            (json!({"node_count": 1}), vec!["warning node_count"]),
            (json!({"node_count": 0}), vec!["error node_count"]),
            (json!({"cache": {"endpoint": serverless}}), vec!["error cache.endpoint"]),
            (json!({"cache": {"endpoint": "r:1", "node_type": "cache.t3.micro"}}), vec!["error cache.node_type"]),
            (json!({"cache": {"automatic_failover": true}}), vec!["error cache.automatic_failover"]),
            (
                json!({"cache": {"auth_token_parameter": "/t", "transit_encryption": false}, "iam_instance_profile": "p"}),
                vec!["error cache.auth_token_parameter"],
            ),
            (json!({"cache": {"auth_token_parameter": "/t"}}), vec!["error cache.auth_token_parameter"]),
            (json!({"deepstream_config": {"httpServer": {"options": {"port": 1}}}}), vec!["error deepstream_config"]),
            (json!({"deepstream_config": {"cache": {"options": {"nodes": [1]}}}}), vec!["error deepstream_config"]),
            (json!({"health_check": {"path": "/"}}), vec!["error health_check.path"]),
            (json!({"health_check": {"path": "/health?x=1"}}), vec!["error health_check.path"]),
            (json!({"health_check": {"interval": 5}}), vec!["error health_check.interval"]),
            (json!({"idle_timeout": 30}), vec!["warning idle_timeout"]),
            (json!({"deregistration_delay": 3600}), vec!["warning deregistration_delay"]),
            (json!({"cache": {"engine_version": "7.0.4"}}), vec!["error cache.engine_version"]),
            (json!({"certificate_arn": arn, "ssl_policy": "ELBSecurityPolicy-2016-08"}), vec!["warning ssl_policy"]),
            (json!({"certificate_arn": arn, "ssl_policy": "ELBSecurityPolicy-TLS13"}), vec!["warning ssl_policy"]),
            (json!({"user_data_extra": "x".repeat(15_000)}), vec!["error user_data_extra"]),
            (json!({"deepstream_version": "latest"}), vec!["error deepstream_version"]),
            (json!({"instance_type": "t3"}), vec!["error instance_type"]),
            (json!({"instance_type": ""}), vec!["error instance_type"]),
            (json!({"key_name": ""}), vec!["error key_name"]),
            (json!({"key_name": " ops"}), vec!["error key_name"]),
            (json!({"cache": {"node_type": "t3.small"}}), vec!["error cache.node_type"]),
        ] {
            assert_eq!(said(&bad), expected, "{bad}");
        }
    }

    #[test]
    fn a_number_that_deepstream_would_have_as_another_is_refused_and_told_with_its_place() {
        let refused = |number: &str| {
            let number = Value::Number(Number::parse(number).unwrap());
            let object = Value::object([("rpc", Value::List(vec![Value::object([("timeout", number)])]))]);
            let mut config = configuration(&small());
            config.put("deepstream_config", Value::Dynamic(Box::new((Type::Dynamic, object))));
            let found = validate::<DeepstreamCluster>(&config);
            found.iter().map(|found| format!("{}: {}", found.path, found.detail)).collect::<Vec<_>>()
        };
        for good in ["0", "-7", "0.1", "1e21", "31.245270191439438", "9007199254740992"] {
            assert_eq!(refused(good), Vec::<String>::new());
        }
        let place = "deepstream_config: deepstream_config.rpc[0].timeout is";
        for (bad, double) in [
            ("0.1234567890123456789", "0.12345678901234568"),
            ("9007199254740993", "9007199254740992"),
            ("12345678901234567890123", "12345678901234568000000"),
        ] {
            let detail = format!(
                "{place} {bad}, which deepstream takes for {double}. Write {double}, or write the number as a string."
            );
            assert_eq!(refused(bad), [detail]);
        }
        let large = format!("1{}", "0".repeat(400));
        let detail = format!("{place} {large}, which is too large for deepstream. Write it as a string.");
        assert_eq!(refused("1e400"), [detail]);
    }

    #[test]
    fn what_is_unknown_is_no_error() {
        let unknown = schema().attributes.iter().map(|attribute| (attribute.name, Value::Unknown)).collect::<Vec<_>>();
        assert_eq!(validate::<DeepstreamCluster>(&Value::object(unknown)), Diagnostics::new());
        assert_eq!(validate::<DeepstreamCluster>(&Value::Unknown), Diagnostics::new());
        let inside = json!({"cache": {"endpoint": UNKNOWN_VALUE, "auth_token_parameter": UNKNOWN_VALUE}});
        assert_eq!(all(&inside), Diagnostics::new());
    }
}
