//! The engine: a graph of AWS objects that is one Terraform resource.
//!
//! A resource describes the graph it wants ([`Desired`]), [`observe`] finds the graph that is there
//! ([`Observed`]), [`plan`] derives the steps from one to the other, and [`apply`] runs them. Both graphs are
//! made of the same [`Node`]s, normalised once where they are built, so that a difference is `!=`.

pub(crate) mod apply;
pub(crate) mod attributes;
pub(crate) mod cluster;
pub(crate) mod effect;
pub(crate) mod observe;
pub(crate) mod ownership;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod step;
pub(crate) mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::aws::{Attributes, Direction, HealthCheck, LoadBalancerState, Tags, TargetHealth, VpcInfo};
use cluster::{Cache, CacheFacts, CacheSubnetGroup, Instance, InstanceFacts};

/// What an object is within its stack; the same from one apply to the next, unlike its AWS identifier.
///
/// A target group's name holds a hash of what AWS does not let change, so that a replacement is another node
/// beside the old one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NodeId {
    /// A security group, by its role.
    SecurityGroup(&'static str),
    /// A target group, by its name.
    TargetGroup(String),
    /// The load balancer.
    LoadBalancer,
    /// A listener, by its port.
    Listener(u16),
    /// An alias record.
    Record(RecordId),
    /// The rules that the stack keeps in a security group of somebody else's, by that group's id.
    RulesIn(String),
    /// The subnets of a cache, by their name.
    CacheSubnetGroup(String),
    /// A replication group, by its id; like a target group's name, it holds a hash of what AWS does not let change.
    Cache(String),
    /// An instance, by its place in the cluster and a hash of what it is made of.
    Instance(String),
}

/// The end of the name of an instance that is there once too often.
const COPY: &str = "-again";

impl NodeId {
    /// What an instance is called whose name is taken.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Instance(name) => Self::Instance(format!("{name}{COPY}")),
            other => other.clone(),
        }
    }

    /// Whether it is an instance that is there once too often.
    pub(crate) fn is_copy(&self) -> bool {
        matches!(self, Self::Instance(name) if name.ends_with(COPY))
    }
}

/// What makes a record one of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordId {
    /// `A` or `AAAA`.
    pub(crate) kind: &'static str,
    pub(crate) zone_id: String,
    pub(crate) name: String,
}

impl Record {
    /// Which record it is.
    pub(crate) fn id(&self) -> NodeId {
        NodeId::Record(RecordId { kind: self.kind, zone_id: self.zone_id.clone(), name: self.name.clone() })
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecurityGroup(role) => write!(f, "{role} security group"),
            Self::TargetGroup(name) => write!(f, "target group {name}"),
            Self::LoadBalancer => f.write_str("load balancer"),
            Self::Listener(port) => write!(f, "listener {port}"),
            Self::Record(RecordId { kind, name, .. }) => write!(f, "{kind} record {name}"),
            Self::RulesIn(group) => write!(f, "rules in {group}"),
            Self::CacheSubnetGroup(name) => write!(f, "cache subnet group {name}"),
            Self::Cache(id) => write!(f, "cache {id}"),
            Self::Instance(name) => write!(f, "node {name}"),
        }
    }
}

/// A reference to an object: its AWS identifier, or the node that will have one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ref {
    /// An object outside the stack.
    Known(String),
    /// An object of the stack.
    Of(NodeId),
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(id) => f.write_str(id),
            Self::Of(node) => node.fmt(f),
        }
    }
}

/// One AWS object of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    SecurityGroup(SecurityGroup),
    TargetGroup(TargetGroup),
    LoadBalancer(LoadBalancer),
    Listener(Listener),
    Record(Record),
    RulesIn(BTreeSet<Rule>),
    CacheSubnetGroup(CacheSubnetGroup),
    Cache(Cache),
    Instance(Instance),
}

