//! The `topology` output: what a graph opens, where it leads, and who may come in. Made from the desired graph
//! in a plan and from the observed one in a state, by the same code, so that any difference is drift.

use std::collections::{BTreeMap, BTreeSet};

use tfplugin::value::Value;

use super::LOAD_BALANCER;
use super::config::UNKNOWN;
use crate::aws::MetadataOptions;
use crate::stack::cluster::Cache;
use crate::stack::ownership::role;
use crate::stack::{Action, Listener, Node, NodeId, Ref, Rule, TargetGroup, attributes};

/// A string of a graph as a value; one that only apply will know is unknown.
pub(crate) fn text(text: &str) -> Value {
    if text.starts_with(UNKNOWN) { Value::Unknown } else { Value::from(text) }
}

/// A set of strings of a graph; unknown as a whole when a part of it is.
fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    let all: Vec<Value> = texts.map(text).collect();
    if all.iter().any(Value::is_unknown) { Value::Unknown } else { Value::set(all) }
}

/// The topology of a graph. The rules are those that hold for the load balancer; or those of every group, by its
/// name, of a cluster, whose cache and nodes are told of, too.
pub(crate) fn topology<'a>(nodes: impl Iterator<Item = (&'a NodeId, &'a Node)> + Clone, every_group: bool) -> Value {
    let listeners: Vec<&Listener> = nodes
        .clone()
        .filter_map(|(_, node)| match node {
            Node::Listener(listener) => Some(listener),
            _ => None,
        })
        .collect();
    let mut encrypted = listeners.iter().filter(|listener| listener.protocol == "HTTPS");
    let first = encrypted.next().map(|listener| &listener.additional_certificate_arns);
    // Where no argument tells the additional certificates, each listener does.
    let agree = !every_group && encrypted.all(|listener| Some(&listener.additional_certificate_arns) == first);
    let listeners = listeners.into_iter().map(|listener| listener_value(listener, agree));
    let mut groups: BTreeMap<(&str, &str), Value> = BTreeMap::new();
    for (_, node) in nodes.clone() {
        if let Node::TargetGroup(group) = node {
            groups.insert((group.role, &group.name), group_value(group));
        }
    }
    let mut topology = Value::object([
        ("listeners", Value::List(listeners.collect())),
        ("target_groups", Value::List(groups.into_values().collect())),
    ]);
    if every_group {
        let cache = nodes.clone().find_map(|(_, node)| match node {
            Node::Cache(cache) => Some(cache),
            _ => None,
        });
        let metadata: BTreeSet<MetadataOptions> = nodes
            .clone()
            .filter_map(|(_, node)| match node {
                Node::Instance(instance) => Some(instance.metadata),
                _ => None,
            })
            .collect();
        topology.put("metadata_options", Value::List(metadata.into_iter().map(metadata_value).collect()));
        topology.put("cache", cache.map_or(Value::Null, cache_value));
        topology.put("security_group_rules", every_rule(nodes));
    } else {
        topology.put("security_group_rules", rules_value(nodes));
    }
    topology
}

/// In the terms of AWS.
fn metadata_value(options: MetadataOptions) -> Value {
    Value::object([
        ("http_endpoint", Value::from(if options.enabled { "enabled" } else { "disabled" })),
        ("http_tokens", Value::from(if options.requires_session { "required" } else { "optional" })),
        ("http_put_response_hop_limit", Value::from(i64::from(options.hop_limit))),
    ])
}

fn cache_value(cache: &Cache) -> Value {
    Value::object([
        ("transit_encryption", Value::from(cache.transit_encryption.as_str())),
        ("multi_az", Value::from(cache.settings.multi_az)),
        ("parameter_group", Value::from(cache.settings.parameter_group.as_ref())),
    ])
}

/// A listener. When the listeners differ in their additional certificates, as they never should, each tells its own.
fn listener_value(listener: &Listener, agree: bool) -> Value {
    let certificate = listener.certificate_arn.as_ref().map(|arn| {
        let additional = listener.additional_certificate_arns.iter().filter(|_| !agree);
        std::iter::once(arn).chain(additional).cloned().collect::<Vec<_>>().join(", ")
    });
    Value::object([
        ("port", Value::from(i64::from(listener.port))),
        ("protocol", Value::from(listener_protocol(listener))),
        ("ssl_policy", listener.ssl_policy.as_deref().map_or(Value::Null, text)),
        ("certificate_arn", certificate.as_deref().map_or(Value::Null, text)),
        ("target_group", action_value(&listener.action)),
    ])
}

/// The protocol; with what it asks of clients, when somebody has made it ask for certificates.
fn listener_protocol(listener: &Listener) -> String {
    match &listener.mutual_authentication {
        Some(mode) => format!("{} with client certificates ({mode})", listener.protocol),
        None => listener.protocol.clone(),
    }
}

fn action_value(action: &Action) -> Value {
    let name = |group: &Ref| match group {
        Ref::Of(NodeId::TargetGroup(name)) => name.clone(),
        other => other.to_string(),
    };
    match action {
        Action::Forward(weights) if weights.values().eq(&[1]) => {
            weights.keys().map(name).map(|name| text(&name)).collect::<Vec<_>>().remove(0)
        }
        Action::Forward(weights) => {
            let each: Vec<String> =
                weights.iter().map(|(group, weight)| format!("{} ({weight})", name(group))).collect();
            Value::from(each.join(", "))
        }
        Action::RedirectToHttps(port) => Value::from(format!("redirect:{port}")),
        Action::Other(kind, _) => Value::from(kind),
    }
}

