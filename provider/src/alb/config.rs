//! `codestream_alb` as configured: the configuration with its defaults, in plain types.

use std::collections::BTreeSet;

use tfplugin::value::Value;

use super::schema;
use crate::aws::HealthCheck;
use crate::resource::arguments::{DEFAULT_IDLE_TIMEOUT, DEFAULT_WAIT_FOR_HEALTHY};
use crate::resource::config::{
    DnsRecord, OnUnhealthy, Stickiness, Timeouts, dns_record, health_check, optional, stickiness, string, strings,
    timeouts,
};

/// Which of the two things a CodeStream host serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The HTTP API.
    Api,
    /// The WebSocket Broadcaster.
    Broadcaster,
}

impl Role {
    /// Both, in the order in which they are shown.
    pub(crate) const ALL: [Self; 2] = [Self::Api, Self::Broadcaster];

    /// The name of its argument, and of its tag's value.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Broadcaster => "broadcaster",
        }
    }
}

/// What the listeners and the targets speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Cleartext, to the host as well.
    Http,
    /// TLS, to the host as well.
    Https,
}

impl Protocol {
    /// The one a value names, when it is known and names one.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "HTTP" => Some(Self::Http),
            "HTTPS" => Some(Self::Https),
            _ => None,
        }
    }

    /// AWS's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }

    /// The port that the product's documentation gives to a role.
    pub(crate) fn default_port(self, role: Role) -> u16 {
        match (self, role) {
            (Self::Http, Role::Api) => 80,
            (Self::Https, Role::Api) => 443,
            (Self::Http, Role::Broadcaster) => 12080,
            (Self::Https, Role::Broadcaster) => 12443,
        }
    }
}

/// One of the two pairs of listener and target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) listener_port: u16,
    pub(crate) target_port: u16,
    pub(crate) health_check: HealthCheck,
    /// Seconds.
    pub(crate) deregistration_delay: i64,
    pub(crate) stickiness: Option<Stickiness>,
}

/// Where logs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logs {
    pub(crate) bucket: String,
    /// Empty when not given.
    pub(crate) prefix: String,
}

