//! Planning target groups: creation, settings, registrations, and the end of those not wanted.

use std::collections::BTreeSet;

use super::{Planner, Purpose, after};
use crate::aws::Attributes;
use crate::stack::step::{Change, StepId};
use crate::stack::{NodeId, Ref, TargetGroup, attributes};

impl Planner<'_> {
    /// Creates target groups, changes the settings of those that are there, and registers targets. Nothing is
    /// deregistered yet.
    pub(super) fn build_target_groups(&mut self) {
        let mut before = self.arbiter();
        if self.purpose == Purpose::Create {
            // They carry no marker of their own: the load balancer's tells of them.
            before.extend(self.creations.get(&NodeId::LoadBalancer));
        }
        for (id, wanted) in self.desired.target_groups() {
            let there = self.observed.target_group(id);
            let unset = attributes::normalise(attributes::TARGET_GROUP, &Attributes::new());
            match there {
                None => {
                    self.push(id, Change::CreateTargetGroup(wanted.clone()), before.clone(), "not there yet");
                }
                Some(there) if there.health_check != wanted.health_check => {
                    let change = Change::SetHealthCheck(wanted.health_check.clone());
                    self.push(id, change, BTreeSet::new(), "another health check");
                }
                Some(_) => {}
            }
            let changed = attributes::changed(&wanted.attributes, there.map_or(&unset, |there| &there.attributes));
            if !changed.is_empty() {
                self.push(id, Change::SetTargetGroupAttributes(changed), BTreeSet::new(), "attributes differ");
            }
            let new = self.new_targets(id, wanted);
            if !new.is_empty() {
                self.push(id, Change::RegisterTargets(new), BTreeSet::new(), "not registered yet");
            }
        }
    }

    /// The targets that a group still lacks.
    fn new_targets(&self, id: &NodeId, wanted: &TargetGroup) -> BTreeSet<Ref> {
        let there = self.observed.target_group(id).map(|group| &group.targets);
        let missing = |target: &&Ref| there.is_none_or(|there| !there.contains(target)) && self.is_present(target);
        wanted.targets.iter().filter(missing).cloned().collect()
    }

    /// Waits for targets that a listener sends traffic to from the start: those of a group without an old
    /// service to keep up, and those added to a group that serves already. Where healthy ones are to go it does so
    /// whatever is asked for: they may be all that serves.
    pub(super) fn wait_for_new_targets(&mut self) {
        for (id, wanted) in self.desired.target_groups() {
            let serves = |target: &Ref| self.observed.is_healthy(id, target);
            if !self.desired.wait_for_healthy && !self.lost_targets(id, wanted).any(serves) {
                continue;
            }
            let targets = self.awaited_targets(id, wanted);
            if targets.is_empty() || self.warm_up.groups.contains(id) {
                continue;
            }
            let listening = self.steps_of(|step| {
                matches!(&step.change, Change::CreateListener(listener) | Change::ModifyListener(listener)
                    if listener.action.refers_to(id))
            });
            let before = self.probed(id).union(&listening).copied().collect();
            self.push(id, Change::WaitHealthy(targets), before, "it must serve");
        }
    }

    /// The targets whose health decides whether the apply is done: all of a group that does not serve yet, else the
    /// new ones. Where others are to go, or a create goes on that was interrupted, those that were new before count
    /// until they have been healthy.
    fn awaited_targets(&self, id: &NodeId, wanted: &TargetGroup) -> BTreeSet<Ref> {
        let mut present = wanted.targets.clone();
        present.retain(|target| self.is_present(target));
        if !self.serves(id) {
            return present;
        }
        let mut targets = self.new_targets(id, wanted);
        if self.purpose == Purpose::Create || self.lost_targets(id, wanted).next().is_some() {
            targets.extend(present.iter().filter(|target| !self.observed.is_healthy(id, target)).cloned());
        }
        targets
    }

    /// The targets that are to leave a group that stays.
    fn lost_targets<'s>(&'s self, id: &NodeId, wanted: &'s TargetGroup) -> impl Iterator<Item = &'s Ref> {
        let there = self.observed.target_group(id);
        there.into_iter().flat_map(move |there| there.targets.difference(&wanted.targets))
    }

    /// What must be done before a group's targets can pass a probe.
    pub(super) fn probed(&self, id: &NodeId) -> BTreeSet<StepId> {
        let own = self.steps_of(|step| {
            step.node == *id && matches!(step.change, Change::RegisterTargets(_) | Change::SetHealthCheck(_))
        });
        self.openings.union(&own).copied().collect()
    }

    /// Whether a listener sends traffic to a group.
    pub(super) fn serves(&self, id: &NodeId) -> bool {
        self.observed.listeners().any(|(_, listener)| weight(listener, id) > 0)
    }

    /// Deregisters targets that are not wanted in groups that stay.
    pub(super) fn deregister_surplus(&mut self) {
        for (id, wanted) in self.desired.target_groups() {
            let Some(there) = self.observed.target_group(id) else { continue };
            // Instances of the stack's own leave before they end.
            let known = |target: &&Ref| matches!(target, Ref::Known(_));
            let surplus: BTreeSet<Ref> = there.targets.difference(&wanted.targets).filter(known).cloned().collect();
            if !surplus.is_empty() {
                let waits = self.steps_of(|step| step.node == *id && matches!(step.change, Change::WaitHealthy(_)));
                let registered =
                    self.steps_of(|step| step.node == *id && matches!(step.change, Change::RegisterTargets(_)));
                let before = waits.union(&registered).copied().collect();
                let step = self.push(id, Change::DeregisterTargets(surplus.clone()), before, "not wanted");
                self.push(id, Change::WaitDrained(surplus), after([step]), "its connections end first");
            }
        }
    }

    /// Drains a group that no listener sends traffic to after the steps in `unused`: the last of its steps.
    pub(super) fn drain(&mut self, id: &NodeId, unused: BTreeSet<StepId>) -> BTreeSet<StepId> {
        let Some(group) = self.observed.target_group(id) else { return unused };
        let targets = group.targets.clone();
        let health = self.observed.health.get(id).into_iter().flatten();
        let draining = health.filter(|target| target.state == "draining");
        let draining = draining.map(|target| Ref::Known(target.registration(group.port)));
        let leaving: BTreeSet<Ref> = targets.iter().cloned().chain(draining).collect();
        if leaving.is_empty() {
            return unused;
        }
        let mut before = unused;
        if !targets.is_empty() {
            before = after([self.push(id, Change::DeregisterTargets(targets), before, "replaced")]);
        }
        after([self.push(id, Change::WaitDrained(leaving), before, "its connections end first")])
    }
}

/// The weight with which a listener forwards to a group.
pub(super) fn weight(listener: &crate::stack::Listener, id: &NodeId) -> i64 {
    match &listener.action {
        crate::stack::Action::Forward(weights) => weights.get(&Ref::Of(id.clone())).copied().unwrap_or(0),
        _ => 0,
    }
}
