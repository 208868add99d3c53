//! A world in which the steps of a plan take effect, in any order that the plan allows, and which refuses what AWS
//! would refuse.

use std::collections::{BTreeMap, BTreeSet};

use super::graphs::{health, owner, tags};
use crate::aws::{Direction, LoadBalancerInfo, LoadBalancerState, Tags, VpcInfo};
use crate::stack::effect::{Output, default_rules};
use crate::stack::ownership::role;
use crate::stack::plan::{Purpose, plan};
use crate::stack::step::{Change, Plan, Step, StepId, When};
use crate::stack::{Action, Desired, Existing, Listener, Node, NodeId, Observed, Ref, Source};

/// Random choices, by a linear congruential generator.
pub(super) struct Order(pub(super) u64);

impl Order {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

pub(super) struct World {
    pub(super) observed: Observed,
    /// Whether somebody uses the service, so that an outage is wrong.
    pub(super) serves: bool,
    /// The targets that are known to be healthy: a registered one becomes it only by a wait.
    healthy: BTreeSet<(NodeId, Ref)>,
    /// The user's tags for what is created, and whether it is marked as unfinished.
    tags: Tags,
    marks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Pending,
    Done,
    /// Failed, or skipped because another did.
    Failed,
    NotNeeded,
}

impl World {
    /// A world where everything that is registered is healthy.
    pub(super) fn of(observed: Observed) -> Self {
        let groups = observed.target_groups();
        let healthy =
            groups.flat_map(|(id, group)| group.targets.iter().map(move |target| (id.clone(), target.clone())));
        Self { healthy: healthy.collect(), observed, serves: false, tags: Tags::new(), marks: false }
    }

    /// The plan from here to there. Health is looked up first, as it is before every plan.
    pub(super) fn plan(&mut self, to: &Desired, purpose: Purpose) -> Plan {
        let health = self.observed.target_groups().map(|(id, group)| {
            let of = |target: &Ref| {
                let is_healthy = self.healthy.contains(&(id.clone(), target.clone()));
                health(&target.to_string(), group.port, if is_healthy { "healthy" } else { "initial" })
            };
            (id.clone(), group.targets.iter().map(of).collect())
        });
        self.observed.health = health.collect::<BTreeMap<_, _>>();
        self.tags.clone_from(&to.tags);
        self.marks = purpose == Purpose::Create;
        plan(to, &self.observed, &owner(), purpose)
    }

    /// Does at most `limit` steps of a plan, of which `failing` fails. Says what went wrong besides.
    pub(super) fn run(&mut self, plan: &Plan, order: &mut Order, limit: usize, failing: Option<StepId>) -> Vec<String> {
        let mut status = vec![Status::Pending; plan.steps.len()];
        let mut wrong = backward(plan);
        for _ in 0..limit {
            let ready = ready(plan, &mut status);
            if ready.is_empty() {
                let stuck = plan.steps.iter().zip(&status).filter(|(_, status)| **status == Status::Pending);
                wrong.extend(stuck.map(|(step, _)| format!("never runs: {step}")));
                break;
            }
            let id = ready[order.below(ready.len())];
            let step = &plan.steps[id];
            status[id] = Status::Failed;
            if failing == Some(id) {
                continue;
            }
            match self.refusal(step) {
                Some(refusal) => wrong.push(format!("{id} {step}: {refusal}")),
                None => {
                    self.perform(step);
                    status[id] = Status::Done;
                }
            }
            if let Some(outage) = self.outage().filter(|_| self.serves) {
                wrong.push(format!("after {id} {step}: {outage}"));
            }
        }
        wrong
    }