/// A security group with its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecurityGroup {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) vpc_id: String,
    pub(crate) rules: BTreeSet<Rule>,
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Cidr(String),
    PrefixList(String),
    Group(Ref),
    /// Every address block of the stack's VPC.
    Vpc,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(text) | Self::PrefixList(text) => f.write_str(text),
            Self::Group(group) => group.fmt(f),
            Self::Vpc => f.write_str("vpc"),
        }
    }
}

/// A security group rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) direction: Direction,
    pub(crate) protocol: String,
    pub(crate) from_port: i64,
    pub(crate) to_port: i64,
    pub(crate) source: Source,
    pub(crate) description: String,
}

impl Rule {
    /// One for TCP on one port.
    pub(crate) fn tcp(direction: Direction, port: u16, source: Source, description: impl Into<String>) -> Self {
        let (port, description) = (i64::from(port), description.into());
        Self { direction, protocol: "tcp".to_owned(), from_port: port, to_port: port, source, description }
    }

    /// What makes it the same rule to AWS: everything but its description.
    pub(crate) fn key(&self) -> (Direction, &str, i64, i64, &Source) {
        (self.direction, &self.protocol, self.from_port, self.to_port, &self.source)
    }

    /// Whether a rule that is there is this one, or one of the address blocks that this one's `vpc` stands for.
    pub(crate) fn covers(&self, there: &Self, vpc: &VpcInfo) -> bool {
        let block = |cidr: &String| vpc.cidr_blocks.contains(cidr) || vpc.ipv6_cidr_blocks.contains(cidr);
        let within = matches!(&there.source, Source::Cidr(cidr) if self.source == Source::Vpc && block(cidr));
        self.key() == there.key() || within && self.key() == Self { source: Source::Vpc, ..there.clone() }.key()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { direction, protocol, from_port, to_port, source, .. } = self;
        match (protocol.as_str(), from_port == to_port) {
            ("-1", _) => write!(f, "{direction} all {source}"),
            (_, true) => write!(f, "{direction} {protocol} {from_port} {source}"),
            (_, false) => write!(f, "{direction} {protocol} {from_port}-{to_port} {source}"),
        }
    }
}

/// A load balancer. Its attributes are those in [`attributes::LOAD_BALANCER`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadBalancer {
    pub(crate) name: String,
    pub(crate) scheme: String,
    pub(crate) ip_address_type: String,
    pub(crate) subnet_ids: BTreeSet<String>,
    pub(crate) security_groups: BTreeSet<Ref>,
    pub(crate) attributes: Attributes,
}

/// A target group with its registrations. Its attributes are those in [`attributes::TARGET_GROUP`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetGroup {
    pub(crate) role: &'static str,
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) vpc_id: String,
    pub(crate) health_check: HealthCheck,
    pub(crate) attributes: Attributes,
    pub(crate) targets: BTreeSet<Ref>,
}

/// What a listener does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Forwards, by weight. One group alone has weight 1.
    Forward(BTreeMap<Ref, i64>),
    /// Redirects with a 301 to `https` on this port.
    RedirectToHttps(u16),
    /// What no stack asks for, in words, with the groups that it forwards to by weight all the same.
    Other(String, BTreeMap<Ref, i64>),
}

impl Action {
    /// Forwards everything to one group.
    pub(crate) fn forward(group: Ref) -> Self {
        Self::Forward(BTreeMap::from([(group, 1)]))
    }

    /// The groups it refers to, those with weight 0 included.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Ref> {
        match self {
            Self::Forward(weights) | Self::Other(_, weights) => Some(weights.keys()),
            Self::RedirectToHttps(_) => None,
        }
        .into_iter()
        .flatten()
    }

    /// Whether it refers to this node's group.
    pub(crate) fn refers_to(&self, node: &NodeId) -> bool {
        self.groups().any(|group| matches!(group, Ref::Of(id) if id == node))
    }
}

