//! Planning: the steps from the observed graph to the desired one. Pure; the same two graphs always give the
//! same plan.
//!
//! Order comes from the references between objects, and from two rules: nothing is deleted before its last
//! user was pointed elsewhere, and what cannot change in place is replaced by a new object that serves before
//! the old one goes.

mod delete;
mod groups;
mod listeners;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::ownership::{self, Owner, PROVISIONING};
use super::step::{Change, Plan, Step, StepId, When};
use super::{Desired, LoadBalancer, Node, NodeId, Observed, Rule, attributes};
use crate::aws::{Attributes, Direction, LoadBalancerState, Tags};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Bringing a stack into being: objects carry the marker of an unfinished create until the last step.
    Create,
    /// Changing one that is there.
    Change,
}

/// The steps that make `observed` equal to `desired`. A desired graph without a load balancer is one to delete.
pub(crate) fn plan(desired: &Desired, observed: &Observed, owner: &Owner, purpose: Purpose) -> Plan {
    let mut planner = Planner {
        desired,
        observed,
        owner,
        purpose,
        steps: Vec::new(),
        creations: BTreeMap::new(),
        openings: BTreeSet::new(),
        warm_up: listeners::WarmUp::default(),
    };
    if desired.nodes.contains_key(&NodeId::LoadBalancer) {
        planner.open_security_groups();
        planner.build_target_groups();
        planner.build_load_balancer();
        planner.warm_up();
        planner.build_listeners();
        planner.wait_for_new_targets();
        planner.point_records();
        planner.retire();
        planner.close_security_groups();
        planner.tag();
        planner.finish();
    } else {
        planner.delete();
    }
    Plan { steps: planner.steps }
}

/// A plan in the making.
struct Planner<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    owner: &'a Owner,
    purpose: Purpose,
    steps: Vec<Step>,
    /// The step that brings a node into being.
    creations: BTreeMap<NodeId, StepId>,
    /// What must be done before a new target can answer the load balancer's probes.
    openings: BTreeSet<StepId>,
    warm_up: listeners::WarmUp,
}

/// One step, or several, as what another comes after.
fn after<const N: usize>(steps: [StepId; N]) -> BTreeSet<StepId> {
    BTreeSet::from(steps)
}