    /// In what the world differs from what was wanted.
    pub(super) fn unlike(&self, wanted: &Desired) -> Vec<String> {
        let ids: BTreeSet<&NodeId> = wanted.nodes.keys().chain(self.observed.nodes.keys()).collect();
        let differs = |id: &NodeId| match (wanted.nodes.get(id), self.observed.nodes.get(id)) {
            (Some(node), Some(there)) if *node != there.node => Some(format!("{id}: {:?}", there.node)),
            (Some(node), Some(there)) if there.tags != tags(id, node, &wanted.tags) => {
                Some(format!("{id}: tags {:?}", there.tags))
            }
            (Some(_), None) => Some(format!("{id}: missing")),
            // A record that leads elsewhere is somebody else's by now.
            (None, Some(Existing { node: Node::Record(record), .. }))
                if record.target != Ref::Of(NodeId::LoadBalancer) =>
            {
                None
            }
            (None, Some(_)) => Some(format!("{id}: left over")),
            _ => None,
        };
        ids.into_iter().filter_map(differs).collect()
    }

    /// Breaks something, one of eleven things.
    pub(super) fn damage(&mut self, what: u8) {
        let observed = &mut self.observed;
        let listener = observed.listeners().next().unwrap().0.clone();
        let target_group = observed.target_groups().next().unwrap().0.clone();
        let all = |observed: &mut Observed, change: &dyn Fn(&mut Node)| {
            observed.nodes.values_mut().for_each(|existing| change(&mut existing.node));
        };
        match what {
            0 => drop(observed.nodes.remove(&listener)),
            1 => {
                let action = Action::Other("fixed-response".to_owned(), BTreeMap::new());
                observed.listener_mut(&listener).unwrap().action = action;
            }
            2 => observed.target_group_mut(&target_group).unwrap().targets.clear(),
            3 => observed.nodes.retain(|id, _| !matches!(id, NodeId::RulesIn(_) | NodeId::Record(_))),
            4 => all(observed, &|node| {
                if let Node::SecurityGroup(group) = node {
                    group.rules.clear();
                }
            }),
            5 => all(observed, &|node| {
                if let Node::SecurityGroup(group) = node {
                    group.rules.extend(default_rules(&VpcInfo::default()));
                }
            }),
            6 => {
                for existing in observed.nodes.values_mut().filter(|existing| !existing.tags.is_empty()) {
                    existing.tags = Tags::from([("by".to_owned(), "hand".to_owned())]);
                }
            }
            7 => {
                let certificate = &mut observed.listener_mut(&listener).unwrap().certificate_arn;
                *certificate = certificate.as_ref().map(|_| "cert-9".to_owned());
            }
            8 => {
                observed.nodes.retain(|id, _| !matches!(id, NodeId::LoadBalancer | NodeId::Listener(_)));
                observed.load_balancer = None;
                all(observed, &|node| {
                    if let Node::Record(record) = node {
                        record.target = Ref::Known("gone.example.com".to_owned());
                    }
                });
                self.healthy.clear();
            }
            9 => observed.balancer_mut(&NodeId::LoadBalancer).unwrap().attributes.clear(),
            _ => {
                let balancer = observed.balancer_mut(&NodeId::LoadBalancer).unwrap();
                balancer.security_groups = [Ref::Known("sg-other".to_owned())].into();
            }
        }
    }

    /// Has listeners keep their clients, each of which the choice falls on.
    pub(super) fn make_sticky(&mut self, choice: &mut Order) {
        for existing in self.observed.nodes.values_mut() {
            if let Node::Listener(Listener { action, .. }) = &mut existing.node
                && let Action::Forward(weights) = action
                && choice.below(2) == 0
            {
                *action = Action::Other("forward".to_owned(), weights.clone());
            }
        }
    }

