//! The state of `codestream_alb`: what the observed graph says, in the terms of the arguments.
//!
//! Used after a read and after an apply, whatever its end, so that the state always tells what exists. Where
//! the objects disagree (one listener lost its certificate), an argument keeps its last value and `topology`
//! shows which object differs.

use std::collections::BTreeSet;

use tfplugin::value::Value;

use super::config::Role;
use super::desired::{LOAD_BALANCER, REDIRECT};
use super::services_config;
use crate::aws::{Attributes, HealthCheck, Tags};
use crate::resource::private::Applied;
use crate::resource::topology::topology;
use crate::stack::ownership::{OWNERSHIP, ROLE, STACK, user_tags};
use crate::stack::{Action, Listener, Node, NodeId, Observed, Record, Ref, Source, TargetGroup};

/// The state for a graph. `base` is the last state, or the planned one: what it says holds where the graph says
/// nothing.
pub(crate) fn state(base: &Value, observed: &Observed, applied: Option<&Applied>) -> Value {
    let mut state = base.clone().unknown_as_null();
    let view = View { base, observed, applied };
    view.balancer(&mut state);
    view.listeners(&mut state);
    view.records(&mut state);
    view.tags(&mut state);
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
    applied: Option<&'a Applied>,
}

impl View<'_> {
    fn balancer(&self, state: &mut Value) {
        let id = NodeId::LoadBalancer;
        let arn = self.observed.id(&id);
        state.put("id", arn);
        state.put("arn", arn);
        let facts = self.observed.load_balancer.as_ref();
        state.put("dns_name", facts.map(|facts| facts.dns_name.as_str()));
        state.put("hosted_zone_id", facts.map(|facts| facts.hosted_zone_id.as_str()));
        if state.get("hostname").is_null() || self.base.get("hostname") == self.base.get("dns_name") {
            state.put("hostname", facts.map(|facts| facts.dns_name.as_str()));
        }
        state.put("security_group_id", self.observed.id(&NodeId::SecurityGroup(LOAD_BALANCER)));
        if !self.observed.vpc.id.is_empty() {
            state.put("vpc_id", &self.observed.vpc.id);
        }
        // What is left of rules or records that were to go shows as an argument still set.
        let left = self.observed.nodes.keys().find_map(|id| match id {
            NodeId::RulesIn(group) => Some(group.as_str()),
            _ => None,
        });
        if state.get("instance_security_group_id").is_null() {
            state.put("instance_security_group_id", left);
        } else if state.get("instance_security_group_id").as_str().is_some_and(|group| !self.is_let_in(group)) {
            state.put("instance_security_group_id", Value::Null);
        }
        let Some(balancer) = self.observed.balancer(&id) else { return };
        state.put("name", &balancer.name);
        state.put("scheme", &balancer.scheme);
        state.put("ip_address_type", &balancer.ip_address_type);
        state.put("subnet_ids", Value::set(&balancer.subnet_ids));
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

    fn records(&self, state: &mut Value) {
        let wanted = state.get("dns_record").clone();
        let kinds: &[&'static str] =
            if state.get("ip_address_type").as_str() == Some("ipv4") { &["A"] } else { &["A", "AAAA"] };
        let last =
            (wanted.get("zone_id").as_str().map(str::to_owned), wanted.get("name").as_str().map(str::to_lowercase));
        let (zone_id, name) = self.applied.map_or(last, |applied| applied.dns_record.clone().unzip());
        let is_wanted = |record: &Record| {
            kinds.contains(&record.kind)
                && (Some(&record.zone_id), Some(&record.name)) == (zone_id.as_ref(), name.as_ref())
        };
        let pointing = self.observed.records().filter(|(_, record)| record.target == Ref::Of(NodeId::LoadBalancer));
        let (found, left): (Vec<&Record>, Vec<&Record>) =
            pointing.map(|(_, record)| record).partition(|record| is_wanted(record));
        let complete = found.len() == kinds.len();
        let evaluates = agreed(found.iter().map(|record| Some(&record.evaluate_target_health))).flatten();
        let shown = match left.first() {
            Some(left) => as_argument(left),
            None if !complete => Value::Null,
            None if wanted.is_null() => found.first().map_or(Value::Null, |record| as_argument(record)),
            None => {
                let mut record = wanted;
                record.put("evaluate_target_health", evaluates.copied());
                record
            }
        };
        state.put("dns_record", shown);
    }

    /// The tags: `tags_all` as the objects have them, and in `tags` the values of the keys that were given.
    fn tags(&self, state: &mut Value) {
        let tagged: Vec<Tags> = self
            .observed
            .nodes
            .iter()
            .filter(|(id, _)| !matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)))
            .map(|(_, existing)| user_tags(&existing.tags))
            .collect();
        if !self.is_marked() {
            state.put("tags_all", Value::Null);
            return;
        }
        // An object whose tags are not those applied stands for all: a difference must show.
        let last = self.applied.map_or_else(|| self.base.get("tags_all").clone(), |applied| as_value(&applied.tags));
        let differing = tagged.iter().find(|tags| as_value(tags) != last).or(tagged.first());
        let Some(all) = differing else { return };
        if self.applied.is_none() && tagged.iter().any(|tags| tags != all) {
            state.put("tags_all", Value::Null);
            return;
        }
        state.put("tags_all", as_value(all));
        let given = state.get("tags").as_map().cloned().unwrap_or_default();
        if !given.is_empty() {
            let kept = given.keys().filter_map(|key| all.get(key).map(|value| (key.clone(), Value::from(value))));
            state.put("tags", Value::object(kept));
        }
    }

    /// Whether every object carries the tags that say whose it is. After an import none does, until the first apply.
    fn is_marked(&self) -> bool {
        let mut tagged =
            self.observed.nodes.iter().filter(|(id, _)| !matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)));
        tagged.all(|(_, existing)| {
            let role = match &existing.node {
                Node::Listener(listener) => self.serves(listener),
                Node::TargetGroup(group) => Some(group.role),
                _ => None,
            };
            OWNERSHIP.iter().all(|key| existing.tags.contains_key(*key))
                && existing.tags.get(STACK).map(String::as_str) == self.base.get("name").as_str()
                && role.is_none_or(|role| existing.tags.get(ROLE).is_some_and(|tag| tag == role))
        })
    }

    /// The role that a listener plays by what it does.
    fn serves(&self, listener: &Listener) -> Option<&'static str> {
        match &listener.action {
            Action::RedirectToHttps(_) => Some(REDIRECT),
            Action::Forward(weights) if weights.len() == 1 => {
                let group = weights.keys().next()?;
                let (_, group) = self.observed.target_groups().find(|(id, _)| *group == Ref::Of((*id).clone()))?;
                Some(group.role)
            }
            _ => None,
        }
    }

    /// Whether the instances' own group lets the load balancer in on every target port, and on no other.
    fn is_let_in(&self, group: &str) -> bool {
        let there: BTreeSet<(i64, Ref)> =
            match self.observed.nodes.get(&NodeId::RulesIn(group.to_owned())).map(|existing| &existing.node) {
                Some(Node::RulesIn(rules)) => rules
                    .iter()
                    .filter_map(|rule| match &rule.source {
                        Source::Group(group) => Some((rule.from_port, group.clone())),
                        _ => None,
                    })
                    .collect(),
                _ => BTreeSet::new(),
            };
        let sources = self.observed.balancer(&NodeId::LoadBalancer).map(|balancer| balancer.security_groups.clone());
        let needed = self
            .observed
            .target_groups()
            .flat_map(|(_, group)| sources.iter().flatten().map(|source| (i64::from(group.port), source.clone())));
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
            Some(Action::Forward(weights)) => weights.get(&Ref::Of(id.clone())).copied().unwrap_or(-1),
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
        Role::ALL.into_iter().all(|role| {
            let health = self.group(role).and_then(|(id, _)| self.observed.health.get(id));
            let mut staying = health.into_iter().flatten().filter(|target| target.state != "draining").peekable();
            staying.peek().is_some() && staying.all(|target| target.state == "healthy")
        })
    }
}

