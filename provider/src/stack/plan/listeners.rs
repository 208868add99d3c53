//! Planning listeners, and with them the replacement of target groups without dropping a request.
//!
//! AWS probes only groups that a listener refers to. A group that replaces another is therefore attached to
//! the listener of the old one with weight 0, and traffic moves only when it is healthy. If it does not become
//! healthy, the listener is put back and the new group goes: the old service never stopped.

use std::collections::{BTreeMap, BTreeSet};

use super::Planner;
use super::groups::weight;
use crate::stack::step::{Change, Step, StepId, When};
use crate::stack::{Action, Listener, NodeId, Observed, Ref};

/// The groups that replace others in this plan.
#[derive(Debug, Default)]
pub(super) struct WarmUp {
    /// The new groups.
    pub(super) groups: BTreeSet<NodeId>,
    /// The steps that wait for them; all must succeed before any traffic moves.
    pub(super) waits: BTreeSet<StepId>,
    /// The steps that attach groups to the listeners that take them over.
    pub(super) attached: BTreeSet<StepId>,
    /// Which groups were attached to which listeners.
    pub(super) carried: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

/// What was observed, with listeners that just forward in place of those that keep clients or make them log in before
/// they forward to groups of the stack; `None` without such a listener.
pub(super) fn with_plain_forwards(observed: &Observed) -> Option<Observed> {
    let mut repaired: Option<Observed> = None;
    for (id, listener) in observed.listeners() {
        if let Action::Other(_, weights) = &listener.action
            && weights.keys().any(|group| matches!(group, Ref::Of(_)))
            && let Some(plain) = repaired.get_or_insert_with(|| observed.clone()).listener_mut(id)
        {
            plain.action = Action::Forward(weights.clone());
        }
    }
    repaired
}

/// Listeners that serve groups to be replaced, with the groups that replace them.
type Carriers<'a> = BTreeMap<&'a NodeId, BTreeSet<&'a NodeId>>;

impl<'a> Planner<'a> {
    /// Has listeners just forward that did so in a way of somebody else's: whatever else is to happen to them and to
    /// their groups goes out from there, so that it can be done without dropping a request.
    pub(super) fn repair_forwards(&mut self, found: &Observed) {
        for (id, listener) in self.observed.listeners() {
            if found.listener(id) != Some(listener) {
                let change = Change::ModifyListener(listener.clone());
                let step = self.push(id, change, BTreeSet::new(), "it forwards in a way that is not wanted");
                self.creations.insert(id.clone(), step);
            }
        }
    }

    /// Attaches the groups that replace others to the listeners of those, and waits until they are healthy.
    pub(super) fn warm_up(&mut self) {
        let carriers = self.carriers();
        let mut attaching = carriers.clone();
        let movers = self.movers(&carriers);
        for (listener, group) in &movers {
            attaching.entry(listener).or_default().insert(group);
        }
        let owned = |groups: &BTreeSet<&NodeId>| groups.iter().map(|group| (*group).clone()).collect();
        self.warm_up.carried = attaching.iter().map(|(id, groups)| ((*id).clone(), owned(groups))).collect();
        let mut attached = BTreeMap::new();
        for (carrier, groups) in &attaching {
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
                if movers.iter().any(|(mover, _)| mover == carrier) {
                    self.warm_up.attached.insert(step);
                }
            }
        }
        for group in carriers.values().flatten() {
            let Some(wanted) = self.desired.target_group(group) else { continue };
            let mut before = self.probed(group);
            before.extend(attached.get(group));
            let mut targets = wanted.targets.clone();
            targets.retain(|target| self.is_present(target));
            let change = Change::WaitHealthy(targets);
            let step = self.push(group, change, before, "the old service goes on until it serves");
            self.warm_up.waits.insert(step);
            self.warm_up.groups.insert((*group).clone());
        }
        self.put_back(&attaching, &carriers);
    }

