//! Rules that the configurations of all resources must obey beyond what one argument must satisfy alone.
//!
//! A rule speaks only when what it is about is known.

use std::collections::BTreeSet;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::schema::{Kind, Mode, Schema, Type};
use tfplugin::value::Value;

use super::arguments::{DEFAULT_SSL_POLICY, DEREGISTRATION_DELAYS, INTERVALS, PROBE_TIMEOUTS};
use super::config::Timeouts;
use super::ssl_policies;

/// The arguments that say who may connect.
pub(crate) const CLIENTS: [&str; 3] = ["client_cidr_blocks", "client_ipv6_cidr_blocks", "client_prefix_list_ids"];

/// Whether a value certainly gives something; an empty set gives nothing.
pub(crate) fn is_given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Unknown => false,
        Value::List(elements) => !elements.is_empty(),
        _ => true,
    }
}

/// Whether a value certainly gives nothing.
pub(crate) fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_list().is_some_and(<[Value]>::is_empty)
}

/// The known strings of a set.
pub(crate) fn known(value: &Value) -> BTreeSet<&str> {
    value.as_list().unwrap_or_default().iter().filter_map(Value::as_str).collect()
}

/// A given value, for a message.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::List(elements) => format!("[{}]", elements.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Null => "null".to_owned(),
        _ => "(known after apply)".to_owned(),
    }
}

/// Sets must not have null elements.
pub(crate) fn null_elements(schema: &Schema, config: &Value, found: &mut Diagnostics) {
    for attribute in &schema.attributes {
        let is_set = matches!(attribute.kind, Kind::Plain(Type::Set(_))) && attribute.mode != Mode::Computed;
        let name = attribute.name;
        if is_set && config.get(name).as_list().is_some_and(|elements| elements.contains(&Value::Null)) {
            found.error_at(
                Path::of(name),
                format!("{name} has a null element"),
                format!("An element of {name} is null. Leave it out: compact([...]) makes a list without nulls."),
            );
        }
    }
}

/// Warns of a security policy that is weak, and of one that may not exist.
pub(crate) fn ssl_policy(config: &Value, found: &mut Diagnostics) {
    let Some(policy) = config.get("ssl_policy").as_str().filter(|policy| ssl_policies::is_name(policy)) else { return };
    if !ssl_policies::is_known(policy) {
        let meant = ssl_policies::meant(policy).map(|meant| format!("Was {meant:?} meant? ")).unwrap_or_default();
        found.warning_at(
            Path::of("ssl_policy"),
            "Unknown TLS policy",
            format!(
                "ssl_policy is {policy:?}, which this version of the provider does not know. {meant}AWS is asked at plan \
                 whether it has such a policy, unless preflight is \"off\"."
            ),
        );
    }
    if ssl_policies::is_weak(policy) {
        found.warning_at(
            Path::of("ssl_policy"),
            "Weak TLS policy",
            format!(
                "ssl_policy is {policy:?}, which admits TLS 1.0 or 1.1, or weak ciphers. Remove ssl_policy to have \
                 {DEFAULT_SSL_POLICY:?}, unless clients depend on it."
            ),
        );
    }
}

/// `origin` says where an argument that is not given has its value from.
pub(crate) fn interval_over_timeout(
    path: &Path,
    given: &Value,
    effective: &Value,
    origin: &str,
    found: &mut Diagnostics,
) {
    let value = |name| effective.get(name).as_i64();
    let (Some(interval), Some(timeout)) = (value("interval"), value("timeout")) else { return };
    if interval > timeout || !INTERVALS.contains(&interval) || !PROBE_TIMEOUTS.contains(&timeout) {
        return;
    }
    let origin = |name| if given.get(name).is_null() { format!(" ({origin})") } else { String::new() };
    let at_fault = if given.get("interval").is_null() { "timeout" } else { "interval" };
    found.error_at(
        path.attribute(at_fault),
        "A health check's interval must exceed its timeout",
        format!(
            "{path}.interval is {interval}{}, and {path}.timeout is {timeout}{}: a probe would begin before the last one \
             has ended. Set the interval to at least {}, or the timeout to at most {}.",
            origin("interval"),
            origin("timeout"),
            timeout + 1,
            interval - 1,
        ),
    );
}