/// A listener with its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) role: &'static str,
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) ssl_policy: Option<String>,
    pub(crate) certificate_arn: Option<String>,
    pub(crate) additional_certificate_arns: BTreeSet<String>,
    /// What it does with certificates of clients; no stack asks for them.
    pub(crate) mutual_authentication: Option<String>,
    pub(crate) action: Action,
}

/// An alias record of the load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) zone_id: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) evaluate_target_health: bool,
    /// The load balancer, or the name it points at instead.
    pub(crate) target: Ref,
}

/// The graph a resource wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Desired {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// The user's tags; each object gets them and its ownership tags.
    pub(crate) tags: Tags,
    /// Whether new targets must be healthy before the apply is done.
    pub(crate) wait_for_healthy: bool,
    /// Whether the apply is done all the same when they do not become so.
    pub(crate) tolerates_unhealthy: bool,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Existing {
    /// Its AWS identifier; empty for what has none of its own.
    pub(crate) id: String,
    pub(crate) node: Node,
    pub(crate) tags: Tags,
}

/// What AWS alone says of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadBalancerFacts {
    pub(crate) dns_name: String,
    pub(crate) hosted_zone_id: String,
    pub(crate) state: LoadBalancerState,
    pub(crate) state_reason: Option<String>,
}

/// Something on the stack's load balancer that is not the stack's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// What it is, for a message: `listener 8080`.
    pub(crate) what: String,
    pub(crate) arn: String,
    /// The listener of the stack that it goes with.
    pub(crate) on: Option<NodeId>,
    /// The target groups of the stack that it uses.
    pub(crate) uses: BTreeSet<NodeId>,
}

/// The graph that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) vpc: VpcInfo,
    pub(crate) nodes: BTreeMap<NodeId, Existing>,
    pub(crate) load_balancer: Option<LoadBalancerFacts>,
    /// The availability zones of the subnets that are there and of those that are wanted, when they differ.
    pub(crate) zones: BTreeMap<String, String>,
    /// The health of the targets, for each target group; those still draining included.
    pub(crate) health: BTreeMap<NodeId, Vec<TargetHealth>>,
    pub(crate) foreign: Vec<Foreign>,
    /// The security groups of the stack's making that the user has taken from it.
    pub(crate) released: BTreeSet<String>,
    /// The records in whose place somebody has put some with a routing policy.
    pub(crate) routed: BTreeSet<NodeId>,
    /// What AWS alone says of caches and instances.
    pub(crate) caches: BTreeMap<NodeId, CacheFacts>,
    pub(crate) instances: BTreeMap<NodeId, InstanceFacts>,
}

