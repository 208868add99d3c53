//! Planning listeners, and with them the replacement of target groups without dropping a request.
//!
//! AWS probes only groups that a listener refers to. A group that replaces another is therefore attached to
//! the listener of the old one with weight 0, and traffic moves only when it is healthy. If it does not become
//! healthy, the listener is put back and the new group goes: the old service never stopped.

use std::collections::{BTreeMap, BTreeSet};

use super::Planner;
use super::groups::weight;
use crate::stack::step::{Change, Step, StepId, When};
use crate::stack::{Action, Listener, NodeId, Ref};

/// The groups that replace others in this plan.
#[derive(Debug, Default)]
pub(super) struct WarmUp {
    /// The new groups.
    pub(super) groups: BTreeSet<NodeId>,
    /// The steps that wait for them; all must succeed before any traffic moves.
    pub(super) waits: BTreeSet<StepId>,
}

/// Listeners that serve groups to be replaced, with the groups that replace them.
type Carriers<'a> = BTreeMap<&'a NodeId, BTreeSet<&'a NodeId>>;

impl<'a> Planner<'a> {
    /// Attaches the groups that replace others to the listeners of those, and waits until they are healthy.
    pub(super) fn warm_up(&mut self) {
        let carriers = self.carriers();
        let mut attached = BTreeMap::new();
        for (carrier, groups) in &carriers {
            let Some(listener) = self.observed.listener(carrier) else { continue };
            let Action::Forward(weights) = &listener.action else { continue };
            let mut warmed = weights.clone();
            for group in groups {
                warmed.entry(Ref::Of((*group).clone())).or_insert(0);
            }
            if warmed != *weights {
                let change = Change::ModifyListener(Listener { action: Action::Forward(warmed), ..listener.clone() });
                let step = self.push(carrier, change, BTreeSet::new(), "so that AWS probes the new group");
                attached.extend(groups.iter().map(|group| (*group, step)));
            }
        }
        for group in carriers.values().flatten() {
            let Some(wanted) = self.desired.target_group(group) else { continue };
            let mut before = self.probed(group);
            before.extend(attached.get(group));
            let change = Change::WaitHealthy(wanted.targets.clone());
            let step = self.push(group, change, before, "the old service goes on until it serves");
            self.warm_up.waits.insert(step);
            self.warm_up.groups.insert((*group).clone());
        }
        self.put_back(&carriers);
    }

