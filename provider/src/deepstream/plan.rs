//! Planning `codestream_deepstream_cluster`: the state after apply, as far as it can be known now.

use std::cmp::Ordering;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::value::Value;

use super::config::{Cache, Config};
use super::desired::{IDLE_TIMEOUT, balancer_attributes, cache_id, desired, group_name, instances};
use super::image::architecture;
use super::user_data::{sha256, with_cache};
use crate::aws::Tags;
use crate::resource::Preflight;
use crate::resource::config::UNKNOWN;
use crate::resource::outputs::{kept, plan_balancer, settle_ready, without_argument};
use crate::resource::topology::{port_and_protocol, text, topology};
use crate::stack::{Node, NodeId, Ref};

/// The planned state for a resolved configuration.
pub(crate) fn planned(resolved: &Value, prior: Option<&Value>, tags_all: &Value, found: &Preflight) -> Value {
    let mut planned = resolved.clone();
    plan_balancer(&mut planned, prior, tags_all, found.vpc_id.as_deref());
    if planned.get("ami_id").is_null() {
        planned.put("ami_id", image(&planned, prior));
    }
    for output in ["security_group_id", "node_security_group_id", "target_group_arn"] {
        planned.put(output, kept(prior, output));
    }
    planned.put("load_balancer_attributes", without_argument(&balancer_attributes(0), &[IDLE_TIMEOUT]));
    put_listeners(&mut planned, prior);
    put_url(&mut planned);
    let config = Config::parse(&planned);
    put_group(&mut planned, prior, config.as_ref());
    put_cache(&mut planned, prior, config.as_ref());
    put_nodes(&mut planned, prior, config.as_ref());
    settle_ready(planned, prior)
}

/// The image: the last one, unless it is for another architecture. The newest one is looked up at apply: between that
/// and the plan AWS may publish another.
fn image(planned: &Value, prior: Option<&Value>) -> Value {
    let instance_type = |state: &Value| state.get("instance_type").as_str().map(architecture);
    let last = prior.filter(|prior| instance_type(prior) == instance_type(planned));
    last.map_or(Value::Unknown, |prior| kept(Some(prior), "ami_id"))
}

fn put_listeners(planned: &mut Value, prior: Option<&Value>) {
    let flag = |name: &str| planned.get("listeners").get(name).as_bool();
    let cleartext = flag("http").zip(flag("redirect_http")).map(|(http, redirects)| http || redirects);
    for (output, is_there) in [("http_listener_arn", cleartext), ("https_listener_arn", flag("https"))] {
        let arn = match is_there {
            Some(false) => Value::Null,
            Some(true) => kept(prior, output),
            None => Value::Unknown,
        };
        planned.put(output, arn);
    }
}

/// What clients connect to, once the host is known.
pub(crate) fn put_url(state: &mut Value) {
    let host = state.get("hostname").clone();
    let url = match (state.get("listeners").get("https"), &host) {
        (Value::Unknown, _) | (_, Value::Unknown) => Value::Unknown,
        (https, Value::String(host)) => {
            let scheme = if https.as_bool() == Some(true) { "wss" } else { "ws" };
            Value::from(format!("{scheme}://{host}"))
        }
        _ => Value::Null,
    };
    state.put("url", url);
}

/// The name of the target group: the last one as long as nothing changes that AWS does not let change.
fn put_group(planned: &mut Value, prior: Option<&Value>, config: Option<&Config>) {
    let name = config.map(|config| {
        let last = prior.and_then(|prior| {
            let name = prior.get("target_group_name").as_str()?;
            let same = port_and_protocol(prior, name) == Some((i64::from(config.boot.server.port), "HTTP".to_owned()));
            same.then(|| name.to_owned())
        });
        let unknown = config.name.starts_with(UNKNOWN);
        last.unwrap_or_else(|| {
            if unknown { UNKNOWN.to_owned() } else { group_name(&config.name, config.boot.server.port) }
        })
    });
    let name = name.map_or(Value::Unknown, |name| text(&name));
    if prior.is_none_or(|prior| *prior.get("target_group_name") != name) {
        planned.put("target_group_arn", Value::Unknown);
    }
    planned.put("target_group_name", name);
}

