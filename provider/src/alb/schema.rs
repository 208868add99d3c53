//! The attributes of `codestream_alb`: types, defaults, allowed values and descriptions.
//!
//! Validation, planning and the documentation all read them here. A default that another argument decides is
//! put in by `resolve`.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use tfplugin::schema::{Attribute, Schema};

use super::config::{Protocol, Role};
use crate::resource::arguments::{
    self, DEFAULT_IDLE_TIMEOUT, DEFAULT_SSL_POLICY, DEFAULT_WAIT_FOR_HEALTHY, DEREGISTRATION_DELAYS, IDLE_TIMEOUTS,
    PORTS, Probes, REDIRECT_PORT, dns_record, health_check, number_in, set_of, stickiness, topology,
};
use crate::resource::forms;

const DEFAULT_NAME: &str = "codestream-alb";
const PROTOCOLS: &[&str] = &["HTTPS", "HTTP"];
const DEFAULT_PROTOCOL: &str = "HTTPS";

/// What a host is probed with.
pub(crate) const PROBES: Probes = Probes {
    path: "/no-auth/status",
    matcher: "200",
    interval: 15,
    timeout: 5,
    healthy_threshold: 5,
    unhealthy_threshold: 2,
};

/// Seconds.
const CLIENT_KEEP_ALIVES: RangeInclusive<i64> = 60..=604_800;
pub(crate) const DEFAULT_CLIENT_KEEP_ALIVE: i64 = 3600;
pub(crate) const DEFAULT_ENABLE_HTTP2: bool = true;
pub(crate) const DEFAULT_DROP_INVALID_HEADER_FIELDS: bool = true;
const DESYNC_MITIGATION_MODES: &[&str] = &["monitor", "defensive", "strictest"];
const DEFAULT_DESYNC_MITIGATION_MODE: &str = "defensive";
const XFF_HEADER_PROCESSING_MODES: &[&str] = &["append", "preserve", "remove"];
const DEFAULT_XFF_HEADER_PROCESSING_MODE: &str = "append";

pub(crate) const DEFAULT_TIMEOUT: &str = "15m";

/// Seconds. WebSockets need longer than requests to come to an end.
pub(crate) fn default_deregistration_delay(role: Role) -> i64 {
    match role {
        Role::Api => 30,
        Role::Broadcaster => 60,
    }
}

/// The resource. Made once: every plan asks for it several times.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let attributes = [network(), tls(), access(), endpoints(), behaviour(), logs_and_dns(), operation(), results()];
        Schema::new(
            "The whole load balancer of a CodeStream On-Prem host as one resource: an Application Load Balancer, a \
             listener and a target group each for the API and for the WebSocket Broadcaster, a security group whose \
             rules follow from the listeners, the registration of the host, and waiting until it really serves.",
            attributes.into_iter().flatten().collect(),
        )
    });
    &SCHEMA
}

fn network() -> Vec<Attribute> {
    vec![
        Attribute::string("name").default(DEFAULT_NAME).check(forms::NAME).describe(
            "Name of the load balancer, and the stem of the names of its target groups and its security group. \
             Unique among the load balancers of an account and region. Changing it replaces the load balancer.",
        ),
        arguments::scheme(),
        Attribute::string("protocol").default(DEFAULT_PROTOCOL).one_of(PROTOCOLS).describe(
            "What clients speak to the load balancer, and the load balancer to the host. `HTTPS`: listeners and \
             targets on ports 443 and 12443, and `certificate_arn` is required; the host may present a self-signed \
             certificate, which an Application Load Balancer does not verify. `HTTP`: ports 80 and 12080, in \
             cleartext. Changing it happens in place, without downtime.",
        ),
        set_of("subnet_ids", forms::SUBNET_ID).required().describe(
            "The subnets that the load balancer is in: at least two, in distinct availability zones of one VPC, \
             one of them in the zone of every instance. Public subnets when `scheme` is `internet-facing`.",
        ),
        Attribute::string("vpc_id").optional_computed().check(forms::VPC_ID).describe(
            "The VPC of the target groups and the security group. Derived from `subnet_ids` when not given; a VPC \
             that is not theirs is an error.",
        ),
        arguments::ip_address_type(),
        set_of("instance_ids", forms::INSTANCE_ID).required().describe(
            "The instances that run CodeStream On-Prem, registered in both target groups. More than one gives a \
             warning: CodeStream On-Prem has no service-level redundancy. A new instance is registered and waited \
             for before an old one is drained.",
        ),
    ]
}

