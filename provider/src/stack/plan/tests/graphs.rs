//! Graphs for plans: what a small configuration asks for, and the same as if it were there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::aws::{Attributes, Direction, HealthCheck, LoadBalancerState, Tags, TargetHealth, VpcInfo};
use crate::stack::ownership::{Owner, role};
use crate::stack::{
    Action, Desired, Existing, Listener, LoadBalancer, LoadBalancerFacts, Node, NodeId, Observed, Record, Ref, Rule,
    SecurityGroup, Source, TargetGroup, attributes,
};

const GROUP: NodeId = NodeId::SecurityGroup("load-balancer");

/// What a stack is to look like. Where an argument is a number, only its being another matters.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) tls: bool,
    /// The listeners' ports: the API's, the Broadcaster's.
    pub(super) listeners: [u16; 2],
    pub(super) targets: [u16; 2],
    pub(super) certificate: u8,
    pub(super) additional: BTreeSet<u8>,
    pub(super) instances: BTreeSet<u8>,
    /// Whether the load balancer has a security group of its own.
    pub(super) own_group: bool,
    pub(super) redirect: bool,
    pub(super) clients: BTreeSet<u8>,
    pub(super) record: Option<u8>,
    pub(super) instance_rules: bool,
    pub(super) dualstack: bool,
    pub(super) idle_timeout: u8,
    pub(super) tag: u8,
    pub(super) subnets: BTreeSet<u8>,
    /// Whether new targets are waited for where nobody relies on them yet.
    pub(super) waits: bool,
}

impl Shape {
    pub(super) fn http() -> Self {
        Self {
            tls: false,
            listeners: [80, 12080],
            targets: [80, 12080],
            certificate: 1,
            additional: BTreeSet::new(),
            instances: [1].into(),
            own_group: true,
            redirect: false,
            clients: [1].into(),
            record: None,
            instance_rules: false,
            dualstack: false,
            idle_timeout: 90,
            tag: 1,
            subnets: [1, 2].into(),
            waits: true,
        }
    }

    pub(super) fn https() -> Self {
        Self { tls: true, listeners: [443, 12443], targets: [443, 12443], ..Self::http() }
    }

    pub(super) fn full() -> Self {
        Self {
            additional: [2].into(),
            redirect: true,
            record: Some(1),
            instance_rules: true,
            dualstack: true,
            ..Self::https()
        }
    }

