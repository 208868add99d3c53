//! The attributes of `codestream_deepstream_cluster`: types, defaults, allowed values and descriptions.
//!
//! Validation, planning and the documentation all read them here. A default that another argument decides is
//! put in by `resolve`.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use tfplugin::schema::{Attribute, Check, Schema, Type};

use super::config_yaml::{DEFAULT_HEALTH_CHECK_PATH, DEFAULT_PORT};
use super::user_data::DEFAULT_VERSION;
use crate::resource::arguments::{
    self, DEFAULT_IDLE_TIMEOUT, DEFAULT_SSL_POLICY, DEFAULT_WAIT_FOR_HEALTHY, DEREGISTRATION_DELAYS, IDLE_TIMEOUTS,
    PORTS, Probes, dns_record, health_check, number_in, set_of, stickiness, topology,
};
use crate::resource::forms;

/// What a server is probed with. A client gives up 40 s after its node has gone, so that must be seen sooner.
pub(crate) const PROBES: Probes = Probes {
    path: DEFAULT_HEALTH_CHECK_PATH,
    matcher: "200",
    interval: 10,
    timeout: 5,
    healthy_threshold: 2,
    unhealthy_threshold: 2,
};

const NODE_COUNTS: RangeInclusive<i64> = 1..=100;
const DEFAULT_NODE_COUNT: i64 = 2;
pub(crate) const DEFAULT_INSTANCE_TYPE: &str = "t3.micro";
/// Gibibytes; Amazon Linux does not fit into less.
const ROOT_VOLUME_SIZES: RangeInclusive<i64> = 8..=16_384;
pub(crate) const DEFAULT_ROOT_VOLUME_SIZE: i64 = 8;
/// Seconds.
pub(crate) const DEFAULT_DEREGISTRATION_DELAY: i64 = 30;
pub(crate) const DEFAULT_CACHE_NODE_TYPE: &str = "cache.t3.micro";
pub(crate) const DEFAULT_ENGINE_VERSION: &str = "7.1";
/// A primary and up to five replicas.
const REPLICA_COUNTS: RangeInclusive<i64> = 0..=5;
/// ElastiCache alone takes ten minutes and more.
pub(crate) const DEFAULT_TIMEOUT: &str = "60m";

const ENDPOINT: Check = Check::Form("must be `host:port` of a Redis that is not in cluster mode", endpoint_fault);
const PARAMETER: Check = Check::Form(
    "must be the name of an SSM parameter: letters, digits and `.-_/`, at most 1011 characters",
    parameter_fault,
);
const VERSION: Check = Check::Form("must be an exact version, like `7.0.2`", version_fault);
const ENGINE_VERSION: Check =
    Check::Form("must be a version of Redis OSS from 6.0 on, like `7.1`", engine_version_fault);
const IMAGE_ID: Check = Check::Form("must be an image id, `ami-` and hexadecimal digits", |value| {
    let digits = value.strip_prefix("ami-").unwrap_or_default();
    let is_id = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { Ok(()) } else { Err("it is no image id".to_owned()) }
});
const PROFILE: Check = Check::Form("must be the name of an instance profile, not its ARN", |value| {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    let is_name = (1..=128).contains(&value.len()) && value.bytes().all(allowed);
    if is_name { Ok(()) } else { Err("it is no such name".to_owned()) }
});
/// What EC2 says of the names of key pairs.
const KEY_NAME: Check =
    Check::Form("must be the name of a key pair: at most 255 ASCII characters, without spaces around them", |value| {
        let is_name = (1..=255).contains(&value.len()) && value.is_ascii() && value.trim() == value;
        if is_name { Ok(()) } else { Err("it is no such name".to_owned()) }
    });