fn put_cache(planned: &mut Value, prior: Option<&Value>, config: Option<&Config>) {
    let outputs = ["cache_arn", "cache_endpoint", "cache_security_group_id"];
    let Some(config) = config else {
        for output in outputs {
            planned.put(output, Value::Unknown);
        }
        return;
    };
    let [arn, endpoint, group] = match (&config.cache, cache_id(config)) {
        (Cache::Existing { host, port }, _) => [Value::Null, Value::from(format!("{host}:{port}")), Value::Null],
        (_, Some(id)) if prior.is_some_and(|prior| is_cache(prior, &id)) => outputs.map(|output| kept(prior, output)),
        _ => [Value::Unknown, Value::Unknown, kept(prior, "cache_security_group_id")],
    };
    planned.put("cache_arn", arn);
    planned.put("cache_endpoint", endpoint);
    planned.put("cache_security_group_id", group);
}

/// What ElastiCache refuses of a cache that stays: to go back to an earlier version.
pub(crate) fn refused(planned: &Value, prior: &Value) -> Diagnostics {
    let mut found = Diagnostics::new();
    let [wanted, last] = [planned, prior].map(|state| Config::parse(state).and_then(|config| cache_id(&config)));
    // Of two caches the state may name one and tell the version of the other.
    let stays = wanted == last && last.is_some_and(|id| is_cache(prior, &id));
    let [wanted, there] = [planned, prior].map(|state| state.get("cache").get("engine_version").as_str());
    if let (true, Some(wanted), Some(there)) = (stays, wanted, there)
        && is_lower(wanted, there)
    {
        found.error_at(
            Path::of("cache").attribute("engine_version"),
            "The cache would go back to an earlier version",
            format!(
                "cache.engine_version is {wanted:?}, the cache has version {there}, and ElastiCache takes no cache back. \
                 Set cache.engine_version to {there:?}. Only a new cache can have {wanted}, and it starts empty: another \
                 at_rest_encryption, transit_encryption or auth_token_parameter makes one."
            ),
        );
    }
    found
}

/// Whether a version is lower than another. A part that is no number, as in `6.x`, tells nothing.
fn is_lower(version: &str, other: &str) -> bool {
    let parts = version.split('.').zip(other.split('.'));
    let numbers = parts.filter_map(|(one, two)| Some((one.parse::<u32>().ok()?, two.parse::<u32>().ok()?)));
    numbers.map(|(one, two)| one.cmp(&two)).find(|order| order.is_ne()) == Some(Ordering::Less)
}

/// Whether the cache of a state has this id.
fn is_cache(state: &Value, id: &str) -> bool {
    state.get("cache_arn").as_str().and_then(|arn| arn.rsplit(':').next()) == Some(id)
}

/// What the nodes are given, and the nodes themselves when none of them changes.
fn put_nodes(planned: &mut Value, prior: Option<&Value>, config: Option<&Config>) {
    put_texts(planned, config);
    let last = prior.and_then(|prior| prior.get("nodes").as_list()).unwrap_or_default();
    let wanted = config.map(instances).unwrap_or_default();
    let names: Vec<String> = wanted.iter().map(|instance| node_name(&instance.id())).collect();
    let same = names.len() == last.len()
        && names.iter().zip(last).all(|(name, node)| node.get("name").as_str() == Some(name.as_str()));
    let nodes = if same && config.is_some() { Value::List(last.to_vec()) } else { Value::Unknown };
    planned.put("nodes", nodes);
    let topology = config.map_or(Value::Unknown, |config| planned_topology(planned, config, last));
    planned.put("topology", topology);
}

/// The name of a node in the state.
pub(crate) fn node_name(id: &NodeId) -> String {
    match id {
        NodeId::Instance(name) => name.clone(),
        other => other.to_string(),
    }
}