/// The one value that all have; `None` when they differ, or there are none. A value may be absent itself.
fn agreed<'a, T: PartialEq + ?Sized>(values: impl Iterator<Item = Option<&'a T>>) -> Option<Option<&'a T>> {
    let values: Vec<_> = values.collect();
    let first = *values.first()?;
    values.iter().all(|value| *value == first).then_some(first)
}

/// The additional certificates of all listeners together. Where they differ, `topology` tells which has what.
fn additional_certificates(last: &Value, listeners: &[&Listener]) -> Value {
    let all: BTreeSet<&String> = listeners.iter().flat_map(|listener| &listener.additional_certificate_arns).collect();
    if all.is_empty() && last.is_null() { Value::Null } else { Value::set(all) }
}

fn number(attributes: &Attributes, key: &str) -> Option<i64> {
    attributes.get(key).and_then(|value| value.parse().ok())
}

fn is_on(attributes: &Attributes, key: &str) -> bool {
    attributes.get(key).is_some_and(|value| value == "true")
}

fn as_argument(record: &Record) -> Value {
    Value::object([
        ("zone_id", Value::from(&record.zone_id)),
        ("name", Value::from(&record.name)),
        ("evaluate_target_health", Value::from(record.evaluate_target_health)),
    ])
}

fn as_value(tags: &Tags) -> Value {
    Value::object(tags.iter().map(|(key, value)| (key.clone(), Value::from(value))))
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

/// A health check in the terms of the arguments.
pub(crate) fn health_check(check: &HealthCheck) -> Value {
    Value::object([
        ("path", Value::from(&check.path)),
        ("matcher", Value::from(&check.matcher)),
        ("interval", Value::from(check.interval)),
        ("timeout", Value::from(check.timeout)),
        ("healthy_threshold", Value::from(check.healthy_threshold)),
        ("unhealthy_threshold", Value::from(check.unhealthy_threshold)),
    ])
}

fn stickiness(attributes: &Attributes, last: &Value) -> Value {
    if !is_on(attributes, "stickiness.enabled") {
        return Value::Null;
    }
    let kind = attributes.get("stickiness.type").map_or("lb_cookie", String::as_str);
    let duration = number(attributes, &format!("stickiness.{kind}.duration_seconds"));
    let cookie = attributes.get("stickiness.app_cookie.cookie_name").filter(|_| kind == "app_cookie");
    let mut sticky = if last.is_null() { Value::object::<&str>([]) } else { last.clone() };
    sticky.put("type", kind);
    sticky.put("duration", duration);
    sticky.put("cookie_name", cookie);
    sticky
}

/// The node of every entry, for a graph of desired nodes.
pub(crate) fn nodes(desired: &crate::stack::Desired) -> impl Iterator<Item = (&NodeId, &Node)> + Clone {
    desired.nodes.iter()
}