fn tls() -> Vec<Attribute> {
    vec![
        Attribute::string("certificate_arn").check(forms::CERTIFICATE_ARN).describe(
            "The default certificate of both listeners: an issued ACM certificate of the load balancer's region. \
             Required when `protocol` is `HTTPS`, refused when it is `HTTP`.",
        ),
        set_of("additional_certificate_arns", forms::CERTIFICATE_ARN).describe(
            "More certificates for both listeners, which a client selects by the host name it asks for (SNI).",
        ),
        Attribute::string("ssl_policy").optional_computed().check(forms::SSL_POLICY).describe(format!(
            "The security policy of both listeners: which TLS versions and ciphers they accept. Defaults to \
             `{DEFAULT_SSL_POLICY}` when `protocol` is `HTTPS`, refused when it is `HTTP`. A policy that admits TLS \
             1.0 or 1.1, or weak ciphers, gives a warning.",
        )),
        Attribute::bool("redirect_http").default(false).describe(format!(
            "Whether to add a listener on port {REDIRECT_PORT} that redirects to the API's HTTPS listener with status \
             301. Only when `protocol` is `HTTPS`.",
        )),
        Attribute::string("hostname").optional_computed().check(forms::HOSTNAME).describe(
            "The host name in the URLs, which clients connect to and the certificate must cover. Defaults to the \
             DNS name that AWS gives the load balancer.",
        ),
    ]
}

fn access() -> Vec<Attribute> {
    vec![
        set_of("client_cidr_blocks", forms::IPV4_BLOCK).describe(
            "The IPv4 blocks that may connect to the listeners. Unless `security_group_ids` is given, at least one \
             of the three `client_` arguments is required. `0.0.0.0/0` gives a warning.",
        ),
        set_of("client_ipv6_cidr_blocks", forms::IPV6_BLOCK).describe(
            "The IPv6 blocks that may connect to the listeners; needs a dualstack `ip_address_type`. `::/0` gives a \
             warning.",
        ),
        set_of("client_prefix_list_ids", forms::PREFIX_LIST_ID)
            .describe("The managed prefix lists whose addresses may connect to the listeners."),
        set_of("instance_cidr_blocks", forms::BLOCK).describe(
            "The addresses from which the instances themselves reach the load balancer: those of their NAT gateways, \
             or their own public ones.",
        ),
        set_of("security_group_ids", forms::SECURITY_GROUP_ID).describe(
            "Security groups of your own for the load balancer. When given, none is created and no rule is managed, \
             and the `client_` arguments and `instance_cidr_blocks` are refused.",
        ),
        Attribute::string("instance_security_group_id").check(forms::SECURITY_GROUP_ID).describe(
            "A security group of the instances. When given, a rule for each target port is kept in it that lets the \
             load balancer in; its other rules are left alone.",
        ),
    ]
}

fn endpoints() -> Vec<Attribute> {
    vec![
        Attribute::object("health_check", health_check(&PROBES, false)).optional_computed().describe(
            "How both target groups probe the instances, on the target port and with the target protocol. `api` and \
             `broadcaster` can each differ from it.",
        ),
        Attribute::object(Role::Api.name(), endpoint(Role::Api, "API"))
            .optional_computed()
            .describe("The listener and the target group of the HTTP API."),
        Attribute::object(Role::Broadcaster.name(), endpoint(Role::Broadcaster, "Broadcaster"))
            .optional_computed()
            .describe("The listener and the target group of the WebSocket Broadcaster."),
    ]
}

fn endpoint(role: Role, what: &str) -> Vec<Attribute> {
    let by_protocol = format!(
        "Defaults to {} when `protocol` is `HTTPS`, to {} when it is `HTTP`.",
        Protocol::Https.default_port(role),
        Protocol::Http.default_port(role),
    );
    vec![
        number_in("listener_port", &PORTS)
            .optional_computed()
            .describe(format!("The port that clients connect to. {by_protocol}")),
        number_in("target_port", &PORTS)
            .optional_computed()
            .describe(format!("The port that the {what} listens on, on the instances. {by_protocol}")),
        Attribute::object("health_check", health_check(&PROBES, true))
            .optional_computed()
            .describe("How the instances are probed. Each argument defaults to that of the resource's `health_check`."),
        number_in("deregistration_delay", &DEREGISTRATION_DELAYS)
            .default(default_deregistration_delay(role))
            .describe("Seconds for which connections to an instance that is being removed stay open."),
        Attribute::object("stickiness", stickiness())
            .describe("Keeps a client on one instance by a cookie. Off when not given."),
        Attribute::string("listener_arn").computed().describe("ARN of the listener."),
        Attribute::string("target_group_arn").computed().describe("ARN of the target group."),
        Attribute::string("target_group_name").computed().describe(
            "Name of the target group. It ends in a hash of what AWS does not let change of a target group, so that \
             a new one can be there before the old one goes.",
        ),
        Attribute::string("url").computed().describe(format!("The URL of the {what}, for clients.")),
    ]
}