/// The whole configuration, defaults included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) scheme: String,
    pub(crate) protocol: Protocol,
    pub(crate) subnet_ids: BTreeSet<String>,
    pub(crate) ip_address_type: String,
    pub(crate) certificate_arn: Option<String>,
    pub(crate) additional_certificate_arns: BTreeSet<String>,
    /// Empty when the protocol has none.
    pub(crate) ssl_policy: String,
    pub(crate) instance_ids: BTreeSet<String>,
    pub(crate) client_cidr_blocks: BTreeSet<String>,
    pub(crate) client_ipv6_cidr_blocks: BTreeSet<String>,
    pub(crate) client_prefix_list_ids: BTreeSet<String>,
    pub(crate) instance_cidr_blocks: BTreeSet<String>,
    /// The groups brought along, when there are any: then none is created.
    pub(crate) security_group_ids: Option<BTreeSet<String>>,
    pub(crate) instance_security_group_id: Option<String>,
    pub(crate) api: Endpoint,
    pub(crate) broadcaster: Endpoint,
    pub(crate) redirect_http: bool,
    pub(crate) idle_timeout: i64,
    pub(crate) client_keep_alive: i64,
    pub(crate) enable_http2: bool,
    pub(crate) drop_invalid_header_fields: bool,
    pub(crate) desync_mitigation_mode: String,
    pub(crate) xff_header_processing_mode: String,
    pub(crate) preserve_host_header: bool,
    pub(crate) enable_waf_fail_open: bool,
    pub(crate) enable_deletion_protection: bool,
    pub(crate) access_logs: Option<Logs>,
    pub(crate) connection_logs: Option<Logs>,
    pub(crate) dns_record: Option<DnsRecord>,
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
        let protocol = Protocol::of(value.get("protocol"))?;
        let text = |name| string(value.get(name));
        let flag = |name, default| value.get(name).as_bool().unwrap_or(default);
        let number = |name, default| value.get(name).as_i64().unwrap_or(default);
        Some(Self {
            name: text("name")?,
            scheme: text("scheme")?,
            protocol,
            subnet_ids: strings(value.get("subnet_ids")),
            ip_address_type: value.get("ip_address_type").as_str()?.to_owned(),
            certificate_arn: text("certificate_arn"),
            additional_certificate_arns: strings(value.get("additional_certificate_arns")),
            ssl_policy: text("ssl_policy").unwrap_or_default(),
            instance_ids: strings(value.get("instance_ids")),
            client_cidr_blocks: strings(value.get("client_cidr_blocks")),
            client_ipv6_cidr_blocks: strings(value.get("client_ipv6_cidr_blocks")),
            client_prefix_list_ids: strings(value.get("client_prefix_list_ids")),
            instance_cidr_blocks: strings(value.get("instance_cidr_blocks")),
            security_group_ids: optional(value.get("security_group_ids"), |ids| Some(strings(ids)))?,
            instance_security_group_id: text("instance_security_group_id"),
            api: endpoint(value.get(Role::Api.name()), protocol, Role::Api)?,
            broadcaster: endpoint(value.get(Role::Broadcaster.name()), protocol, Role::Broadcaster)?,
            redirect_http: value.get("redirect_http").as_bool()?,
            idle_timeout: number("idle_timeout", DEFAULT_IDLE_TIMEOUT),
            client_keep_alive: number("client_keep_alive", schema::DEFAULT_CLIENT_KEEP_ALIVE),
            enable_http2: flag("enable_http2", schema::DEFAULT_ENABLE_HTTP2),
            drop_invalid_header_fields: flag("drop_invalid_header_fields", schema::DEFAULT_DROP_INVALID_HEADER_FIELDS),
            desync_mitigation_mode: text("desync_mitigation_mode")?,
            xff_header_processing_mode: text("xff_header_processing_mode")?,
            preserve_host_header: flag("preserve_host_header", false),
            enable_waf_fail_open: flag("enable_waf_fail_open", false),
            enable_deletion_protection: flag("enable_deletion_protection", false),
            access_logs: logs(value.get("access_logs")),
            connection_logs: logs(value.get("connection_logs")),
            dns_record: optional(value.get("dns_record"), dns_record)?,
            wait_for_healthy: flag("wait_for_healthy", DEFAULT_WAIT_FOR_HEALTHY),
            on_unhealthy: OnUnhealthy::of(value.get("on_unhealthy")),
            timeouts: timeouts(value.get("timeouts"), schema::DEFAULT_TIMEOUT),
        })
    }

    /// The endpoint of a role.
    pub(crate) fn endpoint(&self, role: Role) -> &Endpoint {
        match role {
            Role::Api => &self.api,
            Role::Broadcaster => &self.broadcaster,
        }
    }
}

fn endpoint(value: &Value, protocol: Protocol, role: Role) -> Option<Endpoint> {
    let port = |name| u16::try_from(value.get(name).as_i64()?).ok();
    Some(Endpoint {
        listener_port: port("listener_port")?,
        target_port: port("target_port")?,
        health_check: health_check(value.get("health_check"), protocol.name(), &schema::PROBES)?,
        deregistration_delay: value
            .get("deregistration_delay")
            .as_i64()
            .unwrap_or_else(|| schema::default_deregistration_delay(role)),
        stickiness: stickiness(value.get("stickiness")),
    })
}

