//! Planning a cluster: the cache before the instances, and instances that replace others one at a time.
//!
//! Each newcomer is healthy before the one it replaces is drained and terminated, so there are never fewer healthy
//! instances than wanted. One that does not become healthy goes again, and the rest stay as they are. Where the target
//! group itself is replaced, all instances are: the new ones serve the new group before traffic moves.

use std::collections::BTreeSet;

use super::{Planner, after};
use crate::aws::{CacheSettings, TransitEncryption};
use crate::stack::cluster::{Cache, Instance};
use crate::stack::step::{Change, Step, StepId, When};
use crate::stack::{NodeId, Ref};

impl<'a> Planner<'a> {
    /// Creates the cache, or changes what differs. It is available before anything refers to it.
    pub(super) fn build_cache(&mut self) {
        let arbiter = self.arbiter();
        for (id, wanted) in self.desired.subnet_groups() {
            match self.observed.subnet_group(id) {
                None => {
                    let change = Change::CreateCacheSubnetGroup(wanted.clone());
                    self.push(id, change, arbiter.clone(), "not there yet");
                }
                // A cache stays where it is, so its subnets are kept.
                Some(there) if !wanted.subnet_ids.is_subset(&there.subnet_ids) => {
                    let all = wanted.subnet_ids.union(&there.subnet_ids).cloned().collect();
                    self.push(id, Change::SetCacheSubnets(all), BTreeSet::new(), "other subnets");
                }
                Some(_) => {}
            }
        }
        for (id, wanted) in self.desired.all_caches() {
            let facts = self.observed.caches.get(id);
            match self.observed.cache(id) {
                None => {
                    self.push(id, Change::CreateCache(wanted.clone()), arbiter.clone(), "not there yet");
                    self.wait_for_cache(id);
                }
                Some(_) if facts.is_some_and(|facts| facts.deleting || facts.failed) => {
                    let mut before = arbiter.clone();
                    if facts.is_some_and(|facts| facts.failed) {
                        before = after([self.push(id, Change::DeleteCache, before, "it could not be set up")]);
                    }
                    let gone = self.push(id, Change::WaitCacheDeleted, before, "it is being deleted");
                    self.push(id, Change::CreateCache(wanted.clone()), after([gone]), "not there any more");
                    self.wait_for_cache(id);
                }
                Some(there) => self.change_cache(id, wanted, there),
            }
        }
    }

    /// A replica must be there before it can take over, and one that may have to take over cannot go.
    fn change_cache(&mut self, id: &NodeId, wanted: &Cache, there: &Cache) {
        if self.observed.caches.get(id).is_none_or(|facts| !facts.available) {
            self.wait_for_cache(id);
        }
        let (replicas, before) = (wanted.settings.replica_count, there.settings.replica_count);
        if replicas > before {
            self.push(id, Change::SetReplicas(before, replicas), BTreeSet::new(), "too few replicas");
            self.wait_for_cache(id);
        }
        // Where AWS does not tell the version and the parameter group, they are taken to be right.
        let told = |there: Option<&String>, wanted: Option<&String>| there.and(wanted).cloned();
        let (new, old) = (&wanted.settings, &there.settings);
        let comparable = CacheSettings {
            replica_count: before,
            engine_version: told(old.engine_version.as_ref(), new.engine_version.as_ref()),
            parameter_group: told(old.parameter_group.as_ref(), new.parameter_group.as_ref()),
            ..new.clone()
        };
        // AWS takes another node type and another version in two calls only.
        if old.node_type != comparable.node_type && old.engine_version != comparable.engine_version {
            let first = CacheSettings { node_type: old.node_type.clone(), ..new.clone() };
            self.push(id, Change::SetCache(first), BTreeSet::new(), "another version");
            self.wait_for_cache(id);
        }
        if *old != comparable {
            self.push(id, Change::SetCache(new.clone()), BTreeSet::new(), "settings differ");
            self.wait_for_cache(id);
        }
        if replicas < before {
            self.push(id, Change::SetReplicas(before, replicas), BTreeSet::new(), "too many replicas");
            self.wait_for_cache(id);
        }
        self.encrypt_transit(id, wanted.transit_encryption, there.transit_encryption);
        // Where AWS does not tell the groups, they are taken to be right.
        if !there.security_groups.is_empty() && there.security_groups != wanted.security_groups {
            let change = Change::SetCacheSecurityGroups(wanted.security_groups.clone());
            self.push(id, change, BTreeSet::new(), "other security groups");
            self.wait_for_cache(id);
        }
    }

