//! Planning: the steps from the observed graph to the desired one. Pure; the same two graphs always give the
//! same plan.
//!
//! Order comes from the references between objects, and from two rules: nothing is deleted before its last
//! user was pointed elsewhere, and what cannot change in place is replaced by a new object that serves before
//! the old one goes.

mod cluster;
mod delete;
mod groups;
mod listeners;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::effect::default_rules;
use super::ownership::{self, Owner, PROVISIONING, RECORDS, Service};
use super::step::{Change, Plan, Step, StepId, When};
use super::{Desired, LoadBalancer, Node, NodeId, Observed, Ref, Rule, attributes};
use crate::aws::{Attributes, Direction, LoadBalancerState, Tags};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Bringing a stack into being: it carries the marker of an unfinished create until the last step.
    Create,
    /// Changing one that is there.
    Change,
}

/// The steps that make `observed` equal to `desired`. A desired graph without a load balancer is one to delete.
pub(crate) fn plan(desired: &Desired, observed: &Observed, owner: &Owner, purpose: Purpose) -> Plan {
    let repaired = listeners::with_plain_forwards(observed);
    let mut planner = Planner {
        desired,
        observed: repaired.as_ref().unwrap_or(observed),
        owner,
        purpose,
        steps: Vec::new(),
        creations: BTreeMap::new(),
        openings: BTreeSet::new(),
        warm_up: listeners::WarmUp::default(),
    };
    if desired.nodes.contains_key(&NodeId::LoadBalancer) {
        planner.repair_forwards(observed);
        planner.open_security_groups();
        planner.build_cache();
        planner.launch_missing();
        planner.build_load_balancer();
        planner.build_target_groups();
        planner.warm_up();
        planner.build_listeners();
        planner.wait_for_new_targets();
        planner.roll();
        planner.point_records();
        planner.retire();
        planner.retire_cluster();
        planner.settle_load_balancer();
        planner.close_security_groups();
        planner.tag();
        planner.protect();
        planner.forget_records();
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
    /// The step that brings a node into being, or to what the rest of the plan goes out from.
    creations: BTreeMap<NodeId, StepId>,
    /// What must be done before a new target can answer the load balancer's probes.
    openings: BTreeSet<StepId>,
    warm_up: listeners::WarmUp,
}

/// Whether an attribute protects against deletion.
fn protects(key: &str, value: &str) -> bool {
    key == "deletion_protection.enabled" && value == "true"
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
        // All are there before any rule is, because rules refer to groups.
        for (id, node) in &self.desired.nodes {
            if let (Node::SecurityGroup(group), None) = (node, self.observed.nodes.get(id)) {
                let arbiter = self.arbiter();
                self.push(id, Change::CreateSecurityGroup(group.clone()), arbiter, "not there yet");
            }
        }
        for (id, node) in &self.desired.nodes {
            let wanted = match node {
                Node::SecurityGroup(group) => &group.rules,
                Node::RulesIn(rules) => rules,
                _ => continue,
            };
            let there = self.rules_there(id);
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
            None if matches!(id, NodeId::SecurityGroup(_)) => default_rules(&self.observed.vpc),
            None => BTreeSet::new(),
        }
    }

    /// In a create, what must be there before anything else is made: of two creates of one stack at the same time, the
    /// one that does not get this far makes nothing.
    fn arbiter(&self) -> BTreeSet<StepId> {
        let group = self.creations.iter().find(|(id, _)| matches!(id, NodeId::SecurityGroup(_)));
        let first = group.or_else(|| self.creations.get_key_value(&NodeId::LoadBalancer));
        first.filter(|_| self.purpose == Purpose::Create).map(|(_, step)| *step).into_iter().collect()
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
        let mut changed = attributes::changed(&wanted.attributes, there.map_or(&unset, |there| &there.attributes));
        changed.retain(|key, value| !protects(key, value));
        if !changed.is_empty() {
            self.push(&id, Change::SetLoadBalancerAttributes(changed), BTreeSet::new(), "attributes differ");
        }
        if let Some(there) = there {
            self.place_load_balancer(wanted, there);
        }
        let active =
            self.observed.load_balancer.as_ref().is_some_and(|facts| {
                matches!(facts.state, LoadBalancerState::Active | LoadBalancerState::ActiveImpaired)
            });
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
        // As long as it speaks IPv6, it takes no subnet that does not.
        let mut before = BTreeSet::new();
        if wanted.ip_address_type == "ipv4" && there.ip_address_type != wanted.ip_address_type {
            let change = Change::SetIpAddressType(wanted.ip_address_type.clone());
            before = after([self.push(&id, change, BTreeSet::new(), "another address type")]);
            placed.extend(&before);
        }
        let first = self.enabled_zones(wanted, there);
        if first != there.subnet_ids {
            placed.insert(self.push(&id, Change::SetSubnets(first), before, "another place in the network"));
        }
        self.openings.extend(placed);
    }

    /// The subnets to have while targets move: those wanted, and those of the zones that are to be left, because AWS
    /// sends no traffic to a target in a zone without a subnet. A zone can have only one.
    fn enabled_zones(&self, wanted: &LoadBalancer, there: &LoadBalancer) -> BTreeSet<String> {
        let zone = |subnet: &String| self.observed.zones.get(subnet);
        let kept: BTreeSet<&String> = wanted.subnet_ids.iter().filter_map(zone).collect();
        let left = there.subnet_ids.iter().filter(|subnet| zone(subnet).is_some_and(|zone| !kept.contains(zone)));
        wanted.subnet_ids.iter().chain(left).cloned().collect()
    }

    /// Leaves the zones that are not wanted, once their targets have gone, and speaks IPv6 once all subnets do.
    fn settle_load_balancer(&mut self) {
        let id = NodeId::LoadBalancer;
        let (Some(wanted), Some(there)) = (self.desired.balancer(&id), self.observed.balancer(&id)) else { return };
        let mut before = BTreeSet::new();
        if self.enabled_zones(wanted, there) != wanted.subnet_ids {
            let moved = self.steps_of(|step| matches!(step.node, NodeId::TargetGroup(_)) || step.node == id);
            let change = Change::SetSubnets(wanted.subnet_ids.clone());
            before = after([self.push(&id, change, moved, "nothing is left in the other zones")]);
        } else if wanted.subnet_ids != there.subnet_ids {
            before = self.steps_of(|step| matches!(step.change, Change::SetSubnets(_)));
        }
        if wanted.ip_address_type != "ipv4" && there.ip_address_type != wanted.ip_address_type {
            let change = Change::SetIpAddressType(wanted.ip_address_type.clone());
            self.push(&id, change, before, "another address type");
        }
    }

    /// Protects the load balancer against deletion, when everything else is done: an apply that fails before must
    /// leave something that can be deleted.
    fn protect(&mut self) {
        let id = NodeId::LoadBalancer;
        let Some(wanted) = self.desired.balancer(&id) else { return };
        let there = self.observed.balancer(&id).map(|there| there.attributes.clone()).unwrap_or_default();
        let mut changed = attributes::changed(&wanted.attributes, &there);
        changed.retain(|key, value| protects(key, value));
        if !changed.is_empty() {
            let everything = self.steps_of(|_| true);
            let step =
                self.push(&id, Change::SetLoadBalancerAttributes(changed), everything, "everything else is done");
            self.tolerate(step);
        }
    }

    /// Points the DNS records at the load balancer once it serves, and drops those not wanted.
    fn point_records(&mut self) {
        let mut serving = self.waits();
        serving.extend(self.tell_of_records());
        for (id, wanted) in self.desired.records() {
            let (change, why) = match self.observed.record(id) {
                None => (Change::CreateRecord(wanted.clone()), "not there yet"),
                Some(there) if there == wanted && !self.creations.contains_key(&NodeId::LoadBalancer) => continue,
                Some(_) => (Change::SetRecord(wanted.clone()), "points elsewhere"),
            };
            let step = self.push(id, change, serving.clone(), why);
            self.tolerate(step);
        }
        let named = self.steps_of(|step| matches!(step.change, Change::CreateRecord(_)));
        for (id, there) in self.observed.records() {
            if !self.desired.nodes.contains_key(id) && there.target == Ref::Of(NodeId::LoadBalancer) {
                self.push(id, Change::DeleteRecord(there.clone()), named.clone(), "not wanted");
            }
        }
    }

    /// Has the load balancer tell of the records that an update is about to make, as it does in a create: nothing else
    /// tells of them when the update breaks off.
    fn tell_of_records(&mut self) -> Option<StepId> {
        let makes_any = self.desired.records().any(|(id, _)| self.observed.record(id).is_none());
        if self.purpose == Purpose::Create || !makes_any {
            return None;
        }
        let id = NodeId::LoadBalancer;
        let change = Change::Tag([id.clone()].into(), self.owner.records_tag(&self.desired.record_names()));
        let step = self.push(&id, change, self.waits(), "tells of records to come");
        self.tolerate(step);
        Some(step)
    }

    /// Revokes what is not wanted, once nothing that goes uses it any more, and deletes groups not wanted.
    fn close_security_groups(&mut self) {
        let moved: BTreeSet<StepId> = self.steps_of(|step| {
            matches!(
                step.node,
                NodeId::Listener(_)
                    | NodeId::TargetGroup(_)
                    | NodeId::Cache(_)
                    | NodeId::CacheSubnetGroup(_)
                    | NodeId::Instance(_)
            ) || matches!(step.change, Change::SetSecurityGroups(_))
        });
        let ids: BTreeSet<&NodeId> = self.desired.nodes.keys().chain(self.observed.nodes.keys()).collect();
        let (foreign, own): (Vec<&NodeId>, Vec<&NodeId>) = ids
            .into_iter()
            .filter(|id| matches!(id, NodeId::SecurityGroup(_) | NodeId::RulesIn(_)))
            .partition(|id| matches!(id, NodeId::RulesIn(_)));
        let mut revoked = BTreeSet::new();
        for id in foreign {
            let wanted = match self.desired.nodes.get(id) {
                Some(Node::RulesIn(rules)) => rules.clone(),
                _ => BTreeSet::new(),
            };
            revoked.extend(self.revoke_surplus(id, &wanted, &moved));
        }
        for id in own {
            if let Some(Node::SecurityGroup(group)) = self.desired.nodes.get(id) {
                self.revoke_surplus(id, &group.rules, &moved);
                continue;
            }
            let released = self.push(id, Change::WaitInterfacesReleased, moved.clone(), "not wanted");
            let before = revoked.iter().copied().chain([released]).collect();
            self.push(id, Change::DeleteSecurityGroup, before, "not wanted");
        }
    }

    /// Revokes the rules of a group that are not wanted; nobody uses those of a new group yet.
    fn revoke_surplus(&mut self, id: &NodeId, wanted: &BTreeSet<Rule>, moved: &BTreeSet<StepId>) -> BTreeSet<StepId> {
        let granted = self.steps_of(|step| step.node == *id && matches!(step.change, Change::AuthorizeRules(_)));
        let before = if self.creations.contains_key(id) { granted } else { moved.union(&granted).copied().collect() };
        let mut steps = BTreeSet::new();
        for direction in [Direction::Ingress, Direction::Egress] {
            let mut surplus = self.rules_there(id);
            surplus.retain(|rule| {
                rule.direction == direction && !wanted.iter().any(|new| new.covers(rule, &self.observed.vpc))
            });
            if !surplus.is_empty() {
                steps.insert(self.push(id, Change::RevokeRules(surplus), before.clone(), "traffic not wanted"));
            }
        }
        steps
    }

    /// Brings the tags of what was there and stays to what is wanted.
    fn tag(&mut self) {
        type Batches = BTreeMap<(Service, Tags), BTreeSet<NodeId>>;
        let (mut adding, mut removing) = (Batches::new(), Batches::new());
        for (id, node) in &self.desired.nodes {
            let Some(existing) = self.observed.nodes.get(id) else { continue };
            let made_anew = self.steps.iter().any(|step| step.node == *id && step.change.creates());
            if matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)) || made_anew {
                continue;
            }
            let service = Service::of(id);
            let wanted = self.owner.tags_of(&self.desired.tags, id, node);
            let missing = attributes::changed(&wanted, &existing.tags);
            let mut surplus = existing.tags.clone();
            // What goes in steps of its own, when everything else is done.
            let marks = |key: &String| {
                key == RECORDS && *id == NodeId::LoadBalancer || key == PROVISIONING && self.purpose == Purpose::Create
            };
            surplus.retain(|key, _| !(wanted.contains_key(key) || marks(key)));
            if !missing.is_empty() {
                adding.entry((service, missing)).or_default().insert(id.clone());
            }
            if !surplus.is_empty() {
                removing.entry((service, surplus)).or_default().insert(id.clone());
            }
        }
        // The rules in somebody else's group follow the tags of the rest; what tags they have is not looked up.
        let foreign = |batches: &Batches| -> Vec<(Tags, NodeId)> {
            let ids: Vec<&NodeId> = self
                .observed
                .nodes
                .keys()
                .filter(|id| matches!(id, NodeId::RulesIn(_)) && self.desired.nodes.contains_key(*id))
                .collect();
            let all: BTreeSet<&Tags> = batches.keys().map(|(_, tags)| tags).collect();
            all.iter().flat_map(|tags| ids.iter().map(|id| ((*tags).clone(), (*id).clone()))).collect()
        };
        // They come first: as long as the others' tags differ, it shows that there is something to do.
        let mut first = BTreeSet::new();
        for (batches, add) in [(foreign(&removing), false), (foreign(&adding), true)] {
            for (mut tags, id) in batches {
                tags.retain(|key, _| !key.starts_with(ownership::PREFIX));
                if !tags.is_empty() {
                    let nodes = [id.clone()].into();
                    let change = if add { Change::Tag(nodes, tags) } else { Change::Untag(nodes, tags) };
                    // A rule that goes cannot be tagged any more.
                    let settled = self.steps_of(|step| step.node == id);
                    first.insert(self.push(&id, change, settled, "tags differ"));
                }
            }
        }
        for ((_, tags), nodes) in removing {
            self.push_for(nodes, &first, |nodes| Change::Untag(nodes, tags), "tags not wanted");
        }
        for ((_, tags), nodes) in adding {
            self.push_for(nodes, &first, |nodes| Change::Tag(nodes, tags), "tags differ");
        }
    }

    /// Adds a step about several nodes, in the name of the first. What makes room for tags on one of them comes before
    /// it: AWS takes 50 on an object, which old and new ones together may exceed.
    fn push_for(
        &mut self,
        nodes: BTreeSet<NodeId>,
        after: &BTreeSet<StepId>,
        change: impl FnOnce(BTreeSet<NodeId>) -> Change,
        why: &'static str,
    ) {
        if let Some(first) = nodes.first().cloned() {
            let settled = self.steps_of(|step| match &step.change {
                Change::Untag(untagged, _) => !untagged.is_disjoint(&nodes),
                _ => matches!(step.node, NodeId::SecurityGroup(_)) && nodes.contains(&step.node),
            });
            self.push(&first, change(nodes), after.union(&settled).copied().collect(), why);
        }
    }

    /// Has the load balancer tell of records no more, when everything else is done.
    fn forget_records(&mut self) {
        let id = NodeId::LoadBalancer;
        let told = self.observed.nodes.get(&id).is_some_and(|there| there.tags.contains_key(RECORDS));
        let tells = |step: &Step| matches!(&step.change, Change::Tag(_, tags) if tags.contains_key(RECORDS));
        if told || self.steps.iter().any(tells) {
            let change = Change::Untag([id.clone()].into(), self.owner.records_tag(&self.desired.record_names()));
            let everything = self.steps_of(|_| true);
            let step = self.push(&id, change, everything, "everything is there");
            self.tolerate(step);
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
        let step = self.push(&NodeId::LoadBalancer, Change::Finish(nodes), everything, "everything is there");
        self.tolerate(step);
    }

    /// Lets a step run although targets did not become healthy, when that is tolerated. Where a new group replaces an
    /// old one it never is.
    fn tolerate(&mut self, id: StepId) {
        if !self.desired.tolerates_unhealthy {
            return;
        }
        let waits: BTreeSet<StepId> = self.waits().difference(&self.warm_up.waits).copied().collect();
        let step = &mut self.steps[id];
        if let When::After(all) = &step.when {
            let (ended, done): (BTreeSet<StepId>, BTreeSet<StepId>) = all.iter().partition(|id| waits.contains(id));
            if !ended.is_empty() {
                step.when = When::Despite(done, ended);
            }
        }
    }

    /// The steps that answer to `wanted`, those that only put an old service back left out.
    fn steps_of(&self, wanted: impl Fn(&Step) -> bool) -> BTreeSet<StepId> {
        self.steps
            .iter()
            .enumerate()
            .filter(|(_, step)| !matches!(step.when, When::Failed(..)) && wanted(step))
            .map(|(id, _)| id)
            .collect()
    }

    /// The steps that wait for targets to be healthy.
    fn waits(&self) -> BTreeSet<StepId> {
        self.steps_of(|step| matches!(step.change, Change::WaitHealthy(_)))
    }
}
