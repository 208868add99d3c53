//! Who may come in, read off the security groups that an import finds.

use std::collections::BTreeSet;

use tfplugin::value::Value;

use super::LOAD_BALANCER;
use super::rules::CLIENTS;
use crate::aws::Direction;
use crate::stack::{NodeId, Observed, Rule, Source};

/// The ports on which clients are served. Whom a redirect alone lets in is not to have more for that.
pub(crate) fn served_ports(observed: &Observed) -> BTreeSet<i64> {
    let serving = observed.listeners().filter(|(_, listener)| listener.action.groups().next().is_some());
    serving.map(|(_, listener)| i64::from(listener.port)).collect()
}

/// The rules of a group of the stack's that let TCP in on one of these ports, by IPv6 only where there is any. The others
/// are no argument's: `topology` shows them, and the next apply takes them away.
pub(crate) fn ingress<'a>(observed: &'a Observed, role: &'static str, ports: &BTreeSet<i64>) -> Vec<&'a Rule> {
    let group = observed.security_group(&NodeId::SecurityGroup(role));
    let rules = group.into_iter().flat_map(|group| &group.rules);
    let balancer = observed.balancer(&NodeId::LoadBalancer).filter(|_| role == LOAD_BALANCER);
    let ipv4_only = balancer.is_some_and(|balancer| balancer.ip_address_type == "ipv4");
    let of_ipv6 = |rule: &Rule| matches!(&rule.source, Source::Cidr(block) if block.contains(':'));
    let is_door = |rule: &&Rule| rule.direction == Direction::Ingress && lets_in(rule, ports);
    rules.filter(is_door).filter(|rule| !(ipv4_only && of_ipv6(rule))).collect()
}

fn lets_in(rule: &Rule, ports: &BTreeSet<i64>) -> bool {
    let on = |port: &i64| match rule.protocol.as_str() {
        "-1" => true,
        "tcp" => (rule.from_port..=rule.to_port).contains(port),
        _ => false,
    };
    ports.iter().any(on)
}

/// Puts the sources of rules into the arguments that say who the clients are.
pub(crate) fn put_clients<'a>(state: &mut Value, rules: impl IntoIterator<Item = &'a Rule>) {
    let mut sources: [BTreeSet<&str>; 3] = Default::default();
    for rule in rules {
        match &rule.source {
            Source::Cidr(block) if block.contains(':') => sources[1].insert(block),
            Source::Cidr(block) => sources[0].insert(block),
            Source::PrefixList(id) => sources[2].insert(id),
            Source::Group(_) | Source::Vpc => false,
        };
    }
    for (argument, found) in CLIENTS.into_iter().zip(sources) {
        put(state, argument, found);
    }
}

/// Puts the address blocks of rules into an argument.
pub(crate) fn put_blocks<'a>(state: &mut Value, argument: &str, rules: impl IntoIterator<Item = &'a Rule>) {
    let blocks = rules.into_iter().filter_map(|rule| match &rule.source {
        Source::Cidr(block) => Some(block.as_str()),
        _ => None,
    });
    put(state, argument, blocks.collect());
}

fn put(state: &mut Value, argument: &str, found: BTreeSet<&str>) {
    state.put(argument, if found.is_empty() { Value::Null } else { Value::set(found) });
}
