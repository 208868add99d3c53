//! `codestream_deepstream_cluster` as configured: the configuration with its defaults, in plain types.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};
use tfplugin::value::Value;

use super::config_yaml::{DEFAULT_REDIS_PORT, Redis, Server, json};
use super::schema::{self, host_and_port};
use super::user_data::{Boot, CACHE_HOST};
use crate::aws::HealthCheck;
use crate::resource::arguments::{DEFAULT_IDLE_TIMEOUT, DEFAULT_WAIT_FOR_HEALTHY};
use crate::resource::config::{
    DnsRecord, OnUnhealthy, Stickiness, Timeouts, dns_record, health_check, optional, stickiness, string, strings,
    timeouts,
};

/// Which listeners there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listeners {
    pub(crate) http: bool,
    pub(crate) https: bool,
    pub(crate) redirect_http: bool,
}

/// The Redis of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// One that exists.
    Existing { host: String, port: u16 },
    /// A replication group to make.
    New {
        node_type: String,
        engine_version: String,
        replica_count: i64,
        automatic_failover: bool,
        at_rest_encryption: bool,
    },
}

/// The whole configuration, defaults included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) scheme: String,
    pub(crate) subnet_ids: BTreeSet<String>,
    pub(crate) node_subnet_ids: BTreeSet<String>,
    pub(crate) ip_address_type: String,
    pub(crate) listeners: Listeners,
    pub(crate) certificate_arn: Option<String>,
    /// Empty without the encrypted listener.
    pub(crate) ssl_policy: String,
    pub(crate) dns_record: Option<DnsRecord>,
    pub(crate) client_cidr_blocks: BTreeSet<String>,
    pub(crate) client_ipv6_cidr_blocks: BTreeSet<String>,
    pub(crate) client_prefix_list_ids: BTreeSet<String>,
    pub(crate) ssh_cidr_blocks: BTreeSet<String>,
    pub(crate) node_count: u16,
    pub(crate) instance_type: String,
    /// Empty while it is not known.
    pub(crate) ami_id: String,
    pub(crate) key_name: Option<String>,
    pub(crate) iam_instance_profile: Option<String>,
    pub(crate) root_volume_size: i64,
    /// What the nodes run. The host of a cache that is to be made is [`CACHE_HOST`].
    pub(crate) boot: Boot,
    pub(crate) health_check: HealthCheck,
    pub(crate) deregistration_delay: i64,
    pub(crate) stickiness: Option<Stickiness>,
    pub(crate) idle_timeout: i64,
    pub(crate) cache: Cache,
    pub(crate) transit_encryption: bool,
    pub(crate) wait_for_healthy: bool,
    pub(crate) on_unhealthy: OnUnhealthy,
    pub(crate) timeouts: Timeouts,
}

impl Config {
    /// The configuration in a resolved value (see `resolve`); `None` while something is unknown that decides
    /// which objects there are.
    ///
    /// Any other unknown string becomes [`UNKNOWN`](crate::resource::config::UNKNOWN), in a set too. An unknown number
    /// or boolean takes its default: nothing that is shown at plan is made from it, and apply starts from known values.
    pub(crate) fn parse(value: &Value) -> Option<Self> {
        let text = |name| string(value.get(name));
        let number = |name, default| value.get(name).as_i64().unwrap_or(default);
        let flag = |name| value.get("listeners").get(name).as_bool();
        let listeners = Listeners { http: flag("http")?, https: flag("https")?, redirect_http: flag("redirect_http")? };
        let cache = cache(value.get("cache"))?;
        Some(Self {
            name: text("name")?,
            scheme: text("scheme")?,
            subnet_ids: strings(value.get("subnet_ids")),
            node_subnet_ids: strings(value.get("node_subnet_ids")),
            ip_address_type: value.get("ip_address_type").as_str()?.to_owned(),
            listeners,
            certificate_arn: text("certificate_arn"),
            ssl_policy: text("ssl_policy").unwrap_or_default(),
            dns_record: optional(value.get("dns_record"), dns_record)?,
            client_cidr_blocks: strings(value.get("client_cidr_blocks")),
            client_ipv6_cidr_blocks: strings(value.get("client_ipv6_cidr_blocks")),
            client_prefix_list_ids: strings(value.get("client_prefix_list_ids")),
            ssh_cidr_blocks: strings(value.get("ssh_cidr_blocks")),
            node_count: u16::try_from(value.get("node_count").as_i64()?).ok()?,
            instance_type: text("instance_type")?,
            ami_id: text("ami_id").unwrap_or_default(),
            key_name: text("key_name"),
            iam_instance_profile: text("iam_instance_profile"),
            root_volume_size: number("root_volume_size", schema::DEFAULT_ROOT_VOLUME_SIZE),
            boot: boot(value, &cache)?,
            health_check: health_check(value.get("health_check"), "HTTP", &schema::PROBES)?,
            deregistration_delay: number("deregistration_delay", schema::DEFAULT_DEREGISTRATION_DELAY),
            stickiness: stickiness(value.get("stickiness")),
            idle_timeout: number("idle_timeout", DEFAULT_IDLE_TIMEOUT),
            cache,
            transit_encryption: value.get("cache").get("transit_encryption").as_bool()?,
            wait_for_healthy: value.get("wait_for_healthy").as_bool().unwrap_or(DEFAULT_WAIT_FOR_HEALTHY),
            on_unhealthy: OnUnhealthy::of(value.get("on_unhealthy")),
            timeouts: timeouts(value.get("timeouts"), schema::DEFAULT_TIMEOUT),
        })
    }
}

