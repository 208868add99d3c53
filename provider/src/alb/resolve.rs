//! The configuration as the planned state holds it: with every default that is known at plan.

use tfplugin::value::Value;

use super::config::{Protocol, Role};
use super::schema::schema;
use crate::resource::arguments::DEFAULT_SSL_POLICY;

/// Puts in the defaults of the schema, and those that another argument decides; the latter are unknown while
/// that argument is. What only AWS can tell (`hostname`, `vpc_id`) and what is computed stays as it is given.
pub(crate) fn resolve(config: &Value) -> Value {
    let mut resolved = schema().with_defaults(config);
    let protocol = resolved.get("protocol").clone();
    let ssl_policy = by_protocol(&protocol, |protocol| match protocol {
        Protocol::Https => DEFAULT_SSL_POLICY.into(),
        Protocol::Http => Value::Null,
    });
    fill(&mut resolved, "ssl_policy", ssl_policy);
    for role in Role::ALL {
        let mut endpoint = resolved.get(role.name()).clone();
        let port = by_protocol(&protocol, |protocol| i64::from(protocol.default_port(role)).into());
        fill(&mut endpoint, "listener_port", port.clone());
        fill(&mut endpoint, "target_port", port);
        let health_check = inherited(endpoint.get("health_check"), resolved.get("health_check"));
        endpoint.put("health_check", health_check);
        resolved.put(role.name(), endpoint);
    }
    let mut dns_record = resolved.get("dns_record").clone();
    fill(&mut dns_record, "name", resolved.get("hostname").clone());
    resolved.put("dns_record", dns_record);
    resolved
}

fn by_protocol(protocol: &Value, default: impl Fn(Protocol) -> Value) -> Value {
    if protocol.is_unknown() {
        return Value::Unknown;
    }
    Protocol::of(protocol).map_or(Value::Null, default)
}

fn fill(object: &mut Value, name: &str, default: Value) {
    if object.get(name).is_null() {
        object.put(name, default);
    }
}

/// An endpoint's health check: its own arguments over the resource's.
fn inherited(own: &Value, common: &Value) -> Value {
    if own.is_unknown() {
        return Value::Unknown;
    }
    let schema = schema();
    let arguments = schema.attribute("health_check").map(|attribute| attribute.nested()).unwrap_or_default();
    Value::object(arguments.iter().map(|argument| {
        let given = own.get(argument.name);
        (argument.name, if given.is_null() { common.get(argument.name).clone() } else { given.clone() })
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::{UNKNOWN_VALUE, change, configuration, http, https, known_part};
    use super::*;

    fn resolved(json: &serde_json::Value) -> serde_json::Value {
        known_part(&resolve(&configuration(json)))
    }

    #[test]
    fn a_minimal_configuration_is_resolved_to_the_documented_defaults() {
        let health_check = json!({
            "path": "/no-auth/status", "matcher": "200", "interval": 15, "timeout": 5,
            "healthy_threshold": 5, "unhealthy_threshold": 2,
        });
        assert_eq!(
            resolved(&https()),
            json!({
                "name": "codestream-alb",
                "scheme": "internet-facing",
                "protocol": "HTTPS",
                "subnet_ids": ["subnet-0a", "subnet-0b"],
                "ip_address_type": "ipv4",
                "instance_ids": ["i-0123456789abcdef0"],
                "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
                "ssl_policy": "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
                "redirect_http": false,
                "hostname": "codestream.example.com",
                "client_cidr_blocks": ["198.51.100.0/24"],
                "instance_cidr_blocks": ["203.0.113.7/32"],
                "health_check": health_check,
                "api": {
                    "listener_port": 443, "target_port": 443, "health_check": health_check,
                    "deregistration_delay": 30,
                },
                "broadcaster": {
                    "listener_port": 12443, "target_port": 12443, "health_check": health_check,
                    "deregistration_delay": 60,
                },
                "idle_timeout": 300,
                "client_keep_alive": 3600,
                "enable_http2": true,
                "drop_invalid_header_fields": true,
                "desync_mitigation_mode": "defensive",
                "xff_header_processing_mode": "append",
                "preserve_host_header": false,
                "enable_waf_fail_open": false,
                "enable_deletion_protection": false,
                "wait_for_healthy": true,
                "on_unhealthy": "error",
                "timeouts": {"create": "15m", "update": "15m", "delete": "15m"},
            }),
        );
    }

    #[test]
    fn http_has_its_own_ports_and_no_policy() {
        let resolved = resolved(&http());
        assert_eq!(resolved["ssl_policy"], json!(null));
        for (role, port) in [("api", 80), ("broadcaster", 12_080)] {
            assert_eq!(resolved[role]["listener_port"], json!(port));
            assert_eq!(resolved[role]["target_port"], json!(port));
        }
    }

    #[test]
    fn a_default_that_an_unknown_protocol_decides_is_unknown() {
        let resolved = resolved(&change(https(), &json!({"protocol": UNKNOWN_VALUE, "api": {"target_port": 8080}})));
        assert_eq!(resolved["ssl_policy"], UNKNOWN_VALUE);
        assert_eq!(resolved["api"]["listener_port"], UNKNOWN_VALUE);
        assert_eq!(resolved["api"]["target_port"], json!(8080));
        assert_eq!(resolved["broadcaster"]["target_port"], UNKNOWN_VALUE);
        assert_eq!(resolved["broadcaster"]["deregistration_delay"], json!(60));
    }

    #[test]
    fn an_endpoint_inherits_the_health_check_argument_by_argument() {
        let resolved = resolved(&change(
            https(),
            &json!({
                "health_check": {"interval": 30, "matcher": UNKNOWN_VALUE},
                "api": {"health_check": {"timeout": 10, "path": UNKNOWN_VALUE}},
                "broadcaster": {"health_check": UNKNOWN_VALUE},
            }),
        ));
        assert_eq!(
            resolved["api"]["health_check"],
            json!({
                "path": UNKNOWN_VALUE, "matcher": UNKNOWN_VALUE, "interval": 30, "timeout": 10,
                "healthy_threshold": 5, "unhealthy_threshold": 2,
            }),
        );
        assert_eq!(resolved["broadcaster"]["health_check"], UNKNOWN_VALUE);
    }

    #[test]
    fn a_record_without_a_name_has_the_hostname() {
        let record = |change_: serde_json::Value| resolved(&change(https(), &change_))["dns_record"].clone();
        let named = |name: &str| json!({"zone_id": "Z1", "name": name, "evaluate_target_health": false});
        assert_eq!(record(json!({"dns_record": {"zone_id": "Z1"}})), named("codestream.example.com"));
        assert_eq!(record(json!({"dns_record": {"zone_id": "Z1", "name": "a.example.com"}})), named("a.example.com"));
        assert_eq!(record(json!({"dns_record": {"zone_id": "Z1"}, "hostname": UNKNOWN_VALUE})), named(UNKNOWN_VALUE));
        assert_eq!(record(json!({})), json!(null));
    }
}
