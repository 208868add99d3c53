//! The parts that the configurations of all resources have, in plain types, and how they are read.

use std::collections::BTreeSet;
use std::time::Duration;

use tfplugin::value::Value;

use super::arguments::{self, Probes};
use crate::aws::{Attributes, HealthCheck};
use crate::duration::parse_go_duration;
use crate::stack::{NodeId, Record, Ref, attributes};

/// Stands for a string that only apply will know. No AWS value starts with NUL, so it survives the way from
/// configuration to topology and turns back into an unknown value at its end; it never reaches AWS, because
/// apply starts from known values only.
pub(crate) const UNKNOWN: &str = "\0unknown";

/// Whether and how a client stays on its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stickiness {
    /// By a cookie that the load balancer makes; seconds.
    LoadBalancerCookie { duration: i64 },
    /// By a cookie that the application makes; seconds.
    ApplicationCookie { name: String, duration: i64 },
}

/// The alias record to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsRecord {
    pub(crate) zone_id: String,
    /// As given, or the hostname.
    pub(crate) name: String,
    pub(crate) evaluate_target_health: bool,
}

/// What a health timeout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnUnhealthy {
    /// The apply fails.
    Error,
    /// The apply succeeds with a warning.
    Warn,
}

/// How long each operation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) create: Duration,
    pub(crate) update: Duration,
    pub(crate) delete: Duration,
}

/// What a value that decides about an object says: unknown fails, null is nothing.
pub(crate) fn optional<T>(value: &Value, parse: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    match value {
        Value::Unknown => None,
        Value::Null => Some(None),
        given => parse(given).map(Some),
    }
}

/// A string, or what stands for an unknown one.
pub(crate) fn string(value: &Value) -> Option<String> {
    if value.is_unknown() { Some(UNKNOWN.to_owned()) } else { value.as_str().map(str::to_owned) }
}

/// The elements of a set.
pub(crate) fn strings(value: &Value) -> BTreeSet<String> {
    match value {
        Value::List(elements) => elements.iter().filter_map(string).collect(),
        other => string(other).into_iter().collect(),
    }
}

/// Off while its type is unknown: it is not shown at plan.
pub(crate) fn stickiness(value: &Value) -> Option<Stickiness> {
    let duration = value.get("duration").as_i64().unwrap_or(arguments::DEFAULT_STICKINESS_DURATION);
    match value.get("type").as_str()? {
        "lb_cookie" => Some(Stickiness::LoadBalancerCookie { duration }),
        "app_cookie" => Some(Stickiness::ApplicationCookie { name: string(value.get("cookie_name"))?, duration }),
        _ => None,
    }
}

/// An alias record.
pub(crate) fn dns_record(value: &Value) -> Option<DnsRecord> {
    Some(DnsRecord {
        zone_id: string(value.get("zone_id"))?,
        name: string(value.get("name"))?,
        evaluate_target_health: value.get("evaluate_target_health").as_bool().unwrap_or(false),
    })
}

/// How long operations may take. `default` is what the schema gives to each.
pub(crate) fn timeouts(value: &Value, default: &str) -> Timeouts {
    let timeout = |name| {
        let given = value.get(name).as_str().and_then(|text| parse_go_duration(text).ok());
        given.or_else(|| parse_go_duration(default).ok()).unwrap_or_default()
    };
    Timeouts { create: timeout("create"), update: timeout("update"), delete: timeout("delete") }
}

/// How targets are probed. What is unknown has its default.
pub(crate) fn health_check(value: &Value, protocol: &str, defaults: &Probes) -> Option<HealthCheck> {
    let number = |name, default| value.get(name).as_i64().unwrap_or(default);
    Some(HealthCheck {
        protocol: protocol.to_owned(),
        port: "traffic-port".to_owned(),
        path: string(value.get("path"))?,
        matcher: string(value.get("matcher"))?,
        interval: number("interval", defaults.interval),
        timeout: number("timeout", defaults.timeout),
        healthy_threshold: number("healthy_threshold", defaults.healthy_threshold),
        unhealthy_threshold: number("unhealthy_threshold", defaults.unhealthy_threshold),
    })
}

impl OnUnhealthy {
    /// What a value says; an error unless it says otherwise.
    pub(crate) fn of(value: &Value) -> Self {
        if value.as_str() == Some("warn") { Self::Warn } else { Self::Error }
    }
}

impl DnsRecord {
    /// The alias records: one for IPv4, and one for IPv6 when the load balancer speaks that.
    pub(crate) fn records(&self, ip_address_type: &str) -> Vec<Record> {
        let kinds: &[&'static str] = if ip_address_type == "ipv4" { &["A"] } else { &["A", "AAAA"] };
        let record = |kind: &&'static str| Record {
            zone_id: self.zone_id.clone(),
            name: self.name.to_lowercase(),
            kind,
            evaluate_target_health: self.evaluate_target_health,
            target: Ref::Of(NodeId::LoadBalancer),
        };
        kinds.iter().map(record).collect()
    }
}

/// The attributes of a target group whose targets drain for so many seconds.
pub(crate) fn group_attributes(deregistration_delay: i64, stickiness: Option<&Stickiness>) -> Attributes {
    let mut given = vec![("deregistration_delay.timeout_seconds", deregistration_delay.to_string())];
    match stickiness {
        None => {}
        Some(Stickiness::LoadBalancerCookie { duration }) => given.extend([
            ("stickiness.enabled", "true".to_owned()),
            ("stickiness.type", "lb_cookie".to_owned()),
            ("stickiness.lb_cookie.duration_seconds", duration.to_string()),
        ]),
        Some(Stickiness::ApplicationCookie { name, duration }) => given.extend([
            ("stickiness.enabled", "true".to_owned()),
            ("stickiness.type", "app_cookie".to_owned()),
            ("stickiness.app_cookie.cookie_name", name.clone()),
            ("stickiness.app_cookie.duration_seconds", duration.to_string()),
        ]),
    }
    normalised(attributes::TARGET_GROUP, given)
}

/// Attributes with AWS's defaults for what is not given.
pub(crate) fn normalised(managed: &[(&str, &str)], given: Vec<(&str, String)>) -> Attributes {
    let given = given.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    attributes::normalise(managed, &given)
}