    /// Why AWS would refuse a step, or why it could never end.
    fn refusal(&self, step: &Step) -> Option<String> {
        let is_there = |id: &NodeId| self.observed.nodes.contains_key(id);
        let puts_back = matches!(step.when, When::Failed(..));
        let references = step.change.references();
        if let Some(missing) = references.iter().find(|id| !is_there(id)) {
            return Some(format!("{missing} is not there"));
        }
        let listeners = || self.observed.listeners().map(|(_, listener)| listener);
        match &step.change {
            change if change.creates() => is_there(&step.node).then(|| "it is there already".to_owned()),
            Change::CreateRecord(_) => None,
            Change::AuthorizeRules(_) if matches!(step.node, NodeId::RulesIn(_)) => None,
            Change::Tag(nodes, _) | Change::Untag(nodes, _) | Change::Finish(nodes) => {
                nodes.iter().find(|id| !is_there(id)).map(|id| format!("{id} is not there"))
            }
            _ if !is_there(&step.node) && !puts_back => Some("it is not there".to_owned()),
            Change::DeleteTargetGroup if listeners().any(|listener| listener.action.refers_to(&step.node)) => {
                Some("a listener refers to it".to_owned())
            }
            Change::DeleteSecurityGroup => self.user_of(&step.node).map(|user| format!("{user} uses it")),
            Change::WaitHealthy(targets) => self.never_healthy(&step.node, targets),
            Change::ModifyListener(listener)
                if (listener.protocol == "HTTPS") != listener.certificate_arn.is_some() =>
            {
                Some(format!("{:?} with {}", listener.certificate_arn, listener.protocol))
            }
            _ => None,
        }
    }

    /// What keeps a security group from being deleted.
    fn user_of(&self, group: &NodeId) -> Option<NodeId> {
        let used = Ref::Of(group.clone());
        let uses = |node: &Node| match node {
            Node::LoadBalancer(balancer) => balancer.security_groups.contains(&used),
            Node::RulesIn(rules) => rules.iter().any(|rule| rule.source == Source::Group(used.clone())),
            _ => false,
        };
        self.observed.nodes.iter().find(|(_, existing)| uses(&existing.node)).map(|(id, _)| id.clone())
    }

    /// Why targets are not probed, or cannot answer.
    fn never_healthy(&self, id: &NodeId, targets: &BTreeSet<Ref>) -> Option<String> {
        let group = self.observed.target_group(id)?;
        let facts = self.observed.load_balancer.as_ref();
        let balancer = self.observed.balancer(&NodeId::LoadBalancer)?;
        let leads_out = |group_id: &NodeId| {
            let port = i64::from(group.port);
            let rules = self.observed.security_group(group_id).map(|found| &found.rules);
            rules.is_some_and(|rules| {
                rules.iter().any(|rule| {
                    rule.direction == Direction::Egress && (rule.protocol == "-1" || rule.from_port == port)
                })
            })
        };
        let open = balancer.security_groups.iter().any(|group| match group {
            Ref::Of(id) => leads_out(id),
            Ref::Known(_) => true,
        });
        if !targets.is_subset(&group.targets) {
            Some("not all targets are registered".to_owned())
        } else if !self.observed.listeners().any(|(_, listener)| listener.action.refers_to(id)) {
            Some("no listener refers to it, so it is never probed".to_owned())
        } else if facts.is_none_or(|facts| facts.state != LoadBalancerState::Active) {
            Some("the load balancer is not active".to_owned())
        } else {
            (!open).then(|| "the load balancer's security group lets no probe out".to_owned())
        }
    }

    fn perform(&mut self, step: &Step) {
        let output = self.output(step);
        self.observed.take_in(step, output);
        match &step.change {
            Change::WaitHealthy(targets) => {
                self.healthy.extend(targets.iter().map(|target| (step.node.clone(), target.clone())));
            }
            Change::DeregisterTargets(targets) => {
                self.healthy.retain(|(id, target)| *id != step.node || !targets.contains(target));
            }
            _ => {}
        }
        let observed = &self.observed;
        self.healthy.retain(|(id, _)| observed.listeners().any(|(_, listener)| listener.action.refers_to(id)));
    }