    pub(super) fn desired(&self) -> Desired {
        let mut nodes = BTreeMap::new();
        if self.own_group {
            nodes.insert(GROUP, Node::SecurityGroup(self.security_group()));
        }
        for (role, place) in [("api", 0), ("broadcaster", 1)] {
            let group = self.target_group(role, self.targets[place]);
            let action = Action::forward(Ref::Of(NodeId::TargetGroup(group.name.clone())));
            let listener = self.listener(role, self.listeners[place], action);
            nodes.insert(NodeId::TargetGroup(group.name.clone()), Node::TargetGroup(group));
            nodes.insert(NodeId::Listener(listener.port), Node::Listener(listener));
        }
        if self.redirects() {
            let action = Action::RedirectToHttps(self.listeners[0]);
            let plain = Self { tls: false, ..self.clone() };
            nodes.insert(NodeId::Listener(80), Node::Listener(plain.listener("redirect", 80, action)));
        }
        nodes.insert(NodeId::LoadBalancer, Node::LoadBalancer(self.balancer()));
        if self.instance_rules {
            nodes.insert(NodeId::RulesIn("sg-hosts".to_owned()), Node::RulesIn(self.instance_rules()));
        }
        let kinds: &[&'static str] = if self.dualstack { &["A", "AAAA"] } else { &["A"] };
        for (kind, n) in kinds.iter().copied().flat_map(|kind| self.record.map(|n| (kind, n))) {
            let record = record(kind, n);
            nodes.insert(record.id(), Node::Record(record));
        }
        let tags = Tags::from([("version".to_owned(), self.tag.to_string())]);
        Desired { nodes, tags, wait_for_healthy: self.waits, tolerates_unhealthy: false }
    }

    fn redirects(&self) -> bool {
        self.redirect && self.tls && !self.listeners.contains(&80)
    }

    fn wears(&self) -> Ref {
        if self.own_group { Ref::Of(GROUP) } else { Ref::Known("sg-own".to_owned()) }
    }

    fn rule(&self, direction: Direction, port: u16, source: Source) -> Rule {
        let port = i64::from(port);
        let description = format!("version {}", self.tag);
        Rule { direction, protocol: "tcp".to_owned(), from_port: port, to_port: port, source, description }
    }

    fn security_group(&self) -> SecurityGroup {
        let mut rules: BTreeSet<Rule> =
            self.targets.iter().map(|port| self.rule(Direction::Egress, *port, Source::Vpc)).collect();
        let doors = self.listeners.into_iter().chain(self.redirects().then_some(80));
        for port in doors {
            let client = |n: &u8| self.rule(Direction::Ingress, port, Source::Cidr(format!("192.0.2.{n}/32")));
            rules.extend(self.clients.iter().map(client));
        }
        SecurityGroup {
            name: "web-load-balancer".to_owned(),
            description: "Load balancer".to_owned(),
            vpc_id: vpc().id,
            rules,
        }
    }

    fn instance_rules(&self) -> BTreeSet<Rule> {
        self.targets.iter().map(|port| self.rule(Direction::Ingress, *port, Source::Group(self.wears()))).collect()
    }

    fn balancer(&self) -> LoadBalancer {
        let given = Attributes::from([("idle_timeout.timeout_seconds".to_owned(), self.idle_timeout.to_string())]);
        LoadBalancer {
            name: "web".to_owned(),
            scheme: "internet-facing".to_owned(),
            ip_address_type: if self.dualstack { "dualstack" } else { "ipv4" }.to_owned(),
            subnet_ids: self.subnets.iter().map(|n| format!("subnet-{n}")).collect(),
            security_groups: [self.wears()].into(),
            attributes: attributes::normalise(attributes::LOAD_BALANCER, &given),
        }
    }

    fn target_group(&self, role: &'static str, port: u16) -> TargetGroup {
        let protocol = if self.tls { "HTTPS" } else { "HTTP" };
        let short = if role == "api" { "api" } else { "ws" };
        let given = Attributes::from([("deregistration_delay.timeout_seconds".to_owned(), "30".to_owned())]);
        TargetGroup {
            role,
            name: format!("{short}-{}-{port}", protocol.to_lowercase()),
            port,
            protocol: protocol.to_owned(),
            vpc_id: vpc().id,
            health_check: HealthCheck {
                protocol: protocol.to_owned(),
                port: "traffic-port".to_owned(),
                path: "/".to_owned(),
                matcher: "200".to_owned(),
                interval: 15,
                timeout: 5,
                healthy_threshold: 5,
                unhealthy_threshold: i64::from(self.tag),
            },
            attributes: attributes::normalise(attributes::TARGET_GROUP, &given),
            targets: self.instances.iter().map(|n| Ref::Known(format!("i-{n}"))).collect(),
        }
    }

    fn listener(&self, role: &'static str, port: u16, action: Action) -> Listener {
        let others = self.additional.iter().filter(|n| **n != self.certificate);
        Listener {
            role,
            port,
            protocol: if self.tls { "HTTPS" } else { "HTTP" }.to_owned(),
            ssl_policy: self.tls.then(|| "ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned()),
            certificate_arn: self.tls.then(|| format!("cert-{}", self.certificate)),
            additional_certificate_arns: others.filter(|_| self.tls).map(|n| format!("cert-{n}")).collect(),
            mutual_authentication: None,
            action,
        }
    }
}

fn record(kind: &'static str, n: u8) -> Record {
    Record {
        zone_id: "Z1".to_owned(),
        name: format!("r{n}.example.com"),
        kind,
        evaluate_target_health: false,
        target: Ref::Of(NodeId::LoadBalancer),
    }
}

prop_compose! {
    /// Any shape.
    pub(super) fn shapes()(
        [tls, own_group, redirect, instance_rules, dualstack, waits] in any::<[bool; 6]>(),
        listeners in prop::sample::select(vec![[80, 12080], [12080, 80], [443, 12443], [8080, 12443]]),
        targets in prop::sample::select(vec![[80, 12080], [443, 12443], [8080, 12080], [80, 80]]),
        certificate in 1..4_u8,
        additional in prop::collection::btree_set(1..4_u8, 0..3),
        instances in prop::collection::btree_set(1..4_u8, 1..3),
        clients in prop::collection::btree_set(1..4_u8, 1..3),
        record in prop::option::of(1..3_u8),
        idle_timeout in 60..63_u8,
        tag in 2..4_u8,
        subnets in prop::collection::btree_set(1..4_u8, 2..4),
    ) -> Shape {
        Shape {
            tls, listeners, targets, certificate, additional, instances, own_group, redirect, clients, record,
            instance_rules, dualstack, idle_timeout, tag, subnets, waits,
        }
    }
}

pub(super) fn vpc() -> VpcInfo {
    let cidr_blocks = BTreeSet::from(["10.0.0.0/16".to_owned()]);
    VpcInfo { id: "vpc-1".to_owned(), cidr_blocks, ipv6_cidr_blocks: BTreeSet::new() }
}

pub(super) fn owner() -> Owner {
    Owner { resource_type: "codestream_alb", stack: "web".to_owned(), resource_id: "id-1".to_owned() }
}

/// The tags that a node has when all is done.
pub(super) fn tags(id: &NodeId, node: &Node, user: &Tags) -> Tags {
    if matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)) { Tags::new() } else { owner().tags(user, role(id, node)) }
}

/// What was wanted, as if it were there in full health.
pub(super) fn there(desired: &Desired) -> Observed {
    let existing = |(id, node): (&NodeId, &Node)| {
        let aws_id = match id {
            NodeId::RulesIn(group) => group.clone(),
            NodeId::Record(_) => String::new(),
            _ => format!("id of {id}"),
        };
        (id.clone(), Existing { id: aws_id, node: node.clone(), tags: tags(id, node, &desired.tags) })
    };
    let healthy = |group: &TargetGroup| {
        group.targets.iter().map(|target| health(&target.to_string(), group.port, "healthy")).collect()
    };
    Observed {
        vpc: vpc(),
        nodes: desired.nodes.iter().map(existing).collect(),
        load_balancer: Some(LoadBalancerFacts {
            dns_name: "web.example.com".to_owned(),
            hosted_zone_id: "Z0".to_owned(),
            state: LoadBalancerState::Active,
            state_reason: None,
        }),
        health: desired.target_groups().map(|(id, group)| (id.clone(), healthy(group))).collect(),
        ..Observed::default()
    }
}

pub(super) fn health(id: &str, port: u16, state: &str) -> TargetHealth {
    TargetHealth { id: id.to_owned(), port, state: state.to_owned(), reason: None, description: None }
}