    /// Only somebody's hand can have changed it: a cache that is wanted otherwise is another one. AWS takes the way by
    /// `preferred` and no other.
    fn encrypt_transit(&mut self, id: &NodeId, wanted: TransitEncryption, there: TransitEncryption) {
        if wanted == there {
            return;
        }
        let between = (there != TransitEncryption::Preferred).then_some(TransitEncryption::Preferred);
        for step in between.into_iter().chain([wanted]) {
            self.push(id, Change::SetTransitEncryption(step), BTreeSet::new(), "encryption in transit differs");
            self.wait_for_cache(id);
        }
    }

    /// What refers to the cache from now on comes after this wait.
    fn wait_for_cache(&mut self, id: &NodeId) {
        let changed = self.steps_of(|step| step.node == *id);
        let step = self.push(id, Change::WaitCacheAvailable, changed, "ElastiCache takes its time");
        self.creations.insert(id.clone(), step);
    }

    /// Whether instances are replaced within a target group that stays: it is there, and traffic does not go to another
    /// one yet.
    fn rolls(&self) -> bool {
        let wanted = |id: &NodeId| self.desired.target_group(id).is_some();
        self.desired.target_groups().all(|(id, _)| self.observed.target_group(id).is_some())
            && !self.observed.target_groups().any(|(id, _)| !wanted(id) && self.serves(id))
    }