const INSTANCE_TYPE: Check = Check::Form("must be an instance type, like `t3.small`", |value| {
    if is_type(value) { Ok(()) } else { Err("it is no instance type".to_owned()) }
});
const NODE_TYPE: Check = Check::Form("must be a node type, like `cache.t3.small`", |value| {
    if value.strip_prefix("cache.").is_some_and(is_type) { Ok(()) } else { Err("it is no node type".to_owned()) }
});

/// Whether this is a family and a size.
fn is_type(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(allowed);
    text.split_once('.').is_some_and(|(family, size)| is_part(family) && is_part(size))
}

/// Host and port of an endpoint.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    // As AWS and the state write a number: no sign, no leading zero.
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    let port = port.parse().ok().filter(|_| is_plain)?;
    is_host.then_some((host, port))
}

fn endpoint_fault(text: &str) -> Result<(), String> {
    let Some((host, _)) = host_and_port(text) else { return Err("it is no host and port".to_owned()) };
    if host.starts_with("clustercfg.") || host.contains(".clustercfg.") {
        Err("it is the configuration endpoint of a cache in cluster mode: deepstream writes several keys at once, which \
             such a cache refuses. Use a replication group with cluster mode disabled, and its primary endpoint"
            .to_owned())
    } else if host.contains(".serverless.") {
        Err("it is the endpoint of a serverless cache, which is always in cluster mode: deepstream writes several keys \
             at once, which it refuses. Use a replication group with cluster mode disabled, and its primary endpoint"
            .to_owned())
    } else {
        Ok(())
    }
}

fn parameter_fault(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/".contains(&byte);
    let is_name = (1..=1011).contains(&text.len()) && text.bytes().all(allowed);
    if is_name { Ok(()) } else { Err("it is no such name".to_owned()) }
}

fn version_fault(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('.').collect();
    let is_version =
        parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if is_version { Ok(()) } else { Err("it is no exact version".to_owned()) }
}

fn engine_version_fault(text: &str) -> Result<(), String> {
    let number = |text: &str| text.parse::<u32>().ok();
    let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
    match numbers.as_deref() {
        // AWS chooses the patch, and it is not ours to change back.
        Some([major, minor, _]) if *major >= 6 => Err(format!("AWS chooses the patch: write \"{major}.{minor}\"")),
        Some([major, _]) if *major >= 6 => Ok(()),
        Some(_) => Err("it is older than 6.0, or no major and minor version".to_owned()),
        None => Err("it is no version".to_owned()),
    }
}

/// The resource. Made once: every plan asks for it several times.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let attributes = [network(), access(), nodes(), server(), cache(), operation(), results()];
        Schema::new(
            "A cluster of deepstream realtime servers as one resource: EC2 instances in several availability zones, \
             Redis as their cache and message bus (ElastiCache, unless there is one already), and an Application Load \
             Balancer that takes WebSockets in cleartext and, with a certificate, encrypted. What is on the nodes is \
             changed by replacing them one at a time, so that the cluster goes on serving.",
            attributes.into_iter().flatten().collect(),
        )
    });
    &SCHEMA
}

