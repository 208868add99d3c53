//! Attributes that the schemas of all resources have in common.

use std::ops::RangeInclusive;

use tfplugin::schema::{Attribute, Check, Schema};
use tfplugin::value::Value;

use super::forms;

const SCHEMES: &[&str] = &["internet-facing", "internal"];
const DEFAULT_SCHEME: &str = "internet-facing";
const IP_ADDRESS_TYPES: &[&str] = &["ipv4", "dualstack", "dualstack-without-public-ipv4"];
const DEFAULT_IP_ADDRESS_TYPE: &str = "ipv4";
/// The policy that AWS recommends: TLS 1.3 and 1.2 with forward secrecy and post-quantum key exchange.
pub(crate) const DEFAULT_SSL_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09";
/// The port of the listener that `redirect_http` adds.
pub(crate) const REDIRECT_PORT: u16 = 80;
pub(crate) const PORTS: RangeInclusive<i64> = 1..=65_535;

/// Seconds, as every range and default of a time below.
pub(crate) const INTERVALS: RangeInclusive<i64> = 5..=300;
pub(crate) const PROBE_TIMEOUTS: RangeInclusive<i64> = 2..=120;
const THRESHOLDS: RangeInclusive<i64> = 2..=10;
pub(crate) const DEREGISTRATION_DELAYS: RangeInclusive<i64> = 0..=3600;
const STICKINESS_TYPES: &[&str] = &["lb_cookie", "app_cookie"];
const STICKINESS_DURATIONS: RangeInclusive<i64> = 1..=604_800;
pub(crate) const DEFAULT_STICKINESS_DURATION: i64 = 86_400;
pub(crate) const IDLE_TIMEOUTS: RangeInclusive<i64> = 1..=4000;
pub(crate) const DEFAULT_IDLE_TIMEOUT: i64 = 300;
pub(crate) const DEFAULT_WAIT_FOR_HEALTHY: bool = true;
const ON_UNHEALTHY: &[&str] = &["error", "warn"];
const DEFAULT_ON_UNHEALTHY: &str = "error";

/// The defaults of a health check.
pub(crate) struct Probes {
    pub(crate) path: &'static str,
    pub(crate) matcher: &'static str,
    pub(crate) interval: i64,
    pub(crate) timeout: i64,
    pub(crate) healthy_threshold: i64,
    pub(crate) unhealthy_threshold: i64,
}

pub(crate) fn number_in(name: &'static str, range: &RangeInclusive<i64>) -> Attribute {
    Attribute::number(name).range(*range.start(), *range.end())
}

pub(crate) fn set_of(name: &'static str, element: Check) -> Attribute {
    Attribute::string_set(name).check(Check::Each(Box::new(element)))
}

/// What identifies a resource remotely.
pub(crate) fn identity_schema() -> Schema {
    let arn = Attribute::string("arn").required().describe("ARN of the load balancer.");
    Schema::new("A load balancer.", vec![arn])
}

pub(crate) fn scheme() -> Attribute {
    Attribute::string("scheme").default(DEFAULT_SCHEME).one_of(SCHEMES).describe(
        "Whether the load balancer has public addresses (`internet-facing`) or only private ones (`internal`). \
         Changing it replaces the load balancer.",
    )
}

pub(crate) fn ip_address_type() -> Attribute {
    Attribute::string("ip_address_type").default(DEFAULT_IP_ADDRESS_TYPE).one_of(IP_ADDRESS_TYPES).describe(
        "Which addresses the load balancer has: IPv4, both IPv4 and IPv6 (`dualstack`), or public IPv6 with \
         private IPv4 (`dualstack-without-public-ipv4`).",
    )
}

/// What makes a change of an attribute show that the user cannot set.
pub(crate) fn load_balancer_attributes() -> Attribute {
    Attribute::string_map("load_balancer_attributes").computed().describe(
        "The load balancer's attributes that have no argument, by their names in AWS, known at plan: a change of one by \
         others shows here.",
    )
}

