//! The state of `codestream_alb`: what the observed graph says, in the terms of the arguments.
//!
//! Used after a read and after an apply, whatever its end, so that the state always tells what exists. Where
//! the objects disagree (one listener lost its certificate), an argument keeps its last value and `topology`
//! shows which object differs.

use std::collections::BTreeSet;

use tfplugin::value::Value;

use super::config::Role;
use super::desired::TOLD_BY_ARGUMENTS;
use super::services_config;
use crate::aws::Attributes;
use crate::resource::outputs::{self, agreed, health_check, is_on, number, stickiness, without_argument};
use crate::resource::private::Applied;
use crate::resource::topology::topology;
use crate::stack::{Action, Listener, Node, NodeId, Observed, Ref, Source, TargetGroup};

/// The state for a graph. `base` is the last state, or the planned one: what it says holds where the graph says
/// nothing.
pub(crate) fn state(base: &Value, observed: &Observed, applied: Option<&Applied>) -> Value {
    let mut state = base.clone().unknown_as_null();
    let roles = Role::ALL.map(Role::name);
    let common = outputs::View { base, observed, applied, shared_roles: &roles };
    let view = View { base, observed };
    common.balancer(&mut state);
    view.balancer(&mut state);
    view.listeners(&mut state);
    common.records(&mut state);
    common.tags(&mut state);
    for role in Role::ALL {
        state.put(role.name(), view.endpoint(role, state.get(role.name())));
    }
    state.put("ready", view.ready());
    state.put("topology", topology(observed.nodes.iter().map(|(id, existing)| (id, &existing.node)), false));
    services_config::put_urls(&mut state);
    state
}

struct View<'a> {
    base: &'a Value,
    observed: &'a Observed,
}