    fn carriers(&self) -> Carriers<'a> {
        let mut carriers = Carriers::new();
        for (id, wanted) in self.desired.target_groups() {
            let serves_old = |listener: &Listener| {
                self.replaced().any(|(old, group)| group.role == wanted.role && weight(listener, old) > 0)
            };
            let carrier = self.observed.listeners().find(|(_, listener)| serves_old(listener));
            if let (false, Some((carrier, _))) = (self.serves(id), carrier) {
                carriers.entry(carrier).or_default().insert(id);
            }
        }
        carriers
    }

    /// The target groups that are there and not wanted.
    fn replaced(&self) -> impl Iterator<Item = (&'a NodeId, &'a crate::stack::TargetGroup)> + use<'a> {
        let desired = self.desired;
        self.observed.target_groups().filter(move |(id, _)| !desired.nodes.contains_key(id))
    }

    /// What happens when a new group does not become healthy.
    fn put_back(&mut self, carriers: &Carriers<'a>) {
        let failed = self.warm_up.waits.clone();
        let mut restored = BTreeSet::new();
        for carrier in carriers.keys() {
            let Some(listener) = self.observed.listener(carrier) else { continue };
            let Action::Forward(weights) = &listener.action else { continue };
            let mut old = weights.clone();
            old.retain(|group, weight| {
                *weight > 0 || !matches!(group, Ref::Of(id) if self.warm_up.groups.contains(id))
            });
            let change = Change::ModifyListener(Listener { action: Action::Forward(old), ..listener.clone() });
            let when = When::Failed(failed.clone(), BTreeSet::new());
            restored.insert(self.steps.len());
            self.steps.push(Step { node: (*carrier).clone(), change, when, why: "back to the old service" });
        }
        for group in carriers.values().flatten() {
            let when = When::Failed(failed.clone(), restored.clone());
            let why = "it never served";
            self.steps.push(Step { node: (*group).clone(), change: Change::DeleteTargetGroup, when, why });
        }
    }

    /// Creates listeners, and changes what differs in those that are there.
    pub(super) fn build_listeners(&mut self) {
        for (id, wanted) in self.desired.listeners() {
            let there = self.observed.listener(id);
            let before = self.gate(&wanted.action, there);
            match there {
                Some(there) => self.change_listener(id, wanted, there, before),
                None => {
                    self.push(id, Change::CreateListener(wanted.clone()), before, "not there yet");
                    self.add_certificates(id, wanted.additional_certificate_arns.clone(), BTreeSet::new());
                }
            }
        }
    }

    /// What must be done before a listener may take this action: traffic leaves an old group, or enters a new
    /// one, only when all new groups are healthy.
    fn gate(&self, wanted: &Action, there: Option<&Listener>) -> BTreeSet<StepId> {
        let enters = self.warm_up.groups.iter().any(|group| wanted.refers_to(group));
        let leaves = there.is_some_and(|there| self.replaced().any(|(old, _)| there.action.refers_to(old)));
        if enters || leaves { self.warm_up.waits.clone() } else { BTreeSet::new() }
    }

    /// Changes a listener in place. A new certificate is added beside the old one before it becomes the
    /// default, and what is not wanted is removed last, so that every name is served throughout.
    fn change_listener(&mut self, id: &NodeId, wanted: &Listener, there: &Listener, mut before: BTreeSet<StepId>) {
        let stays_tls = there.protocol == "HTTPS" && wanted.protocol == "HTTPS";
        let rotates = wanted.certificate_arn.as_ref().filter(|arn| there.certificate_arn.as_ref() != Some(arn));
        let known = &there.additional_certificate_arns;
        let mut early: BTreeSet<String> = wanted.additional_certificate_arns.iter().chain(rotates).cloned().collect();
        early.retain(|arn| stays_tls && !known.contains(arn) && there.certificate_arn.as_ref() != Some(arn));
        before.extend(self.add_certificates(id, early.clone(), BTreeSet::new()));

        let mut settled = BTreeSet::new();
        let settings = |listener: &Listener| {
            (
                listener.protocol.clone(),
                listener.ssl_policy.clone(),
                listener.certificate_arn.clone(),
                listener.action.clone(),
            )
        };
        if settings(wanted) != settings(there) {
            settled.insert(self.push(id, Change::ModifyListener(wanted.clone()), before.clone(), "settings differ"));
        }
        if let Some(arn) = rotates {
            let change = Change::WaitCertificate(arn.clone());
            self.push(id, change, settled.clone(), "the old certificate may go after this");
        }
        let mut late = wanted.additional_certificate_arns.clone();
        late.retain(|arn| !known.contains(arn) && !early.contains(arn));
        self.add_certificates(id, late, settled.clone());
        let mut surplus: BTreeSet<String> = known.union(&early).cloned().collect();
        surplus.retain(|arn| stays_tls && !wanted.additional_certificate_arns.contains(arn));
        if !surplus.is_empty() {
            settled.extend(before);
            self.push(id, Change::RemoveCertificates(surplus), settled, "not wanted");
        }
    }

    fn add_certificates(&mut self, id: &NodeId, arns: BTreeSet<String>, before: BTreeSet<StepId>) -> Option<StepId> {
        (!arns.is_empty())
            .then(|| self.push(id, Change::AddCertificates(arns), before, "served beside the default one"))
    }

    /// Ends what is not wanted: registrations, listeners and target groups, in the order that cuts nothing.
    ///
    /// A listener that goes together with its group is first pointed at the group's replacement, so that the
    /// old group can drain while the listener still answers.
    pub(super) fn retire(&mut self) {
        self.deregister_surplus();
        let opened = self.steps_of(|step| matches!(step.change, Change::CreateListener(_) | Change::ModifyListener(_)));
        let going: Vec<(&NodeId, &Listener)> =
            self.observed.listeners().filter(|(id, _)| !self.desired.nodes.contains_key(id)).collect();
        let mut outlived = Vec::new();
        for (id, listener) in going {
            match self.replacement(listener) {
                Some(group) => {
                    let action = Action::forward(Ref::Of(group.clone()));
                    let before = opened.union(&self.warm_up.waits).copied().collect();
                    let change = Change::ModifyListener(Listener { action, ..listener.clone() });
                    self.push(id, change, before, "the old group drains");
                    outlived.push(id);
                }
                None => {
                    self.push(id, Change::DeleteListener, opened.clone(), "not wanted");
                }
            }
        }
        let replaced: Vec<&NodeId> = self.replaced().map(|(id, _)| id).collect();
        let mut drained = opened;
        for id in replaced {
            let unused = self.abandoned(id);
            let idle = self.drain(id, unused);
            drained.extend(&idle);
            self.push(id, Change::DeleteTargetGroup, idle, "replaced");
        }
        for id in outlived {
            self.push(id, Change::DeleteListener, drained.clone(), "not wanted");
        }
    }

    /// The group that replaces the one a listener forwards to.
    fn replacement(&self, listener: &Listener) -> Option<&'a NodeId> {
        let (_, old) = self.replaced().find(|(id, _)| listener.action.refers_to(id))?;
        self.desired.target_groups().find(|(_, group)| group.role == old.role).map(|(id, _)| id)
    }

    /// The steps after which no listener refers to a group any more.
    fn abandoned(&self, id: &NodeId) -> BTreeSet<StepId> {
        let users: BTreeSet<&NodeId> = self
            .observed
            .listeners()
            .filter(|(_, listener)| listener.action.refers_to(id))
            .map(|(user, _)| user)
            .collect();
        self.steps_of(|step| {
            users.contains(&step.node)
                && match &step.change {
                    Change::ModifyListener(listener) => !listener.action.refers_to(id),
                    Change::DeleteListener => true,
                    _ => false,
                }
        })
    }
}
