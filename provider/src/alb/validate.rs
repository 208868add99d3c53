//! What the arguments of `codestream_alb` must satisfy together. What one must satisfy alone is in its schema, and what
//! those of every resource must satisfy in `resource/rules.rs`.
//!
//! A rule speaks only when what it is about is known.

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::value::Value;

use super::config::{Protocol, Role};
use super::schema::DEFAULT_TIMEOUT;
use crate::resource::arguments::{DEFAULT_IDLE_TIMEOUT, REDIRECT_PORT};
use crate::resource::rules::{self, CLIENTS, Rule, Terms, is_given, known, shown};

/// AWS's own idle timeout, in seconds: too short for a WebSocket.
const AWS_IDLE_TIMEOUT: i64 = 60;

const INSTANCE_BLOCKS: &str = "instance_cidr_blocks";

/// What the rules of all resources need to know.
pub(crate) const TERMS: Terms = Terms {
    subnets: &[("subnet_ids", "A load balancer")],
    blocks: &[INSTANCE_BLOCKS],
    endpoints: &[Role::Api.name(), Role::Broadcaster.name()],
    timeout: DEFAULT_TIMEOUT,
};

/// The rules of its own.
pub(crate) const RULES: &[Rule] = &[certificates, ssl_policy, instances, security_groups, listener_ports, idle_timeout];

fn certificates(config: &Value, resolved: &Value, found: &mut Diagnostics) {
    let certificate = config.get("certificate_arn");
    match Protocol::of(resolved.get("protocol")) {
        Some(Protocol::Https) if certificate.is_null() => {
            let origin = if config.get("protocol").is_null() { ", the default" } else { "" };
            found.error_at(
                Path::of("certificate_arn"),
                "HTTPS needs a certificate",
                format!(
                    "protocol is \"HTTPS\"{origin}, and certificate_arn is not given. Set certificate_arn to the ARN of \
                     an issued ACM certificate of the load balancer's region that covers hostname, or set \
                     protocol = \"HTTP\" to serve in cleartext."
                ),
            );
        }
        Some(Protocol::Http) => refuse_tls_arguments(config, found),
        _ => {}
    }
    if certificate.as_str().is_some_and(|arn| known(config.get("additional_certificate_arns")).contains(arn)) {
        found.error_at(
            Path::of("additional_certificate_arns"),
            "The default certificate is not an additional one",
            format!(
                "additional_certificate_arns contains {}, which certificate_arn makes the default certificate of both \
                 listeners. Remove it from additional_certificate_arns.",
                shown(certificate),
            ),
        );
    }
}

fn refuse_tls_arguments(config: &Value, found: &mut Diagnostics) {
    for name in ["certificate_arn", "additional_certificate_arns", "ssl_policy"] {
        let value = config.get(name);
        if is_given(value) {
            found.error_at(
                Path::of(name),
                format!("{name} needs HTTPS"),
                format!(
                    "{name} is {}, and protocol is \"HTTP\": its listeners do not speak TLS. Remove {name}, or set \
                     protocol = \"HTTPS\".",
                    shown(value),
                ),
            );
        }
    }
    if config.get("redirect_http").as_bool() == Some(true) {
        found.error_at(
            Path::of("redirect_http"),
            "redirect_http needs HTTPS",
            "redirect_http is true, and protocol is \"HTTP\": there is no HTTPS listener to redirect to. Remove \
             redirect_http, or set protocol = \"HTTPS\".",
        );
    }
}

fn ssl_policy(config: &Value, resolved: &Value, found: &mut Diagnostics) {
    if Protocol::of(resolved.get("protocol")) == Some(Protocol::Https) {
        rules::ssl_policy(config, resolved, found);
    }
}

fn instances(config: &Value, _: &Value, found: &mut Diagnostics) {
    let instances = config.get("instance_ids");
    if instances.as_list().is_some_and(<[Value]>::is_empty) {
        found.error_at(
            Path::of("instance_ids"),
            "There is no instance",
            "instance_ids is [], so nothing would serve. Add the id of the instance that runs CodeStream On-Prem.",
        );
    }
    let count = known(instances).len();
    if count > 1 {
        found.warning_at(
            Path::of("instance_ids"),
            "More than one instance",
            format!(
                "instance_ids names {count} instances, and CodeStream On-Prem has no service-level redundancy. Keep one \
                 of them, unless you are moving from one to another."
            ),
        );
    }
}

fn security_groups(config: &Value, _: &Value, found: &mut Diagnostics) {
    let own = config.get("security_group_ids");
    if own.as_list().is_some_and(<[Value]>::is_empty) {
        found.error_at(
            Path::of("security_group_ids"),
            "There is no security group",
            "security_group_ids is [], and a load balancer needs a security group. Remove security_group_ids to have \
             one made, or add the id of one of your own.",
        );
    } else if is_given(own) {
        for name in CLIENTS.into_iter().chain([INSTANCE_BLOCKS]) {
            let value = config.get(name);
            if is_given(value) {
                found.error_at(
                    Path::of(name),
                    format!("{name} needs a security group of the provider's"),
                    format!(
                        "{name} is {}, and security_group_ids is {}: no security group is made, so there is none to put \
                         these rules into. Remove {name} and add the rules to your own groups, or remove \
                         security_group_ids.",
                        shown(value),
                        shown(own),
                    ),
                );
            }
        }
    }
}