impl AsRef<Self> for Node {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRef<Node> for Existing {
    fn as_ref(&self) -> &Node {
        &self.node
    }
}

/// Typed access to the nodes of one kind, in either graph.
macro_rules! typed_access {
    ($graph:ident; $($get:ident, $all:ident: $kind:ident;)*) => {
        impl $graph {
            $(
                #[doc = concat!("The ", stringify!($kind), " of this id, when there is one.")]
                #[allow(dead_code, reason = "the two graphs offer the same, whichever is asked for")]
                pub(crate) fn $get(&self, id: &NodeId) -> Option<&$kind> {
                    match self.nodes.get(id).map(AsRef::as_ref) {
                        Some(Node::$kind(node)) => Some(node),
                        _ => None,
                    }
                }

                #[doc = concat!("Every ", stringify!($kind), ".")]
                #[allow(dead_code, reason = "the two graphs offer the same, whichever is asked for")]
                pub(crate) fn $all(&self) -> impl Iterator<Item = (&NodeId, &$kind)> {
                    self.nodes.iter().filter_map(|(id, entry)| match entry.as_ref() {
                        Node::$kind(node) => Some((id, node)),
                        _ => None,
                    })
                }
            )*
        }
    };
}

typed_access! {
    Observed;
    security_group, security_groups: SecurityGroup;
    target_group, target_groups: TargetGroup;
    balancer, balancers: LoadBalancer;
    listener, listeners: Listener;
    record, records: Record;
    subnet_group, subnet_groups: CacheSubnetGroup;
    cache, all_caches: Cache;
    instance, all_instances: Instance;
}

typed_access! {
    Desired;
    subnet_group, subnet_groups: CacheSubnetGroup;
    cache, all_caches: Cache;
    instance, all_instances: Instance;
    target_group, target_groups: TargetGroup;
    balancer, balancers: LoadBalancer;
    listener, listeners: Listener;
    record, records: Record;
}

/// The same, to change what was observed.
macro_rules! typed_change {
    ($($get:ident: $kind:ident;)*) => {
        impl Observed {
            $(
                #[doc = concat!("The ", stringify!($kind), " of this id, to change.")]
                pub(crate) fn $get(&mut self, id: &NodeId) -> Option<&mut $kind> {
                    match self.nodes.get_mut(id).map(|existing| &mut existing.node) {
                        Some(Node::$kind(node)) => Some(node),
                        _ => None,
                    }
                }
            )*
        }
    };
}

typed_change! {
    target_group_mut: TargetGroup;
    balancer_mut: LoadBalancer;
    listener_mut: Listener;
    cache_mut: Cache;
    subnet_group_mut: CacheSubnetGroup;
    instance_mut: Instance;
}

impl Desired {
    /// The zones and names of its alias records.
    pub(crate) fn record_names(&self) -> ownership::RecordNames {
        self.records().map(|(_, record)| (record.zone_id.clone(), record.name.clone())).collect()
    }
}

impl Observed {
    /// Whether nothing of the stack is there. A record that points elsewhere is not the stack's.
    pub(crate) fn is_gone(&self) -> bool {
        let to_load_balancer = Ref::Of(NodeId::LoadBalancer);
        self.nodes.values().all(|existing| match &existing.node {
            Node::Record(record) => record.target != to_load_balancer,
            _ => false,
        })
    }

    /// The security groups of somebody else's in which the stack has rules.
    pub(crate) fn groups_with_rules(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().filter_map(|id| match id {
            NodeId::RulesIn(group) => Some(group.as_str()),
            _ => None,
        })
    }

    /// Whether the load balancer is protected against deletion.
    pub(crate) fn is_protected(&self) -> bool {
        let balancer = self.balancer(&NodeId::LoadBalancer);
        balancer
            .and_then(|balancer| balancer.attributes.get("deletion_protection.enabled"))
            .is_some_and(|on| on == "true")
    }

    /// The AWS identifier of a node, once it has one.
    pub(crate) fn id(&self, node: &NodeId) -> Option<&str> {
        self.nodes.get(node).map(|existing| existing.id.as_str())
    }

    /// The AWS identifier a reference stands for, once there is one.
    pub(crate) fn resolve(&self, reference: &Ref) -> Option<String> {
        match reference {
            Ref::Known(id) => Some(id.clone()),
            Ref::Of(node) => self.id(node).map(str::to_owned),
        }
    }

    /// Whether a target of a group was healthy at the last look at it.
    pub(crate) fn is_healthy(&self, group: &NodeId, target: &Ref) -> bool {
        let Some((there, registration)) = self.target_group(group).zip(self.resolve(target)) else { return false };
        let mut health = self.health.get(group).into_iter().flatten();
        health.any(|known| known.state == "healthy" && known.registration(there.port) == registration)
    }

    /// The node with this AWS identifier, else the identifier itself.
    pub(crate) fn reference(&self, id: &str) -> Ref {
        self.nodes
            .iter()
            .find(|(node, existing)| existing.id == id && !matches!(node, NodeId::Record(_) | NodeId::RulesIn(_)))
            .map_or_else(|| Ref::Known(id.to_owned()), |(node, _)| Ref::Of(node.clone()))
    }
}