/// Off while they are wholly unknown: they are not shown at plan.
fn logs(value: &Value) -> Option<Logs> {
    value.as_map()?;
    Some(Logs { bucket: string(value.get("bucket"))?, prefix: string(value.get("prefix")).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::resolve::resolve;
    use super::super::samples::{UNKNOWN_VALUE, change, configuration, http, https};
    use super::*;
    use crate::resource::config::UNKNOWN;

    fn parse(json: &serde_json::Value) -> Option<Config> {
        Config::parse(&resolve(&configuration(json)))
    }

    #[test]
    fn the_protocol_decides_ports_and_probes() {
        for (json, ports, protocol) in [(https(), [443, 12_443], "HTTPS"), (http(), [80, 12_080], "HTTP")] {
            let config = parse(&json).unwrap();
            let endpoints = Role::ALL.map(|role| config.endpoint(role).clone());
            assert_eq!(endpoints.each_ref().map(|endpoint| endpoint.listener_port), ports);
            assert_eq!(endpoints.each_ref().map(|endpoint| endpoint.target_port), ports);
            assert!(endpoints.iter().all(|endpoint| endpoint.health_check.protocol == protocol));
            assert_eq!(endpoints.each_ref().map(|endpoint| endpoint.deregistration_delay), [30, 60]);
        }
    }

    #[test]
    fn what_decides_which_objects_there_are_must_be_known() {
        for unknown in [
            json!({"protocol": UNKNOWN_VALUE}),
            json!({"ip_address_type": UNKNOWN_VALUE}),
            json!({"redirect_http": UNKNOWN_VALUE}),
            json!({"security_group_ids": UNKNOWN_VALUE}),
            json!({"dns_record": UNKNOWN_VALUE}),
            json!({"api": UNKNOWN_VALUE}),
            json!({"broadcaster": {"listener_port": UNKNOWN_VALUE}}),
            json!({"broadcaster": {"target_port": UNKNOWN_VALUE}}),
        ] {
            assert_eq!(parse(&change(https(), &unknown)), None, "{unknown}");
        }
    }

    #[test]
    fn an_unknown_string_is_marked_and_an_unknown_number_has_its_default() {
        let config = parse(&change(
            https(),
            &json!({
                "subnet_ids": UNKNOWN_VALUE,
                "instance_ids": ["i-0a", UNKNOWN_VALUE],
                "certificate_arn": UNKNOWN_VALUE,
                "security_group_ids": null,
                "health_check": {"path": UNKNOWN_VALUE, "interval": UNKNOWN_VALUE},
                "api": {"deregistration_delay": UNKNOWN_VALUE},
                "dns_record": {"zone_id": UNKNOWN_VALUE},
                "hostname": UNKNOWN_VALUE,
                "idle_timeout": UNKNOWN_VALUE,
            }),
        ))
        .unwrap();
        let marker = || UNKNOWN.to_owned();
        assert_eq!(config.subnet_ids, BTreeSet::from([marker()]));
        assert_eq!(config.instance_ids, BTreeSet::from([marker(), "i-0a".to_owned()]));
        assert_eq!(config.certificate_arn, Some(marker()));
        assert_eq!(config.security_group_ids, None);
        assert_eq!((config.api.health_check.path.as_str(), config.api.health_check.interval), (UNKNOWN, 15));
        assert_eq!(config.api.deregistration_delay, 30);
        assert_eq!(
            config.dns_record,
            Some(DnsRecord { zone_id: marker(), name: marker(), evaluate_target_health: false }),
        );
        assert_eq!(config.idle_timeout, 300);
    }

    #[test]
    fn what_is_given_is_what_counts() {
        let config = parse(&change(
            https(),
            &json!({
                "security_group_ids": ["sg-0a"],
                "client_cidr_blocks": null,
                "api": {"listener_port": 8443, "stickiness": {"type": "app_cookie", "cookie_name": "JSESSIONID"}},
                "broadcaster": {"health_check": {"timeout": 10}},
                "access_logs": {"bucket": "my-logs"},
                "on_unhealthy": "warn",
                "timeouts": {"create": "1h30m"},
            }),
        ))
        .unwrap();
        assert_eq!(config.security_group_ids, Some(BTreeSet::from(["sg-0a".to_owned()])));
        assert_eq!((config.api.listener_port, config.api.target_port), (8443, 443));
        assert_eq!(
            config.api.stickiness,
            Some(Stickiness::ApplicationCookie { name: "JSESSIONID".to_owned(), duration: 86_400 }),
        );
        assert_eq!((config.api.health_check.timeout, config.broadcaster.health_check.timeout), (5, 10));
        assert_eq!(config.access_logs, Some(Logs { bucket: "my-logs".to_owned(), prefix: String::new() }));
        assert_eq!(config.on_unhealthy, OnUnhealthy::Warn);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(config.timeouts, Timeouts { create: minutes(90), update: minutes(15), delete: minutes(15) });
    }

    #[test]
    fn a_value_of_the_wrong_type_is_no_configuration() {
        for hostile in [
            Value::Null,
            Value::Unknown,
            Value::from("x"),
            Value::List(vec![Value::Null]),
            Value::object([("protocol", Value::from(true))]),
            Value::object(["protocol", "name", "scheme", "api"].map(|name| (name, Value::from("HTTPS")))),
        ] {
            assert_eq!(Config::parse(&hostile), None);
            assert_eq!(Config::parse(&resolve(&hostile)), None);
        }
        let mut port = configuration(&https());
        port.put("api", Value::object([("listener_port", Value::from(70_000_i64))]));
        assert_eq!(Config::parse(&resolve(&port)), None);
    }
}
