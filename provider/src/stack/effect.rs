//! What a step leaves behind: the observed graph after it. State is built from this, so that everything that
//! exists is in it however an apply ends.

use std::collections::BTreeSet;

use super::cluster::{CacheFacts, InstanceFacts};
use super::ownership::PROVISIONING;
use super::step::{Change, Step};
use super::{
    Existing, LoadBalancerFacts, Node, NodeId, Observed, Rule, SecurityGroup, Source, TargetGroup, attributes,
};
use crate::aws::{
    Attributes, CacheSettings, Direction, LoadBalancerInfo, LoadBalancerState, Tags, TargetHealth, VpcInfo,
};

/// What a step learnt from AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Nothing but that it is done.
    Done,
    /// The identifier of what it created, and the tags it gave it.
    Created(String, Tags),
    /// A load balancer as created, with the tags given to it, or as waited for.
    LoadBalancer(Box<LoadBalancerInfo>, Tags),
    /// The health of a group's targets.
    Health(Vec<TargetHealth>),
    /// A cache that has become available.
    Cache(CacheFacts),
    /// An instance that has come to run.
    Instance(InstanceFacts),
}

impl From<&LoadBalancerInfo> for LoadBalancerFacts {
    fn from(info: &LoadBalancerInfo) -> Self {
        Self {
            dns_name: info.dns_name.clone(),
            hosted_zone_id: info.hosted_zone_id.clone(),
            state: info.state.clone(),
            state_reason: info.state_reason.clone(),
        }
    }
}

/// The rules that AWS puts into every new security group: all egress, over IPv6 too when the VPC has that.
pub(crate) fn default_rules(vpc: &VpcInfo) -> BTreeSet<Rule> {
    let all = |block: &str| Rule {
        direction: Direction::Egress,
        protocol: "-1".to_owned(),
        from_port: -1,
        to_port: -1,
        source: Source::Cidr(block.to_owned()),
        description: String::new(),
    };
    let ipv6 = (!vpc.ipv6_cidr_blocks.is_empty()).then_some("::/0");
    ["0.0.0.0/0"].into_iter().chain(ipv6).map(all).collect()
}

impl Observed {
    /// Takes in what a step that succeeded has changed.
    pub(crate) fn take_in(&mut self, step: &Step, output: Output) {
        match output {
            Output::Created(id, tags) => self.record_creation(step, id, tags),
            Output::LoadBalancer(info, tags) => self.record_balancer(step, &info, tags),
            Output::Health(health) => {
                self.health.insert(step.node.clone(), health);
            }
            Output::Cache(facts) => {
                self.caches.insert(step.node.clone(), facts);
            }
            Output::Instance(facts) => {
                self.instances.insert(step.node.clone(), facts);
            }
            Output::Done => self.record_change(step),
        }
    }

    fn record_creation(&mut self, step: &Step, id: String, tags: Tags) {
        let node = match &step.change {
            Change::CreateSecurityGroup(group) => {
                Node::SecurityGroup(SecurityGroup { rules: default_rules(&self.vpc), ..group.clone() })
            }
            Change::CreateTargetGroup(group) => Node::TargetGroup(TargetGroup {
                targets: [].into(),
                attributes: attributes::normalise(attributes::TARGET_GROUP, &Attributes::new()),
                ..group.clone()
            }),
            Change::CreateListener(listener) => {
                Node::Listener(super::Listener { additional_certificate_arns: [].into(), ..listener.clone() })
            }
            Change::CreateCacheSubnetGroup(group) => Node::CacheSubnetGroup(group.clone()),
            Change::CreateCache(cache) => Node::Cache(cache.clone()),
            Change::LaunchInstance(instance) => Node::Instance(instance.clone()),
            _ => return,
        };
        self.nodes.insert(step.node.clone(), Existing { id, node, tags });
    }

    fn record_balancer(&mut self, step: &Step, info: &LoadBalancerInfo, tags: Tags) {
        if let Change::CreateLoadBalancer(balancer) = &step.change {
            let attributes = attributes::normalise(attributes::LOAD_BALANCER, &Attributes::new());
            let node = Node::LoadBalancer(super::LoadBalancer { attributes, ..balancer.clone() });
            self.nodes.insert(NodeId::LoadBalancer, Existing { id: info.arn.clone(), node, tags });
        }
        self.load_balancer = Some(info.into());
    }

