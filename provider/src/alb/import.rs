//! The first state of an imported stack: what the arguments must have been for AWS to look as it does.

use std::collections::BTreeSet;

use tfplugin::value::Value;

use super::config::Role;
use super::resolve::resolve;
use crate::aws::Direction;
use crate::resource::LOAD_BALANCER;
use crate::resource::outputs::{health_check, imported_tags};
use crate::stack::{NodeId, Observed, Rule, Source};

/// Completes the little that an import knows: arguments that AWS does not tell take their defaults, and the
/// sources of traffic are read off the security group's rules. The rest is `state`'s to fill in.
pub(super) fn completed(state: &Value, observed: &Observed) -> Value {
    let mut completed = resolve(state);
    completed.put("tags", imported_tags(observed));
    let balancer = observed.balancer(&NodeId::LoadBalancer);
    match observed.security_group(&NodeId::SecurityGroup(LOAD_BALANCER)) {
        Some(group) => put_sources(&mut completed, &group.rules),
        None => {
            let groups = balancer.into_iter().flat_map(|balancer| &balancer.security_groups);
            completed.put("security_group_ids", Value::set(groups.map(ToString::to_string)));
        }
    }
    let common = observed.target_groups().find(|(_, group)| group.role == Role::Api.name());
    if let Some((_, group)) = common {
        completed.put("health_check", health_check(&group.health_check));
    }
    completed
}

/// Reads the sources off ingress rules. A rule whose description speaks of the host is the instance's own.
fn put_sources(state: &mut Value, rules: &BTreeSet<Rule>) {
    let mut sources: [BTreeSet<&str>; 4] = Default::default();
    for rule in rules.iter().filter(|rule| rule.direction == Direction::Ingress) {
        let of_host = rule.description.to_lowercase().contains("host");
        match &rule.source {
            Source::Cidr(cidr) if of_host => sources[3].insert(cidr),
            Source::Cidr(cidr) if cidr.contains(':') => sources[1].insert(cidr),
            Source::Cidr(cidr) => sources[0].insert(cidr),
            Source::PrefixList(id) => sources[2].insert(id),
            Source::Group(_) | Source::Vpc => false,
        };
    }
    let arguments = ["client_cidr_blocks", "client_ipv6_cidr_blocks", "client_prefix_list_ids", "instance_cidr_blocks"];
    for (argument, found) in arguments.into_iter().zip(sources) {
        state.put(argument, if found.is_empty() { Value::Null } else { Value::set(found) });
    }
}