fn network() -> Vec<Attribute> {
    let listeners = vec![
        Attribute::bool("http").default(true).describe("Whether port 80 takes WebSockets and HTTP in cleartext."),
        Attribute::bool("https").optional_computed().describe(
            "Whether port 443 takes them encrypted. Needs `certificate_arn`; defaults to whether that is given.",
        ),
        Attribute::bool("redirect_http").default(false).describe(
            "Whether port 80 redirects to port 443 instead, with status 301. deepstream's clients do not follow \
             redirects.",
        ),
    ];
    vec![
        Attribute::string("name").required().check(forms::NAME).describe(
            "Name of the load balancer, and the stem of the names of everything else. Unique among the load balancers \
             of an account and region. Changing it replaces the cluster.",
        ),
        arguments::scheme(),
        set_of("subnet_ids", forms::SUBNET_ID).required().describe(
            "The subnets that the load balancer is in: at least two, in distinct availability zones of one VPC. \
             Public subnets when `scheme` is `internet-facing`.",
        ),
        set_of("node_subnet_ids", forms::SUBNET_ID).optional_computed().describe(
            "The subnets of the nodes and of Redis: at least two, in the availability zones of `subnet_ids`, one in \
             each. They need a way to the package registries of Amazon Linux and npm. Defaults to `subnet_ids`.",
        ),
        Attribute::string("vpc_id").optional_computed().check(forms::VPC_ID).describe(
            "The VPC of everything. Derived from `subnet_ids` when not given; a VPC that is not theirs is an error.",
        ),
        arguments::ip_address_type(),
        Attribute::object("listeners", listeners).optional_computed().describe("How clients connect."),
        Attribute::string("certificate_arn").check(forms::CERTIFICATE_ARN).describe(
            "An issued ACM certificate of the load balancer's region: adds the encrypted listener on port 443.",
        ),
        Attribute::string("ssl_policy").optional_computed().check(forms::SSL_POLICY).describe(format!(
            "The security policy of the encrypted listener. Defaults to `{DEFAULT_SSL_POLICY}`. A policy that admits \
             TLS 1.0 or 1.1, or weak ciphers, gives a warning.",
        )),
        Attribute::string("hostname").optional_computed().check(forms::HOSTNAME).describe(
            "The host name in `url`, which clients connect to and the certificate must cover. Defaults to the DNS name \
             that AWS gives the load balancer.",
        ),
        dns_record(),
    ]
}

fn access() -> Vec<Attribute> {
    vec![
        set_of("client_cidr_blocks", forms::IPV4_BLOCK).describe(
            "The IPv4 blocks that may connect. At least one of the three `client_` arguments is required. \
             `0.0.0.0/0` gives a warning.",
        ),
        set_of("client_ipv6_cidr_blocks", forms::IPV6_BLOCK)
            .describe("The IPv6 blocks that may connect; needs a dualstack `ip_address_type`. `::/0` gives a warning."),
        set_of("client_prefix_list_ids", forms::PREFIX_LIST_ID)
            .describe("The managed prefix lists whose addresses may connect."),
        set_of("ssh_cidr_blocks", forms::BLOCK)
            .describe("The blocks from which the nodes accept SSH; needs `key_name`. None when not given."),
    ]
}

fn nodes() -> Vec<Attribute> {
    vec![
        number_in("node_count", &NODE_COUNTS)
            .default(DEFAULT_NODE_COUNT)
            .describe("How many nodes there are, spread evenly over `node_subnet_ids`. Fewer than two give a warning."),
        Attribute::string("instance_type")
            .default(DEFAULT_INSTANCE_TYPE)
            .check(INSTANCE_TYPE)
            .describe("The instance type of the nodes. Changing it replaces them one at a time."),
        Attribute::string("ami_id").optional_computed().check(IMAGE_ID).describe(
            "The image of the nodes: Amazon Linux 2023 for the instance type's architecture. Defaults to the newest one \
             at the first apply, or at one that changes the architecture, and is kept from then on. Changing it replaces \
             the nodes one at a time.",
        ),
        Attribute::string("key_name").check(KEY_NAME).describe("The key pair for SSH."),
        Attribute::string("iam_instance_profile").check(PROFILE).describe(
            "Name of the nodes' instance profile. With `cache.auth_token_parameter` it is required, and must allow \
             `ssm:GetParameter` for that parameter and the use of its key.",
        ),
        number_in("root_volume_size", &ROOT_VOLUME_SIZES)
            .default(DEFAULT_ROOT_VOLUME_SIZE)
            .describe("Size of the nodes' root volumes in GiB. They are encrypted."),
        Attribute::string("user_data_extra").describe(
            "A shell script that each node runs at its first boot, before deepstream starts. It is part of the user \
             data, which everybody can read who may describe the instance: no secrets. Changing it replaces the nodes \
             one at a time.",
        ),
    ]
}

