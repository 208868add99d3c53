//! The first state of an imported stack: what the arguments must have been for AWS to look as it does.

use tfplugin::value::Value;

use super::config::Role;
use super::desired::HOST;
use super::resolve::resolve;
use crate::resource::LOAD_BALANCER;
use crate::resource::outputs::{health_check, imported_tags};
use crate::resource::sources::{self, ingress, served_ports};
use crate::stack::{NodeId, Observed, Rule, Source};

/// How the product's CloudFormation template ends the descriptions of the rules for the instances' own addresses.
const HOST_OF_TEMPLATE: &str = " for CodeStream Host OS";

/// Completes the little that an import knows: arguments that AWS does not tell take their defaults, and the
/// sources of traffic are read off the security group's rules. The rest is `state`'s to fill in.
pub(super) fn completed(state: &Value, observed: &Observed) -> Value {
    let mut completed = resolve(state);
    completed.put("tags", imported_tags(observed));
    let balancer = observed.balancer(&NodeId::LoadBalancer);
    match observed.security_group(&NodeId::SecurityGroup(LOAD_BALANCER)) {
        Some(_) => put_sources(&mut completed, observed),
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

/// Reads the sources off the rules for the listeners: those of the instances' own addresses by their descriptions.
fn put_sources(state: &mut Value, observed: &Observed) {
    let rules = ingress(observed, LOAD_BALANCER, &served_ports(observed));
    let own = |rule: &&Rule| matches!(rule.source, Source::Cidr(_)) && is_of_host(&rule.description);
    let (of_host, of_clients): (Vec<&Rule>, Vec<&Rule>) = rules.into_iter().partition(own);
    sources::put_clients(state, of_clients);
    sources::put_blocks(state, "instance_cidr_blocks", of_host);
}

/// Whether a rule is described as this resource, or the product's CloudFormation template, describes those for the
/// instances' own addresses.
fn is_of_host(description: &str) -> bool {
    description.strip_prefix(HOST).is_some_and(|rest| rest.starts_with(" to "))
        || description.ends_with(HOST_OF_TEMPLATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_descriptions_that_are_really_written_are_those_of_the_host() {
        for (description, expected) in [
            ("The CodeStream host to the API", true),
            ("The CodeStream host to the redirect to HTTPS", true),
            ("API calls via HTTP for CodeStream Host OS", true),
            ("Broadcaster web sockets via HTTP for CodeStream Host OS", true),
            ("API calls via HTTPS for CodeStream Clients", false),
            ("Clients to the API", false),
            ("localhost", false),
            ("Ghost writers", false),
            ("", false),
        ] {
            assert_eq!(is_of_host(description), expected, "{description}");
        }
    }
}