    fn record_change(&mut self, step: &Step) {
        let node = &step.node;
        match &step.change {
            Change::AuthorizeRules(_) | Change::DescribeRules(_) | Change::RevokeRules(_) => self.record_rules(step),
            Change::SetHealthCheck(check) => self.with_group(node, |group| group.health_check = check.clone()),
            Change::SetTargetGroupAttributes(changed) => self.with_group(node, |group| {
                group.attributes.extend(changed.clone());
                group.attributes = attributes::normalise(attributes::TARGET_GROUP, &group.attributes);
            }),
            Change::RegisterTargets(targets) => {
                self.with_group(node, |group| group.targets.extend(targets.iter().cloned()));
            }
            Change::DeregisterTargets(targets) => {
                self.with_group(node, |group| group.targets.retain(|target| !targets.contains(target)));
            }
            Change::SetLoadBalancerAttributes(_)
            | Change::SetSubnets(_)
            | Change::SetSecurityGroups(_)
            | Change::SetIpAddressType(_) => {
                self.record_balancer_settings(&step.change);
            }
            Change::WaitActive => {
                if let Some(facts) = &mut self.load_balancer {
                    facts.state = LoadBalancerState::Active;
                }
            }
            Change::DeleteLoadBalancer => {
                self.nodes.retain(|id, _| !matches!(id, NodeId::LoadBalancer | NodeId::Listener(_)));
                self.load_balancer = None;
                self.foreign.clear();
            }
            Change::DeleteSecurityGroup
            | Change::DeleteTargetGroup
            | Change::DeleteListener
            | Change::DeleteRecord(_)
            | Change::DeleteCacheSubnetGroup
            | Change::WaitCacheDeleted
            | Change::TerminateInstance => {
                self.nodes.remove(node);
                self.health.remove(node);
                self.caches.remove(node);
                self.instances.remove(node);
            }
            Change::SetCacheSubnets(subnets) => {
                if let Some(group) = self.subnet_group_mut(node) {
                    group.subnet_ids.clone_from(subnets);
                }
            }
            Change::SetCache(settings) => {
                if let Some(cache) = self.cache_mut(node) {
                    let replica_count = cache.settings.replica_count;
                    cache.settings = CacheSettings { replica_count, ..settings.clone() };
                }
            }
            Change::SetTransitEncryption(wanted) => {
                if let Some(cache) = self.cache_mut(node) {
                    cache.transit_encryption = *wanted;
                }
            }
            Change::SetCacheSecurityGroups(groups) => {
                if let Some(cache) = self.cache_mut(node) {
                    cache.security_groups.clone_from(groups);
                }
            }
            Change::SetReplicas(_, count) => {
                if let Some(cache) = self.cache_mut(node) {
                    cache.settings.replica_count = *count;
                }
            }
            Change::SetMetadataOptions(options) => {
                if let Some(instance) = self.instance_mut(node) {
                    instance.metadata = *options;
                }
            }
            Change::ModifyListener(_) | Change::AddCertificates(_) | Change::RemoveCertificates(_) => {
                self.record_listener(step);
            }
            Change::CreateRecord(record) | Change::SetRecord(record) => {
                let existing = Existing { id: String::new(), node: Node::Record(record.clone()), tags: Tags::new() };
                self.nodes.insert(node.clone(), existing);
            }
            Change::Tag(nodes, tags) => self.with_tags(nodes, |there| there.extend(tags.clone())),
            Change::Untag(nodes, tags) => self.with_tags(nodes, |there| there.retain(|key, _| !tags.contains_key(key))),
            Change::Finish(nodes) => self.with_tags(nodes, |there| {
                there.remove(PROVISIONING);
            }),
            _ => {}
        }
    }

    fn record_rules(&mut self, step: &Step) {
        if let NodeId::RulesIn(group) = &step.node {
            let empty = || Existing { id: group.clone(), node: Node::RulesIn([].into()), tags: Tags::new() };
            self.nodes.entry(step.node.clone()).or_insert_with(empty);
        }
        let vpc = self.vpc.clone();
        let rules = match self.nodes.get_mut(&step.node).map(|existing| &mut existing.node) {
            Some(Node::SecurityGroup(group)) => &mut group.rules,
            Some(Node::RulesIn(rules)) => rules,
            _ => return,
        };
        match &step.change {
            Change::AuthorizeRules(changed) | Change::DescribeRules(changed) => {
                rules.retain(|rule| !changed.iter().any(|new| new.covers(rule, &vpc)));
                rules.extend(changed.iter().cloned());
            }
            Change::RevokeRules(changed) => rules.retain(|rule| !changed.iter().any(|old| old.key() == rule.key())),
            _ => {}
        }
        if rules.is_empty() && matches!(step.node, NodeId::RulesIn(_)) {
            self.nodes.remove(&step.node);
        }
    }

    fn record_balancer_settings(&mut self, change: &Change) {
        let Some(balancer) = self.balancer_mut(&NodeId::LoadBalancer) else { return };
        match change {
            Change::SetLoadBalancerAttributes(changed) => {
                balancer.attributes.extend(changed.clone());
                balancer.attributes = attributes::normalise(attributes::LOAD_BALANCER, &balancer.attributes);
            }
            Change::SetSubnets(subnets) => balancer.subnet_ids.clone_from(subnets),
            Change::SetSecurityGroups(groups) => balancer.security_groups.clone_from(groups),
            Change::SetIpAddressType(kind) => balancer.ip_address_type.clone_from(kind),
            _ => {}
        }
    }

    fn record_listener(&mut self, step: &Step) {
        let Some(listener) = self.listener_mut(&step.node) else { return };
        match &step.change {
            Change::ModifyListener(settings) => {
                // AWS drops the additional certificates with the protocol, and keeps them otherwise.
                let kept =
                    if settings.protocol == "HTTPS" { listener.additional_certificate_arns.clone() } else { [].into() };
                *listener = super::Listener { additional_certificate_arns: kept, ..settings.clone() };
            }
            Change::AddCertificates(arns) => listener.additional_certificate_arns.extend(arns.iter().cloned()),
            Change::RemoveCertificates(arns) => listener.additional_certificate_arns.retain(|arn| !arns.contains(arn)),
            _ => {}
        }
    }

    fn with_group(&mut self, id: &NodeId, change: impl FnOnce(&mut TargetGroup)) {
        if let Some(group) = self.target_group_mut(id) {
            change(group);
        }
    }

    fn with_tags(&mut self, nodes: &BTreeSet<NodeId>, change: impl Fn(&mut Tags)) {
        // What tags the rules in somebody else's group have is not kept.
        for id in nodes.iter().filter(|id| !matches!(id, NodeId::RulesIn(_))) {
            if let Some(existing) = self.nodes.get_mut(id) {
                change(&mut existing.tags);
            }
        }
    }
}
