//! Rules that the configurations of all resources must obey beyond what one argument must satisfy alone.
//!
//! A rule speaks only when what it is about is known.

use std::collections::BTreeSet;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::schema::{Kind, Mode, Schema, Type};
use tfplugin::value::Value;

use super::arguments::{DEFAULT_SSL_POLICY, DEREGISTRATION_DELAYS, INTERVALS, PROBE_TIMEOUTS};
use super::config::{Timeouts, timeouts};
use super::{Composite, ssl_policies, tags};

/// A rule: the configuration as given, the same with its defaults, and where to put what is found.
pub(crate) type Rule = fn(&Value, &Value, &mut Diagnostics);

/// What the rules of all resources need to know of one.
pub(crate) struct Terms {
    /// Its sets of subnets, each with what is in them.
    pub(crate) subnets: &'static [(&'static str, &'static str)],
    /// Its sets of blocks that may connect to the load balancer, beside those of clients.
    pub(crate) blocks: &'static [&'static str],
    /// Its objects that each describe a target group; none when its own arguments do.
    pub(crate) endpoints: &'static [&'static str],
    /// How long each operation may take by default.
    pub(crate) timeout: &'static str,
}

impl Terms {
    /// What describes a target group, with its path.
    fn groups<'v>(&self, config: &'v Value) -> Vec<(Path, &'v Value)> {
        if self.endpoints.is_empty() {
            return vec![(Path::root(), config)];
        }
        self.endpoints.iter().map(|name| (Path::of(name), config.get(name))).collect()
    }
}

/// The arguments that say who may connect.
pub(crate) const CLIENTS: [&str; 3] = ["client_cidr_blocks", "client_ipv6_cidr_blocks", "client_prefix_list_ids"];

/// Checks a configuration beyond its schema: by the rules of all resources, and by its own. Values may be unknown.
pub(crate) fn validate<C: Composite>(config: &Value) -> Diagnostics {
    let (terms, resolved) = (C::TERMS, C::resolve(config));
    let mut found = Diagnostics::new();
    null_elements(C::schema(), config, &mut found);
    two_subnets(&terms, config, &mut found);
    somebody_may_connect(C::schema(), config, &mut found);
    open_to_the_world(config, &CLIENTS, &mut found);
    open_to_the_world(config, terms.blocks, &mut found);
    address_families(&terms, config, &resolved, &mut found);
    health_checks(&terms, config, &resolved, &mut found);
    let timeouts = timeouts(config.get("timeouts"), terms.timeout);
    for (path, effective) in terms.groups(&resolved) {
        let delay = effective.get("deregistration_delay");
        delay_over_timeout(&path.attribute("deregistration_delay"), delay, &timeouts, &mut found);
    }
    for (path, given) in terms.groups(config) {
        stickiness(given.get("stickiness"), &path.attribute("stickiness"), &mut found);
    }
    dns_record(config, &mut found);
    for rule in C::RULES {
        rule(config, &resolved, &mut found);
    }
    found.extend(tags::validate(config.get("tags"), &Path::of("tags"), C::OWN_TAGS));
    found
}

/// Whether a value certainly gives something; an empty set gives nothing.
pub(crate) fn is_given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Unknown => false,
        Value::List(elements) => !elements.is_empty(),
        _ => true,
    }
}

/// Whether a value certainly gives nothing.
fn is_absent(value: &Value) -> bool {
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

/// Sets and lists must not have null elements.
pub(crate) fn null_elements(schema: &Schema, config: &Value, found: &mut Diagnostics) {
    for attribute in &schema.attributes {
        let has_elements = matches!(attribute.kind, Kind::Plain(Type::Set(_) | Type::List(_)));
        let name = attribute.name;
        let elements = config.get(name).as_list().filter(|_| has_elements && attribute.mode != Mode::Computed);
        if elements.is_some_and(|elements| elements.contains(&Value::Null)) {
            found.error_at(
                Path::of(name),
                format!("{name} has a null element"),
                format!("An element of {name} is null. Leave it out: compact([...]) makes a list without nulls."),
            );
        }
    }
}

/// A load balancer, and what else is spread over zones, needs two of them.
fn two_subnets(terms: &Terms, config: &Value, found: &mut Diagnostics) {
    for (name, what) in terms.subnets {
        let subnets = config.get(name);
        // Unknown elements of a set count as one, and may turn out to be several.
        if subnets.is_wholly_known() && subnets.as_list().is_some_and(|elements| elements.len() < 2) {
            found.error_at(
                Path::of(name),
                format!("{what} needs two subnets"),
                format!(
                    "{name} is {}. {what} must be in at least two availability zones: add a subnet of another zone of \
                     the same VPC.",
                    shown(subnets),
                ),
            );
        }
    }
}

/// Somebody must be let in, unless by security groups of the user's own.
fn somebody_may_connect(schema: &Schema, config: &Value, found: &mut Diagnostics) {
    let own = "security_group_ids";
    if !config.get(own).is_null() || !CLIENTS.iter().all(|name| is_absent(config.get(name))) {
        return;
    }
    let takes_own = schema.attributes.iter().any(|attribute| attribute.name == own);
    let or = if takes_own { format!(", or set {own} to security groups of your own") } else { String::new() };
    found.error_at(
        Path::of("client_cidr_blocks"),
        "Nobody may connect",
        format!(
            "None of client_cidr_blocks, client_ipv6_cidr_blocks and client_prefix_list_ids says who may connect. Set \
             one of them to the networks of your clients{or}."
        ),
    );
}

/// Warns of a security policy that is weak, and of one that may not exist.
pub(crate) fn ssl_policy(config: &Value, _: &Value, found: &mut Diagnostics) {
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

/// A health check must have ended before the next one begins.
fn health_checks(terms: &Terms, config: &Value, resolved: &Value, found: &mut Diagnostics) {
    let both = |name: &str| (config.get(name), resolved.get(name));
    let (given, effective) = both("health_check");
    interval_over_timeout(&Path::of("health_check"), given, effective, "the default", found);
    for name in terms.endpoints {
        let (given, effective) = both(name);
        let (given, effective) = (given.get("health_check"), effective.get("health_check"));
        // One that gives neither has both of the resource's, which are judged above.
        if !(given.get("interval").is_null() && given.get("timeout").is_null()) {
            let path = Path::of(name).attribute("health_check");
            interval_over_timeout(&path, given, effective, "of health_check", found);
        }
    }
}

/// `origin` says where an argument that is not given has its value from.
fn interval_over_timeout(path: &Path, given: &Value, effective: &Value, origin: &str, found: &mut Diagnostics) {
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
fn delay_over_timeout(path: &Path, delay: &Value, timeouts: &Timeouts, found: &mut Diagnostics) {
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
fn dns_record(config: &Value, found: &mut Diagnostics) {
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
fn stickiness(given: &Value, path: &Path, found: &mut Diagnostics) {
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
fn address_families(terms: &Terms, config: &Value, resolved: &Value, found: &mut Diagnostics) {
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
        for name in ["client_ipv6_cidr_blocks"].iter().chain(terms.blocks) {
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