    /// The listeners that take over a group from others that let it go: AWS stops probing a group that nobody refers
    /// to, so it is attached to the new listener before the old one lets go.
    fn movers(&self, carriers: &Carriers<'a>) -> Vec<(&'a NodeId, &'a NodeId)> {
        let mut movers = Vec::new();
        for (id, wanted) in self.desired.listeners() {
            let Some(there) = self.observed.listener(id) else { continue };
            for group in wanted.action.groups() {
                let Ref::Of(group) = group else { continue };
                let kept = self.desired.listeners().any(|(other, listener)| {
                    listener.action.refers_to(group)
                        && self.observed.listener(other).is_some_and(|there| weight(there, group) > 0)
                });
                let carried = carriers.values().any(|groups| groups.contains(group));
                let here = carriers.get(id).is_some_and(|groups| groups.contains(group));
                let forwards = matches!(there.action, Action::Forward(_)) && !there.action.refers_to(group);
                if forwards && !here && (carried || !kept && self.serves(group)) {
                    movers.push((id, group));
                }
            }
        }
        movers
    }

    fn carriers(&self) -> Carriers<'a> {
        let mut carriers = Carriers::new();
        for (id, wanted) in self.desired.target_groups() {
            let serves_old = |listener: &Listener| {
                self.replaced().any(|(old, group)| group.role == wanted.role && weight(listener, old) > 0)
            };
            let target = |(listener, there): &(&NodeId, &Listener)| {
                self.desired.listener(listener).is_some_and(|wanted| wanted.action.refers_to(id))
                    && matches!(there.action, Action::Forward(_))
            };
            let carrier = self.observed.listeners().find(|(_, listener)| serves_old(listener));
            let going = |(listener, there): &(&NodeId, &Listener)| {
                !self.desired.nodes.contains_key(*listener) && matches!(there.action, Action::Forward(_))
            };
            let carrier = carrier.or_else(|| self.observed.listeners().find(target));
            let carrier = carrier.or_else(|| self.observed.listeners().find(going));
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

    /// What happens when a group does not become healthy before it serves: the listeners go back to what they did, and
    /// a group that is new goes.
    fn put_back(&mut self, attached: &Carriers<'a>, carriers: &Carriers<'a>) {
        let failed = self.warm_up.waits.clone();
        let mut restored = BTreeSet::new();
        if failed.is_empty() {
            return;
        }
        let doomed: BTreeSet<&NodeId> =
            carriers.values().flatten().copied().filter(|group| !self.lost_its_listener(group)).collect();
        for carrier in attached.keys() {
            let Some(listener) = self.observed.listener(carrier) else { continue };
            let Action::Forward(weights) = &listener.action else { continue };
            let mut old = weights.clone();
            old.retain(|group, weight| *weight > 0 || !matches!(group, Ref::Of(id) if doomed.contains(id)));
            let attaching = self.steps_of(|step| step.node == **carrier);
            if attaching.is_empty() && old == *weights {
                continue;
            }
            let change = Change::ModifyListener(Listener { action: Action::Forward(old), ..listener.clone() });
            let when = When::Failed(failed.clone(), attaching);
            restored.insert(self.steps.len());
            self.steps.push(Step { node: (*carrier).clone(), change, when, why: "back to the old service" });
        }
        for group in doomed {
            // Nothing may be under way on the group that is to go.
            let settled = self.steps_of(|step| step.node == *group);
            let when = When::Failed(failed.clone(), restored.union(&settled).copied().collect());
            let why = "it never served";
            self.steps.push(Step { node: group.clone(), change: Change::DeleteTargetGroup, when, why });
        }
    }

    /// Whether a group replaces none that serves, but is there already and only has to be served again: somebody pointed
    /// its listener elsewhere. Whatever comes of that, it stays.
    fn lost_its_listener(&self, id: &NodeId) -> bool {
        let group = self.observed.target_group(id);
        group.is_some_and(|group| self.replaced().all(|(old, info)| info.role != group.role || !self.serves(old)))
    }

    /// Creates listeners, and changes what differs in those that are there.
    pub(super) fn build_listeners(&mut self) {
        // A new listener takes a group up before another lets it go, and a redirect leads to one that is there.
        let mut ordered: Vec<_> = self.desired.listeners().collect();
        ordered.sort_by_key(|(id, listener)| {
            let forwards = self.observed.listener(id).is_some_and(|there| matches!(there.action, Action::Forward(_)));
            (matches!(listener.action, Action::RedirectToHttps(_)), forwards)
        });
        for (id, wanted) in ordered {
            let there = self.observed.listener(id);
            let mut before = self.gate(&wanted.action, there);
            if let Action::RedirectToHttps(port) = wanted.action {
                before.extend(self.steps_of(|step| step.node == NodeId::Listener(port)));
            }
            match there {
                Some(there) => {
                    before.extend(self.taken_up(id, wanted, there));
                    self.change_listener(id, wanted, there, before);
                }
                None => {
                    self.push(id, Change::CreateListener(wanted.clone()), before, "not there yet");
                    self.add_certificates(id, wanted.additional_certificate_arns.clone(), BTreeSet::new());
                }
            }
        }
    }

    /// The steps in which other listeners take up a group that a listener lets go.
    fn taken_up(&self, id: &NodeId, wanted: &Listener, there: &Listener) -> BTreeSet<StepId> {
        let carried = self.warm_up.carried.get(id).into_iter().flatten().cloned().map(Ref::Of);
        let mut let_go: BTreeSet<Ref> = there.action.groups().cloned().chain(carried).collect();
        let_go.retain(|group| !wanted.action.groups().any(|kept| kept == group));
        self.steps_of(|step| match &step.change {
            Change::CreateListener(listener) | Change::ModifyListener(listener) => {
                step.node != *id && listener.action.groups().any(|group| let_go.contains(group))
            }
            _ => false,
        })
    }

    /// What must be done before a listener may take this action: traffic leaves an old group, or enters a new
    /// one, only when all new groups are healthy.
    fn gate(&self, wanted: &Action, there: Option<&Listener>) -> BTreeSet<StepId> {
        let enters = self.warm_up.groups.iter().any(|group| wanted.refers_to(group));
        let leaves = there.is_some_and(|there| self.replaced().any(|(old, _)| there.action.refers_to(old)));
        let mut gate = if enters || leaves { self.warm_up.waits.clone() } else { BTreeSet::new() };
        if there.is_some() {
            gate.extend(&self.warm_up.attached);
        }
        gate
    }

    /// Changes a listener in place. A new certificate is added beside the old one before it becomes the
    /// default, and what is not wanted is removed last, so that every name is served throughout.
    fn change_listener(&mut self, id: &NodeId, wanted: &Listener, there: &Listener, mut before: BTreeSet<StepId>) {
        let stays_tls = there.protocol == "HTTPS" && wanted.protocol == "HTTPS";
        let rotates = wanted.certificate_arn.as_ref().filter(|arn| there.certificate_arn.as_ref() != Some(arn));
        let known = &there.additional_certificate_arns;
        let mut early: BTreeSet<String> = wanted.additional_certificate_arns.iter().chain(rotates).cloned().collect();
        early.retain(|arn| stays_tls && !known.contains(arn));
        before.extend(self.add_certificates(id, early.clone(), BTreeSet::new()));

        let mut settled = BTreeSet::new();
        let settings = |listener: &Listener| {
            (
                listener.protocol.clone(),
                listener.ssl_policy.clone(),
                listener.certificate_arn.clone(),
                listener.mutual_authentication.clone(),
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
        // Nobody knows whether the old default certificate is on the list.
        surplus.extend(there.certificate_arn.clone().filter(|_| rotates.is_some()));
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
        let mut opened =
            self.steps_of(|step| matches!(step.change, Change::CreateListener(_) | Change::ModifyListener(_)));
        opened.extend(&self.openings);
        let going: Vec<(&NodeId, &Listener)> =
            self.observed.listeners().filter(|(id, _)| !self.desired.nodes.contains_key(id)).collect();
        let mut outlived = Vec::new();
        let (redirects, going): (Vec<_>, Vec<_>) =
            going.into_iter().partition(|(_, listener)| matches!(listener.action, Action::RedirectToHttps(_)));
        for (id, _) in redirects {
            let step = self.push(id, Change::DeleteListener, opened.clone(), "not wanted");
            opened.insert(step);
        }
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
