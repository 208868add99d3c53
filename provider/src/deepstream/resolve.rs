//! The configuration as the planned state holds it: with every default that is known at plan.

use tfplugin::value::Value;

use super::schema::{self, schema};
use crate::resource::arguments::DEFAULT_SSL_POLICY;

/// Puts in the defaults of the schema, and those that another argument decides; the latter are unknown while
/// that argument is. What only AWS can tell (`ami_id`, `hostname`, `vpc_id`) and what is computed stays as it is
/// given.
pub(crate) fn resolve(config: &Value) -> Value {
    let mut resolved = schema().with_defaults(config);
    let encrypts = match resolved.get("certificate_arn") {
        Value::Unknown => Value::Unknown,
        arn => Value::from(!arn.is_null()),
    };
    let mut listeners = resolved.get("listeners").clone();
    fill(&mut listeners, "https", encrypts);
    let ssl_policy = match listeners.get("https") {
        Value::Unknown => Value::Unknown,
        Value::Bool(true) => DEFAULT_SSL_POLICY.into(),
        _ => Value::Null,
    };
    resolved.put("listeners", listeners);
    fill(&mut resolved, "ssl_policy", ssl_policy);
    let subnets = resolved.get("subnet_ids").clone();
    fill(&mut resolved, "node_subnet_ids", subnets);
    let cache = cache(resolved.get("cache"));
    resolved.put("cache", cache);
    let mut record = resolved.get("dns_record").clone();
    fill(&mut record, "name", resolved.get("hostname").clone());
    resolved.put("dns_record", record);
    resolved
}

/// A cache that is to be made has defaults, and one that exists has not.
fn cache(given: &Value) -> Value {
    let mut cache = given.clone();
    let replicas = match cache.get("replica_count") {
        Value::Null => Value::from(0),
        given => given.clone(),
    };
    let failover = match replicas.as_i64() {
        Some(count) => Value::from(count > 0),
        None => Value::Unknown,
    };
    for (name, default) in [
        ("node_type", Value::from(schema::DEFAULT_CACHE_NODE_TYPE)),
        ("engine_version", Value::from(schema::DEFAULT_ENGINE_VERSION)),
        ("replica_count", replicas),
        ("automatic_failover", failover),
        ("at_rest_encryption", Value::from(true)),
    ] {
        let default = match cache.get("endpoint") {
            Value::Null => default,
            Value::Unknown => Value::Unknown,
            _ => Value::Null,
        };
        fill(&mut cache, name, default);
    }
    cache
}

fn fill(object: &mut Value, name: &str, default: Value) {
    if object.get(name).is_null() {
        object.put(name, default);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::{UNKNOWN_VALUE, change, configuration, known_part, small};
    use super::*;

    fn resolved(json: &serde_json::Value) -> serde_json::Value {
        known_part(&resolve(&configuration(json)))
    }

    #[test]
    fn a_minimal_configuration_is_resolved_to_the_documented_defaults() {
        assert_eq!(
            resolved(&small()),
            json!({
                "name": "realtime",
                "scheme": "internet-facing",
                "subnet_ids": ["subnet-0a", "subnet-0b"],
                "node_subnet_ids": ["subnet-0a", "subnet-0b"],
                "ip_address_type": "ipv4",
                "listeners": {"http": true, "https": false, "redirect_http": false},
                "client_cidr_blocks": ["198.51.100.0/24"],
                "node_count": 2,
                "instance_type": "t3.micro",
                "root_volume_size": 8,
                "port": 6020,
                "deepstream_version": "7.0.2",
                "health_check": {
                    "path": "/health-check", "matcher": "200", "interval": 10, "timeout": 5,
                    "healthy_threshold": 2, "unhealthy_threshold": 2,
                },
                "deregistration_delay": 30,
                "idle_timeout": 300,
                "cache": {
                    "node_type": "cache.t3.micro", "engine_version": "7.1", "replica_count": 0,
                    "automatic_failover": false, "at_rest_encryption": true, "transit_encryption": true,
                },
                "wait_for_healthy": true,
                "on_unhealthy": "error",
                "timeouts": {"create": "60m", "update": "60m", "delete": "60m"},
            }),
        );
    }

    #[test]
    fn a_certificate_adds_the_encrypted_listener() {
        let arn = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-abcd";
        let encrypted = resolved(&change(small(), &json!({"certificate_arn": arn})));
        assert_eq!(encrypted["listeners"], json!({"http": true, "https": true, "redirect_http": false}));
        assert_eq!(encrypted["ssl_policy"], DEFAULT_SSL_POLICY);
        let unknown = resolved(&change(small(), &json!({"certificate_arn": UNKNOWN_VALUE})));
        assert_eq!(
            (&unknown["listeners"]["https"], &unknown["ssl_policy"]),
            (&json!(UNKNOWN_VALUE), &json!(UNKNOWN_VALUE))
        );
    }

    #[test]
    fn a_redis_that_exists_has_none_of_the_defaults_of_a_new_one() {
        let cache = |given: serde_json::Value| resolved(&change(small(), &json!({"cache": given})))["cache"].clone();
        let existing = json!({"endpoint": "redis.internal:6379", "transit_encryption": true});
        assert_eq!(cache(json!({"endpoint": "redis.internal:6379"})), existing);
        assert_eq!(cache(json!({"replica_count": 1}))["automatic_failover"], json!(true));
        assert_eq!(cache(json!({"endpoint": UNKNOWN_VALUE}))["node_type"], json!(UNKNOWN_VALUE));
    }
}