impl View<'_> {
    fn balancer(&self, state: &mut Value) {
        let id = NodeId::LoadBalancer;
        // What is left of rules that were to go shows as an argument still set, and rules that are not as they should be,
        // or in several groups, as one that is neither set nor not.
        let groups: Vec<&str> = self.observed.groups_with_rules().collect();
        let shown = match groups.as_slice() {
            [] => None,
            [group] if !self.is_let_in(group) => Some(format!("{group}, with other rules")),
            groups => Some(groups.join(", ")),
        };
        state.put("instance_security_group_id", shown);
        let Some(balancer) = self.observed.balancer(&id) else { return };
        if !self.base.get("security_group_ids").is_null() {
            state.put("security_group_ids", Value::set(balancer.security_groups.iter().map(ToString::to_string)));
        }
        let attributes = &balancer.attributes;
        for (argument, key) in
            [("idle_timeout", "idle_timeout.timeout_seconds"), ("client_keep_alive", "client_keep_alive.seconds")]
        {
            state.put(argument, number(attributes, key));
        }
        for (argument, key) in [
            ("enable_http2", "routing.http2.enabled"),
            ("drop_invalid_header_fields", "routing.http.drop_invalid_header_fields.enabled"),
            ("preserve_host_header", "routing.http.preserve_host_header.enabled"),
            ("enable_waf_fail_open", "waf.fail_open.enabled"),
            ("enable_deletion_protection", "deletion_protection.enabled"),
        ] {
            state.put(argument, is_on(attributes, key));
        }
        for (argument, key) in [
            ("desync_mitigation_mode", "routing.http.desync_mitigation_mode"),
            ("xff_header_processing_mode", "routing.http.xff_header_processing.mode"),
        ] {
            state.put(argument, attributes.get(key));
        }
        for argument in ["access_logs", "connection_logs"] {
            state.put(argument, logs(attributes, argument));
        }
        state.put("load_balancer_attributes", without_argument(attributes, TOLD_BY_ARGUMENTS));
    }

    fn listeners(&self, state: &mut Value) {
        let serving: Vec<&Listener> =
            Role::ALL.into_iter().filter_map(|role| self.listener(role)).map(|(_, listener)| listener).collect();
        if let Some(protocol) = agreed(serving.iter().map(|listener| Some(&listener.protocol))) {
            state.put("protocol", protocol);
        }
        if let Some(policy) = agreed(serving.iter().map(|listener| listener.ssl_policy.as_ref())) {
            state.put("ssl_policy", policy);
        }
        if let Some(arn) = agreed(serving.iter().map(|listener| listener.certificate_arn.as_ref())) {
            state.put("certificate_arn", arn);
        }
        let before = state.get("additional_certificate_arns").clone();
        let redirects =
            self.observed.listeners().any(|(_, listener)| matches!(listener.action, Action::RedirectToHttps(_)));
        state.put("redirect_http", redirects);
        state.put("additional_certificate_arns", additional_certificates(&before, &serving));
        if let Some(ids) = self.instances() {
            state.put("instance_ids", Value::set(&ids));
        }
    }

    /// The instances, when both groups have the same.
    fn instances(&self) -> Option<BTreeSet<String>> {
        let groups = Role::ALL.into_iter().filter_map(|role| self.group(role));
        let ids = groups.map(|(_, group)| group.targets.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
        let all: BTreeSet<BTreeSet<String>> = ids.collect();
        if all.len() == 1 { all.into_iter().next() } else { None }
    }

    /// Whether the instances' own group lets the load balancer in on every target port, and on no other.
    fn is_let_in(&self, group: &str) -> bool {
        let there: BTreeSet<(&str, i64, i64, Ref)> =
            match self.observed.nodes.get(&NodeId::RulesIn(group.to_owned())).map(|existing| &existing.node) {
                Some(Node::RulesIn(rules)) => rules
                    .iter()
                    .filter_map(|rule| match &rule.source {
                        Source::Group(group) => {
                            Some((rule.protocol.as_str(), rule.from_port, rule.to_port, group.clone()))
                        }
                        _ => None,
                    })
                    .collect(),
                _ => BTreeSet::new(),
            };
        let sources = self.observed.balancer(&NodeId::LoadBalancer).map(|balancer| balancer.security_groups.clone());
        let needed = self.observed.target_groups().flat_map(|(_, group)| {
            let port = i64::from(group.port);
            sources.iter().flatten().map(move |source| ("tcp", port, port, source.clone()))
        });
        there == needed.collect()
    }

    /// The listener of a role; when there are several, the one on the port of the last state.
    fn listener(&self, role: Role) -> Option<(&NodeId, &Listener)> {
        let port = self.base.get(role.name()).get("listener_port").as_i64();
        let mut of_role: Vec<_> =
            self.observed.listeners().filter(|(_, listener)| listener.role == role.name()).collect();
        of_role.sort_by_key(|(_, listener)| Some(i64::from(listener.port)) != port);
        of_role.into_iter().next()
    }

    /// The target group that serves a role: the one its listener forwards to, else the one of the last state.
    fn group(&self, role: Role) -> Option<(&NodeId, &TargetGroup)> {
        let listener = self.listener(role).map(|(_, listener)| listener);
        let last = self.base.get(role.name()).get("target_group_name").as_str();
        let weight = |id: &NodeId| match listener.map(|listener| &listener.action) {
            Some(Action::Forward(weights) | Action::Other(_, weights)) => {
                weights.get(&Ref::Of(id.clone())).copied().unwrap_or(-1)
            }
            _ => -1,
        };
        let of_role = self.observed.target_groups().filter(|(_, group)| group.role == role.name());
        of_role.max_by_key(|(id, group)| (weight(id), Some(group.name.as_str()) == last))
    }

    fn endpoint(&self, role: Role, last: &Value) -> Value {
        let mut endpoint = last.clone();
        if endpoint.is_null() {
            endpoint = Value::object::<&str>([]);
        }
        let listener = self.listener(role);
        endpoint.put("listener_arn", listener.and_then(|(id, _)| self.observed.id(id)));
        if let Some((_, listener)) = listener {
            endpoint.put("listener_port", i64::from(listener.port));
        }
        let group = self.group(role);
        endpoint.put("target_group_arn", group.and_then(|(id, _)| self.observed.id(id)));
        if let Some((_, group)) = group {
            endpoint.put("target_group_name", &group.name);
            endpoint.put("target_port", i64::from(group.port));
            endpoint.put("health_check", health_check(&group.health_check));
            endpoint.put("deregistration_delay", number(&group.attributes, "deregistration_delay.timeout_seconds"));
            endpoint.put("stickiness", stickiness(&group.attributes, last.get("stickiness")));
        }
        endpoint
    }

    /// Whether every registered target of both roles was healthy.
    fn ready(&self) -> bool {
        Role::ALL.into_iter().all(|role| outputs::serves(self.observed, self.group(role)))
    }
}

/// The additional certificates of all listeners together. Where they differ, `topology` tells which has what.
fn additional_certificates(last: &Value, listeners: &[&Listener]) -> Value {
    let all: BTreeSet<&String> = listeners.iter().flat_map(|listener| &listener.additional_certificate_arns).collect();
    if all.is_empty() && last.is_null() { Value::Null } else { Value::set(all) }
}

fn logs(attributes: &Attributes, kind: &str) -> Value {
    let key = |name: &str| format!("{kind}.s3.{name}");
    if !is_on(attributes, &key("enabled")) {
        return Value::Null;
    }
    Value::object([
        ("bucket", Value::from(attributes.get(&key("bucket")))),
        ("prefix", Value::from(attributes.get(&key("prefix")).filter(|prefix| !prefix.is_empty()))),
    ])
}