    /// The instances that are there and not wanted.
    fn surplus(&self) -> impl Iterator<Item = (&'a NodeId, &'a Instance)> + use<'a> {
        let desired = self.desired;
        self.observed.all_instances().filter(move |(id, _)| !desired.nodes.contains_key(id))
    }

    /// Puts right what changes of an instance in place, and launches what is missing, but for those that replace others one
    /// at a time.
    pub(super) fn launch_missing(&mut self) {
        for (id, wanted) in self.desired.all_instances() {
            if self.observed.instances.get(id).is_some_and(|facts| facts.starting) {
                let running = self.push(id, Change::WaitRunning, BTreeSet::new(), "it is starting");
                self.creations.insert(id.clone(), running);
            }
            if self.observed.instance(id).is_some_and(|there| there.metadata != wanted.metadata) {
                let change = Change::SetMetadataOptions(wanted.metadata);
                self.push(id, change, BTreeSet::new(), "metadata options differ");
            }
            let replaces = self.surplus().any(|(_, old)| old.slot == wanted.slot);
            if self.observed.nodes.contains_key(id) || replaces && self.rolls() {
                continue;
            }
            self.launch(id, wanted, BTreeSet::new());
        }
    }

    /// Redis must be available and let it in before an instance boots.
    fn launch(&mut self, id: &NodeId, wanted: &Instance, before: BTreeSet<StepId>) {
        let doors = self.steps_of(|step| matches!(step.change, Change::AuthorizeRules(_)));
        let before = before.into_iter().chain(doors).chain(self.arbiter()).collect();
        let launched = self.push(id, Change::LaunchInstance(wanted.clone()), before, "not there yet");
        let running = self.push(id, Change::WaitRunning, after([launched]), "it is starting");
        self.creations.insert(id.clone(), running);
    }

    /// Whether a target is there by now, or about to be.
    pub(super) fn is_present(&self, target: &Ref) -> bool {
        match target {
            Ref::Of(id) => self.observed.nodes.contains_key(id) || self.creations.contains_key(id),
            Ref::Known(_) => true,
        }
    }

    /// Replaces instances one at a time, and then drops those not wanted.
    pub(super) fn roll(&mut self) {
        let Some((group, _)) = self.desired.target_groups().next().filter(|_| self.rolls()) else { return };
        let (probed, mut before) = (self.probed(group), self.waits());
        for (id, wanted) in self.desired.all_instances() {
            let olds: Vec<&NodeId> =
                self.surplus().filter(|(_, old)| old.slot == wanted.slot).map(|(old, _)| old).collect();
            if olds.is_empty() {
                continue;
            }
            let target = Ref::Of(id.clone());
            let launched = !self.is_present(&target);
            // One that serves must stay whatever fails before its turn, and so must one whose old one has left already.
            let serves = self.observed.is_healthy(group, &target);
            if !launched && !serves && olds.iter().any(|old| self.is_registered(group, old)) {
                let change = Change::WaitHealthy([target].into());
                let wait = self.push(group, change, probed.clone(), "it stays if it serves before its turn");
                self.warm_up.waits.insert(wait);
                self.put_newcomer_back(group, id, wait);
                before.insert(wait);
            }
            let wait = self.bring_in(group, id, wanted, before);
            if launched {
                self.put_newcomer_back(group, id, wait);
            }
            before = after([wait]);
            for old in olds {
                if !self.leaves_another_group(old) {
                    before = self.drop_instance(group, old, before);
                }
            }
        }
        let wanted: BTreeSet<u32> = self.desired.all_instances().map(|(_, instance)| instance.slot).collect();
        let gone: Vec<&NodeId> =
            self.surplus().filter(|(_, old)| !wanted.contains(&old.slot)).map(|(id, _)| id).collect();
        for id in gone {
            if !self.leaves_another_group(id) {
                self.drop_instance(group, id, before.clone());
            }
        }
    }

    /// Whether an instance is in a target group that goes: it may have connections until that has drained.
    fn leaves_another_group(&self, id: &NodeId) -> bool {
        let mut going = self.observed.target_groups().filter(|(group, _)| self.desired.target_group(group).is_none());
        going.any(|(group, _)| self.is_registered(group, id) || self.is_draining(group, id))
    }

    /// Brings an instance in: the step that waits until it is healthy.
    fn bring_in(&mut self, group: &NodeId, id: &NodeId, wanted: &Instance, mut before: BTreeSet<StepId>) -> StepId {
        let target = BTreeSet::from([Ref::Of(id.clone())]);
        if !self.is_present(&Ref::Of(id.clone())) {
            self.launch(id, wanted, before.clone());
            let change = Change::RegisterTargets(target.clone());
            let registered = self.push(group, change, before.clone(), "replaces another");
            before.insert(registered);
        }
        before.extend(self.probed(group));
        let wait = self.push(group, Change::WaitHealthy(target), before, "the old one goes on until it serves");
        self.warm_up.waits.insert(wait);
        wait
    }

    /// What happens when a newcomer does not become healthy: it goes again.
    fn put_newcomer_back(&mut self, group: &NodeId, id: &NodeId, wait: StepId) {
        let target = BTreeSet::from([Ref::Of(id.clone())]);
        let mut settled = self.steps_of(|step| {
            let about = matches!(&step.change, Change::RegisterTargets(targets) | Change::WaitHealthy(targets)
                if !targets.is_disjoint(&target));
            about || step.node == *id
        });
        settled.remove(&wait);
        let failed = after([wait]);
        let deregistered = self.steps.len();
        self.steps.push(Step {
            node: group.clone(),
            change: Change::DeregisterTargets(target),
            when: When::Failed(failed.clone(), settled.clone()),
            why: "it never served",
        });
        self.steps.push(Step {
            node: id.clone(),
            change: Change::TerminateInstance,
            when: When::Failed(failed, settled.into_iter().chain([deregistered]).collect()),
            why: "it never served",
        });
    }

    fn is_registered(&self, group: &NodeId, id: &NodeId) -> bool {
        let target = Ref::Of(id.clone());
        self.observed.target_group(group).is_some_and(|there| there.targets.contains(&target))
    }

    fn is_draining(&self, group: &NodeId, id: &NodeId) -> bool {
        let mut health = self.observed.health.get(group).into_iter().flatten();
        health.any(|known| known.state == "draining" && self.observed.id(id) == Some(known.id.as_str()))
    }

    /// Drains and terminates an instance: the last of its steps.
    fn drop_instance(&mut self, group: &NodeId, id: &NodeId, mut before: BTreeSet<StepId>) -> BTreeSet<StepId> {
        let target = Ref::Of(id.clone());
        let registered = self.is_registered(group, id);
        let drains = self.is_draining(group, id);
        if registered {
            let change = Change::DeregisterTargets([target.clone()].into());
            before = after([self.push(group, change, before, "not wanted")]);
        }
        if registered || drains {
            let change = Change::WaitDrained([target].into());
            before = after([self.push(group, change, before, "its connections end first")]);
        }
        after([self.push(id, Change::TerminateInstance, before, "not wanted")])
    }

    /// Ends what is left: the instances of a target group that was replaced, and caches that nobody uses any more.
    pub(super) fn retire_cluster(&mut self) {
        let mut moved = self.steps_of(|step| matches!(step.node, NodeId::TargetGroup(_)));
        moved.extend(self.waits());
        let rolls = self.rolls();
        let olds: Vec<&NodeId> =
            self.surplus().map(|(id, _)| id).filter(|id| !rolls || self.leaves_another_group(id)).collect();
        if let Some((group, _)) = self.desired.target_groups().next() {
            // A change that broke off may have registered them there: then they have connections.
            for id in olds {
                self.drop_instance(group, id, moved.clone());
            }
        }
        if !rolls {
            self.put_instances_back();
        }
        let mut unused = self.steps_of(|step| matches!(step.node, NodeId::Instance(_)));
        unused.extend(self.waits());
        let surplus = |id: &NodeId| !self.desired.nodes.contains_key(id);
        let caches: Vec<&NodeId> = self.observed.all_caches().map(|(id, _)| id).filter(|id| surplus(id)).collect();
        let groups: Vec<&NodeId> = self.observed.subnet_groups().map(|(id, _)| id).filter(|id| surplus(id)).collect();
        self.delete_caches(&caches, &groups, &unused);
    }

    /// Deletes caches, and the subnet groups that only they use: the last of the steps.
    pub(super) fn delete_caches(
        &mut self,
        caches: &[&NodeId],
        subnet_groups: &[&NodeId],
        unused: &BTreeSet<StepId>,
    ) -> BTreeSet<StepId> {
        let mut gone = unused.clone();
        for id in caches {
            let deleted = self.push(id, Change::DeleteCache, unused.clone(), "not wanted");
            gone.insert(self.push(id, Change::WaitCacheDeleted, after([deleted]), "ElastiCache takes its time"));
        }
        let mut last = gone.clone();
        for id in subnet_groups {
            last.insert(self.push(id, Change::DeleteCacheSubnetGroup, gone.clone(), "not wanted"));
        }
        last
    }

    /// The new instances go when the group that they were for is put back.
    fn put_instances_back(&mut self) {
        let failed = self.warm_up.waits.clone();
        if failed.is_empty() {
            return;
        }
        let launched: Vec<NodeId> = self
            .steps
            .iter()
            .filter(|step| matches!(step.change, Change::LaunchInstance(_)))
            .map(|step| step.node.clone())
            .collect();
        let groups: BTreeSet<StepId> = (0..self.steps.len())
            .filter(|id| matches!(self.steps[*id].node, NodeId::TargetGroup(_)))
            .filter(|id| matches!(self.steps[*id].when, When::Failed(..)))
            .collect();
        for id in launched {
            let settled = self.steps_of(|step| step.node == id).union(&groups).copied().collect();
            let when = When::Failed(failed.clone(), settled);
            self.steps.push(Step { node: id, change: Change::TerminateInstance, when, why: "it never served" });
        }
    }
}
