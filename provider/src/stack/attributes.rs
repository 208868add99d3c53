//! The load balancer and target group attributes that stacks manage, with AWS's defaults.
//!
//! An attribute that AWS leaves out of an answer has its default; one that does not matter (the bucket of
//! logs that are off) is left out here, so that two attribute maps that mean the same are equal.

use crate::aws::Attributes;

/// A load balancer's: `LoadBalancerAttribute` in the Elastic Load Balancing API, version 2015-12-01. Left out are
/// `load_balancing.cross_zone.enabled`, which an Application Load Balancer does not let change, and
/// `ipv6.deny_all_igw_traffic`, whose default depends on the scheme.
pub(crate) const LOAD_BALANCER: &[(&str, &str)] = &[
    ("access_logs.s3.bucket", ""),
    ("access_logs.s3.enabled", "false"),
    ("access_logs.s3.prefix", ""),
    ("client_keep_alive.seconds", "3600"),
    ("connection_logs.s3.bucket", ""),
    ("connection_logs.s3.enabled", "false"),
    ("connection_logs.s3.prefix", ""),
    ("deletion_protection.enabled", "false"),
    ("health_check_logs.s3.bucket", ""),
    ("health_check_logs.s3.enabled", "false"),
    ("health_check_logs.s3.prefix", ""),
    ("idle_timeout.timeout_seconds", "60"),
    ("routing.http.desync_mitigation_mode", "defensive"),
    ("routing.http.drop_invalid_header_fields.enabled", "false"),
    ("routing.http.preserve_host_header.enabled", "false"),
    ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false"),
    ("routing.http.xff_client_port.enabled", "false"),
    ("routing.http.xff_header_processing.mode", "append"),
    ("routing.http2.enabled", "true"),
    ("waf.fail_open.enabled", "false"),
    ("zonal_shift.config.enabled", "false"),
];

/// A target group's: `TargetGroupAttribute` in the same API.
pub(crate) const TARGET_GROUP: &[(&str, &str)] = &[
    ("deregistration_delay.timeout_seconds", "300"),
    ("load_balancing.algorithm.anomaly_mitigation", "off"),
    ("load_balancing.algorithm.type", "round_robin"),
    ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
    ("slow_start.duration_seconds", "0"),
    ("stickiness.app_cookie.cookie_name", ""),
    ("stickiness.app_cookie.duration_seconds", "86400"),
    ("stickiness.enabled", "false"),
    ("stickiness.lb_cookie.duration_seconds", "86400"),
    ("stickiness.type", "lb_cookie"),
    ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
    ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off"),
];

/// The starts of those that arguments set. The others are to have AWS's default.
const SET_BY_ARGUMENTS: [&str; 2] = ["deregistration_delay.", "stickiness."];

/// The attributes of a target group that no argument sets and that have another value than AWS's default, in words.
pub(crate) fn set_by_hand(group: &Attributes) -> Vec<String> {
    let by_hand = |(key, default): &(&str, &str)| {
        let value = group.get(*key).filter(|value| value.as_str() != *default)?;
        let argument = SET_BY_ARGUMENTS.iter().any(|start| key.starts_with(start));
        (!argument).then(|| format!("{key} {value}"))
    };
    TARGET_GROUP.iter().filter_map(by_hand).collect()
}

/// The managed attributes out of all: defaults put in, what does not matter left out.
pub(crate) fn normalise(managed: &[(&str, &str)], all: &Attributes) -> Attributes {
    let value = |key: &str, default: &str| match all.get(key) {
        Some(given) if !given.is_empty() => given.clone(),
        _ => default.to_owned(),
    };
    let full: Attributes = managed.iter().map(|(key, default)| ((*key).to_owned(), value(key, default))).collect();
    full.iter().filter(|(key, _)| matters(key, &full)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn matters(key: &str, all: &Attributes) -> bool {
    let is = |key: &str, value: &str| all.get(key).is_some_and(|given| given == value);
    match key {
        "access_logs.s3.bucket" | "access_logs.s3.prefix" => is("access_logs.s3.enabled", "true"),
        "connection_logs.s3.bucket" | "connection_logs.s3.prefix" => is("connection_logs.s3.enabled", "true"),
        "health_check_logs.s3.bucket" | "health_check_logs.s3.prefix" => is("health_check_logs.s3.enabled", "true"),
        "stickiness.type" => is("stickiness.enabled", "true"),
        "stickiness.lb_cookie.duration_seconds" => {
            is("stickiness.enabled", "true") && is("stickiness.type", "lb_cookie")
        }
        "stickiness.app_cookie.cookie_name" | "stickiness.app_cookie.duration_seconds" => {
            is("stickiness.enabled", "true") && is("stickiness.type", "app_cookie")
        }
        _ => true,
    }
}

/// The attributes to send: those that differ.
pub(crate) fn changed(wanted: &Attributes, there: &Attributes) -> Attributes {
    wanted
        .iter()
        .filter(|(key, value)| there.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(entries: &[(&str, &str)]) -> Attributes {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_aws_leaves_out_has_its_default_and_unmanaged_keys_are_dropped() {
        let all = attributes(&[("idle_timeout.timeout_seconds", "90"), ("load_balancing.cross_zone.enabled", "true")]);
        let normal = normalise(LOAD_BALANCER, &all);
        assert_eq!(normal.get("idle_timeout.timeout_seconds").map(String::as_str), Some("90"));
        assert_eq!(normal.get("routing.http2.enabled").map(String::as_str), Some("true"));
        assert!(!normal.contains_key("load_balancing.cross_zone.enabled"));
    }

    #[test]
    fn only_what_no_argument_sets_counts_as_set_by_hand() {
        let set = [("slow_start.duration_seconds", "30"), ("deregistration_delay.timeout_seconds", "30")];
        let normal = normalise(TARGET_GROUP, &attributes(&set));
        assert_eq!(set_by_hand(&normal), ["slow_start.duration_seconds 30"]);
    }

    #[test]
    fn the_bucket_of_logs_that_are_off_does_not_matter() {
        let off = attributes(&[("access_logs.s3.enabled", "false"), ("access_logs.s3.bucket", "old")]);
        assert_eq!(normalise(LOAD_BALANCER, &off), normalise(LOAD_BALANCER, &Attributes::new()));
    }

    #[test]
    fn the_duration_of_the_other_cookie_does_not_matter() {
        let sticky = attributes(&[("stickiness.enabled", "true"), ("stickiness.app_cookie.duration_seconds", "5")]);
        assert!(!normalise(TARGET_GROUP, &sticky).contains_key("stickiness.app_cookie.duration_seconds"));
    }
}
