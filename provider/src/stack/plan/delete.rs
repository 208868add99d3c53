//! Planning the end of a stack.

use std::collections::BTreeSet;

use super::{Planner, after};
use crate::aws::Direction;
use crate::stack::step::{Change, StepId};
use crate::stack::{Node, NodeId, Ref, Rule, Source};

impl Planner<'_> {
    /// Deletes everything that is there: first what leads to the load balancer, then it, and last what it used.
    pub(super) fn delete(&mut self) {
        let mut gone = BTreeSet::new();
        let ours = self.observed.records().filter(|(_, record)| record.target == Ref::Of(NodeId::LoadBalancer));
        for (id, record) in ours {
            gone.insert(self.push(
                id,
                Change::DeleteRecord(record.clone()),
                BTreeSet::new(),
                "leads to the load balancer",
            ));
        }
        if self.observed.nodes.contains_key(&NodeId::LoadBalancer) {
            let step = self.push(&NodeId::LoadBalancer, Change::DeleteLoadBalancer, gone, "not wanted");
            // Its listeners go with it.
            gone = after([step]);
        }
        for (id, _) in self.observed.target_groups() {
            self.push(id, Change::DeleteTargetGroup, gone.clone(), "not wanted");
        }
        let mut unused = gone.clone();
        for (id, _) in self.observed.all_instances() {
            unused.insert(self.push(id, Change::TerminateInstance, gone.clone(), "not wanted"));
        }
        let caches: Vec<&NodeId> = self.observed.all_caches().map(|(id, _)| id).collect();
        let subnet_groups: Vec<&NodeId> = self.observed.subnet_groups().map(|(id, _)| id).collect();
        let unused = self.delete_caches(&caches, &subnet_groups, &unused);
        self.delete_security_groups(&unused);
    }

    fn delete_security_groups(&mut self, unused: &BTreeSet<StepId>) {
        let mut revoked = BTreeSet::new();
        for (id, existing) in &self.observed.nodes {
            if let Node::RulesIn(rules) = &existing.node {
                let change = Change::RevokeRules(rules.clone());
                revoked.insert(self.push(id, change, unused.clone(), "they refer to a group that goes"));
            }
        }
        for (id, group) in self.observed.security_groups() {
            // Groups that refer to each other would keep each other.
            for direction in [Direction::Ingress, Direction::Egress] {
                let refers = |rule: &&Rule| {
                    matches!(&rule.source, Source::Group(Ref::Of(other)) if other != id) && rule.direction == direction
                };
                let rules: BTreeSet<Rule> = group.rules.iter().filter(refers).cloned().collect();
                if !rules.is_empty() {
                    let change = Change::RevokeRules(rules);
                    revoked.insert(self.push(id, change, unused.clone(), "they refer to a group that goes"));
                }
            }
        }
        for (id, _) in self.observed.security_groups() {
            let released = self.push(
                id,
                Change::WaitInterfacesReleased,
                unused.clone(),
                "AWS releases them after the load balancer",
            );
            let before = revoked.iter().copied().chain([released]).collect();
            self.push(id, Change::DeleteSecurityGroup, before, "not wanted");
        }
    }
}