/// The arguments of a health check. Those of the resource have defaults; inherited ones take the resource's.
pub(crate) fn health_check(defaults: &Probes, inherited: bool) -> Vec<Attribute> {
    let or = |argument: Attribute, default: Value| {
        if inherited { argument.optional_computed() } else { argument.default(default) }
    };
    vec![
        or(Attribute::string("path"), defaults.path.into())
            .check(forms::PATH)
            .describe("The path asked for, with a query if need be."),
        or(Attribute::string("matcher"), defaults.matcher.into())
            .check(forms::MATCHER)
            .describe("The status codes of a healthy target: codes and ranges between commas."),
        or(number_in("interval", &INTERVALS), defaults.interval.into())
            .describe("Seconds from one probe to the next. Must exceed `timeout`."),
        or(number_in("timeout", &PROBE_TIMEOUTS), defaults.timeout.into())
            .describe("Seconds without an answer until a probe has failed."),
        or(number_in("healthy_threshold", &THRESHOLDS), defaults.healthy_threshold.into()).describe(
            "Passing probes in a row until an unhealthy target is healthy again. A new target is healthy after one.",
        ),
        or(number_in("unhealthy_threshold", &THRESHOLDS), defaults.unhealthy_threshold.into())
            .describe("Failing probes in a row until a target is unhealthy."),
    ]
}

pub(crate) fn stickiness() -> Vec<Attribute> {
    vec![
        Attribute::string("type").required().one_of(STICKINESS_TYPES).describe(
            "Whose cookie it is: one that the load balancer sets (`lb_cookie`), or one that the application sets \
             (`app_cookie`).",
        ),
        Attribute::string("cookie_name").check(forms::COOKIE_NAME).describe(
            "The application's cookie. Required when `type` is `app_cookie`, refused when it is `lb_cookie`.",
        ),
        number_in("duration", &STICKINESS_DURATIONS)
            .default(DEFAULT_STICKINESS_DURATION)
            .describe("Seconds until a client may be sent to another instance."),
    ]
}

pub(crate) fn dns_record() -> Attribute {
    let dns_record = vec![
        Attribute::string("zone_id")
            .required()
            .check(forms::ZONE_ID)
            .describe("Id of the Route 53 hosted zone, which must be that of the name."),
        Attribute::string("name")
            .optional_computed()
            .check(forms::HOSTNAME)
            .describe("Full name of the record, which nobody else may have a record of. Defaults to `hostname`."),
        Attribute::bool("evaluate_target_health")
            .default(false)
            .describe("Whether Route 53 takes the record out of its answers while no target is healthy."),
    ];
    Attribute::object("dns_record", dns_record).describe(
        "Keeps an alias record for the load balancer in Route 53: an A record, and an AAAA record too when \
         `ip_address_type` is a dualstack one.",
    )
}

/// What happens when targets do not become healthy; `what` says which ones.
pub(crate) fn on_unhealthy(what: &str) -> Attribute {
    Attribute::string("on_unhealthy").default(DEFAULT_ON_UNHEALTHY).one_of(ON_UNHEALTHY).describe(format!(
        "What happens when the {what} do not become healthy in time: the apply fails (`error`), which taints \
         a load balancer that it was creating, or it succeeds with a warning and `ready = false` (`warn`). \
         What an update takes away only behind healthy {what}, like old targets, rules or zones, stays until then, \
         and the apply fails with `warn` too. \
         With `warn` and a postcondition on `ready` an unhealthy stack fails the apply and taints nothing.",
    ))
}

/// How long each operation may take, the wait for `what` included.
pub(crate) fn timeouts(default: &'static str, what: &str) -> Attribute {
    let timeout = |name: &'static str, what: &str| {
        Attribute::string(name).default(default).check(forms::DURATION).describe(format!("For {what}."))
    };
    Attribute::object(
        "timeouts",
        vec![timeout("create", "a create"), timeout("update", "an update"), timeout("delete", "a destroy")],
    )
    .optional_computed()
    .describe(format!("How long each operation may take, the wait for {what} included."))
}

