//! Sorting what AWS answered: what is the stack's, what is others', and which object is which node.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answers, Found, Holder, Sought, SoughtRecord, Taken};
use crate::aws::{
    ActionInfo, Attributes, ListenerInfo, Peer, RecordInfo, RuleSettings, SecurityGroupInfo, Tags, TargetHealth,
};
use crate::stack::ownership::{Claim, RESOURCE_ID};
use crate::stack::{
    Action, Existing, Foreign, Listener, LoadBalancer, Node, NodeId, Record, RecordId, Ref, Rule, SecurityGroup,
    Source, TargetGroup, attributes,
};

/// Sorts answers into ours and others'.
pub(super) struct Sorter<'a> {
    pub(super) sought: &'a Sought<'a>,
    pub(super) answers: &'a Answers,
    pub(super) interrupted: BTreeSet<String>,
    pub(super) found: Found,
}

impl Sorter<'_> {
    pub(super) fn sort(mut self) -> Found {
        self.found.observed.vpc.clone_from(&self.answers.vpc);
        self.sort_security_groups();
        self.sort_caches();
        self.sort_instances();
        self.sort_target_groups();
        self.sort_balancer();
        if self.found.observed.load_balancer.is_some() {
            self.sort_listeners();
        }
        self.sort_records();
        self.resolve_references();
        self.found
    }

    /// Takes an object in when it is the stack's; else notes that its name is taken.
    pub(super) fn claim(&mut self, id: NodeId, aws_id: &str, tags: &Tags, node: Node, adopted: bool) -> bool {
        let claim = self.sought.owner.claim(tags, &self.interrupted);
        // What carries another resource's id is not this one's any more, whatever its state says.
        let free = tags.get(RESOURCE_ID).is_none_or(|id| *id == self.sought.owner.resource_id);
        let known = free && self.sought.known.contains_key(aws_id);
        if claim == Claim::Interrupted && self.sought.creating {
            self.found.interrupted.insert(id.clone());
        } else if claim != Claim::Ours && !known && !(adopted && free) {
            let holder = match claim {
                Claim::Finished if self.sought.creating && self.answers.balancer.is_none() => Holder::Bereft,
                Claim::Finished => Holder::Finished,
                _ => Holder::Stranger,
            };
            self.found.taken.insert(id, Taken { id: aws_id.to_owned(), holder });
            return false;
        }
        let tags =
            tags.iter().filter(|(key, _)| !key.starts_with("aws:")).map(|(key, value)| (key.clone(), value.clone()));
        let existing = Existing { id: aws_id.to_owned(), node, tags: tags.collect() };
        if let Some(other) = self.found.observed.nodes.insert(id.clone(), existing) {
            self.found.ambiguous.entry(id).or_default().extend([other.id, aws_id.to_owned()]);
        }
        true
    }

    /// Whether the load balancer is of this resource's making: then what it made has tags, and the rest is its user's.
    fn is_ours_already(&self) -> bool {
        let balancer = self.answers.balancer.as_ref();
        balancer.is_some_and(|info| self.sought.owner.owns(&self.tags_of(&info.arn)))
    }

    /// Whether another resource has taken over the load balancer that the state names. What carries no tags, the records
    /// and the rules in somebody else's group, is that one's as well then.
    fn is_lost(&self) -> bool {
        let taken = self.found.taken.get(&NodeId::LoadBalancer);
        taken.is_some_and(|taken| self.sought.known.contains_key(&taken.id))
    }

    fn sort_security_groups(&mut self) {
        for group in &self.answers.security_groups {
            let rules = self.rules(&group.rules);
            if self.holds_rules(group) {
                self.found.observed.nodes.insert(
                    NodeId::RulesIn(group.id.clone()),
                    Existing { id: group.id.clone(), node: Node::RulesIn(rules), tags: Tags::new() },
                );
                continue;
            }
            // In another VPC nothing is in the way. What an interrupted create has left there is to go all the same.
            let elsewhere = self.sought.creating && group.vpc_id != self.sought.vpc.id;
            if elsewhere && self.sought.owner.claim(&group.tags, &self.interrupted) != Claim::Interrupted {
                continue;
            }
            if self.sought.brought.contains(&group.id) {
                if self.sought.owner.owns(&group.tags) {
                    self.found.observed.released.insert(group.id.clone());
                }
                continue;
            }
            let role = self
                .sought
                .known
                .get(&group.id)
                .or_else(|| self.sought.security_groups.get(&group.name))
                .copied()
                .or_else(|| self.role_tag(&group.tags))
                .or_else(|| {
                    self.sought.adopt.then_some(self.sought.security_groups.values().next().copied()).flatten()
                });
            let Some(role) = role else { continue };
            let node = Node::SecurityGroup(SecurityGroup {
                name: group.name.clone(),
                description: group.description.clone(),
                vpc_id: group.vpc_id.clone(),
                rules,
            });
            let adopted = self.answers.adopted_groups.contains(&group.id) && !self.is_ours_already();
            self.claim(NodeId::SecurityGroup(role), &group.id, &group.tags, node, adopted);
        }
    }

    /// Whether it is a group of somebody else's in which the stack keeps rules.
    fn holds_rules(&self, group: &SecurityGroupInfo) -> bool {
        let claim = |tags: &Tags| self.sought.owner.claim(tags, &self.interrupted);
        let own = self.sought.known.contains_key(&group.id) || claim(&group.tags) != Claim::Foreign;
        let of_stack = |tags: &Tags| match claim(tags) {
            Claim::Ours => true,
            Claim::Interrupted => self.sought.creating,
            Claim::Finished | Claim::Foreign => false,
        };
        let mut tagged = self.answers.tagged_rules.iter();
        self.sought.rules_in.contains(&group.id) || !own && tagged.any(|(id, tags)| *id == group.id && of_stack(tags))
    }

    /// Rules with the blocks of the VPC folded into one where all of them are there.
    fn rules(&self, settings: &BTreeSet<RuleSettings>) -> BTreeSet<Rule> {
        let vpc = &self.answers.vpc;
        let blocks: BTreeSet<&String> = vpc.cidr_blocks.iter().chain(&vpc.ipv6_cidr_blocks).collect();
        let same = |one: &RuleSettings, other: &RuleSettings| {
            (one.direction, &one.protocol, one.from_port, one.to_port)
                == (other.direction, &other.protocol, other.from_port, other.to_port)
        };
        let covers = |rule: &RuleSettings| {
            !blocks.is_empty()
                && rule.direction == crate::aws::Direction::Egress
                && blocks.iter().all(|block| {
                    settings.iter().any(|other| same(rule, other) && other.peer == Peer::Cidr((*block).clone()))
                })
        };
        let source = |rule: &RuleSettings| match &rule.peer {
            Peer::Cidr(cidr) if blocks.contains(cidr) && covers(rule) => Source::Vpc,
            Peer::Cidr(cidr) => Source::Cidr(cidr.clone()),
            Peer::PrefixList(id) => Source::PrefixList(id.clone()),
            Peer::Group(id) => Source::Group(Ref::Known(id.clone())),
        };
        settings
            .iter()
            .map(|rule| Rule {
                direction: rule.direction,
                protocol: rule.protocol.clone(),
                from_port: rule.from_port,
                to_port: rule.to_port,
                source: source(rule),
                description: rule.description.clone(),
            })
            .collect()
    }

    fn sort_target_groups(&mut self) {
        for group in &self.answers.groups {
            let tags = self.tags_of(&group.arn);
            // Unlike a listener, a target group never changes its role: what the state says holds, whatever its tag.
            let known = self.sought.known.get(&group.arn).copied();
            let role = known.or_else(|| self.role_tag(&tags)).or_else(|| self.role_by_listener(&group.arn));
            let adopted = self.sought.adopt && role.is_some();
            if adopted && group.target_type != "instance" {
                self.found.unsuited.insert(group.name.clone(), group.target_type.clone());
            }
            let node = Node::TargetGroup(TargetGroup {
                role: role.unwrap_or(""),
                name: group.name.clone(),
                port: group.port,
                protocol: group.protocol.clone(),
                vpc_id: group.vpc_id.clone(),
                health_check: group.health_check.clone(),
                attributes: attributes::normalise(
                    attributes::TARGET_GROUP,
                    self.answers.group_attributes.get(&group.arn).unwrap_or(&Attributes::new()),
                ),
                targets: self
                    .health_of(&group.arn)
                    .filter(|target| registered(target))
                    .map(|target| Ref::Known(target.registration(group.port)))
                    .collect(),
            });
            let id = NodeId::TargetGroup(group.name.clone());
            if self.claim(id.clone(), &group.arn, &tags, node, adopted) {
                let health = self.health_of(&group.arn).cloned().collect();
                self.found.observed.health.insert(id, health);
            }
        }
    }

    fn health_of(&self, arn: &str) -> impl Iterator<Item = &TargetHealth> {
        self.answers.health.get(arn).into_iter().flatten()
    }

    /// The role of the listener that forwards to a group, for groups to adopt.
    fn role_by_listener(&self, group: &str) -> Option<&'static str> {
        let forwards = |listener: &&ListenerInfo| groups_of(&listener.settings.action).any(|arn| arn == group);
        self.answers.listeners.iter().find(forwards).and_then(|listener| self.sought.roles.of_listener(listener))
    }

    fn sort_balancer(&mut self) {
        let Some(info) = &self.answers.balancer else { return };
        let tags = self.tags_of(&info.arn);
        let node = Node::LoadBalancer(LoadBalancer {
            name: info.name.clone(),
            scheme: info.scheme.clone(),
            ip_address_type: info.ip_address_type.clone(),
            subnet_ids: info.subnet_ids.clone(),
            security_groups: info.security_groups.iter().cloned().map(Ref::Known).collect(),
            attributes: attributes::normalise(attributes::LOAD_BALANCER, &self.answers.balancer_attributes),
        });
        if self.claim(NodeId::LoadBalancer, &info.arn, &tags, node, self.sought.adopt) {
            self.found.observed.load_balancer = Some(info.into());
        }
    }

    pub(super) fn sort_listeners(&mut self) {
        for listener in &self.answers.listeners {
            let tags = self.tags_of(&listener.arn);
            let role = self.role(&listener.arn, &tags);
            let settings = &listener.settings;
            let adopted = if self.sought.adopt { self.sought.roles.of_listener(listener) } else { None };
            let adopted = adopted.or_else(|| self.sought.ports.get(&settings.port).copied());
            let additional = self.answers.additional_certificates.get(&listener.arn).into_iter().flatten();
            // The default certificate may be on the list as well, where it changes nothing.
            let additional = additional.filter(|arn| settings.certificate_arn.as_ref() != Some(*arn));
            let node = Node::Listener(Listener {
                role: role.or(adopted).unwrap_or(""),
                port: settings.port,
                protocol: settings.protocol.clone(),
                ssl_policy: settings.ssl_policy.clone(),
                certificate_arn: settings.certificate_arn.clone(),
                additional_certificate_arns: additional.cloned().collect(),
                mutual_authentication: settings.mutual_authentication.clone(),
                action: action(&settings.action),
            });
            let id = NodeId::Listener(settings.port);
            let ours = self.claim(id.clone(), &listener.arn, &tags, node, adopted.is_some());
            if !ours {
                let uses = groups_of(&settings.action);
                self.add_foreign(format!("the listener on port {}", settings.port), &listener.arn, None, uses);
            }
            for rule in self.answers.listener_rules.get(&listener.arn).into_iter().flatten() {
                let what =
                    format!("the rule with priority {} of the listener on port {}", rule.priority, settings.port);
                self.add_foreign(what, &rule.arn, ours.then(|| id.clone()), rule.target_group_arns.iter());
            }
        }
    }

    fn add_foreign<'s>(&mut self, what: String, arn: &str, on: Option<NodeId>, uses: impl Iterator<Item = &'s String>) {
        let observed = &self.found.observed;
        let uses = uses.filter_map(|group| match observed.reference(group) {
            Ref::Of(node) => Some(node),
            Ref::Known(_) => None,
        });
        let foreign = Foreign { what, arn: arn.to_owned(), on, uses: uses.collect() };
        self.found.observed.foreign.push(foreign);
    }

    fn sort_records(&mut self) {
        let lost = self.is_lost();
        for (sought, found) in self.sought.records.iter().zip(&self.answers.records) {
            let SoughtRecord { zone_id, name, kind, .. } = sought.clone();
            let id = NodeId::Record(RecordId { kind, zone_id, name });
            let (target, evaluate_target_health) = match found {
                Some(RecordInfo::Alias(alias)) => (alias.target.clone(), alias.evaluate_target_health),
                // Whatever has taken the place of an alias does not lead to the load balancer.
                Some(RecordInfo::Plain | RecordInfo::Routed) => (String::new(), false),
                None => continue,
            };
            let leads_to = target.strip_prefix("dualstack.").unwrap_or(&target);
            let facts = self.found.observed.load_balancer.as_ref();
            let dns_name = facts.map_or(&self.sought.dns_name, |facts| &facts.dns_name);
            let ours = !lost && !dns_name.is_empty() && dns_name.to_lowercase() == leads_to;
            if !ours && !sought.known {
                self.found.taken.insert(id, Taken { id: sought.name.clone(), holder: Holder::Stranger });
                continue;
            }
            let node = Node::Record(Record {
                zone_id: sought.zone_id.clone(),
                name: sought.name.clone(),
                kind: sought.kind,
                evaluate_target_health,
                target: if ours { Ref::Of(NodeId::LoadBalancer) } else { Ref::Known(target) },
            });
            if *found == Some(RecordInfo::Routed) {
                self.found.observed.routed.insert(id.clone());
            }
            self.found.observed.nodes.insert(id, Existing { id: String::new(), node, tags: Tags::new() });
        }
    }

    fn tags_of(&self, arn: &str) -> Tags {
        self.answers.tags.get(arn).cloned().unwrap_or_default()
    }

    fn role(&self, id: &str, tags: &Tags) -> Option<&'static str> {
        self.role_tag(tags).or_else(|| self.sought.known.get(id).copied())
    }

    fn role_tag(&self, tags: &Tags) -> Option<&'static str> {
        tags.get(crate::stack::ownership::ROLE).and_then(|role| self.sought.roles.named(role))
    }

    /// Turns the identifiers of the stack's own objects into references to their nodes.
    fn resolve_references(&mut self) {
        let ids: BTreeMap<String, NodeId> = self
            .found
            .observed
            .nodes
            .iter()
            .filter(|(node, _)| !matches!(node, NodeId::Record(_) | NodeId::RulesIn(_)))
            .map(|(node, existing)| (existing.id.clone(), node.clone()))
            .collect();
        let (description, lost) = (&self.sought.rules_description, self.is_lost());
        let ports: BTreeSet<i64> = self.answers.groups.iter().map(|group| i64::from(group.port)).collect();
        // A rule for the load balancer that is not about a target port is its maker's own business.
        let is_ours = |rule: &Rule| {
            rule.description == *description || rule.from_port == rule.to_port && ports.contains(&rule.from_port)
        };
        let resolve = |reference: &Ref| match reference {
            Ref::Known(id) => ids.get(id).map_or_else(|| reference.clone(), |node| Ref::Of(node.clone())),
            Ref::Of(_) => reference.clone(),
        };
        let resolve_rules = |rules: &BTreeSet<Rule>| -> BTreeSet<Rule> {
            let resolve_rule = |rule: &Rule| match &rule.source {
                Source::Group(group) => Rule { source: Source::Group(resolve(group)), ..rule.clone() },
                _ => rule.clone(),
            };
            rules.iter().map(resolve_rule).collect()
        };
        for existing in self.found.observed.nodes.values_mut() {
            match &mut existing.node {
                Node::LoadBalancer(balancer) => {
                    balancer.security_groups = balancer.security_groups.iter().map(resolve).collect();
                }
                Node::SecurityGroup(group) => group.rules = resolve_rules(&group.rules),
                // Of a group of somebody else's, only the rules about the stack are the stack's.
                Node::RulesIn(rules) => {
                    *rules = resolve_rules(rules);
                    rules.retain(|rule| match &rule.source {
                        Source::Group(Ref::Of(_)) => is_ours(rule),
                        Source::Group(Ref::Known(_)) => !lost && rule.description == *description,
                        _ => false,
                    });
                }
                Node::Listener(listener) => {
                    if let Action::Forward(weights) | Action::Other(_, weights) = &mut listener.action {
                        *weights = weights.iter().map(|(group, weight)| (resolve(group), *weight)).collect();
                    }
                }
                Node::TargetGroup(group) => group.targets = group.targets.iter().map(resolve).collect(),
                Node::Record(_) | Node::CacheSubnetGroup(_) | Node::Cache(_) | Node::Instance(_) => {}
            }
        }
        self.found
            .observed
            .nodes
            .retain(|_, existing| !matches!(&existing.node, Node::RulesIn(rules) if rules.is_empty()));
    }
}