fn cache(value: &Value) -> Option<Cache> {
    match value.get("endpoint") {
        Value::Null => Some(Cache::New {
            node_type: string(value.get("node_type"))?,
            engine_version: string(value.get("engine_version"))?,
            replica_count: value.get("replica_count").as_i64().unwrap_or_default(),
            automatic_failover: value.get("automatic_failover").as_bool().unwrap_or_default(),
            at_rest_encryption: value.get("at_rest_encryption").as_bool()?,
        }),
        endpoint => {
            let (host, port) = host_and_port(endpoint.as_str()?)?;
            Some(Cache::Existing { host: host.to_owned(), port })
        }
    }
}

/// What the nodes run; the overrides must be known, because nobody can tell what an unknown one replaces.
fn boot(value: &Value, cache: &Cache) -> Option<Boot> {
    let port = u16::try_from(value.get("port").as_i64()?).ok()?;
    let (host, redis_port) = match cache {
        Cache::Existing { host, port } => (host.clone(), *port),
        Cache::New { .. } => (CACHE_HOST.to_owned(), DEFAULT_REDIS_PORT),
    };
    let auth_token_parameter = string(value.get("cache").get("auth_token_parameter"));
    let redis = Redis {
        host,
        port: redis_port,
        transit_encryption: value.get("cache").get("transit_encryption").as_bool()?,
        auth: auth_token_parameter.is_some(),
    };
    Some(Boot {
        version: string(value.get("deepstream_version"))?,
        server: Server { port, health_check_path: string(value.get("health_check").get("path"))?, redis: Some(redis) },
        overrides: overrides(value.get("deepstream_config"))?,
        auth_token_parameter,
        extra: string(value.get("user_data_extra")),
    })
}

/// The object merged over the configuration of deepstream; `None` when it is unknown, in part even, or no object.
pub(crate) fn overrides(value: &Value) -> Option<Map<String, Json>> {
    if !value.is_wholly_known() {
        return None;
    }
    match json(value) {
        Json::Null => Some(Map::new()),
        Json::Object(overrides) => Some(overrides),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resolve::resolve;
    use super::super::samples::{UNKNOWN_VALUE, change, configuration, small};
    use super::*;

    fn parse(json: &serde_json::Value) -> Option<Config> {
        Config::parse(&resolve(&configuration(json)))
    }

    #[test]
    fn what_decides_which_objects_there_are_must_be_known() {
        for unknown in [
            json!({"node_count": UNKNOWN_VALUE}),
            json!({"certificate_arn": UNKNOWN_VALUE}),
            json!({"cache": UNKNOWN_VALUE}),
            json!({"cache": {"endpoint": UNKNOWN_VALUE}}),
            json!({"port": UNKNOWN_VALUE}),
            json!({"deepstream_config": {"logLevel": UNKNOWN_VALUE}}),
        ] {
            assert_eq!(parse(&change(small(), &unknown)), None, "{unknown}");
        }
    }

    #[test]
    fn the_servers_know_the_redis_that_is_configured() {
        let redis = |cache: serde_json::Value| {
            let config = parse(&change(small(), &json!({"cache": cache}))).unwrap();
            config.boot.server.redis.unwrap()
        };
        let new = Redis { host: CACHE_HOST.to_owned(), port: 6379, transit_encryption: true, auth: false };
        assert_eq!(redis(json!({})), new);
        let existing = json!({
            "endpoint": "redis.internal:6380", "transit_encryption": false,
        });
        let expected = Redis { host: "redis.internal".to_owned(), port: 6380, transit_encryption: false, auth: false };
        assert_eq!(redis(existing), expected);
        assert!(redis(json!({"auth_token_parameter": "/token"})).auth);
    }
}