fn behaviour() -> Vec<Attribute> {
    vec![
        number_in("idle_timeout", &IDLE_TIMEOUTS).default(DEFAULT_IDLE_TIMEOUT).describe(
            "Seconds for which a connection may be silent before the load balancer closes it. WebSockets must outlive \
             AWS's own default of 60: a value up to that gives a warning.",
        ),
        number_in("client_keep_alive", &CLIENT_KEEP_ALIVES)
            .default(DEFAULT_CLIENT_KEEP_ALIVE)
            .describe("Seconds for which the load balancer keeps a client's HTTP connection, busy or not."),
        Attribute::bool("enable_http2")
            .default(DEFAULT_ENABLE_HTTP2)
            .describe("Whether the HTTPS listeners accept HTTP/2. WebSockets use HTTP/1.1 either way."),
        Attribute::bool("drop_invalid_header_fields").default(DEFAULT_DROP_INVALID_HEADER_FIELDS).describe(
            "Whether headers with invalid names are removed from requests, rather than passed to the targets.",
        ),
        Attribute::string("desync_mitigation_mode")
            .default(DEFAULT_DESYNC_MITIGATION_MODE)
            .one_of(DESYNC_MITIGATION_MODES)
            .describe("How requests are handled that could be used for HTTP request smuggling."),
        Attribute::string("xff_header_processing_mode")
            .default(DEFAULT_XFF_HEADER_PROCESSING_MODE)
            .one_of(XFF_HEADER_PROCESSING_MODES)
            .describe("What is done with the `X-Forwarded-For` header before a request is passed on."),
        Attribute::bool("preserve_host_header")
            .default(false)
            .describe("Whether the `Host` header is passed to the targets unchanged."),
        Attribute::bool("enable_waf_fail_open")
            .default(false)
            .describe("Whether requests pass when the load balancer cannot reach an associated AWS WAF."),
        Attribute::bool("enable_deletion_protection").default(false).describe(
            "Whether AWS refuses to delete the load balancer. While it is on in AWS, a destroy or a replacement \
             fails before it touches anything.",
        ),
    ]
}

fn logs_and_dns() -> Vec<Attribute> {
    let logs = || {
        vec![
            Attribute::string("bucket").required().check(forms::BUCKET).describe(
                "Name of the S3 bucket. It must be in the load balancer's region, and its policy must let Elastic \
                 Load Balancing write to it.",
            ),
            Attribute::string("prefix")
                .check(forms::LOG_PREFIX)
                .describe("What the keys of the log objects start with, before `AWSLogs`."),
        ]
    };
    vec![
        Attribute::object("access_logs", logs()).describe("Logs each request to S3. Off when not given."),
        Attribute::object("connection_logs", logs()).describe("Logs each connection to S3. Off when not given."),
        dns_record(),
    ]
}

fn operation() -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::bool("wait_for_healthy").default(DEFAULT_WAIT_FOR_HEALTHY).describe(
            "Whether a create is done only once every instance is healthy in both target groups, and an update once \
             those that it adds are. Where a healthy instance leaves or a target group replaces another it waits all \
             the same: the old one is drained once every instance is healthy in the group that stays.",
        ),
        arguments::on_unhealthy("instances"),
        arguments::timeouts(DEFAULT_TIMEOUT, "healthy instances"),
    ];
    attributes.extend(arguments::tags());
    attributes
}

fn results() -> Vec<Attribute> {
    vec![
        Attribute::string("id").computed().describe("ARN of the load balancer."),
        Attribute::string("arn").computed().describe("ARN of the load balancer."),
        Attribute::string("dns_name").computed().describe("DNS name that AWS gives the load balancer."),
        Attribute::string("hosted_zone_id")
            .computed()
            .describe("The Route 53 hosted zone of `dns_name`, for alias records of your own."),
        arguments::load_balancer_attributes(),
        Attribute::string("security_group_id").computed().describe(
            "Id of the security group created for the load balancer; null when `security_group_ids` is given.",
        ),
        Attribute::string("api_url").computed().describe("The URL of the API, for clients."),
        Attribute::string("broadcaster_url").computed().describe("The URL of the Broadcaster, for clients."),
        Attribute::bool("ready").computed().describe(
            "Whether every target was healthy at the last apply or refresh. For postconditions and `check` blocks; it \
             never causes a change.",
        ),
        Attribute::string("services_config").computed().describe(
            "What `codestream-services-config.json` on the CodeStream host must be changed to, as JSON. \
             `provider::codestream::merge_services_config` merges it into the host's file.",
        ),
        Attribute::object("topology", topology("`api` or `broadcaster`.", false)).computed().describe(
            "What the resource consists of, known at plan: in a plan what will be there, in the state what is there. \
             Policies can quantify over it, and drift in any part shows in it.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_obeys_the_rules_of_terraform() {
        assert_eq!(schema().check_rules(), Vec::<String>::new());
    }

    #[test]
    fn every_attribute_is_described_in_whole_sentences() {
        fn undescribed(attributes: &[Attribute], found: &mut Vec<&'static str>) {
            for attribute in attributes {
                if !attribute.description.ends_with('.') {
                    found.push(attribute.name);
                }
                undescribed(attribute.nested(), found);
            }
        }
        let mut found = Vec::new();
        undescribed(&schema().attributes, &mut found);
        assert_eq!(found, Vec::<&str>::new());
    }
}