fn group_value(group: &TargetGroup) -> Value {
    let instances = group.targets.iter().map(|target| match target {
        Ref::Known(id) => id.as_str(),
        Ref::Of(_) => UNKNOWN,
    });
    Value::object([
        ("role", Value::from(group.role)),
        ("name", text(&group.name)),
        ("port", Value::from(i64::from(group.port))),
        ("protocol", Value::from(group_protocol(group))),
        ("health_check_path", health_check_path(group)),
        ("instance_ids", texts(instances)),
    ])
}

/// The protocol; with the attributes that somebody has set although no argument does.
fn group_protocol(group: &TargetGroup) -> String {
    std::iter::once(group.protocol.clone())
        .chain(attributes::set_by_hand(&group.attributes))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The port and protocol of a target group in a state's topology.
pub(crate) fn port_and_protocol(state: &Value, group: &str) -> Option<(i64, String)> {
    let groups = state.get("topology").get("target_groups").as_list()?;
    let group = groups.iter().find(|known| known.get("name").as_str() == Some(group))?;
    let protocol = group.get("protocol").as_str()?.split(", ").next()?;
    Some((group.get("port").as_i64()?, protocol.to_owned()))
}

/// The path that is probed; with protocol and port when these are not the targets' own.
fn health_check_path(group: &TargetGroup) -> Value {
    let check = &group.health_check;
    if check.protocol == group.protocol && check.port == "traffic-port" {
        return text(&check.path);
    }
    Value::from(format!("{} on port {}: {}", check.protocol, check.port, check.path))
}

/// The rules that hold for the load balancer: those of its own group, if that is attached, and a line for
/// every group that somebody else has attached to it.
fn rules_value<'a>(nodes: impl Iterator<Item = (&'a NodeId, &'a Node)> + Clone) -> Value {
    let own = NodeId::SecurityGroup(LOAD_BALANCER);
    let group = nodes.clone().find_map(|(id, node)| match node {
        Node::SecurityGroup(group) if *id == own => Some(group),
        _ => None,
    });
    let Some(group) = group else { return Value::List(Vec::new()) };
    let attached = nodes.into_iter().find_map(|(_, node)| match node {
        Node::LoadBalancer(balancer) => Some(&balancer.security_groups),
        _ => None,
    });
    let mut rules: Vec<Value> = Vec::new();
    if attached.is_none_or(|attached| attached.contains(&Ref::Of(own.clone()))) {
        rules.extend(group.rules.iter().map(rule_value));
    }
    for other in attached.into_iter().flatten().filter(|other| **other != Ref::Of(own.clone())) {
        rules.push(attached_value(other));
    }
    let unknown = rules.iter().any(|rule| !rule.is_wholly_known());
    if unknown { Value::Unknown } else { Value::List(rules) }
}

/// The rules of every group, each with the role of its group; and a line for every group that somebody else has
/// attached to the load balancer or to the cache.
fn every_rule<'a>(nodes: impl Iterator<Item = (&'a NodeId, &'a Node)> + Clone) -> Value {
    let mut rules = Vec::new();
    for (id, node) in nodes {
        match (id, node) {
            (NodeId::SecurityGroup(role), Node::SecurityGroup(group)) => {
                rules.extend(group.rules.iter().map(|rule| (*role, rule_value(rule))));
            }
            (_, Node::LoadBalancer(balancer)) => rules.extend(others(LOAD_BALANCER, &balancer.security_groups)),
            (_, Node::Cache(cache)) => rules.extend(others(role(id, node), &cache.security_groups)),
            _ => {}
        }
    }
    if rules.iter().any(|(_, rule)| !rule.is_wholly_known()) {
        return Value::Unknown;
    }
    let named = rules.into_iter().map(|(role, mut rule)| {
        rule.put("security_group", role);
        rule
    });
    Value::List(named.collect())
}

/// The groups that somebody else has attached to what has a group of its own with this role.
fn others(role: &'static str, attached: &BTreeSet<Ref>) -> impl Iterator<Item = (&'static str, Value)> {
    let own = Ref::Of(NodeId::SecurityGroup(role));
    attached.iter().filter(move |group| **group != own).map(move |other| (role, attached_value(other)))
}

/// A group that somebody else has attached.
fn attached_value(group: &Ref) -> Value {
    Value::object([
        ("direction", Value::from("attached")),
        ("protocol", Value::from("-1")),
        ("from_port", Value::from(-1)),
        ("to_port", Value::from(-1)),
        ("source", Value::from(group.to_string())),
        ("description", Value::from("A security group that this resource did not attach")),
    ])
}

fn rule_value(rule: &Rule) -> Value {
    Value::object([
        ("direction", Value::from(rule.direction.to_string())),
        ("protocol", Value::from(&rule.protocol)),
        ("from_port", Value::from(rule.from_port)),
        ("to_port", Value::from(rule.to_port)),
        ("source", text(&rule.source.to_string())),
        ("description", Value::from(&rule.description)),
    ])
}