/// What drains for as long as an update may take makes every update fail that waits for it.
pub(crate) fn delay_over_timeout(path: &Path, delay: &Value, timeouts: &Timeouts, found: &mut Diagnostics) {
    let Some(delay) = delay.as_i64().filter(|seconds| DEREGISTRATION_DELAYS.contains(seconds)) else { return };
    let update = timeouts.update.as_secs();
    if delay.unsigned_abs() >= update {
        found.warning_at(
            path.clone(),
            "Draining outlasts the timeout of an update",
            format!(
                "{path} is {delay} s, and timeouts.update is {update} s. An update that takes targets away waits for \
                 their connections to drain, and would be over time. Set timeouts.update to some minutes more than the \
                 delay."
            ),
        );
    }
}

/// A record must have a name.
pub(crate) fn dns_record(config: &Value, found: &mut Diagnostics) {
    let record = config.get("dns_record");
    if record.as_map().is_some() && record.get("name").is_null() && config.get("hostname").is_null() {
        found.error_at(
            Path::of("dns_record").attribute("name"),
            "The DNS record has no name",
            "Neither dns_record.name nor hostname, its default, is given. Set hostname to the name that clients connect \
             to, or set dns_record.name.",
        );
    }
}

/// What a cookie is called depends on whose it is.
pub(crate) fn stickiness(given: &Value, path: &Path, found: &mut Diagnostics) {
    let cookie = given.get("cookie_name");
    match given.get("type").as_str() {
        Some("lb_cookie") if is_given(cookie) => found.error_at(
            path.attribute("cookie_name"),
            "The load balancer names its own cookie",
            format!(
                "{path}.cookie_name is {}, and {path}.type is \"lb_cookie\", whose cookie has a fixed name. Remove \
                 cookie_name, or set type = \"app_cookie\".",
                shown(cookie),
            ),
        ),
        Some("app_cookie") if cookie.is_null() => found.error_at(
            path.attribute("cookie_name"),
            "The application's cookie has no name",
            format!(
                "{path}.type is \"app_cookie\", and {path}.cookie_name is not given. Set cookie_name to the name of \
                 the cookie that the application sets, or set type = \"lb_cookie\"."
            ),
        ),
        _ => {}
    }
}

/// Warns of arguments that let every address in.
pub(crate) fn open_to_the_world(config: &Value, arguments: &[&str], found: &mut Diagnostics) {
    for name in arguments {
        for block in known(config.get(name)).intersection(&BTreeSet::from(["0.0.0.0/0", "::/0"])) {
            found.warning_at(
                Path::of(name),
                format!("{name} lets everybody in"),
                format!(
                    "{name} contains {block:?}: every address that can reach the load balancer may connect to it. Name \
                     the networks of your clients instead, unless it is meant for everybody."
                ),
            );
        }
    }
}

/// Addresses of a family need a load balancer that has it.
pub(crate) fn address_families(config: &Value, resolved: &Value, blocks: &[&str], found: &mut Diagnostics) {
    let Some(address_type) = resolved.get("ip_address_type").as_str() else { return };
    if address_type == "dualstack-without-public-ipv4" && resolved.get("scheme").as_str() == Some("internal") {
        found.error_at(
            Path::of("ip_address_type"),
            "An internal load balancer has no public addresses",
            "ip_address_type is \"dualstack-without-public-ipv4\", and scheme is \"internal\". Set \
             ip_address_type = \"dualstack\", or scheme = \"internet-facing\".",
        );
    }
    if address_type == "ipv4" {
        for name in blocks {
            if let Some(block) = known(config.get(name)).into_iter().find(|block| block.contains(':')) {
                found.error_at(
                    Path::of(name),
                    "IPv6 addresses need dualstack",
                    format!(
                        "{name} contains {block:?}, and ip_address_type is \"ipv4\": the load balancer has no IPv6 \
                         address to connect to. Remove the IPv6 blocks, or set ip_address_type = \"dualstack\".",
                    ),
                );
            }
        }
    }
    let no_ipv6_source = ["security_group_ids", "client_ipv6_cidr_blocks", "client_prefix_list_ids"]
        .iter()
        .all(|name| is_absent(config.get(name)));
    if address_type.starts_with("dualstack") && no_ipv6_source {
        found.warning_at(
            Path::of("ip_address_type"),
            "No client may connect over IPv6",
            format!(
                "ip_address_type is {address_type:?}, so the load balancer has IPv6 addresses, and neither \
                 client_ipv6_cidr_blocks nor client_prefix_list_ids lets a client use them. Set \
                 client_ipv6_cidr_blocks, or ip_address_type = \"ipv4\"."
            ),
        );
    }
}