impl Planner<'_> {
    /// Adds a step; it comes after `after`, and after the creation of everything it refers to.
    fn push(&mut self, node: &NodeId, change: Change, after: BTreeSet<StepId>, why: &'static str) -> StepId {
        let mut references = change.references();
        if !change.creates() {
            references.insert(node.clone());
        }
        let created = references.iter().filter_map(|reference| self.creations.get(reference).copied());
        let when = When::After(after.into_iter().chain(created).collect());
        let id = self.steps.len();
        if change.creates() {
            self.creations.insert(node.clone(), id);
        }
        self.steps.push(Step { node: node.clone(), change, when, why });
        id
    }

    /// Creates security groups, and grants what is missing in those that are there. Nothing is revoked yet.
    fn open_security_groups(&mut self) {
        for (id, node) in &self.desired.nodes {
            let (wanted, group) = match node {
                Node::SecurityGroup(group) => (&group.rules, Some(group)),
                Node::RulesIn(rules) => (rules, None),
                _ => continue,
            };
            let there = self.rules_there(id);
            if let (Some(group), None) = (group, self.observed.nodes.get(id)) {
                self.push(id, Change::CreateSecurityGroup(group.clone()), BTreeSet::new(), "not there yet");
            }
            for direction in [Direction::Ingress, Direction::Egress] {
                let of_direction = |rule: &&Rule| rule.direction == direction;
                let missing: BTreeSet<Rule> = wanted
                    .iter()
                    .filter(of_direction)
                    .filter(|rule| !there.iter().any(|old| old.key() == rule.key()))
                    .cloned()
                    .collect();
                let renamed: BTreeSet<Rule> = wanted
                    .iter()
                    .filter(of_direction)
                    .filter(|rule| {
                        there.iter().any(|old| old.key() == rule.key() && old.description != rule.description)
                    })
                    .cloned()
                    .collect();
                if !missing.is_empty() {
                    let step =
                        self.push(id, Change::AuthorizeRules(missing), BTreeSet::new(), "traffic to let through");
                    self.openings.insert(step);
                }
                if !renamed.is_empty() {
                    self.push(id, Change::DescribeRules(renamed), BTreeSet::new(), "another description");
                }
            }
        }
    }

    /// The rules of a group as observed; those of a new one are AWS's default.
    fn rules_there(&self, id: &NodeId) -> BTreeSet<Rule> {
        match self.observed.nodes.get(id).map(|existing| &existing.node) {
            Some(Node::SecurityGroup(group)) => group.rules.clone(),
            Some(Node::RulesIn(rules)) => rules.clone(),
            Some(_) => BTreeSet::new(),
            None if matches!(id, NodeId::SecurityGroup(_)) => [super::effect::default_egress()].into(),
            None => BTreeSet::new(),
        }
    }

    /// Creates the load balancer, or changes what differs.
    fn build_load_balancer(&mut self) {
        let id = NodeId::LoadBalancer;
        let Some(wanted) = self.desired.balancer(&id) else { return };
        let there = self.observed.balancer(&id);
        let unset = attributes::normalise(attributes::LOAD_BALANCER, &Attributes::new());
        if there.is_none() {
            self.push(&id, Change::CreateLoadBalancer(wanted.clone()), BTreeSet::new(), "not there yet");
        }
        let changed = attributes::changed(&wanted.attributes, there.map_or(&unset, |there| &there.attributes));
        if !changed.is_empty() {
            self.push(&id, Change::SetLoadBalancerAttributes(changed), BTreeSet::new(), "attributes differ");
        }
        if let Some(there) = there {
            self.place_load_balancer(wanted, there);
        }
        let active =
            self.observed.load_balancer.as_ref().is_some_and(|facts| facts.state != LoadBalancerState::Provisioning);
        if !active {
            let step = self.push(&id, Change::WaitActive, BTreeSet::new(), "AWS is setting it up");
            self.openings.insert(step);
        }
    }

    fn place_load_balancer(&mut self, wanted: &LoadBalancer, there: &LoadBalancer) {
        let id = NodeId::LoadBalancer;
        let mut placed = BTreeSet::new();
        if wanted.security_groups != there.security_groups {
            let change = Change::SetSecurityGroups(wanted.security_groups.clone());
            placed.insert(self.push(&id, change, self.openings.clone(), "other security groups"));
        }
        // Dual-stack needs subnets with IPv6, so the subnets come first; back to IPv4 they come last.
        let to_ipv4 = wanted.ip_address_type == "ipv4";
        let kind = (wanted.ip_address_type != there.ip_address_type)
            .then(|| Change::SetIpAddressType(wanted.ip_address_type.clone()));
        let subnets = (wanted.subnet_ids != there.subnet_ids).then(|| Change::SetSubnets(wanted.subnet_ids.clone()));
        let ordered = if to_ipv4 { [kind, subnets] } else { [subnets, kind] };
        let mut before = BTreeSet::new();
        for change in ordered.into_iter().flatten() {
            let step = self.push(&id, change, before, "another place in the network");
            before = after([step]);
            placed.insert(step);
        }
        self.openings.extend(placed);
    }

    /// Points the DNS records at the load balancer once it serves, and drops those not wanted.
    fn point_records(&mut self) {
        let serving = self.waits();
        for (id, wanted) in self.desired.records() {
            match self.observed.record(id) {
                None => {
                    self.push(id, Change::CreateRecord(wanted.clone()), serving.clone(), "not there yet");
                }
                Some(there) if there == wanted => {}
                Some(there) if (&there.zone_id, &there.name) == (&wanted.zone_id, &wanted.name) => {
                    self.push(id, Change::SetRecord(wanted.clone()), serving.clone(), "points elsewhere");
                }
                Some(there) => {
                    let step = self.push(id, Change::CreateRecord(wanted.clone()), serving.clone(), "another name");
                    self.push(id, Change::DeleteRecord(there.clone()), after([step]), "another name");
                }
            }
        }
        for (id, there) in self.observed.records() {
            if !self.desired.nodes.contains_key(id) {
                self.push(id, Change::DeleteRecord(there.clone()), BTreeSet::new(), "not wanted");
            }
        }
    }

    /// Revokes what is not wanted, once nothing that goes uses it any more, and deletes groups not wanted.
    fn close_security_groups(&mut self) {
        let moved: BTreeSet<StepId> = self.steps_of(|step| {
            matches!(step.node, NodeId::Listener(_) | NodeId::TargetGroup(_))
                || matches!(step.change, Change::SetSecurityGroups(_))
        });
        let ids: BTreeSet<&NodeId> = self.desired.nodes.keys().chain(self.observed.nodes.keys()).collect();
        for id in ids {
            if !matches!(id, NodeId::SecurityGroup(_) | NodeId::RulesIn(_)) {
                continue;
            }
            let wanted = match self.desired.nodes.get(id) {
                Some(Node::SecurityGroup(group)) => group.rules.clone(),
                Some(Node::RulesIn(rules)) => rules.clone(),
                _ if matches!(id, NodeId::SecurityGroup(_)) => {
                    let released = self.push(id, Change::WaitInterfacesReleased, moved.clone(), "not wanted");
                    self.push(id, Change::DeleteSecurityGroup, after([released]), "not wanted");
                    continue;
                }
                _ => BTreeSet::new(),
            };
            let granted = self.steps_of(|step| step.node == *id && matches!(step.change, Change::AuthorizeRules(_)));
            let new = self.creations.contains_key(id);
            for direction in [Direction::Ingress, Direction::Egress] {
                let surplus: BTreeSet<Rule> = self
                    .rules_there(id)
                    .into_iter()
                    .filter(|rule| rule.direction == direction && !wanted.iter().any(|new| new.key() == rule.key()))
                    .collect();
                if !surplus.is_empty() {
                    let before = if new { granted.clone() } else { moved.union(&granted).copied().collect() };
                    self.push(id, Change::RevokeRules(surplus), before, "traffic not wanted");
                }
            }
        }
    }

    /// Brings the tags of what was there and stays to what is wanted.
    fn tag(&mut self) {
        type Batches = BTreeMap<(bool, Tags), BTreeSet<NodeId>>;
        let (mut adding, mut removing) = (Batches::new(), Batches::new());
        for (id, node) in &self.desired.nodes {
            let Some(existing) = self.observed.nodes.get(id) else { continue };
            if matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)) {
                continue;
            }
            let ec2 = matches!(id, NodeId::SecurityGroup(_));
            let wanted = self.owner.tags(&self.desired.tags, ownership::role(id, node));
            let missing = attributes::changed(&wanted, &existing.tags);
            let mut surplus = existing.tags.clone();
            surplus
                .retain(|key, _| !(wanted.contains_key(key) || self.purpose == Purpose::Create && key == PROVISIONING));
            if !missing.is_empty() {
                adding.entry((ec2, missing)).or_default().insert(id.clone());
            }
            if !surplus.is_empty() {
                removing.entry((ec2, surplus)).or_default().insert(id.clone());
            }
        }
        for ((_, tags), nodes) in adding {
            self.push_for(nodes, |nodes| Change::Tag(nodes, tags), "tags differ");
        }
        for ((_, tags), nodes) in removing {
            self.push_for(nodes, |nodes| Change::Untag(nodes, tags), "tags not wanted");
        }
    }

    /// Adds a step about several nodes, in the name of the first.
    fn push_for(
        &mut self,
        nodes: BTreeSet<NodeId>,
        change: impl FnOnce(BTreeSet<NodeId>) -> Change,
        why: &'static str,
    ) {
        if let Some(first) = nodes.first().cloned() {
            self.push(&first, change(nodes), BTreeSet::new(), why);
        }
    }

    /// Removes the marker of an unfinished create, when everything else is done.
    fn finish(&mut self) {
        if self.purpose != Purpose::Create {
            return;
        }
        let nodes: BTreeSet<NodeId> = self
            .desired
            .nodes
            .keys()
            .filter(|id| !matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)))
            .cloned()
            .collect();
        let everything = self.steps_of(|_| true);
        self.push(&NodeId::LoadBalancer, Change::Finish(nodes), everything, "everything is there");
    }

    /// The steps that answer to `wanted`, those that only put an old service back left out.
    fn steps_of(&self, wanted: impl Fn(&Step) -> bool) -> BTreeSet<StepId> {
        self.steps
            .iter()
            .enumerate()
            .filter(|(_, step)| matches!(step.when, When::After(_)) && wanted(step))
            .map(|(id, _)| id)
            .collect()
    }

    /// The steps that wait for targets to be healthy.
    fn waits(&self) -> BTreeSet<StepId> {
        self.steps_of(|step| matches!(step.change, Change::WaitHealthy(_)))
    }
}