fn server() -> Vec<Attribute> {
    vec![
        number_in("port", &PORTS)
            .default(i64::from(DEFAULT_PORT))
            .describe("The port that deepstream listens on. Only the load balancer reaches it."),
        Attribute::string("deepstream_version").default(DEFAULT_VERSION).check(VERSION).describe(
            "The version of deepstream, from npm. The default is the newest one that this provider is tested with. \
             Changing it replaces the nodes one at a time.",
        ),
        Attribute::plain("deepstream_config", Type::Dynamic).describe(
            "An object in the terms of deepstream's `config.yml`, merged over what the provider renders, as \
             `provider::codestream::deepstream_config` does. A number with more digits than a double holds has to be a \
             string. Changing it replaces the nodes one at a time.",
        ),
        Attribute::object("health_check", health_check(&PROBES, false))
            .optional_computed()
            .describe("How the load balancer probes deepstream."),
        number_in("deregistration_delay", &DEREGISTRATION_DELAYS)
            .default(DEFAULT_DEREGISTRATION_DELAY)
            .describe("Seconds for which the connections to a node that is being removed stay open."),
        Attribute::object("stickiness", stickiness()).describe(
            "Keeps a client on one node by a cookie. Off when not given: a WebSocket stays where it is, and clients \
             use nothing else.",
        ),
        number_in("idle_timeout", &IDLE_TIMEOUTS).default(DEFAULT_IDLE_TIMEOUT).describe(
            "Seconds for which a connection may be silent before the load balancer closes it. deepstream's clients \
             send something every 30 seconds: a value up to that gives a warning.",
        ),
    ]
}

fn cache() -> Vec<Attribute> {
    let arguments = vec![
        Attribute::string("endpoint").check(ENDPOINT).describe(
            "`host:port` of a Redis that exists, not in cluster mode. Then no cache is made, and the arguments about \
             one are refused. One Redis serves one cluster: its messages would reach every other.",
        ),
        Attribute::string("node_type")
            .optional_computed()
            .check(NODE_TYPE)
            .describe(format!("The node type of the cache. Defaults to `{DEFAULT_CACHE_NODE_TYPE}`.")),
        Attribute::string("engine_version").optional_computed().check(ENGINE_VERSION).describe(format!(
            "The version of Redis OSS. Defaults to `{DEFAULT_ENGINE_VERSION}`. A later one is set in place, and \
             ElastiCache takes no cache back to an earlier one."
        )),
        number_in("replica_count", &REPLICA_COUNTS).optional_computed().describe(
            "How many replicas the primary has. Defaults to 0: then a restart of the cache loses the records.",
        ),
        Attribute::bool("automatic_failover").optional_computed().describe(
            "Whether a replica takes over from a primary that fails. Defaults to whether there is a replica.",
        ),
        Attribute::bool("at_rest_encryption")
            .optional_computed()
            .describe("Whether the cache encrypts what it stores. Defaults to true. Changing it makes a new cache."),
        Attribute::bool("transit_encryption")
            .default(true)
            .describe("Whether deepstream and Redis speak TLS. Changing it makes a new cache."),
        Attribute::string("auth_token_parameter").check(PARAMETER).describe(
            "Name of an SSM parameter (a SecureString) with the token of Redis. The provider reads it when it creates \
             the cache, and the nodes at each start of deepstream: it is in no state, plan or user data. Needs \
             `transit_encryption` and `iam_instance_profile`. Changing it makes a new cache. A new token goes under a \
             new name: what the parameter holds is not looked at again.",
        ),
    ];
    vec![Attribute::object("cache", arguments).optional_computed().describe(
        "The Redis that the nodes share, as cache and as their way to each other: an ElastiCache replication group \
         with cluster mode disabled, the only mode that deepstream works with, or one that exists. A new cache starts \
         empty, and while the nodes move to it, those on the old one and those on the new one do not see each other.",
    )]
}