/// The configuration file and the digest of the user data, once the address of Redis is known.
pub(crate) fn put_texts(state: &mut Value, config: Option<&Config>) {
    let endpoint = state.get("cache_endpoint").as_str().and_then(|endpoint| endpoint.rsplit_once(':'));
    let texts = config.zip(endpoint).map(|(config, (host, _))| {
        let (yaml, data) = (config.boot.config_yaml(), config.boot.user_data());
        (with_cache(&yaml, host), sha256(&with_cache(&data, host)), [yaml, data].concat().contains(UNKNOWN_TEXT))
    });
    let (yaml, digest) = match texts {
        Some((yaml, digest, false)) => (Value::from(yaml), Value::from(digest)),
        _ => (Value::Unknown, Value::Unknown),
    };
    state.put("config_yaml", yaml);
    state.put("user_data_sha256", digest);
}

/// How [`UNKNOWN`] looks within JSON.
const UNKNOWN_TEXT: &str = "u0000unknown";

/// The topology that a planned state describes. The instances that stay are known.
fn planned_topology(planned: &Value, config: &Config, last: &[Value]) -> Value {
    let Some(group) = planned.get("target_group_name").as_str() else { return Value::Unknown };
    let mut graph = desired(config, group, planned.get("vpc_id").as_str().unwrap_or(UNKNOWN), &Tags::new());
    let known = |target: &Ref| {
        let Ref::Of(id) = target else { return target.clone() };
        let node = last.iter().find(|node| node.get("name").as_str().is_some_and(|name| name == node_name(id)));
        let id = node.and_then(|node| node.get("instance_id").as_str());
        id.map_or_else(|| target.clone(), |id| Ref::Known(id.to_owned()))
    };
    for node in graph.nodes.values_mut() {
        if let Node::TargetGroup(group) = node {
            group.targets = group.targets.iter().map(known).collect();
        }
    }
    let mut shown = topology(graph.nodes.iter(), true);
    // A flag, and a name made from a version, do not tell that what they come from is unknown.
    let (given, mut cache) = (planned.get("cache"), shown.get("cache").clone());
    for (output, argument) in [("multi_az", "automatic_failover"), ("parameter_group", "engine_version")] {
        if given.get(argument).is_unknown() {
            cache.put(output, Value::Unknown);
        }
    }
    shown.put("cache", cache);
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::resolve::resolve;
    use super::super::samples::{UNKNOWN_VALUE, change, configuration, small};
    use super::*;
    use crate::resource::testing::said;

    /// A cluster with such a cache.
    fn cluster(cache: &Json) -> Value {
        resolve(&configuration(&change(small(), &json!({"cache": cache}))))
    }

    #[test]
    fn a_cache_that_stays_is_not_planned_to_go_back_to_an_earlier_version() {
        let mut prior = cluster(&json!({"engine_version": "7.1"}));
        let id = Config::parse(&prior).and_then(|config| cache_id(&config)).unwrap();
        prior.put("cache_arn", format!("arn:aws:elasticache:us-east-1:123456789012:replicationgroup:{id}"));
        for (cache, goes_back) in [
            (json!({"engine_version": "7.0"}), true),
            (json!({"engine_version": "6.2", "node_type": "cache.t3.small"}), true),
            (json!({"engine_version": "7.1"}), false),
            (json!({"engine_version": "7.2"}), false),
            (json!({"engine_version": UNKNOWN_VALUE}), false),
            (json!({"engine_version": "7.0", "at_rest_encryption": false}), false),
            (json!({"endpoint": "redis.internal:6379"}), false),
        ] {
            let error = "error cache.engine_version: The cache would go back to an earlier version";
            let expected = if goes_back { vec![error] } else { vec![] };
            assert_eq!(said(&refused(&cluster(&cache), &prior)), expected, "{cache}");
        }
        prior.put("cache_arn", Value::Null);
        assert_eq!(said(&refused(&cluster(&json!({"engine_version": "7.0"})), &prior)), [""; 0]);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, other, lower) in [
            ("7.0", "7.1", true),
            ("7.1", "7.0", false),
            ("7.2", "7.10", true),
            ("6.2", "7.0", true),
            ("7.0", "6.2", false),
            ("6.x", "7.0", true),
            ("6.2", "6.x", false),
            ("7.1", "7.1.0", false),
        ] {
            assert_eq!(is_lower(version, other), lower, "{version} {other}");
        }
    }
}