/// Whether a target counts as registered: not on its way out.
fn registered(target: &TargetHealth) -> bool {
    target.state != "draining" && target.reason.as_deref() != Some("Target.NotRegistered")
}

fn groups_of(action: &ActionInfo) -> impl Iterator<Item = &String> {
    let weights = match action {
        ActionInfo::Forward(weights) | ActionInfo::Other(_, weights) => weights.as_slice(),
        ActionInfo::Redirect { .. } => &[],
    };
    weights.iter().map(|(arn, _)| arn)
}

/// An action in the engine's terms.
fn action(info: &ActionInfo) -> Action {
    match info {
        ActionInfo::Forward(groups) => Action::Forward(by_weight(groups)),
        ActionInfo::Redirect { protocol, port, status } => match (protocol.as_str(), port.parse(), status.as_str()) {
            ("HTTPS", Ok(port), "HTTP_301") => Action::RedirectToHttps(port),
            _ => Action::Other(format!("redirect to {protocol} {port} with {status}"), BTreeMap::new()),
        },
        ActionInfo::Other(kind, groups) => Action::Other(kind.clone(), by_weight(groups)),
    }
}

/// The weights of groups. One that alone gets everything has weight 1, whatever AWS says.
fn by_weight(groups: &[(String, i64)]) -> BTreeMap<Ref, i64> {
    let alone = matches!(groups, [(_, weight)] if *weight > 0);
    groups.iter().map(|(arn, weight)| (Ref::Known(arn.clone()), if alone { 1 } else { *weight })).collect()
}