    fn output(&self, step: &Step) -> Output {
        let created = |node: Node| {
            let mut tags = owner().tags(&self.tags, role(&step.node, &node));
            if self.marks {
                tags.extend(owner().marker());
            }
            tags
        };
        let id = format!("id of {}", step.node);
        match &step.change {
            Change::CreateSecurityGroup(group) => Output::Created(id, created(Node::SecurityGroup(group.clone()))),
            Change::CreateTargetGroup(group) => Output::Created(id, created(Node::TargetGroup(group.clone()))),
            Change::CreateListener(listener) => Output::Created(id, created(Node::Listener(listener.clone()))),
            Change::CreateLoadBalancer(balancer) => {
                let tags = created(Node::LoadBalancer(balancer.clone()));
                Output::LoadBalancer(Box::new(described(id, LoadBalancerState::Provisioning)), tags)
            }
            Change::WaitActive => Output::LoadBalancer(Box::new(described(id, LoadBalancerState::Active)), Tags::new()),
            Change::WaitHealthy(targets) => {
                Output::Health(targets.iter().map(|target| health(&target.to_string(), 0, "healthy")).collect())
            }
            _ => Output::Done,
        }
    }

    /// A listener that sends traffic to nobody, or redirects to where nobody listens.
    fn outage(&self) -> Option<String> {
        let is_healthy = |id: &NodeId| {
            let targets = self.observed.target_group(id).map(|group| &group.targets);
            targets.is_some_and(|targets| {
                targets.iter().any(|target| self.healthy.contains(&(id.clone(), target.clone())))
            })
        };
        self.observed.listeners().find_map(|(listener_id, listener)| match &listener.action {
            Action::Forward(weights) | Action::Other(_, weights) => {
                let dead = weights
                    .iter()
                    .find(|(group, weight)| **weight > 0 && !matches!(group, Ref::Of(id) if is_healthy(id)));
                dead.map(|(group, _)| format!("{listener_id} sends traffic to {group}, where nothing is healthy"))
            }
            Action::RedirectToHttps(port) if self.observed.listener(&NodeId::Listener(*port)).is_none() => {
                Some(format!("{listener_id} redirects to {port}, where nobody listens"))
            }
            _ => None,
        })
    }
}

fn described(arn: String, state: LoadBalancerState) -> LoadBalancerInfo {
    LoadBalancerInfo {
        arn,
        name: "web".to_owned(),
        kind: "application".to_owned(),
        scheme: "internet-facing".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        dns_name: "web.example.com".to_owned(),
        hosted_zone_id: "Z0".to_owned(),
        subnet_ids: BTreeSet::new(),
        security_groups: BTreeSet::new(),
        state,
        state_reason: None,
    }
}

/// The steps that refer to themselves or to later ones; the executor relies on there being none.
fn backward(plan: &Plan) -> Vec<String> {
    let reaches_on = |id: StepId, step: &Step| match &step.when {
        When::After(steps) => steps.iter().any(|other| *other >= id),
        When::Despite(some, others) | When::Failed(some, others) => some.iter().chain(others).any(|other| *other >= id),
    };
    let found = plan.steps.iter().enumerate().filter(|(id, step)| reaches_on(*id, step));
    found.map(|(id, step)| format!("{id} {step} waits for what comes later")).collect()
}

/// The steps that may run now. Those that never will are ended on the way.
fn ready(plan: &Plan, status: &mut [Status]) -> Vec<StepId> {
    let mut ready = Vec::new();
    for (id, step) in plan.steps.iter().enumerate() {
        let any = |steps: &BTreeSet<StepId>, wanted: Status| steps.iter().any(|id| status[*id] == wanted);
        if status[id] != Status::Pending {
            continue;
        }
        match &step.when {
            When::After(steps) if any(steps, Status::Failed) => status[id] = Status::Failed,
            When::After(steps) if steps.iter().all(|id| status[*id] == Status::Done) => ready.push(id),
            When::After(_) => {}
            When::Despite(done, _) if any(done, Status::Failed) => status[id] = Status::Failed,
            When::Despite(done, ended) if any(done, Status::Pending) || any(ended, Status::Pending) => {}
            When::Despite(..) => ready.push(id),
            When::Failed(failed, after) if any(failed, Status::Pending) || any(after, Status::Pending) => {}
            When::Failed(failed, _) if !any(failed, Status::Failed) => status[id] = Status::NotNeeded,
            When::Failed(..) => ready.push(id),
        }
    }
    ready
}