fn listener_ports(config: &Value, resolved: &Value, found: &mut Diagnostics) {
    let [api, broadcaster] = Role::ALL.map(|role| resolved.get(role.name()).get("listener_port").as_i64());
    if let (Some(api), Some(broadcaster)) = (api, broadcaster)
        && api == broadcaster
    {
        let given = |role: Role| !config.get(role.name()).get("listener_port").is_null();
        let role = if given(Role::Broadcaster) { Role::Broadcaster } else { Role::Api };
        found.error_at(
            Path::of(role.name()).attribute("listener_port"),
            "Two listeners on one port",
            format!(
                "api.listener_port and broadcaster.listener_port are both {api}, and a load balancer has one listener for \
                 a port. Give one of them another port; by default they are 443 and 12443 with HTTPS, 80 and 12080 with \
                 HTTP."
            ),
        );
    }
    let redirects = config.get("redirect_http").as_bool() == Some(true)
        && Protocol::of(resolved.get("protocol")) == Some(Protocol::Https);
    for (role, port) in Role::ALL.into_iter().zip([api, broadcaster]) {
        if redirects && port == Some(i64::from(REDIRECT_PORT)) {
            let path = Path::of(role.name()).attribute("listener_port");
            let detail = format!(
                "{path} is {REDIRECT_PORT}, where redirect_http puts the listener that redirects to HTTPS. Choose another \
                 port, or remove redirect_http."
            );
            found.error_at(path, "Two listeners on one port", detail);
        }
    }
}

fn idle_timeout(config: &Value, _: &Value, found: &mut Diagnostics) {
    if let Some(seconds) = config.get("idle_timeout").as_i64()
        && (1..=AWS_IDLE_TIMEOUT).contains(&seconds)
    {
        found.warning_at(
            Path::of("idle_timeout"),
            "Idle timeout too short for WebSockets",
            format!(
                "idle_timeout is {seconds}: the load balancer closes a WebSocket on which nothing was sent for that many \
                 seconds, so clients of the Broadcaster would lose their connections. Set it above {AWS_IDLE_TIMEOUT}, or \
                 remove it to have {DEFAULT_IDLE_TIMEOUT}."
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tfplugin::diagnostics::Severity;
    use tfplugin::path::PathStep;

    use super::super::CodestreamAlb;
    use super::super::samples::{change, configuration, http, https};
    use super::super::schema::schema;
    use super::*;
    use crate::resource::rules::validate;

    /// A configuration that something is wrong with, in a small good one.
    #[derive(Deserialize)]
    struct Bad {
        case: String,
        /// `https` or `http`.
        base: String,
        /// The arguments given instead.
        change: serde_json::Value,
        /// Severity and path of every diagnostic.
        expect: Vec<String>,
    }

    impl Bad {
        fn configuration(&self) -> Value {
            configuration(&change(if self.base == "http" { http() } else { https() }, &self.change))
        }
    }

    fn bad_configurations() -> Vec<Bad> {
        serde_json::from_str(include_str!("bad_configurations.json")).unwrap()
    }

    fn all_diagnostics(config: &Value) -> Diagnostics {
        let mut diagnostics = schema().validate(config);
        diagnostics.extend(validate::<CodestreamAlb>(config));
        diagnostics
    }

    fn severity(severity: Severity) -> &'static str {
        match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }

    #[test]
    fn every_bad_configuration_has_its_diagnostics() {
        let mut messages = String::new();
        for bad in bad_configurations() {
            let found = all_diagnostics(&bad.configuration());
            let at: Vec<String> = found.iter().map(|d| format!("{} {}", severity(d.severity), d.path)).collect();
            assert_eq!(at, bad.expect, "{}", bad.case);
            messages += &format!("# {}\n", bad.case);
            for d in found.iter() {
                messages += &format!("{} {}: {}\n    {}\n", severity(d.severity), d.path, d.summary, d.detail);
            }
        }
        insta::assert_snapshot!("bad_configurations", messages);
    }

    /// Makes the value at a path unknown: the whole map for an element of one, since a key is always known,
    /// and the whole object when it is not there.
    fn forget(value: &mut Value, steps: &[PathStep]) {
        match (value, steps) {
            (Value::Map(entries), [PathStep::Attribute(name), rest @ ..]) => {
                forget(entries.entry(name.clone()).or_default(), rest);
            }
            (value, _) => *value = Value::Unknown,
        }
    }

    #[test]
    fn what_is_unknown_is_no_error() {
        for bad in bad_configurations() {
            let mut config = bad.configuration();
            for d in all_diagnostics(&config) {
                forget(&mut config, d.path.steps());
            }
            let found = all_diagnostics(&config);
            assert!(!found.has_errors(), "{}: {found:?}", bad.case);
        }
        let unknown = schema().attributes.iter().map(|attribute| (attribute.name, Value::Unknown)).collect::<Vec<_>>();
        assert_eq!(all_diagnostics(&Value::object(unknown)), Diagnostics::new());
        assert_eq!(validate::<CodestreamAlb>(&Value::Unknown), Diagnostics::new());
    }

    #[test]
    fn a_good_configuration_says_nothing() {
        assert_eq!(all_diagnostics(&configuration(&https())), Diagnostics::new());
        assert_eq!(all_diagnostics(&configuration(&http())), Diagnostics::new());
    }
}