fn operation() -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::bool("wait_for_healthy").default(DEFAULT_WAIT_FOR_HEALTHY).describe(
            "Whether a create is done only once every node is healthy, and an update once those that it adds are. Nodes \
             that replace others, one at a time or with their target group, and those that stay when healthy ones leave \
             are waited for all the same: an old node is drained once they are healthy.",
        ),
        arguments::on_unhealthy("nodes"),
        arguments::timeouts(DEFAULT_TIMEOUT, "healthy nodes"),
    ];
    attributes.extend(arguments::tags());
    attributes
}

fn results() -> Vec<Attribute> {
    let text = |name, words: &str| Attribute::string(name).computed().describe(words);
    let nodes = vec![
        text("name", "Its place in the cluster, and a hash of what it is made of."),
        text("instance_id", "The instance."),
        text("availability_zone", "Its availability zone."),
        text("private_ip", "Its private address."),
    ];
    vec![
        text("id", "ARN of the load balancer."),
        text("arn", "ARN of the load balancer."),
        text("dns_name", "DNS name that AWS gives the load balancer."),
        text("hosted_zone_id", "The Route 53 hosted zone of `dns_name`, for alias records of your own."),
        text("url", "What clients connect to: `wss://` with the encrypted listener, else `ws://`."),
        text("http_listener_arn", "ARN of the listener on port 80; null without one."),
        text("https_listener_arn", "ARN of the listener on port 443; null without one."),
        arguments::load_balancer_attributes(),
        text("target_group_arn", "ARN of the target group."),
        text("target_group_name", "Name of the target group."),
        text("security_group_id", "Id of the load balancer's security group."),
        text("node_security_group_id", "Id of the nodes' security group."),
        text("cache_security_group_id", "Id of the cache's security group; null with `cache.endpoint`."),
        text("cache_arn", "ARN of the replication group; null with `cache.endpoint`."),
        text("cache_endpoint", "`host:port` of Redis."),
        Attribute::object_list("nodes", nodes).computed().describe("The nodes."),
        text("config_yaml", "The `config.yml` of the nodes. No secret is in it."),
        text("user_data_sha256", "SHA-256 of the nodes' user data, in hexadecimal."),
        Attribute::bool("ready").computed().describe(
            "Whether every node was healthy at the last apply or refresh. For postconditions and `check` blocks; it \
             never causes a change.",
        ),
        Attribute::object("topology", topology("`node`.", true)).computed().describe(
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
    fn an_endpoint_of_a_cache_in_cluster_mode_is_refused_with_the_reason() {
        for (endpoint, reason) in [
            ("redis.internal:6379", None),
            ("10.0.0.7:6380", None),
            ("master.web.x1.use1.cache.amazonaws.com:6379", None),
            ("clustercfg.web.x1.use1.cache.amazonaws.com:6379", Some("in cluster mode")),
            ("web.x1.clustercfg.use1.cache.amazonaws.com:6379", Some("in cluster mode")),
            ("web-x1.serverless.use1.cache.amazonaws.com:6379", Some("serverless")),
            ("redis.internal", Some("no host and port")),
            ("redis://redis.internal:6379", Some("no host and port")),
            ("redis.internal:0", Some("no host and port")),
            ("redis.internal:06379", Some("no host and port")),
            ("redis.internal:+6379", Some("no host and port")),
        ] {
            let found = endpoint_fault(endpoint).err();
            assert_eq!(found.is_some(), reason.is_some(), "{endpoint}: {found:?}");
            assert!(reason.is_none_or(|reason| found.unwrap_or_default().contains(reason)), "{endpoint}");
        }
    }

    #[test]
    fn only_versions_that_deepstreams_connectors_speak_to_are_taken() {
        for (version, good) in
            [("7.1", true), ("6.2", true), ("7.0.4", false), ("5.0.6", false), ("7", false), ("x", false)]
        {
            assert_eq!(engine_version_fault(version).is_ok(), good, "{version}");
        }
    }
}