pub(crate) fn tags() -> [Attribute; 2] {
    [
        Attribute::string_map("tags").describe(
            "Tags for everything that the resource creates, security group rules included, merged over the \
             provider's `default_tags`. Keys that start with `codestream:` are the provider's own.",
        ),
        Attribute::string_map("tags_all").computed().describe("All tags: `tags` over the provider's `default_tags`."),
    ]
}

/// What a topology consists of. `roles` says which target groups there are, `groups` whether the rules are of
/// several security groups: a cluster's.
pub(crate) fn topology(roles: &str, groups: bool) -> Vec<Attribute> {
    let string = |name, text: &str| Attribute::string(name).computed().describe(text);
    let number = |name, text: &str| Attribute::number(name).computed().describe(text);
    let listeners = vec![
        number("port", "The port it listens on."),
        string("protocol", "`HTTP` or `HTTPS`."),
        string("ssl_policy", "Its security policy; null with `HTTP`."),
        string("certificate_arn", "Its default certificate; null with `HTTP`."),
        string("target_group", "Name of the target group it forwards to; `redirect:<port>` when it redirects."),
    ];
    let target_groups = vec![
        string("role", roles),
        string("name", "Its name."),
        number("port", "The port on the instances."),
        string("protocol", "`HTTP` or `HTTPS`."),
        string("health_check_path", "The path its probes ask for."),
        Attribute::string_set("instance_ids").computed().describe("The instances registered in it."),
    ];
    let mut security_group_rules = vec![
        string("direction", "`ingress` or `egress`."),
        string("protocol", "`tcp`, `udp`, or `-1` for all."),
        number("from_port", "The first port."),
        number("to_port", "The last port."),
        string(
            "source",
            "The other side: a block, a prefix list, a security group, or `vpc` for every block of the VPC.",
        ),
        string("description", "What it is for."),
    ];
    let cache = vec![
        string(
            "transit_encryption",
            "Which connections it takes: encrypted ones only (`required`), both kinds (`preferred`), or those in \
             cleartext (`disabled`).",
        ),
        string("parameter_group", "Its parameter group: AWS's own for the version, with cluster mode disabled."),
        Attribute::bool("multi_az").computed().describe(
            "Whether its nodes are in different availability zones. So they are with `cache.automatic_failover`.",
        ),
    ];
    let metadata_options = vec![
        string("http_endpoint", "Whether there is any: `enabled` or `disabled`."),
        string("http_tokens", "Whether it is for sessions only: `required` or `optional`."),
        number("http_put_response_hop_limit", "How many hops away the token of a session gets."),
    ];
    let hold = if groups {
        security_group_rules.push(string(
            "security_group",
            "Whose rule it is: that of the `load-balancer`, the `node`s or the `cache`.",
        ));
        "The rules of the security groups."
    } else {
        "The security group rules that hold for the load balancer."
    };
    let mut topology = vec![
        Attribute::object_list("listeners", listeners).computed().describe("The listeners, by port."),
        Attribute::object_list("target_groups", target_groups).computed().describe("The target groups, by role."),
        Attribute::object_list("security_group_rules", security_group_rules).computed().describe(hold),
    ];
    if groups {
        topology.extend([
            Attribute::object_list("metadata_options", metadata_options)
                .computed()
                .describe("How the nodes give their instance metadata: one element, unless they differ."),
            Attribute::object("cache", cache)
                .computed()
                .describe("The cache, in what no argument tells; null with `cache.endpoint`."),
        ]);
    }
    topology
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_obeys_the_rules_of_terraform() {
        assert_eq!(identity_schema().check_identity_rules(), Vec::<String>::new());
    }
}
